"""The only place that builds clocks, stores, queues and services. Decides nothing else.

Imports a room only when something of it is built, so that a command that reads one store loads one store.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from crawlkit import datapath
from crawlkit.libs.errors import ServiceUnreachable, UsageError
from crawlkit.settings import Settings

if TYPE_CHECKING:
    from crawlkit.database.base import AccountStore, BlobStore, LogStore, ProjectStore, ResultStore, TaskStore
    from crawlkit.database.logwriter import LogWriter
    from crawlkit.fetcher.service import FetcherService
    from crawlkit.fetcher.settings import FetcherSettings
    from crawlkit.files.base import Area
    from crawlkit.libs.clock import Clock
    from crawlkit.libs.journal import Voice
    from crawlkit.libs.messages import Fetched
    from crawlkit.libs.rows import ProjectRow, SettingRow, VersionRow
    from crawlkit.libs.secrets import SecretBox
    from crawlkit.libs.task import Fetch
    from crawlkit.message_queue.base import Broker
    from crawlkit.message_queue.local import LocalServer
    from crawlkit.processor.service import ProcessorService
    from crawlkit.processor.settings import ProcessorSettings
    from crawlkit.result.service import ResultService
    from crawlkit.scheduler.control import ControlClient
    from crawlkit.scheduler.service import SchedulerService
    from crawlkit.scheduler.settings import EngineSettings
    from crawlkit.webui.accounts import Accounts
    from crawlkit.webui.debug.engine import Debugger
    from crawlkit.webui.server import WebServer

DROP_RESULTS = 1_000  # of a removed project, in one transaction
KINDS = ("taskdb", "projectdb", "resultdb", "blobdb")  # what a crawl needs; logdb and accountdb are asked for by name
NO_KEY = (
    "there is no secret key here: give the one its settings were set with, by CRAWLKIT_SECRET_KEY or as the file"
    " secret.key in the data path"
)
OUR_ENVIRONMENT = (
    "PYTHONPATH",
    "CRAWLKIT_",
    "TASKDB",
    "PROJECTDB",
    "RESULTDB",
    "AMQP_URL",
    "WEBUI_",
    "MYSQL_",
    "RABBITMQ_",
)


def clock() -> Clock:
    """The machine's clock."""
    from crawlkit.libs.clock import SystemClock

    return SystemClock()


def node_name(role: str) -> str:
    """Unique per process, and readable."""
    return f"{socket.gethostname()}-{role}-{os.getpid()}-{secrets.token_hex(4)}"


def _node_of(logs: Voice | None, role: str) -> str:
    return (logs.node if logs is not None else "") or node_name(role)


# -- stores ----------------------------------------------------------------------------------------------------------


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
    if _is_here(settings, kind):
        if not create and not datapath.is_writable(settings.data_path):
            return connect(settings.store_url(kind), read_only=True)
        datapath.make_data_path(settings.data_path)
    return connect(settings.store_url(kind))


def _is_here(settings: Settings, kind: str) -> bool:
    """Whether the database is in the data path."""
    if kind == "accountdb":
        return settings.store_url(kind) == Settings(data_path=settings.data_path).store_url(kind)
    return getattr(settings, "taskdb" if kind == "blobdb" else kind) is None


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
            if _is_here(settings, kind) and not settings.data_path.is_dir():
                raise UsageError(f"data path {settings.data_path}: there is nothing yet; name it with --data-path")
    opened: dict[str, Any] = {}
    try:
        for kind in kinds:
            opened[kind] = open_store(settings, kind, create=create)
    except BaseException:
        Stores(opened).close()
        raise
    return Stores(opened)


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
        taskdb=settings.taskdb or "memory+taskdb://",
        projectdb=settings.projectdb or "memory+projectdb://",
        resultdb=settings.resultdb or "memory+resultdb://",
    )


def drop_project(settings: Settings, name: str) -> None:
    """Removes what a project has, while no scheduler runs on the data path."""
    lock = datapath.Lock(settings.data_path / datapath.SCHEDULER_LOCK, "crawlkit project rm")
    try:
        with open_stores(settings, KINDS) as stores:
            stores.projectdb.drop(name)
            stores.taskdb.drop(name)
            stores.resultdb.drop(name)
            stores.blobdb.drop_kept(name)
    finally:
        lock.release()


def secret_box(settings: Settings, *, make: bool = False) -> SecretBox | None:
    """What settings of projects are sealed and opened with; ``None`` without a key. ``make``: a key is made then."""
    from crawlkit.libs.secrets import SecretBox

    if make and not settings.secret_key:
        datapath.make_data_path(settings.data_path)
    key = datapath.secret_key(settings.data_path, settings.secret_key, make=make)
    return SecretBox(key) if key is not None else None


def unsealer(settings: Settings) -> Callable[[str, str, str], str]:
    """Opens settings of projects. The key is looked for when the first one is opened; most runs have none."""
    box: list[SecretBox] = []

    def unseal(project: str, name: str, sealed: str) -> str:
        if not box:
            found = secret_box(settings)
            if found is None:
                raise UsageError(f"setting {name} of project {project} does not open: {NO_KEY}")
            box.append(found)
        return box[0].open(project, name, sealed)

    return unseal


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


# -- the scheduler's control channel ---------------------------------------------------------------------------------


def control_client(settings: Settings, rpc: str | None = None, timeout: float = 30) -> ControlClient:
    """Speaks to the running scheduler of the data path, or to the one at ``rpc``.

    The token of one elsewhere stands in ``rpc`` as user information (``http://:TOKEN@host:23333``) or in the variable
    CRAWLKIT_SCHEDULER_TOKEN. Raises :class:`ServiceUnreachable` when none answers.
    """
    from urllib.parse import urlsplit

    from crawlkit.remote.control import RemoteControl
    from crawlkit.remote.opening import client_of
    from crawlkit.scheduler.control import ControlClient

    if settings.server is not None:
        if rpc is not None:
            raise UsageError("say --server or --scheduler-rpc, not both")
        return cast(ControlClient, RemoteControl(client_of(settings.server)))  # the part of it that commands use
    if rpc is None:
        client = ControlClient.at(settings.data_path, timeout)
    else:
        url, token = _address_of(rpc)
        if token:
            client = ControlClient(url, token, timeout)
        else:  # on this machine, by another name: its token is in the data path
            try:
                client = ControlClient.at(settings.data_path, timeout)
            except ServiceUnreachable:
                raise ServiceUnreachable(
                    f"the scheduler at {url} wants a token, and there is none in {settings.data_path}: give it as"
                    f" http://:TOKEN@{urlsplit(url).netloc} or in CRAWLKIT_SCHEDULER_TOKEN; it stands in the file"
                    " scheduler.json of the scheduler's data path"
                ) from None
            client.url = url.rstrip("/")
    client.size()
    return client


def _address_of(rpc: str) -> tuple[str, str]:
    from urllib.parse import urlsplit, urlunsplit

    parts = urlsplit(rpc if "://" in rpc else f"http://{rpc}")
    token = parts.password or parts.username or os.environ.get("CRAWLKIT_SCHEDULER_TOKEN", "")
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")), token


# -- queues and services ---------------------------------------------------------------------------------------------


def memory_broker(settings: Settings) -> Broker:
    """The queues of a single process."""
    from crawlkit.message_queue.memory import MemoryBroker

    return MemoryBroker(settings.queue_maxsize)


def broker(settings: Settings, name: str) -> Broker:
    """The queues between processes, to be connected. ``name``: what their server calls this process."""
    from crawlkit.message_queue.registry import connect_broker

    return connect_broker(settings.queue_url(), max_messages=settings.queue_maxsize, name=name)


def queue_server(settings: Settings) -> LocalServer:
    """Serves the queues of a data path; lives in the supervisor."""
    from crawlkit.message_queue.local import LocalServer

    return LocalServer(settings.data_path, max_messages=settings.queue_maxsize)


def log_writer(settings: Settings, role: str, node: str = "") -> LogWriter:
    """Stores what a process logs. That of the scheduler, of which there is one, also removes what is old."""
    from crawlkit.database.logwriter import Bounds, LogWriter
    from crawlkit.database.registry import check

    url = check(settings.store_url("logdb"), "logdb")  # what is wrong with it shall be said at once
    prunes = role in ("scheduler", "one") or url.engine == "memory"
    return LogWriter(
        lambda: cast("LogStore", open_store(settings, "logdb")),
        node=node or node_name(role),
        role=role,
        clock=clock(),
        bounds=Bounds(settings.log_days, settings.log_size * 2**20) if prunes else None,
    )


def build_scheduler(
    stores: Stores,
    queues: Broker,
    settings: EngineSettings,
    *,
    projectdb: ProjectStore | None = None,
    logs: Voice | None = None,
) -> SchedulerService:
    """The scheduler and its engine. ``projectdb``: instead of that of ``stores``.

    ``logs``, here and below: takes log lines, and says what this process is called.
    """
    from crawlkit.libs import messages
    from crawlkit.scheduler.engine import Engine
    from crawlkit.scheduler.service import SchedulerService

    resultdb, blobdb = stores.resultdb, stores.opened.get("blobdb")

    def drop_some(project: str) -> int:
        return resultdb.drop_some(project, DROP_RESULTS) or (blobdb.drop_kept(project) if blobdb is not None else 0)

    engine = Engine(stores.taskdb, projectdb or stores.projectdb, settings, drop_some)
    return SchedulerService(
        engine,
        newtask_queue=queues.queue(messages.NEWTASK_QUEUE),
        status_queue=queues.queue(messages.STATUS_QUEUE),
        out_queue=queues.queue(messages.SCHEDULER2FETCHER),
        clock=clock(),
        broker=queues,
        ring=[queues.queue(name) for name in messages.QUEUE_NAMES if name != messages.NEWTASK_QUEUE],
        resume_queue=queues.queue(messages.FETCHER2PROCESSOR),
        blobs=blobdb,
        node=logs.node if logs is not None else "",
        journal=logs.put if logs is not None else None,
    )


def build_fetcher(
    queues: Broker,
    blobs: BlobStore | None,
    options: Mapping[str, Any],
    *,
    settings: Settings,
    logs: Voice | None = None,
) -> FetcherService:
    """A fetcher. ``options``: those of ``crawlkit fetcher``; what is None keeps its default."""
    from crawlkit.fetcher.service import FetcherService
    from crawlkit.libs import messages

    return FetcherService(
        inqueue=queues.queue(messages.SCHEDULER2FETCHER),
        outqueue=queues.queue(messages.FETCHER2PROCESSOR),
        status_queue=queues.queue(messages.STATUS_QUEUE),
        settings=fetcher_settings({**options, "files_path": files_path(settings, options)}),
        clock=clock(),
        node=_node_of(logs, "fetcher"),
        blobs=blobs,
    )


def files_path(settings: Settings, options: Mapping[str, Any]) -> str:
    """Where the files of downloads are: a folder, or the URL of a store. ``options``: those of ``crawlkit fetcher``."""
    from crawlkit.files.store import check_url, is_url

    said = str(options.get("files_path") or settings.data_path / "files")
    if not is_url(said):
        return os.path.abspath(said)
    check_url(said)
    return said


def file_area(settings: Settings, project: str, options: Mapping[str, Any]) -> Area:
    """The files of a project. ``options``: those of ``crawlkit fetcher``."""
    from crawlkit.files.places import Places

    return Places(files_path(settings, options), clock().monotonic).area(project)


def fetcher_settings(options: Mapping[str, Any]) -> FetcherSettings:
    """The settings that the options of ``crawlkit fetcher`` stand for."""
    from crawlkit.fetcher.settings import FetcherSettings

    names = {
        "poolsize": "poolsize",
        "host_connections": "host_connections",
        "proxy": "proxy",
        "user_agent": "user_agent",
        "timeout": "timeout",
        "splash_endpoint": "splash_endpoint",
        "puppeteer_endpoint": "browser_endpoint",
        "allow_private": "allow_private",
        "files_path": "files_path",
    }
    values = {names[name]: value for name, value in options.items() if name in names and value is not None}
    if options.get("max_body") is not None:
        values["max_body"] = options["max_body"] * 2**20
        values["max_inflight_bytes"] = max(FetcherSettings.max_inflight_bytes, 2 * values["max_body"])
    return FetcherSettings(**values)


def build_processor(
    queues: Broker,
    projectdb: ProjectStore,
    blobs: BlobStore | None,
    options: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    *,
    settings: Settings,
    logs: Voice | None = None,
) -> ProcessorService:
    """A processor with its workers. ``options``: those of ``crawlkit processor``."""
    from crawlkit.libs import messages
    from crawlkit.processor.service import ProcessorService

    return ProcessorService(
        inqueue=queues.queue(messages.FETCHER2PROCESSOR),
        result_queue=queues.queue(messages.PROCESSOR2RESULT),
        status_queue=queues.queue(messages.STATUS_QUEUE),
        projectdb=projectdb,
        settings=processor_settings(options, environment),
        clock=clock(),
        node=_node_of(logs, "processor"),
        blobs=blobs,
        unseal=unsealer(settings),
        journal=logs.put if logs is not None else None,
    )


def processor_settings(options: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> ProcessorSettings:
    """The settings that the options of ``crawlkit processor`` stand for. ``environment``: what handlers see of it."""
    from crawlkit.processor.settings import MIB, ProcessorSettings

    named = ("process_time_limit", "workers", "keep_pages")
    said: dict[str, Any] = {name: options[name] for name in named if name in options}
    if "memory_limit" in options:
        said["memory_limit"] = options["memory_limit"] * MIB
    return ProcessorSettings(environment=dict(environment or {}), **said)


def build_result_worker(
    queues: Broker, resultdb: ResultStore | None, result_cls: str = "", *, logs: Voice | None = None
) -> ResultService:
    """A result worker; without a resultdb it counts results as discarded."""
    from crawlkit.libs import messages
    from crawlkit.result.service import ResultService
    from crawlkit.result.worker import load_result_worker

    return ResultService(
        inqueue=queues.queue(messages.PROCESSOR2RESULT),
        status_queue=queues.queue(messages.STATUS_QUEUE),
        resultdb=resultdb,
        clock=clock(),
        node=_node_of(logs, "result_worker"),
        worker=load_result_worker(result_cls, resultdb) if result_cls else None,
    )


def build_webui(
    stores: Stores,
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    rpc: str | None = None,
    access: Mapping[str, Any] | None = None,
    fetcher: Mapping[str, Any] | None = None,
    logs: Voice | None = None,
) -> WebServer:
    """The web UI. ``rpc``: the scheduler's address, when it is not that of the data path; ``access``: those options of
    ``crawlkit webui`` that say who may come in, ``fetcher``: those of ``crawlkit fetcher``, which hold for debug runs.

    Raises :class:`UsageError` when it would be open to others and nobody could log in.
    """
    from crawlkit.webui.entrance import entrance, tls_context
    from crawlkit.webui.queues import QueueWatch
    from crawlkit.webui.scheduler_door import SchedulerDoor
    from crawlkit.webui.server import WebServer
    from crawlkit.webui.services import Services

    found = accounts(settings, stores)
    if "logdb" not in stores.opened:
        stores.opened["logdb"] = open_store(settings, "logdb")
    services = Services(
        taskdb=stores.taskdb,
        projectdb=stores.projectdb,
        resultdb=stores.resultdb,
        blobdb=stores.blobdb,
        logdb=stores.logdb,
        scheduler=SchedulerDoor(lambda: control_client(settings, rpc, timeout=10)),
        clock=clock(),
        data_path=settings.data_path.absolute(),
        extra={"accounts": found},
    )
    options = access or {}
    services.extra["secret_box"] = lambda make: secret_box(settings, make=make)
    services.extra["debugger"] = build_debugger(stores, settings, fetcher or {}, options)
    services.extra["queues"] = QueueWatch(lambda: broker(settings, "webui"), clock(), _node_of(logs, "webui"))
    gatekeeper = entrance(found, host, options)
    services.extra["gatekeeper"] = gatekeeper
    tls = tls_context(options.get("tls_cert"), options.get("tls_key"))
    return WebServer(services, gatekeeper, host=host, port=port, tls=tls)


def build_debugger(
    stores: Stores, settings: Settings, fetcher: Mapping[str, Any], options: Mapping[str, Any]
) -> Debugger:
    """The debugger of a web UI: its fetches are under the same limits and guards as those of the fetchers."""
    import dataclasses

    from crawlkit.webui.debug.engine import Debugger
    from crawlkit.webui.debug.settings import DebugSettings

    limits = DebugSettings()
    if options.get("process_time_limit"):
        worker = dataclasses.replace(limits.worker, process_time_limit=options["process_time_limit"])
        limits = dataclasses.replace(limits, worker=worker)
    return Debugger(
        projectdb=stores.projectdb,
        blobdb=stores.blobdb,
        fetcher_settings=fetcher_settings({**fetcher, "files_path": None}),
        clock=clock(),
        settings=limits,
        unseal=unsealer(settings),
    )


def accounts(settings: Settings, stores: Stores) -> Accounts:
    """Users, sessions and tokens; their store is opened among ``stores``. A secret key is made when there is none."""
    from crawlkit.webui.accounts import Accounts
    from crawlkit.webui.keys import Keys

    if "accountdb" not in stores.opened:
        stores.opened["accountdb"] = open_store(settings, "accountdb")
    datapath.make_data_path(settings.data_path)
    secret = datapath.secret_key(settings.data_path, settings.secret_key, make=True)
    assert secret is not None
    return Accounts(stores.accountdb, Keys(secret), clock())


def user_environment() -> dict[str, str]:
    """The environment without crawlkit's own settings: database URLs and passwords are no handler's business."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OUR_ENVIRONMENT)}


async def fetch_once(url: str, request: Fetch) -> Fetched:
    """One request through a fetcher of its own, without queues and stores."""
    from crawlkit.database.memory import MemoryBlobStore
    from crawlkit.fetcher.fetch import Fetcher
    from crawlkit.fetcher.settings import FetcherSettings
    from crawlkit.libs.messages import NIL, TASK, Dispatch
    from crawlkit.libs.task import Schedule, taskid_of

    dispatch = Dispatch(
        project="fetch", taskid=taskid_of(url, request.method, request.data), run=1, attempt=1, url=url, script="",
        callback=None, time_limit=0, kind=TASK, schedule=Schedule(), fetch=request, save=NIL, lastcrawltime=0,
    )  # fmt: skip
    blobs = MemoryBlobStore()
    fetcher = Fetcher(FetcherSettings(), clock(), "fetch", blobs)
    try:
        fetched = await fetcher.fetch(dispatch)
    finally:
        await fetcher.close()
    if fetched.blob is not None:
        fetched.content, fetched.blob = b"".join(blobs.read(fetched.blob)), None
    return fetched
