"""Work that outlasts its lease is done once; an on_start over a big file is taken in whole and in flat memory."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.commands import Crawl, environment, results, run, until

MIB = 2**20

SLOW_CALLBACK = """
import os, time
from crawlkit import BaseHandler

class Handler(BaseHandler):
    def on_start(self):
        self.crawl(os.environ["SITE"] + "page", callback=self.page)

    def page(self, response):
        time.sleep(6)
        return {"slept": 6}
"""

BIG_DOWNLOAD = """
import os
from crawlkit import BaseHandler

class Handler(BaseHandler):
    def on_start(self):
        self.crawl(os.environ["SITE"] + "big", callback=self.page)

    def page(self, response):
        return {"bytes": len(response.content)}
"""

MANY_LINES = """
import os
from crawlkit import BaseHandler

class Handler(BaseHandler):
    def on_start(self):
        with open(os.environ["LINES"]) as lines:
            for line in lines:
                yield self.crawl("data:," + line.strip(), callback=self.page)

    def page(self, response):
        return None
"""


class SlowSite:
    """Answers /page at once and /big as a body that takes its time; counts the requests."""

    def __init__(self, size: int, seconds: float) -> None:
        self.size, self.seconds = size, seconds
        self.requests: list[str] = []
        self.port = 0
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._started.wait(10)

    def _serve(self) -> None:
        async def start() -> None:
            server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            self._started.set()

        self._loop.run_until_complete(start())
        self._loop.run_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode()
                self.requests.append(path)
                if path == "/big":
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.size)
                    steps = 50
                    for _ in range(steps):
                        writer.write(b"x" * (self.size // steps))
                        await writer.drain()
                        await asyncio.sleep(self.seconds / steps)
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@pytest.fixture
def slow_site() -> Iterator[SlowSite]:
    site = SlowSite(200_000_000, 7.0)
    yield site
    site.close()


def crawl_once(site: SlowSite, folder: Path, **scripts: str) -> dict[str, object]:
    """One run with a lease of 2 seconds; returns its results."""
    for name, script in scripts.items():
        (folder / f"{name}.py").write_text(script)
    base = f"http://127.0.0.1:{site.port}/"
    env = environment(base, {"SITE": base, "CRAWLKIT_SCHEDULER_LEASE": "2", "CRAWLKIT_FETCHER_MAX_BODY": "256"})
    names = [f"{name}.py" for name in scripts]
    done = run(["one", *names, "-o", "out.jsonl", "--data-path", "d"], folder, env, timeout=100)
    assert done.returncode == 0, done.stderr
    audit = run(["--data-path", "d", "audit"], folder, env)
    assert audit.returncode == 0, audit.stdout
    return results(folder / "out.jsonl")


@pytest.mark.timeout(150)
def test_a_callback_of_three_leases_and_a_slow_large_download_come_once_each(
    slow_site: SlowSite, tmp_path: Path
) -> None:
    found = crawl_once(slow_site, tmp_path, callback=SLOW_CALLBACK, download=BIG_DOWNLOAD)
    assert {url.rpartition("/")[2]: result for url, result in found.items()} == {
        "page": {"slept": 6},
        "big": {"bytes": slow_site.size},
    }
    assert sorted(slow_site.requests) == ["/big", "/page"]


def accepted(taskdb: Path) -> int:
    """Tasks in the ledger of a running crawl."""
    try:
        with sqlite3.connect(f"file:{taskdb}?mode=ro", uri=True) as reader:
            query = "select coalesce(sum(n), 0) from ledger where event = 'accepted'"
            return int(reader.execute(query).fetchone()[0])
    except sqlite3.Error:
        return 0


def resident(crawl: Crawl) -> int:
    """Bytes of memory that the processes of a crawl hold, shared pages counted once."""
    total = 0
    for process in crawl.processes():
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("lines", [60_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_big_file_is_taken_in_whole_and_in_flat_memory(lines: int, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(MANY_LINES)
    with (tmp_path / "lines.txt").open("w") as file:
        file.writelines(f"line-{n}\n" for n in range(lines))
    env = environment("http://127.0.0.1/", {"LINES": str(tmp_path / "lines.txt")})
    arguments = ["one", "job.py", "-o", "out.jsonl", "--data-path", "d", "--limit", "1"]
    taskdb = tmp_path / "d" / "task.db"
    with Crawl(arguments, tmp_path, env) as crawl:
        until(lambda: accepted(taskdb) > lines // 3, 300, "a third of the lines")
        early = resident(crawl)
        crawl.kill()
    assert accepted(taskdb) < lines
    with Crawl(arguments, tmp_path, env) as crawl:
        peak = 0
        while crawl.process.poll() is None and accepted(taskdb) < lines + 1:
            peak = max(peak, resident(crawl))
        assert crawl.wait(600) == 0, crawl.said[-3000:]
    assert accepted(taskdb) == lines + 1  # and on_start itself
    assert peak < early + 100 * MIB
    with sqlite3.connect(taskdb) as reader:
        assert reader.execute("select count(*) from tasks").fetchone()[0] == lines + 1
    assert run(["--data-path", "d", "audit"], tmp_path, env).returncode == 0
