"""Dispatches, real servers and deadlines for the fetcher's tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from crawlkit.libs.messages import NIL, Dispatch
from crawlkit.libs.task import Fetch, Schedule

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def dispatch(url: str, taskid: str = "t", **fetch: object) -> Dispatch:
    validators = {name: fetch.pop("saved_" + name) for name in ("etag", "last_modified") if "saved_" + name in fetch}
    return Dispatch(
        project="p", taskid=taskid, run=1, attempt=1, url=url, script="", callback=None, time_limit=0, kind=0,
        schedule=Schedule(), fetch=Fetch(**fetch), save=NIL, lastcrawltime=0, **validators,
    )  # fmt: skip


async def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Returns when the condition holds; fails when it does not within ``seconds``."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, "the condition did not come true"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def raw_server(handler: Handler, **options: object) -> AsyncIterator[int]:
    """A TCP server that behaves as badly as its handler; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)  # type: ignore[arg-type]
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def read_request(reader: asyncio.StreamReader) -> tuple[str, list[tuple[str, str]], bytes]:
    """(request line, headers, body) of one HTTP/1.1 request with a Content-Length or without a body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.rstrip("\r\n").split("\r\n")
    headers = [(name.strip(), value.strip()) for name, _, value in (text.partition(":") for text in rest)]
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return line, headers, await reader.readexactly(length)


def answer(body: bytes = b"", status: str = "200 OK", headers: str = "") -> bytes:
    """An HTTP/1.1 response; ``headers`` are whole lines with their ends."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode("latin-1") + body
