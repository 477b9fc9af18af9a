"""One fetch from task to answer: plan, robots.txt, hops, cookies, and every failure as an answer of its own.

The order of things lives here; how they are decided lives in the pure modules beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from crawlkit.database.base import BlobStore
from crawlkit.fetcher import browser_client, browser_jar, cookie_jar, data_url, hops, redirects, request
from crawlkit.fetcher import url as urls
from crawlkit.fetcher.browser_files import BrowserFile
from crawlkit.fetcher.browser_line import BrowserLine
from crawlkit.fetcher.curl import Answer, Engine, Session
from crawlkit.fetcher.download import Downloader, Finished
from crawlkit.fetcher.flight import Flight, Landed, Trip, status_error
from crawlkit.fetcher.proxy_turns import ProxyTurns
from crawlkit.fetcher.request import Plan
from crawlkit.fetcher.robots_cache import RobotsCache
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.libs.browser_job import Reply
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import FetchError, StoreUnavailable
from crawlkit.libs.messages import MAX_INLINE_BODY, Dispatch, Fetched, encode_part
from crawlkit.libs.proxy import Proxy
from crawlkit.libs.task import Fetch

log = logging.getLogger("crawlkit.fetcher")

IN_LINE = 4  # times the poolsize: jobs that may wait in the line of a browser service besides
TEMPLATES = 256  # sets of options that are remembered
MAX_TEMPLATE = 8192  # bytes of one
BLOB_PATIENCE = (0.2, 1.0, 2.0, 5.0)  # seconds between tries to store a large body


class Fetcher:
    """Fetches tasks. Belongs to the event loop in which it first fetches; usable without any queue."""

    def __init__(self, settings: FetcherSettings, clock: Clock, node: str = "", blobs: BlobStore | None = None) -> None:
        self.settings = settings
        self.clock = clock
        self.node = node
        self.blobs = blobs
        self._engine: Engine | None = None
        self._browser_engine: Engine | None = None
        self._moved_before = (0, 0)  # by engines that are closed
        self._retired: list[Engine] = []  # with tasks that began before private addresses were closed, or opened
        self._downloader = Downloader(settings, clock, lambda: self.engine)
        self.line = BrowserLine(lambda: self.browser_engine, clock, settings.browser_patience)
        self.later: set[asyncio.Task[None]] = set()
        """What goes on of flights."""
        self._templates: dict[tuple[str, bytes], Plan] = {}
        self._turns = ProxyTurns()
        self._robots = RobotsCache(
            self._load_robots, clock.monotonic, settings.robots_ttl, settings.robots_error_ttl, settings.robots_hosts
        )

    @property
    def engine(self) -> Engine:
        """The transport, made in the running loop."""
        if self._engine is None:
            self._engine = Engine(self.settings, self.clock)
        return self._engine

    def set_private(self, allowed: bool) -> None:
        """Whether tasks may reach private addresses from now on; what is on its way makes no new connection to one."""
        if allowed != self.settings.allow_private:
            self.settings = replace(self.settings, allow_private=allowed)
            if self._engine is not None:  # it may have connections to private addresses, which are not looked at again
                self._engine.guarded = not allowed
                self._retired.append(self._engine)
                self._engine = None
        for engine in [one for one in self._retired if not one.lent]:
            self._moved_before = self._sum_of_moved([engine])
            engine.close()
            self._retired.remove(engine)

    @property
    def browser_engine(self) -> Engine:
        """For the browser service, which may be private: no task ever gets one of these connections."""
        if self._browser_engine is None:
            # a service says little for long, and each job has a connection of its own
            poolsize = (1 + IN_LINE) * self.settings.poolsize
            settings = replace(self.settings, low_speed_limit=0, host_connections=0, poolsize=poolsize)
            self._browser_engine = Engine(settings, self.clock, guarded=False)
        return self._browser_engine

    def moved(self) -> tuple[int, int]:
        """Bytes on the wire so far, received and sent."""
        return self._sum_of_moved(self._engines())

    def _sum_of_moved(self, engines: list[Engine]) -> tuple[int, int]:
        moved = [self._moved_before, *(engine.moved() for engine in engines)]
        return sum(come for come, _ in moved), sum(gone for _, gone in moved)

    def inflight_bytes(self) -> int:
        """Bytes of bodies that are in memory."""
        return sum(engine.inflight.bytes for engine in self._engines())

    def _engines(self) -> list[Engine]:
        return [engine for engine in (self._engine, self._browser_engine, *self._retired) if engine is not None]

    async def fetch(self, task: Dispatch) -> Fetched:
        """The answer. Never raises for anything that a task, a server or the network does: errors are answers [F20].

        Waits as long as the blob store is unavailable and the body is one for it.
        """
        if not hops.watched():
            future: asyncio.Future[Fetched] = asyncio.get_running_loop().create_future()
            begun = self.begin(task, lambda fetched: None if future.done() else future.set_result(fetched))
            if isinstance(begun, Fetched):
                return begun
            if begun is not None:
                try:
                    return await future
                finally:
                    begun.cancel()
        return await self._fetch(task)

    def begin(self, task: Dispatch, done: Landed) -> Flight | Fetched | None:
        """The same without a coroutine, for a task that waits for one answer and for nothing else.

        An answer that needs no network is returned; else ``done`` is told, later. ``None``: the task is one for
        :meth:`fetch`.
        """
        fetch, started = task.fetch, self.clock.monotonic()
        if fetch.session is not None or fetch.download is not None or not browser_client.is_plain(fetch):
            return None
        try:
            if task.url[:5].lower() == "data:":
                return data_url.answer(task, self.node)
            url = urls.parse(task.url)
            template = self._template(fetch, url.scheme)
            if template.proxy_pool:
                return None
            crawl_delay = None
            if template.robots:
                rules = self._robots.known(template, url)
                if rules is None or not rules.allows(url.wire, template.user_agent):
                    return None
                crawl_delay = rules.crawl_delay(template.user_agent) or 0.0
            if url.authorization is not None or request.is_conditional(task):
                flight = Flight(self, task, request.filled_in(template, url, task), url, started, crawl_delay, done)
                flight.start(None)
            else:
                flight = Flight(self, task, template, url, started, crawl_delay, done)
                flight.start(template if template.proxy is None else None)
            return flight
        except FetchError as error:
            return self.failed(task, None, started, error)

    def _template(self, fetch: Fetch, scheme: str) -> Plan:
        """What all tasks with these options have in common, those of http and of https apart."""
        try:
            key = scheme, encode_part(fetch)
        except (TypeError, ValueError):  # what fits no message is refused in words
            return request.template_of(fetch, self.settings)
        known = self._templates.get(key)
        if known is None:
            known = request.template_of(fetch, self.settings)
            if len(key[1]) <= MAX_TEMPLATE:
                if len(self._templates) >= TEMPLATES:
                    self._templates.clear()
                self._templates[key] = known
        return known

    async def _fetch(self, task: Dispatch) -> Fetched:
        started = self.clock.monotonic()
        trip = None
        try:
            if task.fetch.download is not None:
                self._downloader.wish(task)
            if task.url[:5].lower() == "data:":
                return data_url.answer(task, self.node)
            trip = Trip(request.plan_of(task, self.settings, self._choose), started)
            if browser_client.is_plain(task.fetch):
                fetched = await self._over_http(task, trip)
                self._note_proxy(trip, fetched.status_code, None)
            else:
                fetched = await self._by_browser(task, trip)
        except FetchError as error:
            fetched = self.failed(task, trip, started, error)
            if trip is not None and browser_client.is_plain(task.fetch):
                self._note_proxy(trip, error.status_code, error.kind)
        if trip is not None:
            fetched.jar, fetched.crawl_delay = trip.jar, trip.crawl_delay
        return fetched

    async def close(self) -> None:
        """Breaks off what still runs and closes all connections."""
        await self._robots.close()
        for task in self.later:
            task.cancel()
        await asyncio.gather(*self.later, return_exceptions=True)
        self._downloader.close()
        for engine in self._engines():
            engine.close()
        self._engine = self._browser_engine = None
        self._retired.clear()

    async def _over_http(self, task: Dispatch, trip: Trip) -> Fetched:
        session = self.engine.session()
        try:
            if task.fetch.session is not None:
                session.plant(cookie_jar.for_curl(self._open_jar(task, trip)))
            if task.fetch.download is not None:
                return await self._download(task, trip, session)
            answer = await self.travel(trip, session)
            return await self.answered(task, trip, answer, session)
        finally:
            if trip.jar is not None:
                after = [*session.cookies(), *cookie_jar.ours(trip.jar)]
                trip.jar = cookie_jar.settle(trip.jar, after, self.clock.time())
            session.close()

    async def _download(self, task: Dispatch, trip: Trip, session: Session) -> Fetched:
        begun = trip.started

        async def send(plan: Plan) -> tuple[Answer, str]:
            """One request with its redirects; there may be many until a file is whole."""
            trip.plan, trip.history, trip.started = plan, [], self.clock.monotonic()
            answer = await self.travel(trip, session)
            return answer, trip.plan.url.full

        try:
            got = await self._downloader.fetch(task, trip.plan, send)
        finally:
            trip.started = begun
        if isinstance(got, Answer):
            return await self.answered(task, trip, got, session)
        return self._finished(task, trip, got, cookie_jar.values(session.cookies(), trip.hosts()), begun)

    def _finished(self, task: Dispatch, trip: Trip, got: Finished, cookies: dict[str, str], began: float) -> Fetched:
        return Fetched(
            task=task,
            status_code=200,
            url=got.url or task.url,
            orig_url=task.url,
            headers=got.headers,
            cookies=request.sent_cookies(trip.plan) | cookies,
            time=self.clock.monotonic() - began,
            history=trip.history,
            node=self.node,
            size=got.file["bytes"],
            file=got.file,
        )

    def _open_jar(self, task: Dispatch, trip: Trip) -> list[str]:
        """The session's cookies and the task's own in one jar; the plan keeps only what no jar can hold."""
        plan = trip.plan
        jar = cookie_jar.clean(task.jar, self.clock.time())
        trip.jar, left = cookie_jar.join(jar, request.sent_cookies(plan), plan.url)
        trip.plan = replace(plan, cookie_header=None, cookies=left)
        return trip.jar

    def _choose(self, pool: Sequence[Proxy]) -> Proxy:
        return self._turns.choose(pool, self.clock.monotonic())

    def _note_proxy(self, trip: Trip, status: int, kind: str | None) -> None:
        """What the end of a fetch says about a proxy that took its turn."""
        plan = trip.plan
        if plan.proxy is not None and plan.proxy_pool:
            self._turns.ended(plan.proxy, status, kind, trip.started, self.clock.monotonic())

    async def _by_browser(self, task: Dispatch, trip: Trip) -> Fetched:
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
            fetched.time = self.clock.monotonic() - trip.started
        return fetched

    async def _ask_browser(self, task: Dispatch, trip: Trip) -> Reply:
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

    async def _rendered(self, task: Dispatch, trip: Trip, reply: Reply) -> Fetched:
        """The page, with its files stored."""
        fetched = browser_client.answer_of(task, trip.plan, reply, self.node)
        files = browser_client.attachments_of(reply)
        if files:
            kept = await self._downloader.keep(task, fetched.url, files)
            fetched.rendered = {**(fetched.rendered or {}), **kept}
        if fetched.error is None:
            fetched.error = status_error(fetched.status_code, "")
        if fetched.size > MAX_INLINE_BODY and self.blobs is not None:
            fetched.blob = await self._store(task, [fetched.content])
            fetched.content = b""
        return fetched

    async def _download_by_browser(self, task: Dispatch, trip: Trip) -> Fetched:
        """A file that a page, or an action on it, makes Chromium download [H50]."""
        replies: list[Reply] = []
        began = trip.started

        async def send(plan: Plan) -> tuple[Answer, str]:
            """Renders the page, and has what it downloaded sent to the place that ``plan`` names."""
            nonlocal began
            reply = await self._ask_browser(task, trip)
            replies.append(reply)
            began = self.clock.monotonic() - reply.time  # not from when it stood in line
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

    def _take_cookies(self, trip: Trip, reply: Reply) -> None:
        """What a browser has now is the jar. Another service tells names and values only: new ones are the page's."""
        jar, now = trip.jar or [], self.clock.time()
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
        trip = Trip(request.robots_plan(plan), self.clock.monotonic())
        session = self.engine.session()
        try:
            answer = await self.travel(trip, session)
        finally:
            session.close()
        body = answer.body.content()
        answer.body.drop()
        return answer.status, body

    async def _obey_robots(self, trip: Trip, plan: Plan) -> None:
        """Within the time of the fetch; the look-up itself goes on for those who come later."""
        try:
            async with asyncio.timeout(trip.started + plan.timeout - self.clock.monotonic()):
                if not trip.history:
                    trip.crawl_delay = await self._robots.crawl_delay(plan)
                await self._robots.check(plan)
        except TimeoutError:
            raise FetchError("timeout", f"no robots.txt of {plan.url.host} within {plan.timeout:g} seconds") from None

    async def travel(self, trip: Trip, session: Session, answer: Answer | None = None) -> Answer:
        """All hops of a trip; the answer of the last. ``trip.plan`` is always the hop that is on its way.

        ``answer``: that of the first one, when it is there already.
        """
        first = trip.plan
        while True:
            if answer is None:
                answer = await session.send(await self._next_hop(trip, first.timeout))
            following = self._follow(trip, answer)
            if following is None:
                return answer
            answer.body.drop()
            answer = None
            trip.plan = following

    async def _next_hop(self, trip: Trip, timeout: float) -> Plan:
        """The plan of the hop with the time that is left of ``timeout``, when it may be sent."""
        plan = trip.plan
        if plan.robots:
            await self._obey_robots(trip, plan)
        if trip.history or plan.robots:
            left = trip.started + timeout - self.clock.monotonic()
            if left <= 0:
                raise FetchError("timeout", f"Operation timed out after {timeout:g} seconds")
            plan = request.with_timeout(plan, left)
        return plan

    def _follow(self, trip: Trip, answer: Answer) -> Plan | None:
        """The next hop, noted in the trip's history; ``None`` at the end of the way."""
        plan = trip.plan
        if not plan.follow or answer.status not in redirects.STATUSES:
            return None
        plan = request.without_cookies(plan, set_cookie_names(answer.headers))
        try:
            following = redirects.next_plan(plan, answer.status, answer.header("location"), len(trip.history))
        except FetchError as error:
            answer.body.drop()
            trip.history.append((answer.status, plan.url.full))
            raise FetchError(error.kind, f"{error}: {redirects.chain(trip.history)}") from None
        if following is not None:
            trip.history.append((answer.status, plan.url.full))
        return following

    async def answered(self, task: Dispatch, trip: Trip, answer: Answer, session: Session) -> Fetched:
        body, blob, content = answer.body, None, b""
        size = body.size
        try:
            if size <= MAX_INLINE_BODY or self.blobs is None:
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
            time=self.clock.monotonic() - trip.started,
            error=status_error(answer.status, answer.reason),
            history=trip.history,
            node=self.node,
            blob=blob,
            size=size,
            content=content,
        )

    async def _store(self, task: Dispatch, chunks: list[bytes]) -> str:
        """The id of the stored body. Tries until the store is available: the lease is renewed meanwhile."""
        assert self.blobs is not None
        key = f"{task.project}/{task.taskid}/{task.run}"
        misses = 0
        while True:
            try:
                return await asyncio.to_thread(self.blobs.create, chunks, key)
            except StoreUnavailable as error:
                if misses == 0:
                    log.warning("a body of %s waits for the blob store: %s", key, error)
                await asyncio.sleep(BLOB_PATIENCE[min(misses, len(BLOB_PATIENCE) - 1)])
                misses += 1

    def failed(self, task: Dispatch, trip: Trip | None, started: float, error: FetchError) -> Fetched:
        return Fetched(
            task=task,
            status_code=error.status_code,
            url=trip.plan.url.full if trip is not None else task.url,
            orig_url=task.url,
            headers=[],
            cookies={},
            time=self.clock.monotonic() - started,
            error=str(error),
            error_kind=error.kind,
            history=trip.history if trip is not None else [],
            node=self.node,
        )


def set_cookie_names(headers: Iterable[tuple[str, str]]) -> set[str]:
    """The names of the cookies that an answer sets or removes."""
    return {value.partition("=")[0].strip() for name, value in headers if name.lower() == "set-cookie"}
