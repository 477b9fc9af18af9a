"""``crawlkit all`` with its queues in a Redis that is wiped and killed in the middle of a crawl, as a fetcher is."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from crawlkit.proving.site import write_site
from tests.e2e.commands import Crawl, environment, is_over, results, run, until
from tests.e2e.site import Site
from tests.servers import OwnRedis, own_redis

PAGES = 160
SLOW = 0.1  # seconds the site takes for each page, so that there is always something under way
BACK = 20.0  # seconds until the crawl goes on, also on a machine that is busy with other things
HANDLER = """
from crawlkit import BaseHandler

class Handler(BaseHandler):
    def on_start(self):
        self.crawl("{base}p/0.html", callback=self.item)

    def item(self, response):
        for href in response.css("a::attr(href)").getall():
            self.crawl(response.urljoin(href), callback=self.item)
        return {{"h1": response.css("h1::text").get()}}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnRedis]:
    (tmp_path / "redis").mkdir()
    with own_redis(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Site]:
    served = Site(tmp_path / "site", tmp_path / "ledger.txt", SLOW)
    yield served
    served.close()


@pytest.mark.timeout(180)
def test_R05_a_crawl_survives_a_dead_fetcher_a_wiped_and_a_killed_redis(
    server: OwnRedis, shop: Site, tmp_path: Path
) -> None:
    truth = write_site(tmp_path / "site", PAGES, shop.base.rstrip("/"))
    env = environment(shop.base, {"CRAWLKIT_SCHEDULER_XMLRPC_PORT": "0", "CRAWLKIT_MESSAGE_QUEUE": server.url})
    script = tmp_path / "shop.py"
    script.write_text(HANDLER.format(base=shop.base))

    def say(*command: str) -> str:
        done = run(["--data-path", "d", *command], tmp_path, env)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    with Crawl(["--data-path", "d", "all", "--no-webui"], tmp_path, env) as crawl:
        until(lambda: "ready:" in crawl.said, 40, "everything runs")
        say("project", "put", str(script), "--rate", "20", "--status", "RUNNING")
        say("project", "run", "shop")
        for share, trouble in ((0.15, lambda: _kill(crawl, "fetcher")), (0.3, server.wipe), (0.5, _restart(server))):
            until(lambda share=share: shop.count() > share * PAGES, 60, f"{share:.0%} of the pages were asked for")
            trouble()
            before = shop.count()
            took = until(lambda before=before: shop.count() > before + 10, BACK, "the crawl goes on")
            print(f"{share:.0%}: on after {took:.1f} s")
        say("project", "put", str(script), "--rate", "unlimited", "--status", "RUNNING")
        shop.hasten()
        until(lambda: is_over(say("audit", "--json", "shop")), 90, "everything is done")
        lines = tmp_path / "results.jsonl"
        lines.write_text(say("results", "shop"))
        assert results(lines) == {url: {"h1": page.h1} for url, page in truth.items()}
        say("audit")
        crawl.process.send_signal(signal.SIGTERM)
        assert crawl.wait(15) == 0
        assert "Traceback" not in crawl.said
        assert "the broker lost its messages" in crawl.said
        assert "connected to Redis" in crawl.said


def _kill(crawl: Crawl, role: str) -> None:
    victims = [one for one in psutil.Process(crawl.process.pid).children() if one.cmdline()[-1:] == [role]]
    assert len(victims) == 1
    victims[0].kill()


def _restart(server: OwnRedis) -> Callable[[], None]:
    def restart() -> None:
        server.stop(signal.SIGKILL)
        time.sleep(1.0)  # the outage
        server.start()

    return restart
