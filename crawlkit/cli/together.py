"""``crawlkit all``: a supervisor that holds the queues, and every component as a child process; ``crawlkit node``: the
workers only, for a scheduler on another host.

Children get the resolved global options by environment variables, so that no password stands in a process list; the
options of each component they find themselves, in the same order as when it is run alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import crawlkit
from crawlkit import datapath, wiring
from crawlkit.cli import log
from crawlkit.cli.base import PREFIX
from crawlkit.libs.errors import CrawlkitError, UsageError
from crawlkit.settings import Settings

if TYPE_CHECKING:
    from crawlkit.forkserver import Forks
    from crawlkit.message_queue.manager import ManagerServer
    from crawlkit.message_queue.server import LocalServer
    from crawlkit.supervisor import ChildSpec, Supervisor

START_WITHIN = 30.0  # seconds until everything should be ready
LOOK = 0.1  # seconds between looks for the scheduler's address
#: The databases that each kind of worker opens.
NEEDS = {"fetcher": ("blobdb",), "processor": ("projectdb", "blobdb"), "result_worker": ("resultdb",)}

logger = logging.getLogger("crawlkit")


def run_all(
    settings: Settings,
    counts: Mapping[str, int],
    *,
    with_webui: bool = True,
    browser: Mapping[str, Any] | None = None,
    forks: Forks | None = None,
) -> int:
    """Until SIGTERM or SIGINT; returns the exit code.

    ``browser``: the options of a browser service that is started when the first page for it comes; None: there is none.
    ``forks``, here and below: the server that components are forked from; without it they are started anew.
    """
    from crawlkit.supervisor import die_with_parent

    die_with_parent()  # of crawlkit bench; else it does nothing
    alone = settings.message_queue is None
    if _sinks(settings) and not counts["result_worker"] and alone:
        raise UsageError("--sink needs a result worker: sinks follow the resultdb, so leave --result-worker-num 0 out")
    log.configure(settings)
    datapath.make_data_path(settings.data_path)
    server = wiring.queue_server(settings)
    lock = datapath.Lock(settings.data_path / datapath.RUN_LOCK, "crawlkit all")
    try:
        with log.stored(settings, "supervisor"):
            specs = with_browser(settings, children(settings, counts, with_webui=with_webui), browser)
            return asyncio.run(_supervise(settings, specs, server, wiring.KINDS, forks))
    finally:
        lock.release()


def run_node(
    settings: Settings,
    counts: Mapping[str, int],
    limits: Mapping[str, Any],
    *,
    until_done: bool = False,
    browser: Mapping[str, Any] | None = None,
    forks: Forks | None = None,
) -> int:
    """The workers of one host, for a scheduler elsewhere. Until SIGTERM or SIGINT; returns the exit code.

    ``limits``: options of each fetcher and processor. ``until_done``: ends when nothing is left to do.
    """
    _sinks(settings)
    log.configure(settings)
    wiring.limits_of(limits)  # what is wrong with them is said once, here
    env = environment(settings)
    for name, value in limits.items():
        if value is not None:
            env |= {f"{PREFIX}_{role}_{name.upper()}": str(value) for role in ("FETCHER", "PROCESSOR")}
    specs = workers(counts, env)
    if not specs:
        raise UsageError("crawlkit node: there is nothing to start: every number is 0")
    roles = [role for role, count in counts.items() if count]
    kinds = sorted({kind for role in roles for kind in NEEDS[role]})
    for kind in kinds:
        if settings.is_here(kind) and not (settings.data_path / f"{kind.removesuffix('db')}.db").exists():
            raise UsageError(
                f"crawlkit node: there is no {kind} in the data path {settings.data_path}: name the database that the"
                " scheduler uses with --database (or CRAWLKIT_DATABASE), and its queues with --message-queue"
            )
    with log.stored(settings, "supervisor"):
        specs = with_browser(settings, specs, browser)
        return asyncio.run(_supervise(settings, specs, None, kinds, forks, until_done=until_done))


def _sinks(settings: Settings) -> int:
    """How many there are; raises :class:`UsageError` for two that are the same, before anything starts."""
    from crawlkit.result.sink_url import parse_all

    return len(parse_all(settings.sink))


async def _supervise(
    settings: Settings,
    specs: list[ChildSpec],
    server: LocalServer | ManagerServer | None,
    kinds: Sequence[str],
    forks: Forks | None,
    *,
    until_done: bool = False,
) -> int:
    from crawlkit.cli.drained import when_drained
    from crawlkit.cli.reach import reach
    from crawlkit.supervisor import Supervisor

    if server is not None:
        await server.start()
    try:
        await reach(settings, [kind for kind in kinds if not settings.is_here(kind)], queues=server is None)
        supervisor = Supervisor(specs, forks=forks)
        if any(map(settings.is_here, kinds)):
            logger.info("data is in %s", settings.data_path.absolute())
        beside = [asyncio.create_task(_greet(settings, supervisor, specs))]
        if until_done:
            beside.append(asyncio.create_task(when_drained(settings, supervisor.stop)))
        try:
            return await supervisor.run()
        finally:
            for task in beside:
                task.cancel()
    finally:
        if server is not None:
            await server.close()
        logger.info("everything has stopped")


def children(settings: Settings, counts: Mapping[str, int], *, with_webui: bool = False) -> list[ChildSpec]:
    """What to start, takers before givers [C37]."""
    env = environment(settings)
    specs = workers(counts, env)
    if not counts["result_worker"] and settings.message_queue is None:
        # somebody has to take the results and count them; queues that others share may have a taker elsewhere
        specs.insert(0, child("result_worker", ["result_worker", "--discard"], env))
    specs.append(child("scheduler", ["scheduler"], env))
    if with_webui:
        specs.append(child("webui", ["webui"], env))
    return specs


def workers(counts: Mapping[str, int], env: Mapping[str, str]) -> list[ChildSpec]:
    """Result workers, processors and fetchers, takers before givers."""
    specs = []
    for role in ("result_worker", "processor", "fetcher"):
        for number in range(1, counts[role] + 1):
            name = role if counts[role] == 1 else f"{role}-{number}"
            specs.append(child(name, [role], env))
    return specs


def with_browser(settings: Settings, specs: list[ChildSpec], options: Mapping[str, Any] | None) -> list[ChildSpec]:
    """The children, who know where the browser service is, and that service itself."""
    from crawlkit.cli.browser_child import browser_child

    if options is None:
        return specs
    service, known = browser_child(options, environment(settings))
    return [*(dataclasses.replace(spec, env={**spec.env, **known}) for spec in specs), service]


def child(name: str, command: list[str], env: Mapping[str, str], door: socket.socket | None = None) -> ChildSpec:
    """A command of ours as a child."""
    from crawlkit.supervisor import ChildSpec

    # -P: a file of the user's in the working directory must not hide a module of Python's
    return ChildSpec(name, [sys.executable, "-P", "-m", "crawlkit", *command], env, door, command)


def environment(settings: Settings) -> dict[str, str]:
    """The global options as variables, and where this very crawlkit is."""
    home = str(Path(crawlkit.__file__).parents[1])
    values = {
        "CONFIG": settings.config.absolute() if settings.config else None,
        "DATA_PATH": settings.data_path.absolute(),
        "DATABASE": settings.database,
        "TASKDB": settings.taskdb,
        "PROJECTDB": settings.projectdb,
        "RESULTDB": settings.resultdb,
        "LOGDB": settings.logdb,
        "LOG_DAYS": settings.log_days,
        "LOG_SIZE": settings.log_size,
        "SINK": " ".join(settings.sink) or None,
        "MESSAGE_QUEUE": settings.queue_url(),
        "QUEUE_KEY": settings.queue_key,
        "QUEUE_MAXSIZE": settings.queue_maxsize,
        "SECRET_KEY": settings.secret_key,
        "LOGGING_CONFIG": settings.logging_config.absolute() if settings.logging_config else None,
        "DEBUG": int(settings.debug),
        "ADD_SYS_PATH": int(settings.add_sys_path),
    }
    found = {f"{PREFIX}_{name}": str(value) for name, value in values.items() if value is not None}
    paths = [home, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**found, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


async def _greet(settings: Settings, supervisor: Supervisor, specs: list[ChildSpec]) -> None:
    """Says once that everything is ready, or what is not."""
    asked = any(spec.name == "scheduler" for spec in specs)
    missing: list[str] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_WITHIN):
            while missing := supervisor.unready():
                await supervisor.until_readier()
            missing = ["scheduler"] if asked else []
            while missing and (missing := await asyncio.to_thread(_missing, settings)):  # noqa: ASYNC110 - a file comes
                await asyncio.sleep(LOOK)
    if missing:
        logger.warning("not ready after %g s: %s", START_WITHIN, ", ".join(missing))
        return
    logger.info("ready: %s", ", ".join(spec.name for spec in specs if spec.door is None))
    if asked:
        option = "" if settings.data_path == Path("data") else f" --data-path {settings.data_path}"
        logger.info("add a project: crawlkit project put%s SCRIPT", option)
        logger.info("start it: crawlkit project run%s NAME", option)


def _missing(settings: Settings) -> list[str]:
    try:
        wiring.control_client(settings, timeout=2).close()
    except CrawlkitError:
        return ["scheduler"]
    return []
