"""SQLite's write-ahead log is copied by a thread of its own."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crawlkit.database.sqlalchemy import checkpoints, sqlite
from crawlkit.database.sqlalchemy.checkpoints import Checkpoints
from crawlkit.database.sqlalchemy.sqlite import SqliteDatabase, open_sqlite

ROWS = 50
TEXT = "x" * 4_000  # a row is a page


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    found = open_sqlite(str(tmp_path / "x.db"), "taskdb")
    with found.write() as connection:
        connection.exec_driver_sql("CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT)")
    yield found
    found.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "checkpoints"]


def put(database: SqliteDatabase, rows: int) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO t (text) VALUES (?)", [(TEXT,)] * rows)


def pages_left(path: Path) -> int:
    """Of new pages in the log, those that are not in the file."""
    with closing(sqlite3.connect(path)) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    return int(pages) - path.stat().st_size // 4096


def test_the_log_is_copied_without_a_commit_that_waits(
    database: SqliteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database._checkpoints, "_rows", ROWS)
    put(database, ROWS - 1)
    assert not threads()
    assert pages_left(tmp_path / "x.db") >= ROWS - 1
    put(database, 1)
    wait_until(lambda: pages_left(tmp_path / "x.db") == 0)
    database.close()
    assert not threads()


def test_a_busy_writer_does_not_make_the_log_grow_for_ever(
    database: SqliteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database._checkpoints, "_rows", ROWS)
    for _ in range(4):
        put(database, ROWS)
        wait_until(lambda: pages_left(tmp_path / "x.db") == 0)
    assert (tmp_path / "x.db-wal").stat().st_size < 3 * ROWS * 4_120


def test_a_reader_that_stays_holds_no_commit_up(
    database: SqliteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database._checkpoints, "_rows", ROWS)
    with database.read(snapshot=True) as reader:
        assert reader.exec_driver_sql("SELECT count(*) FROM t").scalar() == 0
        for _ in range(5):
            put(database, ROWS)
        assert reader.exec_driver_sql("SELECT count(*) FROM t").scalar() == 0
    put(database, ROWS)
    wait_until(lambda: pages_left(tmp_path / "x.db") == 0)


def test_a_thread_that_cannot_open_the_file_ends_and_nothing_else_happens() -> None:
    def refuse() -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    found = Checkpoints(refuse, rows=1)
    found.committed(1)
    wait_until(lambda: not threads())
    found.committed(1)
    found.close()


def test_what_changes_nothing_is_not_counted() -> None:
    found = Checkpoints(lambda: sqlite3.connect(":memory:"), rows=1)
    found.committed(0)
    assert not threads()
    found.close()


def test_sqlite_itself_still_copies_a_log_that_grew_far_too_long() -> None:
    assert checkpoints.ROWS < sqlite.LOG_PAGES / 2
