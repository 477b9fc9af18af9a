"""A database on a server for a while: made, looked into, emptied, dropped. For what measures and proves only.

A name is never one that somebody uses: whoever calls this made it up, or was told it and found it empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crawlkit.database.registry import parse
from crawlkit.database.serverurl import POSTGRESQL, SERVERS, ServerURL, parse_server
from crawlkit.libs.errors import ServiceUnreachable, StoreError, UsageError

if TYPE_CHECKING:
    from crawlkit.database.sqlalchemy.engine import Database

WHAT = "taskdb"  # what a database is opened as; any kind of store would do
_RIGHTS = ("may not make it", "may not use this database")  # said where the user may make no database
DOORS = ("postgres", "template1")  # databases from which PostgreSQL drops another one


def server_of(url: str) -> ServerURL | None:
    """The URL of a database on a server, taken apart; ``None``: it is none of these. Raises :class:`UsageError`."""
    parts = parse(url)
    return parse_server(parts.engine, parts.driver, parts.rest, url) if parts.engine in SERVERS else None


def with_database(url: str, name: str) -> str:
    """The URL of a server with another database in it. Pure."""
    begin, _, rest = url.partition("://")
    place, question, query = rest.partition("?")
    account, at, address = place.rpartition("@")
    return f"{begin}://{account}{at}{address.partition('/')[0]}/{name}{question}{query}"


def database_of(url: str) -> str:
    """The name of the database in the URL of a server."""
    return _server(url).database


def make(url: str) -> str:
    """Makes the database of ``url``; returns what the server calls itself.

    Raises :class:`UsageError` when the user may not, with the right that is missing, and :class:`ServiceUnreachable`.
    """
    server = _server(url)
    try:
        database = _open(server)
    except StoreError as error:
        words = _words(error)
        # PostgreSQL says no more than that it is not there to who may enter neither of its doors.
        if any(right in words for right in (*_RIGHTS, f'database "{server.database}" does not exist')):
            raise UsageError(f"{words}; or let the user make it: {_grant(server)}") from None
        raise ServiceUnreachable(words) from None
    try:
        return _version(database, server)
    finally:
        database.engine.dispose()


def tables(url: str) -> list[str]:
    """The names of the tables in the database of ``url``. Raises :class:`ServiceUnreachable`."""
    import sqlalchemy as sa

    with _Opened(url, read_only=True) as database, database.engine.connect() as connection:
        return sorted(sa.inspect(connection).get_table_names())


def clear(url: str) -> list[str]:
    """Drops the tables of crawlkit; returns the names of others that are there. Raises :class:`ServiceUnreachable`."""
    import sqlalchemy as sa

    from crawlkit.database.sqlalchemy.engine import version_table
    from crawlkit.database.sqlalchemy.tables import METADATA

    ours = {name for metadata in METADATA.values() for name in metadata.tables} | {*map(version_table, METADATA)}
    with _Opened(url) as database, database.engine.connect() as connection:
        there = sorted(sa.inspect(connection).get_table_names())
        quoted = [connection.dialect.identifier_preparer.quote(name) for name in there if name in ours]
        if quoted:
            connection.exec_driver_sql(f"DROP TABLE {', '.join(quoted)}")
        return [name for name in there if name not in ours]


def drop(url: str) -> None:
    """Drops the database of ``url``, whoever is still connected; nothing when there is none. Raises
    :class:`ServiceUnreachable`."""
    server = _server(url)
    if server.kind != POSTGRESQL:
        with _Opened(url) as database, database.engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE `{server.database}`")
        return
    refused: Exception = ServiceUnreachable(server.where)
    for door in DOORS:
        try:
            with _Opened(with_database(url, door)) as database, database.engine.connect() as connection:
                _drop_postgresql(connection, server.database)
            return
        except ServiceUnreachable as error:
            refused = error
    raise refused


def _drop_postgresql(connection: Any, name: str) -> None:
    version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
    force = " WITH (FORCE)" if version >= 130_000 else ""
    if not force:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        connection.exec_driver_sql(others, (name,))
    connection.exec_driver_sql(f'DROP DATABASE IF EXISTS "{name}"{force}')


class _Opened:
    """An open database, whose errors are :class:`ServiceUnreachable` in words."""

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._server = _server(url)
        self._read_only = read_only
        self._database: Database | None = None

    def __enter__(self) -> Database:
        try:
            self._database = _open(self._server, read_only=self._read_only)
        except StoreError as error:
            raise ServiceUnreachable(_words(error)) from None
        return self._database

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from sqlalchemy import exc

        assert self._database is not None
        self._database.engine.dispose()
        if isinstance(error, exc.DBAPIError):
            raise ServiceUnreachable(f"{self._server.where}: {' '.join(str(error.orig).split())}") from None


def _open(server: ServerURL, *, read_only: bool = False) -> Database:
    from crawlkit.database.sqlalchemy.servers import open_server

    return open_server(server, WHAT, read_only=read_only)


def _server(url: str) -> ServerURL:
    found = server_of(url)
    if found is None:
        raise UsageError("a database of its own is made on PostgreSQL, MariaDB and MySQL only")
    return found


def _version(database: Database, server: ServerURL) -> str:
    asked = "SHOW server_version" if server.kind == POSTGRESQL else "SELECT VERSION()"
    with database.engine.connect() as connection:
        version, _, rest = str(connection.exec_driver_sql(asked).scalar_one()).partition("-")
    label = "MariaDB" if "MariaDB" in rest else server.label
    return f"{label} {version.split(' ')[0]}"


def _words(error: Exception) -> str:
    """On one line, without the kind of store it was opened as."""
    return " ".join(str(error).split()).removeprefix(f"{WHAT} ")


def _grant(server: ServerURL) -> str:
    """How an administrator lets the user make a database."""
    user = server.user or "the_user"
    if server.kind == POSTGRESQL:
        return f'ALTER ROLE "{user}" CREATEDB'
    pattern = server.database.rpartition("_")[0].replace("_", "\\_")
    return f"GRANT ALL ON `{pattern}\\_%`.* TO '{user}'"
