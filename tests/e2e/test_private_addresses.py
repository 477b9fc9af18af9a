"""Private addresses are closed to a running ``crawlkit all`` once there is a user, unless its operator opens them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.commands import RUN, Crawl, environment, run, until
from tests.e2e.site import Site

SCRIPT = """
from crawlkit.libs.base_handler import *


class Handler(BaseHandler):
    crawl_config = {{"retries": 0}}

    def on_start(self):
        self.crawl("{url}", callback=self.page, age=0, force_update=True)

    def page(self, response):
        return {{"size": len(response.content)}}
"""


@pytest.mark.parametrize("option", ["", "true"])
def test_closed_from_the_first_user_on(option: str, tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.html").write_text("inner")
    site = Site(tmp_path / "www", tmp_path / "ledger.txt")
    extra = {"CRAWLKIT_SCHEDULER_XMLRPC_PORT": "0"} | ({"CRAWLKIT_FETCHER_ALLOW_PRIVATE": option} if option else {})
    env = environment(site.base, extra)
    (tmp_path / "inner.py").write_text(SCRIPT.format(url=f"{site.base}index.html"))

    def say(*command: str) -> str:
        done = run(["--data-path", "d", *command], tmp_path, env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refused() -> bool:
        say("project", "run", "inner")
        why = run(["--data-path", "d", "why", f"{site.base}index.html", "--project", "inner"], tmp_path, env)
        assert why.returncode in (0, 1), why.stderr
        return "is loopback" in why.stdout

    try:
        with Crawl(["--data-path", "d", "all", "--no-webui"], tmp_path, env) as crawl:
            until(lambda: "ready:" in crawl.said, 30, "everything runs")
            say("project", "put", "inner.py", "--status", "RUNNING")
            say("project", "run", "inner")
            until(site.requests, 20, "the page is fetched")
            assert not refused()
            words = [*RUN, "--data-path", "d", "user", "add", "ada", "--role", "admin"]
            subprocess.run(words, cwd=tmp_path, env=env, input="long enough, ada\n", text=True, check=True, timeout=60)
            if option:
                before = len(site.requests())
                until(lambda: refused() or len(site.requests()) > before + 2, 60, "pages are fetched as before")
                assert "private addresses" not in crawl.said
            else:
                until(refused, 60, "the page is refused")
                assert "private addresses are closed from now on" in crawl.said
    finally:
        site.close()
