"""The debugger: takes runs from any thread, works on them in a loop of its own, keeps pages and answers for a while.

The only object of this room that others hold. It stores nothing: all it knows is gone when it closes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from crawlkit.database.base import BlobStore, KeptPage, ProjectStore
from crawlkit.fetcher.fetch import Fetcher
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import CrawlkitError
from crawlkit.libs.messages import Fetched
from crawlkit.libs.rows import ProjectRow
from crawlkit.libs.task import JSONDict
from crawlkit.processor.grants import Unseal, no_key
from crawlkit.processor.keeper import fetched_of
from crawlkit.processor.orders import Script
from crawlkit.processor.project_loader import script_md5
from crawlkit.webui.debug import answer as answers
from crawlkit.webui.debug.check import KEPT, Check
from crawlkit.webui.debug.given import Given, read_given, scripts_of
from crawlkit.webui.debug.pages import Page, PageShelf, page_of
from crawlkit.webui.debug.run import DONE, STOPPED, WAITING, Run, RunBook, Turns
from crawlkit.webui.debug.settings import DebugSettings
from crawlkit.webui.debug.stand_ins import StandIns
from crawlkit.webui.debug.step import Step, StepRequest
from crawlkit.webui.debug.workers import Workers
from crawlkit.webui.gate import Identity
from crawlkit.webui.problem import Problem, not_found

MAX_SCRIPT = 4 * 2**20  # bytes
START_WITHIN = 30.0  # seconds
WAITERS = 8  # requests that wait for runs at once
SHORT_WAIT = 0.25  # seconds, of the others
log = logging.getLogger("crawlkit.webui.debug")

__all__ = ["Debugger", "Given", "Page", "Tools"]


@dataclass
class Tools:
    """What the runs share. Used on the debugger's loop only."""

    settings: DebugSettings
    clock: Clock
    fetcher: Fetcher
    workers: Workers
    shelf: PageShelf
    script_of: Callable[[str], bytes | None]
    stand_ins: StandIns
    _jars: OrderedDict[tuple[str, str, str], list[str]] = field(default_factory=OrderedDict)

    def keep(self, owner: str, fetched: Fetched, heard: Sequence[JSONDict] = ()) -> str:
        """Keeps a fetched page for its user, with what it asked its server for; returns its id."""
        return self.shelf.put(owner, fetched, self.clock.monotonic(), self.clock.time(), heard)

    def jar(self, owner: str, project: str, session: str) -> list[str]:
        """The cookies of a named session, as the user's own steps left them; empty at first."""
        return self._jars.get((owner, project, session), [])

    def set_jar(self, owner: str, project: str, session: str, jar: list[str]) -> None:
        """The real session's cookies are the scheduler's, and stay as they are."""
        self._jars[owner, project, session] = jar
        self._jars.move_to_end((owner, project, session))
        mine = [key for key in self._jars if key[0] == owner]
        for key in mine[: max(0, len(mine) - self.settings.sessions_per_user)]:
            del self._jars[key]


class Job(Protocol):
    """What a run does: a step, or a check."""

    async def course(self) -> None:
        """Does it. Only a cancellation is raised."""

    def stopped(self) -> None:
        """It was cancelled."""

    def answer(self, now: float) -> JSONDict:
        """What is known, as JSON; good at any time."""


class Debugger:
    """All debug runs of a server. Started at its first use; every method may be called from any thread."""

    def __init__(
        self,
        *,
        projectdb: ProjectStore,
        blobdb: BlobStore,
        fetcher_settings: FetcherSettings,
        clock: Clock,
        settings: DebugSettings | None = None,
        unseal: Unseal = no_key,
        environ: Mapping[str, str] | None = None,
        private: Callable[[], bool] | None = None,
    ) -> None:
        """``fetcher_settings``: those of the fetchers, so that a debug run may reach what they may, and no more.
        ``private`` tells in their place whether that may be private addresses; it is asked before each run."""
        self.settings = settings or DebugSettings()
        self._projectdb = projectdb
        self._blobdb = blobdb
        self._fetcher_settings = fetcher_settings
        self._private = private
        self._clock = clock
        self._unseal = unseal
        self._environ = os.environ if environ is None else environ
        self._book = RunBook(self.settings, clock.monotonic)
        self._shelf = PageShelf(self.settings)
        self._stand_ins = StandIns()
        self._turns = Turns(self.settings.processes or 2 * (os.cpu_count() or 1))
        self._waiters = threading.BoundedSemaphore(WAITERS)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tools: Tools | None = None
        self._closed = False

    # -- life --------------------------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Has the process started that debug runs are forked from, so that the first step is as quick as the others."""
        loop, tools = self._started()

        async def warm() -> None:
            try:
                await tools.workers.warm_up()
            except CrawlkitError as error:  # the step that needs it says so
                log.warning("%s", error)

        loop.call_soon_threadsafe(lambda: loop.create_task(warm()))

    def close(self) -> None:
        """Stops all runs and kills their processes."""
        with self._lock:
            self._closed = True
            loop, thread, tools = self._loop, self._thread, self._tools
            self._loop = None
        if loop is None or thread is None or tools is None:
            return

        async def end() -> None:
            works = [run.work for run in self._book.all() if run.work is not None]
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)
            await tools.workers.close()
            await tools.fetcher.close()
            loop.stop()

        asyncio.run_coroutine_threadsafe(end(), loop)
        thread.join(START_WITHIN)

    def _started(self) -> tuple[asyncio.AbstractEventLoop, Tools]:
        with self._lock:
            if self._closed:
                raise Problem(503, "Shutting down", "the server is about to end")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._tools = Tools(
                    self.settings,
                    self._clock,
                    Fetcher(self._fetcher_settings, self._clock, "debugger"),
                    Workers(self.settings, self._clock, self._environ),
                    self._shelf,
                    scripts_of(self._projectdb),
                    self._stand_ins,
                )
                self._thread = threading.Thread(target=self._live, args=(self._loop,), name="debugger", daemon=True)
                self._thread.start()
            assert self._tools is not None
            return self._loop, self._tools

    @staticmethod
    def _live(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.close()

    def pids(self) -> list[int]:
        """Process ids of all that runs now."""
        return [] if self._tools is None else self._tools.workers.pids()

    # -- runs --------------------------------------------------------------------------------------------------------

    def step(
        self,
        identity: Identity,
        project: str,
        task: JSONDict | str,
        *,
        script: str | None = None,
        version: str | None = None,
        page: str | None = None,
        time_limit: float = 0.0,
        wait: float = 0.0,
    ) -> JSONDict:
        """Begins a step, waits ``wait`` seconds for its end. ``script`` ``None``: the stored one, or its ``version``.

        Raises :class:`Problem`: 404 for an unknown project, version or page; 429 for too many runs.
        """
        row = self._projectdb.get(project)
        text = self.script_text(project, row, script, version)
        fetched = self._fetched(identity, project, page) if page is not None else None
        given = read_given(self._projectdb, self._unseal, project, row)
        heard = self._shelf.heard(identity.user, page) if page is not None else ()
        request = StepRequest(text, script_md5(text), task, fetched, page, time_limit, heard)
        run = self._book.new("step", identity.user, project)

        return self._begin(run, lambda tools: Step(tools, run, request, given), wait)

    def check(
        self,
        identity: Identity,
        project: str,
        script: str,
        *,
        old: str | None = None,
        budget: float = 10.0,
        wait: float = 0.0,
    ) -> JSONDict:
        """Begins to try ``script`` on the kept pages, beside version ``old`` (``None``: what runs now).

        Raises :class:`Problem` as :meth:`step` does.
        """
        row = self._projectdb.get(project)
        if row is None:
            raise not_found("project", project)
        new_text = self.script_text(project, row, script, None)
        old_text = self.script_text(project, row, None, old or row.runs)
        given = read_given(self._projectdb, self._unseal, project, row)
        scripts = [Script(project, script_md5(text), text.encode("utf-8", "surrogatepass"), given.about)
                   for text in (old_text, new_text)]  # fmt: skip
        run = self._book.new("check", identity.user, project)

        old_script, new_script = scripts
        return self._begin(
            run, lambda tools: Check(tools, run, given, self._blobdb, old_script, new_script, budget), wait
        )

    def _begin(self, run: Run, make: Callable[[Tools], Job], wait: float) -> JSONDict:
        loop, tools = self._started()
        allowed = self._fetcher_settings.allow_private if self._private is None else self._private()

        def start() -> None:
            tools.fetcher.set_private(allowed)
            try:
                job = make(tools)
            except Exception as error:
                broken = _broken(error)
                self._end(run, DONE, lambda now: broken)
                raise
            run.work = loop.create_task(self._work(run, job))
            run.work.add_done_callback(lambda _: None if run.over else self._stopped(run, job))  # it never began

        loop.call_soon_threadsafe(start)
        self._wait(run, wait, None)
        return run.shown(self._clock.monotonic())

    def _wait(self, run: Run, seconds: float, seen: int | None) -> None:
        """Only so many may wait at once, for each keeps a thread of the server; the others ask again."""
        if seconds > 0 and self._waiters.acquire(blocking=False):
            try:
                self._book.wait(run, seconds, seen)
            finally:
                self._waiters.release()
        else:
            self._book.wait(run, min(seconds, SHORT_WAIT), seen)

    async def _work(self, run: Run, job: Job) -> None:
        """In its turn, to its answer, whatever happens."""
        taken = False
        try:
            await self._turns.take(lambda before: run.tell(WAITING, f"waits for its turn, {before} before it"))
            taken = True
            await job.course()
        except asyncio.CancelledError:
            self._stopped(run, job)
        except Exception as error:  # a bug here must not leave somebody waiting
            log.exception("debug run of %s", run.project)
            broken = _broken(error)
            self._end(run, DONE, lambda now: broken)
        else:
            self._end(run, DONE, job.answer)
        finally:
            if taken:
                self._turns.give_back()

    def _stopped(self, run: Run, job: Job) -> None:
        job.stopped()
        self._end(run, STOPPED, job.answer)

    def _end(self, run: Run, state: str, answer: Callable[[float], JSONDict]) -> None:
        now = self._clock.monotonic()
        try:
            run.end(state, answer(now), now)
        except Exception as error:  # as above
            log.exception("the answer of a debug run of %s", run.project)
            run.end(DONE, _broken(error), now)

    def look(self, identity: Identity, project: str, run: str, wait: float = 0.0, seen: int | None = None) -> JSONDict:
        """How far a run is; waits up to ``wait`` seconds for news. Raises :class:`Problem` 404."""
        found = self._book.find(identity.user, project, run)
        self._wait(found, wait, seen)
        return found.shown(self._clock.monotonic())

    def stop(self, identity: Identity, project: str, run: str) -> JSONDict:
        """Ends a run at once; one that is over stays as it is. Raises :class:`Problem` 404."""
        found = self._book.find(identity.user, project, run)
        loop, _ = self._started()

        def cancel() -> None:
            if found.work is not None:
                found.work.cancel()

        loop.call_soon_threadsafe(cancel)
        self._book.wait(found, 5.0, None)
        return found.shown(self._clock.monotonic())

    def task_to_show(self, identity: Identity, project: str, task: JSONDict) -> JSONDict:
        """``task`` with stand-ins for what is secret in it; a step that is given it runs it as it was. Blocks."""
        given = read_given(self._projectdb, self._unseal, project, self._projectdb.get(project))
        return self._stand_ins.hide_task(identity.user, task, given.mask())

    # -- scripts and pages -------------------------------------------------------------------------------------------

    def script_text(self, project: str, row: ProjectRow | None, script: str | None, version: str | None) -> str:
        """The script to run; raises :class:`Problem` when there is none."""
        if script is not None:
            if len(script.encode("utf-8", "surrogatepass")) > MAX_SCRIPT:
                raise Problem(400, "Script too large", f"a script may have {MAX_SCRIPT:,} bytes")
            return script
        if version is not None:
            text = self._projectdb.script(project, version)
            if text is None:
                raise not_found("version", version)
            return text
        if row is None:
            raise not_found("project", project)
        return row.script

    def pages(self, identity: Identity, project: str) -> list[tuple[str, Fetched, int, float]]:
        """(id, answer without content, bytes, Unix time) of the user's fetched pages, newest first."""
        return self._shelf.list(identity.user, project, self._clock.monotonic())

    def page(self, identity: Identity, page: str, project: str | None = None) -> Page:
        """A page with its body; raises :class:`Problem` 404. ``project`` ``None``: whichever it is of."""
        fetched = self._fetched(identity, project, page)
        return page_of(page, fetched, self._shelf.time_of(page))

    def kept_pages(self, project: str, callback: str | None = None) -> list[KeptPage]:
        """The last fetched pages of real runs, newest first, without their data."""
        return self._blobdb.kept_pages(project, callback)

    def _fetched(self, identity: Identity, project: str | None, page: str) -> Fetched:
        if page.startswith(KEPT):
            kept = self._blobdb.kept_page(page.removeprefix(KEPT))
            if kept is None or project not in (None, kept.project):
                raise not_found("page", page)
            return fetched_of(kept)
        found = self._shelf.get(identity.user, project, page, self._clock.monotonic())
        if found is None:
            raise Problem(404, "Not found", f"the page {page!r} is not kept any more: fetch it again")
        return found


def _broken(error: Exception) -> JSONDict:
    return {"ok": False, "error": answers.error_json("internal", f"{type(error).__name__}: {error}")}
