"""Statements that several stores make: prepared ones, upserts, queries by many keys, the values of an index.

What differs between dialects in the text of a statement is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.sql.compiler import SQLCompiler

SIZES = (1, 16, 128, 512)  # how many taskids one query asks for
CHUNK_ROWS, CHUNK_CHARACTERS = 200, 250_000  # of one statement that changes many rows


class Prepared:
    """A statement compiled once, when it is first used, to be sent to the driver with plain tuples.

    The dialect must use positional parameters (SQLite does; psycopg and PyMySQL with ``paramstyle="format"``).
    """

    def __init__(
        self, make: Callable[[], sa.ClauseElement], dialect: sa.Dialect, columns: Sequence[str] | None = None
    ) -> None:
        self._make = make
        self._dialect = dialect
        self._columns = list(columns) if columns is not None else None

    @cached_property
    def _compiled(self) -> SQLCompiler:
        compiled = self._make().compile(dialect=self._dialect, column_keys=self._columns)
        assert isinstance(compiled, SQLCompiler)
        return compiled

    @cached_property
    def sql(self) -> str:
        return str(self._compiled)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The parameters, in the order in which a tuple gives them."""
        return tuple(self._compiled.positiontup or ())

    def many(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """For each of these rows, in their order."""
        if rows:
            connection.exec_driver_sql(self.sql, rows if isinstance(rows, list) else list(rows))


class KeyedUpdate(Prepared):
    """UPDATE of some columns by the primary key; a tuple gives the columns, then the key.

    PyMySQL would send a statement a row and wait for each: MariaDB gets one for many rows, a sixth of the time.
    """

    def __init__(self, table: sa.Table, names: Sequence[str], dialect: sa.Dialect) -> None:
        values = {name: sa.bindparam(f"b_{name}", type_=table.c[name].type) for name in names}
        super().__init__(lambda: sa.update(table).where(key_is(table)).values(values), dialect)
        self._at_once = dialect.name in ("mysql", "mariadb")
        keys = [column.name for column in table.primary_key]
        columns = [f"`{name}`" for name in (*names, *keys)]
        self._first = f"SELECT {', '.join(f'%s AS {name}' for name in columns)}"
        self._next = f" UNION ALL SELECT {', '.join(['%s'] * len(columns))}"
        same = " AND ".join(f"known.`{name}` = new.`{name}`" for name in keys)
        changes = ", ".join(f"known.`{name}` = new.`{name}`" for name in names)
        self._frame = f"UPDATE ({{}}) AS new STRAIGHT_JOIN `{table.name}` AS known ON {same} SET {changes}"
        self._keys = len(keys)

    def many(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        if not self._at_once or len(rows) < 2:
            super().many(connection, rows)
            return
        latest = list({row[-self._keys :]: row for row in rows}.values())
        for chunk in _chunks(latest):
            sql = self._frame.format(self._first + self._next * (len(chunk) - 1))
            connection.exec_driver_sql(sql, tuple(value for row in chunk for value in row))


class KeyedDelete(Prepared):
    """DELETE by the primary key, or by other columns; on MariaDB likewise."""

    def __init__(self, table: sa.Table, dialect: sa.Dialect, *names: str) -> None:
        super().__init__(lambda: sa.delete(table).where(key_is(table, *names)), dialect)
        self._at_once = dialect.name in ("mysql", "mariadb")
        *firsts, last = names or [column.name for column in table.primary_key]
        conditions = " AND ".join([*(f"`{name}` = %s" for name in firsts), f"`{last}` IN ({{}})"])
        self._frame = f"DELETE FROM `{table.name}` WHERE {conditions}"

    def many(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        if not self._at_once:
            super().many(connection, rows)
            return
        groups: dict[tuple[Any, ...], list[Any]] = {}
        for row in rows:
            groups.setdefault(row[:-1], []).append(row[-1])
        for firsts, lasts in groups.items():
            for start in range(0, len(lasts), SIZES[-1]):
                some = lasts[start : start + SIZES[-1]]
                connection.exec_driver_sql(self._frame.format(", ".join(["%s"] * len(some))), (*firsts, *some))


def _chunks(rows: Sequence[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    """Some rows at a time, so that a statement is no larger than what any server takes."""
    chunk: list[tuple[Any, ...]] = []
    size = 0
    for row in rows:
        length = sum(len(value) for value in row if isinstance(value, str))
        if chunk and (len(chunk) == CHUNK_ROWS or size + length > CHUNK_CHARACTERS):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += length
    if chunk:
        yield chunk


def _wanted(table: sa.Table, only: tuple[str, ...]) -> Sequence[sa.Column[Any]]:
    return [table.c[name] for name in only] or list(table.columns)


@lru_cache(maxsize=64)
def _by_values(table: sa.Table, column: str, size: int, dialect: sa.Dialect, only: tuple[str, ...] = ()) -> Prepared:
    values = [sa.bindparam(f"t{number}", type_=table.c[column].type) for number in range(size)]
    query = sa.select(*_wanted(table, only)).where(key_is(table, "project"), table.c[column].in_(values))
    return Prepared(lambda: query, dialect)


@lru_cache(maxsize=64)
def _by_array(table: sa.Table, column: str, dialect: sa.Dialect, only: tuple[str, ...] = ()) -> Prepared:
    values = sa.func.unnest(sa.bindparam("values", type_=postgresql.ARRAY(sa.Text)))
    asked = values.table_valued(sa.column("value", sa.Text), name="asked").render_derived()
    each = sa.select(*_wanted(table, only)).where(key_is(table, "project"), table.c[column] == asked.c.value)
    found = each.offset(sa.literal_column("0")).lateral("found")  # OFFSET 0: not to be merged with what is outside
    query = sa.select(found).select_from(asked).join(found, sa.true())
    return Prepared(lambda: query, dialect)


def padded(
    connection: Connection,
    table: sa.Table,
    project: str,
    asked: Sequence[str],
    column: str = "taskid",
    only: tuple[str, ...] = (),
) -> Iterator[Sequence[Any]]:
    """The rows with those taskids, or with those values in another column of an index that begins with the project.

    ``only``: of each row those columns.

    Queries come in a few sizes, filled up with repeats, so that each is compiled once.
    """
    if connection.dialect.name == "postgresql":
        # In so many words a look-up for each. An IN, or a join, may be answered by reading all rows of the project as
        # long as PostgreSQL has not counted what is in a new table.
        query = _by_array(table, column, connection.dialect, only)
        yield from connection.exec_driver_sql(query.sql, (list(dict.fromkeys(asked)), project)).all()
        return
    for start in range(0, len(asked), SIZES[-1]):
        chunk = list(asked[start : start + SIZES[-1]])
        size = next(size for size in SIZES if size >= len(chunk))
        # The parameters come in the order in which the statement is written: the project, then the values.
        values = (project, *chunk, *chunk[-1:] * (size - len(chunk)))
        query = _by_values(table, column, size, connection.dialect, only)
        yield from connection.exec_driver_sql(query.sql, values).all()


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


def upsert(
    table: sa.Table, dialect: sa.Dialect, *, add: Sequence[str] = (), greatest: Sequence[str] = (), keep: bool = False
) -> Prepared:
    """INSERT of a whole row that meets a known key: overwrites, or adds up the columns ``add``, or takes the larger
    of the columns ``greatest``, or leaves the known row alone (``keep``)."""
    columns = [column.name for column in table.columns]
    return Prepared(lambda: _upsert(table, dialect.name, add, greatest, keep), dialect, columns)


def _upsert(table: sa.Table, dialect: str, add: Sequence[str], greatest: Sequence[str], keep: bool) -> Any:
    keys = [column.name for column in table.primary_key]
    values = [column.name for column in table.columns if column.name not in keys]
    statement: Any
    if dialect in ("mysql", "mariadb"):
        statement = mysql.insert(table)
        new = statement.inserted
        changes = _changes(table, new, values, add, greatest, sa.func.greatest)
        statement = statement.on_duplicate_key_update({keys[0]: table.c[keys[0]]} if keep else changes)
        return statement
    insert: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(table).inline()
    larger = sa.func.greatest if dialect == "postgresql" else sa.func.max
    if keep:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    else:
        changes = _changes(table, statement.excluded, values, add, greatest, larger)
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changes)
    return statement


def _changes(
    table: sa.Table, new: Any, values: Sequence[str], add: Sequence[str], greatest: Sequence[str], larger: Any
) -> dict[str, Any]:
    changes: dict[str, Any] = {name: new[name] for name in values}
    changes |= {name: table.c[name] + new[name] for name in add}
    changes |= {name: larger(table.c[name], new[name]) for name in greatest}
    return changes


def key_is(table: sa.Table, *names: str) -> sa.ColumnElement[bool]:
    """``WHERE`` for the given columns, or for the primary key; parameters are called ``b_<column>``."""
    columns = [table.c[name] for name in names] or list(table.primary_key)
    return sa.and_(*(column == sa.bindparam(f"b_{column.name}", type_=column.type) for column in columns))


def escaped(text: str) -> str:
    """``text`` as a part of a pattern for LIKE with the escape character ``\\``."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def holds(column: sa.ColumnElement[Any], part: str) -> sa.ColumnElement[bool]:
    """``WHERE`` the column holds ``part``; whether case counts is the dialect's to say."""
    return column.like(f"%{escaped(part)}%", escape="\\")
