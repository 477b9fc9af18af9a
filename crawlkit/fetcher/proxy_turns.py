"""Which proxy of a task's list has the next turn, and which have to cool off because they failed.

Pure: no I/O, no clock (``now`` is an argument), nothing about how a proxy is spoken to. One object per process.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from crawlkit.libs.proxy import Proxy

FIRST_PAUSE = 30.0  # seconds after the first failure; doubled with each that follows
LONGEST_PAUSE = 600.0
FAILURES = frozenset({"connect", "connect_timeout", "proxy"})  # kinds of errors that are held against a proxy
PROXY_AUTHENTICATION_REQUIRED = 407
MOST_LISTS = 1_000  # lists whose turn is remembered; the one not used for longest goes first
MOST_PROXIES = 10_000  # failing proxies that are remembered, likewise


class _Bad(NamedTuple):
    """Ordered by badness."""

    failures: int  # in a row
    until: float  # cooling off
    since: float  # the last failure


class ProxyTurns:
    """Every list takes turns by itself; a failure counts for all lists that the proxy is in."""

    __slots__ = ("_bad", "_next")

    def __init__(self) -> None:
        self._next: OrderedDict[tuple[Proxy, ...], int] = OrderedDict()
        self._bad: OrderedDict[Proxy, _Bad] = OrderedDict()

    def choose(self, proxies: Sequence[Proxy], now: float) -> Proxy:
        """The next of these (at least one) that is not cooling off.

        When all are: the one with the fewest failures in a row, of those the one that is ready first.
        """
        pool = tuple(proxies)
        start = self._next.get(pool, 0)
        count = len(pool)
        for step in range(count):
            place = (start + step) % count
            if pool[place] not in self._bad or self._bad[pool[place]].until <= now:
                break
        else:
            place = min(range(count), key=lambda one: self._bad[pool[one]])
        self._next[pool] = (place + 1) % count
        self._next.move_to_end(pool)
        while len(self._next) > MOST_LISTS:
            self._next.popitem(last=False)
        return pool[place]

    def ended(self, proxy: Proxy, status_code: int, error_kind: str | None, started: float, now: float) -> None:
        """A fetch over ``proxy`` that began at ``started`` ended like this: held against it, or all is forgiven.

        What says nothing about the proxy (a time-out of the whole fetch, a page that is too large) changes nothing.
        A hundred fetches that fail together are one failure: what had begun before the last one is not counted.
        """
        if error_kind in FAILURES or (error_kind is None and status_code == PROXY_AUTHENTICATION_REQUIRED):
            known = self._bad.get(proxy)
            if known is None or started >= known.since:
                self._fail(proxy, 1 if known is None else known.failures + 1, now)
        elif error_kind is None:
            self._bad.pop(proxy, None)

    def _fail(self, proxy: Proxy, failures: int, now: float) -> None:
        pause = min(FIRST_PAUSE * 2.0 ** min(failures - 1, 30), LONGEST_PAUSE)
        self._bad[proxy] = _Bad(failures, now + pause, now)
        self._bad.move_to_end(proxy)
        while len(self._bad) > MOST_PROXIES:
            self._bad.popitem(last=False)
