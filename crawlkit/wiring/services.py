"""Builds queues and components."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from crawlkit import datapath
from crawlkit.libs.errors import UsageError
from crawlkit.settings import Settings
from crawlkit.wiring.browser import browser_endpoint
from crawlkit.wiring.limits import limits_of
from crawlkit.wiring.partitions import take_part
from crawlkit.wiring.process import clock, node_of, unsealer
from crawlkit.wiring.stores import DROP_RESULTS, Stores

if TYPE_CHECKING:
    from crawlkit.database.base import BlobStore, ProjectStore, ResultStore, SinkBook
    from crawlkit.fetcher.service import FetcherService
    from crawlkit.fetcher.settings import FetcherSettings
    from crawlkit.files.base import Area
    from crawlkit.libs.journal import Voice
    from crawlkit.libs.messages import Fetched
    from crawlkit.libs.task import Fetch
    from crawlkit.message_queue.base import Broker
    from crawlkit.message_queue.manager import ManagerServer
    from crawlkit.message_queue.server import LocalServer
    from crawlkit.processor.service import ProcessorService
    from crawlkit.processor.settings import ProcessorSettings
    from crawlkit.processor.zygote_client import ForkedZygote
    from crawlkit.result.service import ResultService
    from crawlkit.result.sink_threads import SinkThreads
    from crawlkit.scheduler.service import SchedulerService
    from crawlkit.scheduler.settings import EngineSettings

OWN = ("newtask_queue", "status_queue")  # what a scheduler takes from itself
LOCAL_POLL = 1.0  # seconds between two looks at a folder of scripts


def memory_broker(settings: Settings) -> Broker:
    """The queues of a single process."""
    from crawlkit.message_queue.memory import MemoryBroker

    return MemoryBroker(settings.queue_maxsize)


def broker(settings: Settings, name: str, *, patience: float | None = None) -> Broker:
    """The queues between processes, to be connected. ``name``: what their server calls this process; ``patience``:
    seconds that it waits for a server which is not there yet, if not the usual ones."""
    from crawlkit.message_queue.registry import connect_broker

    url = settings.queue_url()
    found = connect_broker(url, max_messages=settings.queue_maxsize, name=name, key=queue_key(settings))
    if patience is not None and hasattr(found, "patience"):
        found.patience = patience
    return found


def queue_server(settings: Settings) -> LocalServer | ManagerServer | None:
    """Serves the queues of a data path, or those of ``manager://``; lives in the supervisor. None: a broker does."""
    from crawlkit.message_queue.manager import SCHEME, ManagerServer
    from crawlkit.message_queue.server import LocalServer

    if settings.message_queue is None:
        return LocalServer(settings.data_path, max_messages=settings.queue_maxsize)
    if settings.message_queue.startswith(SCHEME):
        url = settings.message_queue
        return ManagerServer(url, key=queue_key(settings), max_messages=settings.queue_maxsize)
    return None


def queue_key(settings: Settings) -> str:
    """The key of ``manager://`` for a URL without one: as it was given, else made of the secret key; "" without both.

    It is not the secret key itself, nor does it tell it.
    """
    from crawlkit.message_queue.manager import derived_key

    if settings.queue_key:
        return settings.queue_key
    secret = datapath.secret_key(settings.data_path, settings.secret_key)
    return derived_key(secret) if secret else ""


def build_scheduler(
    stores: Stores,
    queues: Broker,
    settings: EngineSettings,
    *,
    projectdb: ProjectStore | None = None,
    logs: Voice | None = None,
    patient: bool = False,
) -> SchedulerService:
    """The scheduler and its engine, once it has the taskdb, or takes part in it.

    ``projectdb``: instead of that of ``stores``, for a scheduler that works alone.

    ``patient``: while another scheduler has the taskdb this waits; else it raises :class:`UsageError`.
    ``logs``, here and below: takes log lines, and says what this process is called.
    """
    from crawlkit.database.local import LocalProjectStore
    from crawlkit.libs import messages
    from crawlkit.message_queue.status_queues import StatusQueues
    from crawlkit.scheduler import patient as reading
    from crawlkit.scheduler.engine import Engine
    from crawlkit.scheduler.service import SchedulerService

    resultdb, blobdb = stores.resultdb, stores.opened.get("blobdb")

    def drop_some(project: str) -> int:
        return resultdb.drop_some(project, DROP_RESULTS) or (blobdb.drop_kept(project) if blobdb is not None else 0)

    partitions, ownership, membership = take_part(
        stores.taskdb, patient=patient
    )  # before the engine reads what is there
    if partitions > 1 and projectdb is not None:
        raise UsageError(
            f"the taskdb is divided into {partitions} partitions, and this works alone: use `crawlkit all`, or run"
            " `crawlkit partitions 1` first"
        )
    settings = dataclasses.replace(settings, partitions=partitions)
    if isinstance(stores.projectdb, LocalProjectStore):  # nobody says that a file was saved
        settings = dataclasses.replace(settings, project_poll=min(LOCAL_POLL, settings.project_poll))
    taskdb, projects = reading.patient(stores.taskdb, clock()), reading.patient(projectdb or stores.projectdb, clock())
    engine = Engine(taskdb, projects, settings, drop_some)
    return SchedulerService(
        engine,
        newtask_queue=queues.queue(messages.NEWTASK_QUEUE),
        status_queues=StatusQueues(queues.queue),
        out_queue=queues.queue(messages.SCHEDULER2FETCHER),
        clock=clock(),
        broker=queues,
        ring=[queues.queue(name) for name in messages.QUEUE_NAMES if name not in OWN],
        resume_queue=queues.queue(messages.FETCHER2PROCESSOR),
        blobs=blobdb,
        node=logs.node if logs is not None else "",
        journal=logs.put if logs is not None else None,
        ownership=ownership,
        membership=membership,
    )


def build_fetcher(
    queues: Broker,
    blobs: BlobStore | None,
    options: Mapping[str, Any],
    *,
    settings: Settings,
    logs: Voice | None = None,
    private: Callable[[], bool] | None = None,
) -> FetcherService:
    """A fetcher. ``options``: those of ``crawlkit fetcher``; what is None keeps its default. ``private``: tells whether
    private addresses are open, unless an option does."""
    from crawlkit.fetcher.service import FetcherService
    from crawlkit.libs import messages
    from crawlkit.message_queue.status_queues import StatusQueues

    return FetcherService(
        inqueue=queues.queue(messages.SCHEDULER2FETCHER),
        outqueue=queues.queue(messages.FETCHER2PROCESSOR),
        status_queues=StatusQueues(queues.queue),
        settings=fetcher_settings({**options, "files_path": files_path(settings, options)}, settings),
        clock=clock(),
        node=node_of(logs, "fetcher"),
        blobs=blobs,
        private=private if options.get("allow_private") is None else None,
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


def fetcher_settings(options: Mapping[str, Any], settings: Settings | None = None) -> FetcherSettings:
    """The settings that the options of ``crawlkit fetcher`` stand for; with ``settings``, the token of the browser
    service too."""
    from crawlkit.fetcher.settings import FetcherSettings

    names = {
        "poolsize": "poolsize",
        "host_connections": "host_connections",
        "proxy": "proxy",
        "user_agent": "user_agent",
        "timeout": "timeout",
        "splash_endpoint": "splash_endpoint",
        "allow_private": "allow_private",
        "files_path": "files_path",
    }
    values = {names[name]: value for name, value in options.items() if name in names and value is not None}
    endpoint, token = browser_endpoint(settings or Settings(), options)
    values |= {"browser_endpoint": endpoint, "browser_token": token}
    values["limits"] = limits_of(options)
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
    zygote: ForkedZygote | None = None,
) -> ProcessorService:
    """A processor with its workers. ``options``: those of ``crawlkit processor``; ``zygote``: one that is there."""
    from crawlkit.libs import messages
    from crawlkit.message_queue.status_queues import StatusQueues
    from crawlkit.processor.service import ProcessorService

    return ProcessorService(
        inqueue=queues.queue(messages.FETCHER2PROCESSOR),
        result_queue=queues.queue(messages.PROCESSOR2RESULT),
        status_queues=StatusQueues(queues.queue),
        projectdb=projectdb,
        settings=processor_settings(options, environment),
        clock=clock(),
        node=node_of(logs, "processor"),
        blobs=blobs,
        unseal=unsealer(settings),
        journal=logs.put if logs is not None else None,
        zygote=zygote,
    )


def processor_settings(options: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> ProcessorSettings:
    """The settings that the options of ``crawlkit processor`` stand for. ``environment``: what handlers see of it."""
    from crawlkit.processor.settings import MIB, ProcessorSettings

    named = ("process_time_limit", "workers", "keep_pages")
    said: dict[str, Any] = {name: options[name] for name in named if name in options}
    if "memory_limit" in options:
        said["memory_limit"] = options["memory_limit"] * MIB
    return ProcessorSettings(environment=dict(environment or {}), limits=limits_of(options), **said)


def build_result_worker(
    queues: Broker, resultdb: ResultStore | None, result_cls: str = "", *, logs: Voice | None = None
) -> ResultService:
    """A result worker; without a resultdb it counts results as discarded."""
    from crawlkit.libs import messages
    from crawlkit.message_queue.status_queues import StatusQueues
    from crawlkit.result.service import ResultService
    from crawlkit.result.worker import load_result_worker

    return ResultService(
        inqueue=queues.queue(messages.PROCESSOR2RESULT),
        status_queues=StatusQueues(queues.queue),
        resultdb=resultdb,
        clock=clock(),
        node=node_of(logs, "result_worker"),
        worker=load_result_worker(result_cls, resultdb) if result_cls else None,
    )


def build_sinks(settings: Settings, resultdb: ResultStore | None, *, logs: Voice | None = None) -> SinkThreads | None:
    """The sinks that settings name, to be run beside a result worker; ``None``: there are none."""
    from crawlkit.result.sink_url import parse_all

    urls = parse_all(settings.sink)
    if not urls:
        return None
    from crawlkit.result.sink_follower import SinkFollower
    from crawlkit.result.sink_threads import SinkThreads
    from crawlkit.result.sinks import open_sink

    book = sink_book(resultdb)
    if resultdb is None:
        raise UsageError("sinks follow the resultdb, and this result worker has none: leave --sink or --discard out")
    node = node_of(logs, "result_worker")
    return SinkThreads([SinkFollower(resultdb, book, open_sink(url), url, node=node, clock=clock()) for url in urls])


def sink_book(resultdb: ResultStore | None) -> SinkBook:
    """What a resultdb remembers of its sinks; raises :class:`UsageError` for one that remembers nothing."""
    if resultdb is not None and not callable(getattr(resultdb, "take_sink", None)):
        raise UsageError(f"{type(resultdb).__name__}: this resultdb cannot be followed by sinks: leave --sink out")
    return cast("SinkBook", resultdb)


async def fetch_once(
    url: str,
    request: Fetch,
    *,
    folder: str | None = None,
    browser: tuple[str | None, str] = (None, ""),
    own: Mapping[str, Any] | None = None,
) -> Fetched:
    """One request through a fetcher of its own, without queues and stores.

    ``folder``: where what a browser makes of the page goes; ``browser``: endpoint and token of a service, else a page
    for one gets a service of its own, which ends with it; ``own``: the options of ``crawlkit browser`` for that.
    """
    from crawlkit.database.memory import MemoryBlobStore
    from crawlkit.fetcher.browser_client import is_plain
    from crawlkit.fetcher.fetch import Fetcher
    from crawlkit.fetcher.settings import FetcherSettings
    from crawlkit.libs.messages import NIL, TASK, Dispatch
    from crawlkit.libs.task import Schedule, taskid_of
    from crawlkit.wiring.browser import own_browser

    dispatch = Dispatch(
        project="fetch", taskid=taskid_of(url, request.method, request.data), run=1, attempt=1, url=url, script="",
        callback=None, time_limit=0, kind=TASK, schedule=Schedule(), fetch=request, save=NIL, lastcrawltime=0,
    )  # fmt: skip
    blobs = MemoryBlobStore()
    async with contextlib.AsyncExitStack() as stack:
        if not is_plain(request) and browser[0] is None:
            browser = await stack.enter_async_context(own_browser(own))
        settings = FetcherSettings(files_path=folder, browser_endpoint=browser[0], browser_token=browser[1])
        fetcher = Fetcher(settings, clock(), "fetch", blobs)
        try:
            fetched = await fetcher.fetch(dispatch)
        finally:
            await fetcher.close()
    if fetched.blob is not None:
        fetched.content, fetched.blob = b"".join(blobs.read(fetched.blob)), None
    return fetched
