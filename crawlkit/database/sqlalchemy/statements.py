"""Small queries that several stores make: by many keys at once, the different values of an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.sqlalchemy.engine import Prepared, key_is

SIZES = (1, 16, 128, 512)  # how many taskids one query asks for


@cache
def _by_taskids(table: sa.Table, size: int, dialect: sa.Dialect) -> Prepared:
    taskids = [sa.bindparam(f"t{number}", type_=table.c.taskid.type) for number in range(size)]
    return Prepared(sa.select(table).where(key_is(table, "project"), table.c.taskid.in_(taskids)), dialect)


def padded(
    connection: Connection, table: sa.Table, project: str, taskids: Sequence[str]
) -> Iterator[Sequence[Any]]:  # fmt: skip
    """The rows of those taskids. Queries come in a few sizes, filled up with repeats, so that each is compiled once."""
    for start in range(0, len(taskids), SIZES[-1]):
        chunk = list(taskids[start : start + SIZES[-1]])
        size = next(size for size in SIZES if size >= len(chunk))
        # The parameters come in the order in which the statement is written: the project, then the taskids.
        values = (project, *chunk, *chunk[-1:] * (size - len(chunk)))
        yield from connection.exec_driver_sql(_by_taskids(table, size, connection.dialect).sql, values).all()


def distinct(connection: Connection, column: sa.Column[Any]) -> Iterator[str]:
    """The different values of the first column of an index, one lookup each, however many rows there are."""
    value = ""
    while True:
        query = sa.select(column).where(column > value).order_by(column).limit(1)
        found = connection.execute(query).scalar()
        if found is None:
            return
        value = found
        yield value
