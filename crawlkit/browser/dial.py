"""Opens connections for pages: looks names up, asks the address guard, and goes by the task's proxy.

The address that was checked is the one that is connected to: a name that resolves otherwise the next time leads nowhere
else. Keeps nothing of the connections that it opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from aiohappyeyeballs import start_connection

from crawlkit.browser.upstream import NAMES_HERE, Handshake, ProxyRefused
from crawlkit.libs import address_guard
from crawlkit.libs.errors import FetchError
from crawlkit.libs.proxy import Proxy

Address = tuple[int, int, int, str, Any]  # as getaddrinfo gives them
Resolve = Callable[[str, int], Awaitable[list[Address]]]
MakeProtocol = Callable[[], asyncio.Protocol]
NEXT_ADDRESS = 0.25  # seconds before the next of several addresses is tried as well (RFC 8305)
LOOKUPS = 8  # names of one task that are looked up at once
MAX_NAMES = 1000  # remembered of one task
ALL_LOOKUPS = 128  # in the whole process, with those that nobody waits for any more
_slots = threading.BoundedSemaphore(ALL_LOOKUPS)


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a host, in the system's order. Raises :class:`FetchError` of kind ``dns`` or ``overload``.

    In a thread of its own, which nobody waits for at the end: a look-up cannot be broken off, and may take 30 seconds.
    """
    if not _slots.acquire(blocking=False):
        raise FetchError("overload", f"{ALL_LOOKUPS} names are being looked up already")
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Address]] = loop.create_future()

    def tell(addresses: list[Address], error: FetchError | None) -> None:
        if found.done():
            return
        if error is None:
            found.set_result(addresses)
        else:
            found.set_exception(error)

    def look_up() -> None:
        addresses: list[Address] = []
        error = None
        try:
            addresses = [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except (OSError, UnicodeError) as problem:
            error = FetchError("dns", f"{host}: {getattr(problem, 'strerror', None) or problem}")
        finally:
            _slots.release()
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, addresses, error)

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    return await found


class Dialer:
    """Opens the connections of one task. A name is looked up once for it."""

    def __init__(
        self,
        *,
        guarded: bool,
        proxy: Proxy | None,
        connect_timeout: float,
        resolve: Resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``connect_timeout``: seconds for name, TCP and the proxy's handshake together; ``tls``: for https proxies."""
        self._guarded = guarded
        self._proxy = proxy
        self._timeout = connect_timeout
        self._resolve = resolve
        self._tls = tls
        self._names: dict[str, asyncio.Task[list[Address]]] = {}
        self._lookups = asyncio.Semaphore(LOOKUPS)

    async def dial(self, host: str, port: int, make: MakeProtocol) -> None:
        """Connects the protocol that ``make`` makes. Raises :class:`FetchError`: ``address``, ``dns``, ``connect``,
        ``connect_timeout``, ``proxy`` or ``overload``."""
        try:
            async with asyncio.timeout(self._timeout):
                if self._proxy is None:
                    await self._direct(host, port, make)
                else:
                    await self._by_proxy(self._proxy, host, port, make)
        except TimeoutError:
            raise FetchError("connect_timeout", f"{host}: no connection in {self._timeout:g} seconds") from None

    def close(self) -> None:
        """Waits for no name any more."""
        for task in self._names.values():
            task.cancel()

    async def _direct(self, host: str, port: int, make: MakeProtocol) -> None:
        allowed, refused = self._judged(await self._addresses(host, port))
        if not allowed:
            raise FetchError("address", refused)
        try:
            made = await _connect(allowed)
        except OSError as error:
            if refused:  # as libcurl in the fetcher: one of its addresses was private, and the rest do not answer
                raise FetchError("address", refused) from None
            raise FetchError("connect", f"{host} port {port}: {_text(error)}") from None
        await asyncio.get_running_loop().create_connection(make, sock=made)

    async def _by_proxy(self, proxy: Proxy, host: str, port: int, make: MakeProtocol) -> None:
        target = await self._target(proxy, host, port)
        made = await self._to_proxy(proxy)
        loop = asyncio.get_running_loop()
        tls = (self._tls or ssl.create_default_context()) if proxy.scheme == "https" else None
        talk = _Talk(Handshake(proxy, target, port))
        try:
            await loop.create_connection(
                lambda: talk, sock=made, ssl=tls, server_hostname=proxy.host.strip("[]") if tls is not None else None
            )
            transport = await talk.over
        except ProxyRefused as error:
            raise FetchError("proxy", str(error)) from None
        except OSError as error:  # TLS as well
            raise FetchError("proxy", f"{proxy.host} port {proxy.port}: {_text(error)}") from None
        finally:
            talk.end()
        protocol = make()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if talk.rest():
            protocol.data_received(talk.rest())
        transport.resume_reading()

    async def _target(self, proxy: Proxy, host: str, port: int) -> str:
        """What the proxy is asked for; judged by name, for nobody here sees where the proxy connects to."""
        host = _plain(host)
        if self._guarded:
            reason = address_guard.host_refusal(f"[{host}]" if ":" in host else host)
            if reason is not None:
                raise FetchError("address", reason)
        if proxy.scheme not in NAMES_HERE:
            return host
        allowed, refused = self._judged(await self._addresses(host, port))
        if proxy.scheme == "socks4":
            allowed = [address for address in allowed if address[0] == socket.AF_INET]
        if not allowed:
            raise FetchError("address" if refused else "dns", refused or f"{host}: no IPv4 address, for SOCKS 4")
        return str(allowed[0][4][0])

    async def _to_proxy(self, proxy: Proxy) -> socket.socket:
        host = proxy.host.strip("[]")
        if self._guarded and not proxy.trusted:
            reason = address_guard.host_refusal(proxy.host)
            if reason is not None:
                raise FetchError("address", reason)
        try:
            addresses = await self._addresses(host, proxy.port)
        except FetchError as error:
            raise FetchError("proxy", f"the proxy {error}") from None
        allowed, refused = (addresses, "") if proxy.trusted else self._judged(addresses)
        if not allowed:
            raise FetchError("address", refused)
        try:
            return await _connect(allowed)
        except OSError as error:
            raise FetchError("proxy", f"the proxy {proxy.host} port {proxy.port}: {_text(error)}") from None

    def _judged(self, addresses: list[Address]) -> tuple[list[Address], str]:
        """Those that may be connected to, and why the last of the others may not."""
        if not self._guarded:
            return addresses, ""
        allowed, refused = [], ""
        for address in addresses:
            known = address[0] in (socket.AF_INET, socket.AF_INET6)
            reason = address_guard.refusal(address[4][0]) if known else "not an IP address"
            if reason is None:
                allowed.append(address)
            else:
                refused = reason
        return allowed, refused

    async def _addresses(self, host: str, port: int) -> list[Address]:
        """Shared by all who wait for the same name, and remembered while the task lasts."""
        task = self._names.get(host)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            while len(self._names) >= MAX_NAMES:
                self._names.pop(next(iter(self._names)))
            task = self._names[host] = asyncio.get_running_loop().create_task(self._look_up(host))
            task.add_done_callback(_seen)
        return [(*address[:4], (address[4][0], port, *address[4][2:])) for address in await asyncio.shield(task)]

    async def _look_up(self, host: str) -> list[Address]:
        async with self._lookups:
            return await self._resolve(host, 0)


class _Talk(asyncio.Protocol):
    """The handshake with a proxy, up to the moment when the way is open."""

    def __init__(self, handshake: Handshake) -> None:
        self.over: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()
        self._handshake = handshake
        self._late = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._step(b"")

    def data_received(self, data: bytes) -> None:
        if self._handshake.done:
            self._late += data  # what was under way when reading was paused
        else:
            self._step(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(ProxyRefused("the proxy closed the connection"))

    def rest(self) -> bytes:
        """What the far side has said already."""
        return self._handshake.rest + self._late

    def end(self) -> None:
        """Closes what has not come to a good end."""
        self.over.cancel()
        good = not self.over.cancelled() and self.over.exception() is None
        if not good and self._transport is not None:
            self._transport.abort()

    def _step(self, data: bytes) -> None:
        assert self._transport is not None
        if self.over.done():
            return
        try:
            out = self._handshake.feed(data)
        except (ProxyRefused, UnicodeError) as error:
            self.over.set_exception(ProxyRefused(str(error)))
            return
        if out:
            self._transport.write(out)
        if self._handshake.done:
            self._transport.pause_reading()
            self.over.set_result(self._transport)


async def _connect(addresses: list[Address]) -> socket.socket:
    """To the first that answers; several are tried side by side."""
    made = await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _plain(host: str) -> str:
    """An IP address however it is written (``0x7f.1``) in its usual form; anything else as it is."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host


def _text(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


def _seen(task: asyncio.Task[Any]) -> None:
    """Marks its exception as read: whoever waited for it may have gone."""
    if not task.cancelled():
        task.exception()
