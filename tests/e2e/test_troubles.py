"""A machine in trouble under a running crawl: locked and read-only databases, a full disk, a clock that is set.

Each time nothing crashes, nobody helps, and at the end every page has one result and the books balance.
"""

from __future__ import annotations

import contextlib
import mmap
import random
import re
import signal
import sqlite3
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import needs
from tests.e2e.commands import Crawl, environment, is_over, results, run, until
from tests.e2e.site import Site
from tests.small_disk import fill_up, mounted

PAGES = 360
RATE = 60  # pages a second: six seconds of work
BACK = 5.0  # seconds until there are new results when the trouble is over
DAY = 86_400.0
SCRIPT = """
from crawlkit import BaseHandler, every


class Handler(BaseHandler):
    crawl_config = {{"retries": 20}}

    @every(minutes=24 * 60)
    def on_start(self):
        self.crawl("{base}0.html", callback=self.page)

    def page(self, response):
        for link in response.css("a::attr(href)").getall():
            self.crawl(response.urljoin(link), callback=self.page)
        return {{"title": response.css("title::text").get(), "text": "x" * {size}}}
"""


class Tree:
    """A site of so many pages, each with links to two more, and a ``crawlkit all`` that crawls it."""

    def __init__(self, folder: Path, data: Path, env: dict[str, str] | None = None, size: int = 10) -> None:
        """``data``: the data path; ``size``: bytes in each result."""
        self.folder, self.data = folder, data
        (folder / "www").mkdir()
        for number in range(PAGES):
            links = [f'<a href="{n}.html">x</a>' for n in (2 * number + 1, 2 * number + 2) if n < PAGES]
            (folder / "www" / f"{number}.html").write_text(f"<title>{number}</title>{''.join(links)}")
        self.site = Site(folder / "www", folder / "ledger.txt")
        self.env = environment(self.site.base, {"CRAWLKIT_SCHEDULER_XMLRPC_PORT": "0", **(env or {})})
        (folder / "tree.py").write_text(SCRIPT.format(base=self.site.base, size=size))
        self.crawl = Crawl(["--data-path", str(data), "all", "--no-webui"], folder, self.env)

    def say(self, *command: str) -> str:
        done = run(["--data-path", str(self.data), *command], self.folder, self.env)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}\n{self.said[-3000:]}"
        return done.stdout

    @property
    def said(self) -> str:
        return self.crawl.said

    def start(self) -> None:
        until(lambda: "ready:" in self.said, 30, "everything runs")
        self.say("project", "put", "tree.py", "--status", "RUNNING", "--rate", str(RATE))
        self.say("project", "run", "tree")
        until(lambda: self.site.count() > 20, 30, "it crawls")

    def children(self) -> dict[int, str]:
        """The components by their process ids; what handlers run in is theirs to replace."""
        return {one.pid: " ".join(one.cmdline()) for one in psutil.Process(self.crawl.process.pid).children()}

    def goes_on(self) -> None:
        """There are new pages soon."""
        before = self.site.count()
        if before < PAGES:
            until(lambda: self.site.count() > before, BACK, f"it goes on:\n{self.said[-3000:]}")

    def finish(self) -> None:
        until(lambda: is_over(self.say("audit", "--json")), 90, "the end of the crawl")
        self.say("audit")
        (self.folder / "out.jsonl").write_text(self.say("results", "tree"))
        assert set(results(self.folder / "out.jsonl")) == {f"{self.site.base}{n}.html" for n in range(PAGES)}

    def close(self) -> None:
        self.crawl.__exit__()
        self.site.close()


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    made = Tree(tmp_path, tmp_path / "d")
    yield made
    made.close()


@pytest.mark.parametrize("seconds", [3.0, pytest.param(30.0, marks=pytest.mark.faults)])
def test_R_06_databases_are_locked_for_a_while(seconds: float, tree: Tree) -> None:
    tree.start()
    before = tree.children()
    with contextlib.ExitStack() as stack:
        for name in ("task", "result", "project"):
            file = sqlite3.connect(tree.data / f"{name}.db", isolation_level=None, timeout=30)
            stack.enter_context(contextlib.closing(file))
            file.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)  # this is what is tested
    tree.goes_on()
    assert tree.children() == before
    tree.finish()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", 100) as place:
        yield place


def test_R_07_the_disk_is_full_and_free_again(small_disk: Path, tmp_path: Path) -> None:
    tree = Tree(tmp_path, small_disk / "d", size=20_000)
    try:
        tree.start()
        before = tree.children()
        ballast = fill_up(small_disk)
        until(lambda: "disk is full" in tree.said, 30, "it says so")

        def stands() -> bool:
            """Nothing was asked for between two looks of the test."""
            count = tree.site.count()
            time.sleep(1.0)
            return tree.site.count() == count

        until(stands, 30, "it takes no more work")
        assert tree.site.count() < PAGES, "the disk was full too late"
        words = re.findall(r".*disk is full.*", tree.said)
        assert len(words) <= 2 * len(before), f"{len(words)} times:\n" + "\n".join(words[:10])
        assert all("free some space" in line for line in words)
        ballast.unlink()
        tree.goes_on()
        assert tree.children() == before
        tree.finish()
    finally:
        tree.close()


def test_R_08_a_read_only_disk_is_told_in_one_line(small_disk: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = run(["--data-path", str(small_disk / "d"), "all", "--no-webui"], tmp_path, environment(""))
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("crawlkit: ")
    assert "read-only" in line.lower()
    assert str(small_disk) in line


class WrongClock:
    """The clock of processes that run with its environment."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ahead"
        self._file.write_bytes(struct.pack("d", 0.0))
        self._library = folder / "wrongclock.so"
        source = Path(__file__).with_name("wrongclock.c")
        words = [needs.binary("gcc"), "-O1", "-shared", "-fPIC", "-o", str(self._library), str(source), "-ldl", "-lm"]
        subprocess.run(words, check=True)
        self.environment = {"LD_PRELOAD": str(self._library), "LD_WRONG_CLOCK": str(self._file)}

    def set(self, seconds: float) -> None:
        """So many seconds ahead of the true time."""
        with self._file.open("r+b") as file, mmap.mmap(file.fileno(), 8) as place:
            place[:] = struct.pack("d", seconds)


def test_R_11_the_clock_is_moved_by_a_day_and_back(tmp_path: Path) -> None:
    clock = WrongClock(tmp_path)
    tree = Tree(tmp_path, tmp_path / "d", clock.environment)
    try:
        tree.start()
        before = tree.children()
        for ahead in (DAY, 0.0, -DAY, 0.0, 1.0, -1.0):
            clock.set(ahead)
            tree.goes_on()
        assert tree.children() == before
        tree.finish()
        count = tree.site.count()
        assert count <= PAGES + 1, f"{count} requests for {PAGES} pages"
    finally:
        tree.close()


@pytest.mark.parametrize("times", [1, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1_200)])])
def test_R_17_ended_by_signals_again_and_again(times: int, tmp_path: Path) -> None:
    """At moments that are drawn, from the first on; the seed is printed."""
    seed = 17
    print(f"seed {seed}")
    chance = random.Random(seed)
    tree = Tree(tmp_path, tmp_path / "d")
    words = ["--data-path", "d", "all", "--no-webui"]
    try:
        tree.start()
        for number in range(times):
            how = chance.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
            began = time.monotonic()
            tree.crawl.process.send_signal(how)
            code = tree.crawl.wait(10)
            assert code == 0, f"the {number + 1}th, by {how.name}: exit code {code}\n{tree.said[-3000:]}"
            assert not tree.crawl.processes(), f"left after {time.monotonic() - began:.1f} s"
            tree.crawl.log.unlink()
            tree.crawl = Crawl(words, tmp_path, tree.env)
            until(lambda: "ready:" in tree.said, 30, "everything runs again")
            time.sleep(chance.uniform(0, 0.3))  # any moment of its work
        tree.finish()
        count = tree.site.count()
        assert count <= PAGES + times * 2, f"{count} requests for {PAGES} pages: what was under way was let end"
    finally:
        tree.close()
