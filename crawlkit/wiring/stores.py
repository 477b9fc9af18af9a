"""Opens the databases that settings name, together, and closes them together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crawlkit import datapath
from crawlkit.libs.errors import UsageError
from crawlkit.settings import Settings

if TYPE_CHECKING:
    from crawlkit.database.base import AccountStore, BlobStore, LogStore, ProjectStore, ResultStore, TaskStore
    from crawlkit.libs.rows import ProjectRow, SettingRow, VersionRow

KINDS = ("taskdb", "projectdb", "resultdb", "blobdb")  # what a crawl needs; logdb and accountdb are asked for by name
DROP_RESULTS = 1_000  # of a removed project, in one transaction


@dataclass
class Stores:
    """The databases that were asked for."""

    opened: dict[str, Any]

    @property
    def taskdb(self) -> TaskStore:
        store: TaskStore = self.opened["taskdb"]
        return store

    @property
    def projectdb(self) -> ProjectStore:
        store: ProjectStore = self.opened["projectdb"]
        return store

    @property
    def resultdb(self) -> ResultStore:
        store: ResultStore = self.opened["resultdb"]
        return store

    @property
    def blobdb(self) -> BlobStore:
        store: BlobStore = self.opened["blobdb"]
        return store

    @property
    def logdb(self) -> LogStore:
        store: LogStore = self.opened["logdb"]
        return store

    @property
    def accountdb(self) -> AccountStore:
        store: AccountStore = self.opened["accountdb"]
        return store

    def close(self) -> None:
        """Closes all, also when one fails to."""
        with contextlib.ExitStack() as stack:
            for store in self.opened.values():
                stack.callback(store.close)


def open_store(settings: Settings, kind: str, *, create: bool = True) -> Any:
    """One database; made when it does not exist. Unless ``create``, one that cannot be written to is only read."""
    from crawlkit.database import registry

    connect = getattr(registry, f"connect_{kind}")
    if settings.is_here(kind):
        if not create and not datapath.is_writable(settings.data_path):
            return connect(settings.store_url(kind), read_only=True)
        datapath.make_data_path(settings.data_path)
    return connect(settings.store_url(kind))


@contextlib.contextmanager
def open_stores(settings: Settings, kinds: Sequence[str] = KINDS, *, create: bool = False) -> Iterator[Stores]:
    """Several databases, closed at the end. Unless ``create``, a missing data path is a :class:`UsageError`."""
    stores = connect_stores(settings, kinds, create=create)
    try:
        yield stores
    finally:
        stores.close()


def connect_stores(settings: Settings, kinds: Sequence[str] = KINDS, *, create: bool = False) -> Stores:
    """Several databases; the caller closes them. With a server, what commands use of them, by its API."""
    if settings.server is not None:
        return Stores({kind: remote_store(settings.server, kind) for kind in kinds})
    if not create:
        for kind in kinds:
            if settings.is_here(kind) and not settings.data_path.is_dir():
                raise UsageError(f"data path {settings.data_path}: there is nothing yet; name it with --data-path")
    opened: dict[str, Any] = {}
    try:
        for kind in kinds:
            opened[kind] = open_store(settings, kind, create=create)
        if create:
            _check_whole(opened.get("taskdb"))
    except BaseException:
        Stores(opened).close()
        raise
    return Stores(opened)


def without_users(settings: Settings, stores: Stores) -> Callable[[], bool]:
    """Tells, whenever it is called, whether nobody has an account; their store is opened among ``stores`` at the first
    call. A backend without accounts has no users. Raises what opening and reading a store does."""
    from crawlkit.database import registry

    if not registry.has_accounts(settings.store_url("accountdb")):
        return lambda: True

    def ask() -> bool:
        if "accountdb" not in stores.opened:
            stores.opened["accountdb"] = open_store(settings, "accountdb")
        return not stores.accountdb.users()

    return ask


def _check_whole(taskdb: object) -> None:
    from crawlkit.database.carrying import unfinished

    if unfinished(taskdb):
        raise UsageError("a migration or a restore into this taskdb has not come to its end: run that command again")


def remote_store(server: str, kind: str) -> Any:
    """The part of a store that commands use, by the JSON API of a server."""
    from crawlkit.remote.logs import RemoteLogs
    from crawlkit.remote.opening import client_of
    from crawlkit.remote.projects import RemoteProjects
    from crawlkit.remote.tasks import RemoteTasks

    made: dict[str, Callable[[Any], Any]] = {"projectdb": RemoteProjects, "taskdb": RemoteTasks, "logdb": RemoteLogs}
    if kind not in made:
        raise UsageError(f"this needs the {kind}, and a server does not give it: run it on its data path")
    return made[kind](client_of(server))


def memory_settings(settings: Settings) -> Settings:
    """The settings of a run that keeps nothing: every store that nobody named is in memory."""
    import dataclasses

    return dataclasses.replace(
        settings,
        taskdb=settings.taskdb or settings.database or "memory+taskdb://",
        projectdb=settings.projectdb or settings.database or "memory+projectdb://",
        resultdb=settings.resultdb or settings.database or "memory+resultdb://",
    )


def drop_project(settings: Settings, name: str) -> None:
    """Removes what a project has, while no scheduler runs on the data path."""
    from crawlkit.libs.clock import SystemClock
    from crawlkit.scheduler.ownership import Ownership

    lock = datapath.Lock(settings.data_path / datapath.SCHEDULER_LOCK, "crawlkit project rm")
    try:
        with open_stores(settings, KINDS) as stores:
            Ownership(stores.taskdb, SystemClock()).claim()
            stores.projectdb.drop(name)
            stores.taskdb.drop(name)
            stores.resultdb.drop(name)
            stores.blobdb.drop_kept(name)
    finally:
        lock.release()


class Only:
    """A projectdb in which only some projects are to be seen: those that `one` was given."""

    def __init__(self, store: ProjectStore, names: Sequence[str]) -> None:
        self._store = store
        self._names = frozenset(names)

    def put(self, row: ProjectRow, author: str = "", message: str = "") -> ProjectRow:
        return self._store.put(row, author, message)

    def get(self, name: str) -> ProjectRow | None:
        return self._store.get(name) if name in self._names else None

    def all(self) -> list[ProjectRow]:
        return [row for row in self._store.all() if row.name in self._names]

    def changed_since(self, updatetime: float) -> list[ProjectRow]:
        return [row for row in self._store.changed_since(updatetime) if row.name in self._names]

    def names(self) -> list[str]:
        return [name for name in self._store.names() if name in self._names]

    def drop(self, name: str) -> bool:
        return self._store.drop(name)

    def versions(self, name: str) -> list[VersionRow]:
        return self._store.versions(name)

    def script(self, name: str, version: str) -> str | None:
        return self._store.script(name, version)  # also of the others: scripts may import each other

    def settings(self, name: str) -> dict[str, SettingRow]:
        return self._store.settings(name) if name in self._names else {}

    def put_setting(self, name: str, setting: SettingRow) -> None:
        self._store.put_setting(name, setting)

    def remove_setting(self, name: str, setting: str) -> bool:
        return self._store.remove_setting(name, setting)

    def close(self) -> None:
        self._store.close()
