"""The bounded part of one queue of a project that is held in memory: a prefix of what the store holds [S22].

Pure: it never reads the store; its owner asks for rows behind :attr:`Window.cursor` and hands them in.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence

from crawlkit.libs.rows import TaskRow

_SLACK = 256  # dead heap entries that are not worth a clean-up


class Window:
    """The first rows of a queue in order of (rank, seq), at most ``capacity`` of them.

    Up to the boundary :attr:`cursor` it holds every waiting row of the store; behind it, none. A row that lies behind
    the boundary is only in the store and comes by :meth:`refill`. A full window gives up its tail and moves the
    boundary back. With :attr:`complete` the store holds nothing that the window does not.

    Rows are kept as they are given, so nothing is read again when a task is chosen. Their order is that of the time of
    :meth:`add`; changing ``rank`` or ``seq`` of a row in here needs another ``add``.
    """

    __slots__ = ("_asked", "_heap", "_late", "_rows", "_stale", "_touched", "capacity", "complete", "cursor")

    def __init__(self, capacity: int = 10_000) -> None:
        if capacity < 1:
            raise ValueError(f"capacity {capacity}: use at least 1")
        self.capacity = capacity
        self.cursor: tuple[float, int] | None = None  # (rank, seq) of the boundary; None: nothing was read yet
        self.complete = False
        self._heap: list[tuple[float, int, str]] = []  # may hold dead entries; _rows says which are alive
        self._rows: dict[str, tuple[float, int, TaskRow]] = {}
        self._asked = False
        self._stale = False  # the boundary moved back since ask()
        self._touched: set[str] = set()  # since ask()
        self._late: dict[str, tuple[float, int, TaskRow]] = {}  # rows put behind the boundary since ask()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, taskid: object) -> bool:
        return taskid in self._rows

    def get(self, taskid: str) -> TaskRow | None:
        """The waiting row of that task, if it is in here."""
        entry = self._rows.get(taskid)
        return None if entry is None else entry[2]

    def rows(self) -> Iterator[TaskRow]:
        """All rows, in no order."""
        return (entry[2] for entry in self._rows.values())

    def add(self, row: TaskRow) -> None:
        """Puts a row, or puts it again with another rank. Behind the boundary it is left to the store."""
        self._put(row.rank, row.seq, row)

    def peek(self) -> TaskRow | None:
        """The first row; ``None`` when nothing is in here (see :meth:`needs_refill` for whether the store has more)."""
        heap, rows = self._heap, self._rows
        while heap:
            rank, seq, taskid = heap[0]
            entry = rows.get(taskid)
            if entry is not None and entry[1] == seq and entry[0] == rank:
                return entry[2]
            heapq.heappop(heap)
        return None

    def pop(self) -> TaskRow:
        """Takes the first row out; ``IndexError`` when there is none."""
        row = self.peek()
        if row is None:
            raise IndexError("pop from an empty window")
        taskid = heapq.heappop(self._heap)[2]
        del self._rows[taskid]
        return row

    def discard(self, taskid: str) -> bool:
        """Takes a row out, wherever it stands; False when it is not in here.

        To be called as well for a task that was popped and has ended, while a read that began before may still show it.
        """
        if self._asked:
            self._touched.add(taskid)
            self._late.pop(taskid, None)
        return self._rows.pop(taskid, None) is not None

    def needs_refill(self, low_water: int = 0) -> bool:
        """Whether fewer than ``low_water`` rows are left (with 0: none) and the store may have more."""
        return not self.complete and len(self._rows) < max(1, low_water)

    def ask(self) -> tuple[float, int] | None:
        """Says that the store is as the window knows it at this moment; returns the cursor to read behind.

        What changes from here on need not be in the rows that :meth:`refill` is then given: it wins over them. To be
        called after a commit, or when a read begins that ends later. Without it, refill takes its rows as the newest.
        """
        self._asked = True
        self._stale = False
        self._touched.clear()
        self._late.clear()
        return self.cursor

    def refill(self, rows: Sequence[TaskRow], limit: int, skip: Callable[[TaskRow], bool] | None = None) -> int:
        """Takes what the store returned for ``window(after=cursor, limit=limit)``; returns how many rows were added.

        Fewer than ``limit`` rows mean that the store has no more. Rows for which ``skip`` is true are passed over:
        those that are leased, for a leased task keeps its place in the store.
        """
        stale, touched, late = self._stale, self._touched, self._late
        self._asked = self._stale = False
        self._touched, self._late = set(), {}
        if stale:
            return 0  # rows between the new boundary and the one they were read from would be missing
        before = len(self._rows)
        heap, held = self._heap, self._rows
        for row in rows:
            taskid = row.taskid
            if taskid in held or taskid in touched or (skip is not None and skip(row)):
                continue
            held[taskid] = (row.rank, row.seq, row)
            heapq.heappush(heap, (row.rank, row.seq, taskid))
        if rows:
            self.cursor = (rows[-1].rank, rows[-1].seq)
        if len(rows) < limit:
            self.complete = True
        for rank, seq, row in late.values():
            self._put(rank, seq, row)
        if len(held) > self.capacity:
            self._evict()
        return max(0, len(self._rows) - before)

    def clear(self) -> None:
        """Forgets everything, as before the first refill."""
        self.cursor, self.complete = None, False
        self._heap.clear()
        self._rows.clear()
        self._late.clear()
        self._stale = True

    def _put(self, rank: float, seq: int, row: TaskRow) -> None:
        taskid = row.taskid
        rows = self._rows
        if self._asked:
            self._touched.add(taskid)
            self._late.pop(taskid, None)
        if not self.complete and (self.cursor is None or (rank, seq) > self.cursor):
            rows.pop(taskid, None)
            if self._asked and not self._stale:
                self._late[taskid] = (rank, seq, row)
                if len(self._late) > self.capacity:
                    self._give_up_asking()
            return
        rows[taskid] = (rank, seq, row)
        heapq.heappush(self._heap, (rank, seq, taskid))
        if len(rows) > self.capacity:
            self._evict()
        elif len(self._heap) > 2 * len(rows) + _SLACK:
            self._heap = [(r, s, name) for name, (r, s, _) in rows.items()]
            heapq.heapify(self._heap)

    def shrink(self, keep: int) -> list[TaskRow]:
        """Gives up the tail, so that at most ``keep`` rows (and one) are left, and moves the boundary back to them.

        Returns the rows that are only in the store from now on.
        """
        keep = max(1, keep)
        if len(self._rows) <= keep:
            return []
        ordered = sorted((rank, seq, taskid) for taskid, (rank, seq, _) in self._rows.items())
        gone = [self._rows.pop(taskid)[2] for _, _, taskid in ordered[keep:]]
        self._heap = ordered[:keep]
        rank, seq, _ = self._heap[-1]
        self.cursor = (rank, seq)
        self.complete = False
        self._give_up_asking()
        return gone

    def _evict(self) -> None:
        """Gives up the last quarter, so that the next adds are cheap again."""
        self.shrink(self.capacity - self.capacity // 4)

    def _give_up_asking(self) -> None:
        self._late.clear()
        self._stale = self._asked
