"""A crawler in the middle of its life, for pictures and for tests that look at every page: several projects, some done,
some under way, some failing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cli.site import crawlkit
from tests.webui.servers import Running, everything, until
from tests.webui.shop import SCRIPT, Shop, shop

BROKEN = """from crawlkit import BaseHandler


class Handler(BaseHandler):
    retry_delay = {{0: 1, "": 1}}

    def on_start(self):
        for number in range(1, 13):
            self.crawl("{url}/product/%d" % number, callback=self.page, retries=1)
        self.crawl("{url}/gone", callback=self.page, retries=0)

    def page(self, response):
        print("looking at", response.url)
        if response.url.endswith(("3", "7")):
            self.logger.warning("no discount on %s", response.url)
        return {{"discount": float(response.css(".discount::text").get())}}
"""
PROJECTS = (  # name, group, script, rate, status
    ("corner_shop", "shops", SCRIPT, "unlimited", "RUNNING"),
    ("price_watch", "shops", SCRIPT, "4", "RUNNING"),
    ("discounts", "shops", BROKEN, "unlimited", "RUNNING"),
    ("city_council", "news", SCRIPT, "1", "STOP"),
    ("press_releases", "news", SCRIPT, "0.5", "TODO"),
    ("court_calendar", "archive", SCRIPT, "2", "RUNNING"),
)


@dataclass
class Scene:
    """What was set up."""

    running: Running
    shop: Shop


def _crawlkit(data_path: Path, *words: str) -> None:
    done = crawlkit("--data-path", str(data_path), *words, cwd=data_path.parent)
    assert done.returncode == 0, done.stderr


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Set up and going; the first project is done."""
    with shop(pages=20) as site, everything(folder / "data") as running:
        site.failing.add("/product/5")
        for name, group, text, rate, status in PROJECTS:
            script = folder / f"{name}.py"
            script.write_text(text.format(url=site.url))
            _crawlkit(
                running.data_path, "project", "put", str(script), "--group", group, "--rate", rate, "--status", status
            )
            if status == "RUNNING":
                _crawlkit(running.data_path, "project", "run", name)
        until(lambda: site.asked[f"/product/{site.products}"], 60, "the first project's last product")
        until(lambda: site.asked["/gone"], 60, "the failing project")
        yield Scene(running, site)
