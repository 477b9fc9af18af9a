"""Loads waiting tasks into a taskdb as fast as the database can, past crawlkit's own commits: for benchmarks only.

The rows, their indices and the ledger are those that a crawl would have made. On PostgreSQL the indices are built when
the rows are there; SQLite keeps those of the primary key as they come, in the random order of taskids.
"""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crawlkit.database.base import Queue, TaskRow, Writes
from crawlkit.database.registry import connect_taskdb
from crawlkit.database.sqlalchemy.tables import tasks
from crawlkit.database.sqlalchemy.taskrows import insert_values
from crawlkit.libs.task import Process, Status

PROJECT = "bench"
HOSTS = 1_000
NOW = 1_700_000_000.0
CHUNK = 50_000
DONE_CACHE = 1_500_000  # KiB of memory for the load alone
_COLUMNS = [column.name for column in tasks.columns]


def url_of(number: int) -> str:
    """Of the task with that number, from 0: a plain GET."""
    return f"http://{host_of(number)}/section/{number % 97}/page-{number}.html"


def host_of(number: int) -> str:
    return f"host{number * 7919 % HOSTS}.example"


def taskid_of(number: int) -> str:
    """As crawlkit makes it of such a URL."""
    return hashlib.md5(url_of(number).encode(), usedforsecurity=False).hexdigest()


def row_of(number: int, done: bool = False) -> TaskRow:
    return TaskRow(
        PROJECT, taskid_of(number), url_of(number), host_of(number), 0,
        Status.SUCCESS if done else Status.ACTIVE, None if done else Queue.READY, 0.0, number + 1,
        process=Process(callback="detail_page"), updatetime=NOW, lastcrawltime=NOW if done else 0.0, attempt=int(done),
    )  # fmt: skip


def load(url: str, count: int, done: bool = False) -> None:
    """Fills an empty taskdb with ``count`` waiting (or finished) tasks of one project."""
    store = connect_taskdb(url)  # makes the tables
    try:
        values = _values(count - 1, done)
        if url.startswith("sqlite"):
            _into_sqlite(Path(url.partition("///")[2]), values)
        else:
            _into_postgresql(url, values)
        last = Writes(insert=[row_of(count - 1, done)])  # as the scheduler would: it notes the largest seq
        last.count(PROJECT, "accepted", "submit", count)
        if done:
            last.count(PROJECT, "done", "", count)
        store.commit(last)
    finally:
        store.close()


def _values(count: int, done: bool) -> Iterator[tuple[Any, ...]]:
    like = insert_values(row_of(0, done))
    before, between, behind = like[:1], like[4:8], like[9:]
    for number in range(count):
        # the parts that differ from row to row: taskid, url, host; seq
        yield (*before, taskid_of(number), url_of(number), host_of(number), *between, number + 1, *behind)


def _into_sqlite(path: Path, values: Iterator[tuple[Any, ...]]) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    made = [sql for (sql,) in connection.execute(
        "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'tasks' AND sql IS NOT NULL"
    )]  # fmt: skip
    names = [name for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'tasks' AND sql IS NOT NULL"
    )]  # fmt: skip
    for pragma in ("journal_mode = WAL", "synchronous = OFF", f"cache_size = -{DONE_CACHE}"):
        connection.execute(f"PRAGMA {pragma}").fetchone()
    for name in names:
        connection.execute(f'DROP INDEX "{name}"')
    insert = f"INSERT INTO tasks VALUES ({', '.join('?' * len(_COLUMNS))})"
    while chunk := list(itertools.islice(values, CHUNK)):
        connection.execute("BEGIN")
        connection.executemany(insert, chunk)
        connection.execute("COMMIT")
    for sql in made:
        connection.execute(sql)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    connection.close()


def _into_postgresql(url: str, values: Iterator[tuple[Any, ...]]) -> None:
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '512MB'; SET synchronous_commit = off")
        made = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'tasks' AND indexname <> 'tasks_pkey'"
        ).fetchall()
        key = connection.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'tasks_pkey'"
        ).fetchone()
        assert key is not None
        for name, _ in made:
            connection.execute(f'DROP INDEX "{name}"')  # type: ignore[call-overload]
        connection.execute("ALTER TABLE tasks DROP CONSTRAINT tasks_pkey")
        with connection.cursor().copy("COPY tasks FROM STDIN") as copy:
            for row in values:
                copy.write_row(row)
        connection.execute(f"ALTER TABLE tasks ADD CONSTRAINT tasks_pkey {key[0]}")  # type: ignore[call-overload]
        for _, definition in made:
            connection.execute(definition)
        connection.execute("VACUUM (ANALYZE) tasks")


def bytes_on_disk(url: str) -> int:
    """Of the table of tasks with its indices."""
    if url.startswith("sqlite"):
        path = Path(url.partition("///")[2])
        return sum(one.stat().st_size for one in path.parent.glob(path.name + "*"))
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        found = connection.execute("SELECT pg_total_relation_size('tasks')").fetchone()
    assert found is not None
    return int(found[0])
