"""The sinks of a result worker: a thread for each, and one that says that they live. Errors end none of them."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from typing import Any, Protocol

from crawlkit.libs.clock import SystemClock
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.result.sink_follower import FIRST_DELAY, LAST_DELAY, LEASE, SinkFollower

log = logging.getLogger("crawlkit.sinks")

STOP_WITHIN = 3.0  # seconds in which a stop writes what waits; the rest is written by the next process


class Service(Protocol):
    """What sinks are run beside."""

    async def run(self) -> None: ...

    async def stop(self) -> None: ...


class SinkThreads:
    """Serves sinks from :meth:`start` to :meth:`stop`. The threads end with the process, whatever they do."""

    def __init__(self, followers: Sequence[SinkFollower]) -> None:
        self._followers = list(followers)
        self._stop = threading.Event()
        self._deadline = 0.0  # monotonic
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for follower in self._followers:
            self._begin(lambda follower=follower: self._serve(follower))
        self._begin(self._keep)

    def names(self) -> list[str]:
        """The sinks, as they are shown."""
        return [follower.url.shown for follower in self._followers]

    def stop(self, timeout: float = STOP_WITHIN) -> None:
        """Writes what waits, and lets go of the sinks; at most for ``timeout`` seconds. Blocks."""
        self._deadline = SystemClock.monotonic() + timeout
        self._stop.set()
        for thread in self._threads:
            thread.join(max(0.0, self._deadline - SystemClock.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            log.info("a sink did not end in time: the next process goes on with it")

    def _begin(self, work: Any) -> None:
        thread = threading.Thread(target=work, name="crawlkit-sink", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self, follower: SinkFollower) -> None:
        delay, failures = 0.0, 0
        while not self._stop.wait(delay):
            try:
                delay = follower.look()
                if failures:
                    log.info("sink %s: the resultdb answers again", follower.url.shown)
                failures = 0
            except Exception as error:  # the resultdb is away, or a mistake of ours: the crawl goes on without files
                level = logging.DEBUG if failures else logging.WARNING
                log.log(level, "sink %s waits: %s", follower.url.shown, _said(error))
                log.debug("sink %s", follower.url.shown, exc_info=error)
                delay = min(LAST_DELAY, FIRST_DELAY * 2 ** min(failures, 10))
                failures += 1
        try:
            while SystemClock.monotonic() < self._deadline and follower.look(to_the_end=True) <= 0:
                pass
            follower.let_go()
        except Exception as error:
            log.info("sink %s: what waits is written by the next process: %s", follower.url.shown, _said(error))

    def _keep(self) -> None:
        while not self._stop.wait(LEASE / 3):
            for follower in self._followers:
                with contextlib.suppress(StoreUnavailable):
                    follower.renew()


class WithSinks:
    """A service, and sinks beside it."""

    def __init__(self, service: Service, sinks: SinkThreads) -> None:
        self._service = service
        self._sinks = sinks

    async def run(self) -> None:
        """Runs both until the service ends."""
        self._sinks.start()
        try:
            await self._service.run()
        finally:
            self._sinks.stop()  # blocks: nothing else is left to be done

    async def stop(self) -> None:
        """Stops the service; what waits is written then."""
        await self._service.stop()


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, StoreUnavailable) else f"{type(error).__name__}: {text}"
