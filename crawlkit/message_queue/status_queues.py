"""The status queues, one a partition: each answer goes to the scheduler that owns the partition of its task.

No message is looked into here.
"""

from __future__ import annotations

from collections.abc import Callable

from crawlkit.libs.messages import status_queue_name
from crawlkit.message_queue.base import MessageQueue


class StatusQueues:
    """Opens them by their names when they are first needed, that of partition 0 at once. ``open``: of a broker."""

    def __init__(self, open: Callable[[str], MessageQueue]) -> None:  # as brokers call it
        self._open = open
        self._queues: dict[int, MessageQueue] = {}
        self.of(0)

    def of(self, partition: int) -> MessageQueue:
        """The queue of a partition, from now on one of :attr:`partitions`."""
        queue = self._queues.get(partition)
        if queue is None:
            queue = self._queues[partition] = self._open(status_queue_name(partition))
        return queue

    @property
    def partitions(self) -> frozenset[int]:
        """Those whose queue was needed so far, 0 always: who owns them shall know of this process."""
        return frozenset(self._queues)
