"""What a resultdb in memory remembers of its sinks."""

from __future__ import annotations

import threading
from copy import copy

import msgspec

from crawlkit.database.base import SinkProgress, SinkRow


class MemorySinkBook:
    """A :class:`~crawlkit.database.base.SinkBook`, but for what concerns results."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._sinks: dict[str, SinkRow] = {}
        self._progress: dict[tuple[str, str], SinkProgress] = {}

    def sinks(self) -> list[SinkRow]:
        with self._lock:
            return [copy(row) for row in sorted(self._sinks.values(), key=lambda row: (row.made, row.sink))]

    def take_sink(self, row: SinkRow) -> SinkRow | None:
        with self._lock:
            known = self._sinks.get(row.sink)
            if (known.fence if known is not None else 0) != row.fence:
                return None
            old = known if known is not None else row
            taken = msgspec.structs.replace(row, fence=row.fence + 1, series=old.series, made=old.made, error=old.error)
            self._sinks[row.sink] = taken
            return copy(taken)

    def hold_sink(self, sink: str, fence: int, until: float, error: str) -> bool:
        with self._lock:
            known = self._sinks.get(sink)
            if known is None or known.fence != fence:
                return False
            known.until, known.error = until, error
            return True

    def move_sink(self, fence: int, progress: SinkProgress) -> bool:
        with self._lock:
            known = self._sinks.get(progress.sink)
            if known is None or known.fence != fence:
                return False
            self._progress[progress.sink, progress.project] = copy(progress)
            return True

    def sink_progress(self, sink: str) -> list[SinkProgress]:
        with self._lock:
            return [copy(self._progress[key]) for key in sorted(self._progress) if key[0] == sink]

    def drop_sink(self, sink: str) -> bool:
        with self._lock:
            for key in [key for key in self._progress if key[0] == sink]:
                del self._progress[key]
            return self._sinks.pop(sink, None) is not None
