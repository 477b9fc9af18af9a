"""Remembers the rules of origins, bounded in number and time; tasks that ask at once share one fetch.

Does not fetch by itself: it is given a loader. Does not decide what rules mean: libs.robots does.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable

from crawlkit.fetcher.proxy_turns import FAILURES
from crawlkit.fetcher.request import Plan
from crawlkit.fetcher.url import Url
from crawlkit.libs.errors import FetchError
from crawlkit.libs.robots import Rules, rules_of

Load = Callable[[Plan], Awaitable[tuple[int, bytes]]]  # the plan of a task -> status and body of its robots.txt

MAX_LINE = 200  # characters of the line that forbids
LARGE = 16_384  # bytes of rules that are not read in the loop
MAX_BYTES = 16 * 2**20  # of rules remembered, as text; parsed they take some ten times as much
#: A fetch that ends like this means that there is no robots.txt (RFC 9309, 2.3.1.2 and 2.3.1.3); any other way to
#: fail means that it cannot be reached (2.3.1.4), which refuses everything.
ABSENT = frozenset({"redirects", "bad_redirect"})


class RobotsCache:
    """``ttl`` seconds for rules that were read, ``error_ttl`` for an origin that could not be reached."""

    def __init__(self, load: Load, now: Callable[[], float], ttl: float, error_ttl: float, size: int) -> None:
        self._load = load
        self._now = now
        self._ttl = ttl
        self._error_ttl = error_ttl
        self._size = size
        self._known: OrderedDict[Hashable, tuple[float, Rules]] = OrderedDict()
        self._bytes = 0  # of all rules that are known
        self._coming: dict[Hashable, asyncio.Task[Rules]] = {}

    async def crawl_delay(self, plan: Plan) -> float:
        """The Crawl-delay in seconds, 0 when there is none. Raises as :meth:`check`, but for what is forbidden."""
        return (await self._rules(plan)).crawl_delay(plan.user_agent) or 0.0

    async def check(self, plan: Plan) -> None:
        """Raises :class:`FetchError` of kind ``robots`` (status 403) when the rules forbid this request."""
        rules = await self._rules(plan)
        ask = rules.allows
        url, agent = plan.url.wire, plan.user_agent
        # Tens of thousands of rules are a matter of a tenth of a second: not for the loop.
        if not (ask(url, agent) if rules.size < LARGE else await asyncio.to_thread(ask, url, agent)):
            line = await asyncio.to_thread(rules.refused_by, url, agent)
            named = "" if line is None else f", line {line[0]}: {line[1][:MAX_LINE]}"
            raise FetchError("robots", f"Disallowed by robots.txt{named}", 403)

    def known(self, plan: Plan, url: Url) -> Rules | None:
        """Those for ``url``, asked as ``plan`` says, if they are at hand and quick to look at."""
        rules = self._look_up(_key(plan, url))
        return rules if rules is not None and rules.size < LARGE else None

    def _look_up(self, key: Hashable) -> Rules | None:
        found = self._known.get(key)
        if found is None or self._now() >= found[0]:
            return None
        self._known.move_to_end(key)
        return found[1]

    async def _rules(self, plan: Plan) -> Rules:
        key = _key(plan, plan.url)
        rules = self._look_up(key)
        if rules is not None:
            return rules
        task = self._coming.get(key)
        if task is None:
            task = self._coming[key] = asyncio.create_task(self._fetch(key, plan))
        return await asyncio.shield(task)  # one task that gives up must not take the answer from the others

    async def _fetch(self, key: Hashable, plan: Plan) -> Rules:
        ttl = self._ttl
        try:
            status, body = await self._load(plan)
            # In a thread, for half a megabyte of rules takes long to read.
            rules = rules_of(status, body) if len(body) < LARGE else await asyncio.to_thread(rules_of, status, body)
            if status >= 500:
                ttl = self._error_ttl
        except FetchError as error:
            if plan.proxy_pool and error.kind in FAILURES:
                raise  # says something about this proxy of the list and nothing about the origin
            absent = error.kind in ABSENT
            rules = Rules.allow_all() if absent else Rules.refuse_all()
            ttl = self._ttl if absent else self._error_ttl
        finally:
            del self._coming[key]
        self._keep(key, ttl, rules)
        return rules

    def _keep(self, key: Hashable, ttl: float, rules: Rules) -> None:
        before = self._known.pop(key, None)
        if before is not None:
            self._bytes -= before[1].size
        self._known[key] = (self._now() + ttl, rules)
        self._bytes += rules.size
        while len(self._known) > self._size or (self._bytes > MAX_BYTES and len(self._known) > 1):
            _, (_, gone) = self._known.popitem(last=False)
            self._bytes -= gone.size

    async def close(self) -> None:
        """Breaks off what is being fetched."""
        tasks = list(self._coming.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _key(plan: Plan, url: Url) -> Hashable:
    return url.origin, plan.proxy_pool or plan.proxy, plan.validate_cert
