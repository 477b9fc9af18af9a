"""The resultdb in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from copy import copy
from itertools import islice

from sortedcontainers import SortedDict  # type: ignore[import-untyped]

from crawlkit.database.base import SEARCH_SECONDS, Key, ResultPage, ResultRow, ResultSearch, ResultSet
from crawlkit.database.memory.sinkbook import MemorySinkBook
from crawlkit.database.rules import whole_set
from crawlkit.database.searching import result_fits
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.result_key import REPLACE

PAGE = 500  # rows read under one hold of the lock


class MemoryResultStore(MemorySinkBook):
    """A :class:`~crawlkit.database.base.ResultStore` and a :class:`~crawlkit.database.base.SinkBook`."""

    def __init__(self) -> None:
        super().__init__(threading.RLock())
        self._seq = 0
        self._rows: dict[str, SortedDict] = {}  # project -> seq -> ResultRow
        self._runs: dict[Key, tuple[int, int, int, int]] = {}  # (run, seq of the first, how many, known of them)
        self._keys: dict[tuple[str, str], tuple[str, int, int]] = {}  # (project, key) -> (taskid, run, seq)
        self._keyed: dict[Key, set[str]] = {}  # task -> keys of its results
        self._parts: dict[Key, dict[int, ResultSet]] = {}  # of the newest run and attempt, by first
        self._positions: dict[str, tuple[int, int]] = {}

    def save(self, sets: Sequence[ResultSet]) -> list[int]:
        with self._lock:
            return [self._save(part) for part in sets]

    def _save(self, part: ResultSet) -> int:
        if not part.results and not part.last:
            return 0
        key = (part.project, part.taskid)
        visible = self._runs.get(key)
        if visible is not None and visible[0] >= part.run:
            return visible[3] if visible[0] == part.run and part.last else 0
        staged = self._parts.get(key)
        if staged:
            known = next(iter(staged.values()))
            if (known.run, known.attempt) > (part.run, part.attempt):
                return 0
            if (known.run, known.attempt) < (part.run, part.attempt):
                staged = None
        staged = {} if staged is None else staged
        staged[part.first] = copy(part)
        whole = whole_set(staged.values())
        if whole is None:
            self._parts[key] = staged
            return 0
        self._parts.pop(key, None)
        return self._show(key, part.run, whole)

    def _show(self, task: Key, run: int, whole: list[ResultSet]) -> int:
        """Makes a set visible; returns how many of its results were not kept for their key."""
        project, policy = task[0], whole[-1].key_policy
        rows = self._rows.setdefault(project, SortedDict())
        self._remove_run(task, rows, keep_keyed=bool(policy))
        first, n, ignored = self._seq + 1, 0, 0
        for part in whole:
            keys = part.keys if policy and part.keys else [""] * len(part.results)
            for text, key in zip(part.results, keys, strict=True):
                self._seq += 1
                owner = self._keys.get((project, key)) if key else None
                if owner is not None and policy != REPLACE:
                    ignored += 1
                else:
                    if owner is not None:
                        del rows[owner[2]]
                        self._forget_key(project, key)
                    if key:
                        self._keys[project, key] = (task[1], run, self._seq)
                        self._keyed.setdefault(task, set()).add(key)
                    rows[self._seq] = ResultRow(*task, run, n, part.url, text, part.updatetime, self._seq)
                n += 1
        self._runs[task] = (run, first, n, ignored)
        if not rows:
            del self._rows[project]
        return ignored

    def _remove_run(self, task: Key, rows: SortedDict, keep_keyed: bool) -> None:
        """Removes what the task has: the rows of its visible run, and those with keys unless these stay."""
        _, first, count, _ = self._runs.get(task, (0, 0, 0, 0))
        keyed = {self._keys[task[0], key][2] for key in self._keyed.get(task, ())}
        gone = set(range(first, first + count))
        for seq in gone - keyed if keep_keyed else gone | keyed:
            rows.pop(seq, None)
        if not keep_keyed:
            for key in list(self._keyed.get(task, ())):
                self._forget_key(task[0], key)

    def _forget_key(self, project: str, key: str) -> None:
        taskid = self._keys.pop((project, key))[0]
        self._keyed[project, taskid].discard(key)

    def known_keys(self, project: str, taskid: str, run: int, keys: Sequence[str]) -> set[str]:
        with self._lock:
            owners = {key: self._keys.get((project, key)) for key in keys if key}
        return {key for key, owner in owners.items() if owner is not None and owner[:2] != (taskid, run)}

    def get(self, project: str, taskid: str) -> list[ResultRow]:
        task = (project, taskid)
        with self._lock:
            _, first, count, _ = self._runs.get(task, (0, 0, 0, 0))
            rows = self._rows.get(project, SortedDict())
            seqs = set(range(first, first + count))
            seqs |= {self._keys[project, key][2] for key in self._keyed.get(task, ())}
            return [copy(rows[seq]) for seq in sorted(seqs) if seq in rows]

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

    def find(
        self, search: ResultSearch, after: int | None = None, limit: int = 100, budget: float = SEARCH_SECONDS
    ) -> ResultPage:
        deadline = SystemClock.monotonic() + budget
        fits = result_fits(search)
        found: list[ResultRow] = []
        looked = 0
        while page := self._stretch(search, after):
            for row in page:
                looked += 1
                after = row.seq
                if fits is None or fits(row):
                    found.append(copy(row))
                    if len(found) >= limit:
                        return ResultPage(found, after if self._stretch(search, after) else None, looked)
            if len(page) < PAGE:
                break
            if SystemClock.monotonic() > deadline:
                return ResultPage(found, after, looked)
        return ResultPage(found, None, looked)

    def _stretch(self, search: ResultSearch, after: int | None) -> list[ResultRow]:
        """The next rows of a project behind ``after``."""
        with self._lock:
            rows = self._rows.get(search.project, SortedDict())
            ends = (after, None) if search.oldest_first else (None, after)
            seqs = rows.irange(*ends, inclusive=(False, False), reverse=not search.oldest_first)
            return [rows[seq] for seq in islice(seqs, PAGE)]

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
            for table in (self._runs, self._parts, self._keys, self._keyed):
                for key in [key for key in table if key[0] == project]:
                    del table[key]
            return len(self._rows.pop(project, ()))

    def drop_some(self, project: str, limit: int) -> int:
        return self.drop(project)  # memory is quick

    def newest(self) -> int:
        with self._lock:
            return self._seq

    def behind(self, project: str, seq: int) -> int:
        with self._lock:
            rows = self._rows.get(project, SortedDict())
            return len(rows) - int(rows.bisect_right(seq))

    def position(self, follower: str) -> tuple[int, int]:
        with self._lock:
            return self._positions.get(follower, (0, 0))

    def set_position(self, follower: str, seq: int, offset: int) -> None:
        with self._lock:
            self._positions[follower] = (seq, offset)

    def close(self) -> None:
        """Nothing to let go of."""
