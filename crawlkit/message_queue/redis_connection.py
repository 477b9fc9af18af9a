"""One connection to a Redis server: commands go out and replies come back in order, and pushes in between (RESP3).

Knows nothing of queues. Many callers share it: what is sent in one turn of the loop goes out together.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from crawlkit.libs.errors import UsageError
from crawlkit.libs.extras import install_command

try:
    import hiredis
except ImportError:  # the module is imported only when a URL asks for Redis
    raise UsageError(
        f"message queues in Redis need a package that is not installed: {install_command('redis')}"
    ) from None

ReplyError = hiredis.ReplyError
Word = str | int | float | bytes | memoryview
OnReply = Callable[[Any], None]
RECEIVE = 256 * 1024  # bytes received at a time
SOCKET_BUFFER = 2**20
_MULTI, _EXEC = b"*1\r\n$5\r\nMULTI\r\n", b"*1\r\n$4\r\nEXEC\r\n"
_NOTHING = object()


class LostError(Exception):
    """The connection went away before the reply came. Never leaves this package."""


class Script:
    """A Lua script, and the name that a server which has it knows it by."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisConnection(asyncio.BufferedProtocol):
    """``on_push(words)`` is called for each message of a channel, ``on_lost(reason)`` once, at the end."""

    def __init__(self, on_push: Callable[[list[Any]], None], on_lost: Callable[[str], None]) -> None:
        self.on_push = on_push
        self.on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._buffer = bytearray(RECEIVE)
        self._view = memoryview(self._buffer)  # TLS writes to slices of it
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[OnReply] = deque()
        self._out: list[bytes] = []
        self._flushing = False
        self._lost = False
        self._reason = ""

    @property
    def lost(self) -> bool:
        """Whether it ended: perhaps in the callback that brought the last reply."""
        return self._lost

    def send(self, on_reply: OnReply, *words: Word) -> None:
        """Sends a command. ``on_reply`` gets the reply, a ``ReplyError`` or a :class:`LostError`, as a value."""
        if self._lost:
            on_reply(LostError())
            return
        self._waiting.append(on_reply)
        self.tell(*words)

    def tell(self, *words: Word) -> None:
        """Sends a command that has no reply of its own, as SUBSCRIBE."""
        self._write((hiredis.pack_command(words),))  # type: ignore[arg-type]

    def transaction(self, on_reply: OnReply, pieces: Sequence[bytes], count: int, *words: Word) -> None:
        """Sends ``count`` commands, packed, and a last one, all in one transaction; ``on_reply`` gets the last one's.

        Where one of the others fails it gets that error.
        """
        if self._lost:
            on_reply(LostError())
            return
        refused: list[Exception] = []

        def queued(reply: Any) -> None:
            if isinstance(reply, Exception):
                refused.append(reply)

        def done(reply: Any) -> None:
            if isinstance(reply, list):
                failed = next((one for one in reply[:-1] if isinstance(one, Exception)), None)
                on_reply(failed or reply[-1])
            else:
                on_reply(refused[0] if refused else reply)

        self._waiting.extend([queued] * (count + 2))
        self._waiting.append(done)
        self._write((_MULTI, *pieces, hiredis.pack_command(words), _EXEC))  # type: ignore[arg-type]

    def _write(self, pieces: Iterable[bytes]) -> None:
        self._out += pieces
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def ask(self, *words: Word) -> asyncio.Future[Any]:
        """Sends a command; the future gets the reply, or raises ``ReplyError`` or :class:`LostError`."""
        future = self._loop.create_future()
        self.send(lambda reply: settle(future, reply), *words)
        return future

    def abort(self, reason: str) -> None:
        """Ends the connection at once."""
        if self._transport is not None and not self._lost:
            self._transport.abort()
        self._end(reason)

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(2**30)
        sock = transport.get_extra_info("socket")
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        reader = self._reader
        waiting = self._waiting
        try:
            reader.feed(self._buffer, 0, nbytes)  # type: ignore[arg-type]
            while (reply := reader.gets()) is not _NOTHING:
                if type(reply) is hiredis.PushNotification:
                    self.on_push(reply)
                elif waiting:
                    waiting.popleft()(reply)
        except hiredis.ProtocolError:
            self.abort("it does not speak the protocol of Redis")

    def eof_received(self) -> None:
        self._end("it hung up")

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, ssl.SSLError):
            self._end(f"TLS: {exc.reason or exc}")
        else:
            self._end(str(getattr(exc, "strerror", None) or exc) if exc else "it hung up")

    def _end(self, reason: str) -> None:
        if self._lost:
            return
        self._lost = True
        waiting, self._waiting = self._waiting, deque()
        for on_reply in waiting:
            on_reply(LostError(reason))
        self.on_lost(reason)

    def _flush(self) -> None:
        self._flushing = False
        out, self._out = self._out, []
        if self._transport is not None and not self._lost:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))


def settle(future: asyncio.Future[Any], reply: Any) -> None:
    """Hands a reply to whoever still waits for it."""
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
        future.exception()  # looked at, so that nobody warns when its waiter is gone
    else:
        future.set_result(reply)
