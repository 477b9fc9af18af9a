"""``crawlkit all`` with its queues in RabbitMQ: a whole crawl, and a fetcher killed in the middle of it."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from tests.e2e.commands import Crawl, environment, results, run, until
from tests.e2e.site import Site
from tests.servers import fresh_amqp

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


@pytest.mark.timeout(180)
def test_R02_a_crawl_over_rabbitmq_with_a_killed_fetcher(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    for n in range(PAGES):
        links = "".join(f'<a href="{to}.html">{to}</a>' for to in (2 * n + 1, 2 * n + 2, 0) if to < PAGES)
        (pages / f"{n}.html").write_text(f"<title>{n}</title>{links}")
    site = Site(pages, tmp_path / "ledger.txt", 0.2)
    env = environment(site.base, {"CRAWLKIT_SCHEDULER_XMLRPC_PORT": "0", "CRAWLKIT_FETCHER_POOLSIZE": "6"})
    script = tmp_path / "small.py"
    script.write_text(SCRIPT.replace("START", site.base + "0.html"))

    with fresh_amqp() as url, Crawl(["--data-path", "d", "--message-queue", url, "all"], tmp_path, env) as crawl:

        def say(*command: str) -> str:
            done = run(["--data-path", "d", "--message-queue", url, *command], tmp_path, env)
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}\n{crawl.said[-3000:]}"
            return done.stdout

        until(lambda: "ready:" in crawl.said, 30, "everything runs")
        say("project", "put", str(script), "--rate", "unlimited", "--status", "RUNNING")
        say("project", "run", "small")
        until(lambda: site.count() > 10, 30, "the crawl is under way")
        victim = fetcher_of(crawl)
        assert victim is not None
        victim.kill()
        wanted = {f"{site.base}{n}.html" for n in range(PAGES)}
        lines = tmp_path / "results.jsonl"

        def all_there() -> bool:
            lines.write_text(say("results", "small"))
            return set(results(lines)) >= wanted

        until(all_there, 60, "every page has its result")
        assert set(results(lines)) == wanted
        until(lambda: '"waiting": 0' in say("audit", "--json", "small"), 15, "everything is done")
        say("audit")
        assert "Traceback" not in crawl.said
        assert "guest:guest" not in crawl.said
        crawl.process.send_signal(signal.SIGTERM)
        assert crawl.wait(15) == 0
        until(lambda: not crawl.processes(), 5, "nothing of it is left")
    site.close()
