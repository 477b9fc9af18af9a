"""What only PostgreSQL knows: how to connect, advisory locks, its error codes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from sqlalchemy import exc
from sqlalchemy.engine import Connection, Engine

from crawlkit.database.rules import BUSY_TIMEOUT
from crawlkit.database.serverurl import ServerURL
from crawlkit.database.sqlalchemy.engine import Conflict, Database, Sender, Unsigned, again
from crawlkit.database.sqlalchemy.pipeline import pipelined
from crawlkit.database.sqlalchemy.servers import (
    ABANDONED,
    CONNECT_TIMEOUT,
    UNHEARD,
    read_timeout_of,
    server_engine,
    take_time,
)
from crawlkit.database.sqlalchemy.tables import HEADS
from crawlkit.libs.errors import StoreMismatch, StoreUnavailable

T = TypeVar("T")
LOCKS = 0x63726177  # "craw": the class of all advisory locks of crawlkit
_WRITER = {what: number for number, what in enumerate(HEADS, 1)}

# beginning of an SQLSTATE -> words
_WORDS = {
    "57P": "the server is shutting down or starting",
    "53100": "the server's disk is full: free some space, the work goes on by itself",
    "53200": "the server is out of memory",
    "53300": "the server has too many connections: raise its max_connections",
    "25006": "the server is read-only, perhaps a standby: name the primary in the URL",
    "25P03": f"this process stood still for over {ABANDONED} s in a transaction: nothing of that was kept",
    "55P03": "another process holds its lock for too long",
    "42501": "the user may not do this: GRANT it the rights, or make it the owner of the database",
    "58": "the server fails to read or write its files: look at its log",
    "XX001": "the database is damaged: restore it from a backup",
    "XX002": "the database is damaged: restore it from a backup",
}
NO_SIGNATURE = "22012"  # a division by zero: see Ownership, nothing else here divides
_CONFLICTS = ("40001", "40P01")
# what libpq says when it cannot connect -> what to do
_CONNECTING = {
    "authentication failed": "look at the user and the password in the URL",
    "no password supplied": "write the password into the URL, user:password@host",
    "no pg_hba.conf entry": "the server lets nobody in from here: add a line to its pg_hba.conf",
    "Connection refused": "is the server running there?",
    "timeout expired": "is the server running there, and no firewall in between?",
    "could not translate host name": "look at the name of the host in the URL",
    "failed to resolve host": "look at the name of the host in the URL",
    "certificate": "look at sslmode and sslrootcert in the URL",
    "does not support SSL": "look at sslmode in the URL",
}


class _Connection(psycopg.Connection[Any]):
    """Ends when the server says nothing for too long: psycopg itself would wait for ever."""

    _patience: float | None = CONNECT_TIMEOUT  # seconds; for what is said while it is set up

    def give_up_after(self, seconds: float | None) -> None:
        """How long the server may say nothing within a statement; ``None``: as long as it likes."""
        self._patience = seconds

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        """As psycopg's, which every statement comes through."""
        return super().wait(gen if self._patience is None else self._heard(gen, self._patience), *args, **options)

    def _heard(self, gen: Generator[Any, Any, T], patience: float) -> Generator[Any, Any, T]:
        """What psycopg asks for, handed on; now and then it is told that nothing has come."""
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard = time.monotonic()
                elif time.monotonic() - heard > patience:
                    self.close()
                    raise psycopg.OperationalError(f"no answer within {patience:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            found: T = end.value
            return found


class PostgresDatabase(Database):
    """A store in PostgreSQL."""

    def __init__(self, engine: Engine, what: str, where: str, read_only: bool, busy_timeout: float) -> None:
        super().__init__(engine, what, where, read_only)
        self._busy_timeout = busy_timeout
        lock = f"pg_advisory_xact_lock({LOCKS}, {_WRITER[what]})"
        self._exclusive = f"BEGIN; SELECT {lock}"
        self._alone = f"SELECT {lock}, set_config('enable_seqscan', 'off', true)"  # the lock, and what by_key says

    def take_time(self, connection: Connection) -> None:
        take_time(connection)

    def by_key(self, connection: Connection) -> None:
        # A plan made while a table had one page would else be kept when it has a thousand, most of them of dead rows.
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")

    def send(self, work: Callable[[Sender], None], check: Callable[[Connection], None] | None = None) -> None:
        """All in one message; ``check`` costs one more."""
        again(lambda: self._send(work, check))

    def _send(self, work: Callable[[Sender], None], check: Callable[[Connection], None] | None) -> None:
        with self.translated(), self.engine.connect() as connection:
            driver: Any = connection.connection.dbapi_connection
            try:
                with pipelined(driver) as sender:
                    sender.exec_driver_sql("BEGIN")
                    sender.exec_driver_sql(self._alone)
                    work(sender)
                    if check is None:
                        sender.exec_driver_sql("COMMIT")
                if check is not None:
                    check(connection)
                    driver.commit()
            except psycopg.Error as error:
                _undo(connection, driver)
                told = exc.DBAPIError.instance(None, None, error, psycopg.Error, dialect=connection.dialect)
                raise self._translate(error, told) from error
            except BaseException:
                _undo(connection, driver)
                raise

    def now(self, connection: Connection) -> float:
        return float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one())

    def _begin(self, connection: Connection, wait: float | None, shared: bool) -> None:
        begin = "BEGIN" if shared else self._exclusive
        if wait is not None:
            begin = begin.replace("BEGIN", f"BEGIN; SET LOCAL lock_timeout = {int(wait * 1000)}")
        connection.exec_driver_sql(begin)  # in one message, without values

    def _begin_snapshot(self, connection: Connection) -> None:
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        connection.exec_driver_sql(f"{begin}; SET LOCAL idle_in_transaction_session_timeout = 0")

    def _translate(self, error: BaseException | None, outer: Exception) -> Exception:
        code = str(getattr(error, "sqlstate", "") or "")
        said = " ".join(str(error).split())
        if code == NO_SIGNATURE:
            return Unsigned(said)
        if code in _CONFLICTS:
            return Conflict(f"{self.here}: {said}")
        for prefix, words in _WORDS.items():
            if code.startswith(prefix):
                return StoreUnavailable(f"{self.here}: {words} ({said})")
        if isinstance(error, psycopg.OperationalError) and not code:
            return StoreUnavailable(f"{self.here}: {_hint(said)}")
        return super()._translate(error, outer)


def _undo(connection: Connection, driver: Any) -> None:
    """Ends a transaction that the connection knows nothing of."""
    with suppress(psycopg.Error):
        driver.rollback()
    if driver.closed:
        connection.invalidate()


def _hint(said: str) -> str:
    """What libpq said when it could not connect, and what to do."""
    hint = next((hint for part, hint in _CONNECTING.items() if part in said), "")
    return f"{hint} ({said})" if hint else said


def open_postgresql(url: ServerURL, what: str, *, read_only: bool = False, durable: bool = True) -> PostgresDatabase:
    """See :func:`~crawlkit.database.sqlalchemy.servers.open_server`."""
    busy_timeout = url.seconds("timeout", BUSY_TIMEOUT)
    setup = _setup(read_only, durable, busy_timeout)
    read_timeout = read_timeout_of(url)

    def connect() -> _Connection:
        connection = _Connection.connect(**_arguments(url, what), dbname=url.database)
        try:
            connection.execute(setup)
            connection.give_up_after(read_timeout)
        except BaseException:
            connection.close()
            raise
        return connection

    engine = server_engine("postgresql+psycopg", connect, _socket_of, read_timeout, use_native_hstore=False)
    database = PostgresDatabase(engine, what, url.where, read_only, busy_timeout)
    try:
        _look(database, url)
    except BaseException:
        database.close()
        raise
    return database


def _setup(read_only: bool, durable: bool, busy_timeout: float) -> bytes:
    """What a new connection is told, in one message."""
    orders = [
        f"SET lock_timeout = {int(busy_timeout * 1000)}",
        "SET client_min_messages = warning",
        "SET default_transaction_isolation = 'read committed'",
        # Every join here is a look-up of a few rows by key. A plan made while a table was small shall hold when it has
        # grown: statements are prepared once.
        "SET enable_hashjoin = off",
        "SET enable_mergejoin = off",
        "SET enable_material = off",
        "SET jit = off",
        # A session whose client was cut off in the middle of a transaction holds locks until the server notices.
        "SET tcp_keepalives_idle = 3",
        "SET tcp_keepalives_interval = 1",
        f"SET tcp_keepalives_count = {UNHEARD - 3}",
        f"SET tcp_user_timeout = {UNHEARD * 1000}",
    ]
    # Also one whose client is there, but stands still: else nobody could write until it goes on.
    orders.append(f"SET idle_in_transaction_session_timeout = {0 if read_only else ABANDONED * 1000}")
    if read_only:
        orders.append("SET default_transaction_read_only = on")
    elif durable:
        orders.append(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
    else:
        orders.append("SET synchronous_commit = off")
    return "; ".join(orders).encode()


def _arguments(url: ServerURL, what: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        name: value for name, value in url.options.items() if name not in ("timeout", "connect_timeout", "read_timeout")
    }
    arguments.setdefault("host", url.host)
    if url.user:
        arguments["user"] = url.user
    if url.password:
        arguments["password"] = url.password
    return arguments | {
        "port": url.port,
        "connect_timeout": max(2, round(url.seconds("connect_timeout", CONNECT_TIMEOUT))),
        "application_name": f"crawlkit {what}",
        "client_encoding": "utf8",
        "autocommit": True,
        "keepalives_idle": 3,
        "keepalives_interval": 1,
        "keepalives_count": UNHEARD - 3,
        "tcp_user_timeout": UNHEARD * 1000,
    }


def _socket_of(connection: Any) -> int:
    return -1 if connection.closed else int(connection.pgconn.socket)


def _look(database: PostgresDatabase, url: ServerURL) -> None:
    """Connects for the first time; makes the database when it is only that which is missing."""
    try:
        _check_encoding(database)
    except StoreUnavailable as error:
        if database.read_only or not _create(database, url, error):
            raise
        _check_encoding(database)


def _check_encoding(database: PostgresDatabase) -> None:
    with database.read() as connection:
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        raise StoreMismatch(
            f"{database.here} has the encoding {encoding}, which cannot hold every text:"
            " make one with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )


def _create(database: PostgresDatabase, url: ServerURL, refused: StoreUnavailable) -> bool:
    """Makes the database; ``False`` when it was something else that kept us out."""
    for door in ("postgres", "template1"):
        try:
            with _Connection.connect(**_arguments(url, database.what), dbname=door) as connection:
                if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (url.database,)).fetchone():
                    return "does not exist" in str(refused)  # then somebody was faster
                connection.give_up_after(None)  # it copies a template
                connection.execute(
                    sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(
                        sql.Identifier(url.database)
                    )
                )
                return True
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            return True  # somebody was faster
        except psycopg.errors.InsufficientPrivilege:
            raise StoreUnavailable(
                f"{database.here}: there is no such database, and the user may not make it:"
                f" CREATE DATABASE {url.database} OWNER {url.user or 'the_user'} ENCODING 'UTF8' TEMPLATE template0"
            ) from None
        except psycopg.Error:
            continue
    return False
