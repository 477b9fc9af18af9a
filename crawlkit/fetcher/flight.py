"""A fetch without a coroutine: one answer is its end in nearly all cases, and nothing is awaited on the way.

What leads further (a redirect, a body for the blob store) goes on in an asyncio task, by the code of all other fetches.
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from crawlkit.fetcher import cookie_jar, request
from crawlkit.fetcher import url as urls
from crawlkit.fetcher.curl import Answer, Session, Transfer
from crawlkit.fetcher.redirects import STATUSES
from crawlkit.fetcher.request import Plan
from crawlkit.fetcher.url import Url
from crawlkit.libs.errors import FetchError
from crawlkit.libs.messages import MAX_INLINE_BODY, Dispatch, Fetched

if TYPE_CHECKING:
    from crawlkit.fetcher.fetch import Fetcher

Landed = Callable[[Fetched], None]


class Trip:
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


class Flight:
    """``plan``: whose options hold; its URL may be missing. ``done`` is told the answer, once; not when cancelled."""

    __slots__ = ("_crawl_delay", "_done", "_fetcher", "_plan", "_rest", "_started", "_task", "_transfer", "_url")

    def __init__(
        self,
        fetcher: Fetcher,
        task: Dispatch,
        plan: Plan,
        url: Url,
        started: float,
        crawl_delay: float | None,
        done: Landed,
    ) -> None:
        self._fetcher = fetcher
        self._task = task
        self._plan = plan
        self._url = url
        self._started = started
        self._crawl_delay = crawl_delay
        self._done = done
        self._transfer: Transfer | None = None
        self._rest: asyncio.Task[None] | None = None

    def start(self, dress: object) -> None:
        """Raises :class:`FetchError`. ``dress``: see :class:`Transfer`."""
        engine = self._fetcher.engine
        transfer = engine.take()
        try:
            transfer.start(self._plan, self._url, self._landed, dress)
        except FetchError:
            transfer.release()
            raise
        self._transfer = transfer

    def cancel(self) -> None:
        """Breaks it off. Harmless when it is over."""
        if self._rest is not None:
            self._rest.cancel()
        elif self._transfer is not None:
            self._transfer.cancel()
            self._transfer.release()
            self._transfer = None

    def _landed(self, end: Answer | FetchError) -> None:
        transfer, self._transfer = self._transfer, None
        assert transfer is not None
        fetcher = self._fetcher
        if isinstance(end, FetchError):
            transfer.release()
            self._finish(fetcher.failed(self._task, self._trip(), self._started, end))
        elif (end.status in STATUSES and self._plan.follow) or (
            end.body.size > MAX_INLINE_BODY and fetcher.blobs is not None
        ):
            session = Session(transfer.engine, transfer)
            self._rest = asyncio.create_task(self._go_on(end, session))
            fetcher.later.add(self._rest)
            self._rest.add_done_callback(lambda rest: self._over(rest, end, session))
        else:
            fetched = self._fetched(end, transfer)
            transfer.release()
            self._finish(fetched)

    def _fetched(self, answer: Answer, transfer: Transfer) -> Fetched:
        fetcher, plan, body = self._fetcher, self._plan, answer.body
        size, content = body.size, body.content()
        body.drop()
        transfer.engine.room_made()
        return Fetched(
            task=self._task,
            status_code=answer.status,
            url=self._url.full,
            orig_url=self._task.url,
            headers=answer.headers,
            cookies=request.sent_cookies(plan) | cookie_jar.values(transfer.cookies()),
            time=fetcher.clock.monotonic() - self._started,
            error=status_error(answer.status, answer.reason),
            node=fetcher.node,
            size=size,
            content=content,
        )

    def _finish(self, fetched: Fetched) -> None:
        fetched.crawl_delay = self._crawl_delay
        self._done(fetched)

    def _trip(self) -> Trip:
        trip = Trip(replace(self._plan, url=self._url), self._started)
        trip.crawl_delay = self._crawl_delay
        return trip

    def _over(self, rest: asyncio.Task[None], answer: Answer, session: Session) -> None:
        """Clears up, also behind one that was cancelled before it began."""
        self._fetcher.later.discard(rest)
        answer.body.drop()
        session.close()

    async def _go_on(self, answer: Answer, session: Session) -> None:
        """From the first answer to the end."""
        fetcher, trip = self._fetcher, self._trip()
        try:
            last = await fetcher.travel(trip, session, answer)
            fetched = await fetcher.answered(self._task, trip, last, session)
        except FetchError as error:
            fetched = fetcher.failed(self._task, trip, self._started, error)
        except Exception as error:  # whatever it is, it must become this task's answer
            told = FetchError("internal", f"{type(error).__name__}: {error}")
            fetched = fetcher.failed(self._task, trip, self._started, told)
        self._finish(fetched)


def status_error(status: int, reason: str) -> str | None:
    """``HTTP 404: Not Found`` [F05]; HTTP/2 has no reasons, so the usual one stands in. ``None``: it is none."""
    if 200 <= status < 300:
        return None
    if not reason:
        try:
            reason = http.HTTPStatus(status).phrase
        except ValueError:
            reason = "Unknown"
    return f"HTTP {status}: {reason}"
