"""Connections and transactions for every SQL store; the one place where foreign errors become crawlkit's.

What only one kind of database knows stands in its own module: ``sqlite``, ``postgresql``, ``mariadb``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from sqlalchemy import exc
from sqlalchemy.engine import Connection, Engine

from crawlkit.libs.errors import StoreUnavailable

T = TypeVar("T")
TRIES = 4  # of a transaction that the database gave up in favour of another one


def version_table(what: str) -> str:
    """Where the schema's version stands; one for each kind of store, so that one server database can hold all."""
    return f"crawlkit_{what}_version"


class Conflict(StoreUnavailable):
    """The database gave up this transaction in favour of another one; nothing of it was kept."""


class Unsigned(Exception):
    """A commit could not be signed by the one whose it is; nothing of it was kept."""


class Sender(Protocol):
    """Takes statements: a connection, or a pipeline to a server that answers when all have been sent."""

    def exec_driver_sql(self, statement: str, parameters: Any = None, /) -> Any:
        """``parameters``: a tuple, or a list of them for one statement each."""


class Database:
    """One database of one store. Safe for several threads; each call borrows a connection of its own.

    Connections are in autocommit mode; transactions are begun and ended here in so many words.
    """

    is_sqlite = False

    def __init__(self, engine: Engine, what: str, where: str, read_only: bool = False) -> None:
        self.engine = engine
        self.what = what  # taskdb, projectdb, resultdb, blobdb or logdb
        self.where = where  # for people: without a password
        self.read_only = read_only

    @contextmanager
    def write(self, wait: float | None = None, *, shared: bool = False) -> Iterator[Connection]:
        """A transaction; committed at the end, or not at all. One at a time holds the store, unless ``shared``.

        ``wait``: seconds to wait for the others, if not as usual; its statements may then last as long as they like.
        SQLite has no shared ones.
        """
        with self.translated(), self.engine.connect() as connection:
            try:
                if wait is not None:
                    self.take_time(connection)
                self._begin(connection, wait, shared)
                yield connection
                connection.commit()
            except BaseException:
                connection.rollback()
                raise
            finally:
                if wait is not None:
                    self._waited(connection)

    @contextmanager
    def migration(self, wait: float) -> Iterator[Connection]:
        """For changes of the schema: in one transaction where tables are made in transactions. One at a time."""
        with self.write(wait=wait) as connection:
            yield connection

    def take_time(self, connection: Connection) -> None:
        """For statements over whole tables: they may last as long as they like, until the connection goes back."""

    def by_key(self, connection: Connection) -> None:
        """For the rest of a transaction that only looks up rows by their keys: never to read a whole table for that."""

    def transact(self, work: Callable[[Connection], T], *, shared: bool = False) -> T:
        """Runs ``work`` in a transaction of its own, again when the database gave it up in favour of another one."""

        def once() -> T:
            with self.write(shared=shared) as connection:
                return work(connection)

        return again(once)

    def send(self, work: Callable[[Sender], None], check: Callable[[Connection], None] | None = None) -> None:
        """A transaction of look-ups by key whose answers, if any, are only read when this has returned.

        ``check`` comes behind ``work`` in the same transaction: what it raises undoes all of it.
        """

        def both(connection: Connection) -> None:
            self.by_key(connection)
            work(connection)
            if check is not None:
                check(connection)

        self.transact(both)

    @contextmanager
    def read(self, snapshot: bool = False) -> Iterator[Connection]:
        """A connection for SELECTs; ``snapshot``: all of them see the same state."""
        with self.translated(), self.engine.connect() as connection:
            if not snapshot:
                yield connection
                return
            try:
                self._begin_snapshot(connection)
                yield connection
            finally:
                connection.rollback()
                self._snapshot_ended(connection)

    def now(self, connection: Connection) -> float:
        """Unix time by the clock that all who use this database share."""
        raise NotImplementedError

    def _begin(self, connection: Connection, wait: float | None, shared: bool) -> None:
        raise NotImplementedError

    def _waited(self, connection: Connection) -> None:
        """Undoes what ``wait`` changed in :meth:`_begin`."""

    def _begin_snapshot(self, connection: Connection) -> None:
        """It holds nobody up, so it may last as long as its reader likes."""
        raise NotImplementedError

    def _snapshot_ended(self, connection: Connection) -> None:
        """Undoes what :meth:`_begin_snapshot` changed of the connection."""

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turns what the driver raises into :class:`StoreUnavailable` or :class:`StoreMismatch`."""
        try:
            yield
        except exc.DBAPIError as error:
            raise self._translate(error.orig, error) from error
        except exc.TimeoutError as error:
            raise StoreUnavailable(f"{self.here}: no free connection: {error}") from error

    def _translate(self, error: BaseException | None, outer: Exception) -> Exception:
        """What is to be raised for the driver's ``error``; ``outer`` itself for a mistake of ours: it must be seen."""
        lost = isinstance(outer, exc.DBAPIError) and outer.connection_invalidated
        if lost or isinstance(outer, exc.OperationalError | exc.InterfaceError):
            return StoreUnavailable(f"{self.here}: {error}")
        return outer

    @property
    def here(self) -> str:
        """For the beginning of a message."""
        return f"{self.what} {self.where}"

    def close(self) -> None:
        self.engine.dispose()


def again(once: Callable[[], T]) -> T:
    """Does it again when the database gave it up in favour of another one."""
    for left in reversed(range(TRIES)):
        try:
            return once()
        except Conflict:
            if not left:
                raise
    raise AssertionError("unreachable")
