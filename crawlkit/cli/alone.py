"""One component in a process of its own: builds it, runs it until SIGTERM or SIGINT, stops it within ten seconds."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from crawlkit import datapath, wiring
from crawlkit.cli import log
from crawlkit.libs.errors import CrawlkitError, UsageError
from crawlkit.libs.journal import UNSTORED
from crawlkit.settings import Settings

if TYPE_CHECKING:
    from crawlkit.database.logwriter import LogWriter
    from crawlkit.libs.host_limits import HostLimits
    from crawlkit.message_queue.base import Broker
    from crawlkit.processor.zygote_client import ForkedZygote
    from crawlkit.scheduler.control import ControlServer
    from crawlkit.scheduler.service import SchedulerService

STOP_WITHIN = 9.0  # seconds
# Python looks for cycles among new objects after so many of them. A turn, or a second of pages, makes thousands, and
# hardly one of them has any.
COLLECT = (20_000, 20)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

logger = logging.getLogger("crawlkit")


class Service(Protocol):
    """What wiring builds."""

    async def run(self) -> None: ...

    async def stop(self) -> None: ...


def prepare(settings: Settings, name: str) -> None:
    """Logging, the end of this process when its supervisor ends, and no start beside others that speak otherwise."""
    log.configure(settings)
    from crawlkit.supervisor import die_with_parent

    die_with_parent()
    wiring.check_protocol(settings, name)


async def serve(service: Service, queues: Broker | None, name: str) -> None:
    """Runs ``service`` until a signal comes; a second one ends the process at once."""
    from crawlkit.supervisor import tell_ready

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)
    work = asyncio.create_task(service.run(), name=name)
    stopped = asyncio.create_task(stop.wait())
    logger.info("%s is ready (pid %d)", name, os.getpid())
    tell_ready()
    try:
        await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
            return
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await service.stop()
                await work
        except TimeoutError:
            logger.warning("%s did not stop in time; what it held comes round again", name)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
    finally:
        stopped.cancel()
        if queues is not None:
            await queues.close()
        logger.info("%s has stopped", name)


def run_on_queues(settings: Settings, name: str, build: Callable[[Broker], Awaitable[Service]]) -> int:
    """Connects the queues, builds the service in the loop, and serves."""

    async def main() -> None:
        queues = wiring.broker(settings, name)
        await queues.connect()
        service = await build(queues)
        gc.freeze()  # what is there now stays: no collection looks at it again
        gc.set_threshold(*COLLECT)
        await serve(service, queues, name)

    asyncio.run(main())
    return 0


def run_scheduler(
    settings: Settings,
    *,
    xmlrpc: bool,
    xmlrpc_host: str,
    xmlrpc_port: int,
    inqueue_limit: int,
    delete_time: float,
    keep_tasks: float,
    active_tasks: int,
    window: int,
    loop_limit: int,
    fail_pause_num: int,
    host_limits: HostLimits | None,
    hold_first: float,
    hold_max: float,
    lease: float,
    partitions: int | None,
    threads: int | None,
    advertise: str | None,
    port_given: bool,
) -> int:
    """The scheduler, with its control channel unless ``xmlrpc`` is off."""
    from crawlkit.scheduler.settings import EngineSettings

    prepare(settings, "scheduler")
    gc.set_threshold(*COLLECT)
    known_as, token = wiring.names_in(advertise), wiring.control_token(settings)
    datapath.make_data_path(settings.data_path)
    lock, refused = _lock(settings)
    engine = EngineSettings(
        inqueue_limit=inqueue_limit,
        delete_time=delete_time,
        keep_tasks=keep_tasks * 86_400 or None,
        active_tasks=active_tasks,
        window=window,
        max_leased=max(EngineSettings.max_leased, loop_limit),
        fail_pause_num=fail_pause_num,
        lease=lease,
        hold_first=hold_first,
        hold_max=hold_max,
    )
    if host_limits is not None:
        engine.host_limits = host_limits

    async def main(stores: wiring.Stores, logs: LogWriter) -> None:
        queues = wiring.broker(settings, "scheduler")
        try:
            await queues.connect()
        except CrawlkitError:
            if refused is not None and (settings.message_queue or "local://").startswith("local://"):
                raise refused from None  # who has the data path serves no queues there
            raise
        if partitions is not None:
            wiring.begin_with(stores.taskdb, partitions, time.sleep)
        service = wiring.build_scheduler(stores, queues, engine, logs=logs)
        several = service.engine.settings.partitions > 1
        if refused is not None and not several:  # its taskdb is another one, and there it has the only partition
            raise refused
        if not xmlrpc:
            await serve(service, queues, "scheduler")
            return
        control = _listen(service, xmlrpc_host, xmlrpc_port, token, known_as, any_port=not port_given)
        try:
            url = wiring.advertised(settings, control, advertise)
            if several:
                published = asyncio.create_task(wiring.keep_published(settings, service, control, url))
                try:
                    await serve(service, queues, "scheduler")
                finally:
                    published.cancel()
                    await asyncio.gather(published, return_exceptions=True)
                return
            with wiring.published(settings, stores.taskdb, control, url):
                await serve(service, queues, "scheduler")
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await control.stop()

    try:
        with log.stored(settings, "scheduler") as logs, wiring.open_stores(settings, create=True) as stores:
            asyncio.run(main(stores, logs))
    finally:
        if lock is not None:
            lock.release()
    return 0


def _lock(settings: Settings) -> tuple[datapath.Lock | None, UsageError | None]:
    """The lock of a data path that has one scheduler; or why there is none, which several need not care about."""
    try:
        return datapath.Lock(settings.data_path / datapath.SCHEDULER_LOCK, "a crawlkit scheduler"), None
    except UsageError as error:
        return None, error


def _listen(
    service: SchedulerService, host: str, port: int, token: str, known_as: Sequence[str], *, any_port: bool
) -> ControlServer:
    """A control server that listens. ``any_port``: nobody asked for this one, so another will do when it is taken."""
    from crawlkit.scheduler.control import ControlServer

    control = ControlServer(service, host, port, token, known_as)
    try:
        control.start()
    except OSError as error:
        if any_port and error.errno == errno.EADDRINUSE:
            return _listen(service, host, 0, token, known_as, any_port=False)
        raise UsageError(
            f"scheduler: cannot listen on {host}:{port}: {error.strerror}; say another --xmlrpc-port (0: any free one)"
        ) from None
    return control


def run_fetcher(settings: Settings, **options: Any) -> int:
    """A fetcher."""
    wiring.limits_of(options)  # what is wrong with them is said before anything is opened
    prepare(settings, "fetcher")
    with log.stored(settings, "fetcher") as logs, wiring.open_stores(settings, ("blobdb",), create=True) as stores:

        async def build(queues: Broker) -> Service:
            private = wiring.without_users(settings, stores)
            return wiring.build_fetcher(queues, stores.blobdb, options, settings=settings, logs=logs, private=private)

        return run_on_queues(settings, "fetcher", build)


def run_processor(settings: Settings, *, zygote: ForkedZygote | None = None, **options: Any) -> int:
    """A processor. ``zygote``: one that was forked with this process."""
    wiring.limits_of(options)
    prepare(settings, "processor")
    kinds = ("projectdb", "blobdb")
    with log.stored(settings, "processor") as logs, wiring.open_stores(settings, kinds, create=True) as stores:

        async def build(queues: Broker) -> Service:
            return wiring.build_processor(
                queues, stores.projectdb, stores.blobdb, options, settings=settings, logs=logs, zygote=zygote
            )

        return run_on_queues(settings, "processor", build)


def run_result_worker(settings: Settings, result_cls: str, discard: bool) -> int:
    """A result worker; with ``discard`` it counts results and keeps none."""
    prepare(settings, "result_worker")
    kinds = () if discard else ("resultdb",)
    with log.stored(settings, "result_worker") as logs, wiring.open_stores(settings, kinds, create=True) as stores:
        resultdb = None if discard else stores.resultdb
        sinks = wiring.build_sinks(settings, resultdb, logs=logs)

        async def build(queues: Broker) -> Service:
            service = wiring.build_result_worker(queues, resultdb, result_cls, logs=logs)
            if sinks is None:
                return service
            from crawlkit.result.sink_threads import WithSinks

            return WithSinks(service, sinks)

        return run_on_queues(settings, "result_worker", build)


def run_browser(settings: Settings, *, host: str, port: int, quiet: bool, **options: Any) -> int:
    """A browser service; on the socket of its supervisor when that has one for it."""
    from crawlkit.supervisor import die_with_parent, given_door

    log.configure(settings, "WARNING" if quiet else "INFO")
    die_with_parent()
    door = given_door()
    token = wiring.browser_token(settings)
    wiring.check_door(host, token)
    if door is None:  # a supervisor's goes on: its tasks are told
        wiring.check_chromium(options)
    sockets = [door] if door is not None else wiring.listen(host, port)
    keeps = settings.data_path.is_dir() or not settings.is_here("logdb")

    async def main() -> None:
        service = wiring.build_browser(options, sockets, token=token, on_demand=door is not None)
        if door is None:
            logger.info("browser service at http://%s:%d/", host, sockets[0].getsockname()[1])
        await serve(service, None, "browser")

    with log.stored(settings, "browser") if keeps else contextlib.nullcontext():
        asyncio.run(main())
    return 0


def run_webui(
    settings: Settings,
    *,
    host: str,
    port: int,
    port_given: bool,
    scheduler_rpc: str | None,
    fetcher: dict[str, Any],
    **options: Any,
) -> int:
    """The web UI, with a link on stderr that lets its reader in, or the address where users log in."""
    from crawlkit.webui.entrance import entry_words
    from crawlkit.webui.notice import publish, withdraw

    prepare(settings, "webui")
    with log.stored(settings, "webui") as logs, wiring.open_stores(settings, create=True) as stores:

        async def main() -> None:
            server = wiring.build_webui(
                stores, settings, host=host, port=port, rpc=scheduler_rpc, access=options, fetcher=fetcher, logs=logs
            )
            server.listen(any_port=not port_given)
            publish(settings.data_path, server.url)
            # the link lets in whoever reads it: it is for the terminal only
            logger.info("%s", entry_words(server.gatekeeper.accounts, server.url), extra=UNSTORED)
            try:
                await serve(server, None, "webui")
            finally:
                withdraw(settings.data_path)

        asyncio.run(main())
    return 0
