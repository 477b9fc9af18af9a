"""How a task row becomes a tuple of columns and back, and the statements over the table of tasks.

Pure: builds statements and converts rows; runs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from crawlkit.database.base import Progress, Queue, TaskRow
from crawlkit.database.rules import NO_REASON
from crawlkit.database.sqlalchemy.statements import KeyedUpdate, escaped, holds, merged
from crawlkit.database.sqlalchemy.tables import attempts, ended_badly, tasks
from crawlkit.libs.task import NO_FETCH, NO_PROCESS, NO_SCHEDULE, Fetch, Process, Schedule, Status

COLUMNS = tuple(column.name for column in tasks.columns)
assert TaskRow.__struct_fields__ == COLUMNS

_encode = msgspec.json.Encoder().encode
_schedule = msgspec.json.Decoder(Schedule).decode
_fetch = msgspec.json.Decoder(Fetch).decode
_process = msgspec.json.Decoder(Process).decode
_STATUS = {int(status): status for status in Status}
_QUEUE: dict[int | None, Queue | None] = {None: None, **{int(queue): queue for queue in Queue}}


def _json(part: msgspec.Struct) -> str | None:
    text = _encode(part)
    return None if text == b"{}" else text.decode()


def read_task(row: Sequence[Any]) -> TaskRow:
    """A row of the table, all columns in their order."""
    (project, taskid, url, host, partition, status, queue, rank, seq, run, attempt, retried, lost,
     schedule, fetch, process, save, etag, last_modified, results, lastcrawltime, updatetime) = row  # fmt: skip
    return TaskRow(
        project,
        taskid,
        url,
        host,
        partition,
        _STATUS[status],
        _QUEUE[queue],
        rank,
        seq,
        run,
        attempt,
        retried,
        lost,
        NO_SCHEDULE if schedule is None else _schedule(schedule),
        NO_FETCH if fetch is None else _fetch(fetch),
        NO_PROCESS if process is None else _process(process),
        save,
        etag,
        last_modified,
        results,
        lastcrawltime,
        updatetime,
    )


_in_table = attrgetter(*COLUMNS)
_CHANGED = [name for name in Progress.__struct_fields__ if name not in ("project", "taskid")]
_changed = attrgetter(*_CHANGED, "project", "taskid")
assert _CHANGED[:2] == ["status", "queue"]


def insert_values(row: TaskRow) -> tuple[Any, ...]:
    """A row's values in the order of the table's columns."""
    (project, taskid, url, host, partition, status, queue, rank, seq, run, attempt, retried, lost,
     schedule, fetch, process, *rest) = _in_table(row)  # fmt: skip
    return (
        project,
        taskid,
        url,
        host,
        partition,
        int(status),
        None if queue is None else int(queue),
        rank,
        seq,
        run,
        attempt,
        retried,
        lost,
        None if schedule is NO_SCHEDULE else _json(schedule),
        None if fetch is NO_FETCH else _json(fetch),
        None if process is NO_PROCESS else _json(process),
        *rest,
    )


def replace_values(row: TaskRow) -> tuple[Any, ...]:
    """The parameters of :func:`replace_statement`: the columns behind the key, then the key."""
    project, taskid, *rest = insert_values(row)
    return (*rest, project, taskid)


def progress_values(row: Progress) -> tuple[Any, ...]:
    """The parameters of :func:`progress_statement`: what changes, then the key."""
    status, queue, *rest = _changed(row)
    return (int(status), None if queue is None else int(queue), *rest)


def replace_statement(dialect: sa.Dialect) -> KeyedUpdate:
    """Overwrites a known row."""
    return KeyedUpdate(tasks, COLUMNS[2:], dialect)


def progress_statement(dialect: sa.Dialect) -> KeyedUpdate:
    """Writes the fields of a :class:`Progress` into a known row."""
    return KeyedUpdate(tasks, _CHANGED, dialect)


def window_statement(dialect: sa.Dialect, behind: bool, of_host: bool, partitions: int) -> Any:
    """The head of a queue, or what stands behind (rank, seq), in so many partitions.

    Parameters: project, queue, partition0, ..., [host, rank, seq,] limit. With a host 0 partitions are all of them.
    """
    limit = sa.bindparam("limit", type_=sa.Integer)
    order = [tasks.c.rank, tasks.c.seq]
    asked = [sa.bindparam(f"partition{number}", type_=tasks.c.partition.type) for number in range(partitions)]
    maria = dialect.name in ("mysql", "mariadb")
    if of_host:
        query = _queue(sa.select(tasks), behind, maria).where(tasks.c.host == sa.bindparam("host"))
        # All rows of a host are in one partition: in words that keep the database from going by an index over that.
        mine = (tasks.c.partition + sa.literal_column("0")).in_(asked)
        return (query.where(mine) if asked else query).order_by(*order).limit(limit)
    if partitions == 1 or not maria:
        ranges = [_queue(sa.select(tasks), behind, maria).where(tasks.c.partition == one) for one in asked]
        return merged(ranges, order, limit, dialect)
    # MariaDB would keep whole rows of each range in a table on disk.
    keys = sa.select(*tasks.primary_key, *order)
    found = merged(
        [_queue(keys, behind, maria).where(tasks.c.partition == one) for one in asked], order, limit, dialect
    )
    page = found.subquery("found")
    same = sa.and_(*(column == page.c[column.name] for column in tasks.primary_key))
    query = sa.select(tasks).prefix_with("STRAIGHT_JOIN").select_from(page.join(tasks, same))
    return query.order_by(page.c.rank, page.c.seq)


def _queue(query: sa.Select[Any], behind: bool, maria: bool) -> sa.Select[Any]:
    query = query.where(tasks.c.project == sa.bindparam("project"), tasks.c.queue == sa.bindparam("queue"))
    if not behind:
        return query
    rank, seq = sa.bindparam("rank", type_=tasks.c.rank.type), sa.bindparam("seq", type_=tasks.c.seq.type)
    if maria:  # it takes no index for the comparison of tuples
        return query.where(sa.or_(sa.and_(tasks.c.rank == rank, tasks.c.seq > seq), tasks.c.rank > rank))
    return query.where(sa.tuple_(tasks.c.rank, tasks.c.seq) > sa.tuple_(rank, seq))


def host_statement(behind: bool) -> sa.Select[Any]:
    """The first host that has rows in a queue, or the next one; parameters: project, queue, [host,] limit."""
    query = sa.select(tasks.c.host).where(
        tasks.c.project == sa.bindparam("project"), tasks.c.queue == sa.bindparam("queue")
    )  # fmt: skip
    if behind:
        query = query.where(tasks.c.host > sa.bindparam("host", type_=tasks.c.host.type))
    return query.order_by(tasks.c.host).limit(sa.bindparam("limit", type_=sa.Integer))


def select_query(
    project: str, status: Status | None, url: str | None, after: str | None, limit: int
) -> sa.Select[Any]:  # fmt: skip
    """A page of a project's tasks in order of taskid. ``url`` is tried with LIKE, which lets too many through."""
    query = sa.select(tasks).where(tasks.c.project == project)
    if status is not None:
        query = query.where(has_status(status))
    if url is not None:
        query = query.where(url_like(url))
    if after is not None:
        query = query.where(tasks.c.taskid > after)
    return query.order_by(tasks.c.taskid).limit(limit)


def url_like(url: str) -> sa.ColumnElement[bool]:
    """URLs with this part, or of this pattern; lets too many through where LIKE does not tell cases apart."""
    if "*" not in url:
        return holds(tasks.c.url, url)
    return tasks.c.url.like("%".join(map(escaped, url.split("*"))), escape="\\")


def has_status(status: Status) -> sa.ColumnElement[bool]:
    """Tasks with this status; of the failed and the cancelled by their own index."""
    # A parameter, no literal: SQLite would put a literal into the second term and no longer see the index in it.
    mine = tasks.c.status == int(status)
    return mine if status < Status.FAILED else sa.and_(mine, ended_badly)


def last_reason() -> sa.ScalarSelect[Any]:
    """Why the last attempt of a row of tasks failed: "" when it did not, NULL when there is none."""
    return (
        sa.select(attempts.c.reason)
        .where(attempts.c.project == tasks.c.project, attempts.c.taskid == tasks.c.taskid)
        .order_by(attempts.c.run.desc(), attempts.c.attempt.desc())
        .limit(1)
        .scalar_subquery()
    )


def failed_for() -> sa.Function[Any]:
    """The same for a task that failed: never empty."""
    return sa.func.coalesce(sa.func.nullif(last_reason(), ""), NO_REASON)


def reasons_query(project: str, taskids: Sequence[str]) -> sa.Select[Any]:
    """(taskid, why its last attempt failed) of a few hundred tasks."""
    return sa.select(tasks.c.taskid, failed_for()).where(tasks.c.project == project, tasks.c.taskid.in_(taskids))


def failures_query(project: str, limit: int) -> sa.Select[Any]:
    """(reason, tasks, an example's URL) of failed tasks by their last attempt, the most frequent reason first."""
    each = (
        sa.select(failed_for().label("reason"), tasks.c.url.label("url"))
        .where(tasks.c.project == project, has_status(Status.FAILED))
        .subquery()
    )
    n = sa.func.count().label("n")
    query = sa.select(each.c.reason, n, sa.func.min(each.c.url)).group_by(each.c.reason)
    return query.order_by(n.desc(), each.c.reason).limit(limit)
