"""Outcomes on their way to one queue: put in batches, in order; who waits for them is told when the broker has them.

Bounded by its owner, who looks at ``full``. Tries for ever while the broker is away, and says so once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from crawlkit.libs.errors import QueueUnavailable
from crawlkit.message_queue.base import MessageQueue
from crawlkit.processor.held import Held

BATCH_MESSAGES = 200
BATCH_BYTES = 4 * 2**20
RETRY = 1.0  # seconds between attempts to reach the broker

log = logging.getLogger("crawlkit.processor")


class Outbox:
    """The way to ``queue``. ``forwarded`` gets the tasks whose last part the broker has."""

    def __init__(
        self, queue: MessageQueue, max_messages: int, max_bytes: int, forwarded: Callable[[list[Held]], None]
    ) -> None:
        self._queue = queue
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._forwarded = forwarded
        self._entries: deque[tuple[bytes, Held | None]] = deque()
        self._bytes = 0
        self.put_bytes = 0
        """Bytes it was ever given."""
        self._wake = asyncio.Event()
        self._busy = False

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

    def add(self, body: bytes, ends: Held | None) -> None:
        """Sends ``body``; ``ends`` is the task whose last part it is."""
        self._entries.append((body, ends))
        self._bytes += len(body)
        self.put_bytes += len(body)
        self._wake.set()

    def held(self) -> list[Held]:
        """Tasks whose last part is still here."""
        return [held for _, held in self._entries if held is not None]

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._entries:
                self._busy = True
                await self._put(self._batch())
                self._busy = False

    def _batch(self) -> list[bytes]:
        bodies: list[bytes] = []
        size = 0
        for body, _ in self._entries:
            if bodies and (len(bodies) >= BATCH_MESSAGES or size + len(body) > BATCH_BYTES):
                break
            bodies.append(body)
            size += len(body)
        return bodies

    async def _put(self, bodies: list[bytes]) -> None:
        said = False
        while True:
            try:
                await self._queue.put_many(bodies)
                break
            except QueueUnavailable as error:
                # Those that were put before the break come twice, which does no harm.
                if not said:
                    log.warning("%s: %s; outcomes wait", self._queue.name, error)
                    said = True
                await asyncio.sleep(RETRY)
        ended: list[Held] = []
        for _ in bodies:
            body, held = self._entries.popleft()
            self._bytes -= len(body)
            if held is not None:
                ended.append(held)
        self._forwarded(ended)
