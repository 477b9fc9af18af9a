"""From a URL to a store. A backend is imported when a URL asks for it, not before [R10-R13, R18].

Nothing is opened or made up here: a URL that cannot be served is refused in words.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, cast

from crawlkit.database.base import AccountStore, BlobStore, LogStore, ProjectStore, ResultStore, TaskStore
from crawlkit.database.rules import BUSY_TIMEOUT
from crawlkit.database.serverurl import SERVERS, parse_server
from crawlkit.libs import plugins
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import UsageError
from crawlkit.libs.url_masking import hidden, masked

if TYPE_CHECKING:
    from crawlkit.database.sqlalchemy.engine import Database

TYPES = ("taskdb", "projectdb", "resultdb", "blobdb", "logdb")
OURS = {"sqlite", "memory", "local", *SERVERS}
_GONE = {"mongodb", "redis", "elasticsearch", "es", "couchdb"}
Store = TaskStore | ProjectStore | ResultStore | BlobStore | LogStore
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
        raise UsageError(f"database URL {masked(url)!r}: expected engine://place, for instance {example}")
    kinds = [word for word in words if word in TYPES]
    names = [word for word in words if word not in TYPES]
    if words[0] == "sqlalchemy":
        names = names[1:]
    if len(kinds) > 1 or not names:
        raise UsageError(
            f"database URL {masked(url)!r}: expected one engine and one of {', '.join(TYPES)} before '://'"
        )
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


def connect_accountdb(url: str, *, read_only: bool = False) -> AccountStore:
    """The accounts and the audit log in the database of the projectdb at ``url``. Raises the same."""
    parts = _of_type(url, "projectdb")
    if parts.engine == "local":
        raise UsageError(f"database URL {masked(url)!r}: a folder of scripts keeps no accounts")
    if _in_memory(parts):
        from crawlkit.database.memory import MemoryAccountStore

        return MemoryAccountStore()
    if parts.engine not in OURS:
        return cast(AccountStore, _brought(parts._replace(type="accountdb"), read_only))
    database = _open(parts, read_only)
    from crawlkit.database.sqlalchemy.accountstore import SqlAccountStore

    try:
        return SqlAccountStore(database)
    except BaseException:
        database.close()
        raise


def has_accounts(url: str) -> bool:
    """Whether the backend of the projectdb at ``url`` keeps accounts; those of other packages need not."""
    parts = _of_type(url, "projectdb")
    return parts.engine in OURS or _in_memory(parts) or parts.engine in plugins.names("crawlkit.accountdbs")


def check(url: str, kind: str) -> StoreURL:
    """The URL of a store of that kind, taken apart; raises :class:`UsageError` for one that cannot be served."""
    parts = _of_type(url, kind)
    if parts.engine in SERVERS:
        parse_server(parts.engine, parts.driver, parts.rest, url)
    elif parts.engine in OURS:
        if parts.engine == "local" and kind != "projectdb":
            raise _refusal(parts)
    elif parts.engine not in plugins.names(_group(parts)):
        raise _refusal(parts)
    return parts


def connect_logdb(url: str, *, read_only: bool = False) -> LogStore:
    """The store of log lines at ``url``. Raises the same."""
    return cast(LogStore, _connect(_of_type(url, "logdb"), read_only, None))


def connect_database(url: str) -> Store:
    """pyspider's form: the type stands in the scheme, ``sqlite+taskdb:///task.db`` [R10]."""
    parts = parse(url)
    if not parts.type:
        raise UsageError(
            f"database URL {masked(url)!r}: say which database it is: {parts.engine}+taskdb://, +projectdb, ..."
        )
    return _connect(parts, False, None)


def _of_type(url: str, kind: str) -> StoreURL:
    parts = parse(url)
    if parts.type and parts.type != kind:
        raise UsageError(f"database URL {masked(url)!r} is for a {parts.type}, but stands where the {kind} goes")
    return parts._replace(type=kind)


def _connect(url: StoreURL, read_only: bool, clock: Clock | None) -> Store:
    if _in_memory(url):
        return _memory(url.type, clock)
    if url.engine == "local":
        return _local(url)
    if url.engine not in OURS:
        return cast(Store, _brought(url, read_only, clock))
    return _sql(url, read_only, clock)


def _brought(url: StoreURL, read_only: bool, clock: Clock | None = None) -> object:
    """A store of another package."""
    options = {"read_only": read_only} | ({"clock": clock} if url.type in ("projectdb", "blobdb") else {})
    found = plugins.connect(_group(url), url.engine, url.url, **options)
    if found is None:
        raise _refusal(url)
    plugins.check(found, _methods(url.type), _group(url), url.engine)
    return found


def _group(url: StoreURL) -> str:
    """The entry points of other packages: ``crawlkit.taskdbs`` and so on."""
    return f"crawlkit.{url.type}s"


def _methods(kind: str) -> list[str]:
    protocol = {
        "taskdb": TaskStore, "projectdb": ProjectStore, "resultdb": ResultStore, "blobdb": BlobStore,
        "logdb": LogStore, "accountdb": AccountStore,
    }[kind]  # fmt: skip
    return [name for name in vars(protocol) if not name.startswith("_") and callable(getattr(protocol, name))]


def _in_memory(url: StoreURL) -> bool:
    nameless = url.rest.partition("?")[0] in ("", "/", "/:memory:")
    return url.engine == "memory" or (url.engine == "sqlite" and nameless)


def _refusal(url: StoreURL) -> UsageError:
    where = f"database URL {masked(url.url)!r} for the {url.type}"
    brought = ", ".join(plugins.names(_group(url)))
    or_else = f" (or {brought}, which other packages bring)" if brought else ""
    if url.engine in _GONE:
        return UsageError(
            f"{where}: {url.engine} is not supported by crawlkit itself, and no package here brings it: use"
            f" {_instead(url)}{or_else}"
        )
    return UsageError(
        f"{where}: unknown engine {url.engine!r}: use sqlite, postgresql, mysql or memory, for instance"
        f" {_instead(url)}{or_else}"
    )


def _instead(url: StoreURL) -> str:
    return _EXAMPLE.format(type=url.type)


def _memory(kind: str, clock: Clock | None) -> Store:
    from crawlkit.database import memory

    if kind == "taskdb":
        return memory.MemoryTaskStore()
    if kind == "projectdb":
        return memory.MemoryProjectStore(clock)
    if kind == "resultdb":
        return memory.MemoryResultStore()
    if kind == "logdb":
        return memory.MemoryLogStore()
    return memory.MemoryBlobStore(clock)


def _sql(url: StoreURL, read_only: bool, clock: Clock | None) -> Store:
    database = _open(url, read_only)
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
        if url.type == "logdb":
            from crawlkit.database.sqlalchemy.logstore import SqlLogStore

            return SqlLogStore(database)
        from crawlkit.database.sqlalchemy.blobstore import SqlBlobStore

        return SqlBlobStore(database, clock)
    except BaseException:
        database.close()
        raise


def _open(url: StoreURL, read_only: bool) -> Database:
    durable = url.type not in ("blobdb", "logdb")  # what a power cut takes of these is only a pity
    if url.engine == "sqlite":
        return _open_sqlite(url, read_only, durable)
    if url.engine not in SERVERS:
        raise _refusal(url)
    place = parse_server(url.engine, url.driver, url.rest, url.url)
    from crawlkit.database.sqlalchemy.servers import open_server

    return open_server(place, url.type, read_only=read_only, durable=durable)


def _open_sqlite(url: StoreURL, read_only: bool, durable: bool) -> Database:
    place, _, query = url.rest.partition("?")
    if not place.startswith("/"):
        raise UsageError(
            f"database URL {masked(url.url)!r}: a file has three slashes, an absolute path four:"
            f" {masked(f'sqlite:///{place}')}"
        )
    path = place[1:]
    from crawlkit.database.sqlalchemy.sqlite import open_sqlite

    return open_sqlite(path, url.type, read_only=read_only, durable=durable, busy_timeout=_timeout(url, query))


def _timeout(url: StoreURL, query: str) -> float:
    """``?timeout=SECONDS``: how long to wait for another process's transaction."""
    name, _, value = (query or f"timeout={BUSY_TIMEOUT}").partition("=")
    try:
        timeout = float(value) if name == "timeout" else math.nan
    except ValueError:
        timeout = math.nan
    if not 0 <= timeout <= 3600:
        said = hidden(repr(query), url.url)
        raise UsageError(f"database URL {masked(url.url)!r}: {said}: the only option is timeout=SECONDS, up to 3600")
    return timeout


def _local(url: StoreURL) -> ProjectStore:
    if url.type != "projectdb":
        raise UsageError(f"database URL {masked(url.url)!r}: a folder of scripts can only be a projectdb")
    from crawlkit.database.local import LocalProjectStore

    return LocalProjectStore([pattern for pattern in url.rest.split(",") if pattern])
