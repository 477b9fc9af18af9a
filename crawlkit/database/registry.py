"""From a URL to a store. A backend is imported when a URL asks for it, not before [R10-R13, R18].

Nothing is opened or made up here: a URL that cannot be served is refused in words.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

from crawlkit.database.base import BlobStore, ProjectStore, ResultStore, TaskStore
from crawlkit.database.rules import BUSY_TIMEOUT
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import UsageError

TYPES = ("taskdb", "projectdb", "resultdb", "blobdb")
_SERVERS = {"postgresql": "PostgreSQL", "postgres": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}
_GONE = {"mongodb", "redis", "elasticsearch", "es", "couchdb"}
_EXAMPLE = "sqlite:////var/lib/crawlkit/{type}.db"


class StoreURL(NamedTuple):
    """A database URL, taken apart."""

    engine: str  # sqlite, memory, local, postgresql, mysql, mariadb
    driver: str  # what follows the engine: psycopg, pymysql; mostly ""
    type: str  # "" when the URL does not say
    rest: str  # what follows "://"
    url: str  # as given, for people


def parse(url: str) -> StoreURL:
    """Takes a URL apart; raises :class:`UsageError` for what is not ``engine[+driver][+TYPE]://...`` [R10]."""
    scheme, separator, rest = url.partition("://")
    words = scheme.strip().lower().split("+")
    if not separator or not words[0]:
        example = _EXAMPLE.format(type="taskdb")
        raise UsageError(f"database URL {url!r}: expected engine://place, for instance {example}")
    kinds = [word for word in words if word in TYPES]
    names = [word for word in words if word not in TYPES]
    if words[0] == "sqlalchemy":
        names = names[1:]
    if len(kinds) > 1 or not names:
        raise UsageError(f"database URL {url!r}: expected one engine and one of {', '.join(TYPES)} before '://'")
    return StoreURL(names[0], "+".join(names[1:]), kinds[0] if kinds else "", rest, url)


def connect_taskdb(url: str, *, read_only: bool = False) -> TaskStore:
    """The taskdb at ``url``. Raises :class:`UsageError`, ``StoreUnavailable`` or ``StoreMismatch``, all in words."""
    return cast(TaskStore, _connect(_of_type(url, "taskdb"), read_only, None))


def connect_projectdb(url: str, *, read_only: bool = False, clock: Clock | None = None) -> ProjectStore:
    """The projectdb at ``url``; ``local+projectdb://GLOB,GLOB`` is a folder of scripts [R18]. Raises the same."""
    return cast(ProjectStore, _connect(_of_type(url, "projectdb"), read_only, clock))


def connect_resultdb(url: str, *, read_only: bool = False) -> ResultStore:
    """The resultdb at ``url``. Raises the same."""
    return cast(ResultStore, _connect(_of_type(url, "resultdb"), read_only, None))


def connect_blobdb(url: str, *, read_only: bool = False, clock: Clock | None = None) -> BlobStore:
    """The store of large bodies at ``url``. Raises the same."""
    return cast(BlobStore, _connect(_of_type(url, "blobdb"), read_only, clock))


def connect_database(url: str) -> TaskStore | ProjectStore | ResultStore | BlobStore:
    """pyspider's form: the type stands in the scheme, ``sqlite+taskdb:///task.db`` [R10]."""
    parts = parse(url)
    if not parts.type:
        raise UsageError(f"database URL {url!r}: say which database it is: {parts.engine}+taskdb://, +projectdb, ...")
    return _connect(parts, False, None)


def _of_type(url: str, kind: str) -> StoreURL:
    parts = parse(url)
    if parts.type and parts.type != kind:
        raise UsageError(f"database URL {url!r} is for a {parts.type}, but stands where the {kind} goes")
    return parts._replace(type=kind)


def _connect(
    url: StoreURL, read_only: bool, clock: Clock | None
) -> TaskStore | ProjectStore | ResultStore | BlobStore:  # fmt: skip
    if url.engine == "memory":
        return _memory(url.type, clock)
    if url.engine == "sqlite":
        return _sqlite(url, read_only, clock)
    if url.engine == "local":
        return _local(url)
    where = f"database URL {url.url!r} for the {url.type}"
    if url.engine in _SERVERS:
        raise UsageError(f"{where}: {_SERVERS[url.engine]} is not available in this version: use {_instead(url)}")
    if url.engine in _GONE:
        raise UsageError(f"{where}: {url.engine} is not supported by crawlkit: use {_instead(url)}")
    raise UsageError(f"{where}: unknown engine {url.engine!r}: use sqlite or memory, for instance {_instead(url)}")


def _instead(url: StoreURL) -> str:
    return _EXAMPLE.format(type=url.type)


def _memory(kind: str, clock: Clock | None) -> TaskStore | ProjectStore | ResultStore | BlobStore:
    from crawlkit.database import memory

    if kind == "taskdb":
        return memory.MemoryTaskStore()
    if kind == "projectdb":
        return memory.MemoryProjectStore(clock)
    if kind == "resultdb":
        return memory.MemoryResultStore()
    return memory.MemoryBlobStore(clock)


def _sqlite(
    url: StoreURL, read_only: bool, clock: Clock | None
) -> TaskStore | ProjectStore | ResultStore | BlobStore:  # fmt: skip
    place, _, query = url.rest.partition("?")
    if place in ("", "/", "/:memory:"):
        return _memory(url.type, clock)
    if not place.startswith("/"):
        raise UsageError(
            f"database URL {url.url!r}: a file has three slashes, an absolute path four: sqlite:///{place}"
        )
    path = place[1:]
    from crawlkit.database.sqlalchemy.engine import open_sqlite

    database = open_sqlite(
        path, url.type, read_only=read_only, durable=url.type != "blobdb", busy_timeout=_timeout(url, query)
    )
    try:
        if url.type == "taskdb":
            from crawlkit.database.sqlalchemy.taskstore import SqlTaskStore

            return SqlTaskStore(database)
        if url.type == "projectdb":
            from crawlkit.database.sqlalchemy.projectstore import SqlProjectStore

            return SqlProjectStore(database, clock)
        if url.type == "resultdb":
            from crawlkit.database.sqlalchemy.resultstore import SqlResultStore

            return SqlResultStore(database)
        from crawlkit.database.sqlalchemy.blobstore import SqlBlobStore

        return SqlBlobStore(database, clock)
    except BaseException:
        database.close()
        raise


def _timeout(url: StoreURL, query: str) -> float:
    """``?timeout=SECONDS``: how long to wait for another process's transaction."""
    name, _, value = (query or f"timeout={BUSY_TIMEOUT}").partition("=")
    try:
        timeout = float(value) if name == "timeout" else math.nan
    except ValueError:
        timeout = math.nan
    if not 0 <= timeout <= 3600:
        raise UsageError(f"database URL {url.url!r}: {query!r}: the only option is timeout=SECONDS, up to 3600")
    return timeout


def _local(url: StoreURL) -> ProjectStore:
    if url.type != "projectdb":
        raise UsageError(f"database URL {url.url!r}: a folder of scripts can only be a projectdb")
    from crawlkit.database.local import LocalProjectStore

    return LocalProjectStore([pattern for pattern in url.rest.split(",") if pattern])
