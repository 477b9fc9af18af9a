"""Scripts of servers that misbehave, each with the one kind of error that a fetch from it ends with.

A script is what one server does with one connection; test_hostile runs them. Kind "" is for what a browser would
take too: the fetch must end well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.fetcher.helpers import answer, read_request

MIB = 2**20
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Reply = bytes | Callable[[], bytes]  # what is large is made when it is asked for

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Script:
    """``task``: options of the fetch; ``at``: the URL in place of the server's, which it may name as ``{port}``."""

    name: str
    serve: Serve
    kind: str
    task: dict[str, object] = field(default_factory=dict)
    at: str = "http://127.0.0.1:{port}/"
    tls: str = ""  # what the server's context is, see secure.py


def says(*replies: Reply, hold: bool = False) -> Serve:
    """A server with one answer for each request; ``hold``: it keeps the connection open after them."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await read_request(reader)
            writer.write(reply() if callable(reply) else reply)
            await writer.drain()
        if hold:
            await reader.read()

    return serve


def routes(page: Reply, **others: Reply) -> Serve:
    """A server that answers by path: ``page``, or what is named like the path's last part up to its dot."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line, _, _ = await read_request(reader)
            name = line.split(" ")[1].rpartition("/")[2].partition(".")[0]
            reply = others.get(name, page)
            writer.write(reply() if callable(reply) else reply)
            await writer.drain()

    return serve


def repeats(head: bytes, piece: bytes, pause: float = 0) -> Serve:
    """A server that never ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return serve


def speaks_first(data: bytes) -> Serve:
    """A server that does not wait for the request, as those of other protocols."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        await reader.read(1)
        await asyncio.sleep(0.05)

    return serve


def coded(coding: str, body: bytes, status: str = "200 OK") -> bytes:
    """An answer whose body has a Content-Encoding."""
    return answer(body, status, f"Content-Encoding: {coding}\r\n")


def moved(target: str, status: int = 302, headers: str = "") -> bytes:
    return answer(b"moved", f"{status} Moved", f"Location: {target}\r\n{headers}")
