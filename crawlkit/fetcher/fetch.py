"""One fetch from task to answer: plan, robots.txt, hops, cookies, and every failure as an answer of its own.

The order of things lives here; how they are decided lives in the pure modules beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from crawlkit.database.base import BlobStore
from crawlkit.fetcher import browser_client, browser_jar, cookie_jar, data_url, redirects, request
from crawlkit.fetcher import url as urls
from crawlkit.fetcher.browser_files import BrowserFile
from crawlkit.fetcher.browser_line import BrowserLine
from crawlkit.fetcher.curl import Answer, Engine, Session
from crawlkit.fetcher.download import Downloader, Finished
from crawlkit.fetcher.proxy_turns import ProxyTurns
from crawlkit.fetcher.request import Plan
from crawlkit.fetcher.robots_cache import RobotsCache
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.libs.browser_job import Reply
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import FetchError, StoreUnavailable
from crawlkit.libs.messages import MAX_INLINE_BODY, Dispatch, Fetched
from crawlkit.libs.proxy import Proxy

log = logging.getLogger("crawlkit.fetcher")

IN_LINE = 4  # times the poolsize: jobs that may wait in the line of a browser service besides
BLOB_PATIENCE = (0.2, 1.0, 2.0, 5.0)  # seconds between tries to store a large body


class Fetcher:
    """Fetches tasks. Belongs to the event loop in which it first fetches; usable without any queue."""

    def __init__(self, settings: FetcherSettings, clock: Clock, node: str = "", blobs: BlobStore | None = None) -> None:
        self.settings = settings
        self._clock = clock
        self._node = node
        self._blobs = blobs
        self._engine: Engine | None = None
        self._browser_engine: Engine | None = None
        self._downloader = Downloader(settings, clock, lambda: self.engine)
        self.line = BrowserLine(lambda: self.browser_engine, clock, settings.browser_patience)
        self._turns = ProxyTurns()
        self._robots = RobotsCache(
            self._load_robots, clock.monotonic, settings.robots_ttl, settings.robots_error_ttl, settings.robots_hosts
        )

    @property
    def engine(self) -> Engine:
        """The transport, made in the running loop."""
        if self._engine is None:
            self._engine = Engine(self.settings, self._clock)
        return self._engine

    @property
    def browser_engine(self) -> Engine:
        """For the browser service, which may be private: no task ever gets one of these connections."""
        if self._browser_engine is None:
            # a service says little for long, and each job has a connection of its own
            poolsize = (1 + IN_LINE) * self.settings.poolsize
            settings = replace(self.settings, low_speed_limit=0, host_connections=0, poolsize=poolsize)
            self._browser_engine = Engine(settings, self._clock, guarded=False)
        return self._browser_engine

    def moved(self) -> tuple[int, int]:
        """Bytes on the wire so far, received and sent."""
        engines = [engine for engine in (self._engine, self._browser_engine) if engine is not None]
        moved = [engine.moved() for engine in engines]
        return sum(come for come, _ in moved), sum(gone for _, gone in moved)

    def inflight_bytes(self) -> int:
        """Bytes of bodies that are in memory."""
        return sum(engine.inflight.bytes for engine in (self._engine, self._browser_engine) if engine is not None)

    async def fetch(self, task: Dispatch) -> Fetched:
        """The answer. Never raises for anything that a task, a server or the network does: errors are answers [F20].

        Waits as long as the blob store is unavailable and the body is one for it.
        """
        started = self._clock.monotonic()
        trip = None
        try:
            if task.fetch.download is not None:
                self._downloader.wish(task)
            if task.url[:5].lower() == "data:":
                return data_url.answer(task, self._node)
            trip = _Trip(request.plan_of(task, self.settings, self._choose), started)
            if browser_client.is_plain(task.fetch):
                fetched = await self._over_http(task, trip)
                self._note_proxy(trip, fetched.status_code, None)
            else:
                fetched = await self._by_browser(task, trip)
        except FetchError as error:
            fetched = self._failed(task, trip, started, error)
            if trip is not None and browser_client.is_plain(task.fetch):
                self._note_proxy(trip, error.status_code, error.kind)
        if trip is not None:
            fetched.jar, fetched.crawl_delay = trip.jar, trip.crawl_delay
        return fetched

    async def close(self) -> None:
        """Breaks off what still runs and closes all connections."""
        await self._robots.close()
        self._downloader.close()
        for engine in (self._engine, self._browser_engine):
            if engine is not None:
                engine.close()
        self._engine = self._browser_engine = None

    async def _over_http(self, task: Dispatch, trip: _Trip) -> Fetched:
        session = self.engine.session()
        try:
            if task.fetch.session is not None:
                session.plant(cookie_jar.for_curl(self._open_jar(task, trip)))
            if task.fetch.download is not None:
                return await self._download(task, trip, session)
            answer = await self._travel(trip, session)
            return await self._answered(task, trip, answer, session)
        finally:
            if trip.jar is not None:
                after = [*session.cookies(), *cookie_jar.ours(trip.jar)]
                trip.jar = cookie_jar.settle(trip.jar, after, self._clock.time())
            session.close()

    async def _download(self, task: Dispatch, trip: _Trip, session: Session) -> Fetched:
        begun = trip.started

        async def send(plan: Plan) -> tuple[Answer, str]:
            """One request with its redirects; there may be many until a file is whole."""
            trip.plan, trip.history, trip.started = plan, [], self._clock.monotonic()
            answer = await self._travel(trip, session)
            return answer, trip.plan.url.full

        try:
            got = await self._downloader.fetch(task, trip.plan, send)
        finally:
            trip.started = begun
        if isinstance(got, Answer):
            return await self._answered(task, trip, got, session)
        return self._finished(task, trip, got, cookie_jar.values(session.cookies(), trip.hosts()), begun)

    def _finished(self, task: Dispatch, trip: _Trip, got: Finished, cookies: dict[str, str], began: float) -> Fetched:
        return Fetched(
            task=task,
            status_code=200,
            url=got.url or task.url,
            orig_url=task.url,
            headers=got.headers,
            cookies=request.sent_cookies(trip.plan) | cookies,
            time=self._clock.monotonic() - began,
            history=trip.history,
            node=self._node,
            size=got.file["bytes"],
            file=got.file,
        )

    def _open_jar(self, task: Dispatch, trip: _Trip) -> list[str]:
        """The session's cookies and the task's own in one jar; the plan keeps only what no jar can hold."""
        plan = trip.plan
        jar = cookie_jar.clean(task.jar, self._clock.time())
        trip.jar, left = cookie_jar.join(jar, request.sent_cookies(plan), plan.url)
        trip.plan = replace(plan, cookie_header=None, cookies=left)
        return trip.jar

    def _choose(self, pool: Sequence[Proxy]) -> Proxy:
        return self._turns.choose(pool, self._clock.monotonic())

    def _note_proxy(self, trip: _Trip, status: int, kind: str | None) -> None:
        """What the end of a fetch says about a proxy that took its turn."""
        plan = trip.plan
        if plan.proxy is not None and plan.proxy_pool:
            self._turns.ended(plan.proxy, status, kind, trip.started, self._clock.monotonic())

    async def _by_browser(self, task: Dispatch, trip: _Trip) -> Fetched:
        if browser_client.wants_files(task.fetch):
            self._downloader.check_kept()
        if task.fetch.session is not None:
            self._open_jar(task, trip)
            if not browser_client.is_ours(task.fetch):
                sent = cookie_jar.sent_to(trip.jar or [], trip.plan.url)
                trip.plan = replace(trip.plan, cookies=trip.plan.cookies | sent)
        if trip.plan.robots:
            await self._obey_robots(trip, trip.plan)
        if task.fetch.download is not None:
            fetched = await self._download_by_browser(task, trip)
        else:
            fetched = await self._rendered(task, trip, await self._ask_browser(task, trip))
        if not fetched.time:
            fetched.time = self._clock.monotonic() - trip.started
        return fetched

    async def _ask_browser(self, task: Dispatch, trip: _Trip) -> Reply:
        """What the service says; the session's jar is the browser's then."""
        page = trip.plan
        endpoint = browser_client.endpoint_of(task.fetch.fetch_type or "", self.settings)
        jar = trip.jar if browser_client.is_ours(task.fetch) else None
        trip.asked = browser_client.job_plan(task, page, endpoint, self.settings, jar)
        answer = await self.line.ask(trip.asked)
        body = answer.body.content()
        answer.body.drop()
        reply = browser_client.read_reply(answer.status, body)
        trip.history = reply.history
        if trip.jar is not None:
            self._take_cookies(trip, reply)
        return reply

    async def _rendered(self, task: Dispatch, trip: _Trip, reply: Reply) -> Fetched:
        """The page, with its files stored."""
        fetched = browser_client.answer_of(task, trip.plan, reply, self._node)
        files = browser_client.attachments_of(reply)
        if files:
            kept = await self._downloader.keep(task, fetched.url, files)
            fetched.rendered = {**(fetched.rendered or {}), **kept}
        if fetched.error is None and not 200 <= fetched.status_code < 300:
            fetched.error = status_error(fetched.status_code, "")
        if fetched.size > MAX_INLINE_BODY and self._blobs is not None:
            fetched.blob = await self._store(task, [fetched.content])
            fetched.content = b""
        return fetched

    async def _download_by_browser(self, task: Dispatch, trip: _Trip) -> Fetched:
        """A file that a page, or an action on it, makes Chromium download [H50]."""
        replies: list[Reply] = []
        began = trip.started

        async def send(plan: Plan) -> tuple[Answer, str]:
            """Renders the page, and has what it downloaded sent to the place that ``plan`` names."""
            nonlocal began
            reply = await self._ask_browser(task, trip)
            replies.append(reply)
            began = self._clock.monotonic() - reply.time  # not from when it stood in line
            if reply.file is None or plan.sink is None or trip.asked is None:
                raise FetchError(
                    browser_client.kind_of(reply) or "protocol", reply.error or browser_client.NOTHING_CAME
                )
            came = BrowserFile(reply.file, plan.sink)
            wanted = browser_client.file_plan(trip.asked, str(reply.file.get("id")))
            session = self.browser_engine.session()
            try:
                answer = await session.send(replace(wanted, timeout=plan.timeout, sink=came))
            finally:
                session.close()
            if answer.status != 200:
                raise FetchError("protocol", f"the browser service answered {answer.status} for a file it has")
            return replace(answer, headers=came.headers), came.url or trip.plan.url.full

        try:
            got = await self._downloader.fetch(task, trip.plan, send, self.browser_engine)
        except FetchError:
            if replies and browser_client.is_without_file(replies[-1]):  # with what its console says
                return await self._rendered(task, trip, replies[-1])
            raise
        assert not isinstance(got, Answer)
        finished = self._finished(task, trip, got, replies[-1].cookies if replies else {}, began)
        if replies:
            finished.rendered = browser_client.answer_of(task, trip.plan, replies[-1], "").rendered
        return finished

    def _take_cookies(self, trip: _Trip, reply: Reply) -> None:
        """What a browser has now is the jar. Another service tells names and values only: new ones are the page's."""
        jar, now = trip.jar or [], self._clock.time()
        if reply.session_cookies is not None:
            visited = browser_client.origin_of(reply.url)
            after, problems = browser_jar.lines_of(reply.session_cookies, reply.session_origins or [], jar, visited)
            reply.console = [*problems, *reply.console]
            trip.jar = cookie_jar.settle(jar, after, now)
            return
        before = cookie_jar.sent_to(jar, trip.plan.url)
        new = {name: value for name, value in reply.cookies.items() if before.get(name) != value}
        with contextlib.suppress(UnicodeEncodeError, FetchError):
            joined, _ = cookie_jar.join(jar, new, urls.parse(reply.url or trip.plan.url.full))
            trip.jar = cookie_jar.settle(jar, joined, now)

    async def _load_robots(self, plan: Plan) -> tuple[int, bytes]:
        trip = _Trip(request.robots_plan(plan), self._clock.monotonic())
        session = self.engine.session()
        try:
            answer = await self._travel(trip, session)
        finally:
            session.close()
        body = answer.body.content()
        answer.body.drop()
        return answer.status, body

    async def _obey_robots(self, trip: _Trip, plan: Plan) -> None:
        """Within the time of the fetch; the look-up itself goes on for those who come later."""
        try:
            async with asyncio.timeout(trip.started + plan.timeout - self._clock.monotonic()):
                if not trip.history:
                    trip.crawl_delay = await self._robots.crawl_delay(plan)
                await self._robots.check(plan)
        except TimeoutError:
            raise FetchError("timeout", f"no robots.txt of {plan.url.host} within {plan.timeout:g} seconds") from None

    async def _travel(self, trip: _Trip, session: Session) -> Answer:
        """All hops of a trip; the answer of the last. ``trip.plan`` is always the hop that is on its way."""
        first = trip.plan
        while True:
            plan = trip.plan
            if plan.robots:
                await self._obey_robots(trip, plan)
            if trip.history or plan.robots:
                left = trip.started + first.timeout - self._clock.monotonic()
                if left <= 0:
                    raise FetchError("timeout", f"Operation timed out after {first.timeout:g} seconds")
                plan = request.with_timeout(plan, left)
            answer = await session.send(plan)
            following = self._follow(trip, answer)
            if following is None:
                return answer
            answer.body.drop()
            trip.plan = following

    def _follow(self, trip: _Trip, answer: Answer) -> Plan | None:
        """The next hop, noted in the trip's history; ``None`` at the end of the way."""
        plan = trip.plan
        if not plan.follow or answer.status not in redirects.STATUSES:
            return None
        plan = request.without_cookies(plan, set_cookie_names(answer.headers))
        try:
            following = redirects.next_plan(plan, answer.status, answer.header("location"), len(trip.history))
        except FetchError:
            answer.body.drop()
            trip.history.append((answer.status, plan.url.full))
            raise
        if following is not None:
            trip.history.append((answer.status, plan.url.full))
        return following

    async def _answered(self, task: Dispatch, trip: _Trip, answer: Answer, session: Session) -> Fetched:
        body, blob, content = answer.body, None, b""
        size = body.size
        try:
            if size <= MAX_INLINE_BODY or self._blobs is None:
                content = body.content()
            else:
                blob = await self._store(task, body.chunks())
        finally:
            body.drop()
            self.engine.room_made()
        return Fetched(
            task=task,
            status_code=answer.status,
            url=trip.plan.url.full,
            orig_url=task.url,
            headers=answer.headers,
            cookies=request.sent_cookies(trip.plan) | cookie_jar.values(session.cookies(), trip.hosts()),
            time=self._clock.monotonic() - trip.started,
            error=None if 200 <= answer.status < 300 else status_error(answer.status, answer.reason),
            history=trip.history,
            node=self._node,
            blob=blob,
            size=size,
            content=content,
        )

    async def _store(self, task: Dispatch, chunks: list[bytes]) -> str:
        """The id of the stored body. Tries until the store is available: the lease is renewed meanwhile."""
        assert self._blobs is not None
        key = f"{task.project}/{task.taskid}/{task.run}"
        misses = 0
        while True:
            try:
                return await asyncio.to_thread(self._blobs.create, chunks, key)
            except StoreUnavailable as error:
                if misses == 0:
                    log.warning("a body of %s waits for the blob store: %s", key, error)
                await asyncio.sleep(BLOB_PATIENCE[min(misses, len(BLOB_PATIENCE) - 1)])
                misses += 1

    def _failed(self, task: Dispatch, trip: _Trip | None, started: float, error: FetchError) -> Fetched:
        return Fetched(
            task=task,
            status_code=error.status_code,
            url=trip.plan.url.full if trip is not None else task.url,
            orig_url=task.url,
            headers=[],
            cookies={},
            time=self._clock.monotonic() - started,
            error=str(error),
            error_kind=error.kind,
            history=trip.history if trip is not None else [],
            node=self._node,
        )


class _Trip:
    """What is known of a fetch on its way, also when it fails."""

    __slots__ = ("asked", "crawl_delay", "history", "jar", "plan", "started")

    def __init__(self, plan: Plan, started: float) -> None:
        self.plan = plan
        self.started = started
        self.history: list[tuple[int, str]] = []
        self.jar: list[str] | None = None  # of the task's session
        self.asked: Plan | None = None  # of a browser service
        self.crawl_delay: float | None = None  # of the first host's robots.txt

    def hosts(self) -> set[str] | None:
        """Those on the way, when there may be cookies of others."""
        if self.jar is None:
            return None
        return {self.plan.url.host, *(urls.parse(url).host for _, url in self.history)}


def status_error(status: int, reason: str) -> str:
    """``HTTP 404: Not Found`` [F05]; HTTP/2 has no reasons, so the usual one stands in."""
    if not reason:
        try:
            reason = http.HTTPStatus(status).phrase
        except ValueError:
            reason = "Unknown"
    return f"HTTP {status}: {reason}"


def set_cookie_names(headers: Iterable[tuple[str, str]]) -> set[str]:
    """The names of the cookies that an answer sets or removes."""
    return {value.partition("=")[0].strip() for name, value in headers if name.lower() == "set-cookie"}
