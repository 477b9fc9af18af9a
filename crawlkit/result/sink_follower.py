"""One sink follows the resultdb: every result is in exactly one of its batches, whoever dies when.

Which results a batch has is written down (under a fence) before the sink gets it, and that it is done afterwards. Who
takes over from a dead process finishes the batch that was begun, under the same name: so a batch that was written
twice is there once. A process that was believed dead can write nothing but such a batch, and move nothing.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from crawlkit.database.base import ResultStore, SinkBook
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.libs.holders import has_ended, machine, own_process
from crawlkit.libs.rows import ResultRow, SinkProgress, SinkRow
from crawlkit.result.sink_url import SinkURL
from crawlkit.result.sinks import Batch, Sink, limits_of

log = logging.getLogger("crawlkit.sinks")

PAGE = 500  # rows a query
KEEP = 16 * 2**20  # bytes of results that wait in memory, of all projects; the rest is read again
LOOK = 1.0  # seconds between looks for new results
LEASE = 15.0  # seconds without a sign of life after which a holder counts as dead
FIRST_DELAY, LAST_DELAY = 1.0, 60.0  # seconds between tries of what does not work


class Holder(Struct):
    """Who serves a sink; ``machine``, ``pid`` and ``began``: by which others on the same machine see its death."""

    node: str
    machine: str
    pid: int
    began: float
    id: str  # of one follower in it

    def has_died(self) -> bool:
        return bool(self.machine) and self.machine == machine() and has_ended(self.pid, self.began)


class _Lost(Exception):
    """Somebody else holds the sink now."""


class _Waiting:
    """What of one project is in no file yet."""

    def __init__(self, progress: SinkProgress) -> None:
        self.progress = progress
        self.tries = 0  # that did not work, in a row
        self.not_before = 0.0  # monotonic
        self.upto = -1  # number of the newest result when this project was looked at to its end
        self.clear()

    def clear(self) -> None:
        """Begins behind the last finished batch."""
        self.seen = self.progress.seq
        self.first = self.count = self.size = 0
        self.oldest = 0.0
        self.rows: list[ResultRow] | None = []  # None: too many to be kept

    def add(self, row: ResultRow) -> None:
        if not self.count:
            self.first, self.oldest = row.seq, row.updatetime
        self.seen = row.seq
        self.count += 1
        self.size += len(row.result)
        if self.rows is not None:
            self.rows.append(row)


class SinkFollower:
    """Blocks: one thread calls :meth:`look` again and again; :meth:`renew` and :meth:`let_go` any thread."""

    def __init__(
        self, resultdb: ResultStore, book: SinkBook, sink: Sink, url: SinkURL, *, node: str, clock: Clock
    ) -> None:
        self.url = url
        self.held = False
        self._resultdb = resultdb
        self._book = book
        self._sink = sink
        self._clock = clock
        self._limits = limits_of(sink, url)
        self._me = Holder(node, machine(), *own_process(), uuid.uuid4().hex)
        self._row = SinkRow(url.id, url.shown, os.urandom(4).hex(), made=clock.time())
        self._waiting: dict[str, _Waiting] = {}
        self._newest = -1  # number of the newest result when the list of projects was read
        self._kept = 0  # bytes
        self._trouble = False

    def look(self, *, to_the_end: bool = False) -> float:
        """Takes the sink if nobody has it, and writes the batches that are due; returns seconds until the next look.

        ``to_the_end``: also those that could wait. Raises :class:`StoreUnavailable` when the resultdb does not answer.
        """
        try:
            if not self.held and not self._take():
                return LOOK
            return self._turn(to_the_end)
        except _Lost:
            log.info("sink %s: another process serves it now", self.url.shown)
            self._forget()
            return LOOK

    def renew(self) -> None:
        """Says that the holder lives. Raises :class:`StoreUnavailable`."""
        if self.held and not self._sign_off(LEASE):
            self.held = False  # the next look begins anew

    def let_go(self) -> None:
        """The next process need not wait. Raises :class:`StoreUnavailable`."""
        if self.held:
            self.held = False
            self._sign_off(0)

    def _sign_off(self, seconds: float) -> bool:
        until = self._clock.time() + seconds if seconds else 0
        return self._book.hold_sink(self._row.sink, self._row.fence, until, self._row.error)

    # -- whose it is -------------------------------------------------------------------------------------------------

    def _take(self) -> bool:
        known = next((row for row in self._book.sinks() if row.sink == self.url.id), self._row)
        now = self._clock.time()
        if known.until > now and known.holder and not _holder(known.holder, self._me).has_died():
            return False
        mine = msgspec.structs.replace(
            known, url=self.url.shown, holder=msgspec.json.encode(self._me).decode(), until=now + LEASE
        )
        taken = self._book.take_sink(mine)
        if taken is None:
            return False
        self._forget()
        self._row, self.held = taken, True
        self._waiting = {found.project: _Waiting(found) for found in self._book.sink_progress(taken.sink)}
        return True

    def _forget(self) -> None:
        self.held = False
        self._waiting, self._newest, self._kept = {}, -1, 0

    # -- what is due -------------------------------------------------------------------------------------------------

    def _turn(self, to_the_end: bool) -> float:
        now = self._clock.monotonic()
        more = False
        newest = self._book.newest()
        if newest != self._newest:
            for project in self._resultdb.projects():
                self._waiting.setdefault(project, _Waiting(SinkProgress(self._row.sink, project)))
            self._newest = newest
        for waiting in self._waiting.values():
            if not self.held:
                raise _Lost
            if waiting.not_before <= now or to_the_end:
                more |= self._work(waiting, newest, to_the_end)
        self._tell()
        return 0.0 if more else min(LOOK, max(0.05, self._limits.age / 4))

    def _work(self, waiting: _Waiting, newest: int, to_the_end: bool) -> bool:
        """At most one batch of a project; whether there may be more to do at once."""
        if waiting.progress.last:  # begun by a process that died, or did not work
            return self._finish(waiting, None)
        full = False
        if waiting.upto != newest:
            full = self._fill(waiting)
            if not full:
                waiting.upto = newest
        due = waiting.count and (to_the_end or self._clock.time() - waiting.oldest >= self._limits.age)
        if not (full or due):
            return False
        return self._begin(waiting) and full

    def _fill(self, waiting: _Waiting) -> bool:
        """Looks at what is new; ``True`` when it is enough for a batch, and there may be more behind."""
        while True:
            if self._is_full(waiting):
                return True
            size = min(PAGE, self._limits.rows - waiting.count)
            rows = self._resultdb.since(waiting.seen, size, [waiting.progress.project])
            before = waiting.size
            for row in rows:
                waiting.add(row)
                if self._is_full(waiting):
                    break
            if waiting.rows is not None:
                self._kept += waiting.size - before
                if self._kept > KEEP:
                    self._kept -= waiting.size
                    waiting.rows = None
            if self._is_full(waiting):
                return True
            if len(rows) < size:
                return False
            if not self.held:
                raise _Lost

    def _is_full(self, waiting: _Waiting) -> bool:
        return waiting.count >= self._limits.rows or waiting.size >= self._limits.size

    # -- a batch -----------------------------------------------------------------------------------------------------

    def _begin(self, waiting: _Waiting) -> bool:
        begun = msgspec.structs.replace(waiting.progress, first=waiting.first, last=waiting.seen)
        self._move(waiting, begun)
        return self._finish(waiting, waiting.rows)

    def _finish(self, waiting: _Waiting, rows: list[ResultRow] | None) -> bool:
        """Gives the sink the batch that was begun; whether it took it."""
        begun = waiting.progress
        project, first, last = begun.project, begun.first, begun.last
        batch = Batch(
            project,
            self._row.series,
            self._row.fence,
            first,
            last,
            lambda: iter(rows) if rows is not None else self._stored(project, first, last),
            again=rows is None or bool(waiting.tries),
        )
        try:
            size = self._sink.write(batch)
        except Exception as error:  # a sink may be anybody's, and the results are safe where they are
            self._failed(waiting, error)
            return False
        waiting.tries = 0
        done = msgspec.structs.replace(
            begun, seq=last, first=0, last=0, files=begun.files + bool(batch.count),
            results=begun.results + batch.count, size=begun.size + (size or 0), updated=self._clock.time(), error="",
        )  # fmt: skip
        self._move(waiting, done)
        if waiting.rows is not None:
            self._kept -= waiting.size
        waiting.clear()
        return True

    def _stored(self, project: str, first: int, last: int) -> Iterator[ResultRow]:
        seq = first - 1
        while rows := self._resultdb.since(seq, PAGE, [project]):
            for row in rows:
                if row.seq > last:
                    return
                yield row
            seq = rows[-1].seq

    def _move(self, waiting: _Waiting, progress: SinkProgress) -> None:
        if not self._book.move_sink(self._row.fence, progress):
            raise _Lost
        waiting.progress = progress

    def _failed(self, waiting: _Waiting, error: Exception) -> None:
        said = " ".join((str(error) or repr(error)).split())[:1_000]
        if not isinstance(error, StoreUnavailable):
            said = f"{type(error).__name__}: {said}"
        log.log(
            logging.DEBUG if self._trouble else logging.WARNING,
            "sink %s: %s; the results of %s are in the resultdb, and it is tried again",
            self.url.shown, said, waiting.progress.project,
        )  # fmt: skip
        self._trouble = True
        if waiting.rows is not None:
            self._kept -= waiting.size
        waiting.clear()
        waiting.upto = -1
        delay = min(LAST_DELAY, FIRST_DELAY * 2 ** min(waiting.tries, 10))
        waiting.tries += 1
        waiting.not_before = self._clock.monotonic() + delay
        self._move(waiting, msgspec.structs.replace(waiting.progress, error=said))

    def _tell(self) -> None:
        """Writes down what does not work, when that has changed."""
        error = next((w.progress.error for w in self._waiting.values() if w.progress.error), "")
        if self._trouble and not error:
            self._trouble = False
            log.info("sink %s: the trouble is over: going on", self.url.shown)
        if error != self._row.error:
            self._row.error = error
            if not self._sign_off(LEASE):
                raise _Lost


def _holder(text: str, unknown: Holder) -> Holder:
    try:
        return msgspec.json.decode(text, type=Holder)
    except msgspec.DecodeError:
        return unknown
