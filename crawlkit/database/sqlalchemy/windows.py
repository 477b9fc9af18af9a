"""Reads the queues of a taskdb a page at a time, from the ranges of several partitions in one order.

Every range is read along an index and no further than the page needs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.base import Queue, TaskRow
from crawlkit.database.sqlalchemy import taskrows
from crawlkit.database.sqlalchemy.statements import Prepared
from crawlkit.database.sqlalchemy.tables import tasks

SHAPES = 64  # statements that are kept


class Windows:
    """Of one open store."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self._dialect = dialect
        self._statements: dict[tuple[bool, bool, int], Prepared] = {}
        self._ends = Prepared(partial(_ends, dialect), dialect)
        self._next = Prepared(partial(_next, dialect), dialect)

    def page(
        self, connection: Connection, project: str, queue: Queue, after: tuple[float, int] | None, limit: int,
        host: str | None, partitions: Collection[int] | None,
    ) -> list[TaskRow]:  # fmt: skip
        """See :meth:`TaskStore.window`."""
        if partitions is not None:
            asked: Sequence[int] = sorted(set(partitions))
        else:
            asked = [] if host is not None else self.partitions(connection, project)
        if not asked and (host is None or partitions is not None):
            return []
        statement = self._statement(after is not None, host is not None, len(asked))
        values: dict[str, Any] = {"project": project, "queue": int(queue), "limit": max(0, limit), "host": host}
        values |= {f"partition{number}": partition for number, partition in enumerate(asked)}
        if after is not None:
            values |= {"rank": after[0], "seq": after[1]}
        rows = statement.send(connection, statement.given(values)).fetchall()
        return [taskrows.read_task(row) for row in rows]

    def _statement(self, behind: bool, of_host: bool, partitions: int) -> Prepared:
        shape = (behind, of_host, partitions)
        statement = self._statements.get(shape)
        if statement is None:
            if len(self._statements) >= SHAPES:
                self._statements.clear()
            make = partial(taskrows.window_statement, self._dialect, *shape)
            statement = self._statements[shape] = Prepared(make, self._dialect)
        return statement

    def partitions(self, connection: Connection, project: str) -> list[int]:
        """Those that have waiting rows (on MariaDB: any rows) of a project, in order. A look-up for each."""
        first, last = connection.exec_driver_sql(self._ends.sql, self._ends.given({"project": project})).one()
        if first is None:
            return []
        found = [int(first)]
        while found[-1] != last:
            behind = self._next.given({"project": project, "partition": found[-1]})
            further = connection.exec_driver_sql(self._next.sql, behind).scalar()
            if further is None:  # it was removed meanwhile
                break
            found.append(int(further))
        return found


def _of_project(dialect: sa.Dialect) -> sa.Select[Any]:
    """The partitions of a project, so that the index over what waits can answer: where it is partial, in its words."""
    query = sa.select(tasks.c.partition).where(tasks.c.project == sa.bindparam("project"))
    return query if dialect.name in ("mysql", "mariadb") else query.where(tasks.c.queue.is_not(None))


def _ends(dialect: sa.Dialect) -> sa.Select[Any]:
    one: sa.ColumnClause[int] = sa.literal_column("1")
    first = _of_project(dialect).order_by(tasks.c.partition).limit(one).scalar_subquery()
    last = _of_project(dialect).order_by(tasks.c.partition.desc()).limit(one).scalar_subquery()
    return sa.select(first, last)


def _next(dialect: sa.Dialect) -> sa.Select[Any]:
    behind = tasks.c.partition > sa.bindparam("partition", type_=tasks.c.partition.type)
    return _of_project(dialect).where(behind).order_by(tasks.c.partition).limit(sa.literal_column("1"))
