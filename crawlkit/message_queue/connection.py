"""Frames over a stream socket (Unix or TCP), on the running asyncio loop, with as few copies as the kernel allows.

Knows nothing of queues. Large frames are received straight into their own buffer, and pieces are sent without joining.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice

from crawlkit.libs.errors import BadMessage
from crawlkit.message_queue import wire
from crawlkit.message_queue.wire import Piece

SCRATCH = 32 * 1024  # bytes; frames that fit are read many at a time
READS = 8  # receive calls in one go before others have their turn
IOV = 512  # pieces in one send call
SOCKET_BUFFER = 2**20
REUSED = 2**21  # bytes; larger frames get a buffer of their own, which goes when they are read
LAST_WORDS = 0.2  # seconds
#: Over TCP: a host that is cut off or without power is noticed within ten seconds, by who waits and by who sends.
KEEPALIVE = {
    "TCP_KEEPIDLE": 2,  # seconds of silence until the kernel asks
    "TCP_KEEPALIVE": 2,  # the same on macOS
    "TCP_KEEPINTVL": 2,  # seconds from one question to the next
    "TCP_KEEPCNT": 3,  # questions without an answer that end the connection
    "TCP_USER_TIMEOUT": 7_000,  # milliseconds that what was sent may stay unconfirmed
}


class Connection:
    """One socket. ``on_frame(data)`` is called for each frame, ``on_lost(reason)`` once, at its end.

    ``data`` is a buffer that is written to again afterwards: ``on_frame`` keeps no view of it. When it raises
    :class:`BadMessage` the connection ends.
    """

    def __init__(self, sock: socket.socket, on_frame: Callable[[Piece], None], on_lost: Callable[[str], None]) -> None:
        sock.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option_name, value in KEEPALIVE.items():
                if hasattr(socket, option_name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option_name), value)
        self.limit = wire.MAX_FRAME  # bytes of a frame
        self._sock: socket.socket | None = sock
        self._fd = sock.fileno()
        self._loop = asyncio.get_running_loop()
        self.on_frame = on_frame
        self.on_lost = on_lost
        self._scratch = bytearray(SCRATCH)
        self._view = memoryview(self._scratch)
        self._filled = 0
        self._frame: memoryview | None = None  # a large frame being received
        self._frame_filled = 0
        self._spare = bytearray()
        self._out: deque[Piece] = deque()
        self._flushing = False
        self._writing = False  # the loop tells when the socket takes more
        self._empty: asyncio.Future[None] | None = None
        self._loop.add_reader(self._fd, self._readable)

    @property
    def closed(self) -> bool:
        return self._sock is None

    def send(self, pieces: Iterable[Piece], now: bool = False) -> None:
        """Sends soon, together with what else is sent in this turn of the loop; ``now``: without waiting for that.

        Ignored when the connection is lost.
        """
        if self._sock is None:
            return
        self._out.extend(pieces)
        if self._writing:
            return
        if now:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_soon)

    async def drained(self) -> None:
        """Waits until the kernel has all that was sent, or the connection is lost."""
        if self._out and self._sock is not None:
            if self._empty is None or self._empty.done():
                self._empty = self._loop.create_future()
            await asyncio.shield(self._empty)

    def close_soon(self, reason: str) -> None:
        """Ends the connection after a moment in which what was sent can still go out. Nothing more is read."""
        if self._sock is not None:
            self._loop.remove_reader(self._fd)
            self._loop.call_later(LAST_WORDS, self.close, reason)

    def close(self, reason: str = "closed") -> None:
        """Ends the connection at once; ``on_lost`` is told."""
        if self._sock is None:
            return
        self._loop.remove_reader(self._fd)
        if self._writing:
            self._loop.remove_writer(self._fd)
        self._sock.close()
        self._sock = None
        self._out.clear()
        self._wake()
        self.on_lost(reason)

    # Sending.

    def _flush_soon(self) -> None:
        self._flushing = False
        self._flush()

    def _flush(self) -> None:
        while self._out and self._sock is not None:
            try:
                sent = self._sock.sendmsg(islice(self._out, IOV))
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self.close(f"sending failed: {error.strerror or error}")
                return
            self._skip(sent)
        if self._sock is None:
            return
        if self._out and not self._writing:
            self._writing = True
            self._loop.add_writer(self._fd, self._flush)
        elif not self._out:
            if self._writing:
                self._writing = False
                self._loop.remove_writer(self._fd)
            self._wake()

    def _skip(self, sent: int) -> None:
        out = self._out
        while sent:
            piece = out.popleft()
            if len(piece) > sent:
                out.appendleft(memoryview(piece)[sent:])
                return
            sent -= len(piece)

    def _wake(self) -> None:
        if self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    # Receiving.

    def _readable(self) -> None:
        try:
            for _ in range(READS):
                if not self._receive():
                    return
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.close(f"receiving failed: {error.strerror or error}")
        except BadMessage as error:
            self.close(str(error))

    def _receive(self) -> bool:
        """One receive call; False: there is nothing more now."""
        if self._sock is None:
            return False
        if self._frame is not None:
            got = self._sock.recv_into(self._frame[self._frame_filled :])
            self._frame_filled += got
            full = self._frame_filled == len(self._frame)
            if full:
                whole, self._frame = self._frame, None
                self.on_frame(whole)
        else:
            asked = SCRATCH - self._filled
            got = self._sock.recv_into(self._view[self._filled :])
            self._filled += got
            full = got == asked
            self._split()
        if not got:
            self.close("the other side closed the connection")
            return False
        return full

    def _split(self) -> None:
        """Hands on the whole frames in the scratch buffer; the rest moves to its start or to a buffer of its own."""
        start, end = 0, self._filled
        while end - start >= 4 and self._sock is not None:
            length = wire.length_of(self._view[start : start + 4], self.limit)
            if end - start - 4 < length:
                if length + 4 > SCRATCH:
                    self._begin(length, start + 4, end)
                    start = end
                break
            self.on_frame(self._view[start + 4 : start + 4 + length])
            start += 4 + length
        if start:
            self._scratch[: end - start] = self._scratch[start:end]
        self._filled = end - start

    def _begin(self, length: int, start: int, end: int) -> None:
        if length <= REUSED:
            if len(self._spare) < length:
                self._spare = bytearray(length)
            self._frame = memoryview(self._spare)[:length]
        else:
            self._frame = memoryview(bytearray(length))
        self._frame_filled = end - start
        self._frame[: end - start] = self._view[start:end]
