"""What an answer means for a file that is being fetched: begin, go on, begin again, or no file at all.

Pure: no I/O, no clock. RFC 9110 sections 13 (conditions) and 14 (ranges), RFC 6266 (names).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from crawlkit.libs.errors import FetchError

Headers = Sequence[tuple[str, str]]
FRESH = 3600.0  # seconds for which a file that the same run has fetched is not asked for again
RETRIED = frozenset({"reset", "timeout", "too_slow", "connect", "connect_timeout", "dns", "proxy", "overload"})
PAUSES = (0.2, 0.5, 2.0, 5.0)  # seconds before the next request, by requests in a row that brought nothing
MIN_PROGRESS = 16 * 1024  # bytes; a request that brings fewer brought nothing
MAX_REQUESTS = 10_000  # for one file in one attempt
PACKED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".br", ".z", ".svgz")
_PACKED_TYPES = frozenset(
    {"application/gzip", "application/x-gzip", "application/x-compressed", "application/x-tgz", "application/zstd"}
)
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\Z", re.IGNORECASE | re.ASCII)
_PARAMETER = re.compile(r';\s*([\w!#$%&+^`|~.*-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s]*)')


class Action(enum.Enum):
    """What is to be done with an answer."""

    WRITE = "write"  # its body is the file, or the rest of it
    AGAIN = "again"  # what we have does not fit any more: ask once more, from the first byte
    KEEP = "keep"  # the file we have is the one
    PAGE = "page"  # an error page, which is no file


@dataclass(frozen=True, slots=True)
class Have:
    """What there is of a file: ``size`` bytes of ``total`` (``None``: unknown), and by what to know it again."""

    size: int = 0
    total: int | None = None
    etag: str | None = None
    last_modified: str | None = None
    trusted: bool = False  # its hash will be checked, so a splice of two versions cannot pass
    ranges: bool = True  # False: this server's ranges are wrong

    def resumable(self) -> bool:
        """Whether the rest may be asked for alone."""
        return self.ranges and (self.trusted or is_strong(self.etag) or bool(self.last_modified))


@dataclass(frozen=True, slots=True)
class Start:
    """``action``; for WRITE the body's first byte is byte ``at``, and the file will have ``total`` bytes if known.

    ``until``: where this body ends, if known.
    """

    action: Action
    at: int = 0
    total: int | None = None
    until: int | None = None


def is_strong(etag: str | None) -> bool:
    """Whether equal tags mean equal bytes."""
    return bool(etag) and not str(etag).startswith(("W/", "w/"))


def first_of(headers: Headers, name: str) -> str | None:
    """The first header of this name (lower case)."""
    return next((value for key, value in headers if key.lower() == name), None)


def request_headers(have: Have, known: Have | None) -> list[tuple[str, str]]:
    """The headers that ask for the rest; or, when nothing is there, for what differs from the finished ``known``."""
    headers = [("Accept-Encoding", "identity")]
    if have.size and have.resumable():
        headers.append(("Range", f"bytes={have.size}-"))
        validator = have.etag if is_strong(have.etag) else have.last_modified
        if validator:
            headers.append(("If-Range", validator))
    elif known is not None and not have.size:
        if known.etag:
            headers.append(("If-None-Match", known.etag))
        if known.last_modified:
            headers.append(("If-Modified-Since", known.last_modified))
    return headers


def start_of(status: int, headers: Headers, asked: int, have: Have, known: Have | None = None) -> Start:
    """What to do with an answer whose head is here. ``asked``: the first byte asked for; ``have``, ``known``: before.

    Raises :class:`FetchError` of kind ``protocol`` for an answer that cannot be right.
    """
    if status in (200, 203):
        length = length_of(headers)
        if known is not None and _is_same(headers, length, known):
            return Start(Action.KEEP)
        return Start(Action.WRITE, 0, length, length)
    if status == 206:
        return _rest(headers, asked, have)
    if status == 304 and known is not None:
        return Start(Action.KEEP)
    if status == 416 and asked:
        return Start(Action.AGAIN)
    if 200 <= status < 300:
        raise FetchError("protocol", f"an answer of status {status} brings no file")
    return Start(Action.PAGE)


def _rest(headers: Headers, asked: int, have: Have) -> Start:
    if not asked:
        raise FetchError("protocol", "status 206, though no range was asked for")
    said = first_of(headers, "content-range")
    found = content_range(said or "")
    if found is None:
        raise FetchError("protocol", f"status 206 with Content-Range {said!r:.80}")
    first, last, total = found
    if first != asked:
        raise FetchError("protocol", f"asked for byte {asked} on, got those from {first}")
    etag = first_of(headers, "etag")
    changed = bool(etag and have.etag and is_strong(have.etag) and etag != have.etag)
    if changed or (total is not None and have.total is not None and total != have.total):
        return Start(Action.AGAIN)
    return Start(Action.WRITE, asked, total if total is not None else have.total, last + 1)


def _is_same(headers: Headers, length: int | None, known: Have) -> bool:
    """Whether a server that ignores conditions sends once more what we have."""
    etag = first_of(headers, "etag")
    if etag or known.etag:
        return is_strong(etag) and etag == known.etag
    modified = first_of(headers, "last-modified")
    return bool(modified) and modified == known.last_modified and length is not None and length == known.size


def content_range(value: str) -> tuple[int, int, int | None] | None:
    """(first, last, total) of a Content-Range; ``None`` when it is none or contradicts itself."""
    match = _RANGE.match(value.strip())
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if first > last or (total is not None and last >= total):
        return None
    return first, last, total


def length_of(headers: Headers) -> int | None:
    """The length of the whole body in bytes, where the head says it."""
    if first_of(headers, "transfer-encoding"):
        return None
    value = (first_of(headers, "content-length") or "").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 18 else None


def is_packed(headers: Headers, name: str) -> bool:
    """Whether a Content-Encoding that nobody asked for is the file's own packing, as of a ``.tar.gz``."""
    kind = (first_of(headers, "content-type") or "").partition(";")[0].strip().lower()
    return kind in _PACKED_TYPES or name.lower().endswith(PACKED)


def name_of(headers: Headers, url: str) -> str:
    """What the server calls the file, else the last part of the URL's path; ``""`` when neither says anything."""
    return disposition_name(first_of(headers, "content-disposition") or "") or url_name(url)


def url_name(url: str) -> str:
    """The last part of the URL's path, decoded."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    return unquote(path.rstrip("/").rpartition("/")[2], errors="replace")


def disposition_name(value: str) -> str:
    """The file name in a Content-Disposition header, without any folders; ``""`` for none."""
    plain = extended = ""
    for name, text in _PARAMETER.findall(";" + value.partition(";")[2]):
        if name.lower() == "filename*" and not extended:
            extended = _extended(text.strip('"'))
        elif name.lower() == "filename" and not plain:
            plain = _plain(text)
    return re.split(r"[/\\]", extended or plain)[-1].strip()


def _plain(text: str) -> str:
    if text.startswith('"'):
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    try:  # servers send UTF-8 here, and header values arrive as Latin-1
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def _extended(text: str) -> str:
    charset, _, rest = text.partition("'")
    encoded = rest.partition("'")[2]
    try:
        return unquote_to_bytes(encoded).decode(charset or "utf-8")
    except (LookupError, UnicodeDecodeError):
        return ""
