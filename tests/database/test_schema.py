"""Opening: made once, migrated once, refused in words."""

from __future__ import annotations

import multiprocessing
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crawlkit.contract.rows import waiting, writes
from crawlkit.database import registry
from crawlkit.database.base import Queue
from crawlkit.database.registry import connect_database, connect_projectdb, connect_taskdb
from crawlkit.database.sqlalchemy import schema, tables
from crawlkit.libs.errors import StoreMismatch, UsageError

HEAD = tables.HEADS["taskdb"]
NEXT = f"{int(HEAD) + 1:04}"
ONE_MORE = """
import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {head!r}


def upgrade():
    op.add_column("tasks", sa.Column("colour", sa.Text))
    op.execute("UPDATE tasks SET colour = 'green'")
    with open({trace!r}, "a") as trace:
        trace.write("x")
    {then}
"""


def dump(path: Path) -> list[Any]:
    with sqlite3.connect(path) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in sorted(names)}
        indexes = connection.execute("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name")
        rowids = {
            row[0]: "WITHOUT ROWID" in row[1]
            for row in connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
        }
        return [columns, indexes.fetchall(), rowids]


@pytest.mark.parametrize("kind", registry.TYPES)
def test_the_migrations_end_in_the_tables(kind: str, tmp_path: Path) -> None:
    """A new store is made from the tables at once; one that was migrated must look the same."""
    connect_database(f"sqlite+{kind}:///{tmp_path}/new.db").close()
    old = sa.create_engine(f"sqlite:///{tmp_path}/migrated.db")
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(schema.MIGRATIONS / kind))
    assert scripts.get_heads() == [tables.HEADS[kind]]
    with old.begin() as connection:
        options = {"version_table": schema.version_table(kind), "fn": lambda rev, _: scripts._upgrade_revs("head", rev)}
        context = MigrationContext.configure(connection, opts=options)
        with Operations.context(context):
            context.run_migrations()
    old.dispose()
    assert dump(tmp_path / "migrated.db")[1:] == dump(tmp_path / "new.db")[1:]
    new, migrated = dump(tmp_path / "new.db")[0], dump(tmp_path / "migrated.db")[0]
    for table in tables.METADATA[kind].tables:
        assert migrated[table] == new[table]


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes this process think that it is a version with one more migration."""

    def install(then: str = "pass") -> Path:
        copied = tmp_path / "migrations"
        if not copied.exists():
            shutil.copytree(schema.MIGRATIONS, copied)
        trace = tmp_path / "trace"
        script = copied / "taskdb" / "versions" / f"{NEXT}_colour.py"
        script.write_text(ONE_MORE.format(revision=NEXT, head=HEAD, trace=str(trace), then=then))
        monkeypatch.setattr(schema, "MIGRATIONS", copied)
        monkeypatch.setitem(tables.HEADS, "taskdb", NEXT)
        return trace

    return install


def make_old(path: Path) -> str:
    url = f"sqlite:///{path}"
    store = connect_taskdb(url)
    store.commit(writes(insert=[waiting("a", 1), waiting("b", 2)]))
    store.close()
    return url


def colours(path: Path) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        found = connection.execute("SELECT taskid, colour FROM tasks ORDER BY taskid").fetchall()
        return [*found, *connection.execute("SELECT version_num FROM crawlkit_taskdb_version").fetchall()]
    finally:
        connection.close()


def test_an_old_store_is_migrated_when_opened(tmp_path: Path, next_version: Any) -> None:
    url = make_old(tmp_path / "x.db")
    trace = next_version()
    with pytest.raises(StoreMismatch, match=f"older schema {HEAD}: start crawlkit on it once"):
        connect_taskdb(url, read_only=True)
    store = connect_taskdb(url)
    assert [row.taskid for row in store.window("p", Queue.READY, None, 5)] == ["a", "b"]
    store.close()
    connect_taskdb(url).close()
    assert colours(tmp_path / "x.db") == [("a", "green"), ("b", "green"), (NEXT,)]
    assert trace.read_text() == "x"


def test_a_migration_that_fails_leaves_the_old_store(tmp_path: Path, next_version: Any) -> None:
    url = make_old(tmp_path / "x.db")
    next_version(then="raise RuntimeError('no')")
    with pytest.raises(RuntimeError):
        connect_taskdb(url)
    with pytest.raises(sqlite3.OperationalError, match="colour"):
        colours(tmp_path / "x.db")
    next_version()
    connect_taskdb(url).close()
    assert colours(tmp_path / "x.db")[-1] == (NEXT,)


def open_at_once(url: str, barrier: Any, answers: Any) -> None:
    barrier.wait()
    try:
        store = connect_database(url)
        answers.put(str(store.books("p").tasks) if hasattr(store, "books") else "opened")
        store.close()
    except Exception as error:  # whatever it is, the parent shall see it
        answers.put(repr(error))


def all_at_once(url: str, count: int = 6) -> list[str]:
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(count), context.Queue()
    children = [context.Process(target=open_at_once, args=(url, barrier, answers)) for _ in range(count)]
    for child in children:
        child.start()
    found = [answers.get(timeout=60) for _ in children]
    for child in children:
        child.join()
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork()")
def test_many_migrate_at_once(tmp_path: Path, next_version: Any) -> None:
    url = make_old(tmp_path / "x.db")
    trace = next_version(then="__import__('time').sleep(0.2)")
    assert all_at_once(url.replace("sqlite:", "sqlite+taskdb:")) == ["2"] * 6
    assert trace.read_text() == "x"


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork()")
@pytest.mark.parametrize("kind", registry.TYPES)
def test_many_make_a_store_at_once(tmp_path: Path, kind: str) -> None:
    found = all_at_once(f"sqlite+{kind}:///{tmp_path}/x.db")
    assert set(found) == {"0" if kind == "taskdb" else "opened"}


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    url = make_old(tmp_path / "x.db")
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("UPDATE crawlkit_taskdb_version SET version_num = '0999'")
    for read_only in (False, True):
        with pytest.raises(StoreMismatch, match=r"schema 0999.*newer crawlkit"):
            connect_taskdb(url, read_only=read_only)


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("CREATE TABLE customers (name)")
    with pytest.raises(StoreMismatch, match=r"not a crawlkit store.*customers"):
        connect_taskdb(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(StoreMismatch, match="not a crawlkit taskdb"):
        connect_taskdb(f"sqlite:///{tmp_path}/x.db", read_only=True)
    with sqlite3.connect(tmp_path / "x.db") as connection:
        assert [row[0] for row in connection.execute("SELECT name FROM sqlite_master")] == ["customers"]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("hello, I am a letter\n" * 100)
    with pytest.raises(StoreMismatch, match="not an SQLite file"):
        connect_taskdb(f"sqlite:///{tmp_path}/x.db")
    assert (tmp_path / "x.db").read_text().startswith("hello")


def test_what_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no"):
        connect_taskdb(f"sqlite:///{tmp_path}/x.db", read_only=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="is a directory"):
        connect_projectdb(f"sqlite:///{tmp_path}")
