"""Statements that several stores make: prepared ones, upserts, queries by many keys, the values of an index.

What differs between dialects in the text of a statement is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.sql.compiler import SQLCompiler

from crawlkit.database.sqlalchemy import arrays
from crawlkit.database.sqlalchemy.engine import Sender

_encode = msgspec.json.Encoder().encode
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

    def given(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """``values`` by name as the tuple that the statement takes.

        0 stands where none is given: a dialect that writes OFFSET beside LIMIT has one parameter more.
        """
        return tuple(values.get(name, 0) for name in self.names)

    @cached_property
    def _own(self) -> tuple[Any, ...]:
        """The values that the statement itself says."""
        return tuple(self._compiled.params[name] for name in self.names)

    def send(self, connection: Sender, values: tuple[Any, ...]) -> Any:
        """Returns a cursor, to be read to its end.

        To SQLite past SQLAlchemy, which thinks longer than SQLite takes for a few rows. A transaction is begun by way
        of it all the same: else it would not commit.
        """
        if self._dialect.name == "sqlite" and isinstance(connection, Connection):
            driver: Any = connection.connection.dbapi_connection
            return driver.execute(self.sql, values)
        return connection.exec_driver_sql(self.sql, values)

    def one(self, connection: Connection) -> Any:
        """Of a SELECT that leaves nothing to be given: the first column of its first row, or ``None``."""
        rows = self.send(connection, self._own).fetchall()
        return rows[0][0] if rows else None

    def many(self, connection: Sender, rows: Sequence[tuple[Any, ...]]) -> None:
        """For each of these rows, in their order."""
        if rows and self._dialect.name == "sqlite" and isinstance(connection, Connection):
            driver: Any = connection.connection.dbapi_connection
            driver.executemany(self.sql, rows)  # SQLAlchemy would think as long as SQLite takes for five rows
        elif rows:
            connection.exec_driver_sql(self.sql, rows if isinstance(rows, list) else list(rows))


class Insert(Prepared):
    """INSERT of whole rows, none of which is known. PostgreSQL gets one statement for many: a third of the time."""

    def __init__(
        self, table: sa.Table, dialect: sa.Dialect, make: Callable[[], sa.ClauseElement] | None = None
    ) -> None:
        super().__init__(make or (lambda: sa.insert(table).inline()), dialect, table.columns.keys())
        self._table = table
        self._at_once = dialect.name == "postgresql"

    @cached_property
    def _arrays(self) -> arrays.Columns:
        return arrays.Columns(self._table, self._table.columns.keys())

    @cached_property
    def _sql_at_once(self) -> str:
        into, _, behind = self.sql.partition(" VALUES (")
        _, conflict, action = behind.partition(" ON CONFLICT")
        return f"{into} SELECT * FROM {self._arrays.unnest}{conflict}{action}"

    def many(self, connection: Sender, rows: Sequence[tuple[Any, ...]]) -> None:
        if not self._at_once or len(rows) <= arrays.FEW:
            super().many(connection, rows)
            return
        for chunk in arrays.chunks(rows):
            connection.exec_driver_sql(self._sql_at_once, self._arrays.values(chunk))


class Upsert(Insert):
    """See :func:`upsert`."""

    def __init__(
        self, table: sa.Table, dialect: sa.Dialect, add: Sequence[str], greatest: Sequence[str], keep: bool
    ) -> None:
        super().__init__(table, dialect, lambda: _upsert(table, dialect.name, add, greatest, keep))
        names = table.columns.keys()
        self._keep, self._sums = keep, bool(add or greatest)
        self._key = itemgetter(*(names.index(column.name) for column in table.primary_key))

    def many(self, connection: Sender, rows: Sequence[tuple[Any, ...]]) -> None:
        if self._at_once and len(rows) > arrays.FEW:
            # One statement may not meet a key twice: of those rows the one that would be there in the end.
            latest = {self._key(row): row for row in (reversed(rows) if self._keep else rows)}
            if len(latest) < len(rows) and self._sums:
                Prepared.many(self, connection, rows)
                return
            if len(latest) < len(rows):
                rows = list(latest.values())
        super().many(connection, rows)


class KeyedUpdate(Prepared):
    """UPDATE of some columns by the primary key; a tuple gives the columns, then the key.

    PyMySQL would send a statement a row and wait for each: MariaDB gets one for many rows, a sixth of the time.
    PostgreSQL gets one, too: a quarter of the time. There whoever writes must hold the store alone.
    """

    def __init__(self, table: sa.Table, names: Sequence[str], dialect: sa.Dialect) -> None:
        values = {name: sa.bindparam(f"b_{name}", type_=table.c[name].type) for name in names}
        super().__init__(lambda: sa.update(table).where(key_is(table)).values(values), dialect)
        keys = [column.name for column in table.primary_key]
        self._keys = len(keys)
        self._maria = dialect.name in ("mysql", "mariadb")
        columns = [f"`{name}`" for name in (*names, *keys)]
        self._first = f"SELECT {', '.join(f'%s AS {name}' for name in columns)}"
        self._next = f" UNION ALL SELECT {', '.join(['%s'] * len(columns))}"
        same = " AND ".join(f"known.`{name}` = new.`{name}`" for name in keys)
        changes = ", ".join(f"known.`{name}` = new.`{name}`" for name in names)
        self._frame = f"UPDATE ({{}}) AS new STRAIGHT_JOIN `{table.name}` AS known ON {same} SET {changes}"
        self._arrays = arrays.Columns(table, [*names, *keys]) if dialect.name == "postgresql" else None
        if self._arrays is not None:
            changes = ", ".join(f"{arrays.quoted(name)} = found.{arrays.quoted(name)}" for name in names)
            found = _looked_up(table, self._arrays, [*names, *keys], keys)
            self._frame = f"UPDATE {table.name} SET {changes} FROM {found}"

    def many(self, connection: Sender, rows: Sequence[tuple[Any, ...]]) -> None:
        if self._arrays is not None and len(rows) > arrays.FEW:
            for chunk in arrays.chunks(self._latest(rows)):
                connection.exec_driver_sql(self._frame, self._arrays.values(chunk))
        elif self._maria and len(rows) > 1:
            for chunk in arrays.chunks(self._latest(rows), CHUNK_ROWS, CHUNK_CHARACTERS):
                sql = self._frame.format(self._first + self._next * (len(chunk) - 1))
                connection.exec_driver_sql(sql, tuple(value for row in chunk for value in row))
        else:
            super().many(connection, rows)

    def _latest(self, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return list({row[-self._keys :]: row for row in rows}.values())


class KeyedDelete(Prepared):
    """DELETE by the primary key, or by other columns; on MariaDB and PostgreSQL likewise."""

    def __init__(self, table: sa.Table, dialect: sa.Dialect, *names: str) -> None:
        super().__init__(lambda: sa.delete(table).where(key_is(table, *names)), dialect)
        keys = names or [column.name for column in table.primary_key]
        self._maria = dialect.name in ("mysql", "mariadb")
        *firsts, last = keys
        conditions = " AND ".join([*(f"`{name}` = %s" for name in firsts), f"`{last}` IN ({{}})"])
        self._frame = f"DELETE FROM `{table.name}` WHERE {conditions}"
        self._arrays = arrays.Columns(table, keys) if dialect.name == "postgresql" else None
        if self._arrays is not None:
            self._frame = f"DELETE FROM {table.name} USING {_looked_up(table, self._arrays, keys, keys)}"

    def many(self, connection: Sender, rows: Sequence[tuple[Any, ...]]) -> None:
        if self._arrays is not None and len(rows) > arrays.FEW:
            for chunk in arrays.chunks(list(dict.fromkeys(rows))):
                connection.exec_driver_sql(self._frame, self._arrays.values(chunk))
        elif self._maria:
            self._by_last(connection, rows)
        else:
            super().many(connection, rows)

    def _by_last(self, connection: Sender, rows: Sequence[tuple[Any, ...]]) -> None:
        groups: dict[tuple[Any, ...], list[Any]] = {}
        for row in rows:
            groups.setdefault(row[:-1], []).append(row[-1])
        for firsts, lasts in groups.items():
            for start in range(0, len(lasts), SIZES[-1]):
                some = lasts[start : start + SIZES[-1]]
                connection.exec_driver_sql(self._frame.format(", ".join(["%s"] * len(some))), (*firsts, *some))


def _looked_up(table: sa.Table, columns: arrays.Columns, names: Sequence[str], keys: Sequence[str]) -> str:
    """The rows of arrays as ``found``, each with the place of the known row, and the condition that takes it there.

    In so many words a look-up for each: PostgreSQL may answer a plain join by reading the whole table as long as it
    has not counted what is in it. A place is only true while nobody else writes to the table.
    """
    same = " AND ".join(f"known.{arrays.quoted(name)} = new.{arrays.quoted(name)}" for name in keys)
    wanted = ", ".join(f"new.{arrays.quoted(name)}" for name in names)
    each = f"SELECT known.ctid AS place FROM {table.name} AS known WHERE {same} OFFSET 0"
    found = f"SELECT {wanted}, at.place FROM {columns.unnest} CROSS JOIN LATERAL ({each}) AS at OFFSET 0"
    return f"({found}) AS found WHERE {table.name}.ctid = found.place"


def _wanted(table: sa.Table, only: tuple[str, ...]) -> Sequence[sa.Column[Any]]:
    return [table.c[name] for name in only] or list(table.columns)


@lru_cache(maxsize=64)
def _by_values(table: sa.Table, column: str, size: int, dialect: sa.Dialect, only: tuple[str, ...] = ()) -> Prepared:
    values = [sa.bindparam(f"t{number}", type_=table.c[column].type) for number in range(size)]
    query = sa.select(*_wanted(table, only)).where(key_is(table, "project"), table.c[column].in_(values))
    return Prepared(lambda: query, dialect)


@lru_cache(maxsize=64)
def _by_array(table: sa.Table, column: str, dialect: sa.Dialect, only: tuple[str, ...] = ()) -> Prepared:
    from sqlalchemy.dialects import postgresql  # here and below: no dialect is loaded for users of another

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
        yield from query.send(connection, values).fetchall()


@lru_cache(maxsize=8)
def _absent(table: sa.Table, column: str, dialect: sa.Dialect) -> Prepared:
    asked = sa.func.json_each(sa.bindparam("values")).table_valued("key", "value", name="asked")
    mine = sa.and_(key_is(table, "project"), table.c[column] == asked.c.value)
    return Prepared(lambda: sa.select(asked.c.key).where(~sa.exists().where(mine)), dialect)


def present(connection: Connection, table: sa.Table, project: str, asked: Sequence[str]) -> set[str]:
    """Those taskids that the table has, by its key alone.

    Most of what is asked is there: SQLite tells what is not, which is less.
    """
    if connection.dialect.name != "sqlite":
        return {taskid for (taskid,) in padded(connection, table, project, asked, only=("taskid",))}
    query = _absent(table, "taskid", connection.dialect)
    values = {"values": _encode(asked).decode(), "b_project": project}
    absent = query.send(connection, tuple(values[name] for name in query.names)).fetchall()
    return set(asked).difference([asked[place] for (place,) in absent])


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
) -> Upsert:
    """INSERT of a whole row that meets a known key: overwrites, or adds up the columns ``add``, or takes the larger
    of the columns ``greatest``, or leaves the known row alone (``keep``)."""
    return Upsert(table, dialect, add, greatest, keep)


def _upsert(table: sa.Table, dialect: str, add: Sequence[str], greatest: Sequence[str], keep: bool) -> Any:
    keys = [column.name for column in table.primary_key]
    values = [column.name for column in table.columns if column.name not in keys]
    statement: Any
    if dialect in ("mysql", "mariadb"):
        from sqlalchemy.dialects import mysql

        statement = mysql.insert(table)
        new = statement.inserted
        changes = _changes(table, new, values, add, greatest, sa.func.greatest)
        statement = statement.on_duplicate_key_update({keys[0]: table.c[keys[0]]} if keep else changes)
        return statement
    insert: Any = sqlite.insert
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
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


def merged(
    ranges: Sequence[sa.Select[Any]], order: Sequence[sa.Column[Any]], limit: sa.ColumnElement[int], dialect: sa.Dialect
) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """The first rows of several ranges, each of which an index gives in ``order``, in that order.

    SQLite reads the ranges side by side, no further than the page needs; the others read up to a page of each. Without
    that PostgreSQL would sort whole ranges as long as it has not counted what is in a new table.
    """
    if len(ranges) == 1:
        return ranges[0].order_by(*order).limit(limit)
    if dialect.name != "sqlite":
        ranges = [each.order_by(*order).limit(limit) for each in ranges]
    return sa.union_all(*ranges).order_by(*(sa.column(column.name) for column in order)).limit(limit)


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
