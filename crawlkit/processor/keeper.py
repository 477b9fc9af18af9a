"""Keeps some of the pages that callbacks get, so that a changed script can be tried on them before it goes live.

On the hot path it costs a look into a dict: the first pages of each callback are taken as they come (a small crawl is
over soon), then one a second, and one a minute once there are enough; they are compressed and written in
batches by a thread. What is lost here harms nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Sequence

import msgspec
import zstandard

from crawlkit.database.base import BlobStore, KeptPage
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import BadMessage, StoreError
from crawlkit.libs.messages import TASK, Fetched, decode, encode
from crawlkit.processor.held import Held

FIRST = 10  # pages of a callback that are taken without a pause
OFTEN, SELDOM = 1.0, 60.0  # seconds between pages of a callback: until there are enough, and then
WRITE = 3.0  # seconds between batches
BATCH = 50  # pages
MAX_BATCH_BYTES = 8 * 2**20
MAX_PAGE = 512 * 1024  # bytes of a message; larger pages are not kept
MOST_BYTES = 256 * 2**20  # of all kept pages of a store, compressed
MAX_CALLBACKS = 10_000  # known at once

log = logging.getLogger("crawlkit.processor")


class Keeper:
    """Keeps the newest ``most`` pages of each callback."""

    def __init__(self, blobs: BlobStore, most: int, clock: Clock) -> None:
        self._blobs = blobs
        self._most = most
        self._clock = clock
        self._monotonic = clock.monotonic
        self._due: dict[tuple[str, str | None], float] = {}  # when the next page of a callback is wanted
        self._taken: dict[tuple[str, str | None], int] = {}
        self._batch: list[bytes] = []
        self._bytes = 0
        self._said = False

    def offer(self, held: Held) -> None:
        """Called for every page."""
        head = held.head
        key = (head.project, head.callback)
        now = self._monotonic()
        due = self._due.get(key)
        if due is None or now >= due:
            self._take(held, key, now)

    def _take(self, held: Held, key: tuple[str, str | None], now: float) -> None:
        head, body = held.head, held.body
        if head.kind != TASK or not head.url.startswith("http") or len(body) > MAX_PAGE:
            return
        if len(self._batch) >= BATCH or self._bytes + len(body) > MAX_BATCH_BYTES:
            self._due[key] = now + OFTEN  # others were first; it has its turn when there is room
            return
        if len(self._due) >= MAX_CALLBACKS:
            self._due.clear()
            self._taken.clear()
        taken = self._taken[key] = self._taken.get(key, 0) + 1
        wait = 0.0 if taken < FIRST and taken < self._most else OFTEN if taken < self._most else SELDOM
        self._due[key] = now + wait
        self._batch.append(body)
        self._bytes += len(body)

    async def run(self) -> None:
        """Writes what was taken, for ever."""
        while True:
            await asyncio.sleep(WRITE)
            await self.write()

    async def write(self) -> None:
        """Writes what was taken so far."""
        batch, self._batch, self._bytes = self._batch, [], 0
        if batch:
            await asyncio.to_thread(self._write, batch)

    def _write(self, batch: Sequence[bytes]) -> None:
        now = self._clock.time()
        pages = [page for body in batch if (page := kept_page(body, now)) is not None]
        try:
            if pages:
                self._blobs.keep_pages(pages, self._most, MOST_BYTES)
            self._said = False
        except StoreError as error:
            if not self._said:
                log.warning("pages for trying changed scripts on are not kept: %s", error)
            self._said = True


def kept_page(body: bytes, now: float) -> KeptPage | None:
    """A good page as it is stored, without the cookies of its session; ``None`` for one that is of no use."""
    with contextlib.suppress(BadMessage):
        fetched: Fetched = decode(body, Fetched)
        if not 200 <= fetched.status_code < 300 or fetched.error is not None or not fetched.content:
            return None
        fetched.jar, fetched.task.jar, fetched.task.auto = None, [], None
        data = zstandard.ZstdCompressor(level=3).compress(encode(fetched))
        task = fetched.task
        return KeptPage(
            uuid.uuid4().hex, task.project, task.callback or "__call__", task.taskid, fetched.url, fetched.status_code,
            now, len(fetched.content), len(data), data,
        )  # fmt: skip
    return None


def fetched_of(page: KeptPage) -> Fetched:
    """What :func:`kept_page` was made of; raises :class:`BadMessage`."""
    try:
        body = zstandard.ZstdDecompressor().decompress(page.data, max_output_size=2 * MAX_PAGE)
    except zstandard.ZstdError as error:
        raise BadMessage(f"kept page {page.page}: {error}") from None
    fetched: Fetched = decode(body, Fetched)
    return msgspec.structs.replace(fetched, recorded=[])
