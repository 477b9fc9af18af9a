"""Servers that answer 429 above so many requests a second, and write down what they were asked and when."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque


class LimitedSite:
    """Answers on a free port of 127.0.0.1. ``rate``: requests within any second that it answers with a page."""

    def __init__(self, rate: float = float("inf"), headers: str = "") -> None:
        """``headers``: whole lines that go with a 429."""
        self.rate = rate
        self.headers = headers
        self.log: list[tuple[float, int, str]] = []  # (monotonic, status, path), as answered
        self._seen: deque[float] = deque()
        self.port = 0
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), daemon=True)
        self._thread.start()
        assert self._listening.wait(10)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def _live(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._end.wait()
        server.close()

    def answer(self, path: str) -> int:
        """The status, written down."""
        now = time.monotonic()
        while self._seen and self._seen[0] <= now - 1.0:
            self._seen.popleft()
        status = 200 if len(self._seen) < self.rate else 429
        if status == 200:
            self._seen.append(now)
        self.log.append((now, status, path))
        return status

    def seen(self, start: float, end: float, status: int | None = None) -> int:
        """Requests between two moments (monotonic), of one status or in all."""
        return sum(start <= when < end and status in (None, code) for when, code, _ in list(self.log))

    def pace(self, start: float, end: float) -> float:
        """Requests a second."""
        return self.seen(start, end) / (end - start)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(5)


class _Connection(asyncio.Protocol):
    def __init__(self, site: LimitedSite) -> None:
        self._site = site
        self._come = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._come += data
        while b"\r\n\r\n" in self._come:
            head, _, self._come = self._come.partition(b"\r\n\r\n")
            status = self._site.answer(head.decode("latin-1").split()[1])
            body = "<p>page</p>" if status == 200 else ""
            first = "200 OK\r\n" if status == 200 else f"429 Too Many\r\n{self._site.headers}"
            self._transport.write(f"HTTP/1.1 {first}Content-Length: {len(body)}\r\n\r\n{body}".encode())
