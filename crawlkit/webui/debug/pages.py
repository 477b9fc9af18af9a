"""The pages that users of the debugger have fetched, for running many versions of a script on them.

In memory, compressed, and bounded by number, bytes and age; the oldest go first. Safe for several threads.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import zstandard

from crawlkit.libs.messages import Fetched
from crawlkit.libs.response import Response
from crawlkit.libs.task import JSONDict
from crawlkit.webui.debug.settings import DebugSettings

MAX_BODY = 64 * 2**20


@dataclass(frozen=True)
class Page:
    """A fetched page for who shows it. ``encoding``: what its text is decoded with."""

    id: str
    project: str
    url: str
    orig_url: str
    status: int
    headers: list[tuple[str, str]]
    content_type: str
    encoding: str
    body: bytes
    fetched: float  # Unix time
    callback: str = ""

    @property
    def size(self) -> int:
        return len(self.body)


@dataclass(frozen=True)
class _Kept:
    owner: str
    project: str
    answer: Fetched  # without its content
    data: bytes  # compressed
    heard: bytes  # msgpack, compressed: answers to what a rendered page asked its server for
    size: int
    at: float  # monotonic
    fetched: float  # Unix time

    @property
    def room(self) -> int:
        """Bytes that it takes."""
        return len(self.data) + len(self.heard)


class PageShelf:
    """Pages by id; each belongs to one user and one project."""

    def __init__(self, settings: DebugSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._pages: OrderedDict[str, _Kept] = OrderedDict()

    def put(self, owner: str, answer: Fetched, at: float, now: float, heard: Sequence[JSONDict] = ()) -> str:
        """Keeps a fetched page; returns its id. ``heard``: what a rendered page asked its server for, with answers."""
        data = zstandard.ZstdCompressor(level=1).compress(answer.content)
        asked = zstandard.ZstdCompressor(level=1).compress(msgspec.msgpack.encode(heard)) if heard else b""
        bare = msgspec.structs.replace(answer, content=b"", jar=None)
        kept = _Kept(owner, answer.task.project, bare, data, asked, len(answer.content), at, now)
        page = secrets.token_urlsafe(12)
        with self._lock:
            self._pages[page] = kept
            self._make_room(owner, at)
        return page

    def get(self, owner: str, project: str | None, page: str, at: float) -> Fetched | None:
        """The answer with its content; ``None`` when it is gone, or another's."""
        with self._lock:
            self._drop_old(at)
            kept = self._pages.get(page)
        if kept is None or kept.owner != owner or project not in (None, kept.project):
            return None
        content = zstandard.ZstdDecompressor().decompress(kept.data, max_output_size=kept.size) if kept.size else b""
        return msgspec.structs.replace(kept.answer, content=content)

    def heard(self, owner: str, page: str) -> Sequence[JSONDict]:
        """What the page asked its server for when it was rendered; nothing when it is gone, or another's."""
        with self._lock:
            kept = self._pages.get(page)
        if kept is None or kept.owner != owner or not kept.heard:
            return []
        found: Sequence[JSONDict] = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(kept.heard))
        return found

    def time_of(self, page: str) -> float:
        """When it was fetched (Unix time)."""
        with self._lock:
            kept = self._pages.get(page)
        return kept.fetched if kept is not None else 0.0

    def list(self, owner: str, project: str, at: float) -> list[tuple[str, Fetched, int, float]]:
        """(id, answer without content, bytes, Unix time), newest first."""
        with self._lock:
            self._drop_old(at)
            mine = [
                (page, kept) for page, kept in self._pages.items() if (kept.owner, kept.project) == (owner, project)
            ]
        return [(page, kept.answer, kept.size, kept.fetched) for page, kept in reversed(mine)]

    def _drop_old(self, at: float) -> None:
        while self._pages and at - next(iter(self._pages.values())).at > self._settings.pages_age:
            self._pages.popitem(last=False)

    def _make_room(self, owner: str, at: float) -> None:
        settings = self._settings
        self._drop_old(at)
        mine = [page for page, kept in self._pages.items() if kept.owner == owner]
        size = sum(self._pages[page].room for page in mine)
        while len(mine) > 1 and (len(mine) > settings.pages_per_user or size > settings.pages_bytes_per_user):
            size -= self._pages.pop(mine.pop(0)).room
        total = sum(kept.room for kept in self._pages.values())
        while len(self._pages) > 1 and total > settings.pages_bytes:
            total -= self._pages.popitem(last=False)[1].room


def page_of(page: str, answer: Fetched, fetched: float) -> Page:
    """``answer`` for who shows it."""
    response = Response.of(answer)
    return Page(
        page, answer.task.project, answer.url, answer.orig_url, answer.status_code, answer.headers,
        response.content_type, response.encoding, answer.content, fetched, answer.task.callback or "",
    )  # fmt: skip
