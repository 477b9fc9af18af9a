"""The resultdb in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from copy import copy
from itertools import islice

from sortedcontainers import SortedDict  # type: ignore[import-untyped]

from crawlkit.database.base import Key, ResultRow, ResultSet
from crawlkit.database.rules import whole_set

PAGE = 500  # rows read under one hold of the lock


class MemoryResultStore:
    """A :class:`~crawlkit.database.base.ResultStore`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._seq = 0
        self._rows: dict[str, SortedDict] = {}  # project -> seq -> ResultRow
        self._runs: dict[Key, tuple[int, int, int]] = {}  # (run, seq of the first, how many)
        self._parts: dict[Key, dict[int, ResultSet]] = {}  # of the newest run and attempt, by first
        self._positions: dict[str, tuple[int, int]] = {}

    def save(self, sets: Sequence[ResultSet]) -> None:
        with self._lock:
            for part in sets:
                self._save(part)

    def _save(self, part: ResultSet) -> None:
        if not part.results and not part.last:
            return
        key = (part.project, part.taskid)
        visible = self._runs.get(key)
        if visible is not None and visible[0] >= part.run:
            return
        staged = self._parts.get(key)
        if staged:
            known = next(iter(staged.values()))
            if (known.run, known.attempt) > (part.run, part.attempt):
                return
            if (known.run, known.attempt) < (part.run, part.attempt):
                staged = None
        staged = {} if staged is None else staged
        staged[part.first] = copy(part)
        whole = whole_set(staged.values())
        if whole is None:
            self._parts[key] = staged
            return
        self._parts.pop(key, None)
        self._show(key, part.run, whole)

    def _show(self, key: Key, run: int, whole: list[ResultSet]) -> None:
        rows = self._rows.setdefault(key[0], SortedDict())
        _, first, count = self._runs.get(key, (0, 0, 0))
        for seq in range(first, first + count):
            del rows[seq]
        first = self._seq + 1
        n = 0
        for part in whole:
            for text in part.results:
                self._seq += 1
                rows[self._seq] = ResultRow(*key, run, n, part.url, text, part.updatetime, self._seq)
                n += 1
        self._runs[key] = (run, first, n)
        if not rows:
            del self._rows[key[0]]

    def get(self, project: str, taskid: str) -> list[ResultRow]:
        with self._lock:
            _, first, count = self._runs.get((project, taskid), (0, 0, 0))
            return [copy(self._rows[project][seq]) for seq in range(first, first + count)]

    def select(self, project: str, offset: int = 0, limit: int | None = None) -> Iterator[ResultRow]:
        left = limit
        below: int | None = None
        skip = max(0, offset)
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            with self._lock:
                rows = self._rows.get(project, SortedDict())
                seqs = rows.irange(maximum=below, inclusive=(True, False), reverse=True)
                page = [copy(rows[seq]) for seq in islice(seqs, skip, skip + size)]
            yield from page
            if len(page) < size:
                return
            below, skip = page[-1].seq, 0
            left = None if left is None else left - len(page)

    def since(self, seq: int, limit: int, projects: Sequence[str] | None = None) -> list[ResultRow]:
        with self._lock:
            found: list[ResultRow] = []
            for project in self._rows if projects is None else set(projects):
                rows = self._rows.get(project, SortedDict())
                found += (rows[number] for number in islice(rows.irange(seq, inclusive=(False, True)), max(0, limit)))
            found.sort(key=lambda row: row.seq)
            return [copy(row) for row in found[: max(0, limit)]]

    def count(self, project: str) -> int:
        with self._lock:
            return len(self._rows.get(project, ()))

    def counts_by_task(self, project: str, taskids: Sequence[str]) -> dict[str, tuple[int, int]]:
        with self._lock:
            known = ((taskid, self._runs.get((project, taskid))) for taskid in taskids)
            return {taskid: (run[0], run[2]) for taskid, run in known if run is not None}

    def projects(self) -> list[str]:
        with self._lock:
            return sorted(self._rows)

    def drop(self, project: str) -> int:
        with self._lock:
            for table in (self._runs, self._parts):
                for key in [key for key in table if key[0] == project]:
                    del table[key]
            return len(self._rows.pop(project, ()))

    def position(self, follower: str) -> tuple[int, int]:
        with self._lock:
            return self._positions.get(follower, (0, 0))

    def set_position(self, follower: str, seq: int, offset: int) -> None:
        with self._lock:
            self._positions[follower] = (seq, offset)

    def close(self) -> None:
        """Nothing to let go of."""
