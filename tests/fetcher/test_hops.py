"""What a watched fetch tells of its way."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from crawlkit.fetcher.fetch import Fetcher
from crawlkit.fetcher.hops import Hop, watching
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.messages import NIL, TASK, Dispatch
from crawlkit.libs.task import Fetch, Schedule


@pytest.fixture
def url() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if self.path == "/from" else 200)
            self.send_header("Location", "/to")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetched(url: str, watched: bool = True, **said: Any) -> list[Hop]:
    async def one() -> list[Hop]:
        fetcher = Fetcher(FetcherSettings(), SystemClock(), "n")
        task = Dispatch("p", "t", 1, 1, url, "", None, 0, TASK, Schedule(), Fetch(**said), NIL, 0)
        try:
            if not watched:
                await fetcher.fetch(task)
            with watching() as hops:
                if watched:
                    await fetcher.fetch(task)
            return hops
        finally:
            await fetcher.close()

    return asyncio.run(one())


def test_every_hop_with_its_head_as_it_was_sent(url: str) -> None:
    first, second = fetched(url + "/from", headers={"X-Own": "1"}, cookies={"a": "b"})
    assert (first.url, first.status, second.url, second.status) == (url + "/from", 302, url + "/to", 200)
    assert first.head.startswith(b"GET /from HTTP/1.1\r\n")
    assert ("X-Own", "1") in first.sent()
    assert ("Cookie", "a=b") in first.sent()
    assert first.address == "127.0.0.1"
    assert first.timing.total >= first.timing.wait > 0
    assert all(part >= 0 for part in (first.timing.dns, first.timing.connect, first.timing.tls, first.timing.receive))


def test_a_hop_without_an_answer() -> None:
    (hop,) = fetched("http://127.0.0.1:1/")
    assert (hop.status, hop.head, hop.sent()) == (0, b"", [])


def test_nothing_is_noted_when_nobody_watches(url: str) -> None:
    assert fetched(url + "/from", watched=False) == []
