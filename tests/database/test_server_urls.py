"""URLs of database servers: what they mean, and that no password is ever shown (R10, R12, R13)."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlkit.database.base import ProjectRow
from crawlkit.database.registry import connect_projectdb, connect_taskdb, parse
from crawlkit.database.serverurl import ServerURL, parse_server
from crawlkit.libs.errors import UsageError
from crawlkit.libs.url_masking import masked

from .stores import url_of


def taken_apart(url: str) -> ServerURL:
    parts = parse(url)
    return parse_server(parts.engine, parts.driver, parts.rest, url)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("postgresql+psycopg://u:p@h:1/d", ("postgresql", "PostgreSQL", "u", "p", "h", 1, "d")),
        ("postgres://h", ("postgresql", "PostgreSQL", "", "", "h", 5432, "crawlkit")),
        ("postgresql://u@[fe80::1]:5/d", ("postgresql", "PostgreSQL", "u", "", "fe80::1", 5, "d")),
        ("postgresql:///d?host=/run/pg", ("postgresql", "PostgreSQL", "", "", "localhost", 5432, "d")),
        ("mysql+pymysql://u:p%40%2F@h/d", ("mariadb", "MySQL", "u", "p@/", "h", 3306, "d")),
        ("mariadb://u:p:q@h/d?charset=utf8mb4", ("mariadb", "MariaDB", "u", "p:q", "h", 3306, "d")),
        ("sqlalchemy+mysql+mysqlconnector+taskdb://u:p@h/d", ("mariadb", "MySQL", "u", "p", "h", 3306, "d")),
        ("sqlalchemy+postgresql+type+taskdb://h/d", None),
    ],
)
def test_taken_apart(url: str, wanted: tuple[object, ...] | None) -> None:
    if wanted is None:
        with pytest.raises(UsageError, match="unknown driver 'type'"):
            taken_apart(url)
        return
    assert taken_apart(url)[:7] == wanted


def test_where_is_for_people() -> None:
    assert taken_apart("postgresql://u:secret@h/d").where == "PostgreSQL h:5432/d"
    assert taken_apart("mysql://u:secret@[::1]/d").where == "MySQL [::1]:3306/d"
    assert taken_apart("postgresql:///d?host=/run/pg").where == "PostgreSQL /run/pg/d"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql://u:secret@h/d", "mysql://u:***@h/d"),
        ("mysql://u:sec@re/t@h/d", "mysql://u:***@h/d"),
        ("mysql://h/d?password=secret&ssl=true", "mysql://h/d?password=***&ssl=true"),
        ("sqlite:////a/b@c.db", "sqlite:////a/b@c.db"),
        ("memory://", "memory://"),
    ],
)
def test_passwords_are_never_shown(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize(
    "url", ["postgresql+resultdb://u:secret@h/d", "oracle://u:secret@h/d", "mysql://u:secret@h/d?x=1", "u:secret@h"]
)
def test_no_refusal_has_the_password(url: str) -> None:
    with pytest.raises(UsageError) as info:
        connect_taskdb(url)
    assert "secret" not in str(info.value)


@pytest.mark.parametrize("backend", ["postgresql", "mariadb"])
def test_pyspiders_forms_lead_to_the_same_database(backend: str, tmp_path: Path) -> None:
    url = url_of(backend, tmp_path)
    place = url.partition("://")[2]
    first = connect_projectdb(url)
    first.put(ProjectRow("a"))
    first.close()
    forms = {
        "postgresql": ("postgresql", "postgres", "postgresql+projectdb", "sqlalchemy+postgresql+projectdb"),
        "mariadb": (
            "mysql",
            "mariadb",
            "mariadb+pymysql",
            "mysql+projectdb",
            "sqlalchemy+mysql+mysqlconnector+projectdb",
        ),
    }[backend]
    for form in forms:
        store = connect_projectdb(f"{form}://{place}")
        assert store.names() == ["a"]
        store.close()
