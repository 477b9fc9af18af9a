"""Logs in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec

from crawlkit.database.base import SEARCH_SECONDS
from crawlkit.database.logrules import FIRST_WINDOW, cleaned, matcher
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.rows import LogFilter, LogLine, LogPage

OVERHEAD = 300  # bytes of a line besides its text, about


class MemoryLogStore:
    """A :class:`~crawlkit.database.base.LogStore`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._lines: list[LogLine] = []
        self._last = 0
        self._bytes = 0

    def append_many(self, lines: Sequence[LogLine]) -> int:
        kept = [cleaned(line) for line in lines]
        with self._lock:
            for line in kept:
                self._last += 1
                line.n = self._last
                self._bytes += _size(line)
            self._lines += kept
            return self._last

    def search(
        self, wanted: LogFilter, before: int | None = None, limit: int = 100, budget: float = SEARCH_SECONDS
    ) -> LogPage:
        with self._lock:
            lines = self._lines
        end = len(lines) if before is None else self._place(lines, before)
        found, at, looked = self._look(wanted, islice(reversed(lines), len(lines) - end, None), limit, budget)
        return LogPage(found, at if at is not None and lines and at > lines[0].n else None, looked)

    def tail(self, wanted: LogFilter, after: int, limit: int = 1000, budget: float = SEARCH_SECONDS) -> LogPage:
        with self._lock:
            lines, last = self._lines, self._last
        found, at, looked = self._look(wanted, islice(lines, self._place(lines, after + 1), None), limit, budget)
        return LogPage(found, last if at is None else at, looked)

    @staticmethod
    def _place(lines: list[LogLine], n: int) -> int:
        """How many lines have a smaller number."""
        return min(max(0, n - lines[0].n), len(lines)) if lines else 0

    @staticmethod
    def _look(
        wanted: LogFilter, lines: Iterable[LogLine], limit: int, budget: float
    ) -> tuple[list[LogLine], int | None, float | None]:
        """(what was found, the number of the line it stopped at, its time when the budget was used up)."""
        match, found = matcher(wanted), list[LogLine]()
        deadline = SystemClock.monotonic() + budget
        for count, line in enumerate(lines, 1):
            if match(line):
                found.append(msgspec.structs.replace(line))
                if len(found) >= limit:
                    return found, line.n, None
            if count % FIRST_WINDOW == 0 and SystemClock.monotonic() >= deadline:
                return found, line.n, line.time
        return found, None, None

    def last(self) -> int:
        return self._last

    def nodes(self) -> list[tuple[str, str]]:
        with self._lock:
            return sorted({(line.node, line.role) for line in self._lines if line.node})

    def size(self) -> tuple[int, int]:
        return len(self._lines), self._bytes

    def prune(self, before: float, max_bytes: int) -> int:
        with self._lock:
            gone, left = 0, self._bytes
            for line in self._lines:
                if line.time >= before and left <= max_bytes:
                    break
                left -= _size(line)
                gone += 1
            self._lines, self._bytes = self._lines[gone:], left
            return gone

    def close(self) -> None:
        """Nothing to let go of."""


def _size(line: LogLine) -> int:
    return OVERHEAD + len(line.text) + len(line.url)
