"""Searches of the taskdb for people: bounded looks along one index, and what they found.

Three ways lead to the rows. Few of a project: all of them. Failed ones: by their own small index. Else back in time by
the index over ``updatetime``, a stretch at a time, until the page is full or the time is up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.base import Place, TaskPage, TaskRow, TaskSearch
from crawlkit.database.rules import NO_REASON
from crawlkit.database.searching import WHOLE_CALLBACK, FailureCount, place_of, task_fits
from crawlkit.database.sqlalchemy.engine import Database
from crawlkit.database.sqlalchemy.statements import distinct, holds, merged
from crawlkit.database.sqlalchemy.tables import tasks
from crawlkit.database.sqlalchemy.taskrows import failed_for, has_status, last_reason, read_task, url_like
from crawlkit.database.sqlalchemy.windows import Windows
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.rows import Queue
from crawlkit.libs.searches import FailurePage
from crawlkit.libs.task import Status

FEW = 30_000  # rows that are read and sorted at once
NOT_SO_FEW = 5_000  # ... but not without a short look at the ones updated last
FIRST_STRETCH = 2_000  # rows of the first stretch; each next one is twice as long
STRETCH = 32_000
COUNT_RETRYING = 20_000  # tasks of a project's time queue that are looked at for retries
COUNT_FAILED = 100_000  # failed tasks that are grouped; more are only counted


class TaskSearcher:
    """Looks through one taskdb."""

    def __init__(self, database: Database, windows: Windows) -> None:
        self._database = database
        self._windows = windows

    def page(self, search: TaskSearch, after: Place | None, limit: int, budget: float) -> TaskPage:
        deadline = SystemClock.monotonic() + budget
        with self._database.read() as connection:
            source, few = _source(connection, search)
            if search.by_url or (few is not None and few <= NOT_SO_FEW):
                return self._sorted(connection, search, after, limit, deadline, source, few is not None)
            if few is None:
                return self._walk(connection, search, after, limit, deadline)
            page = self._walk(connection, search, after, limit, deadline - 0.9 * budget)
            if page.next is None or len(page.rows) == limit:
                return page
            return self._sorted(connection, search, after, limit, deadline, source, whole=True)

    def _sorted(
        self, connection: Connection, search: TaskSearch, after: Place | None, limit: int, deadline: float,
        source: sa.ColumnElement[bool], whole: bool,
    ) -> TaskPage:  # fmt: skip
        """One query over a bounded set of rows, sorted by the database."""
        query = sa.select(tasks).where(source, *_filters(search))
        back_to = None
        if not whole:
            back_to = _time_behind(connection, search.since, search.before, FEW)
            query = query.where(*_times(back_to or search.since, search.before))
        else:
            query = query.where(*_times(search.since, search.before))
        query = query.order_by(*_order(search))
        fits, place = task_fits(search), place_of(search)
        rows: list[TaskRow] = []
        while True:
            wanted = limit - len(rows)
            found = [read_task(row) for row in connection.execute(query.where(*_behind(search, after)).limit(wanted))]
            rows += [row for row in found if fits(row)]
            if found:
                after = place(found[-1])
            if len(found) < wanted:
                return TaskPage(rows, None, back_to)
            if len(rows) == limit or SystemClock.monotonic() > deadline:
                return TaskPage(rows, after, back_to)

    def _walk(
        self, connection: Connection, search: TaskSearch, after: Place | None, limit: int, deadline: float
    ) -> TaskPage:
        """Back in time from ``after``, so far as the time allows."""
        fits, place = task_fits(search), place_of(search)
        filters = _filters(search, spread=True)
        rows: list[TaskRow] = []
        stretch = FIRST_STRETCH
        before = search.before if after is None else None
        while True:
            start = before if after is None else float(after[0])
            end = _time_behind(connection, search.since, start, stretch)
            # Beside the place, so that the index is used for both ends of the stretch.
            ends = () if after is None else (tasks.c.updatetime <= start,)
            query = sa.select(tasks).where(
                *filters, *ends, *_behind(search, after), *_times(end or search.since, before)
            )
            wanted = limit - len(rows)
            found = [read_task(row) for row in connection.execute(query.order_by(*_order(search)).limit(wanted))]
            rows += [row for row in found if fits(row)]
            if len(found) == wanted:  # there may be more in this stretch
                after = place(found[-1])
                if len(rows) == limit or SystemClock.monotonic() > deadline:
                    return TaskPage(rows, after)
                continue
            if end is None:
                return TaskPage(rows, None)
            if SystemClock.monotonic() > deadline:
                return TaskPage(rows, (math.nextafter(end, -math.inf), "", ""), end)
            after, before = None, end
            stretch = min(2 * stretch, STRETCH)

    def failures(self, project: str | None, examples: int) -> FailurePage:
        count = FailureCount(examples)
        with self._database.read() as connection:
            sizes = _failed(connection, project)
            failed = sum(sizes.values())
            # So many of each project that none is left out for the size of another.
            share = COUNT_FAILED if failed <= COUNT_FAILED else max(1, COUNT_FAILED // len(sizes))
            asked = [project] if failed <= COUNT_FAILED else list(sizes)
            for name in asked:
                for row in connection.execute(_failures_query(name).limit(share)):
                    count.add(*row)
        return count.page(failed)

    def retrying(self, project: str | None, examples: int) -> FailurePage:
        count = FailureCount(examples)
        with self._database.read() as connection:
            for name in [project] if project is not None else list(distinct(connection, tasks.c.project)):
                partitions = self._windows.partitions(connection, name)
                for row in connection.execute(_retrying_query(name, partitions, connection.dialect)):
                    count.add(*row)
        return count.page(count.counted)


def _retrying_query(project: str, partitions: Sequence[int], dialect: sa.Dialect) -> sa.Select[Any]:
    """Tasks that wait for another try. Other tasks may wait for their time, too: only those due first are looked at."""
    waiting = sa.select(tasks.c.taskid, tasks.c.rank, tasks.c.seq)
    waiting = waiting.where(tasks.c.project == project, tasks.c.queue == int(Queue.TIME))
    ranges = [waiting.where(tasks.c.partition == partition) for partition in partitions or [0]]
    first = merged(ranges, [tasks.c.rank, tasks.c.seq], sa.literal(COUNT_RETRYING), dialect)
    due = first.subquery()  # MariaDB knows no LIMIT in what IN asks
    query = sa.select(tasks.c.project, failed_for(), tasks.c.taskid, tasks.c.url, tasks.c.updatetime)
    return query.where(tasks.c.project == project, tasks.c.taskid.in_(sa.select(due.c.taskid)), tasks.c.retried > 0)


def _source(connection: Connection, search: TaskSearch) -> tuple[sa.ColumnElement[bool], int | None]:
    """Which rows to try, and how many they are when they are few enough to be read at once."""
    # Never the index over updatetime: SQLite knows no numbers of rows and would take it for its order.
    mine = tasks.c.project == search.project
    if search.status is not None and search.status >= Status.FAILED:
        badly = has_status(search.status) if search.project is None else sa.and_(mine, has_status(search.status))
        few = _few(connection, badly)
        if few is not None:
            return badly, few
    few = _few(connection, mine) if search.project is not None else None
    return (_spread(search) if few is None else mine), few


def _few(connection: Connection, condition: sa.ColumnElement[bool]) -> int | None:
    """How many rows there are; None: more than a few."""
    some = sa.select(sa.literal(1)).select_from(tasks).where(condition).limit(FEW + 1).subquery()
    count = connection.execute(sa.select(sa.func.count()).select_from(some)).scalar() or 0
    return count if count <= FEW else None


def _spread(search: TaskSearch) -> sa.ColumnElement[bool]:
    """The project, in words that keep the database from going by an index over it."""
    if search.project is None:
        return sa.true()
    return sa.func.coalesce(tasks.c.project, "") == search.project


def _filters(search: TaskSearch, spread: bool = False) -> list[sa.ColumnElement[bool]]:
    """Conditions that let too many rows through rather than too few."""
    conditions = [_spread(search)] if spread else []
    if search.status is not None:
        conditions.append(tasks.c.status == int(search.status))
    if search.url is not None:
        conditions.append(url_like(search.url))
    if search.callback is not None and search.callback != WHOLE_CALLBACK:
        part = '"callback":' + msgspec.json.encode(search.callback).decode()
        conditions.append(holds(tasks.c.process, part))
    if search.reason is not None:
        last = sa.func.coalesce(last_reason(), "")
        if search.reason == NO_REASON:
            conditions.append(sa.or_(last == NO_REASON, sa.and_(last == "", tasks.c.status == int(Status.FAILED))))
        else:
            conditions.append(last == search.reason)
    return conditions


def _times(since: float | None, before: float | None) -> list[sa.ColumnElement[bool]]:
    conditions = []
    if since is not None:
        conditions.append(tasks.c.updatetime >= since)
    if before is not None:
        conditions.append(tasks.c.updatetime < before)
    return conditions


def _order(search: TaskSearch) -> tuple[Any, ...]:
    first = tasks.c.url if search.by_url else tasks.c.updatetime.desc()
    return (first, tasks.c.project, tasks.c.taskid)


def _behind(search: TaskSearch, after: Place | None) -> list[sa.ColumnElement[bool]]:
    if after is None:
        return []
    first, *rest = after
    column: sa.Column[Any] = tasks.c.url if search.by_url else tasks.c.updatetime
    further = column > first if search.by_url else column < first
    key = sa.tuple_(tasks.c.project, tasks.c.taskid) > sa.tuple_(*(sa.literal(part) for part in rest))
    return [sa.or_(further, sa.and_(column == first, key))]


def _time_behind(connection: Connection, since: float | None, before: float | None, rows: int) -> float | None:
    """When the row was updated that stands so many rows back in time; None: there are not so many."""
    query = sa.select(tasks.c.updatetime).where(*_times(since, before))
    found = connection.execute(query.order_by(tasks.c.updatetime.desc()).limit(1).offset(rows)).scalar()
    return None if found is None else float(found)


def _failed(connection: Connection, project: str | None) -> dict[str, int]:
    query = sa.select(tasks.c.project, sa.func.count()).where(has_status(Status.FAILED))
    if project is not None:
        query = query.where(tasks.c.project == project)
    return {row[0]: row[1] for row in connection.execute(query.group_by(tasks.c.project))}


def _failures_query(project: str | None) -> sa.Select[Any]:
    query = sa.select(tasks.c.project, failed_for(), tasks.c.taskid, tasks.c.url, tasks.c.updatetime)
    if project is not None:
        query = query.where(tasks.c.project == project)
    return query.where(has_status(Status.FAILED)).order_by(tasks.c.project, tasks.c.status, tasks.c.taskid)
