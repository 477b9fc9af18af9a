"""Two sites for attacks: one that a crawler may see, and one inside that must hear nothing, on TCP and UDP."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.browser.relayed import PUBLIC
from tests.fetcher.helpers import read_request

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Inner:
    """Hears on every address of this machine but ``PUBLIC``.

    ``heard``: paths that were asked for, and a word for each packet.
    """

    def __init__(self) -> None:
        self.port = 0
        self.heard: list[str] = []
        self.connections = 0

    def words(self) -> set[str]:
        """The last part of each path that came: the name of the way by which it came."""
        return {path.partition("?")[0].rpartition("/")[2] for path in self.heard}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if writer.get_extra_info("sockname")[0] == f"::ffff:{PUBLIC}":
            writer.close()
            return
        self.connections += 1
        try:
            while True:
                line, headers, _ = await read_request(reader)
                self.heard.append(line.split(" ")[1])
                named = {name.lower(): value for name, value in headers}
                if "sec-websocket-key" in named:
                    key = base64.b64encode(hashlib.sha1(named["sec-websocket-key"].encode() + GUID).digest()).decode()
                    writer.write(f"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 f"Sec-WebSocket-Accept: {key}\r\n\r\n".encode())  # fmt: skip
                    await reader.read()
                    return
                kind = self.heard[-1].rpartition(".")[2]
                writer.write(reply(b"secret", {"js": "text/javascript", "css": "text/css"}.get(kind, "text/plain")))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()


class Outer:
    """The attacker's site, at ``PUBLIC``: answers ``pages`` (path to whole answer), 404 for others."""

    def __init__(self) -> None:
        self.port = 0
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                line, _, _ = await read_request(reader)
                path = line.split(" ")[1]
                self.asked.append(path)
                writer.write(self.pages.get(path.partition("?")[0]) or reply(b"", status="404 Not Found"))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()


def reply(body: bytes | str, kind: str = "text/html", status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer; header names have ``_`` for ``-``."""
    body = body.encode() if isinstance(body, str) else body
    lines = {
        "Content-Type": f"{kind}; charset=utf-8",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "Access-Control-Allow-Origin": "*",
        **headers,
    }
    head = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


class _Packets(asyncio.DatagramProtocol):
    def __init__(self, inner: Inner) -> None:
        self.inner = inner

    def datagram_received(self, data: bytes, address: object) -> None:
        stun = data[4:8] == b"\x21\x12\xa4\x42"
        self.inner.heard.append("/stun-packet" if stun else "/quic-packet" if data[:1] >= b"\xc0" else "/packet")


@asynccontextmanager
async def inside() -> AsyncIterator[Inner]:
    """An :class:`Inner` on IPv4 and IPv6."""
    made = Inner()
    listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    made.port = listener.getsockname()[1]
    server = await asyncio.start_server(made.serve, sock=listener)
    packets = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    packets.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    packets.bind(("::", made.port))
    packets.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Packets(made), sock=packets)
    try:
        yield made
    finally:
        transport.close()
        server.close()


@asynccontextmanager
async def outside() -> AsyncIterator[Outer]:
    """An :class:`Outer`."""
    made = Outer()
    server = await asyncio.start_server(made.serve, PUBLIC, 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
