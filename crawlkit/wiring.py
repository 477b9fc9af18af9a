"""The only place that builds clocks, stores, queues and services. Decides nothing else.

Imports a room only when something of it is built, so that a command that reads one store loads one store.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crawlkit import datapath
from crawlkit.config import Settings
from crawlkit.libs.errors import ServiceUnreachable, UsageError

if TYPE_CHECKING:
    from crawlkit.database.base import BlobStore, ProjectStore, ResultStore, TaskStore
    from crawlkit.fetcher.service import FetcherService
    from crawlkit.libs.clock import Clock
    from crawlkit.libs.messages import Fetched
    from crawlkit.libs.task import Fetch
    from crawlkit.message_queue.base import Broker
    from crawlkit.processor.service import ProcessorService
    from crawlkit.result.service import ResultService
    from crawlkit.scheduler.control import ControlClient
    from crawlkit.scheduler.service import SchedulerService
    from crawlkit.scheduler.settings import EngineSettings

KINDS = ("taskdb", "projectdb", "resultdb", "blobdb")
ONE_DELAYS = {"0": 1.0, "1": 5.0, "": 15.0}  # retry delays of `one`, seconds
OUR_ENVIRONMENT = ("CRAWLKIT_", "TASKDB", "PROJECTDB", "RESULTDB", "AMQP_URL", "WEBUI_", "MYSQL_", "RABBITMQ_")


def clock() -> Clock:
    """The machine's clock."""
    from crawlkit.libs.clock import SystemClock

    return SystemClock()


def node_name(role: str) -> str:
    """Unique per process, and readable."""
    return f"{socket.gethostname()}-{role}-{os.getpid()}-{secrets.token_hex(2)}"


# -- stores ----------------------------------------------------------------------------------------------------------


@dataclass
class Stores:
    """Those databases that were asked for; the others raise ``AttributeError``-like errors when touched."""

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

    def close(self) -> None:
        """Closes all, also when one fails to."""
        with contextlib.ExitStack() as stack:
            for store in self.opened.values():
                stack.callback(store.close)


def open_store(settings: Settings, kind: str) -> Any:
    """One database; created when it does not exist."""
    from crawlkit.database import registry

    url = settings.store_url(kind)
    if getattr(settings, "taskdb" if kind == "blobdb" else kind) is None:
        datapath.make_data_path(settings.data_path)
    return getattr(registry, f"connect_{kind}")(url)


@contextlib.contextmanager
def open_stores(settings: Settings, kinds: Sequence[str] = KINDS, *, create: bool = False) -> Iterator[Stores]:
    """Several databases, closed at the end. Unless ``create``, a missing data path is a :class:`UsageError`."""
    stores = connect_stores(settings, kinds, create=create)
    try:
        yield stores
    finally:
        stores.close()


def connect_stores(settings: Settings, kinds: Sequence[str] = KINDS, *, create: bool = False) -> Stores:
    """Several databases; the caller closes them."""
    if not create:
        for kind in kinds:
            here = getattr(settings, "taskdb" if kind == "blobdb" else kind) is None
            if here and not settings.data_path.is_dir():
                raise UsageError(f"data path {settings.data_path}: there is nothing yet; name it with --data-path")
    opened: dict[str, Any] = {}
    try:
        for kind in kinds:
            opened[kind] = open_store(settings, kind)
    except BaseException:
        Stores(opened).close()
        raise
    return Stores(opened)


def memory_settings(settings: Settings) -> Settings:
    """The settings of a run that keeps nothing: every store that nobody named is in memory."""
    import dataclasses

    named = {kind: getattr(settings, kind) or f"memory+{kind}://" for kind in ("taskdb", "projectdb", "resultdb")}
    return dataclasses.replace(settings, **named)


def drop_project(settings: Settings, name: str) -> None:
    """Removes what a project has, while no scheduler runs on the data path."""
    lock = datapath.Lock(settings.data_path / datapath.SCHEDULER_LOCK, "crawlkit project rm")
    try:
        with open_stores(settings, ("taskdb", "resultdb")) as stores:
            stores.taskdb.drop(name)
            stores.resultdb.drop(name)
    finally:
        lock.release()


# -- the scheduler's control channel ---------------------------------------------------------------------------------


def control_client(settings: Settings, rpc: str | None = None, timeout: float = 10) -> ControlClient:
    """Speaks to the running scheduler of the data path, or to the one at ``rpc``.

    The token of one elsewhere is in ``rpc`` as user information (``http://:TOKEN@host:23333``) or in the variable
    CRAWLKIT_SCHEDULER_TOKEN. Raises :class:`ServiceUnreachable`.
    """
    from crawlkit.scheduler.control import ControlClient

    address = datapath.read_address(settings.data_path) if rpc is None else address_of(rpc, settings.data_path)
    client = ControlClient(address.url, address.token, timeout=timeout)
    try:
        client.size()
    except ServiceUnreachable as error:
        if rpc is not None:
            raise
        raise ServiceUnreachable(f"{datapath.no_scheduler(settings.data_path)} ({error})") from None
    return client


def address_of(rpc: str, data_path: Path) -> datapath.Address:
    """An address said on the command line; its token may be in the data path when it is the same scheduler's."""
    from urllib.parse import urlsplit, urlunsplit

    parts = urlsplit(rpc if "://" in rpc else f"http://{rpc}")
    token = parts.password or parts.username or os.environ.get("CRAWLKIT_SCHEDULER_TOKEN", "")
    url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    if not token:
        with contextlib.suppress(ServiceUnreachable):
            token = datapath.read_address(data_path).token
    return datapath.Address(url, token)


# -- queues and services ---------------------------------------------------------------------------------------------


def memory_broker(settings: Settings) -> Broker:
    """The queues of a single process."""
    from crawlkit.message_queue.memory import MemoryBroker

    return MemoryBroker(settings.queue_maxsize)


def broker(settings: Settings) -> Broker:
    """The queues between processes; to be connected."""
    from crawlkit.message_queue.registry import connect_broker

    return connect_broker(settings.queue_url())


def build_scheduler(
    stores: Stores, queues: Broker, engine_settings: EngineSettings, *, with_results: bool = True
) -> SchedulerService:
    """The scheduler and its engine."""
    from crawlkit.libs import messages
    from crawlkit.scheduler.engine import Engine
    from crawlkit.scheduler.service import SchedulerService

    resultdb = stores.resultdb if with_results else None
    engine = Engine(stores.taskdb, stores.projectdb, engine_settings, resultdb.drop if resultdb is not None else None)
    return SchedulerService(
        engine,
        newtask_queue=queues.queue(messages.NEWTASK_QUEUE),
        status_queue=queues.queue(messages.STATUS_QUEUE),
        out_queue=queues.queue(messages.SCHEDULER2FETCHER),
        clock=clock(),
        broker=queues,
    )


def build_fetcher(queues: Broker, blobs: BlobStore | None, **options: Any) -> FetcherService:
    """A fetcher. ``options``: fields of FetcherSettings; those that are None keep their default."""
    from crawlkit.fetcher.service import FetcherService
    from crawlkit.fetcher.settings import FetcherSettings
    from crawlkit.libs import messages

    said = {name: value for name, value in options.items() if value is not None}
    return FetcherService(
        inqueue=queues.queue(messages.SCHEDULER2FETCHER),
        outqueue=queues.queue(messages.FETCHER2PROCESSOR),
        status_queue=queues.queue(messages.STATUS_QUEUE),
        settings=FetcherSettings(**said),
        clock=clock(),
        node=node_name("fetcher"),
        blobs=blobs,
    )


def build_processor(
    queues: Broker, projectdb: ProjectStore, blobs: BlobStore | None, **options: Any
) -> ProcessorService:
    """A processor with its workers. ``options``: fields of ProcessorSettings."""
    from crawlkit.libs import messages
    from crawlkit.processor.service import ProcessorService
    from crawlkit.processor.settings import ProcessorSettings

    return ProcessorService(
        inqueue=queues.queue(messages.FETCHER2PROCESSOR),
        result_queue=queues.queue(messages.PROCESSOR2RESULT),
        status_queue=queues.queue(messages.STATUS_QUEUE),
        projectdb=projectdb,
        settings=ProcessorSettings(**options),
        clock=clock(),
        node=node_name("processor"),
        blobs=blobs,
    )


def build_result_worker(queues: Broker, resultdb: ResultStore | None, result_cls: str = "") -> ResultService:
    """A result worker; without a resultdb it counts results as discarded."""
    from crawlkit.libs import messages
    from crawlkit.result.service import ResultService
    from crawlkit.result.worker import load_result_worker

    return ResultService(
        inqueue=queues.queue(messages.PROCESSOR2RESULT),
        status_queue=queues.queue(messages.STATUS_QUEUE),
        resultdb=resultdb,
        clock=clock(),
        node=node_name("result_worker"),
        worker=load_result_worker(result_cls, resultdb) if result_cls else None,
    )


def user_environment() -> dict[str, str]:
    """The environment without crawlkit's own settings: database URLs and passwords are no handler's business."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OUR_ENVIRONMENT)}


async def fetch_once(url: str, request: Fetch) -> Fetched:
    """One request through a fetcher of its own, without queues and stores."""
    from crawlkit.fetcher.service import Fetcher
    from crawlkit.fetcher.settings import FetcherSettings
    from crawlkit.libs.messages import NIL, TASK, Dispatch
    from crawlkit.libs.task import Schedule, taskid_of

    dispatch = Dispatch(
        project="fetch", taskid=taskid_of(url, request.method, request.data), run=1, attempt=1, url=url, script="",
        callback=None, time_limit=0, kind=TASK, schedule=Schedule(), fetch=request, save=NIL, lastcrawltime=0,
    )  # fmt: skip
    fetcher = Fetcher(FetcherSettings(), clock(), "fetch")
    try:
        return await fetcher.fetch(dispatch)
    finally:
        fetcher.close()
