"""Large bodies in memory."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence

from crawlkit.database.rules import pieces
from crawlkit.libs.clock import Clock, SystemClock


class MemoryBlobStore:
    """A :class:`~crawlkit.database.base.BlobStore`."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._blobs: dict[str, tuple[float, str, list[bytes]]] = {}  # id -> (created, key, pieces)

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

    def close(self) -> None:
        """Nothing to let go of."""
