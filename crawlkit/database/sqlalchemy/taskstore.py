"""The taskdb in SQL. Stores what it is given and decides nothing.

Every statement is compiled once; rows go to the driver as plain tuples, many at a time.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.base import (
    SEARCH_SECONDS,
    AttemptRow,
    Books,
    FailurePage,
    Key,
    Lease,
    Letter,
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
from crawlkit.database.sqlalchemy import letters, metricrows, taskdrop, taskrows
from crawlkit.database.sqlalchemy.commits import Commits
from crawlkit.database.sqlalchemy.engine import Database
from crawlkit.database.sqlalchemy.letters import Allowances
from crawlkit.database.sqlalchemy.ownership import Ownership
from crawlkit.database.sqlalchemy.schema import prepare
from crawlkit.database.sqlalchemy.statements import KeyedDelete, Prepared, distinct, padded, present, upsert
from crawlkit.database.sqlalchemy.tables import (
    allowances,
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
from crawlkit.database.sqlalchemy.taskrows import read_task
from crawlkit.database.sqlalchemy.tasksearch import TaskSearcher
from crawlkit.database.sqlalchemy.windows import Windows
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.libs.metrics import MetricRow
from crawlkit.libs.rows import QUEUED
from crawlkit.libs.task import Status


class SqlTaskStore:
    """A :class:`~crawlkit.database.base.TaskStore`."""

    def __init__(self, database: Database) -> None:
        prepare(database)
        self._database = database
        writer = uuid.uuid4().hex
        self._ownership = Ownership(database, writer)
        self._commits = Commits(database, writer, self._ownership)
        dialect = database.engine.dialect
        self._count = upsert(ledger, dialect, add=("n",))
        self._unmetric = KeyedDelete(metrics, dialect)
        self._allowances = Allowances(database)
        self._windows = Windows(dialect)
        self._searcher = TaskSearcher(database, self._windows)
        self._next_host = {
            behind: Prepared(partial(taskrows.host_statement, behind), dialect) for behind in (False, True)
        }

    # -- writing

    def own(self, node: str, ttl: float, over: Owner | None = None, partition: int = 0) -> Owner | None:
        return self._ownership.take(node, ttl, over, partition)

    def renew(self, node: str, ttl: float) -> dict[int, Owner | None]:
        return self._ownership.renew(node, ttl)

    def disown(self, partition: int | None = None) -> None:
        self._ownership.disown(partition)

    def owners(self) -> dict[int, Owner]:
        return self._ownership.owners()

    def announce(self, node: str, ttl: float) -> Owner:
        return self._ownership.announce(node, ttl)

    def members(self) -> list[Owner]:
        return self._ownership.members()

    def dismiss(self, holder: str) -> bool:
        return self._ownership.dismiss(holder)

    def commit(self, writes: Writes) -> None:
        self._commits.commit(writes)

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
            self._database.by_key(connection)
            delete.many(connection, keys)
        return len(keys)

    def prune_metrics(self, width: int, before: float, limit: int = 1000) -> int:
        with self._housekeeping() as connection:
            self._database.by_key(connection)
            return metricrows.prune(connection, self._unmetric, width, before, limit)

    def drop(self, project: str) -> Books:
        with self._housekeeping() as connection:
            last = _books(connection, project)
            for table in (tasks, leases, attempts, ticks, state, ledger, metrics, counts, mail, allowances):
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
                return present(connection, tasks, project, taskids)
            found = padded(connection, tasks, project, taskids, only=("taskid", "queue", "seq"))
            return {taskid for taskid, queue, seq in found if queue is not None or seq > ended_after}

    def window(
        self,
        project: str,
        queue: Queue,
        after: tuple[float, int] | None,
        limit: int,
        host: str | None = None,
        partitions: Collection[int] | None = None,
    ) -> list[TaskRow]:
        with self._database.read() as connection:
            return self._windows.page(connection, project, queue, after, limit, host, partitions)

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
                after = connection.exec_driver_sql(statement.sql, statement.given(values)).scalar()
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

    def leases(self, partitions: Collection[int] | None = None) -> list[Lease]:
        query = sa.select(leases)
        if partitions is not None:
            task = sa.and_(leases.c.project == tasks.c.project, leases.c.taskid == tasks.c.taskid)
            query = query.where(sa.exists().where(task, tasks.c.partition.in_(sorted(set(partitions)))))
        with self._database.read() as connection:
            return [Lease(*row) for row in connection.execute(query)]

    def mail(self, partitions: Collection[int], limit: int) -> list[Letter]:
        with self._database.read() as connection:
            return letters.read(connection, partitions, limit)

    def mail_waiting(self, project: str) -> int:
        with self._database.read() as connection:
            return letters.waiting(connection, project)

    def draw(self, project: str, want: int, rate: float, burst: float) -> tuple[int, float]:
        return self._allowances.draw(project, want, rate, burst)

    def whole(self, project: str) -> tuple[dict[tuple[str, str, str], int], int]:
        with self._database.read(snapshot=True) as connection:
            return _ledger(connection, project), letters.waiting(connection, project)

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
        ownership = self._ownership
        if not self._database.read_only and (self._commits.made or ownership.taken or ownership.announced):
            with suppress(StoreUnavailable), self._database.write() as connection:
                ownership.leave(connection)
                self._commits.leave(connection)
        self._database.close()


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
