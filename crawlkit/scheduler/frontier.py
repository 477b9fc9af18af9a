"""The ready tasks of a project, host first and then priority: who waits for a host is in nobody's way.

Pure: it never reads the store and asks nobody's limits; its owner hands in rows and says which host may be asked.

The main line is a :class:`Window` in order of (rank, seq). What comes to its head and may not be asked now is put on
the shelf of its host and competes again when the host is free; as long as nothing is limited there are no shelves, and
this is the window and nothing else. A shelf that grows too long stands *apart*: it keeps a short prefix of its host's
rows and is refilled by host, and the main line passes that host over. When nearly all that the main line reads is
passed over, the other hosts are looked up by name, and each of them stands apart: see :attr:`Frontier.scan`.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from crawlkit.libs.rows import TaskRow
from crawlkit.scheduler.task_queue import Window

SHELF = 512  # rows of one host that wait in memory before it stands apart
PAGE = 64  # rows read at a time for a host that stands apart
LOW = 16  # rows left to it when the next page is read
MOVES = 5_000  # rows that one look puts aside; the rest is for the next one
PASSED = 8  # a page of which less than one in so many was kept makes the hosts be looked up by name
MIN_SHELVES = 64
_SLACK = 256  # dead heap entries that are not worth a clean-up

Asks = Callable[[str], bool]  # whether that host may be asked now
Skip = Callable[[TaskRow], bool]


class Shelf:
    """The rows of one host that are not in the main line."""

    __slots__ = ("apart", "open", "rows")

    def __init__(self) -> None:
        self.rows = Window(sys.maxsize)
        self.rows.complete = True  # what it is given, it takes
        self.apart = False  # it has a boundary of its own; else it is a part of the main line
        self.open = False  # the host may be asked, as far as is known


class Frontier:
    """The first ready rows of a project, at most about ``capacity`` of them in memory.

    Every waiting row of the store up to :attr:`cursor` is in here, except those of hosts that stand apart; of such a
    host every row up to the boundary of its shelf is. No row is in here twice.

    ``closed`` is called with each host whose rows begin to wait for it; who learns that it is free calls :meth:`free`.
    """

    def __init__(self, capacity: int = 10_000, closed: Callable[[str], object] | None = None) -> None:
        if capacity < 1:
            raise ValueError(f"capacity {capacity}: use at least 1")
        self.capacity = capacity
        self.share = capacity // 2  # with fewer rows, hosts that stand apart are read on before their rows are used up
        self.scan: str | None = None  # hosts are looked up by name, behind this one ("": all); None: they are not
        self._closed = closed
        self._main = Window(sys.maxsize)
        self._shelves: dict[str, Shelf] = {}
        self._on: dict[str, str] = {}  # taskid -> the host on whose shelf it is
        self._open: list[tuple[float, int, str]] = []  # heads of open shelves; may hold dead entries
        self._hungry: dict[str, None] = {}  # hosts apart that are open and run low
        self._offered = 0  # rows on shelves that are open and not apart
        self._by_host = False  # every host with rows behind the cursor stands apart: the main line need not go on
        self._unmoved = False  # the last look stopped before its end
        self._host = ""  # of the main line, as far as it has only one
        self._mixed = False  # it had rows of several hosts since it was empty last

    # -- what is in here ---------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._main) + len(self._on)

    def __contains__(self, taskid: object) -> bool:
        return taskid in self._on or taskid in self._main

    @property
    def cursor(self) -> tuple[float, int] | None:
        """The boundary of the main line."""
        return self._main.cursor

    @property
    def complete(self) -> bool:
        """Whether the store holds nothing that this does not."""
        if not (self._main.complete or self._by_host):
            return False
        return all(shelf.rows.complete for shelf in self._shelves.values())

    @property
    def shelves(self) -> int:
        """Hosts whose rows are not all in the main line."""
        return len(self._shelves)

    def others(self, host: str) -> bool:
        """Whether rows of other hosts are known, as far as can be said at once; True when there may be some.

        Rows without a host do not count.
        """
        if self._mixed and not len(self._main):
            self._mixed, self._host = False, ""
        if self._mixed or self._host not in ("", host):
            return True
        return len(self._shelves) > 2 or any(name not in ("", host) for name in self._shelves)

    def get(self, taskid: str) -> TaskRow | None:
        """The waiting row of that task, if it is in here."""
        host = self._on.get(taskid)
        return self._main.get(taskid) if host is None else self._shelves[host].rows.get(taskid)

    def rows(self) -> Iterator[TaskRow]:
        """All rows, in no order."""
        yield from self._main.rows()
        for shelf in self._shelves.values():
            yield from shelf.rows.rows()

    # -- rows come and go --------------------------------------------------------------------------------------------

    def add(self, row: TaskRow) -> None:
        """Puts a row, or puts it again with another rank. Behind the boundary it is left to the store."""
        if self._shelves or self._by_host or self.scan is not None:
            self._add_by_host(row)
        else:
            self._main.add(row)
        if row.host != self._host:
            self._meet(row)
        if len(self) > self.capacity:
            self.shrink(self.capacity - self.capacity // 4)

    def _meet(self, row: TaskRow) -> None:
        """A row of another host than the last one came."""
        if not row.host or self._mixed:
            return
        self._mixed = self._host != "" and len(self._main) > 0
        self._host = row.host

    def _add_by_host(self, row: TaskRow) -> None:
        taskid = row.taskid
        if taskid in self._on:
            self._take_off(taskid)
        shelf = self._shelves.get(row.host)
        if (shelf is None or not shelf.apart) and self._left_out(row):
            shelf = self._stand_apart(row.host)
        if shelf is not None and shelf.apart:
            self._main.discard(taskid)
            self._put(row.host, shelf, row)
        else:
            self._main.add(row)

    def _left_out(self, row: TaskRow) -> bool:
        """Whether the main line would leave a row to the store, and may never read it there."""
        if not self._by_host and self.scan is None:
            return False
        cursor = self._main.cursor
        return not self._main.complete and (cursor is None or (row.rank, row.seq) > cursor)

    def discard(self, taskid: str) -> bool:
        """Takes a row out, wherever it stands; False when it is not in here."""
        held = taskid in self._on
        if held:
            self._take_off(taskid)
        return self._main.discard(taskid) or held

    def take(self, row: TaskRow) -> None:
        """Takes out what :meth:`peek` returned."""
        if row.taskid in self._on:
            self._take_off(row.taskid)
        elif self._main.peek() is row:
            self._main.pop()
        else:
            self._main.discard(row.taskid)

    def peek(self, asks: Asks | None = None) -> TaskRow | None:
        """The first row whose host may be asked. ``None``: nothing in here (see :meth:`wants`) may be sent now.

        ``asks`` is not asked again about a host of which it said no, before :meth:`free` is called with it.
        """
        row = self._main.peek()
        self._unmoved = False
        if not self._shelves:
            if row is None or asks is None or asks(row.host):
                return row
            self.close(row.host)
        moves = 0
        while row is not None:
            host = row.host
            shelf = self._shelves.get(host)
            if shelf is None or (shelf.open and not shelf.apart):
                if asks is None or asks(host):
                    break
                shelf = self.close(host)
            if moves >= MOVES:
                self._unmoved, row = True, None
                break
            moves += 1
            self._main.pop()
            self._put(host, shelf, row)
            if not shelf.apart and len(shelf.rows) > SHELF and not self._main.complete:
                self._stand_apart(host)
            row = self._main.peek()
        best = self._best(asks)
        if best is None or (row is not None and (row.rank, row.seq) < (best.rank, best.seq)):
            return row
        return best

    def _best(self, asks: Asks | None) -> TaskRow | None:
        """The first row on a shelf whose host may be asked."""
        line = self._open
        while line:
            rank, seq, host = line[0]
            shelf = self._shelves.get(host)
            head = shelf.rows.peek() if shelf is not None and shelf.open else None
            if head is not None and head.seq == seq and head.rank == rank:
                if asks is None or asks(host):
                    return head
                self.close(host)
            heapq.heappop(line)
        return None

    # -- hosts -------------------------------------------------------------------------------------------------------

    def close(self, host: str, *, tell: bool = True) -> Shelf:
        """The host may not be asked now, until :meth:`free`. ``tell``: ``closed`` is to be called."""
        shelf = self._shelves.get(host)
        if shelf is None:
            shelf = self._shelves[host] = Shelf()
        elif shelf.open and not shelf.apart:
            self._offered -= len(shelf.rows)
        shelf.open = False
        self._hungry.pop(host, None)
        if tell and self._closed is not None:
            self._closed(host)
        return shelf

    def free(self, host: str) -> bool:
        """The host may be asked again; False when nothing waits for it here."""
        shelf = self._shelves.get(host)
        if shelf is None:
            return False
        if not shelf.open:
            shelf.open = True
            if not shelf.apart:
                self._offered += len(shelf.rows)
            self._show(host, shelf)
            self._settle(host, shelf)
        return True

    def _stand_apart(self, host: str) -> Shelf:
        """From now on the host's rows are read by host, behind those that are in here."""
        shelf = self._shelves.get(host)
        if shelf is None:
            shelf = self._shelves[host] = Shelf()
            shelf.open = True
        if shelf.apart:
            return shelf
        if shelf.open:
            self._offered -= len(shelf.rows)
        shelf.apart = True
        shelf.rows.complete, shelf.rows.cursor = self._main.complete, self._main.cursor
        if len(shelf.rows) > SHELF:
            self._cut(shelf, SHELF // 2)
        if len(self._shelves) > self._most:
            self.scan, self._by_host = None, False  # too many to know them all: the main line goes on
        self._show(host, shelf)
        self._settle(host, shelf)
        return shelf

    @property
    def _most(self) -> int:
        return max(MIN_SHELVES, self.capacity // 4)

    def _put(self, host: str, shelf: Shelf, row: TaskRow) -> None:
        shelf.rows.add(row)
        if row.taskid not in shelf.rows:
            self._settle(host, shelf)  # behind its boundary
            return
        self._on[row.taskid] = host
        if shelf.open:
            self._offered += not shelf.apart
            if shelf.rows.peek() is row:
                self._show(host, shelf)

    def _take_off(self, taskid: str) -> None:
        host = self._on.pop(taskid)
        shelf = self._shelves[host]
        if shelf.rows.peek() is shelf.rows.get(taskid):
            shelf.rows.pop()
        else:
            shelf.rows.discard(taskid)
        if shelf.open:
            self._offered -= not shelf.apart
            self._show(host, shelf)
        self._settle(host, shelf)

    def _show(self, host: str, shelf: Shelf) -> None:
        """The head of an open shelf takes part."""
        head = shelf.rows.peek() if shelf.open else None
        if head is None:
            return
        heapq.heappush(self._open, (head.rank, head.seq, host))
        if len(self._open) > 2 * len(self._shelves) + _SLACK:
            heads = ((shelf.rows.peek(), host) for host, shelf in self._shelves.items() if shelf.open)
            self._open = [(row.rank, row.seq, host) for row, host in heads if row is not None]
            heapq.heapify(self._open)

    def _settle(self, host: str, shelf: Shelf) -> None:
        """What follows from the number of rows that are left."""
        if not len(shelf.rows) and (shelf.rows.complete or not shelf.apart):
            self._shelves.pop(host, None)
            self._hungry.pop(host, None)
            if not self._shelves and self._by_host:
                self._by_host, self._main.complete = False, True
        elif shelf.apart and shelf.open and shelf.rows.needs_refill(LOW if len(self) < self.share else 1):
            self._hungry[host] = None  # what is read when memory is full pushes other rows out

    # -- reading -----------------------------------------------------------------------------------------------------

    def needs_refill(self, low_water: int = 0) -> bool:
        """Whether the main line is to be read on: fewer than ``low_water`` rows are left (with 0: none)."""
        if self._main.complete or self._by_host or self.scan is not None:
            return False
        if len(self._shelves) > self.capacity // 2:
            return False  # so many hosts wait that there is no room to look for more of them
        return len(self._main) + self._offered < max(1, low_water)

    def wants(self) -> bool:
        """Whether something is to be read, or looked at, before anybody waits for anything else."""
        return self._unmoved or self.scan is not None or bool(self._hungry) or self.needs_refill()

    def refill(self, rows: Sequence[TaskRow], limit: int, skip: Skip | None = None) -> int:
        """Takes what the store returned for ``window(after=cursor, limit=limit)``; returns how many rows were added.

        The store must be as the frontier knows it: read and handed in before anything changes. Rows for which ``skip``
        is true are passed over: those that are leased, for a leased task keeps its place in the store.
        """
        shelves, on = self._shelves, self._on

        def passed(row: TaskRow) -> bool:
            if row.taskid in on or (skip is not None and skip(row)):
                return True
            shelf = shelves.get(row.host)
            return shelf is not None and shelf.apart

        added = self._main.refill(rows, limit, passed if shelves else skip)
        if not self._mixed:
            for row in rows:
                if row.host != self._host:
                    self._meet(row)
        if self._main.complete:
            self.scan = None
        elif shelves and added * PASSED < len(rows) and len(shelves) < self._most:
            self.scan = ""
        if len(self) > self.capacity:
            self.shrink(self.capacity - self.capacity // 4)
        return added

    def hungry(self, most: int) -> list[tuple[str, tuple[float, int] | None]]:
        """Hosts to be read, and behind which (rank, seq): see :meth:`refill_host`."""
        return [(host, self._shelves[host].rows.cursor) for host in islice(self._hungry, most)]

    def refill_host(
        self,
        host: str,
        after: tuple[float, int] | None,
        rows: Sequence[TaskRow],
        limit: int,
        skip: Skip | None = None,
    ) -> None:
        """Takes what the store returned for ``window(after=after, limit=limit, host=host)``, as :meth:`refill` does."""
        shelf = self._shelves.get(host)
        if shelf is None or not shelf.apart or shelf.rows.cursor != after:
            return  # what was read for another host has pushed rows of this one out: it is read again
        self._hungry.pop(host, None)
        main, on = self._main, self._on

        def passed(row: TaskRow) -> bool:
            return row.taskid in main or row.taskid in on or (skip is not None and skip(row))

        shelf.rows.refill(rows, limit, passed)
        for row in rows:
            if row.taskid in shelf.rows:
                on[row.taskid] = host
        self._show(host, shelf)
        self._settle(host, shelf)
        if len(self) > self.capacity:
            self.shrink(self.capacity - self.capacity // 4)

    def reveal(self, hosts: Sequence[str], limit: int, own: Callable[[str], bool] | None = None) -> None:
        """Takes what the store returned for ``hosts(after=scan or None, limit=limit)``: each of them stands apart.

        ``limit`` is at least 2, for the first of them may have the name "". ``own``: whose rows belong here.
        """
        if self.scan is None:
            return
        self.scan = hosts[-1] if hosts else self.scan
        for host in hosts if own is None else filter(own, hosts):
            self._stand_apart(host)
            if self.scan is None:
                return
        if len(hosts) < limit:
            self.scan = None
            self._by_host = True
            if not self._shelves:
                self._by_host, self._main.complete = False, True

    # -- room --------------------------------------------------------------------------------------------------------

    def shrink(self, target: int) -> None:
        """Gives up rows until about ``target`` are left: first of the longest shelves, then the tail."""
        excess = len(self) - target
        if excess <= 0:
            return
        for keep in (LOW, 1):
            for host in sorted(self._shelves, key=lambda host: -len(self._shelves[host].rows)):
                size = len(self._shelves[host].rows)
                if size <= keep or excess <= 0:
                    break
                shelf = self._stand_apart(host)
                self._cut(shelf, max(keep, size - excess))
                self._settle(host, shelf)
                excess = len(self) - target
        if excess <= 0 or not len(self._main):
            return
        gone = self._main.shrink(max(1, len(self._main) - excess))
        if not gone:
            return
        self.scan, self._by_host = None, False  # what lies behind the boundary now is of any host
        for host, shelf in list(self._shelves.items()):
            if not shelf.apart:
                self._go_back(host, shelf)
        for row in gone:
            apart = self._shelves.get(row.host)
            if apart is not None and apart.apart:  # it counts on the main line for this row
                self._put(row.host, apart, row)

    def _go_back(self, host: str, shelf: Shelf) -> None:
        """Gives up what lies behind the boundary of the main line, which has moved back."""
        cursor = self._main.cursor
        for row in list(shelf.rows.rows()):
            if cursor is None or (row.rank, row.seq) > cursor:
                self._take_off(row.taskid)

    def _cut(self, shelf: Shelf, keep: int) -> None:
        for row in shelf.rows.shrink(keep):
            del self._on[row.taskid]
