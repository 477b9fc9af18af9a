"""Shows on stderr what callbacks print and log, and the tracebacks of those that raise, while outcomes pass by.

Looks at what the processor sends and changes nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from crawlkit.libs.errors import BadMessage
from crawlkit.libs.messages import (
    INFO,
    NIL,
    PROCESSOR2RESULT,
    OutcomeForStore,
    TrackProcess,
    decode,
    status_partition,
)

if TYPE_CHECKING:
    from crawlkit.message_queue.base import Broker, DeadLetter, Delivery, MessageQueue, QueueSize

SAME = 3  # times the same text is shown
REMEMBERED = 1_000  # texts
QUIET = frozenset({"fetch_error"})  # the summary tells these

_track = msgspec.msgpack.Decoder(TrackProcess)


class Echo:
    """Decides what is shown, and shows it."""

    def __init__(self, write: Callable[[str], None], failures: bool = True) -> None:
        self._write = write
        self._failures = failures
        self._seen: dict[int, int] = {}

    def look(self, bodies: Sequence[bytes]) -> None:
        """Shows the logs in outcomes, the same text only a few times."""
        for body in bodies:
            try:
                outcome: OutcomeForStore = decode(body, OutcomeForStore)
            except BadMessage:
                continue  # a heartbeat
            if outcome.process == NIL:
                continue
            track = _track.decode(outcome.process)
            if track.logs and track.reason not in QUIET and (track.ok or self._failures):
                self._show(outcome, track.logs)

    def _show(self, outcome: OutcomeForStore, logs: str) -> None:
        mine = hash((outcome.project, outcome.taskid, outcome.run, logs))
        if mine in self._seen:
            return  # another try that ended like the one before
        self._seen[mine] = 1
        key = hash((outcome.project, logs))
        count = self._seen[key] = self._seen.get(key, 0) + 1
        if len(self._seen) > REMEMBERED:
            self._seen.clear()
        if count <= SAME:
            again = " (shown no more)" if count == SAME else ""
            where = "" if outcome.kind == INFO else f" {outcome.url}"
            self._write(f"{outcome.project}{where}{again}\n{logs.rstrip()}")


class EchoingQueue:
    """A queue that lets an :class:`Echo` look at what is put."""

    def __init__(self, queue: MessageQueue, echo: Echo) -> None:
        self.name = queue.name
        self._queue = queue
        self._echo = echo

    async def put_many(self, bodies: Sequence[bytes], timeout: float | None = None) -> None:
        self._echo.look(bodies)
        await self._queue.put_many(bodies, timeout)

    async def get_many(self, limit: int, timeout: float | None = None) -> list[Delivery]:
        return await self._queue.get_many(limit, timeout)

    async def ack(self, ids: Sequence[int]) -> None:
        await self._queue.ack(ids)

    async def nack(self, ids: Sequence[int]) -> None:
        await self._queue.nack(ids)

    async def reject(self, ids: Sequence[int], reason: str) -> None:
        await self._queue.reject(ids, reason)

    async def dead(self, limit: int = 100) -> list[DeadLetter]:
        return await self._queue.dead(limit)

    async def size(self) -> QueueSize:
        return await self._queue.size()

    def room(self) -> int:
        return self._queue.room()

    async def wait_room(self, timeout: float | None = None) -> int:
        return await self._queue.wait_room(timeout)

    async def purge(self) -> int:
        return await self._queue.purge()


class Echoing:
    """A broker as the processor of `one` sees it: its two ways out are looked at."""

    def __init__(self, broker: Broker, write: Callable[[str], None], *, failures: bool = True) -> None:
        self._broker = broker
        self._echo = Echo(write, failures)

    def queue(self, name: str) -> MessageQueue:
        queue = self._broker.queue(name)
        if name == PROCESSOR2RESULT or status_partition(name) is not None:
            return EchoingQueue(queue, self._echo)
        return queue

    async def connect(self) -> None:
        await self._broker.connect()

    async def epoch(self) -> str:
        return await self._broker.epoch()

    async def close(self) -> None:
        await self._broker.close()
