"""Small real proxies: HTTP with CONNECT, plain or over TLS, and SOCKS 4, 4a and 5."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fetcher.helpers import answer, raw_server, read_request


class Proxy:
    """One request or tunnel a connection; writes down what it was told."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[tuple[str, str | None]] = []  # method and Proxy-Authorization
        self.wanted: str | None = None  # credentials without which it says 407

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, headers, body = await read_request(reader)
        method, target, _ = line.split()
        given = {name.lower(): value for name, value in headers}.get("proxy-authorization")
        self.seen.append((method, given))
        if self.wanted is not None and given != "Basic " + base64.b64encode(self.wanted.encode()).decode():
            writer.write(
                answer(b"who are you", "407 Proxy Authentication Required", "Proxy-Authenticate: Basic realm=x\r\n")
            )
            return
        where = target if method == "CONNECT" else target.split("/")[2]
        host, _, port = where.partition(":")
        try:
            upstream_reader, upstream = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.write(answer(b"no way there", "502 Bad Gateway"))
            return
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\nX-Proxy: yes\r\n\r\n")
        else:
            path = "/" + target.split("/", 3)[3]
            kept = [f"{name}: {value}\r\n" for name, value in headers if name.lower() != "proxy-authorization"]
            upstream.write(
                f"{method} {path} HTTP/1.1\r\n{''.join(kept)}Connection: close\r\n\r\n".encode("latin-1") + body
            )
        await relay(reader, writer, upstream_reader, upstream)


async def relay(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far: asyncio.StreamReader,
    upstream: asyncio.StreamWriter,
) -> None:
    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()

    copies = [asyncio.create_task(copy(reader, upstream)), asyncio.create_task(copy(far, writer))]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED, timeout=2)
    finally:
        for one in copies:
            one.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        upstream.close()


@asynccontextmanager
async def proxy(wanted: str | None = None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """``wanted``: credentials, ``user:password``."""
    made = Proxy()
    made.wanted = wanted
    async with raw_server(made.serve, ssl=tls) as port:
        made.port = port
        yield made


async def socks5(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RFC 1928 and 1929, user ``u`` and password ``p``."""
    _, count = await reader.readexactly(2)
    methods = await reader.readexactly(count)
    if 2 not in methods:
        writer.write(b"\x05\xff")
        return
    writer.write(b"\x05\x02")
    _, size = await reader.readexactly(2)
    user = await reader.readexactly(size)
    [size] = await reader.readexactly(1)
    password = await reader.readexactly(size)
    writer.write(b"\x01\x00" if (user, password) == (b"u", b"p") else b"\x01\x01")
    if (user, password) != (b"u", b"p"):
        return
    _, _, _, kind = await reader.readexactly(4)
    if kind == 3:
        [size] = await reader.readexactly(1)
        host = (await reader.readexactly(size)).decode()
    else:
        host = socket.inet_ntoa(await reader.readexactly(4))
    [port] = struct.unpack("!H", await reader.readexactly(2))
    far, upstream = await asyncio.open_connection("127.0.0.1" if host == "far.example" else host, port)
    writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
    await relay(reader, writer, far, upstream)


async def socks4(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """SOCKS 4 and 4a, for the user ``u``."""
    _, _, port, address = struct.unpack("!BBH4s", await reader.readexactly(8))
    user = (await reader.readuntil(b"\0"))[:-1]
    host = socket.inet_ntoa(address)
    if host.startswith("0.0.0."):
        host = (await reader.readuntil(b"\0"))[:-1].decode()
    if user != b"u":
        writer.write(b"\x00\x5d" + bytes(6))
        return
    far, upstream = await asyncio.open_connection("127.0.0.1" if host == "far.example" else host, port)
    writer.write(b"\x00\x5a" + bytes(6))
    await relay(reader, writer, far, upstream)
