"""Reads the status queues of the partitions that this scheduler has, which may be others from one moment to the next.

What is taken is handed over in the same step of the loop, so a reader that ends holds nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from crawlkit.libs.errors import QueueUnavailable
from crawlkit.message_queue.base import Delivery, MessageQueue
from crawlkit.message_queue.status_queues import StatusQueues
from crawlkit.scheduler.trouble import Trouble

BATCH = 500  # messages taken at a time


class StatusReaders:
    """One reader a partition. ``took`` gets what one of them took; ``room`` is set while more may be taken."""

    def __init__(
        self,
        queues: StatusQueues,
        room: asyncio.Event,
        trouble: Trouble,
        took: Callable[[int, MessageQueue, Sequence[Delivery]], None],
    ) -> None:
        self._queues = queues
        self._room = room
        self._trouble = trouble
        self._took = took
        self.partitions = frozenset({0})
        """Those whose queues are read."""
        self._readers: dict[int, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    def queues(self) -> list[MessageQueue]:
        """Those that are read."""
        return [self._queues.of(partition) for partition in sorted(self.partitions)]

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self._changed.clear()
                for partition in self.partitions - self._readers.keys():
                    self._readers[partition] = asyncio.create_task(self._read(partition))
                changed = asyncio.create_task(self._changed.wait())
                try:
                    await asyncio.wait([changed, *self._readers.values()], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
                for reader in list(self._readers.values()):
                    if reader.done() and not reader.cancelled():
                        reader.result()  # it only ends by an error: show it
        finally:
            await self._end(self._readers)

    async def change(self, partitions: frozenset[int]) -> list[MessageQueue]:
        """Reads the queues of these from now on; returns those that it read before, once their readers have ended."""
        gone = sorted(self.partitions - partitions)
        self.partitions = partitions
        await self._end(gone)
        self._changed.set()
        return [self._queues.of(partition) for partition in gone]

    async def _end(self, partitions: Sequence[int] | dict[int, asyncio.Task[None]]) -> None:
        readers = [self._readers.pop(one) for one in list(partitions) if one in self._readers]
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    async def _read(self, partition: int) -> None:
        queue = self._queues.of(partition)
        while True:
            await self._room.wait()
            try:
                found = await queue.get_many(BATCH)
            except QueueUnavailable as error:
                await self._trouble.wait(error)
                continue
            self._trouble.over()
            self._took(partition, queue, found)
