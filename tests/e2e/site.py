"""A web site that keeps a ledger of its requests, in a process of its own, and a walk over its links.

Run as a script it is the server: GET of static files, kept-alive connections, no validators (so no conditional GET),
a line per request in the ledger as it comes in, and the answer some seconds later where the test wants a slow site.
Imported it is the test's handle on it. No crawlkit code.
"""

from __future__ import annotations

import asyncio
import collections
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import lxml.html

if TYPE_CHECKING:
    from tests.e2e.hosts import Host

DEADLINE = 60.0  # seconds that a test waits for the site


class Ledger(asyncio.Protocol):
    """One connection of the server."""

    folder: Path
    ledger: int  # file descriptor
    place: Path
    peers: set[str] = set()
    count = 0
    delay = 0.0  # seconds between a request and its answer
    kill_at: dict[int, int] = {}
    files: dict[str, bytes | None] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""
        peer = transport.get_extra_info("peername")
        if peer and peer[0] not in self.peers:
            self.peers.add(peer[0])
            with open(f"{self.place}.clients", "a") as clients:
                clients.write(peer[0] + "\n")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            self.answer(head.split(b" ", 2)[1].decode("latin-1"))

    def answer(self, target: str) -> None:
        path = unquote(urlsplit(target).path)
        if path != "/robots.txt":
            Ledger.count += 1
            os.write(self.ledger, path.encode() + b"\n")
            group = self.kill_at.pop(Ledger.count, None)
            if group is not None:
                os.killpg(group, signal.SIGKILL)
                print("killed", Ledger.count, flush=True)
        body = self.read(path)
        status, kind = ("200 OK", "text/html; charset=utf-8") if body is not None else ("404 Not Found", "text/plain")
        if path.endswith(".css"):
            kind = "text/css"
        body = body or b""
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self.transport.write, head.encode() + body)
        else:
            self.transport.write(head.encode() + body)

    @classmethod
    def order(cls, number: int, group: int) -> None:
        """Requests that a dead client had sent already are counted too: then the next one it is."""
        cls.kill_at[max(number, cls.count + 1)] = group

    @classmethod
    def read(cls, path: str) -> bytes | None:
        if path not in cls.files:
            file = cls.folder / (path.lstrip("/") or "index.html")
            cls.files[path] = file.read_bytes() if file.is_file() else None
        return cls.files[path]


async def serve(folder: Path, ledger: Path, delay: float, address: str, port: int) -> None:
    Ledger.folder = folder
    Ledger.delay = delay
    Ledger.place = ledger
    Ledger.ledger = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Ledger, address, port, backlog=512)
    print("port", server.sockets[0].getsockname()[1], flush=True)

    def orders() -> None:
        for line in sys.stdin:  # "kill REQUEST GROUP" or "delay SECONDS"
            match line.split():
                case ["kill", number, group]:
                    loop.call_soon_threadsafe(Ledger.order, int(number), int(group))
                case ["delay", seconds]:
                    Ledger.delay = float(seconds)
        os._exit(0)  # the test is gone

    threading.Thread(target=orders, daemon=True).start()
    await server.serve_forever()


class Site:
    """The test's handle on a running site; ``host``: of :mod:`tests.e2e.hosts`, if it runs on one."""

    def __init__(self, folder: Path, ledger: Path, delay: float = 0, host: Host | None = None, port: int = 0) -> None:
        self.ledger = ledger
        address = host.address if host is not None else "127.0.0.1"
        command = [sys.executable, __file__, str(folder), str(ledger), str(delay), address, str(port)]
        if host is not None:
            command = host.command(command)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.base = f"http://{address}:{self._said('port')}/"

    def _said(self, word: str) -> int:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().split()
        assert line[:1] == [word], f"the site said {line!r} instead of {word!r}"
        return int(line[1])

    def requests(self) -> list[str]:
        """Every request so far, robots.txt left out, as URLs."""
        text = self.ledger.read_text() if self.ledger.exists() else ""
        return [urljoin(self.base, path) for path in text.splitlines()]

    def count(self) -> int:
        """How many requests came so far."""
        return self.ledger.read_bytes().count(b"\n") if self.ledger.exists() else 0

    def clients(self) -> set[str]:
        """The addresses that requests came from."""
        file = Path(f"{self.ledger}.clients")
        return set(file.read_text().split()) if file.exists() else set()

    def kill_at(self, request: int, group: int) -> None:
        """SIGKILL to a process group when the request of this number comes in, before it is answered."""
        self._order(f"kill {request} {group}")

    def hasten(self) -> None:
        """From now on it answers at once."""
        self._order("delay 0")

    def _order(self, words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def walk(start: str) -> set[str]:
    """Every page of the site that links lead to, found without crawlkit."""
    site = urlsplit(start).netloc
    seen = {start}
    queue = collections.deque(seen)
    while queue:
        url = queue.popleft()
        with urllib.request.urlopen(url, timeout=DEADLINE) as response:
            page = lxml.html.fromstring(response.read())
        for href in page.xpath("//a/@href"):
            link = urldefrag(urljoin(url, href)).url
            if urlsplit(link).netloc == site and link not in seen:
                seen.add(link)
                queue.append(link)
    return seen


if __name__ == "__main__":
    folder, ledger, delay, address, port = sys.argv[1:]
    asyncio.run(serve(Path(folder), Path(ledger), float(delay), address, int(port)))
