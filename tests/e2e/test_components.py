"""``crawlkit all`` with its components killed one at a time in the middle of a crawl: it mends itself, nobody helps.

Each time the component is back, and every page that was under way has its result, within the promised time. At the end
every page has one result and the books balance.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import needs
from tests.e2e.commands import MANUAL, Crawl, environment, is_over, results, run, until
from tests.e2e.site import Site

ROLES = ("scheduler", "fetcher", "processor", "result_worker")
BACK = 5.0  # seconds until a killed component runs again, and until what it had in hand is done
SLOW = 0.5  # seconds the site takes for each page, so that there is always something under way
PROJECT = "postgres_manual"


class All:
    """A running ``crawlkit all``, and a ``crawlkit results --follow`` beside it."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        self.env = environment(site.base, {"CRAWLKIT_SCHEDULER_XMLRPC_PORT": "0"})
        self.crawl = Crawl(["--data-path", "d", "all", "--no-webui"], folder, self.env)
        self.follower: Crawl | None = None

    def say(self, *command: str) -> str:
        done = run(["--data-path", "d", *command], self.folder, self.env)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}\n{self.crawl.said[-3000:]}"
        return done.stdout

    def child(self, role: str) -> psutil.Process | None:
        """The process of a component."""
        for process in psutil.Process(self.crawl.process.pid).children():
            try:
                if process.cmdline()[-1:] == [role] and process.status() != psutil.STATUS_ZOMBIE:
                    return process
            except psutil.NoSuchProcess:
                continue
        return None

    def start(self, rate: str) -> None:
        until(lambda: "ready:" in self.crawl.said, 30, "everything runs")
        # Handlers under `all` see nothing of the environment, so the address goes into the script.
        (self.folder / MANUAL.name).write_text(MANUAL.read_text().replace("http://127.0.0.1:8090/", self.site.base))
        self.put(rate)
        self.say("project", "run", PROJECT)
        (self.folder / "follow").mkdir()
        self.follower = Crawl(["--data-path", "../d", "results", PROJECT, "--follow"], self.folder / "follow", self.env)

    def put(self, rate: str) -> None:
        """Saves the script, at first or with another rate."""
        self.say("project", "put", MANUAL.name, "--rate", rate, "--status", "RUNNING")

    def stored(self) -> set[str]:
        """The URLs that have a result."""
        assert self.follower is not None
        return {json.loads(line)["url"] for line in self.follower.said.splitlines() if line.endswith("}")}

    def kill(self, role: str) -> None:
        """SIGKILL to a component while pages are under way; checks that all goes on in time."""
        until(lambda: len(set(self.site.requests()) - self.stored()) > 5, BACK, "pages are under way")
        victim = self.child(role)
        assert victim is not None
        victim.kill()
        under_way = set(self.site.requests()) - self.stored()
        until(lambda: (p := self.child(role)) and p.pid != victim.pid, BACK, f"{role} is back")
        until(lambda: under_way <= self.stored(), BACK, f"{len(under_way)} pages under way at the kill of {role}")

    def close(self) -> None:
        for process in (self.follower, self.crawl):
            if process is not None:
                process.__exit__()


@pytest.fixture
def slow_site(tmp_path: Path) -> Iterator[Site]:
    served = Site(needs.postgres_manual(), tmp_path / "ledger.txt", SLOW)
    yield served
    served.close()


@pytest.fixture
def everything(slow_site: Site, tmp_path: Path) -> Iterator[All]:
    running = All(slow_site, tmp_path)
    yield running
    running.close()


@pytest.mark.parametrize(("kills", "rate"), [(1, "40"), pytest.param(10, "16", marks=pytest.mark.slow)])
@pytest.mark.timeout(400)
def test_a_killed_component_is_back_and_nothing_is_lost(
    kills: int, rate: str, everything: All, manual_paths: frozenset[str]
) -> None:
    site = everything.site
    everything.start(rate)
    until(lambda: len(everything.stored()) > 20, 30, "the crawl is under way")
    for _ in range(kills):
        for role in ROLES:
            everything.kill(role)
    assert site.count() < len(manual_paths), "the crawl ended before the last kill"
    everything.put("unlimited")
    site.hasten()
    pages = {site.base + path for path in manual_paths}
    until(lambda: everything.stored() >= pages, 120, "every page has its result")
    until(lambda: is_over(everything.say("audit", "--json", PROJECT)), 10, "everything is done")
    lines = everything.folder / "results.jsonl"
    lines.write_text(everything.say("results", PROJECT))
    assert set(results(lines)) == pages
    everything.say("audit")
    everything.crawl.process.send_signal(signal.SIGTERM)
    assert everything.crawl.wait(10) == 0
    until(lambda: not everything.crawl.processes(), 5, "nothing of it is left")
