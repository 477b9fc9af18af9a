"""A database of its own on a server: made with the right words where that may not be, and nothing of it is left."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import sqlalchemy as sa

from crawlkit.database import scratch
from crawlkit.database.registry import connect_projectdb, connect_taskdb
from crawlkit.libs.errors import ServiceUnreachable, UsageError
from tests.servers import free_port, need

SERVERS = ["postgres", "mariadb"]


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a database that is not there, on a server that is."""
    found = scratch.with_database(need(request.param), f"crawlkit_test_{secrets.token_hex(6)}")
    yield found
    with suppress(ServiceUnreachable):
        scratch.drop(found)


@contextmanager
def somebody(name: str) -> Iterator[str]:
    """The URL of a server for a user who may make nothing in it."""
    server = need(name)
    user = f"crawlkit_test_{secrets.token_hex(4)}"
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    make, end = {
        "postgres": (f"CREATE ROLE {user} LOGIN", f"DROP ROLE {user}"),
        "mariadb": (f"CREATE USER {user}@'%%' IDENTIFIED BY 'pw'", f"DROP USER {user}@'%%'"),
    }[name]
    with admin.connect() as connection:
        connection.exec_driver_sql(make)
    begin, _, rest = server.partition("://")
    try:
        yield f"{begin}://{user}:pw@{rest.rpartition('@')[2]}"
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(end)


@pytest.mark.parametrize(
    ("url", "other"),
    [("postgresql+psycopg+taskdb://u:p%40w@h:1/old?timeout=5", "postgresql+psycopg+taskdb://u:p%40w@h:1/new?timeout=5"),
     ("mysql://h", "mysql://h/new"), ("postgres:///old?host=/run", "postgres:///new?host=/run")],
)  # fmt: skip
def test_a_url_with_another_database(url: str, other: str) -> None:
    assert scratch.with_database(url, "new") == other


def test_made_used_emptied_dropped(url: str) -> None:
    assert scratch.make(url).split(" ")[0] in ("PostgreSQL", "MariaDB", "MySQL")
    assert scratch.tables(url) == []
    connect_taskdb(url).close()
    connect_projectdb(url).close()
    assert "tasks" in scratch.tables(url)
    with sa.create_engine(url).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE somebody_elses (a integer)")
    assert scratch.clear(url) == ["somebody_elses"]
    assert scratch.tables(url) == ["somebody_elses"]
    scratch.drop(url)
    with pytest.raises(ServiceUnreachable):
        scratch.tables(url)
    scratch.drop(url)  # there is nothing to do


def test_who_is_still_connected_does_not_keep_it(url: str) -> None:
    scratch.make(url)
    # its own good-bye fails when it was thrown out
    with suppress(sa.exc.OperationalError), sa.create_engine(url).connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        scratch.drop(url)
    with pytest.raises(ServiceUnreachable):
        scratch.tables(url)


@pytest.mark.parametrize("name", SERVERS)
def test_the_right_that_is_missing_is_named(name: str) -> None:
    with somebody(name) as server:
        url = scratch.with_database(server, "crawlkit_bench_1a2b")
        right = "ALTER ROLE .* CREATEDB" if name == "postgres" else r"GRANT ALL ON `crawlkit\\_bench\\_%`\.\* TO"
        with pytest.raises(UsageError, match=right) as error:
            scratch.make(url)
        assert not isinstance(error.value, ServiceUnreachable)
        assert "crawlkit_bench_1a2b" in str(error.value)


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_is_not_there(scheme: str) -> None:
    url = f"{scheme}://u:s3cret@127.0.0.1:{free_port()}/x"
    for ask in (scratch.make, scratch.tables, scratch.clear, scratch.drop):
        with pytest.raises(ServiceUnreachable, match="is the server running there") as error:
            ask(url)
        assert "s3cret" not in str(error.value)


def test_a_file_is_no_server() -> None:
    assert scratch.server_of("sqlite:////tmp/x.db") is None
    with pytest.raises(UsageError, match="PostgreSQL, MariaDB and MySQL only"):
        scratch.make("sqlite:////tmp/x.db")
