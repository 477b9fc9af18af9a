"""Commits of the taskdb: a :class:`Writes` becomes the statements of one transaction.

Nothing is read where a key will do, and no answer is waited for where the database can check for itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.base import TaskRow, Writes
from crawlkit.database.rules import not_first, overspent
from crawlkit.database.sqlalchemy import letters, metricrows, taskrows
from crawlkit.database.sqlalchemy.engine import Database, Sender, Unsigned
from crawlkit.database.sqlalchemy.hotrows import Counters
from crawlkit.database.sqlalchemy.ownership import Ownership
from crawlkit.database.sqlalchemy.statements import KeyedDelete, Prepared, padded, upsert
from crawlkit.database.sqlalchemy.tables import (
    attempts,
    counts,
    leases,
    ledger,
    mail,
    metrics,
    nodes,
    state,
    tasks,
    ticks,
    writers,
)
from crawlkit.libs.errors import Overspent

_lease_values = attrgetter(*(column.name for column in leases.columns))
_attempt_values = attrgetter(*(column.name for column in attempts.columns))
_tick_values = attrgetter(*(column.name for column in ticks.columns))
_node_values = attrgetter(*(column.name for column in nodes.columns))
_letter_values = attrgetter(*letters.COLUMNS)

REMEMBERED = 1_000  # commits whose repetition is recognised


class _Rows(NamedTuple):
    """What is made of a commit's rows before the store is held."""

    insert: list[tuple[Any, ...]]
    replace: list[tuple[Any, ...]]
    progress: list[tuple[Any, ...]]


class _Answers(NamedTuple):
    """Of one transaction; read when it has been kept."""

    ledger: list[Any]
    counts: list[Any]
    signature: Any


class Commits:
    """Of one open store, whose row in ``writers`` is called ``writer``. One at a time."""

    def __init__(self, database: Database, writer: str, ownership: Ownership) -> None:
        self._database = database
        self._writer = writer
        self._ownership = ownership
        self.made = 0
        self._kept: dict[str, None] = {}  # the newest commits known to be kept, oldest first
        self._doubts: list[str] = []  # commits that ended in an error, and may be kept or not
        dialect = database.engine.dialect
        self._insert = upsert(tasks, dialect, keep=True)
        self._replace = taskrows.replace_statement(dialect)
        self._progress = taskrows.progress_statement(dialect)
        self._remove = KeyedDelete(tasks, dialect)
        self._unlease = KeyedDelete(leases, dialect)
        self._lease = upsert(leases, dialect)
        self._attempt = upsert(attempts, dialect)
        self._tick = upsert(ticks, dialect)
        self._node = upsert(nodes, dialect)
        self._ledger = Counters(ledger, dialect)
        self._counts = Counters(counts, dialect)
        self._set_state = upsert(state, dialect)
        self._clear_state = KeyedDelete(state, dialect)
        self._metric = upsert(metrics, dialect)
        self._sign = upsert(writers, dialect, greatest=("seq",))
        self._post = letters.posting(dialect)
        self._unpost = KeyedDelete(mail, dialect)

    def commit(self, writes: Writes) -> None:
        """See :meth:`TaskStore.commit`."""
        if not writes.id:
            self.made += 1
            writes.id = f"{self._writer}:{self.made}"
        if self._doubts:
            self._database.transact(self._resolve)
        if writes.id in self._kept:
            return
        self._doubts.append(writes.id)
        try:
            self._send(writes)
        except Unsigned:
            if not self._ownership.look_again():
                raise self._ownership.refused() from None
            self._send_again(writes)
        self._doubts.clear()
        self._remember(writes.id)

    def _send_again(self, writes: Writes) -> None:
        try:
            self._send(writes)
        except Unsigned:
            raise self._ownership.refused() from None

    def _send(self, writes: Writes) -> None:
        answers = _Answers([], [], None)
        rows = _Rows(
            list(map(taskrows.insert_values, writes.insert)),
            list(map(taskrows.replace_values, writes.replace)),
            list(map(taskrows.progress_values, writes.progress)),
        )

        def work(sender: Sender) -> None:
            nonlocal answers
            answers = self._write(sender, writes, rows)

        def check(connection: Connection) -> None:
            _check_first(connection, writes.first)
            for place, limit in writes.most.items():
                _check_count(connection, place, limit)

        self._database.send(work, check if writes.first or writes.most else None)
        self._ledger.kept(answers.ledger)
        self._counts.kept(answers.counts)
        if answers.signature is not None:
            self._ownership.signed(answers.signature)

    def _write(self, sender: Sender, writes: Writes, rows: _Rows) -> _Answers:
        def many(statement: Prepared, values: Sequence[tuple[Any, ...]]) -> None:
            if values:
                statement.many(sender, values)

        many(self._remove, writes.remove)
        many(self._insert, rows.insert)
        many(self._replace, rows.replace)
        many(self._progress, rows.progress)
        many(self._unlease, writes.unlease)
        many(self._lease, list(map(_lease_values, writes.lease)))
        many(self._attempt, list(map(_attempt_values, writes.attempts)))
        many(self._tick, list(map(_tick_values, writes.ticks)))
        many(self._node, list(map(_node_values, writes.nodes)))
        # in one order for all who commit at the same time: so nobody waits for one who waits for it
        ledger_told = self._ledger.add(sender, [(*counter, n) for counter, n in sorted(writes.ledger.items())])
        counts_told = self._counts.add(sender, [(*place, n) for place, n in sorted(writes.counts.items())])
        many(self._set_state, [(*name, text) for name, text in writes.state.items() if text is not None])
        many(self._metric, list(map(metricrows.values, writes.metrics)))
        many(self._clear_state, [name for name, text in writes.state.items() if text is None])
        many(self._unpost, [(letter,) for letter in writes.mail_taken])
        many(self._post, list(map(_letter_values, writes.mail)))
        writer, _, number = writes.id.partition(":")
        written: tuple[Any, ...] = (*writes.insert, *writes.replace, *writes.progress)
        seq = max((row.seq for row in written), default=0)
        signature = self._ownership.sign(sender, int(number), seq)
        if signature is None:
            many(self._sign, [(writer, int(number), seq)])
        return _Answers(ledger_told, counts_told, signature)

    def _resolve(self, connection: Connection) -> None:
        """Finds out what became of commits that ended in an error, before a new one covers their trace."""
        for commit in self._doubts:
            writer, _, number = commit.partition(":")
            kept = connection.execute(sa.select(writers.c.n).where(writers.c.writer == writer)).scalar()
            if kept == int(number):
                self._remember(commit)
        self._doubts.clear()

    def _remember(self, commit: str) -> None:
        self._kept[commit] = None
        if len(self._kept) > REMEMBERED:
            del self._kept[next(iter(self._kept))]

    def leave(self, connection: Connection) -> None:
        """Its own signature is only of use while somebody may repeat a commit; the largest seq is kept by another."""
        mine = connection.execute(sa.select(writers.c.seq).where(writers.c.writer == self._writer)).scalar()
        connection.execute(sa.delete(writers).where(writers.c.writer == self._writer))
        connection.exec_driver_sql(self._sign.sql, ("", 0, mine or 0))


def _check_count(connection: Connection, place: tuple[str, str], limit: int) -> None:
    project, host = place
    found = sa.select(counts.c.n).where(counts.c.project == project, counts.c.host == host)
    if (connection.execute(found).scalar() or 0) > limit:
        raise Overspent(overspent(place, limit))


def _check_first(connection: Connection, rows: Sequence[TaskRow]) -> None:
    """Behind the insert, which waits for whoever inserts the same row: then it is seen."""
    projects: defaultdict[str, dict[str, TaskRow]] = defaultdict(dict)
    for row in rows:
        projects[row.project][row.taskid] = row
    for project, mine in projects.items():
        for taskid, partition in padded(connection, tasks, project, list(mine), only=("taskid", "partition")):
            if partition != mine[taskid].partition:
                raise Overspent(not_first(mine[taskid]))
