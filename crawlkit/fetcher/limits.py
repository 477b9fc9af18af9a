"""Counts what a response may cost: bytes of a body, bytes of all bodies in the process, and too slow a drip.

Pure: no I/O, no clock. Raises FetchError when a bound is passed; the caller stops the transfer.
"""

from __future__ import annotations

from crawlkit.libs.errors import FetchError

OVERHEAD = 2**20  # bytes that a coded body may have more than an opened one
CRUMB = 1024  # bytes; smaller pieces of a body are put together ...
HEAP = 64 * 1024  # ... into pieces of about this size
SMALL = 256 * 1024  # bytes of a body that never waits for others


class Inflight:
    """Bytes of bodies that this process holds while they come in and until they are stored.

    Over a soft limit, larger bodies wait and one at a time goes on, so that what was begun gets finished; small ones
    always go on. ``slots``: transfers at once; ``largest``: the largest body there may be.
    """

    __slots__ = ("bytes", "first", "limit", "peak", "small", "soft")

    def __init__(self, limit: int, slots: int, largest: int) -> None:
        self.limit = limit
        self.small = min(SMALL, limit // (4 * slots))
        self.soft = max(limit - largest - slots * self.small, limit // 4)
        self.first: object | None = None  # the one that goes on over the soft limit
        self.bytes = 0
        self.peak = 0

    def add(self, size: int) -> None:
        """Raises :class:`FetchError` of kind ``overload`` when there is no room for ``size`` more."""
        if self.bytes + size > self.limit:
            raise FetchError("overload", f"bodies in flight over {self.limit} bytes")
        self.bytes += size
        if self.bytes > self.peak:
            self.peak = self.bytes

    def must_wait(self, who: object, held: int, more: int) -> bool:
        """Whether the transfer ``who``, which holds ``held`` bytes, should pause before it takes ``more``."""
        if held + more <= self.small or self.bytes + more <= self.soft:
            return False
        if self.first is None:
            self.first = who
        return self.first is not who

    def leave(self, who: object) -> None:
        """``who`` has ended; the next that asks may be the one that goes on."""
        if self.first is who:
            self.first = None

    def release(self, size: int) -> None:
        self.bytes -= size


class Body:
    """A body as it comes in, counted after decompression."""

    __slots__ = ("_chunks", "_inflight", "limit", "size")

    full = False  # whether the transfer is to pause until there is room
    raw = False  # whether a Content-Encoding stays as it is

    def __init__(self, limit: int, inflight: Inflight) -> None:
        self.limit = limit
        self.size = 0
        self._chunks: list[bytes | bytearray] = []
        self._inflight = inflight

    def write(self, chunk: bytes) -> None:
        """Raises :class:`FetchError` of kind ``too_large`` or ``overload``, before the chunk is kept."""
        if self.size + len(chunk) > self.limit:
            raise FetchError("too_large", f"body over {self.limit} bytes")
        self._inflight.add(len(chunk))
        self.size += len(chunk)
        if len(chunk) < CRUMB and self._chunks:
            self._sweep_up(chunk)
        else:
            self._chunks.append(chunk)

    def _sweep_up(self, crumb: bytes) -> None:
        """Crumbs go together: one object for each would take many times the bytes that are counted."""
        last = self._chunks[-1]
        if isinstance(last, bytearray) and len(last) < HEAP:
            last += crumb
        else:
            self._chunks.append(bytearray(crumb))

    def content(self) -> bytes:
        """All of it; one chunk is not copied."""
        only = self._chunks[0] if len(self._chunks) == 1 else None
        return only if isinstance(only, bytes) else b"".join(self._chunks)

    def chunks(self) -> list[bytes]:
        """The same in pieces."""
        return [chunk if isinstance(chunk, bytes) else bytes(chunk) for chunk in self._chunks]

    def drop(self) -> None:
        """Gives its room back, once the content is elsewhere. Harmless when called twice."""
        self._inflight.release(self.size)
        self.size = 0
        self._chunks = []


class Drip:
    """Notices an answer that has begun and then comes too slowly."""

    __slots__ = ("_bytes", "_limit", "_since", "_time")

    def __init__(self, limit: float, time: float) -> None:
        self._limit = limit
        self._time = time
        self._since: float | None = None
        self._bytes = 0

    def too_slow(self, now: float, received: int) -> bool:
        """``received``: bytes so far. True when the last window of ``time`` seconds was under the limit."""
        if not received or not self._limit:
            return False
        if self._since is None:
            self._since, self._bytes = now, received
            return False
        span = now - self._since
        if span < self._time:
            return False
        slow = received - self._bytes < self._limit * span
        self._since, self._bytes = now, received
        return slow
