"""``crawlkit all`` with its queues in RabbitMQ: a whole crawl, and a fetcher killed in the middle of it."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from tests import stored
from tests.e2e.commands import Crawl, environment, is_over, results, run, until
from tests.e2e.site import Site
from tests.servers import fresh_amqp, own_rabbitmq

PAGES = 80
SCRIPT = """
from crawlkit.libs.base_handler import BaseHandler


class Handler(BaseHandler):
    def on_start(self):
        self.crawl("START", callback=self.page)

    def page(self, response):
        for each in response.doc("a").items():
            self.crawl(each.attr.href, callback=self.page)
        return {"title": response.doc("title").text()}
"""


def fetcher_of(crawl: Crawl) -> psutil.Process | None:
    for process in psutil.Process(crawl.process.pid).children():
        if process.cmdline()[-1:] == ["fetcher"] and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


class Running:
    """``crawlkit all`` on a small site of slow pages."""

    def __init__(self, url: str, folder: Path, pages: int, *options: str) -> None:
        self.url, self.folder = url, folder
        here = folder / "pages"
        here.mkdir()
        for n in range(pages):
            links = "".join(f'<a href="{to}.html">{to}</a>' for to in (2 * n + 1, 2 * n + 2, 0) if to < pages)
            (here / f"{n}.html").write_text(f"<title>{n}</title>{links}")
        self.site = Site(here, folder / "ledger.txt", 0.2)
        self.wanted = {f"{self.site.base}{n}.html" for n in range(pages)}
        self.env = environment(
            self.site.base, {"CRAWLKIT_SCHEDULER_XMLRPC_PORT": "0", "CRAWLKIT_FETCHER_POOLSIZE": "4"}
        )
        self.crawl = Crawl(["--data-path", "d", "--message-queue", url, "all", *options], folder, self.env)

    def say(self, *command: str) -> str:
        done = run(["--data-path", "d", "--message-queue", self.url, *command], self.folder, self.env)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}\n{self.crawl.said[-3000:]}"
        return done.stdout

    def start(self) -> None:
        until(lambda: "ready:" in self.crawl.said, 60, "everything runs")
        script = self.folder / "small.py"
        script.write_text(SCRIPT.replace("START", self.site.base + "0.html"))
        self.say("project", "put", str(script), "--rate", "unlimited", "--status", "RUNNING")
        self.say("project", "run", "small")
        until(lambda: self.site.count() > 5, 30, "the crawl is under way")

    def fetcher(self) -> psutil.Process:
        for process in psutil.Process(self.crawl.process.pid).children():
            if process.cmdline()[-1:] == ["fetcher"] and process.status() != psutil.STATUS_ZOMBIE:
                return process
        raise AssertionError("there is no fetcher")

    def finish(self, within: float) -> None:
        """Every page has one result, the books balance, and it ends in order."""
        lines = self.folder / "results.jsonl"

        def all_there() -> bool:
            lines.write_text(self.say("results", "small"))
            return set(results(lines)) >= self.wanted

        self.site.hasten()
        until(
            lambda: stored.results(self.folder / "d", "small") >= len(self.wanted), within, "as many results as pages"
        )
        until(all_there, within, "every page has its result")
        assert set(results(lines)) == self.wanted
        until(lambda: is_over(self.say("audit", "--json", "small")), 15, "everything is done")
        self.say("audit")
        assert "Traceback" not in self.crawl.said
        assert "guest:guest" not in self.crawl.said
        self.crawl.process.send_signal(signal.SIGTERM)
        assert self.crawl.wait(15) == 0
        until(lambda: not self.crawl.processes(), 5, "nothing of it is left")

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.crawl.__exit__()
        self.site.close()


@pytest.mark.timeout(180)
def test_R02_a_crawl_over_rabbitmq_with_a_killed_fetcher(tmp_path: Path) -> None:
    with fresh_amqp() as url, Running(url, tmp_path, 80, "--no-webui") as running:
        running.start()
        running.fetcher().kill()
        running.finish(60)


@pytest.mark.faults
@pytest.mark.timeout(400)
def test_R05_a_crawl_goes_on_over_restarts_of_rabbitmq_and_a_loss_of_its_data(tmp_path: Path) -> None:
    with own_rabbitmq(tmp_path) as server, Running(server.url, tmp_path, 400) as running:
        running.start()
        for harm in (server.restart, lambda: server.restart(signal.SIGKILL), server.wipe):
            before = running.site.count()
            assert before < 400, "the crawl ended before the last harm"
            harm()
            until(lambda before=before: running.site.count() > before + 5, 30, "it goes on")
        running.finish(120)
