"""The head of an HTTP answer: bytes to status and headers. Pure."""

from __future__ import annotations

from functools import lru_cache

from crawlkit.libs.errors import FetchError

KNOWN_FIELD = 128  # bytes of a header line that is remembered
Headers = list[tuple[str, str]]


def parse_head(head: bytes) -> tuple[int, str, Headers]:
    """(status, reason, headers) of the last header block; earlier ones are 1xx answers, later lines are trailers."""
    if not head:
        raise FetchError("protocol", "an answer without a header")
    end = head.rfind(b"\n")  # what is behind it is nothing, or a line that was cut
    lines = head[head.rfind(b"\nHTTP/", 0, max(end, 0)) + 1 : max(end, 0)].split(b"\n")
    parts = lines[0].decode("latin-1").split(None, 2)
    if len(parts) < 2 or len(parts[1]) != 3 or not parts[1].isdigit():
        raise FetchError("protocol", "an answer without a status of three digits")
    headers = []
    del lines[0]
    for line in lines:
        field = _known_field(line) if len(line) <= KNOWN_FIELD else _field(line)
        if field is not None:
            headers.append(field)
        elif not line.decode("latin-1").strip():
            break
    else:  # curl takes what came for the whole answer
        raise FetchError("reset", "the connection ended within the headers")
    return int(parts[1]), parts[2].strip() if len(parts) > 2 else "", headers


def _field(line: bytes) -> tuple[str, str] | None:
    name, colon, value = line.decode("latin-1").partition(":")
    return (name.strip(), value.strip()) if colon else None


_known_field = lru_cache(maxsize=1024)(_field)  # most lines are the same in the next answer
