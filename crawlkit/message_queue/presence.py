"""How a process says that it takes part: its heartbeats, what it uses, and whether it takes work now.

A thin shell: measures, asks the gate, and puts the heartbeat into the status queues of all whose work it ever got.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterable, Sequence

from crawlkit import __version__
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import QueueError
from crawlkit.libs.load import Gate, Limits, Load
from crawlkit.libs.messages import Heartbeat, encode
from crawlkit.libs.pulse import Pulse
from crawlkit.libs.vitals import Vitals
from crawlkit.message_queue.base import MessageQueue
from crawlkit.message_queue.status_queues import StatusQueues

log = logging.getLogger("crawlkit")

BEAT = 2.0  # seconds between heartbeats at most
LOOK = 1.0  # the same, of a node with limits

Attempt = tuple[str, str, int, int]  # (project, taskid, run, attempt)


class Presence:
    """One per process. ``held``: the attempts in its hands; ``stats``: what it counts; ``pids``: its workers.

    ``moved``: bytes that it took from and gave to the network so far; ``inflight``: bytes in its hands; ``turned`` is
    called when it pauses or goes on.
    """

    def __init__(
        self,
        queues: StatusQueues,
        clock: Clock,
        node: str,
        role: str,
        *,
        every: float = BEAT,
        limits: Limits | None = None,
        held: Callable[[], Iterable[Attempt]] = tuple,
        stats: Callable[[], dict[str, float]] = dict,
        pids: Callable[[], Iterable[int]] = tuple,
        moved: Callable[[], tuple[int, int]] | None = None,
        inflight: Callable[[], int] = int,
        turned: Callable[[], None] = bool,  # type: ignore[assignment]
    ) -> None:
        self._queues = queues
        self._clock = clock
        self._node, self._role = node, role
        self._limits = limits or Limits()
        self._gate = Gate(self._limits)
        self._every = min(every, LOOK) if self._limits.any else every
        self._held, self._stats, self._pids = held, stats, pids
        self._moved, self._inflight, self._turned = moved, inflight, turned
        self._host = socket.gethostname()
        self._started = clock.time()
        self._vitals = Vitals()
        self._pulse = Pulse(self._every)
        self._before = (0, 0)
        self._looked = clock.monotonic()

    @property
    def paused(self) -> bool:
        """Whether it takes no work now."""
        limit = self._limits.inflight
        return bool(self._gate.reason) or (limit is not None and self._inflight() > limit)

    def took(self) -> None:
        """Work was taken: whose it is shall be known soon."""
        self._pulse.hasten()

    async def run(self) -> None:
        """Heartbeats, until cancelled."""
        while True:
            await self.beat()
            await self._pulse.next()

    async def beat(self, *, stopping: bool = False, timeout: float | None = None) -> None:
        """One heartbeat; one that does not get through is followed by the next, which says the same."""
        said, wait = self.heartbeat(stopping=stopping), self._every if timeout is None else timeout
        await tell_all(self._queues, [said], wait)

    def heartbeat(self, *, stopping: bool = False) -> bytes:
        """What it says of itself now, for the status queue."""
        stats = {**self._stats(), **self._vitals.look(self._pids())}
        stats |= self._network()
        load = Load(
            stats["cpu"], stats["rss"], stats.get("net_in", 0.0) + stats.get("net_out", 0.0), float(self._inflight())
        )
        if self._gate.look(self._clock.monotonic(), load):
            if self._gate.reason:
                log.warning("takes no work for now: %s", self._gate.reason)
            else:
                log.info("takes work again")
            self._turned()
        return encode(
            Heartbeat(
                self._node, self._role, self._host, os.getpid(), __version__, self._started, list(self._held()),
                stats, stopping, self._gate.reason,
            )
        )  # fmt: skip

    def _network(self) -> dict[str, float]:
        if self._moved is None:
            return {}
        now, moved = self._clock.monotonic(), self._moved()
        passed = now - self._looked
        more = [max(0, new - old) for new, old in zip(moved, self._before, strict=True)]
        self._looked, self._before = now, moved
        rates = [round(n / passed, 1) if passed > 0 else 0.0 for n in more]
        return {"net_in": rates[0], "net_out": rates[1]}


async def tell_all(queues: StatusQueues, bodies: Sequence[bytes], timeout: float) -> None:
    """Puts these into the status queue of each partition of which there is work here; what is full is left out."""

    async def tell(queue: MessageQueue) -> None:
        try:
            await queue.put_many(bodies, timeout)
        except QueueError as error:
            log.debug("no heartbeat: %s", error)

    await asyncio.gather(*(tell(queues.of(partition)) for partition in queues.partitions))
