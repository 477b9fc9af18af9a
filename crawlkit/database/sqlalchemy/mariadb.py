"""What only MariaDB and MySQL know: how to connect, which row writers lock, error numbers, DDL that commits itself."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
from pymysql.constants import CLIENT, COMMAND, SERVER_STATUS
from sqlalchemy import exc
from sqlalchemy.engine import Connection, Engine

from crawlkit.database.rules import BUSY_TIMEOUT
from crawlkit.database.serverurl import ServerURL
from crawlkit.database.sqlalchemy.engine import Conflict, Database, version_table
from crawlkit.database.sqlalchemy.servers import (
    ABANDONED,
    CONNECT_TIMEOUT,
    read_timeout_of,
    server_engine,
    take_time,
    watch,
)
from crawlkit.libs.errors import StoreUnavailable, UsageError

TOO_LARGE = 1153  # the server's own number for it
UNKNOWN_DATABASE = 1049
_CONFLICTS = (1213, 1020)  # deadlock, record changed since last read
_MODE = "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO"
_WORDS = {
    1021: "the server's disk is full: free some space, the work goes on by itself",
    1114: "the server's disk is full: free some space, the work goes on by itself",
    1040: "the server has too many connections: raise its max_connections",
    1203: "the user has too many connections: raise max_user_connections",
    1205: "another process holds its lock for too long",
    1290: "the server is read-only, perhaps a replica: name the primary in the URL",
    1792: "the store was opened for reading only",
    1836: "the server is read-only, perhaps a replica: name the primary in the URL",
    1044: "the user may not use this database: GRANT it the rights",
    1045: "look at the user and the password in the URL",
    1698: "look at the user and the password in the URL",
    1142: "the user may not do this: GRANT it the rights on the database",
    1227: "the user may not do this: GRANT it the rights on the database",
    1129: "the server has locked this host out: FLUSH HOSTS there",
    1130: "the server lets nobody in from here: CREATE USER ... @'this host'",
    1053: "the server is shutting down",
    2026: "TLS fails: look at ssl_ca, ssl_cert and ssl_key in the URL",
    2003: "is the server running there?",
    2005: "look at the name of the host in the URL",
}


class _Connection(pymysql.connections.Connection):  # type: ignore[misc]
    """Sends no ROLLBACK and no COMMIT where there is no transaction, and nothing that the server would not take."""

    largest = 2**24  # bytes; the server's max_allowed_packet

    def give_up_after(self, seconds: float | None) -> None:
        """How long the server may say nothing, or take nothing, within a statement; ``None``: as long as it likes."""
        self._read_timeout = self._write_timeout = seconds

    def rollback(self) -> None:
        if self._sock is not None and self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
            super().rollback()

    def commit(self) -> None:
        if self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
            super().commit()

    def _execute_command(self, command: int, sql: str | bytes) -> None:
        if command == COMMAND.COM_QUERY and len(sql) * (4 if isinstance(sql, str) else 1) >= self.largest:
            data = sql.encode(self.encoding) if isinstance(sql, str) else sql
            if len(data) >= self.largest:
                # The server would hang up without a word. So do we: the next connection asks for the limit again.
                self._force_close()
                raise pymysql.err.DataError(TOO_LARGE, len(data), self.largest)
        super()._execute_command(command, sql)


class MariaDatabase(Database):
    """A store in MariaDB or MySQL."""

    def __init__(self, engine: Engine, what: str, where: str, read_only: bool, busy_timeout: float) -> None:
        super().__init__(engine, what, where, read_only)
        self._busy_timeout = busy_timeout
        self._exclusive = f"SELECT version_num FROM {version_table(what)} FOR UPDATE"

    def take_time(self, connection: Connection) -> None:
        take_time(connection)

    def now(self, connection: Connection) -> float:
        return float(connection.exec_driver_sql("SELECT UNIX_TIMESTAMP(NOW(6))").scalar_one())

    def _begin(self, connection: Connection, wait: float | None, shared: bool) -> None:
        if wait is not None:
            connection.exec_driver_sql(f"SET SESSION innodb_lock_wait_timeout = {max(1, int(wait))}")
        connection.exec_driver_sql("BEGIN")
        if not shared:
            connection.exec_driver_sql(self._exclusive)

    def _waited(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"SET SESSION innodb_lock_wait_timeout = {max(1, int(self._busy_timeout))}")

    def _begin_snapshot(self, connection: Connection) -> None:
        self._let_stand(connection, 0)
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    def _snapshot_ended(self, connection: Connection) -> None:
        self._let_stand(connection, ABANDONED)

    def _let_stand(self, connection: Connection, seconds: int) -> None:
        """How long a transaction may wait for its next statement; MySQL, which is not asked, waits for ever."""
        if getattr(connection.dialect, "is_mariadb", False) and not self.read_only and not connection.invalidated:
            connection.exec_driver_sql(f"SET SESSION idle_transaction_timeout = {seconds}")

    @contextmanager
    def migration(self, wait: float) -> Iterator[Connection]:
        """Every statement that changes a table commits itself: what was begun is gone on with by the next one."""
        with self.translated(), self.engine.connect() as connection:
            self.take_time(connection)
            database = connection.exec_driver_sql("SELECT DATABASE()").scalar()
            name = f"crawlkit:{database}:{self.what}"[:64]
            if not connection.exec_driver_sql("SELECT GET_LOCK(%s, %s)", (name, wait)).scalar():
                raise StoreUnavailable(f"{self.here}: another process holds its lock for too long")
            try:
                yield connection
                connection.commit()
            finally:
                if not connection.invalidated:
                    connection.exec_driver_sql("SELECT RELEASE_LOCK(%s)", (name,))

    def _translate(self, error: BaseException | None, outer: Exception) -> Exception:
        if not isinstance(error, pymysql.err.Error):
            return super()._translate(error, outer)
        number = error.args[0] if error.args else 0
        said = " ".join(str(part) for part in error.args[1:]) or str(error)
        if number == TOO_LARGE and len(error.args) == 3:
            return StoreUnavailable(
                f"{self.here}: a row of {error.args[1]:,} bytes is larger than the server's max_allowed_packet,"
                f" {error.args[2]:,} bytes: raise it there (SET GLOBAL max_allowed_packet), the work goes on by itself"
            )
        if number in _CONFLICTS:
            return Conflict(f"{self.here}: {said}")
        if number in _WORDS:
            return StoreUnavailable(f"{self.here}: {_WORDS[number]} ({said})")
        return super()._translate(error, outer)


def open_mariadb(url: ServerURL, what: str, *, read_only: bool = False) -> MariaDatabase:
    """See :func:`~crawlkit.database.sqlalchemy.servers.open_server`."""
    busy_timeout = url.seconds("timeout", BUSY_TIMEOUT)
    arguments = _arguments(url)
    read_timeout = read_timeout_of(url)

    def connect() -> _Connection:
        connection = _connect(url, arguments)
        try:
            _set_up(connection, read_only, busy_timeout)
            connection.give_up_after(read_timeout)
        except BaseException:
            connection._force_close()
            raise
        return connection

    engine = server_engine("mysql+pymysql", connect, _socket_of, read_timeout)
    database = MariaDatabase(engine, what, url.where, read_only, busy_timeout)
    try:
        _look(database, url)
    except BaseException:
        database.close()
        raise
    return database


def _arguments(url: ServerURL) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "user": url.user or None,
        "password": url.password.encode(),
        "host": url.host,
        "port": url.port,
        "database": url.database,
        "charset": "utf8mb4",
        "collation": "utf8mb4_bin",
        "autocommit": True,
        "client_flag": CLIENT.FOUND_ROWS,
        "read_timeout": url.seconds("connect_timeout", CONNECT_TIMEOUT) or None,
        "write_timeout": url.seconds("connect_timeout", CONNECT_TIMEOUT) or None,
        "defer_connect": True,
    }
    for name, value in url.options.items():
        if name in ("ssl_verify_cert", "ssl_verify_identity"):
            arguments[name] = _yes(name, value)
        elif name == "ssl":
            if _yes(name, value):
                arguments.setdefault("ssl", {"verify_mode": "none"})
        elif name.startswith("ssl_"):
            arguments[name] = value
    if "ssl_ca" in arguments:  # who names an authority wants it to be asked
        arguments.setdefault("ssl_verify_cert", True)
        arguments.setdefault("ssl_verify_identity", True)
    return arguments


def _yes(name: str, value: str) -> bool:
    if value.lower() not in ("1", "true", "yes", "on", "required", "0", "false", "no", "off"):
        raise UsageError(f"database URL: {name}={value}: use true or false")
    return value.lower() in ("1", "true", "yes", "on", "required")


def _connect(url: ServerURL, arguments: dict[str, Any]) -> _Connection:
    timeout = arguments["read_timeout"]
    place = url.options.get("unix_socket")
    try:
        connection = _Connection(**arguments)
    except OSError as error:  # files of certificates
        files = ", ".join(value for name, value in url.options.items() if name in ("ssl_ca", "ssl_cert", "ssl_key"))
        raise pymysql.err.OperationalError(2026, f"{error.strerror or error}: {files}") from error
    connected: socket.socket | None = None
    try:
        if place is not None:
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connected.settimeout(timeout)
            connected.connect(place)
        else:
            connected = socket.create_connection((url.host, url.port), timeout)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        watch(connected)
    except OSError as error:
        if connected is not None:
            connected.close()
        number = 2005 if isinstance(error, socket.gaierror) else 2003
        raise pymysql.err.OperationalError(number, error.strerror or str(error)) from error
    connection.connect(connected)
    return connection


def _set_up(connection: _Connection, read_only: bool, busy_timeout: float) -> None:
    wait = max(1, int(busy_timeout))
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        cursor.execute(
            f"SET SESSION sql_mode = '{_MODE}', innodb_lock_wait_timeout = {wait}, lock_wait_timeout = {wait}"
        )
        if read_only:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
        cursor.execute("SELECT @@max_allowed_packet, @@version")
        largest, version = cursor.fetchone()
        connection.largest = int(largest)
        if "MariaDB" in version and not read_only:
            # One that was cut off or stands still in the middle of a transaction holds its locks until the server ends
            # it. The time for those that write does not hold for one that only has its lock so far.
            cursor.execute(f"SET SESSION idle_transaction_timeout = {ABANDONED}")


def _socket_of(connection: Any) -> int:
    return -1 if connection._sock is None else int(connection._sock.fileno())


def _look(database: MariaDatabase, url: ServerURL) -> None:
    """Connects for the first time; makes the database when it is only that which is missing."""
    try:
        with database.read():
            return
    except StoreUnavailable as error:
        cause = error.__cause__
        number = cause.orig.args[0] if isinstance(cause, exc.DBAPIError) and cause.orig is not None else 0
        if number != UNKNOWN_DATABASE or database.read_only:
            raise
    with database.translated(), _connect(url, _arguments(url) | {"database": None}) as connection:
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    f"CREATE DATABASE IF NOT EXISTS `{url.database}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
                )
        except pymysql.err.Error as error:
            raise StoreUnavailable(
                f"{database.here}: there is no such database, and the user may not make it:"
                f" CREATE DATABASE {url.database} CHARACTER SET utf8mb4 ({error.args[-1]})"
            ) from None
    with database.read():
        return
