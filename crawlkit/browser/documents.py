"""What a page's own request brought: a page to render, or something that is handed on as it came. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_FILENAME = re.compile(r"filename\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^;\s]+))", re.IGNORECASE)
_EXTENDED = re.compile(r"filename\*\s*=\s*([\w-]*)'[^']*'([^;\s]+)", re.IGNORECASE)
_QUOTED = re.compile(r"\\(.)")
Pairs = list[tuple[str, str]]


@dataclass
class Document:
    """The answer to a page's own request. ``body``: what came, where it is no page; ``file``: or where that is."""

    status: int
    url: str
    headers: Pairs = field(default_factory=list)
    body: bytes | None = None
    file: dict[str, Any] | None = None


def header(headers: Pairs, name: str) -> str | None:
    """The first header of that name (lower case)."""
    return next((value for each, value in headers if each.lower() == name), None)


def mime(headers: Pairs) -> str:
    """The media type in lower case; empty when nothing is said."""
    return (header(headers, "content-type") or "").partition(";")[0].strip().lower()


def is_attachment(headers: Pairs) -> bool:
    """Whether a browser would put it on the disk instead of showing it, whatever it is."""
    return (header(headers, "content-disposition") or "").strip().lower().startswith("attachment")


def is_page(status: int, method: str, headers: Pairs) -> bool:
    """Whether there is something to render."""
    return method != "HEAD" and status not in (204, 205, 304) and mime(headers) in _PAGES and not is_attachment(headers)


def looks_like_page(start: bytes) -> bool:
    """Whether bytes of which nobody says what they are begin as HTML does."""
    head = start[:1024].lstrip(b"\xef\xbb\xbf \t\r\n\f").lower()
    return head.startswith(
        (b"<!doctype html", b"<html", b"<head", b"<body", b"<!--", b"<title", b"<script", b"<p", b"<h1")
    )


def file_name(headers: Pairs, url: str) -> str:
    """What the server calls a file (RFC 6266), or else the last part of its URL. Not safe for a disk."""
    said = header(headers, "content-disposition") or ""
    extended = _EXTENDED.search(said)
    if extended is not None:
        return unquote(
            extended[2], extended[1] if extended[1].lower() in ("utf-8", "iso-8859-1") else "utf-8", "replace"
        )
    plain = _FILENAME.search(said)
    if plain is not None:
        return _QUOTED.sub(r"\1", plain[1]) if plain[1] is not None else plain[2]
    return unquote(urlsplit(url).path.rpartition("/")[2], errors="replace")


def as_utf8(headers: Pairs) -> Pairs:
    """The headers of a page that is given back as text: they no longer say in which charset it once came.

    Nor do they tell of its length and compression: both were undone.
    """
    made = [
        (name, value)
        for name, value in headers
        if name.lower() not in ("content-type", "content-length", "content-encoding", "transfer-encoding")
    ]
    kind = mime(headers) or "text/html"
    return [*made, ("Content-Type", f"{kind}; charset=utf-8")]


def as_decoded(headers: Pairs) -> Pairs:
    """The headers of bytes whose compression is undone."""
    return [(n, v) for n, v in headers if n.lower() not in ("content-encoding", "content-length", "transfer-encoding")]


def joined(headers: Pairs) -> dict[str, str | list[str]]:
    """As a reply has them: repeated ones in a list."""
    made: dict[str, str | list[str]] = {}
    for name, value in headers:
        known = made.get(name)
        if known is None:
            made[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            made[name] = [known, value]
    return made
