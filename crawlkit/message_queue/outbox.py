"""Answers on their way to one queue, or to the status queue of each partition: put in batches, in order; who waits for
them is told when the broker has them.

Bounded by its owner, who looks at ``full``. Tries for ever while the broker is away, and says so once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from crawlkit.libs.errors import QueueUnavailable
from crawlkit.message_queue.base import MessageQueue
from crawlkit.message_queue.gathering import ENOUGH, Rest
from crawlkit.message_queue.patience import pause_after
from crawlkit.message_queue.status_queues import StatusQueues

BATCH_MESSAGES = 200
BATCH_BYTES = 4 * 2**20
STUCK = 5.0  # seconds for which a batch waits until nobody seems to take from the queue

T = TypeVar("T")
log = logging.getLogger("crawlkit")


class Outbox(Generic[T]):
    """The way to ``queue``. ``forwarded`` gets what the bodies end that the broker has; ``turned`` is called when the
    queue gets stuck."""

    def __init__(
        self,
        queue: MessageQueue,
        max_messages: int,
        max_bytes: int,
        forwarded: Callable[[list[T]], None],
        turned: Callable[[], object] = bool,
    ) -> None:
        self._queue = queue
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._forwarded = forwarded
        self._turned = turned
        self._entries: deque[tuple[bytes, T | None]] = deque()
        self._bytes = 0
        self.put_bytes = 0
        """Bytes it was ever given."""
        self.stuck = False
        """Whether nothing has gone for a while."""
        self._wake = asyncio.Event()
        self._rest = Rest()
        self._busy = False
        self._under_way = 0  # entries that the broker is given now

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._bytes

    @property
    def full(self) -> bool:
        """Whether its owner should stop adding."""
        return len(self._entries) >= self._max_messages or self._bytes >= self._max_bytes

    @property
    def half_empty(self) -> bool:
        """Whether its owner may go on."""
        return len(self._entries) <= self._max_messages // 2 and self._bytes <= self._max_bytes // 2

    @property
    def empty(self) -> bool:
        """Whether the broker has everything."""
        return not self._entries and not self._busy

    def add(self, body: bytes, ends: T | None) -> None:
        """Sends ``body``; ``ends`` is told when the broker has it."""
        self._entries.append((body, ends))
        self._bytes += len(body)
        self.put_bytes += len(body)
        waiting = len(self._entries)
        if waiting == 1:
            self._wake.set()
        if waiting >= ENOUGH or self.full:
            self._rest.end()

    def drop_oldest(self) -> bool:
        """Gives up the oldest body that is not under way; False: there is none."""
        if len(self._entries) <= self._under_way:
            return False
        self._bytes -= len(self._entries[self._under_way][0])
        del self._entries[self._under_way]
        return True

    def left(self) -> list[bytes]:
        """What the broker may not have."""
        return [body for body, _ in self._entries]

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._entries:
                self._busy = True
                timer = loop.call_later(STUCK, self._stick)
                batch = self._batch()
                try:
                    await self._put(batch)
                finally:
                    timer.cancel()
                self._busy = False
                if len(self._entries) < ENOUGH and not self.full:
                    await self._rest.after(len(batch))

    def _batch(self) -> list[bytes]:
        bodies: list[bytes] = []
        size = 0
        for body, _ in self._entries:
            if bodies and (len(bodies) >= BATCH_MESSAGES or size + len(body) > BATCH_BYTES):
                break
            bodies.append(body)
            size += len(body)
        self._under_way = len(bodies)
        return bodies

    async def _put(self, bodies: list[bytes]) -> None:
        misses = 0
        while True:
            try:
                await self._queue.put_many(bodies)
                break
            except QueueUnavailable as error:
                # Those that were put before the break come twice, which does no harm.
                if not misses:
                    log.warning("%s: %s; what goes there waits", self._queue.name, error)
                misses += 1
                await asyncio.sleep(pause_after(misses))
        self._under_way = 0
        ended: list[T] = []
        for _ in bodies:
            body, ends = self._entries.popleft()
            self._bytes -= len(body)
            if ends is not None:
                ended.append(ends)
        if self.stuck:
            self.stuck = False
            log.warning("%s takes messages again", self._queue.name)
        self._forwarded(ended)

    def _stick(self) -> None:
        self.stuck = True
        log.warning(
            "%s has taken nothing for %g s, as if nobody read it: %d messages wait for it, others go on",
            self._queue.name, STUCK, len(self),
        )  # fmt: skip
        self._turned()


class StatusOutboxes(Generic[T]):
    """An outbox for the status queue of each partition, with these bounds each; a stuck one is in nobody's way."""

    def __init__(
        self,
        queues: StatusQueues,
        max_messages: int,
        max_bytes: int,
        forwarded: Callable[[list[T]], None],
        turned: Callable[[], object] = bool,
    ) -> None:
        self._queues = queues
        self._bounds = (max_messages, max_bytes)
        self._forwarded = forwarded
        self._turned = turned
        self._boxes: dict[int, Outbox[T]] = {}
        self._opened = asyncio.Event()

    def of(self, partition: int) -> Outbox[T]:
        """The way to a partition; it is made when it is first needed."""
        box = self._boxes.get(partition)
        if box is None:
            box = Outbox(self._queues.of(partition), *self._bounds, self._forwarded, self._turned)
            self._boxes[partition] = box
            self._opened.set()
        return box

    def blocked(self, partition: int) -> bool:
        """Whether its owner should add nothing for this partition: its queue is stuck, and enough waits for it."""
        box = self._boxes.get(partition)
        return box is not None and box.stuck and box.full

    def left(self) -> dict[int, list[bytes]]:
        """What the broker may not have, by partition."""
        return {partition: box.left() for partition, box in self._boxes.items()}

    @property
    def full(self) -> bool:
        """Whether its owner should stop adding: one of those that go on is full."""
        return any(box.full and not box.stuck for box in self._boxes.values())

    @property
    def half_empty(self) -> bool:
        """Whether its owner may go on."""
        return all(box.half_empty or box.stuck for box in self._boxes.values())

    @property
    def empty(self) -> bool:
        """Whether the broker has everything."""
        return all(box.empty for box in self._boxes.values())

    @property
    def settled(self) -> bool:
        """Whether the broker has everything but what waits for queues that are stuck."""
        return all(box.empty or box.stuck for box in self._boxes.values())

    @property
    def put_bytes(self) -> int:
        """Bytes they were ever given."""
        return sum(box.put_bytes for box in self._boxes.values())

    def __len__(self) -> int:
        return sum(map(len, self._boxes.values()))

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return sum(box.size for box in self._boxes.values())

    async def run(self) -> None:
        """Until cancelled."""
        pumps: dict[int, asyncio.Task[None]] = {}
        try:
            while True:
                self._opened.clear()
                for partition, box in self._boxes.items():
                    if partition not in pumps:
                        pumps[partition] = asyncio.create_task(box.run())
                opened = asyncio.create_task(self._opened.wait())
                try:
                    done, _ = await asyncio.wait([opened, *pumps.values()], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    opened.cancel()
                for pump in done - {opened}:
                    pump.result()  # it only ends by an error: show it
        finally:
            for pump in pumps.values():
                pump.cancel()
            await asyncio.gather(*pumps.values(), return_exceptions=True)
