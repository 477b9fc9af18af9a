"""Reads sitemaps (sitemaps.org): XML, text and indexes, gzipped or not, and the Sitemap lines of a robots.txt.

Pure, and safe with hostile input: no entity is expanded, nothing is loaded, and every size is bounded.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import lxml.etree

from crawlkit.libs import crawl_args
from crawlkit.libs.jsonable import to_json
from crawlkit.libs.task import taskid_of

if TYPE_CHECKING:
    from crawlkit.libs.response import Response

MAX_BYTES = 64 * 2**20  # after decompression; the protocol allows 50 MB
MAX_ENTRIES = 100_000  # of one file; the protocol allows 50,000
MAX_DEPTH = 3  # of indexes that list indexes; the protocol allows 1
_CHUNK = 2**16
_OF_THE_PAGES = frozenset({"save", "params", "data", "files", "method", "etag", "last_modified", "last_modifed"})
_LINE = re.compile(r"^\s*sitemap\s*:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_PART = re.compile(r"(\d{4})(?:-(\d{2}))?\Z")


class BadSitemap(ValueError):
    """The body is no sitemap, in words."""


class Entry(NamedTuple):
    """A page, or with ``is_index`` a further sitemap. ``lastmod`` is as it was written."""

    url: str
    lastmod: str | None = None
    is_index: bool = False


def wish(callback: str | None, follow: str | None, since: str | date | None, args: Mapping[str, Any]) -> dict[str, Any]:
    """What ``self.crawl_sitemap`` was asked for, as it goes along with the sitemap; raises as that says."""
    crawl_args.check_names(args, "crawl_sitemap")
    crawl_args.parts_of(args)
    if follow is not None:
        try:
            follow = re.compile(follow).pattern
        except (re.error, TypeError) as error:
            raise ValueError(f"crawl_sitemap(): follow={follow!r} is no regular expression: {error}") from None
    when = moment(since) if since is not None else None
    if since is not None and when is None:
        raise ValueError(f"crawl_sitemap(): since={since!r} is no date; write it like 2024-02-29")
    return {
        "callback": callback,
        "follow": follow,
        "since": when.isoformat() if when is not None else None,
        "args": dict(args),
        "depth": 0,
    }


def task_args(url: str, said: dict[str, Any]) -> dict[str, Any]:
    """How the sitemap itself is asked for: as its pages are, but always anew, and apart from a page of its URL."""
    same = {n: v for n, v in said["args"].items() if n in crawl_args.KNOWN_TO_FETCH and n not in _OF_THE_PAGES}
    request = f"sitemap {url} {to_json({**said, 'depth': 0}, 'crawl_sitemap').decode()}"
    return {**same, "save": said, "age": 0, "taskid": taskid_of(request)}


def pages(response: Response, said: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """The URLs that a fetched sitemap leads to, and whether each is a sitemap again."""
    follow = re.compile(said["follow"] or "")
    since = datetime.fromisoformat(said["since"]) if said["since"] else None
    for entry in entries(response.content):
        url = response.urljoin(entry.url)
        if not url.startswith(("http://", "https://")) or (since is not None and not is_newer(entry.lastmod, since)):
            continue
        if entry.is_index:
            if said["depth"] < MAX_DEPTH:
                yield url, True
        elif follow.search(url):
            yield url, False


def entries(content: bytes) -> Iterator[Entry]:
    """What a sitemap lists, at most :data:`MAX_ENTRIES`; raises :class:`BadSitemap`."""
    body = unpacked(content).lstrip(b"\xef\xbb\xbf \t\r\n")
    found = _of_xml(body) if body.startswith(b"<") else _of_text(body)
    for count, entry in enumerate(found):
        if count >= MAX_ENTRIES:
            return
        yield entry


def unpacked(content: bytes) -> bytes:
    """``content`` without its gzip, if it has one; raises :class:`BadSitemap` when it is broken or too large."""
    if not content.startswith(b"\x1f\x8b"):
        if len(content) > MAX_BYTES:
            raise BadSitemap(f"the sitemap is over {MAX_BYTES:,} bytes")
        return content
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        body = unzip.decompress(content, MAX_BYTES + 1)
    except zlib.error as error:
        raise BadSitemap(f"the sitemap is broken gzip: {error}") from None
    if len(body) > MAX_BYTES:
        raise BadSitemap(f"the sitemap is over {MAX_BYTES:,} bytes when it is decompressed")
    return body


def is_newer(lastmod: str | None, since: datetime) -> bool:
    """Whether a page may have changed since then; one that does not tell may have."""
    when = moment(lastmod) if lastmod else None
    return when is None or when >= since


def moment(value: str | date | datetime) -> datetime | None:
    """A W3C date or time (a year, a month, a day, a time) as an instant, UTC unless said; ``None`` for none."""
    if isinstance(value, str):
        text = value.strip()
        part = _PART.match(text)
        try:
            value = datetime(int(part[1]), int(part[2] or 1), 1) if part else datetime.fromisoformat(text)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _of_text(body: bytes) -> Iterator[Entry]:
    text = body.decode("utf-8", "replace")
    lines = _LINE.findall(text)
    if lines:
        yield from (Entry(url, None, True) for url in lines)
        return
    for line in text.splitlines():
        if line.strip().startswith(("http://", "https://")):
            yield Entry(line.strip())


def _of_xml(body: bytes) -> Iterator[Entry]:
    parser = lxml.etree.XMLPullParser(
        ("end",), resolve_entities=False, no_network=True, load_dtd=False, recover=True, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        for at in range(0, len(body), _CHUNK):
            parser.feed(body[at : at + _CHUNK])
            yield from _ended(parser)
        parser.close()
        yield from _ended(parser)
    except lxml.etree.XMLSyntaxError as error:
        raise BadSitemap(f"the sitemap is no XML: {error}") from None


def _ended(parser: Any) -> Iterator[Entry]:
    for _, element in parser.read_events():
        name = _name(element)
        if name not in ("url", "sitemap"):
            continue
        said = {_name(child): (child.text or "").strip() for child in element}
        if said.get("loc"):
            yield Entry(said["loc"], said.get("lastmod") or None, name == "sitemap")
        element.clear()
        while element.getprevious() is not None:  # so that a large file takes no more memory than its text
            del element.getparent()[0]


def _name(element: Any) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
