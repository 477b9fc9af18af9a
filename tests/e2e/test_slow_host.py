"""One slow host and 99 fast ones in one project: the fast ones are as fast as without it (issue 7, show 4)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.commands import Crawl, environment, until

FAST, PAGES, SLOW_PAGES, SECONDS = 99, 50, 300, 10.0
SCRIPT = """
from crawlkit.libs.base_handler import *

class Handler(BaseHandler):
    @every(minutes=24 * 60)
    def on_start(self):
        for n in range({slow}):
            self.crawl("http://127.0.2.1:{port}/%d" % n, callback=self.page)
        for n in range({pages}):
            for host in range({fast}):
                self.crawl("http://127.0.1.%d:{port}/%d" % (host + 1, n), callback=self.page)

    def page(self, response):
        return {{"url": response.url}}
"""


class Site:
    """All hosts of 127.0.0.0/8 on one port; 127.0.2.1 takes its time."""

    def __init__(self) -> None:
        self.fast: list[float] = []  # when each page of a fast host was answered
        self.slow = 0  # requests under way to the slow one
        self.most_slow = 0
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), daemon=True)
        self._thread.start()
        assert self._listening.wait(10)

    async def _live(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "0.0.0.0", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._end.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"Host: 127.0.2.1" in head:
                    self.slow += 1
                    self.most_slow = max(self.most_slow, self.slow)
                    await asyncio.sleep(SECONDS)
                    self.slow -= 1
                else:
                    self.fast.append(time.monotonic())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nContent-Type: text/html\r\n\r\n<p>page</p>")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(5)


@pytest.fixture
def site() -> Iterator[Site]:
    served = Site()
    yield served
    served.close()


def pages_a_second(site: Site, folder: Path, slow: int) -> float:
    """Of the fast hosts, from the first page of them to the last."""
    folder.mkdir()
    (folder / "script.py").write_text(SCRIPT.format(slow=slow, pages=PAGES, fast=FAST, port=site.port))
    site.fast.clear()
    with Crawl(["one", "script.py", "--data-path", "d", "--rate", "unlimited"], folder, environment("")) as crawl:
        until(lambda: len(site.fast) >= FAST * PAGES or crawl.process.poll() is not None, 120, "all pages")
        assert len(site.fast) >= FAST * PAGES, crawl.said[-3000:]
    return len(site.fast) / (site.fast[-1] - site.fast[0])


@pytest.mark.slow
def test_a_slow_host_takes_nothing_from_the_fast_ones(site: Site, tmp_path: Path) -> None:
    alone, beside = [], []
    for number in range(4):
        alone.append(pages_a_second(site, tmp_path / f"alone{number}", 0))
        beside.append(pages_a_second(site, tmp_path / f"beside{number}", SLOW_PAGES))
    print(f"without {alone}, beside a slow host {beside} pages/s; at most {site.most_slow} requests to it at once")
    assert site.most_slow >= 4
    assert max(beside) >= 0.9 * max(alone)
