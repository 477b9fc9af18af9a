"""Heads of HTTP messages: the header lines of a request for libcurl, and what came before an answer's body.

Pure. Says nothing about what a header means.
"""

from __future__ import annotations

from functools import lru_cache

from crawlkit.fetcher.request import Plan
from crawlkit.libs.errors import FetchError

Headers = list[tuple[str, str]]


def header_lines(plan: Plan) -> tuple[bytes, ...]:
    """What curl is told to send."""
    return _header_lines(tuple(plan.headers), plan.body is not None, plan.method == "POST" and bool(plan.body))


@lru_cache(maxsize=256)
def _header_lines(headers: tuple[tuple[str, str], ...], body: bool, form: bool) -> tuple[bytes, ...]:
    """``Name;`` is curl's way to say that a header is there and empty. ``form``: the default type is right."""
    lines = []
    typed = False
    for name, value in headers:
        typed = typed or name.lower() == "content-type"
        lines.append(f"{name}: {value}".encode() if value.strip() else f"{name};".encode())
    if body:
        lines.append(b"Expect:")  # no waiting for a 100
        if not typed and not form:
            lines.append(b"Content-Type:")  # curl would call anything a form
    return tuple(lines)


def parse_head(lines: list[bytes]) -> tuple[int, str, Headers]:
    """(status, reason, headers) of the last header block; earlier ones are 1xx answers, later lines are trailers."""
    if not lines:
        raise FetchError("protocol", "an answer without a header")
    texts = b"".join(lines).decode("latin-1").split("\n")
    start = 0
    for number, text in enumerate(texts):
        if text.startswith("HTTP/"):
            start = number
    parts = texts[start].split(None, 2)
    if len(parts) < 2 or len(parts[1]) != 3 or not parts[1].isdigit():
        raise FetchError("protocol", "an answer without a status of three digits")
    headers = []
    for text in texts[start + 1 :]:
        name, colon, value = text.partition(":")
        if colon:
            headers.append((name.strip(), value.strip()))
        elif not text.strip():
            break
    return int(parts[1]), parts[2].strip() if len(parts) > 2 else "", headers
