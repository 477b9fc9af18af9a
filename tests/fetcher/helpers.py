"""Dispatches, real servers and deadlines for the fetcher's tests."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from crawlkit.fetcher.fetch import Fetcher
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.messages import NIL, Dispatch, Fetched
from crawlkit.libs.task import Fetch, Schedule

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def dispatch(url: str, taskid: str = "t", **fetch: object) -> Dispatch:
    validators = {name: fetch.pop("saved_" + name) for name in ("etag", "last_modified") if "saved_" + name in fetch}
    return Dispatch(
        project="p", taskid=taskid, run=1, attempt=1, url=url, script="", callback=None, time_limit=0, kind=0,
        schedule=Schedule(), fetch=Fetch(**fetch), save=NIL, lastcrawltime=0, **validators,
    )  # fmt: skip


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs an async test in a loop of its own; it may take 30 seconds."""

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        async def limited() -> None:
            await asyncio.wait_for(test(*args, **kwargs), 30)

        asyncio.run(limited())

    return run


@asynccontextmanager
async def fetcher(blobs: object = None, **settings: object) -> AsyncIterator[Fetcher]:
    """A fetcher with these settings, closed at the end; nothing may be left in it."""
    made = Fetcher(FetcherSettings(**settings), SystemClock(), "node", blobs)  # type: ignore[arg-type]
    try:
        yield made
        assert made.engine.inflight.bytes == 0, "room for bodies was not given back"
        assert not made.engine.transfers
    finally:
        await made.close()


async def fetch(url: str, **options: object) -> Fetched:
    """One fetch with a fetcher of its own."""
    async with fetcher() as one:
        return await one.fetch(dispatch(url, **options))


async def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Returns when the condition holds; fails when it does not within ``seconds``."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, "the condition did not come true"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def raw_server(handler: Handler, **options: object) -> AsyncIterator[int]:
    """A TCP server that behaves as badly as its handler; yields its port. At the end nothing of it runs any more."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError):
            pass  # the last one: the loop is at its end, and would say so for each connection
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, **options)  # type: ignore[arg-type]
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for _ in range(5):  # turns of the loop, within which a connection just accepted reaches its handler
            await asyncio.sleep(0)
        for task in serving:
            task.cancel()
        ended = await asyncio.gather(*serving, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error


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


class Site:
    """A server of canned answers that writes down what it was asked. Paths without an answer get a 404."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | Callable[[dict[str, str], bytes], bytes]] = {}
        self.requests: list[tuple[str, dict[str, str], bytes]] = []  # request line, headers in lower case, body
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, path: str, reply: bytes | Callable[[dict[str, str], bytes], bytes]) -> None:
        self.answers[path] = reply

    def redirect(self, path: str, target: str, status: int = 302, headers: str = "") -> None:
        self.on(path, answer(b"moved", f"{status} Moved", f"Location: {target}\r\n{headers}"))

    def asked(self, path: str) -> list[dict[str, str]]:
        """The headers of each request for this path."""
        return [headers for line, headers, _ in self.requests if line.split(" ")[1] == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            line, headers, body = await read_request(reader)
            named = {name.lower(): value for name, value in headers}
            self.requests.append((line, named, body))
            reply = self.answers.get(line.split(" ")[1], answer(b"nothing here", "404 Not Found"))
            writer.write(reply(named, body) if callable(reply) else reply)
            await writer.drain()


@asynccontextmanager
async def site(tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    """A :class:`Site` on loopback."""
    made = Site()
    async with raw_server(made.serve, ssl=tls) as port:
        made.port = port
        yield made
