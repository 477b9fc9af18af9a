"""What only SQLite knows: pragmas, BEGIN IMMEDIATE, its error codes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from crawlkit.database.rules import BUSY_TIMEOUT
from crawlkit.database.sqlalchemy.checkpoints import Checkpoints
from crawlkit.database.sqlalchemy.engine import Database
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.errors import StoreMismatch, StoreUnavailable, UsageError

LOG_PAGES = 48_000  # 200 MB of write-ahead log, if the thread of checkpoints falls behind: then a commit copies it

_WORDS = {
    "SQLITE_FULL": "the disk is full: free some space, the work goes on by itself",
    "SQLITE_READONLY": "the file or its directory is read-only: make it writable",
    "SQLITE_BUSY": "another process holds its lock for too long",
    "SQLITE_LOCKED": "another connection holds its lock for too long",
    "SQLITE_CANTOPEN": "unable to open the file: look at the directory, its permissions and the free space",
    "SQLITE_IOERR": "reading or writing the file fails: is the disk full, over its quota, or broken?",
    "SQLITE_PERM": "permission denied",
    "SQLITE_AUTH": "permission denied",
    "SQLITE_NOMEM": "out of memory",
    "SQLITE_CORRUPT": "the file is damaged: restore it from a backup",
}


class SqliteDatabase(Database):
    """A store in a file."""

    is_sqlite = True

    def __init__(
        self,
        engine: Engine,
        what: str,
        where: str,
        connect: Callable[[], sqlite3.Connection],
        read_only: bool = False,
        busy_timeout: float = BUSY_TIMEOUT,
    ) -> None:
        super().__init__(engine, what, where, read_only)
        self.busy_timeout = busy_timeout
        self._checkpoints = Checkpoints(connect)

    @contextmanager
    def write(self, wait: float | None = None, *, shared: bool = False) -> Iterator[Connection]:
        """See :meth:`Database.write`."""
        with super().write(wait, shared=shared) as connection:
            driver: Any = connection.connection.dbapi_connection
            before = driver.total_changes
            yield connection
            changed = driver.total_changes - before
        self._checkpoints.committed(changed)

    def close(self) -> None:
        self._checkpoints.close()
        super().close()

    def now(self, connection: Connection) -> float:
        return SystemClock.time()

    def _begin(self, connection: Connection, wait: float | None, shared: bool) -> None:
        """Takes the write lock at once."""
        if wait is not None:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(wait * 1000)}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def _waited(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(self.busy_timeout * 1000)}")

    def _begin_snapshot(self, connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Likewise for what the driver raises when it connects."""
        try:
            with super().translated():
                yield
        except sqlite3.Error as error:
            raise self._translate(error, error) from error

    def _translate(self, error: BaseException | None, outer: Exception) -> Exception:
        code = str(getattr(error, "sqlite_errorname", ""))
        if code == "SQLITE_NOTADB":
            return StoreMismatch(f"{self.here} is not a crawlkit store: it is not an SQLite file at all")
        if code.startswith("SQLITE_CANTOPEN") and not _writable(Path(self.where)):
            code = "SQLITE_READONLY"
        for prefix, words in _WORDS.items():
            if code == prefix or code.startswith(prefix + "_"):
                return StoreUnavailable(f"{self.here}: {words} ({error})")
        if isinstance(outer, sqlite3.OperationalError):
            return StoreUnavailable(f"{self.here}: {error}")
        return super()._translate(error, outer)


def opener(
    path: str, *, read_only: bool = False, durable: bool = True, busy_timeout: float = BUSY_TIMEOUT
) -> Callable[[], sqlite3.Connection]:
    """Opens connections to one SQLite file. ``durable=False``: a power cut may take the last transactions, no more."""
    place = Path(path).absolute()
    mode = "ro" if read_only else "rwc"
    if read_only and not _writable(place) and not place.with_name(place.name + "-wal").exists():
        mode = "ro&immutable=1"  # nobody can write there, and SQLite could not make its lock file either
    uri = f"file:{quote(str(place))}?mode={mode}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri, uri=True, timeout=busy_timeout, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            _set_up(connection, read_only, durable)
        except BaseException:
            connection.close()
            raise
        return connection

    return connect


def sqlite_engine(connect: Callable[[], sqlite3.Connection]) -> Engine:
    """An engine with such connections."""
    return sa.create_engine(
        "sqlite://",
        creator=connect,
        poolclass=sa.QueuePool,
        pool_size=2,
        max_overflow=14,
        pool_use_lifo=True,
        pool_timeout=BUSY_TIMEOUT,
    )


def _writable(place: Path) -> bool:
    return os.access(place.parent, os.W_OK) and (not place.exists() or os.access(place, os.W_OK))


def _set_up(connection: sqlite3.Connection, read_only: bool, durable: bool) -> None:
    connection.execute("PRAGMA cache_size = -32768")
    connection.execute("PRAGMA temp_store = MEMORY")
    if read_only:
        connection.execute("PRAGMA query_only = 1")
        return
    deadline = SystemClock.monotonic() + BUSY_TIMEOUT
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            # SQLite does not wait for the lock here when another process makes the same change just now.
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or SystemClock.monotonic() > deadline:
                raise
            sleep(0.01)
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {LOG_PAGES * 4096}")


def open_sqlite(
    path: str, what: str, *, read_only: bool = False, durable: bool = True, busy_timeout: float = BUSY_TIMEOUT
) -> SqliteDatabase:
    """The database in a file; raises :class:`UsageError` when there can be none.

    ``busy_timeout``: seconds to wait for a transaction of another process.
    """
    place = Path(path).absolute()
    if place.is_dir():
        raise UsageError(f"{what}: {path} is a directory: give the name of a file")
    if read_only and not place.exists():
        raise UsageError(f"{what}: there is no {path}: has a crawl been started there yet?")
    if not place.parent.is_dir():
        raise UsageError(f"{what}: there is no directory {place.parent}: make it, or give another path than {path}")
    connect = opener(path, read_only=read_only, durable=durable, busy_timeout=busy_timeout)
    return SqliteDatabase(sqlite_engine(connect), what, path, connect, read_only, busy_timeout)
