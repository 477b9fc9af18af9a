"""Which browser has the next page: one at a time, replaced when it is old, large, frozen or dead, closed at rest.

Every page ends with an answer, within its limit and little more, whatever the browser does.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crawlkit.browser import chromium
from crawlkit.browser.chrome import Chrome
from crawlkit.browser.processes import Home, kill
from crawlkit.browser.settings import BrowserSettings
from crawlkit.libs.browser_job import Job, Reply
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import BrowserGone, FetchError

if TYPE_CHECKING:
    from crawlkit.browser.relay import Door

log = logging.getLogger("crawlkit.browser")

FAILED_FOR = 5.0  # seconds in which a browser that did not start is not tried again
SILENT = 3  # pages in a row that reach nobody within their limit, after which a browser is replaced
ENOUGH = 1.0  # seconds in which a page would have asked the network for something
LET_GO = 8.0  # seconds for a page that was given up to clean up behind itself


Renders = Callable[..., Awaitable[Reply]]  # crawlkit.browser.render.render


class Pool:
    """Renders jobs; who calls sees to it that no more than ``poolsize`` run at once. Belongs to one event loop."""

    def __init__(self, settings: BrowserSettings, clock: Clock, render: Renders) -> None:
        self.settings = settings
        self.rendered = 0
        self.recycled = 0
        self.crashed = 0  # browsers
        self.failures = 0  # pages that ended as crashed, or over their limit
        self._clock = clock
        self._render = render
        self._home: Home | None = None
        self._current: Chrome | None = None
        self._draining: dict[Chrome, float] = {}  # and since when
        self._starting: asyncio.Task[Chrome] | None = None
        self._failed: tuple[float, FetchError] | None = None
        self._rested = 0.0  # since when nothing runs
        self._watching: asyncio.Task[None] | None = None
        self._asking: dict[Chrome, asyncio.Task[None]] = {}
        self._loose: set[asyncio.Task[Any]] = set()
        self._closed = False

    # -- what is asked of it

    async def run(self, job: Job, begun: Callable[[], None], door: Door | None = None) -> Reply:
        """The answer to a job. ``begun`` is called when there is a browser for it: from then on its time runs."""
        try:
            chrome = await self._browser()
        except FetchError as error:
            return failure(job, error.kind, str(error), status=error.status_code)
        chrome.pages += 1
        chrome.running += 1
        if chrome.pages >= self.settings.recycle_pages:
            self._replace(chrome, "pages")
        began = self._clock.monotonic()
        begun()
        try:
            reply = await self._watched(chrome, job, door)
        finally:
            chrome.running -= 1
            self._rested = self._clock.monotonic()
            self._settle(chrome)
        self.rendered += 1
        if reply.error_kind in ("crashed", "timeout"):
            self.failures += 1
        took = self._clock.monotonic() - began
        hung = reply.error_kind == "timeout" and took > self.settings.answer_within
        if (hung or reply.error_kind == "crashed") and not reply.counts.get("requests"):
            await self._doubt(chrome, "a page that it did not even begin")  # its zygote is dead, say
        if door is not None:
            self._listen(chrome, door, took if reply.error_kind == "timeout" else 0)
        if not reply.time:
            reply.time = took
        return reply

    def _listen(self, chrome: Chrome, door: Door, over: float) -> None:
        """Whether a page went out to the network. ``over``: the seconds after which it was given up; 0: it was not."""
        if door.opened:
            chrome.silent = 0
        elif over > ENOUGH:
            chrome.silent += 1
            if chrome.silent >= SILENT:
                self._replace(chrome, f"{SILENT} pages in a row reached nobody")  # its network process hangs, say

    def state(self) -> dict[str, Any]:
        """For people and monitors."""
        browsers = [one for one in (self._current, *self._draining) if one is not None]
        return {
            "browsers": len(browsers),
            "version": browsers[0].version if browsers else None,
            "memory": sum(one.memory for one in browsers),
            "rendered": self.rendered,
            "failures": self.failures,
            "recycled": self.recycled,
            "crashed": self.crashed,
        }

    def files(self) -> Path | None:
        """Where downloads are; ``None``: there was no browser yet."""
        return self._home.files() if self._home is not None else None

    async def close(self) -> None:
        """Ends every browser; nothing of them is left."""
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        browsers = [one for one in (self._current, *self._draining) if one is not None]
        self._current, self._draining = None, {}
        for one in browsers:
            self._loosen(one.close(self.settings.close_within))
        await asyncio.gather(*self._loose, return_exceptions=True)
        if self._home is not None:
            await asyncio.to_thread(self._home.remove)
            self._home = None

    # -- one page

    async def _watched(self, chrome: Chrome, job: Job, door: Door | None) -> Reply:
        limit = job.timeout + self.settings.overrun
        assert self._home is not None
        spool, now = self._home.files(), self._clock.monotonic
        work = asyncio.ensure_future(
            self._render(chrome.browser, job, settings=self.settings, relay=door, spool=spool, now=now)
        )
        gone = asyncio.ensure_future(chrome.gone.wait())
        try:
            await asyncio.wait({work, gone}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if work.done() and not work.cancelled():
                return self._result(chrome, job, work)
            if chrome.gone.is_set():
                return failure(job, "crashed", chrome.why)
            return failure(job, "timeout", f"Operation timed out after {job.timeout:g} seconds")
        except asyncio.CancelledError:  # the client hung up
            work.cancel()
            raise
        finally:
            gone.cancel()
            if not work.done():  # over its time it is busy with clearing up, which it shall end
                self._loosen(self._let_go(chrome, work))

    def _result(self, chrome: Chrome, job: Job, work: asyncio.Future[Reply]) -> Reply:
        try:
            return work.result()
        except BrowserGone as error:
            self._drop(chrome, str(error))
            return failure(job, "crashed", f"the browser died: {error}")
        except Exception as error:  # a fault of ours must not leave a job without an answer
            log.exception("rendering %s failed", job.url)
            return failure(job, "internal", f"{type(error).__name__}: {error}"[:1000])

    async def _let_go(self, chrome: Chrome, work: asyncio.Future[Reply]) -> None:
        """A page that has its answer; a browser that cannot get rid of it is replaced."""
        gone: asyncio.Future[Any] = asyncio.ensure_future(chrome.gone.wait())
        ends: set[asyncio.Future[Any]] = {work, gone}
        await asyncio.wait(ends, timeout=LET_GO, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if chrome.gone.is_set():
            self._drop(chrome, chrome.why)
            work.cancel()
        elif not work.done():
            self._replace(chrome, "a page that did not go")
            work.cancel()
        try:
            await work
        except asyncio.CancelledError:
            log.debug("a page was broken off")
        except BrowserGone as error:
            self._drop(chrome, str(error))
        except Exception:  # its answer was given already
            log.exception("clearing up behind a page failed")

    # -- one browser after the other

    async def _browser(self) -> Chrome:
        """The current browser; started when there is none. Raises :class:`FetchError`."""
        if self._closed:
            raise FetchError("crashed", "the browser service is stopping")
        if self._failed is not None:
            when, error = self._failed
            if self._clock.monotonic() - when < FAILED_FOR:
                raise error
            self._failed = None
        if self._current is not None:
            if not self._current.gone.is_set():
                return self._current
            self._drop(self._current, self._current.why)
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        try:
            await asyncio.shield(self._starting)  # who hangs up takes nobody else's browser away
        except asyncio.CancelledError:
            if self._closed:
                raise FetchError("crashed", "the browser service is stopping") from None
            raise
        return await self._browser()

    async def _start(self) -> Chrome:
        try:
            found = chromium.find(self.settings.chromium)
            if self._home is None:
                self._home = await asyncio.to_thread(Home, found)
                if not self._home.guarded:
                    log.warning("%s is mounted noexec: should this service be killed, its browser may be left behind",
                                self._home.path)  # fmt: skip
            chrome = await Chrome.start(self._home, self.settings)
        except FetchError as error:
            log.error("%s", error)
            self._failed = self._clock.monotonic(), error
            raise
        finally:
            self._starting = None
        chrome.started = self._rested = self._clock.monotonic()
        self._current = chrome
        log.info("Chromium %s has started (pid %s)", chrome.version, chrome.tree.pid)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        return chrome

    def _replace(self, chrome: Chrome, why: str) -> None:
        """New pages go to a new browser; this one ends when those that it has are done."""
        if self._current is chrome:
            self._current = None
            self._draining[chrome] = self._clock.monotonic()
            self.recycled += 1
            log.info("Chromium is replaced after %d pages: %s", chrome.pages, why)
            self._settle(chrome)

    async def _doubt(self, chrome: Chrome, why: str) -> None:
        """Ends a browser that is dead, and replaces one that is not."""
        if await chrome.answers(self.settings.answer_within):
            self._replace(chrome, why)
        else:
            self._drop(chrome, chrome.why)

    def _settle(self, chrome: Chrome) -> None:
        """Ends a browser that is replaced and has no page left."""
        if chrome in self._draining and chrome.running == 0:
            del self._draining[chrome]
            self._loosen(chrome.close(self.settings.close_within))

    def _drop(self, chrome: Chrome, why: str) -> None:
        """Ends a browser now; its pages crash."""
        if self._current is chrome:
            self._current = None
        elif self._draining.pop(chrome, None) is None:
            return
        self.crashed += 1
        log.warning("Chromium is gone after %d pages: %s", chrome.pages, why)
        chrome.give_up(why)
        self._loosen(chrome.close(0))

    # -- looking after them

    async def _watch(self) -> None:
        """As long as there is a browser."""
        while browsers := [one for one in (self._current, *self._draining) if one is not None]:
            for chrome in browsers:
                if chrome.gone.is_set():
                    self._drop(chrome, chrome.why)
                    continue
                await self._look(chrome)
                if chrome.running and chrome not in self._asking:
                    self._asking[chrome] = asyncio.create_task(self._ask(chrome))
            self._rest()
            await asyncio.sleep(self.settings.watch)

    async def _look(self, chrome: Chrome) -> None:
        """At its memory, its age, and how long it has been draining."""
        settings, now = self.settings, self._clock.monotonic()
        chrome.memory, pages = await asyncio.to_thread(chrome.tree.memory)
        for pid, used in pages.items():
            if used > settings.page_memory:
                log.warning("a page uses %d MiB and is ended", used // 2**20)
                kill(pid)
        if now - self._draining.get(chrome, now) > settings.drain_within:
            self._drop(chrome, "it did not get done with its pages")
        elif chrome.memory > settings.recycle_memory:
            self._replace(chrome, f"{chrome.memory // 2**20} MiB")
        elif now - chrome.started > settings.recycle_age:
            self._replace(chrome, "age")

    async def _ask(self, chrome: Chrome) -> None:
        try:
            if not await chrome.answers(self.settings.answer_within):
                self._drop(chrome, f"the browser did not answer for {self.settings.answer_within:g} s")
            else:
                await asyncio.sleep(self.settings.watch)
        finally:
            del self._asking[chrome]

    def _rest(self) -> None:
        chrome = self._current
        idle = self._clock.monotonic() - self._rested
        if chrome is not None and chrome.running == 0 and idle > self.settings.idle:
            self._current = None
            log.info("Chromium is closed after %d s without a page", idle)
            self._loosen(chrome.close(self.settings.close_within))

    def _loosen(self, work: Any) -> None:
        """Runs beside everything else, to be waited for at the end."""
        task = asyncio.ensure_future(work)
        self._loose.add(task)
        task.add_done_callback(self._loose.discard)


def failure(job: Job, kind: str, words: str, *, status: int = 599) -> Reply:
    """The answer of a page that could not be rendered."""
    return Reply(status_code=status, url=job.url, orig_url=job.url, error=words, error_kind=kind, save=job.save)


def default_poolsize() -> int:
    """Pages at once for the cores of this machine."""
    return max(2, min(2 * (os.cpu_count() or 1), 16))
