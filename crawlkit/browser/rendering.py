"""One job in one fresh context of a Chromium that runs: a :class:`Job` in, always a :class:`Reply` out.

The order of things lives here: ready, ``wait_for``, actions, ``js_script``, and then what the page has become. Whatever
the page does, it is over when its time is, and its context is closed.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, CDPSession, Dialog, Page
from playwright.async_api import Error as PlaywrightError

from crawlkit.browser import capture, documents, net_errors, scripts, session_state
from crawlkit.browser.actions import Actor
from crawlkit.browser.capture import Console, XhrCapture
from crawlkit.browser.documents import Document
from crawlkit.browser.downloads import Downloads
from crawlkit.browser.plan import Plan, plan_of
from crawlkit.browser.readiness import Readiness
from crawlkit.browser.relay import Door
from crawlkit.browser.settings import BrowserSettings
from crawlkit.browser.traffic import Traffic
from crawlkit.browser.waits import Waiter
from crawlkit.browser.world import Gone, ScriptFailed, World
from crawlkit.libs.browser_job import Job, Reply, whole_text
from crawlkit.libs.errors import BrowserGone, FetchError
from crawlkit.libs.task import MAX_URL

log = logging.getLogger("crawlkit.browser")

LAST_LOOK = 0.4  # seconds in which a page whose time is over may still show what it has become


class Rendering:
    """One job in one context."""

    def __init__(
        self,
        browser: Browser,
        job: Job,
        settings: BrowserSettings,
        relay: Door | None,
        spool: Path,
        now: Callable[[], float],
    ) -> None:
        self._browser = browser
        self._job = job
        self._settings = settings
        self._relay = relay
        self._spool = spool
        self._now = now
        self.plan = Plan(url=job.url, origin="")
        self._context: BrowserContext | None = None
        self._traffic: Traffic | None = None
        self._world: World | None = None
        self._waiter: Waiter | None = None
        self._console: Console | None = None
        self._xhr: XhrCapture | None = None
        self._dialogs = 0
        self._script_value: Any = None
        self._early_notes: list[str] = []
        self._closing: set[asyncio.Task[None]] = set()

    # ---- the job, from its beginning to its end

    async def reply(self) -> Reply:
        """Always an answer. Raises :class:`BrowserGone`."""
        begun = self._now()
        try:
            try:
                self.plan = plan_of(self._job, self._settings)
                reply = await self.run()
            except FetchError as error:
                reply = await self.failed(error)
            except BrowserGone:
                raise
            except Exception as error:  # a fault of ours: the task gets an answer all the same
                log.exception("rendering %s failed", self._job.url)
                reply = await self.failed(FetchError("internal", f"{type(error).__name__}: {error}"[:500]))
        finally:
            await self.close()
        reply.orig_url, reply.save, reply.time = self._job.url, self._job.save, self._now() - begun
        return reply

    async def run(self) -> Reply:
        """Raises :class:`FetchError`, :class:`BrowserGone`."""
        try:
            async with asyncio.timeout(self.plan.timeout):
                return await self._run()
        except TimeoutError:
            raise FetchError("timeout", self._why_over()) from None
        except PlaywrightError as error:
            raise self._translated(error) from None

    def _why_over(self) -> str:
        text = f"the page was not ready within {self.plan.timeout:g} seconds"
        if self._waiter is not None and self._waiter.doing:
            text += f"; it was at {self._waiter.doing}"
        if self._dialogs > self._settings.max_dialogs:
            text += f": it opened more than {self._settings.max_dialogs} dialogs"
        return text

    async def _run(self) -> Reply:
        page, session = await self._open()
        traffic = self._traffic
        assert traffic is not None
        work = asyncio.create_task(self._steps(page, session, traffic))
        cut = asyncio.create_task(self._relay.over.wait() if self._relay is not None else asyncio.Event().wait())
        try:
            ends: set[asyncio.Future[Any]] = {work, cut, traffic.ended}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if cut.done():
                raise self._cut_off()
            if not traffic.ended.done():
                return await work
        finally:
            work.cancel()
            cut.cancel()
            await asyncio.gather(work, cut, return_exceptions=True)
        return await self._as_it_came(traffic.ended.result())

    def _cut_off(self) -> FetchError:
        kind = self._relay.closed_by if self._relay is not None else None
        return FetchError(kind or "too_large", f"the page loads over {self._settings.max_load} bytes")

    async def _open(self) -> tuple[Page, CDPSession]:
        plan, job = self.plan, self._job
        options = dict(plan.options)
        if self._relay is not None:
            options["proxy"] = {"server": self._relay.url, "bypass": "<-loopback>"}
        origins = session_state.clean_origins(job.origins)
        if origins:
            options["storage_state"] = {"cookies": [], "origins": origins}
        self._context = context = await self._browser.new_context(**options)
        cookies = session_state.clean_cookies(job.cookies)
        await session_state.add_cookies(context, [*cookies, *plan.cookies], self._note)
        try:
            page = await context.new_page()
        except PlaywrightError as error:
            for name, option in (("timezone", "timezone_id"), ("locale", "locale")):
                if f"Invalid {name}" in error.message:
                    problem = f"{name} {options.get(option)!r}: Chromium does not know it"
                    raise FetchError("bad_request", problem) from None
            raise
        session = await context.new_cdp_session(page)
        readiness = Readiness(self._settings, self._now())
        spool = self._spool if job.download else None
        self._traffic = traffic = Traffic(session, plan, self._settings, readiness, self._now, spool, self._net_error)
        self._console = Console(page, self._settings.max_console)
        self._world = World(session, page, self._settings.max_result, self._note)
        self._watch(page, context, traffic)
        await session.send("Page.addScriptToEvaluateOnNewDocument", {"source": scripts.FEW_WINDOWS})
        if job.browser.xhr:
            self._xhr = xhr = XhrCapture(session, job.browser.xhr, self._settings)
            traffic.on_request, traffic.on_response, traffic.on_finished = xhr.requested, xhr.answered, xhr.finished
        if spool is not None:
            Downloads(page, session, spool, self._settings, traffic.stop)
        await traffic.begin(4 * self._settings.max_xhr_total if job.browser.xhr else 0)
        if plan.languages:
            await session.send(
                "Emulation.setUserAgentOverride",
                {"userAgent": plan.options.get("user_agent", ""), "acceptLanguage": plan.languages},
            )
        return page, session

    async def _steps(self, page: Page, session: CDPSession, traffic: Traffic) -> Reply:
        job, world = self._job, self._world
        assert world is not None
        self._waiter = waiter = Waiter(page, world, traffic.readiness, traffic.changed, self._settings, self._now)
        if job.js_script or job.browser.wait_for or job.browser.actions:
            await world.enable()
        if job.js_script and job.js_run_at == "document-start":
            await self._script_at_start(world, job.js_script)
        await self._navigate(session)
        if job.browser.wait_for:
            await waiter.document()
            await waiter.each(job.browser.wait_for)
        else:
            await waiter.ready()
        actor = Actor(page, world, waiter, self._settings)
        if job.browser.actions:
            traffic.acts()
            await actor.each(job.browser.actions)
        if job.js_script and job.js_run_at != "document-start":
            traffic.acts()
            await self._script_at_end(world, waiter, job.js_script)
        if job.download:
            await asyncio.sleep(self._settings.download_within)
            raise FetchError(
                "timeout", f"the page started no download within {self._settings.download_within:g} seconds"
            )
        if (job.browser.screenshot or {}).get("of") == "full":
            await actor.through()
        return await self._as_it_is(page, session, waiter)

    async def _navigate(self, session: CDPSession) -> None:
        where = {"url": self.plan.url}
        if self.plan.referer:
            where |= {"referrer": self.plan.referer, "referrerPolicy": "unsafeUrl"}
        begun = await session.send("Page.navigate", where)
        name = net_errors.named(begun.get("errorText", ""))
        if name is not None:
            raise self._net_error(name, self._traffic.url if self._traffic is not None else self.plan.url)

    def _net_error(self, name: str, url: str) -> FetchError:
        """What is known of a request that failed: Chromium sees only that the relay did not let it through."""
        known = self._relay.failure_of(url) if self._relay is not None else None
        return known or net_errors.error_of(name, url)

    # ---- the task's script

    async def _script_at_start(self, world: World, script: str) -> None:
        try:
            await world.run_at_start(script)
        except ScriptFailed as error:
            self._note(f"js_script: {error}")

    async def _script_at_end(self, world: World, waiter: Waiter, script: str) -> None:
        try:
            self._script_value = await world.run(script)
        except ScriptFailed as error:
            self._note(f"js_script: {error}")
        except Gone:
            self._note("js_script: the page went elsewhere before it had its value")
        waiter.touched()
        await waiter.ready(self._settings.calm)

    # ---- what came of it

    async def _as_it_is(self, page: Page, session: CDPSession, waiter: Waiter) -> Reply:
        """The page as it has become, with all that was asked for beside it."""
        job = self._job
        reply = await self._read(waiter)
        if job.browser.screenshot:
            waiter.doing = f"screenshot: {str(job.browser.screenshot.get('of', 'page'))[:200]!r}"
            shot = await capture.screenshot(page, session, job.browser.screenshot, self._settings)
            reply.attachments["screenshot"] = shot
            waiter.doing = ""
        if job.browser.pdf:
            reply.attachments["pdf"] = await capture.pdf(page, job.browser.pdf, self._settings)
        await self._beside(reply)
        return reply

    async def _read(self, waiter: Waiter) -> Reply:
        """The markup; when the page goes elsewhere at that moment, that of the next one."""
        world, traffic = self._world, self._traffic
        assert world is not None
        assert traffic is not None
        while True:
            try:
                read = await world.own(scripts.content(self.plan.max_body))
                break
            except Gone:
                waiter.touched()
                await waiter.ready()
        return self._page_reply(read, traffic)

    def _page_reply(self, read: dict[str, Any], traffic: Traffic) -> Reply:
        if "size" in read:
            raise FetchError("too_large", f"page of {read['size']} characters, over {self.plan.max_body} bytes")
        text = whole_text(read["text"])
        if len(text) > self.plan.max_body // 4 and len(text.encode()) > self.plan.max_body:
            raise FetchError("too_large", f"page over {self.plan.max_body} bytes")
        document = traffic.document or Document(200, traffic.url)
        return Reply(
            status_code=document.status,
            url=self._address(whole_text(read["url"]), document.url),
            content=text,
            headers=documents.joined([*documents.as_utf8(document.headers), *traffic.set_cookies()]),
        )

    def _address(self, url: str, last: str) -> str:
        """The page's own, where a task could ask for it; ``last``: of its last document from the network."""
        if url.startswith("about:"):
            raise FetchError(
                "bad_redirect", f"the page left for {url[:200]}: nothing of {last[:500]} is there any more"
            )
        if not url.startswith(("http:", "https:")):  # blob: it was made by the last one
            self._note(f"crawlkit: the page went to {url[:200]}: its url is given as that of the document before it")
        elif len(url) > MAX_URL:
            self._note(
                f"crawlkit: the page called itself by {len(url):,} characters: its url is given as it was asked for"
            )
        else:
            return url
        return last

    async def _as_it_came(self, document: Document) -> Reply:
        """What is no page: its bytes, or the file it was written to."""
        traffic = self._traffic
        assert traffic is not None
        headers = documents.joined([*documents.as_decoded(document.headers), *traffic.set_cookies()])
        reply = Reply(status_code=document.status, url=document.url, headers=headers, file=document.file)
        if document.body:
            reply.content_base64 = base64.b64encode(document.body).decode()
        await self._beside(reply)
        return reply

    async def _beside(self, reply: Reply) -> None:
        """Cookies, storage, and what was noted on the way."""
        self._noted(reply)
        if self._xhr is not None:
            reply.xhr = await self._xhr.settle()
        context = self._context
        assert context is not None
        if self._job.session:
            found, origins = await session_state.state_of(context, self._settings.max_state, self._note)
            reply.session_cookies, reply.session_origins = found, origins
            reply.console = self._lines()
        cookies = await context.cookies([self.plan.url, *(url for _, url in reply.history), reply.url])
        reply.cookies = {cookie["name"]: cookie["value"] for cookie in cookies}

    def _noted(self, reply: Reply) -> None:
        world, traffic = self._world, self._traffic
        if world is not None:
            reply.js_script_result = self._script_value if self._script_value is not None else world.start_value
        if traffic is not None:
            reply.history = list(traffic.history)
            reply.counts = dict(traffic.counts)
            reply.url = reply.url or traffic.url
        reply.console = self._lines()

    async def failed(self, error: FetchError) -> Reply:
        """The answer to a job that came to nothing; with the page so far where its time was over."""
        if self._waiter is not None and self._waiter.doing:
            self._note(f"crawlkit: {error}")
        reply = Reply(status_code=error.status_code)
        world, traffic = self._world, self._traffic
        if error.kind == "timeout" and world is not None and traffic is not None and traffic.document is not None:
            try:
                async with asyncio.timeout(LAST_LOOK):
                    reply = self._page_reply(await world.own(scripts.content(self.plan.max_body)), traffic)
            except (TimeoutError, FetchError, Gone, ScriptFailed, PlaywrightError) as problem:
                log.debug("no last look at %s: %r", self.plan.url, problem)
        self._noted(reply)
        reply.url = reply.url or self._job.url
        reply.status_code, reply.error, reply.error_kind = error.status_code, str(error), error.kind
        return reply

    # ---- what a page may do at any moment

    def _watch(self, page: Page, context: BrowserContext, traffic: Traffic) -> None:
        page.on("crash", lambda _: traffic.stop(FetchError("crashed", "the page's process died")))
        page.on("close", lambda _: traffic.stop(FetchError("crashed", "the page was closed")))
        page.on("dialog", self._answer)
        context.on("page", self._popup)

    def _answer(self, dialog: Dialog) -> None:
        self._dialogs += 1
        if self._dialogs > self._settings.max_dialogs:
            return  # left open: a page that asks for ever hangs now, and burns nothing while its time goes by
        self._note(f"{dialog.type}: {dialog.message}")
        self._later(dialog.dismiss() if dialog.type == "prompt" else dialog.accept())

    def _popup(self, popup: Page) -> None:
        self._note("crawlkit: the page opened another window, which was closed")
        self._later(popup.close())

    def _later(self, work: Any) -> None:
        async def quietly() -> None:
            try:
                await work
            except PlaywrightError as error:
                log.debug("a dialog or popup went by itself: %s", error.message)

        task = asyncio.create_task(quietly())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _note(self, line: str) -> None:
        if self._console is None:
            self._early_notes.append(line)
        else:
            self._console.note(line)

    def _lines(self) -> list[str]:
        return [*self._early_notes, *(self._console.lines if self._console is not None else [])]

    def _translated(self, error: PlaywrightError) -> Exception:
        """What Playwright says, as an error of the task's."""
        if not self._browser.is_connected():
            return BrowserGone("the browser is gone")
        if "crashed" in error.message:
            return FetchError("crashed", "the page's process died")
        name = net_errors.named(error.message)
        if name is not None:
            return self._net_error(name, self.plan.url)
        if "has been closed" in error.message:
            return FetchError("crashed", "the page was closed")
        return FetchError("internal", f"browser: {error.message.partition(chr(10))[0][:500]}")

    # ---- the end

    async def close(self) -> None:
        """Closes the context, and with it every process it had. Raises :class:`BrowserGone`."""
        for task in self._closing:
            task.cancel()
        if self._xhr is not None:
            self._xhr.close()
        if self._traffic is not None:
            await self._traffic.close()
        if self._context is None:
            await self._must_answer()
            return
        try:
            async with asyncio.timeout(self._settings.close_page_within):
                await self._context.close()
        except (TimeoutError, PlaywrightError) as error:
            log.warning("a page's context did not close: %s", str(error) or "no answer")
            await self._must_answer()

    async def _must_answer(self) -> None:
        """Raises :class:`BrowserGone` unless the browser answers a simple question."""
        try:
            async with asyncio.timeout(self._settings.answer_within):
                session = await self._browser.new_browser_cdp_session()
                await session.send("Browser.getVersion")
                await session.detach()
        except (TimeoutError, PlaywrightError):
            raise BrowserGone("the browser does not answer") from None
