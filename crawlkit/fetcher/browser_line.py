"""Asks a browser service, with patience while the job waits in line there, and with none for a service that is stuck.

A service of crawlkit's own says now and then that it lives, and when it begins with the page: from then on the page's
time runs. One that says nothing of the kind has that time for everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import replace

import msgspec

from crawlkit.fetcher.curl import Answer, Engine
from crawlkit.fetcher.limits import Body, Inflight
from crawlkit.fetcher.request import Plan
from crawlkit.libs.browser_job import BEGUN, SERVER
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import FetchError

FIRST_SIGN = 30.0  # seconds for the first sign of life of a service that gave some before; it may be starting
SILENCE = 10.0  # seconds without a sign after which a service is stuck
PAUSE = 60.0  # the same within an answer, which waits here when there are many large ones
GRACE = 3.0  # seconds over a page's limit for an answer of a service that lives
LOOK = 0.5  # seconds between looks at what was heard
RETRY = (0.5, 5.0)  # seconds, at least and at most, before a service is asked again
AGAIN = 4  # more times that a job is asked whose service ended before it began with it: it may be started again
START = "start one with `crawlkit browser`, or name another by CRAWLKIT_FETCHER_BROWSER_ENDPOINT"
_BLANKS = b" \t\r\n"
_AWAY = frozenset({"connect", "connect_timeout", "dns"})
_DIED = frozenset({"reset", "protocol"})


class BrowserLine:
    """Sends jobs to services over ``engine``. ``patience``: seconds that a job may wait in line."""

    def __init__(self, engine: Callable[[], Engine], clock: Clock, patience: float) -> None:
        self._engine = engine
        self._clock = clock
        self._patience = patience
        self._ours: set[str] = set()  # services that gave signs of life
        self.waiting = 0  # jobs that wait in a line, as the service says
        self.on_waiting: Callable[[], None] | None = None  # called when there is one more

    async def ask(self, plan: Plan) -> Answer:
        """The answer of the service; its status is 200 when it is one of crawlkit's own.

        ``plan.timeout``: seconds for the page. Raises :class:`FetchError`: ``no_browser``, ``timeout``, ``crashed``.
        """
        where, since = plan.url.wire, self._clock.monotonic()
        while True:
            answer = await self._asked(plan, since)
            if not (answer.header("server") or "").startswith(SERVER):
                return answer
            self._ours.add(where)
            if answer.status == 200:
                return answer
            words = _words(answer)
            if answer.status != 503:
                kind = "bad_request" if answer.status == 400 else "no_browser"
                raise FetchError(kind, f"the browser service at {where} says {answer.status}: {words}")
            if self._clock.monotonic() - since > self._patience:
                raise FetchError("no_browser", f"the browser service at {where} had no room for"
                                               f" {self._patience:g} s: {words}")  # fmt: skip
            await asyncio.sleep(_delay(answer.header("retry-after")))

    async def _asked(self, plan: Plan, since: float) -> Answer:
        """What a service answers that may be started anew meanwhile. No page that it began with is asked for twice."""
        where, ended = plan.url.wire, 0
        while True:
            left = self._patience - (self._clock.monotonic() - since)
            ear = Ear(plan, where in self._ours, left, self._engine().inflight, self._clock.monotonic, self._count)
            try:
                return await self._once(plan, ear)
            except FetchError as error:
                lost = error.kind in _AWAY | _DIED and ear.only_in_line
                if not lost or ended == AGAIN or left <= 0:
                    raise _told(plan, error, ear.only_in_line) from None
            finally:
                ear.leave()
            self._ours.add(where)
            await asyncio.sleep(_between(RETRY[0] * 2**ended))
            ended += 1

    def _count(self, more: int) -> None:
        self.waiting += more
        if more > 0 and self.on_waiting is not None:
            self.on_waiting()

    async def _once(self, plan: Plan, ear: Ear) -> Answer:
        session = self._engine().session()
        longest = ear.patience + plan.timeout + FIRST_SIGN + PAUSE
        sending = asyncio.ensure_future(session.send(replace(plan, timeout=longest, sink=ear)))
        try:
            while not sending.done():
                await asyncio.wait({sending}, timeout=min(max(ear.due() - self._clock.monotonic(), 0.01), LOOK))
                if not sending.done() and ear.due() <= self._clock.monotonic():
                    raise ear.error()
            return sending.result()
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, FetchError):
                await sending
            session.close()


class Ear:
    """Hears what a service says before its answer. A :class:`crawlkit.fetcher.request.Sink`."""

    def __init__(
        self,
        plan: Plan,
        ours: bool,
        patience: float,
        inflight: Inflight,
        now: Callable[[], float],
        count: Callable[[int], None],
    ) -> None:
        """``ours``: it is known that this service gives signs; ``patience``: seconds that the job may wait in line;
        ``count``: told how many more wait."""
        self.patience = max(patience, 1.0)
        self._plan = plan
        self._ours = ours
        self._now = now
        self._inflight = inflight
        self._asked = self._heard = now()
        self._signs = False
        self._begun: float | None = None
        self._answers = False
        self._count = count
        self._waits = False

    def begin(self, url: str, status: int, headers: list[tuple[str, str]]) -> Body | None:
        server = next((value for name, value in headers if name.lower() == "server"), "")
        self._signs = self._ours = server.startswith(SERVER)
        return _Heard(self._plan.max_body, self._inflight, self.hear)

    def hear(self, blanks: bytes, answer: bool) -> None:
        """Something came: ``blanks`` before the answer, or some of the answer itself."""
        self._heard = self._now()
        self._answers = answer
        if self._begun is None and BEGUN in blanks:
            self._begun = self._heard
        if answer or self._begun is not None:
            self.leave()
        elif self._signs and not self._waits:
            self._waits = True
            self._count(1)

    def leave(self) -> None:
        """It waits in line no more."""
        if self._waits:
            self._waits = False
            self._count(-1)

    @property
    def only_in_line(self) -> bool:
        """Whether it is a service that says when it begins, and did not say so."""
        return self._ours and self._begun is None and not self._answers

    def due(self) -> float:
        """When something has to have come, if there is to be an answer."""
        if not self._signs:
            first = FIRST_SIGN if self._ours else self._plan.timeout + GRACE
            return self._asked + first if not self._answers else self._heard + PAUSE
        if self._answers:
            return self._heard + PAUSE
        silent = self._heard + SILENCE
        if self._begun is not None:
            return min(silent, self._begun + self._plan.timeout + GRACE)
        return min(silent, self._asked + self.patience)

    def error(self) -> FetchError:
        """Why there is none."""
        where, now = self._plan.url.wire, self._now()
        if not self._ours or (self._begun is not None and now - self._heard < SILENCE):
            return FetchError("timeout", f"Operation timed out after {self._plan.timeout:g} seconds")
        if self._signs and now - self._heard < SILENCE:
            return FetchError("no_browser", f"waited {self.patience:g} s in the line of the browser service at {where}")
        return FetchError("no_browser", f"the browser service at {where} is stuck: it said nothing for"
                                        f" {now - self._heard:.0f} s")  # fmt: skip


class _Heard(Body):
    """An answer without the blanks before it."""

    __slots__ = ("_begun", "_hear")

    def __init__(self, limit: int, inflight: Inflight, hear: Callable[[bytes, bool], None]) -> None:
        super().__init__(limit, inflight)
        self._hear = hear
        self._begun = False

    def write(self, chunk: bytes) -> None:
        if not self._begun:
            rest = chunk.lstrip(_BLANKS)
            self._begun = bool(rest)
            self._hear(chunk[: len(chunk) - len(rest)], self._begun)
            chunk = rest
        else:
            self._hear(b"", True)
        if chunk:
            super().write(chunk)


def _told(plan: Plan, error: FetchError, only_in_line: bool) -> FetchError:
    """Libcurl's words are about the page otherwise."""
    where = plan.url.wire
    if error.kind in _AWAY:
        return FetchError("no_browser", f"the browser service at {where} does not answer ({error}): {START}")
    if error.kind in _DIED and only_in_line:
        return FetchError("no_browser", f"the browser service at {where} ended again and again before it began with"
                                        f" the page ({error})")  # fmt: skip
    if error.kind in _DIED:
        return FetchError("crashed", f"the browser service at {where} ended while it had the page ({error})")
    return error


def _words(answer: Answer) -> str:
    body = answer.body.content()
    answer.body.drop()
    with contextlib.suppress(msgspec.MsgspecError):
        return str(msgspec.json.decode(body, type=dict[str, str]).get("error", ""))[:500]
    return body[:200].decode("utf-8", "replace")


def _delay(retry_after: str | None) -> float:
    """Seconds."""
    return _between(float(retry_after) if retry_after and retry_after.isdecimal() else 0.0)


def _between(seconds: float) -> float:
    """Within limits, and not the same for all who were sent away at once."""
    least, most = RETRY
    return min(max(seconds, least), most) * random.uniform(0.5, 1.5)
