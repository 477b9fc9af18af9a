"""Which URL opens which store, and what the refusals say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crawlkit.database import memory, registry
from crawlkit.database.base import ProjectRow
from crawlkit.database.local import LocalProjectStore
from crawlkit.database.registry import (
    connect_blobdb,
    connect_database,
    connect_projectdb,
    connect_resultdb,
    connect_taskdb,
    parse,
)
from crawlkit.database.sqlalchemy.projectstore import SqlProjectStore
from crawlkit.database.sqlalchemy.taskstore import SqlTaskStore
from crawlkit.libs.errors import UsageError
from tests.plugins import install


@pytest.mark.parametrize(
    ("url", "engine", "driver", "kind", "rest"),
    [
        ("sqlite+taskdb:///rel.db", "sqlite", "", "taskdb", "/rel.db"),
        ("sqlite:////abs/x.db", "sqlite", "", "", "//abs/x.db"),
        ("sqlalchemy+sqlite+projectdb:///x.db", "sqlite", "", "projectdb", "/x.db"),
        ("sqlalchemy+mysql+mysqlconnector+resultdb://u:p@h/d", "mysql", "mysqlconnector", "resultdb", "u:p@h/d"),
        ("postgresql+psycopg://h/d", "postgresql", "psycopg", "", "h/d"),
        ("postgresql+psycopg+taskdb://h/d", "postgresql", "psycopg", "taskdb", "h/d"),
        ("MEMORY://", "memory", "", "", ""),
        ("local+projectdb://a/*.py,b.py", "local", "", "projectdb", "a/*.py,b.py"),
    ],
)
def test_parse(url: str, engine: str, driver: str, kind: str, rest: str) -> None:
    assert parse(url)[:4] == (engine, driver, kind, rest)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "engine://place"),
        ("task.db", "engine://place"),
        ("://x", "engine://place"),
        ("taskdb://x", "one engine"),
        ("sqlalchemy+taskdb:///x", "one engine"),
        ("sqlite+taskdb+resultdb:///x", "one of taskdb"),
        ("sqlite+resultdb:///x.db", "is for a resultdb, but stands where the taskdb goes"),
        (
            "sqlight:///x.db",
            "unknown engine 'sqlight': use sqlite, postgresql, mysql or memory, for instance sqlite:////",
        ),
        ("mongodb+taskdb://h/d", "not supported"),
        ("redis+taskdb://h", "not supported"),
        ("postgresql+oracle://h/d", "unknown driver 'oracle': write postgresql.psycopg://"),
        ("mysql+odbc+taskdb://h/d", "unknown driver 'odbc': write mysql.pymysql://"),
        ("postgresql://h:99999/d", "port 99999: use one between 1 and 65535"),
        ("postgresql://fe80::1/d", "stands in .brackets."),
        ("postgresql://h/a.b", "the name of the database"),
        ("postgresql://h/d?sslmod=require", "unknown option 'sslmod': there are host, timeout"),
        ("mysql://h/d?timeout=soon", "timeout=soon: use a number of seconds"),
        ("sqlite://x.db", "three slashes"),
        ("sqlite:////nowhere/at/all/x.db", "there is no directory /nowhere/at/all"),
        ("sqlite:////tmp/x.db?timeout=soon", "timeout=SECONDS"),
        ("sqlite:////tmp/x.db?mode=ro", "timeout=SECONDS"),
        ("local://*.py", "only be a projectdb"),
    ],
)
def test_refusals_say_what_is_wrong(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        connect_taskdb(url)


def test_the_type_must_be_said_for_connect_database() -> None:
    with pytest.raises(UsageError, match="say which database"):
        connect_database("sqlite:///x.db")


def test_url_forms_lead_to_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R10, R11, R13: relative, absolute, simple, pyspider's."""
    monkeypatch.chdir(tmp_path)
    first = connect_projectdb("sqlite:///x #%ü?.db".replace("?", ""))
    first.put(ProjectRow("a"))
    first.close()
    forms = [
        "sqlite+projectdb:///x #%ü.db",
        f"sqlite:///{tmp_path}/x #%ü.db",
        "sqlalchemy+sqlite+projectdb:///x #%ü.db",
    ]
    for url in forms:
        store = connect_projectdb(url)
        assert isinstance(store, SqlProjectStore)
        assert store.names() == ["a"]
        store.close()
    store = connect_database(forms[0])
    assert isinstance(store, SqlProjectStore)
    store.close()


@pytest.mark.parametrize("url", ["memory://", "memory+{type}://", "sqlite+{type}://", "sqlite:///:memory:"])
def test_memory(url: str) -> None:
    assert isinstance(connect_taskdb(url.format(type="taskdb")), memory.MemoryTaskStore)
    assert isinstance(connect_projectdb(url.format(type="projectdb")), memory.MemoryProjectStore)
    assert isinstance(connect_resultdb(url.format(type="resultdb")), memory.MemoryResultStore)
    assert isinstance(connect_blobdb(url.format(type="blobdb")), memory.MemoryBlobStore)


def test_local_scripts(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x")
    store = connect_projectdb(f"local+projectdb://{tmp_path}/*.py")
    assert isinstance(store, LocalProjectStore)
    assert store.names() == ["a"]
    assert isinstance(connect_database(f"local+projectdb://{tmp_path}/*.py"), LocalProjectStore)


def test_all_stores_can_share_one_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/all.db"
    stores = [connect_taskdb(url), connect_projectdb(url), connect_resultdb(url), connect_blobdb(url)]
    stores[1].put(ProjectRow("a"))
    for store in stores:
        store.close()
    again = connect_taskdb(url)
    assert isinstance(again, SqlTaskStore)
    assert again.projects() == []
    again.close()


def test_backends_are_imported_when_asked_for() -> None:
    code = (
        "import sys; from crawlkit.database import registry; registry.connect_taskdb('memory://');"
        "print([name for name in ('sqlalchemy', 'alembic') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_opening_does_not_import_alembic(tmp_path: Path) -> None:
    code = (
        "import sys; from crawlkit.database import registry as r;"
        f"[r.connect_database('sqlite+%s:///{tmp_path}/%s.db' % (kind, kind)).close() for kind in r.TYPES];"
        "print('alembic' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
    assert {path.name for path in tmp_path.iterdir()} == {f"{kind}.db" for kind in registry.TYPES}


@pytest.mark.parametrize(
    ("url", "accounts"),
    [
        ("sqlite:///p.db", True), ("memory://", True), ("postgresql+psycopg://u@h/d", True), ("far://h/d", False),
        ("near://h/d", True),
    ],
)  # fmt: skip
def test_whose_backends_keep_accounts(
    url: str, accounts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "far-store", "crawlkit.projectdbs", {"far": "far_store:Store"}, far_store="class Store: ...")
    install(tmp_path, "near-store", "crawlkit.accountdbs", {"near": "near_store:Store"}, near_store="class Store: ...")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert registry.has_accounts(url) is accounts
