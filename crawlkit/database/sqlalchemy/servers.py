"""What PostgreSQL and MariaDB have in common: how a server is reached, and a pool that notices dead connections."""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection, Engine

from crawlkit.database.rules import BUSY_TIMEOUT
from crawlkit.database.serverurl import POSTGRESQL, ServerURL
from crawlkit.database.sqlalchemy.engine import Database
from crawlkit.libs.errors import UsageError
from crawlkit.libs.extras import install_command

CONNECT_TIMEOUT = 3.0  # seconds
UNHEARD = 5  # seconds after which a server that answers nothing at all is given up
READ_TIMEOUT = 60.0  # seconds without a word from a server that was asked something; then it is asked anew
ABANDONED = 10  # seconds after which a transaction that nobody goes on with is ended by the server, with its locks
POOL, OVERFLOW = 2, 14  # connections a store keeps, and those it opens beside them for a while


def open_server(url: ServerURL, what: str, *, read_only: bool = False, durable: bool = True) -> Database:
    """The database on a server, made when there is none of that name and this user may make it.

    ``durable=False``: a crash of the server may take the last transactions, never more. Raises :class:`UsageError`,
    ``StoreUnavailable`` or ``StoreMismatch`` in words.
    """
    try:
        if url.kind == POSTGRESQL:
            from crawlkit.database.sqlalchemy.postgresql import open_postgresql

            return open_postgresql(url, what, read_only=read_only, durable=durable)
        from crawlkit.database.sqlalchemy.mariadb import open_mariadb

        return open_mariadb(url, what, read_only=read_only)
    except ImportError as error:
        raise _missing(url, error) from None


def _missing(url: ServerURL, error: ImportError) -> Exception:
    """For a driver that cannot be imported."""
    if (error.name or "psycopg").split(".")[0] not in ("psycopg", "pymysql"):
        return error
    extra = "postgres" if url.kind == POSTGRESQL else "mysql"
    return UsageError(f"{url.label} needs a driver ({error}): {install_command(extra)}")


def read_timeout_of(url: ServerURL) -> float | None:
    """Seconds without a word from the server after which a statement is given up; ``None``: never.

    A server whose machine or process is gone is noticed within :data:`UNHEARD` seconds. This is for one that stands
    still, or a proxy before it that has lost it, while somebody goes on confirming packets.
    """
    seconds = url.seconds("read_timeout", READ_TIMEOUT)
    return max(seconds, url.seconds("timeout", BUSY_TIMEOUT) + 1.0) if seconds else None


def take_time(connection: Connection) -> None:
    """Lets the statements on a connection last as long as they like, until it goes back to its pool."""
    driver: Any = connection.connection.dbapi_connection
    driver.give_up_after(None)


def server_engine(
    dialect: str,
    connect: Callable[[], Any],
    socket_of: Callable[[Any], int],
    read_timeout: float | None,
    **options: Any,
) -> Engine:
    """An engine whose connections ``connect`` makes, in autocommit mode.

    Before one is used again, a look at its socket (a microsecond, nothing is sent) tells whether the server has closed
    it: after a restart of the server all are made anew, and nobody notices. A connection has a method
    ``give_up_after(seconds)``: a statement without a word from the server for that long fails, and the connection ends.
    """
    engine = sa.create_engine(
        f"{dialect}://",
        creator=connect,
        paramstyle="format",
        isolation_level="AUTOCOMMIT",
        poolclass=sa.QueuePool,
        pool_size=POOL,
        max_overflow=OVERFLOW,
        pool_use_lifo=True,
        pool_timeout=BUSY_TIMEOUT,
        **options,
    )

    def look(connection: Any, record: Any, proxy: Any) -> None:
        if not record.info.get("used"):
            record.info["used"] = True  # just made: its first statement tells
        elif has_ended(socket_of(connection)):
            raise exc.DisconnectionError("the server has closed this connection")

    def back(connection: Any, record: Any) -> None:
        if connection is not None:
            connection.give_up_after(read_timeout)

    sa.event.listen(engine, "checkout", look)
    sa.event.listen(engine, "checkin", back)
    return engine


def has_ended(fd: int) -> bool:
    """Whether there is something to read where nothing was asked: the end, or a server's last words."""
    if fd < 0:
        return True
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def watch(connected: socket.socket) -> None:
    """Lets the system give up a connection over which nothing comes for :data:`UNHEARD` seconds."""
    if connected.family == socket.AF_UNIX:
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 3)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, UNHEARD - 3)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD * 1000)
