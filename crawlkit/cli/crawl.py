"""A whole crawl in one process: scheduler, fetcher, processor and result worker on one loop, until it has drained.

Starts and stops services and shows where they are; every rule of crawling is in their rooms.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crawlkit import wiring
from crawlkit.cli import echo, output, progress
from crawlkit.cli.base import say
from crawlkit.cli.progress import Figures
from crawlkit.libs.errors import ScriptError, StoreUnavailable, UsageError
from crawlkit.libs.messages import STATUS_QUEUE
from crawlkit.scheduler.books import ACCEPTED, ENDINGS
from crawlkit.settings import Settings

if TYPE_CHECKING:
    from crawlkit.cli.browser_child import ChildOfOne
    from crawlkit.libs.journal import Journal
    from crawlkit.wiring import Stores

log = logging.getLogger(__name__)

LOOK = 0.25  # seconds between looks while nothing happens
STOP_WITHIN = 9.0  # seconds for a clean stop
LEFTOVERS = 2.0  # seconds of these for outcomes that are on their way to the scheduler
SINKS_WITHIN = 60.0  # seconds for what waits for sinks at the end


@dataclass(frozen=True)
class Plan:
    """What ``crawlkit one`` was asked to do."""

    settings: Settings
    scripts: dict[str, str]  # project -> text
    rate: float | str | None = None
    output: Path | None = None
    form: str = "jsonl"
    overwrite: bool = False
    limit: int | None = None
    forever: bool = False
    pdb: bool = False
    interactive: bool = False
    durable: bool = False  # the stores outlive the process
    engine: dict[str, Any] = field(default_factory=dict)
    fetcher: dict[str, Any] = field(default_factory=dict)
    browser: dict[str, Any] | None = None  # options of a service that is started when it is needed
    processor: dict[str, Any] = field(default_factory=dict)
    result_cls: str = ""


@dataclass(frozen=True)
class OneOfSeveral:
    """A :class:`~crawlkit.libs.journal.Voice` for components that share a process, each with a name of its own."""

    put: Journal
    node: str = ""


class Crawl:
    """See :meth:`run`. Raises :class:`UsageError` for an output that cannot be written."""

    def __init__(self, plan: Plan, stores: Stores, journal: Journal | None = None) -> None:
        """``journal`` gets what callbacks log, and what fails."""
        self.plan = plan
        self.stores = stores
        self._logs = OneOfSeveral(journal) if journal is not None else None
        self.names = list(plan.scripts)
        self.clock = wiring.clock()
        self._stop = asyncio.Event()
        self._signals = 0
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._started = self.clock.monotonic()
        self._speed = progress.Speed()
        self._base = (0, 0)  # done and failed before this run
        self._own = self._base_ticks = 0  # runs of on_start and the like, since and before
        self._began = self.clock.time()
        self._sink = output.open_sink(
            stores.resultdb, self.names or None, plan.output, plan.form, self._room, overwrite=plan.overwrite
        )
        self._sinks = wiring.build_sinks(plan.settings, stores.resultdb)
        self._browser: ChildOfOne | None = None
        self._unwritten = ""  # why results cannot be written out
        self._shown: progress.Progress | None = None
        self._fresh_from = 0.0  # snapshots of the scheduler from before this time are too old to tell the end

    async def run(self) -> int:
        """The exit code: 0, or 1 when tasks failed for good or results were not written.

        Raises :class:`ScriptError`.
        """
        self._build()
        self._base = (await asyncio.to_thread(self._books))[:2]
        self._base_ticks = await asyncio.to_thread(self._count_own)
        self._listen()
        shown = progress.make(say, terminal=sys.stderr.isatty() and not (self.plan.pdb or self.plan.interactive))
        self._shown = shown
        error: ScriptError | None = None
        try:
            for name, service in self._services.items():
                self._tasks[name] = asyncio.create_task(service.run(), name=name)
            if self._sinks is not None:
                self._sinks.start()
            sink = asyncio.create_task(self._write_results(self._sink), name="output")
            self._tasks["output"] = sink
            try:
                await self._start_projects()
                if not self.plan.interactive or await self._at_the_prompt():
                    await self._until_the_end(shown)
            except ScriptError as wrong:
                error = wrong
            finally:
                await self._stop_services()
        finally:
            shown.close()
        if error is not None:
            raise error
        return await self._sum_up()

    # -- building and stopping ---------------------------------------------------------------------------------------

    def _build(self) -> None:
        from crawlkit.scheduler.retry import ONE_DELAYS
        from crawlkit.scheduler.settings import EngineSettings

        plan, stores = self.plan, self.stores
        self._queues = wiring.memory_broker(plan.settings)
        self._projectdb = wiring.Only(stores.projectdb, self.names) if self.names else stores.projectdb
        limit = 0 if plan.interactive else plan.limit  # at a prompt nothing goes out by itself
        settings = EngineSettings(retry_delays=ONE_DELAYS, max_pages=limit, **plan.engine)
        if plan.pdb:  # while somebody thinks, nothing renews the leases
            settings.lease = settings.lease_max = settings.node_timeout = 86_400.0
        self._scheduler = wiring.build_scheduler(
            stores, self._queues, settings, projectdb=self._projectdb, logs=self._logs
        )
        self._services: dict[str, Any] = {
            "scheduler": self._scheduler,
            "result_worker": wiring.build_result_worker(self._queues, stores.resultdb, plan.result_cls),
            "processor": self._build_processor(),
            "fetcher": wiring.build_fetcher(
                self._queues, stores.blobdb, self._fetcher_options(), settings=plan.settings
            ),
        }
        if self._browser is not None:
            self._services["browser"] = self._browser

    def _fetcher_options(self) -> dict[str, Any]:
        """Those that were given, and where the browser service is, whose process is started when a page needs it."""
        from crawlkit.cli.browser_child import ChildOfOne

        if self.plan.browser is None:
            return self.plan.fetcher
        self._browser = ChildOfOne(self.plan.browser, self.plan.settings, stored=self._logs is not None)
        return {**self.plan.fetcher, "browser_endpoint": self._browser.endpoint}

    def _build_processor(self) -> Any:
        plan, stores = self.plan, self.stores
        queues = echo.Echoing(self._queues, self._say, failures=not plan.pdb)  # the debugger shows failures itself
        if plan.pdb:
            from crawlkit.cli.inline import InlineProcessor

            node = wiring.node_name("processor")
            unseal = wiring.unsealer(plan.settings)
            return InlineProcessor(queues, self._projectdb, stores.blobdb, self.clock, node, self._stop.set, unseal)
        return wiring.build_processor(
            queues,
            self._projectdb,
            stores.blobdb,
            plan.processor,
            wiring.user_environment(),
            settings=plan.settings,
            logs=self._logs,
        )

    def _say(self, text: str) -> None:
        """A line for people, also while the bar is on the terminal."""
        with self._room():
            say(text)

    def _room(self) -> AbstractContextManager[None]:
        return self._shown.aside() if self._shown is not None else nullcontext()

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        self._signals += 1
        if self._signals > 1:
            os._exit(1)  # handler workers end with this process
        self._say("stopping; once more to stop at once")
        self._stop.set()

    async def _stop_services(self) -> None:
        """Takers first, so that what is on its way still arrives; what is left over comes round again next time."""
        self._stop.set()
        services = [task for name, task in self._tasks.items() if name != "output"]
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await asyncio.gather(*(self._services[name].stop() for name in ("fetcher", "processor")))
                await self._services["result_worker"].stop()
                await self._take_leftovers()
                await self._scheduler.stop()
                if self._browser is not None:
                    await self._browser.stop()
                await asyncio.gather(*services, return_exceptions=True)
        except TimeoutError:
            log.warning("not everything stopped in time; what was on its way comes round again")
            for task in services:
                task.cancel()
            await asyncio.gather(*services, return_exceptions=True)
        finally:
            await self._queues.close()
        if "output" in self._tasks:  # a file of a million results takes longer than that
            await asyncio.wait([self._tasks["output"]])
        if self._sinks is not None:
            await asyncio.to_thread(self._sinks.stop, SINKS_WITHIN)

    async def _take_leftovers(self) -> None:
        queue = self._queues.queue(STATUS_QUEUE)
        deadline = self.clock.monotonic() + LEFTOVERS
        while (await queue.size()).messages and self.clock.monotonic() < deadline:
            if self._tasks["scheduler"].done():
                return
            await self._turned(0.1)

    # -- the crawl ---------------------------------------------------------------------------------------------------

    async def _start_projects(self) -> None:
        """Runs on_start of what is new or had drained; what was interrupted goes on."""
        pending = list(self.names)
        left: dict[str, int] = {}  # tasks of an earlier run, as first seen: nothing is sent before the handler answered
        while pending and not self._stop.is_set():
            await self._turned(LOOK)
            seen = self._scheduler.summary()["projects"]
            for name in [name for name in pending if name in seen]:
                project = seen[name]
                left.setdefault(name, project["ready"] + project["retrying"] + project["leased"])
                if project["info_error"]:
                    raise script_error(name, project["info_error"])
                if not project["answered"]:
                    continue
                pending.remove(name)
                if self.plan.interactive:
                    continue
                if left[name]:
                    self._say(f"{name}: going on where it was interrupted")
                    continue
                answer = await self._scheduler.run_project(name)
                if not answer["accepted"]:
                    raise ScriptError(f"{name}: on_start was refused: {answer['reason']}")
                self._own += 1
        self._fresh_from = self.clock.time()

    async def _until_the_end(self, shown: progress.Progress) -> None:
        while not self._stop.is_set():
            await self._turned(LOOK)
            shown.show(self._figures())
            fresh = self._scheduler.summary()["time"] > self._fresh_from
            if not self.plan.forever and fresh and self._scheduler.drained():
                return

    async def _turned(self, timeout: float) -> None:
        """Waits for the scheduler's next turn, at most ``timeout`` seconds. Raises what ended a service."""
        turn = asyncio.create_task(self._scheduler.turned())
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait(
                [turn, stop, *self._tasks.values()], timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            turn.cancel()
            stop.cancel()
        self._check_services()

    def _check_services(self) -> None:
        for name, task in self._tasks.items():
            if task.done() and not self._stop.is_set():
                task.result()
                raise RuntimeError(f"the {name} ended by itself")

    def _figures(self) -> Figures:
        projects = self._scheduler.summary()["projects"].values()
        return self._figures_of(
            sum(project["done"] for project in projects),
            sum(project["failed"] for project in projects),
            sum(project["waiting"] + project["leased"] for project in projects),
        )

    def _figures_of(self, done: int, failed: int, waiting: int) -> Figures:
        elapsed = self.clock.monotonic() - self._started
        done, failed = max(done - self._base[0] - self._own, 0), failed - self._base[1]
        return Figures(done, failed, waiting, self._speed.add(elapsed, done + failed), elapsed)

    def _count_own(self) -> int:
        """Runs of on_start, on_finished and crons that ended well: they are done, and no pages."""
        taskdb = self.stores.taskdb
        names = self.names or taskdb.projects()
        ticks = sum(taskdb.ledger(name).get((name, "removed", "tick"), 0) for name in names)
        tasks = [taskdb.attempts(name, method) for name in names for method in ("on_start", "on_finished")]
        return ticks + sum(row.ok and row.ended >= self._began for rows in tasks for row in rows)

    def _books(self) -> tuple[int, int, int]:
        """Runs done, failed, and not ended, as the ledger has them."""
        totals: dict[str, int] = {}
        for (project, event, _), count in self.stores.taskdb.ledger().items():
            if not self.names or project in self.names:
                totals[event] = totals.get(event, 0) + count
        ended = sum(totals.get(event, 0) for event in ENDINGS)
        return totals.get("done", 0), totals.get("failed", 0), totals.get(ACCEPTED, 0) - ended

    # -- for the prompt ----------------------------------------------------------------------------------------------

    async def _at_the_prompt(self) -> bool:
        """Until the user leaves it; True when the crawl is to go on without."""
        from crawlkit.cli.interactive import Prompt

        prompt = asyncio.create_task(Prompt(self).wait())
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([prompt, stop, *self._tasks.values()], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        self._check_services()
        self._scheduler.engine.settings.max_pages = self.plan.limit
        return prompt.done() and prompt.result()

    async def run_to_the_end(self, project: str) -> None:
        """on_start of a project, and everything that follows from it."""
        await self._scheduler.run_project(project)
        await self._until_sent(None)

    async def crawl_one(self, task: dict[str, Any]) -> bool:
        """One task, before everything else; what follows from it waits."""
        (answer,) = await self._scheduler.submit([task])
        if not answer["accepted"]:
            say(f"refused: {answer['reason']}")
            return False
        await self._until_sent(self._scheduler.summary()["sent"] + 1)
        return True

    async def _until_sent(self, pages: int | None) -> None:
        settings = self._scheduler.engine.settings
        settings.max_pages = pages
        since = self.clock.time()
        self._scheduler.update_project()
        while not (self._scheduler.summary()["time"] > since and self._scheduler.drained()):
            await self._turned(LOOK)
            if self._stop.is_set():
                return
        settings.max_pages = self._scheduler.summary()["sent"]

    # -- results and the end -----------------------------------------------------------------------------------------

    async def _write_results(self, sink: output.Sink) -> None:
        worker = self._tasks["result_worker"]
        try:
            while not worker.done():
                await self._attempt(sink.step)
                await asyncio.wait([worker], timeout=LOOK)
            await self._attempt(sink.finish)
        except BrokenPipeError:  # `crawlkit one x.py | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._stop.set()

    async def _attempt(self, write: Callable[[], object]) -> None:
        """What cannot be written now is tried again; the results are in the resultdb meanwhile."""
        try:
            await asyncio.to_thread(write)
            self._unwritten = ""
        except (StoreUnavailable, UsageError) as error:
            if self._unwritten != str(error):
                log.error("results cannot be written out; trying again until the end: %s", error)
            self._unwritten = str(error)

    async def _sum_up(self) -> int:
        """The last lines: figures, failures by reason, and what waits for later."""
        projects = self._scheduler.summary()["projects"]
        self._own = await asyncio.to_thread(self._count_own) - self._base_ticks
        figures = self._figures_of(*await asyncio.to_thread(self._books))
        speed = (figures.done + figures.failed) / figures.elapsed if figures.elapsed else 0.0
        pages = "1 page" if figures.done == 1 else f"{figures.done:,} pages"
        say(
            f"done {pages}, failed {figures.failed:,}, waiting {figures.waiting:,} "
            f"in {progress.clock_of(figures.elapsed)} ({speed:,.1f} pages/s)"
        )
        failed = 0
        for name in projects:
            for reason, count, url in await asyncio.to_thread(self.stores.taskdb.failures, name):
                failed += count
                say(f"  failed for good: {count:,} of {name}: {reason}, for instance {url}")
        if figures.waiting:
            say(f"  {figures.waiting:,} wait for later; " + self._kept())
        unwritten = [await asyncio.to_thread(tell) for tell in (self._tell_unwritten, self._tell_sinks)]
        return 1 if any(unwritten) or failed else 0

    def _tell_sinks(self) -> bool:
        """A line for each sink that has not got all results."""
        from crawlkit.result.sink_report import states_of

        if self._sinks is None:
            return False
        book = wiring.sink_book(self.stores.resultdb)
        ours = self._sinks.names()
        behind = [
            one for one in states_of(self.stores.resultdb.projects(), book, 0) if one.waiting and one.sink in ours
        ]
        kept = self._kept() if self.plan.durable else "they are lost, for nothing is kept without --data-path"
        for one in behind:
            reason = one.error or "there was no time"
            say(f"sink {one.sink}: {one.waiting:,} results of {one.project} are missing ({reason}): {kept}")
        return bool(behind)

    def _tell_unwritten(self) -> bool:
        """The last line when results did not get where they belong."""
        if not self._unwritten:
            return False
        try:
            number = self._sink.missing()
            count = "1 result was" if number == 1 else f"{number:,} results were"
        except StoreUnavailable:
            count = "results were"
        if self.plan.durable:
            place = f"kept in the resultdb of {self.plan.settings.data_path}: the same command writes them"
        else:
            place = "lost, for nothing is kept without --data-path"
        say(f"{count} not written ({self._unwritten}): {place}")
        return True

    def _kept(self) -> str:
        if not self.plan.durable:
            return "they are gone, for nothing is kept without --data-path"
        return f"they are kept in {self.plan.settings.data_path}, and the same command goes on with them"


def script_error(name: str, text: str) -> ScriptError:
    """The handler's traceback as it is, and its last line as the error."""
    lines = text.strip().splitlines()
    if len(lines) > 1:
        say(text.strip())
    return ScriptError(f"script {name} does not load: {lines[-1] if lines else 'no reason given'}")
