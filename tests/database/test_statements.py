"""Statements that go to SQLite past SQLAlchemy are a part of its transactions, and fail in crawlkit's own words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from crawlkit.database.sqlalchemy.sqlite import SqliteDatabase, open_sqlite
from crawlkit.database.sqlalchemy.statements import Prepared
from crawlkit.libs.errors import StoreUnavailable

table = sa.Table("numbers", sa.MetaData(), sa.Column("number", sa.Integer, primary_key=True))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    made = open_sqlite(str(tmp_path / "x.db"), "taskdb")
    with made.write() as connection:
        table.create(connection)
    yield made
    made.close()


def insert(database: SqliteDatabase, number: int, problem: Exception | None = None) -> None:
    statement = Prepared(lambda: sa.insert(table).inline(), database.engine.dialect, ["number"])
    with database.write() as connection:
        assert statement.send(connection, (number,)).rowcount == 1
        if problem is not None:
            raise problem


def numbers(database: SqliteDatabase, of: sa.Table = table) -> list[int]:
    statement = Prepared(lambda: sa.select(of.c.number), database.engine.dialect)
    with database.read() as connection:
        return [number for (number,) in statement.send(connection, ()).fetchall()]


def test_what_was_sent_is_kept_with_its_transaction(database: SqliteDatabase) -> None:
    insert(database, 1)
    database.close()
    assert numbers(database) == [1]


def test_what_was_sent_is_undone_with_its_transaction(database: SqliteDatabase) -> None:
    with pytest.raises(KeyError):
        insert(database, 1, KeyError())
    assert numbers(database) == []


def test_what_cannot_be_sent_is_said_in_our_words(database: SqliteDatabase) -> None:
    with pytest.raises(StoreUnavailable, match="no such table"):
        numbers(database, sa.Table("nowhere", sa.MetaData(), sa.Column("number", sa.Integer)))
