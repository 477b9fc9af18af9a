"""The door to the message queues: at-least-once delivery, bounded, no polling.

A message stays the queue's until it is acknowledged. When the connection of a consumer is lost, what it had not
acknowledged goes back to the head of the queue. So a message may come twice and never vanishes while the broker lives;
that the broker itself was replaced can be seen by its epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Delivery(NamedTuple):
    """A message in the hands of a consumer."""

    id: int  # for ack and nack, on the queue object that delivered it
    body: bytes
    redelivered: int = 0  # how often it was delivered before


class QueueSize(NamedTuple):
    """What a queue holds, the delivered and unacknowledged messages included."""

    messages: int
    bytes: int
    unacked: int


class QueueFlow(NamedTuple):
    """What a queue holds, may hold, and has been given: for people who watch it."""

    messages: int
    bytes: int
    unacked: int
    put: int  # messages it was ever given
    dead: int  # dead letters that are kept
    max_messages: int  # 0: no bound
    max_bytes: int


class DeadLetter(NamedTuple):
    """A message put aside."""

    body: bytes
    reason: str


class MessageQueue(Protocol):
    """One named queue. Bounds: ``max_messages`` (0: none) of those that wait, and ``max_bytes`` of those that wait and
    those that consumers hold; one message always fits into an empty queue."""

    name: str

    async def put_many(self, bodies: Sequence[bytes], timeout: float | None = None) -> None:
        """Waits for room and puts all, in order; when it returns the broker has them.

        Raises ``QueueFull`` when ``timeout`` seconds pass first (those that fitted may have been put: ``args[1]``
        says how many), ``QueueUnavailable`` when the broker is gone.
        """

    async def get_many(self, limit: int, timeout: float | None = None) -> list[Delivery]:
        """Waits for at least one message and takes up to ``limit``, oldest first; ``[]`` when ``timeout`` passes."""

    async def ack(self, ids: Sequence[int]) -> None:
        """Ends the given deliveries for good. Unknown ids are ignored.

        After ``QueueUnavailable``, here as from :meth:`nack` and :meth:`reject`, those that were not ended come again.
        """

    async def nack(self, ids: Sequence[int]) -> None:
        """Gives deliveries back to the head of the queue, in their old order."""

    async def reject(self, ids: Sequence[int], reason: str) -> None:
        """Puts deliveries aside as dead letters. The place is bounded: the oldest dead letters go first."""

    async def dead(self, limit: int = 100) -> list[DeadLetter]:
        """The newest dead letters."""

    async def size(self) -> QueueSize: ...

    def room(self) -> int:
        """How many messages would fit now, as far as is known here. Never blocks."""

    async def wait_room(self, timeout: float | None = None) -> int:
        """Waits until :meth:`room` is at least 1, at most ``timeout`` seconds; returns it."""

    async def purge(self) -> int:
        """Drops everything; returns how many."""


class Broker(Protocol):
    """A connection to a message queue system."""

    def queue(self, name: str) -> MessageQueue: ...

    async def connect(self) -> None:
        """Raises ``QueueUnavailable`` in words that say what to do."""

    async def epoch(self) -> str:
        """Changes when the broker lost its messages."""

    async def close(self) -> None: ...
