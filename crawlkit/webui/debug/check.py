"""Tries a changed script on the last pages of each callback, beside the one that runs now. Fetches and stores nothing.

One limited process runs both, page by page, within a budget of time. Runs on the debugger's loop.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from crawlkit.database.base import BlobStore, KeptPage
from crawlkit.libs.errors import BadMessage, CrawlkitError
from crawlkit.libs.messages import INFO, TASK, Fetched
from crawlkit.libs.task import JSONDict, Process, Task
from crawlkit.processor import frames
from crawlkit.processor.keeper import fetched_of
from crawlkit.processor.orders import Script
from crawlkit.webui.debug import answer as answers
from crawlkit.webui.debug.compare import Comparison, PageRun, summary
from crawlkit.webui.debug.gathered import Gathered
from crawlkit.webui.debug.run import RUNNING, STARTING, Run
from crawlkit.webui.debug.tasks import dispatch_of
from crawlkit.webui.debug.workers import DebugWorker, Died

if TYPE_CHECKING:
    from crawlkit.webui.debug.engine import Given, Tools

PAGE_LIMIT = 2.0  # seconds of one callback
LOAD_LIMIT = 5.0  # seconds for loading a script
MAX_DEATHS = 5
KEPT = "kept-"  # how ids of kept pages begin
MAX_PAGES = 2_000


@dataclass
class Check:
    """The course of one check. :meth:`answer` is good at any time."""

    tools: Tools
    run: Run
    given: Given
    blobdb: BlobStore
    old: Script
    new: Script
    budget: float  # seconds
    comparisons: dict[str, Comparison] = field(default_factory=dict)
    pages: int = 0
    checked: int = 0
    complete: bool = False
    reason: str = ""
    error: JSONDict | None = None
    worker: DebugWorker | None = None
    seconds: float = 0.0
    _deaths: int = 0

    async def course(self) -> None:
        """All of it; only a stop is raised."""
        began = self.tools.clock.monotonic()
        try:
            await self._course(began + self.budget)
        except (CrawlkitError, Died) as error:
            self.reason = str(error)
        finally:
            self.seconds = self.tools.clock.monotonic() - began
            if self.worker is not None:
                self.worker.kill()

    async def _course(self, until: float) -> None:
        if self.old.text == self.new.text:
            self.reason, self.complete = "the script is the one that runs now", True
            return
        self.run.tell(STARTING, "loading both scripts")
        if not await self._loads():
            return
        listed = await asyncio.to_thread(self.blobdb.kept_pages, self.run.project, None, MAX_PAGES)
        self.pages = len(listed)
        if not listed:
            self.reason, self.complete = "no pages are kept yet", True
            return
        for page in in_turn(listed):
            if self.tools.clock.monotonic() >= until:
                self.reason = f"{self.budget:g} seconds were not enough for all pages"
                return
            await self._try(page)
            self.checked += 1
            self.run.tell(RUNNING, f"page {self.checked} of {self.pages}")
        self.complete = True

    async def _loads(self) -> bool:
        """Whether both scripts load. A new one that does not is an error; an old one leaves nothing to compare."""
        failed = await self._load(self.new)
        if failed is not None:
            self.error = failed
            return False
        failed = await self._load(self.old)
        if failed is not None:
            self.reason, self.complete = (
                "the script that runs now does not load: there is nothing to compare with",
                True,
            )
            return False
        return True

    async def _load(self, script: Script) -> JSONDict | None:
        project = self.run.project
        task = Task(project, "_on_get_info", "data:,_on_get_info", process=Process(callback="_on_get_info"))
        dispatch = dispatch_of(
            task, kind=INFO, version=script.version, group=self.given.group, save={}, time_limit=LOAD_LIMIT
        )
        gathered = await self._give(Fetched(dispatch, 200, task.url, task.url, [], {}, 0.0))
        if isinstance(gathered, Died):
            return answers.error_json(gathered.reason, gathered.text)
        outcome = gathered.last
        if outcome is None or outcome.ok:
            return None
        process = outcome.process
        logs = (process.logs if process is not None else None) or ""
        message = (process.exception if process is not None else None) or "it does not load"
        reason = (process.reason if process is not None else None) or "script_error"
        return answers.error_of(reason, message, logs, project)

    async def _try(self, page: KeptPage) -> None:
        whole = await asyncio.to_thread(self.blobdb.kept_page, page.page)
        if whole is None:
            return  # newer ones took its place meanwhile
        try:
            fetched = fetched_of(whole)
        except BadMessage as error:
            self.reason = str(error)
            return
        old = await self._run(fetched, self.old)
        new = await self._run(fetched, self.new)
        if old.missing and new.missing:
            return  # of a callback that is gone for long
        comparison = self.comparisons.get(page.callback)
        if comparison is None:
            comparison = self.comparisons[page.callback] = Comparison(page.callback)
        comparison.add(KEPT + page.page, page.url, old, new)

    async def _run(self, fetched: Fetched, script: Script) -> PageRun:
        task = msgspec.structs.replace(
            fetched.task, kind=TASK, script=script.version, time_limit=PAGE_LIMIT, run=1, attempt=1
        )
        gathered = await self._give(msgspec.structs.replace(fetched, task=task))
        if isinstance(gathered, Died):
            return PageRun(error=gathered.text)
        return page_run(gathered, self.run.project)

    async def _give(self, fetched: Fetched) -> Gathered | Died:
        """Runs one task; a process that died or said good-bye is followed by another one."""
        for _ in range(2):
            fresh = self.worker is None or not self.worker.alive
            if fresh:
                await self._open()
            assert self.worker is not None
            try:
                return await self.worker.run(fetched)
            except Died as died:
                self.worker.kill()
                self.worker = None
                if fresh or died.seconds > 0:
                    self._deaths += 1
                    if self._deaths > MAX_DEATHS:
                        raise CrawlkitError(f"{MAX_DEATHS} processes died over it: {died.text}") from None
                    return died
        return Died("worker_died", "its process died twice", None, 0.0)

    async def _open(self) -> None:
        self.worker = await self.tools.workers.open(self.run.project, self._asked)
        for script in (self.old, self.new):
            self.worker.load(script, self.given.settings)

    async def _asked(self, what: str, name: str) -> bytes | None:
        if what == frames.ASK_SCRIPT:
            return await asyncio.to_thread(self.tools.script_of, name)
        return b"0" if what == frames.ASK_KEEP else None

    def stopped(self) -> None:
        """Its user stopped it."""
        self.error = answers.error_json("stopped", "you stopped it")
        if self.worker is not None:
            self.worker.kill()

    def answer(self, now: float) -> JSONDict:
        """The JSON of what is known."""
        shown = [one.shown() for one in self.comparisons.values()]
        order = ("worse", "changed", "better", "same")
        shown.sort(key=lambda one: (order.index(one["verdict"]), one["callback"]))
        worse = any(one["verdict"] == "worse" for one in shown)
        whole: JSONDict = answers.plain(
            {
                "ok": self.error is None and not worse,
                "pages": self.pages,
                "checked": self.checked,
                "complete": self.complete,
                "seconds": self.seconds,
                "reason": self.reason,
                "error": self.error,
                "summary": summary(self.comparisons.values()),
                "callbacks": shown,
            }
        )
        return whole


def in_turn(pages: list[KeptPage]) -> list[KeptPage]:
    """A page of each callback, then the next of each: a short budget does for all of them."""
    lines: dict[str, list[KeptPage]] = {}
    for page in pages:
        lines.setdefault(page.callback, []).append(page)
    longest = max(map(len, lines.values()), default=0)
    return [line[number] for number in range(longest) for line in lines.values() if number < len(line)]


def page_run(gathered: Gathered, project: str) -> PageRun:
    """What came of one page, for the comparison."""
    last = gathered.last
    results = [json.loads(text) for text in gathered.results]
    run = PageRun(results, gathered.result_count, gathered.follow_count, gathered.message_count)
    if last is None or last.ok:
        run.waits = last is not None and bool(last.awaits)
        return run
    process = last.process
    message = (process.exception if process is not None else None) or "it failed"
    logs = (process.logs if process is not None else None) or ""
    error = answers.error_of((process.reason if process is not None else None) or "", message, logs, project)
    run.error, run.line = error["message"], error["line"]
    run.missing = message.startswith("NotImplementedError: self.") and message.endswith("not implemented!")
    return run
