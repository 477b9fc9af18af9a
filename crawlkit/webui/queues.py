"""What the queues between the components hold and how fast that moves, watched while somebody looks [W02, W30].

Unknown is None: the broker is away, or it is one that does not say.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from crawlkit import __version__
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import CrawlkitError, QueueError
from crawlkit.libs.messages import (
    FETCHER2PROCESSOR,
    NEWTASK_QUEUE,
    PROCESSOR2RESULT,
    SCHEDULER2FETCHER,
    STATUS_QUEUE,
    Heartbeat,
    encode,
    queue_names,
)
from crawlkit.libs.vitals import Vitals
from crawlkit.message_queue.base import Broker, QueueFlow
from crawlkit.webui.services import Services

log = logging.getLogger("webui")

LOOK = 1.0  # seconds between looks while somebody watches
WATCHED = 10.0  # seconds that a watcher is remembered
BEAT = 2.0  # seconds between heartbeats
ANSWER = 3.0  # seconds a broker has for an answer
SPAN = 5.0  # seconds over which rates are taken

#: The ring: (queue, who puts, who takes). The status queues of further partitions come after it.
RING = (
    (NEWTASK_QUEUE, "api", "scheduler"),
    (SCHEDULER2FETCHER, "scheduler", "fetcher"),
    (FETCHER2PROCESSOR, "fetcher", "processor"),
    (PROCESSOR2RESULT, "processor", "result_worker"),
    (STATUS_QUEUE, "workers", "scheduler"),
)


class QueueState(Struct):
    """One queue, as far as it is known."""

    name: str
    source: str
    """Who puts into it."""
    target: str
    """Who takes from it."""
    messages: int | None = None
    bytes: int | None = None
    unacked: int | None = None
    """Of the messages, those that somebody has in hand."""
    dead: int | None = None
    """Messages that were put aside because they cannot be handled."""
    max_messages: int | None = None
    """0: no bound."""
    max_bytes: int | None = None
    rate_in: float | None = None
    """Messages a second that came, in the last seconds."""
    rate_out: float | None = None
    """Messages a second that went for good, in the last seconds."""


Sample = tuple[float, dict[str, QueueFlow]]  # (monotonic time, what every queue said)


def states(samples: list[Sample]) -> list[QueueState]:
    """The queues now, their rates by the oldest sample. Pure."""
    found = [QueueState(*edge) for edge in RING]
    if not samples:
        return found
    (began, before), (now, after) = samples[0], samples[-1]
    found += [QueueState(name, "workers", "scheduler") for name in queue_names(after)[len(RING) :]]
    for state in found:
        flow = after.get(state.name)
        if flow is None:  # nobody used it yet: the server makes it then
            state.messages = state.bytes = state.unacked = state.dead = 0
            state.rate_in = state.rate_out = 0.0
            continue
        for name in ("messages", "bytes", "unacked", "dead", "max_messages", "max_bytes"):
            setattr(state, name, getattr(flow, name))
        old = before.get(state.name)
        came = flow.put - (old.put if old is not None else 0)
        if now > began and came >= 0:  # it is less when the server was started anew
            grown = flow.messages - (old.messages if old is not None else 0)
            state.rate_in = came / (now - began)
            state.rate_out = max(0.0, (came - grown) / (now - began))
    return found


class QueueWatch:
    """Asks the broker from a thread of its own, and says by heartbeats that this web UI is there."""

    def __init__(self, connect: Callable[[], Broker], clock: Clock, node: str) -> None:
        self._connect = connect
        self._clock = clock
        self._node = node
        self._samples: list[Sample] = []
        self._asked = float("-inf")
        self._wake = threading.Event()
        self._fresh = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="queues", daemon=True)
        self._abandon: Callable[[], object] | None = None  # while the broker is sought: gives it up
        self.problem = "they have not answered yet"
        """Why nothing is known, in words."""

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Says good-bye to the broker."""
        self._stopping.set()
        self._wake.set()
        abandon = self._abandon
        if abandon is not None:
            with contextlib.suppress(RuntimeError):  # its loop has ended meanwhile
                abandon()
        if self._thread.is_alive():
            self._thread.join(2 * ANSWER)

    def look(self) -> list[QueueState]:
        """The queues, at most a second old. Waits a moment when nobody has looked for a while."""
        now = self._clock.monotonic()
        idle = now - self._asked > WATCHED
        self._asked = now
        if idle and self._thread.is_alive():
            self._fresh.clear()
            self._wake.set()
            self._fresh.wait(2 * LOOK)
        return states(list(self._samples))

    # -- in the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._watch())

    async def _sought(self, broker: Broker) -> None:
        """Connects; :meth:`close` need not wait for that."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._abandon = functools.partial(loop.call_soon_threadsafe, task.cancel)
        try:
            if not self._stopping.is_set():
                await broker.connect()
        finally:
            self._abandon = None

    async def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._with(self._connect())
            except (CrawlkitError, OSError, TimeoutError) as error:
                self._lost(str(error))
            if self._stopping.is_set():
                return
            await asyncio.to_thread(self._wake.wait, LOOK)
            self._wake.clear()

    def _lost(self, words: str) -> None:
        if words and words != self.problem:
            log.debug("queues: %s", words)
        self.problem, self._samples = words or "the broker does not answer", []
        self._fresh.set()

    async def _with(self, broker: Broker) -> None:
        """Until the broker is gone."""
        started, vitals, next_beat = self._clock.time(), Vitals(), float("-inf")
        await self._sought(broker)
        try:
            while not self._stopping.is_set():
                now = self._clock.monotonic()
                watched = now - self._asked <= WATCHED
                if now >= next_beat:
                    next_beat, watched = now + BEAT, True  # one of these, so that the first look has rates
                    await self._beat(broker, started, vitals.look())
                if watched:
                    await self._sample(broker)
                await asyncio.to_thread(self._wake.wait, LOOK)
                self._wake.clear()
            await self._beat(broker, started, {}, stopping=True)
        finally:
            await broker.close()

    async def _sample(self, broker: Broker) -> None:
        flows: Any = getattr(broker, "flows", None)
        if flows is None:
            self.problem, self._samples = "this broker does not say what its queues hold", []
            self._fresh.set()
            return
        found = flows()
        if asyncio.iscoroutine(found):
            async with asyncio.timeout(ANSWER):
                found = await found
        now = self._clock.monotonic()
        recent = [one for one in self._samples if now - one[0] <= SPAN]
        self._samples = [*(recent or self._samples[-1:]), (now, found)]
        self.problem = ""
        self._fresh.set()

    async def _beat(self, broker: Broker, started: float, stats: dict[str, float], *, stopping: bool = False) -> None:
        beat = Heartbeat(
            self._node, "webui", socket.gethostname(), os.getpid(), __version__, started, stats=stats, stopping=stopping
        )
        with contextlib.suppress(QueueError, TimeoutError):  # full or away: the next one says the same
            async with asyncio.timeout(2 * ANSWER):
                await broker.queue(STATUS_QUEUE).put_many([encode(beat)], ANSWER)


def watch_of(services: Services) -> QueueWatch | None:
    """The server's watch; None when it was built without queues."""
    found: QueueWatch | None = services.extra.get("queues")
    return found


def queue_sizes(services: Services) -> list[QueueState]:
    """Every queue of the ring in its order, what is unknown as None."""
    watch = watch_of(services)
    return watch.look() if watch is not None else states([])
