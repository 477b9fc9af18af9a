"""The only way out of Chromium: a SOCKS5 relay on loopback, with a door for each task.

Every connection of a page goes through its task's door, whatever made it: it is judged by the address guard, goes by
the task's proxy, and its bytes are counted. Nothing of what passes is read or changed, and next to nothing is kept.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import urlsplit

from crawlkit.browser import dial, peers, socks, upstream
from crawlkit.browser.settings import BrowserSettings
from crawlkit.libs.browser_job import Job
from crawlkit.libs.errors import FetchError
from crawlkit.libs.proxy import Proxy

MIB = 2**20
MAX_BYTES = 256 * MIB  # of one page with all that it loads, both ways
MAX_CONNECTIONS = 128  # of one page at once; Chromium itself opens 32 by one proxy, and as many WebSockets
CONNECT_TIMEOUT = 20.0  # seconds
NOTED = 200  # refusals, and failures, that are remembered of one task
HIGH_WATER = 128 * 1024  # bytes that wait to be sent before the other side is read no further
EARLY = 64 * 1024  # bytes that may come before the way is open
PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset, so that nobody takes a cut answer for a whole one


class Door:
    """A listener of its own for one task, and what went through it.

    ``url``: for Chromium's proxy setting. ``sent``, ``received``: bytes from and to the page. ``refused``: (host, why)
    of what the guard let nobody connect to, the first ``NOTED`` of them; ``refusals`` counts all. ``closed_by``: the
    error kind of the limit that was passed, and ``over`` is set then.
    """

    def __init__(self, dialer: dial.Dialer, max_bytes: int, max_connections: int) -> None:
        self.url = ""
        self.sent = 0
        self.received = 0
        self.refused: list[tuple[str, str]] = []
        self.refusals = 0
        self.strangers = 0  # connections held by another user of this machine, or by nobody any more: cut
        self.opened = 0  # connections so far
        self.closed_by: str | None = None
        self.over = asyncio.Event()
        self.dialer = dialer
        self.max_bytes = max_bytes
        self.max_connections = max_connections
        self.near: set[Near] = set()
        self._failures: dict[tuple[str, int], FetchError] = {}
        self._server: asyncio.Server | None = None

    @property
    def bytes(self) -> int:
        """All that passed, both ways."""
        return self.sent + self.received

    def failure_of(self, url: str) -> FetchError | None:
        """Why the last connection to the host of this URL did not come about; Chromium knows only that it did not."""
        parts = urlsplit(url)
        try:
            port = parts.port or PORTS.get(parts.scheme, 0)
        except ValueError:
            return None
        return self._failures.get((parts.hostname or "", port))

    def note(self, host: str, port: int, error: FetchError) -> None:
        """Keeps why there is no connection."""
        if error.kind == "address":
            self.refusals += 1
            if len(self.refused) < NOTED:
                self.refused.append((host, str(error)))
        if (host, port) in self._failures or len(self._failures) < NOTED:
            self._failures[host, port] = error

    def connected(self, host: str, port: int) -> None:
        """What failed before works now."""
        self._failures.pop((host, port), None)

    def pass_limit(self, kind: str) -> None:
        """Cuts everything: the task has had its share."""
        if self.closed_by is None:
            self.closed_by = kind
            self.over.set()
            self.close()

    async def listen(self) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.bind(("127.0.0.1", 0))
            self.url = f"socks5://127.0.0.1:{listener.getsockname()[1]}"
            self._server = await asyncio.get_running_loop().create_server(lambda: Near(self), sock=listener)
        except BaseException:
            listener.close()
            raise

    def close(self) -> None:
        """Ends every connection at once, and lets no more come."""
        if self._server is not None:
            self._server.close()
        for near in list(self.near):
            near.cut()
        self.dialer.close()


def of_job(job: Job, settings: BrowserSettings) -> AbstractAsyncContextManager[Door]:
    """The door of a job, see :func:`open`. Raises :class:`FetchError` (``bad_request``) for a proxy that cannot be."""
    return open(
        guarded=not (job.allow_private and settings.allow_private),
        proxy=upstream.of_job(job),
        max_bytes=settings.max_load,
        connect_timeout=job.connect_timeout,
    )


@asynccontextmanager
async def open(
    *,
    guarded: bool,
    proxy: Proxy | None = None,
    max_bytes: int = MAX_BYTES,
    max_connections: int = MAX_CONNECTIONS,
    connect_timeout: float = CONNECT_TIMEOUT,
    resolve: dial.Resolve | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Door]:
    """A door for one task, closed with all its connections at the end.

    ``guarded``: whether private addresses are off limits; ``proxy``: the task's own; ``connect_timeout``: seconds;
    ``resolve``: how names are looked up, by default as the system does; ``tls``: for a proxy that speaks TLS.
    """
    dialer = dial.Dialer(
        guarded=guarded, proxy=proxy, connect_timeout=connect_timeout, resolve=resolve or dial.resolve, tls=tls
    )
    door = Door(dialer, max_bytes, max_connections)
    await door.listen()
    try:
        yield door
    finally:
        door.close()


class Side(asyncio.Protocol):
    """One end of a connection; what it hears goes to the other end, and waits when that one is slow."""

    other: Side | None = None
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        """Browsers and web servers who have said all hear no more either."""
        if self.other is not None:
            self.other.transport.close()  # after what is still to be sent
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        other, self.other = self.other, None
        if other is None:
            return
        other.other = None
        if exc is None:
            other.transport.close()
        else:
            other.reset()

    def reset(self) -> None:
        """Ends it so that the peer sees that it was cut."""
        end = self.transport.get_extra_info("socket")
        if end is not None and end.fileno() >= 0:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()


class Far(Side):
    """The end towards the network."""

    def __init__(self, near: Near) -> None:
        self._near = near
        self._door = near.door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._near.join(self)

    def data_received(self, data: bytes) -> None:
        door = self._door
        door.received += len(data)
        if door.received + door.sent > door.max_bytes:
            door.pass_limit("too_large")
        elif self.other is not None:
            self.other.transport.write(data)


class Near(Side):
    """The end towards Chromium: says hello, asks for one host, and is joined to it."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self._said = b""  # what came before the way was open
        self._greeted = False
        self._dialling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        door = self.door
        uid = peers.uid_of(transport.get_extra_info("peername"), transport.get_extra_info("sockname"))
        if uid != os.geteuid() and not (uid is None and peers.blind()):
            door.strangers += 1
            self.reset()
        elif door.closed_by is not None or len(door.near) >= door.max_connections:
            self.reset()
        else:
            door.near.add(self)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._hear(data)
            return
        door = self.door
        door.sent += len(data)
        if door.received + door.sent > door.max_bytes:
            door.pass_limit("too_large")
        else:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        self._give_up()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.door.near.discard(self)
        self._give_up()
        super().connection_lost(exc)

    def cut(self) -> None:
        """Ends both sides at once."""
        other = self.other
        self.reset()
        if other is not None:
            other.reset()

    def join(self, far: Far) -> None:
        """The way is open."""
        if self.transport.is_closing():
            far.transport.abort()
            return
        self.other, far.other = far, self
        self.transport.write(socks.GRANTED)
        early, self._said = self._said, b""
        if early:
            self.data_received(early)

    def _hear(self, data: bytes) -> None:
        self._said += data
        try:
            if not self._greeted:
                length = socks.greeting_length(self._said)
                if length is None:
                    return
                self._greeted = True
                self._said = self._said[length:]
                self.transport.write(socks.WELCOME)
            if self._dialling is None:
                request = socks.read_request(self._said)
                if request is not None:
                    self._said = self._said[request.length :]
                    self._dialling = asyncio.get_running_loop().create_task(self._dial(request.host, request.port))
        except socks.BadSocks:
            self.transport.write(socks.UNREACHABLE if self._greeted else socks.NO_WAY_IN)
            self.transport.close()
            return
        if len(self._said) > EARLY:
            self.reset()

    async def _dial(self, host: str, port: int) -> None:
        door = self.door
        door.opened += 1
        try:
            await door.dialer.dial(host, port, lambda: Far(self))
        except FetchError as error:
            self._say_no(host, port, error)
        except Exception as error:  # a fault of ours: the page must not wait for it for ever
            self._say_no(host, port, FetchError("internal", f"{type(error).__name__}: {error}"))
        else:
            door.connected(host, port)

    def _say_no(self, host: str, port: int, error: FetchError) -> None:
        self.door.note(host, port, error)
        self.transport.write(socks.UNREACHABLE)
        self.transport.close()

    def _give_up(self) -> None:
        if self._dialling is not None:
            self._dialling.cancel()
