"""Large bodies in memory."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import copy

from msgspec.structs import replace

from crawlkit.database.base import KeptPage
from crawlkit.database.rules import fits_kept, pieces
from crawlkit.libs.clock import Clock, SystemClock


class MemoryBlobStore:
    """A :class:`~crawlkit.database.base.BlobStore`."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._blobs: dict[str, tuple[float, str, list[bytes]]] = {}  # id -> (created, key, pieces)
        self._kept: dict[str, KeptPage] = {}

    def create(self, chunks: Iterable[bytes], key: str) -> str:
        whole = list(pieces(chunks))
        blob = uuid.uuid4().hex
        with self._lock:
            self._blobs[blob] = (self._clock.time(), key, whole)
        return blob

    def read(self, blob: str) -> Iterator[bytes]:
        with self._lock:
            return iter(self._blobs[blob][2])

    def remove(self, blobs: Sequence[str]) -> None:
        with self._lock:
            for blob in blobs:
                self._blobs.pop(blob, None)

    def sweep(self, before: float) -> int:
        with self._lock:
            old = [blob for blob, (created, _, _) in self._blobs.items() if created < before]
            self.remove(old)
            return len(old)

    def keep_pages(self, pages: Sequence[KeptPage], per_callback: int, most_bytes: int) -> None:
        with self._lock:
            self._kept.update({page.page: copy(page) for page in pages if fits_kept(page)})
            seen: Counter[tuple[str, str]] = Counter()
            total = 0
            for page in sorted(self._kept.values(), key=_newest_first):
                seen[page.project, page.callback] += 1
                if seen[page.project, page.callback] > per_callback or total + page.stored > most_bytes:
                    del self._kept[page.page]
                else:
                    total += page.stored

    def kept_pages(self, project: str, callback: str | None = None, limit: int = 1000) -> list[KeptPage]:
        with self._lock:
            mine = [
                page for page in self._kept.values() if page.project == project and callback in (None, page.callback)
            ]
        return [replace(page, data=b"") for page in sorted(mine, key=_newest_first)[:limit]]

    def kept_page(self, page: str) -> KeptPage | None:
        with self._lock:
            found = self._kept.get(page)
            return None if found is None else copy(found)

    def drop_kept(self, project: str) -> int:
        with self._lock:
            mine = [page.page for page in self._kept.values() if page.project == project]
            for page in mine:
                del self._kept[page]
            return len(mine)

    def close(self) -> None:
        """Nothing to let go of."""


def _newest_first(page: KeptPage) -> tuple[float, str]:
    return -page.kept, page.page
