"""Politeness measured where it counts, in the logs of the servers: four fetchers, real processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.commands import Crawl, environment, run, until
from tests.e2e.limited_site import LimitedSite

SCRIPT = """
from crawlkit import BaseHandler

class Handler(BaseHandler):
    crawl_config = {LIMITS}

    def on_start(self):
        for n in range(3_000):
            for base in {BASES}:
                self.crawl(f"{base}{n}", callback=self.page)

    def page(self, response):
        pass
"""


class Running:
    """``crawlkit all`` with four fetchers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = environment("http://127.0.0.1/", {"CRAWLKIT_SCHEDULER_XMLRPC_PORT": "0"})
        self.crawl = Crawl(["--data-path", "d", "all", "--fetcher-num", "4", "--no-webui"], folder, self.env)
        until(lambda: "ready:" in self.crawl.said, 60, "everything runs")

    def say(self, *command: str) -> str:
        done = run(["--data-path", "d", *command], self.folder, self.env)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}\n{self.crawl.said[-3000:]}"
        return done.stdout

    def start(self, name: str, limits: object, *sites: LimitedSite) -> None:
        script = SCRIPT.replace("{LIMITS}", repr(limits)).replace("{BASES}", repr([site.base for site in sites]))
        (self.folder / f"{name}.py").write_text(script)
        self.say("project", "put", f"{name}.py", "--rate", "unlimited", "--status", "RUNNING")
        self.say("project", "run", name)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    with made.crawl:
        yield made


@pytest.fixture
def sites() -> Iterator[list[LimitedSite]]:
    """The first one answers 429 above 5 requests a second, the others take everything."""
    with ExitStack() as stack:
        made = [LimitedSite(5), *(LimitedSite() for _ in range(3))]
        for site in made:
            stack.callback(site.close)
        yield made


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_autothrottle_settles_below_what_a_server_refuses_and_other_hosts_go_on(
    running: Running, sites: list[LimitedSite], record_property: pytest.RecordProperty
) -> None:
    limited, *others = sites
    limits = {
        "host_limits": {
            "rate": 10,
            "burst": 5,
            f"127.0.0.1:{limited.port}": {"rate": "unlimited", "burst": 1, "autothrottle": 8},
        }
    }
    running.start("polite", limits, *sites)
    until(lambda: limited.log and all(site.log for site in others), 30, "every host is asked")
    start = limited.log[0][0]
    time.sleep(max(0.0, start + 95.0 - time.monotonic()))  # the measurement itself
    settled, end = start + 30.0, start + 90.0
    pace, refused = limited.pace(settled, end), limited.seen(settled, end, 429)
    print(f"settled at {pace:.2f} requests/s, {refused} of {limited.seen(settled, end)} refused after 30 s"
          f" ({limited.seen(start, settled, 429)} before);"
          f" others {', '.join(f'{site.pace(start + 2, end):.2f}' for site in others)}")  # fmt: skip
    assert 4.0 <= pace <= 5.0
    assert refused < 0.01 * limited.seen(settled, end)
    for site in others:  # before, while and after it was found out
        assert site.pace(site.log[0][0] + 2, settled) == pytest.approx(10, rel=0.05)
        assert site.pace(settled, end) == pytest.approx(10, rel=0.05)


@pytest.mark.slow
def test_a_refused_host_is_left_alone_by_every_fetcher_and_project(running: Running, sites: list[LimitedSite]) -> None:
    busy, other = sites[0], sites[1]
    busy.rate, busy.headers = 0, "Retry-After: 10\r\n"
    running.start("first", {"host_limits": {"concurrency": 3}}, busy)
    running.start("second", {"host_limits": {"rate": 20}}, busy, other)
    until(lambda: busy.log and other.log, 30, "both are asked")
    refused = busy.log[0][0]
    shown = running.say("project", "show", "first")
    assert f"waits    127.0.0.1:{busy.port} until" in shown
    assert "it answered 429 with Retry-After" in shown
    busy.rate = float("inf")
    until(lambda: busy.seen(refused, time.monotonic(), 200) > 20, 30, "all goes on")
    assert not busy.seen(refused + 1.0, refused + 9.9), "within a second everybody knows of it"
    assert 10 < other.pace(refused + 1.0, refused + 9.0) <= 21, "its neighbour goes on at its own rate"
