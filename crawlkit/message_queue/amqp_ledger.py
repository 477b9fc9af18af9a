"""What is known here of a queue that lives in an AMQP broker: its room, by counting and by guessing. Pure.

AMQP tells how many messages wait, and nothing of their bytes, nor of what other connections hold. The bytes that wait
are those of the last messages put here when this is the only producer, else a guess by the mean size seen here.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

UNBOUNDED = 2**31  # what room() says without a bound
REMEMBERED = 1_000  # sizes
SHARE = 0.05  # of a new message in the mean


class Ledger:
    """``ready``: what waits in the broker, as counted last and corrected by what was done here since."""

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.ready: int | None = None  # None: not counted yet
        self.buffered = 0  # delivered to this connection and not handed out
        self.held = 0  # handed out here and not acknowledged
        self.local_bytes = 0  # of both
        self.put = 0  # messages given to the queue here
        self._limit = max_messages or UNBOUNDED
        self._sizes: deque[int] = deque(maxlen=REMEMBERED)  # of what was put here, oldest first
        self._sum = 0
        self.mean = 0.0  # bytes of a message

    def was_put(self, sizes: list[int]) -> None:
        """The broker has these."""
        for size in sizes:
            if len(self._sizes) == REMEMBERED:
                self._sum -= self._sizes[0]
            self._sizes.append(size)
            self._sum += size
            self._saw(size)
        self.put += len(sizes)
        if self.ready is not None:
            self.ready += len(sizes)

    def counted(self, ready: int) -> None:
        """The broker says how many wait."""
        self.ready = ready

    def came(self, size: int) -> None:
        """A message was delivered to this connection."""
        self.buffered += 1
        self.local_bytes += size
        self._saw(size)
        if self._sizes and self._sizes[0] == size:
            self._sum -= self._sizes.popleft()
        if self.ready:
            self.ready -= 1

    def handed_out(self, count: int) -> None:
        """Messages went from the buffer to whoever asked."""
        self.buffered -= count
        self.held += count

    def ended(self, size: int) -> None:
        """A held message went for good."""
        self.held -= 1
        self.local_bytes -= size

    def returned(self, sizes: list[int]) -> None:
        """Held messages went back to the head of the queue, and were counted there."""
        for size in reversed(sizes):
            if len(self._sizes) < REMEMBERED:
                self._sizes.appendleft(size)
                self._sum += size
        self.held -= len(sizes)
        self.local_bytes -= sum(sizes)

    @property
    def messages(self) -> int:
        return self.waiting + self.held

    @property
    def waiting(self) -> int:
        return (self.ready or 0) + self.buffered

    @property
    def ready_bytes(self) -> int:
        ready, known = self.ready or 0, len(self._sizes)
        if known > ready:
            return sum(islice(reversed(self._sizes), ready))
        return self._sum + int((ready - known) * self.mean)

    @property
    def bytes(self) -> int:
        return self.ready_bytes + self.local_bytes

    def room(self) -> int:
        """How many messages would fit."""
        held = self.bytes
        if held and held >= self.max_bytes:
            return 0
        return max(0, self._limit - self.waiting)

    def fitting(self, sizes: list[int]) -> int:
        """How many of these would fit, in their order."""
        room, used = self._limit - self.waiting, self.bytes
        for index, size in enumerate(sizes):
            if index >= room or (used and used + size > self.max_bytes):
                return index
            used += size
        return len(sizes)

    def _saw(self, size: int) -> None:
        self.mean = self.mean + SHARE * (size - self.mean) if self.mean else float(size)
