"""One fetch from task to answer: plan, robots.txt, hops, cookies, and every failure as an answer of its own.

The order of things lives here; how they are decided lives in the pure modules beside it.
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Iterable

from crawlkit.database.base import BlobStore
from crawlkit.fetcher import data_url, redirects, request
from crawlkit.fetcher.curl import Answer, Engine, Session
from crawlkit.fetcher.request import Plan
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import FetchError
from crawlkit.libs.messages import MAX_INLINE_BODY, Dispatch, Fetched

HTTP_TYPES = frozenset({None, "", "http", "https"})


class Fetcher:
    """Fetches tasks. Belongs to the event loop in which it first fetches; usable without any queue."""

    def __init__(self, settings: FetcherSettings, clock: Clock, node: str = "", blobs: BlobStore | None = None) -> None:
        self.settings = settings
        self._clock = clock
        self._node = node
        self._blobs = blobs
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The transport, made in the running loop."""
        if self._engine is None:
            self._engine = Engine(self.settings, self._clock)
        return self._engine

    async def fetch(self, task: Dispatch) -> Fetched:
        """The answer. Never raises for anything that a task, a server or the network does: errors are answers [F20].

        Raises ``StoreUnavailable`` when a large body cannot be put into the blob store.
        """
        trip = _Trip(task, self._clock.monotonic())
        try:
            if task.url[:5].lower() == "data:":
                return data_url.answer(task, self._node)
            return await self._over_http(trip)
        except FetchError as error:
            return self._failed(trip, error)

    async def close(self) -> None:
        """Breaks off what still runs and closes all connections."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    async def _over_http(self, trip: _Trip) -> Fetched:
        trip.plan = plan = request.plan_of(trip.task, self.settings)
        deadline = trip.started + plan.timeout
        session = self.engine.session()
        try:
            while True:
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    raise FetchError("timeout", f"Operation timed out after {plan.timeout:g} seconds of redirects")
                answer = await session.send(request.with_timeout(trip.plan, left) if trip.history else plan)
                following = self._follow(trip, answer)
                if following is None:
                    return await self._answered(trip, answer, session)
                answer.body.drop()
                trip.plan = following
        finally:
            session.close()

    def _follow(self, trip: _Trip, answer: Answer) -> Plan | None:
        """The next hop, noted in the trip's history; ``None`` at the end of the way."""
        plan = trip.plan
        assert plan is not None
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

    async def _answered(self, trip: _Trip, answer: Answer, session: Session) -> Fetched:
        plan = trip.plan
        assert plan is not None
        body, blob, content = answer.body, None, b""
        size = body.size
        try:
            if size <= MAX_INLINE_BODY or self._blobs is None:
                content = body.content()
            else:
                key = f"{trip.task.project}/{trip.task.taskid}/{trip.task.run}"
                blob = await asyncio.to_thread(self._blobs.create, body.chunks, key)
        finally:
            body.drop()
        return Fetched(
            task=trip.task,
            status_code=answer.status,
            url=plan.url.full,
            orig_url=trip.task.url,
            headers=answer.headers,
            cookies=request.sent_cookies(plan) | session.cookies(),
            time=self._clock.monotonic() - trip.started,
            error=None if 200 <= answer.status < 300 else status_error(answer.status, answer.reason),
            history=trip.history,
            node=self._node,
            blob=blob,
            size=size,
            content=content,
        )

    def _failed(self, trip: _Trip, error: FetchError) -> Fetched:
        return Fetched(
            task=trip.task,
            status_code=error.status_code,
            url=trip.plan.url.full if trip.plan is not None else trip.task.url,
            orig_url=trip.task.url,
            headers=[],
            cookies={},
            time=self._clock.monotonic() - trip.started,
            error=str(error),
            error_kind=error.kind,
            history=trip.history,
            node=self._node,
        )


class _Trip:
    """What is known of a fetch on its way, also when it fails."""

    __slots__ = ("history", "plan", "started", "task")

    def __init__(self, task: Dispatch, started: float) -> None:
        self.task = task
        self.started = started
        self.plan: Plan | None = None
        self.history: list[tuple[int, str]] = []


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
