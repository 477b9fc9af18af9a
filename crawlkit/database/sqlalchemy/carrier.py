"""Carries rows out of and into an SQL store, as they are in its tables."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from crawlkit.database.carrying import Carrier, Row, Shape
from crawlkit.database.sqlalchemy.engine import Database
from crawlkit.database.sqlalchemy.statements import Prepared, upsert
from crawlkit.database.sqlalchemy.tables import HEADS, METADATA, LongText, Name
from crawlkit.libs.errors import UsageError

NOTES = sa.Table(
    "crawlkit_carried",
    sa.MetaData(),
    sa.Column("kind", Name, primary_key=True),
    sa.Column("note", LongText, nullable=False),
)
AT_ONCE = 100  # keys in one query
_TYPES: dict[type, frozenset[type]] = {  # of a column -> what it takes
    int: frozenset({int, bool}), bool: frozenset({bool, int}), float: frozenset({float, int}),
    str: frozenset({str}), bytes: frozenset({bytes}),
}  # fmt: skip
OF_A_MOMENT = frozenset({"owners", "members", "allowances"})  # who has the store now, and what they share
#: Of these the target keeps its own rows too: its open stores find themselves in them. What is carried is one row, the
#: largest number.
_MARKS = "writers"


def tables_of(kind: str) -> dict[str, sa.Table]:
    """The tables of a store by name. The accounts lie beside the projects."""
    what = "projectdb" if kind == "accountdb" else kind
    tables = {table.name: table for table in METADATA[what].sorted_tables if table.name not in OF_A_MOMENT}
    accounts = {name for name in tables if name.startswith(("account_", "audit_"))}
    return {name: table for name, table in tables.items() if (name in accounts) == (kind == "accountdb")}


class SqlCarrier:
    """A :class:`~crawlkit.database.carrying.Carrier`."""

    def __init__(self, database: Database, kind: str, connection: Connection | None = None) -> None:
        self.kind = kind
        self.where = database.where
        self._database = database
        self._held = connection  # a snapshot's
        self._tables = tables_of(kind)

    def version(self) -> str:
        return HEADS[self._database.what]

    def shapes(self) -> list[Shape]:
        return [shape_of(table) for table in self._tables.values()]

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        if self._held is None:
            with self._database.read() as connection:
                self._database.take_time(connection)
                yield connection
        else:
            with self._database.translated():
                yield self._held

    def _mark(self) -> list[Row]:
        writers = self._tables[_MARKS]
        with self._read() as connection:
            largest = connection.execute(sa.select(sa.func.max(writers.c.seq))).scalar()
        return [("", 0, int(largest))] if largest else []

    def page(self, table: str, after: Row | None, limit: int) -> list[Row]:
        if table == _MARKS:
            return self._mark() if after is None else []
        source = self._tables[table]
        key = list(source.primary_key)
        query = sa.select(source).order_by(*key).limit(limit)
        if after is not None:
            query = query.where(self._behind(key, after))
        with self._read() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def _behind(self, key: Sequence[sa.Column[Any]], after: Row) -> sa.ColumnElement[bool]:
        typed = [sa.literal(value, column.type) for column, value in zip(key, after, strict=True)]
        if self._database.engine.dialect.name in ("sqlite", "postgresql"):
            return sa.tuple_(*key) > sa.tuple_(*typed)
        # MariaDB takes no index for the comparison of tuples
        steps = [
            sa.and_(*(key[n] == typed[n] for n in range(place)), key[place] > typed[place]) for place in range(len(key))
        ]
        return sa.and_(key[0] >= typed[0], sa.or_(*steps))

    def rows(self, table: str, keys: Sequence[Row]) -> dict[Row, Row]:
        if table == _MARKS:
            return {row[:1]: row for row in self._mark()}
        source = self._tables[table]
        key, shape = list(source.primary_key), shape_of(source)
        found: dict[Row, Row] = {}
        with self._read() as connection:
            for start in range(0, len(keys), AT_ONCE):
                each = [
                    sa.and_(*(column == value for column, value in zip(key, values, strict=True)))
                    for values in keys[start : start + AT_ONCE]
                ]
                for row in connection.execute(sa.select(source).where(sa.or_(*each))):
                    found[shape.key_of(tuple(row))] = tuple(row)
        return found

    @cached_property
    def _upserts(self) -> dict[str, Prepared]:
        dialect = self._database.engine.dialect
        return {
            name: upsert(table, dialect, greatest=("seq",) if name == _MARKS else ())
            for name, table in self._tables.items()
        }

    def put(self, table: str, columns: Sequence[str], rows: Sequence[Row], note: str) -> None:
        target = self._tables.get(table)
        if target is None or not set(columns) <= set(target.columns.keys()):
            strange = sorted(set(columns) - set(target.columns.keys())) if target is not None else []
            what = f"columns {', '.join(strange)} in {table}" if strange else f"table {table}"
            raise UsageError(f"{self.kind} {self.where}: there is no {what} here: use the crawlkit that wrote it")
        places = {name: place for place, name in enumerate(columns)}
        defaults = {column.name: _default(column) for column in target.columns if column.name not in places}
        order = [(places.get(name), defaults.get(name)) for name in target.columns.keys()]  # noqa: SIM118
        whole = [tuple(default if place is None else row[place] for place, default in order) for row in rows]
        try:
            with self._database.write() as connection:
                if whole:
                    connection.exec_driver_sql(self._upserts[table].sql, whole)
                self._write_note(connection, note)
        except exc.DBAPIError as error:
            key = shape_of(target).key_of(whole[0])
            raise UsageError(f"{self.kind} {self.where}: rows of {table} from {key} on: {error.orig}") from error

    def counts(self, table: str) -> dict[str, int]:
        if table == _MARKS:
            return {"": 1} if self._mark() else {}
        source = self._tables[table]
        owner = shape_of(source).owner
        with self._read() as connection:
            if owner is None:
                count = connection.execute(sa.select(sa.func.count()).select_from(source)).scalar() or 0
                return {"": int(count)} if count else {}
            column = source.c[owner]
            query = sa.select(column, sa.func.count()).group_by(column)
            return {name: int(count) for name, count in connection.execute(query)}

    def clear(self, table: str) -> None:
        if table != _MARKS:
            with self._database.write() as connection:
                self._database.take_time(connection)
                connection.execute(sa.delete(self._tables[table]))

    def note(self) -> str | None:
        with self._database.read() as connection:
            if not sa.inspect(connection).has_table(NOTES.name):
                return None
            return connection.execute(sa.select(NOTES.c.note).where(NOTES.c.kind == self.kind)).scalar()

    def set_note(self, text: str | None) -> None:
        with self._database.write() as connection:
            if text is not None:
                NOTES.create(connection, checkfirst=True)
                self._write_note(connection, text)
            elif sa.inspect(connection).has_table(NOTES.name):
                connection.execute(sa.delete(NOTES).where(NOTES.c.kind == self.kind))
                if connection.execute(sa.select(NOTES.c.kind).limit(1)).first() is None:
                    NOTES.drop(connection)

    def _write_note(self, connection: Connection, text: str) -> None:
        statement = upsert(NOTES, self._database.engine.dialect)
        connection.exec_driver_sql(statement.sql, (self.kind, text))

    def finish(self) -> None:
        if self._database.engine.dialect.name != "postgresql":
            return  # these look for the largest number themselves
        with self._database.write() as connection:
            self._database.take_time(connection)
            for table in self._tables.values():
                column = table.autoincrement_column
                if column is not None:
                    largest = connection.execute(sa.select(sa.func.max(column))).scalar()
                    name = sa.func.pg_get_serial_sequence(f'"{table.name}"', column.name)
                    if largest is not None and connection.execute(sa.select(name)).scalar() is not None:
                        connection.execute(sa.select(sa.func.setval(name, largest)))

    @contextmanager
    def snapshot(self, folder: str) -> Iterator[Carrier]:
        if self._database.is_sqlite:
            with tempfile.TemporaryDirectory(prefix=".snapshot-", dir=folder) as place:
                copy = os.path.join(place, f"{self.kind}.db")
                self._copy_file(copy)
                from crawlkit.database.sqlalchemy.sqlite import open_sqlite

                database = open_sqlite(copy, self._database.what, read_only=True)
                try:
                    carrier = SqlCarrier(database, self.kind)
                    carrier.where = self.where
                    yield carrier
                finally:
                    database.close()
            return
        with self._database.read(snapshot=True) as connection:
            self._database.take_time(connection)
            connection.execute(sa.select(next(iter(self._tables.values()))).limit(1))  # from here on nothing changes
            yield SqlCarrier(self._database, self.kind, connection)

    def _copy_file(self, place: str) -> None:
        """All pages in one step: nobody who writes waits for it, and nobody's writing makes it begin anew."""
        with self._database.read() as connection, closing(sqlite3.connect(place)) as copy:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")


def shape_of(table: sa.Table) -> Shape:
    """A table's columns and key."""
    large = any(isinstance(column.type, sa.LargeBinary) for column in table.columns)
    columns = tuple(str(column.name) for column in table.columns)  # without SQLAlchemy's marks for quoting
    types = tuple(
        _TYPES[column.type.python_type] | ({type(None)} if column.nullable else set()) for column in table.columns
    )
    return Shape(table.name, columns, tuple(str(column.name) for column in table.primary_key), large, types)


def _default(column: sa.Column[Any]) -> Any:
    """What a row of an older version has in a column that it did not know."""
    given = column.server_default
    if isinstance(given, sa.DefaultClause) and isinstance(given.arg, str):
        return int(given.arg) if isinstance(column.type, sa.Integer) else given.arg
    if not column.nullable:
        raise UsageError(f"table {column.table.name} needs {column.name}, which these rows do not have")
    return None
