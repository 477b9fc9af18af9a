"""A web server that writes down every request, for a site whose crawl is disturbed on purpose. A thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from crawlkit.libs.errors import ServiceUnreachable
from crawlkit.proving.static_server import Connection, Files

START_WITHIN = 10.0  # seconds
BACKLOG = 1024
ROBOTS = "/robots.txt"


class Request(NamedTuple):
    """Times are monotonic."""

    at: float
    path: str
    opened: float  # when its connection was accepted


class Ledger(Files):
    """The files of a folder, each answer ``delay`` seconds after its request.

    ``on_request(number)`` is called in the server's thread when a request comes in, before it is answered; the first
    has the number 1. Requests for robots.txt are answered and not counted.
    """

    def __init__(self, folder: Path, delay: float, on_request: Callable[[int], None] = lambda number: None) -> None:
        super().__init__(folder)
        self.delay = delay
        self.on_request = on_request
        self.requests: list[Request] = []

    def note(self, target: bytes, opened: float) -> None:
        """A request has come in."""
        path = target.decode("latin-1").partition("?")[0]
        if path != ROBOTS:
            self.requests.append(Request(time.monotonic(), path, opened))
            self.on_request(len(self.requests))

    def counts(self, base: str) -> Counter[str]:
        """How often each URL was asked for; ``base`` ends without a slash."""
        return Counter(base + request.path for request in self.requests)


class _Noted(Connection):
    """A connection whose requests are written down."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self._ledger = ledger
        self._opened = time.monotonic()

    def respond(self, target: bytes) -> None:
        self._ledger.note(target, self._opened)
        asyncio.get_running_loop().call_later(self._ledger.delay, self._late, target)

    def _late(self, target: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():  # who asked may be dead by now
            super().respond(target)


@contextmanager
def keeping(ledger: Ledger, port: int) -> Iterator[None]:
    """Serves it on 127.0.0.1 until the block ends. Raises :class:`ServiceUnreachable` when the port is taken."""
    loop = asyncio.new_event_loop()
    listening = threading.Event()
    problems: list[OSError] = []

    def serve() -> None:
        asyncio.set_event_loop(loop)
        try:
            making = loop.create_server(lambda: _Noted(ledger), "127.0.0.1", port, backlog=BACKLOG)
            server = loop.run_until_complete(making)
        except OSError as error:
            problems.append(error)
            return
        finally:
            listening.set()
        loop.run_forever()
        server.close()

    thread = threading.Thread(target=serve, name="ledger", daemon=True)
    thread.start()
    try:
        if not listening.wait(START_WITHIN) or problems:
            why = problems[0].strerror if problems else "nobody listens"
            raise ServiceUnreachable(f"the web server did not start on port {port}: {why}")
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
