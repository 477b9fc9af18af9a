"""The taskdb in SQL. Stores what it is given and decides nothing.

Every statement is compiled once; rows go to the driver as plain tuples, many at a time.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.base import (
    SEARCH_SECONDS,
    AttemptRow,
    Books,
    FailurePage,
    Key,
    Lease,
    NodeRow,
    Owner,
    Place,
    Queue,
    TaskPage,
    TaskRow,
    TaskSearch,
    TickRow,
    Writes,
)
from crawlkit.database.carrying import Carrier
from crawlkit.database.rules import url_matcher
from crawlkit.database.sqlalchemy import metricrows, taskdrop, taskrows
from crawlkit.database.sqlalchemy.engine import Database
from crawlkit.database.sqlalchemy.ownership import Ownership
from crawlkit.database.sqlalchemy.schema import prepare
from crawlkit.database.sqlalchemy.statements import KeyedDelete, Prepared, distinct, padded, upsert
from crawlkit.database.sqlalchemy.tables import (
    attempts,
    counts,
    leases,
    ledger,
    metrics,
    nodes,
    state,
    tasks,
    ticks,
    writers,
)
from crawlkit.database.sqlalchemy.taskrows import read_task
from crawlkit.database.sqlalchemy.tasksearch import TaskSearcher
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.libs.metrics import MetricRow
from crawlkit.libs.rows import QUEUED
from crawlkit.libs.task import Status

_lease_values = attrgetter(*(column.name for column in leases.columns))
_attempt_values = attrgetter(*(column.name for column in attempts.columns))
_tick_values = attrgetter(*(column.name for column in ticks.columns))
_node_values = attrgetter(*(column.name for column in nodes.columns))


REMEMBERED = 1_000  # commits whose repetition is recognised


class _Rows(NamedTuple):
    """What is made of a commit's rows before the store is held."""

    insert: list[tuple[Any, ...]]
    replace: list[tuple[Any, ...]]
    progress: list[tuple[Any, ...]]


class SqlTaskStore:
    """A :class:`~crawlkit.database.base.TaskStore`."""

    def __init__(self, database: Database) -> None:
        prepare(database)
        self._database = database
        self._writer = uuid.uuid4().hex
        self._commits = 0
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
        self._count = upsert(ledger, dialect, add=("n",))
        self._count_host = upsert(counts, dialect, add=("n",))
        self._set_state = upsert(state, dialect)
        self._clear_state = KeyedDelete(state, dialect)
        self._metric = upsert(metrics, dialect)
        self._unmetric = KeyedDelete(metrics, dialect)
        self._sign = upsert(writers, dialect, greatest=("seq",))
        self._ownership = Ownership(database, self._writer)
        self._searcher = TaskSearcher(database)
        self._window = {
            (behind, host): Prepared(partial(taskrows.window_statement, behind, host), dialect)
            for behind in (False, True)
            for host in (False, True)
        }
        self._next_host = {
            behind: Prepared(partial(taskrows.host_statement, behind), dialect) for behind in (False, True)
        }

    # -- writing

    def own(self, node: str, ttl: float, over: Owner | None = None) -> Owner | None:
        return self._ownership.take(node, ttl, over)

    def disown(self) -> None:
        with self._database.write() as connection:
            self._ownership.give_back(connection)

    def commit(self, writes: Writes) -> None:
        if not writes.id:
            self._commits += 1
            writes.id = f"{self._writer}:{self._commits}"
        elif writes.id in self._kept:
            return
        rows = _Rows(
            list(map(taskrows.insert_values, writes.insert)),
            list(map(taskrows.replace_values, writes.replace)),
            list(map(taskrows.progress_values, writes.progress)),
        )
        self._database.transact(lambda connection: self._commit(connection, writes, rows))
        self._doubts.clear()
        self._remember(writes.id)

    def _commit(self, connection: Connection, writes: Writes, rows: _Rows) -> None:
        if self._doubts:
            self._resolve(connection)
        if writes.id in self._kept:
            return
        self._doubts.append(writes.id)
        many = _many(connection)
        many(self._remove, writes.remove)
        many(self._insert, rows.insert)
        many(self._replace, rows.replace)
        many(self._progress, rows.progress)
        many(self._unlease, writes.unlease)
        many(self._lease, list(map(_lease_values, writes.lease)))
        many(self._attempt, list(map(_attempt_values, writes.attempts)))
        many(self._tick, list(map(_tick_values, writes.ticks)))
        many(self._node, list(map(_node_values, writes.nodes)))
        many(self._count, [(*counter, n) for counter, n in writes.ledger.items()])
        many(self._count_host, [(*place, n) for place, n in writes.counts.items()])
        many(self._set_state, [(*name, text) for name, text in writes.state.items() if text is not None])
        many(self._metric, list(map(metricrows.values, writes.metrics)))
        many(self._clear_state, [name for name, text in writes.state.items() if text is None])
        writer, _, number = writes.id.partition(":")
        written: tuple[Any, ...] = (*writes.insert, *writes.replace, *writes.progress)
        seq = max((row.seq for row in written), default=0)
        if not self._ownership.sign(connection, int(number), seq):
            many(self._sign, [(writer, int(number), seq)])

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

    @contextmanager
    def _housekeeping(self) -> Iterator[Connection]:
        """A transaction that removes rows: not for one who lost the store to another."""
        with self._database.write() as connection:
            self._ownership.check(connection)
            yield connection

    def prune_ticks(self, before: float) -> int:
        pruned = 0
        with self._housekeeping() as connection:
            for (project, method), newest in _last_ticks(connection).items():
                old = sa.delete(ticks).where(ticks.c.project == project, ticks.c.method == method)
                old = old.where(ticks.c.reason != QUEUED)
                pruned += connection.execute(old.where(ticks.c.instant < min(before, newest))).rowcount
        return pruned

    def prune_attempts(self, before: float, limit: int = 1000) -> int:
        key = list(attempts.primary_key)
        old = sa.select(*key).where(attempts.c.ended < before).order_by(attempts.c.ended, *key).limit(limit)
        delete = KeyedDelete(attempts, self._database.engine.dialect)
        with self._housekeeping() as connection:
            keys = [tuple(row) for row in connection.execute(old)]
            _many(connection)(delete, keys)
        return len(keys)

    def prune_metrics(self, width: int, before: float, limit: int = 1000) -> int:
        with self._housekeeping() as connection:
            return metricrows.prune(connection, self._unmetric, width, before, limit)

    def drop(self, project: str) -> Books:
        with self._housekeeping() as connection:
            last = _books(connection, project)
            for table in (tasks, leases, attempts, ticks, state, ledger, metrics, counts):
                connection.execute(sa.delete(table).where(table.c.project == project))
        return last

    def drop_some(self, project: str, limit: int) -> int:
        with self._housekeeping() as connection:
            return taskdrop.drop_some(connection, self._count, project, limit)

    # -- reading

    def metrics(self, project: str, since: float, until: float, step: int = 60) -> list[MetricRow]:
        with self._database.read() as connection:
            return metricrows.read(connection, project, since, until, step)

    def count(self, project: str, status: Status | None = None) -> int:
        query = sa.select(sa.func.count()).select_from(tasks).where(tasks.c.project == project)
        if status is not None:
            query = query.where(taskrows.has_status(status))
        with self._database.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    def reasons(self, project: str, taskids: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        with self._database.read() as connection:
            for start in range(0, len(taskids), 500):
                query = taskrows.reasons_query(project, taskids[start : start + 500])
                found.update((taskid, reason) for taskid, reason in connection.execute(query))
        return found

    def get(self, project: str, taskid: str) -> TaskRow | None:
        return self.get_many([(project, taskid)]).get((project, taskid))

    def get_many(self, keys: Sequence[Key]) -> dict[Key, TaskRow]:
        by_project: defaultdict[str, list[str]] = defaultdict(list)
        for project, taskid in keys:
            by_project[project].append(taskid)
        found = {}
        with self._database.read() as connection:
            for project, taskids in by_project.items():
                for row in map(read_task, padded(connection, tasks, project, taskids)):
                    found[row.project, row.taskid] = row
        return found

    def known(self, project: str, taskids: Sequence[str], ended_after: int | None = None) -> set[str]:
        with self._database.read() as connection:
            if ended_after is None:
                return {taskid for (taskid,) in padded(connection, tasks, project, taskids, only=("taskid",))}
            found = padded(connection, tasks, project, taskids, only=("taskid", "queue", "seq"))
            return {taskid for taskid, queue, seq in found if queue is not None or seq > ended_after}

    def window(
        self, project: str, queue: Queue, after: tuple[float, int] | None, limit: int, host: str | None = None
    ) -> list[TaskRow]:
        statement = self._window[after is not None, host is not None]
        values = {"project": project, "queue": int(queue), "limit": max(0, limit)}
        if after is not None:
            values |= {"rank": after[0], "seq": after[1]}
        if host is not None:
            values["host"] = host
        with self._database.read() as connection:
            # A dialect that writes OFFSET beside LIMIT has one parameter more: 0.
            ordered = tuple(values.get(name, 0) for name in statement.names)
            rows = connection.exec_driver_sql(statement.sql, ordered).all()
        return [read_task(row) for row in rows]

    def finished(self, after: float, before: float, limit: int) -> tuple[list[TaskRow], float]:
        changed = tasks.c.updatetime
        span = sa.and_(changed > after, changed < before)
        with self._database.read() as connection:
            nth = sa.select(changed).where(span).order_by(changed).limit(1).offset(max(1, limit) - 1)
            reached = connection.execute(nth).scalar()
            if reached is None:  # fewer: up to the last
                reached = connection.execute(sa.select(sa.func.max(changed)).where(span)).scalar()
            if reached is None:
                return [], after
            page = sa.select(tasks).where(changed > after, changed <= reached, tasks.c.queue.is_(None))
            return [read_task(row) for row in connection.execute(page.order_by(changed))], float(reached)

    def hosts(self, project: str, queue: Queue, after: str | None, limit: int) -> list[str]:
        found: list[str] = []
        with self._database.read() as connection:
            while len(found) < limit:
                statement = self._next_host[after is not None]
                values = {"project": project, "queue": int(queue), "host": after, "limit": 1}
                ordered = tuple(values.get(name, 0) for name in statement.names)
                after = connection.exec_driver_sql(statement.sql, ordered).scalar()
                if after is None:
                    break
                found.append(after)
        return found

    def max_seq(self) -> int:
        with self._database.read() as connection:
            return int(connection.execute(sa.select(sa.func.max(writers.c.seq))).scalar() or 0)

    def counts(self, project: str, hosts: Sequence[str]) -> dict[str, int]:
        if not hosts:
            return {}
        with self._database.read() as connection:
            return {host: int(n) for _, host, n in padded(connection, counts, project, hosts, "host")}

    def leases(self) -> list[Lease]:
        with self._database.read() as connection:
            return [Lease(*row) for row in connection.execute(sa.select(leases))]

    def ledger(self, project: str | None = None) -> dict[tuple[str, str, str], int]:
        with self._database.read() as connection:
            return _ledger(connection, project)

    def state(self) -> dict[tuple[str, str], str]:
        with self._database.read() as connection:
            return {(project, name): text for project, name, text in connection.execute(sa.select(state))}

    def state_of(self, project: str, name: str) -> str | None:
        with self._database.read() as connection:
            query = sa.select(state).where(state.c.project == project, state.c.name == name)
            row = connection.execute(query).first()
        return None if row is None else str(row[2])

    def ticks(self, project: str, method: str | None = None, limit: int = 100) -> list[TickRow]:
        query = sa.select(ticks).where(ticks.c.project == project)
        if method is not None:
            query = query.where(ticks.c.method == method)
        query = query.order_by(ticks.c.instant.desc(), ticks.c.method).limit(limit)
        with self._database.read() as connection:
            return [TickRow(*row) for row in connection.execute(query)]

    def last_ticks(self) -> dict[tuple[str, str], float]:
        with self._database.read() as connection:
            return _last_ticks(connection)

    def nodes(self) -> list[NodeRow]:
        with self._database.read() as connection:
            return [NodeRow(*row) for row in connection.execute(sa.select(nodes).order_by(nodes.c.node))]

    def prune_nodes(self, before: float) -> int:
        with self._housekeeping() as connection:
            return connection.execute(sa.delete(nodes).where(nodes.c.seen < before)).rowcount

    def attempts(self, project: str, taskid: str, limit: int = 20) -> list[AttemptRow]:
        query = sa.select(attempts).where(attempts.c.project == project, attempts.c.taskid == taskid)
        query = query.order_by(attempts.c.run.desc(), attempts.c.attempt.desc()).limit(limit)
        with self._database.read() as connection:
            return [AttemptRow(*row) for row in connection.execute(query)]

    def failures(self, project: str, limit: int = 10) -> list[tuple[str, int, str]]:
        with self._database.read() as connection:
            rows = connection.execute(taskrows.failures_query(project, limit)).all()
        return [(reason, n, url) for reason, n, url in rows]

    def select(
        self,
        project: str,
        status: Status | None = None,
        url: str | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> list[TaskRow]:
        found: list[TaskRow] = []
        matches = url_matcher(url) if url is not None else None
        while len(found) < limit:
            size = limit - len(found)
            with self._database.read() as connection:
                query = taskrows.select_query(project, status, url, after, size)
                page = [read_task(row) for row in connection.execute(query)]
            found += page if matches is None else [row for row in page if matches(row.url)]
            if len(page) < size:
                break
            after = page[-1].taskid
        return found

    def search(
        self, search: TaskSearch, after: Place | None = None, limit: int = 100, budget: float = SEARCH_SECONDS
    ) -> TaskPage:
        return self._searcher.page(search, after, max(1, limit), budget)

    def failure_groups(self, project: str | None = None, examples: int = 3, *, retrying: bool = False) -> FailurePage:
        return self._searcher.retrying(project, examples) if retrying else self._searcher.failures(project, examples)

    def books(self, project: str) -> Books:
        with self._database.read(snapshot=True) as connection:
            return _books(connection, project)

    def projects(self) -> list[str]:
        with self._database.read() as connection:
            names = set(distinct(connection, tasks.c.project))
            names |= set(distinct(connection, leases.c.project))
            names |= set(distinct(connection, ledger.c.project))
        return sorted(names)

    def carrier(self) -> Carrier:
        """Reads and writes its rows as they are."""
        from crawlkit.database.sqlalchemy.carrier import SqlCarrier

        return SqlCarrier(self._database, "taskdb")

    def close(self) -> None:
        # Our own signature is only of use while somebody may repeat a commit; the largest seq is kept by another row.
        if not self._database.read_only and (self._commits or self._ownership.taken):
            with suppress(StoreUnavailable), self._database.write() as connection:
                self._ownership.give_back(connection)
                mine = connection.execute(sa.select(writers.c.seq).where(writers.c.writer == self._writer)).scalar()
                connection.execute(sa.delete(writers).where(writers.c.writer == self._writer))
                connection.exec_driver_sql(self._sign.sql, ("", 0, mine or 0))
        self._database.close()


def _many(connection: Connection) -> Any:
    def run(statement: Prepared, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            statement.many(connection, rows)

    return run


def _last_ticks(connection: Connection) -> dict[tuple[str, str], float]:
    query = sa.select(ticks.c.project, ticks.c.method, sa.func.max(ticks.c.instant))
    rows = connection.execute(query.group_by(ticks.c.project, ticks.c.method))
    return {(project, method): newest for project, method, newest in rows}


def _ledger(connection: Connection, project: str | None) -> dict[tuple[str, str, str], int]:
    query = sa.select(ledger)
    if project is not None:
        query = query.where(ledger.c.project == project)
    return {(owner, event, reason): n for owner, event, reason, n in connection.execute(query)}


def _books(connection: Connection, project: str) -> Books:
    mine: sa.ColumnElement[bool] = tasks.c.project == project
    count = sa.select(sa.func.count()).select_from(tasks)
    if 4 * (connection.execute(count.where(mine)).scalar() or 0) > (connection.execute(count).scalar() or 0):
        # Most rows are wanted: reading the table from end to end is ten times as fast as row by row over an index.
        mine = sa.func.coalesce(tasks.c.project, "") == project
    query = sa.select(tasks.c.status, sa.func.count(), sa.func.sum(tasks.c.run)).where(mine)
    rows = connection.execute(query.group_by(tasks.c.status)).all()
    leased = sa.select(sa.func.count()).select_from(leases).where(leases.c.project == project)
    by_status = {int(status): int(n) for status, n, _ in rows}
    return Books(
        tasks=sum(by_status.values()),
        runs=sum(int(runs) for _, _, runs in rows),
        active=by_status.get(Status.ACTIVE, 0),
        leased=int(connection.execute(leased).scalar() or 0),
        by_status=by_status,
        ledger=_ledger(connection, project),
    )
