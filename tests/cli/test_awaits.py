"""Callbacks that await pages where no worker runs them (``--pdb``, ``-i``), and where a crawl is cut short."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.site import Site, crawlkit, lines
from tests.cli.test_debug import talk

SCRIPT = """
import asyncio
from crawlkit import BaseHandler


class Handler(BaseHandler):
    def on_start(self):
        for n in range(4):
            self.crawl(f"{SITE}/page/{n}", callback=self.page, priority=-n)

    async def page(self, response):
        first = await self.fetch(response.url + "/a")
        rest = await asyncio.gather(self.fetch(response.url + "/b"), self.fetch(response.url + "/c"))
        return {"titles": [each.css("title::text").get() for each in (response, first, *rest)]}
"""


@pytest.fixture
def folder(site: Site, tmp_path: Path) -> Path:
    (tmp_path / "job.py").write_text(SCRIPT.replace('f"{SITE}', f'f"{site.base}'))
    return tmp_path


def titles(n: int) -> list[str]:
    return [f"/page/{n}{tail}" for tail in ("", "/a", "/b", "/c")]


def test_without_workers(site: Site, folder: Path) -> None:
    done = talk("one", "job.py", "--pdb", cwd=folder, said="")
    assert done.returncode == 0, done.stderr
    assert sorted(line["result"]["titles"] for line in lines(done.stdout)) == [titles(n) for n in range(4)]
    assert set(site.count().values()) == {1}


def test_one_page_at_the_prompt_is_brought_to_its_end(site: Site, folder: Path) -> None:
    done = talk("one", "job.py", "-i", cwd=folder, said=f"crawl('{site.base}/x', callback='page')\nquit_crawlkit()\n")
    assert f"200 {site.base}/x: ok, 0 follow-ups" in done.stderr
    assert site.count() == {"/x": 1, "/x/a": 1, "/x/b": 1, "/x/c": 1}


def test_a_limit_counts_pages_and_not_what_they_wait_for(site: Site, folder: Path) -> None:
    first = crawlkit("--data-path", "d", "one", "job.py", "--limit", "2", "-o", "out.jsonl", cwd=folder)
    assert first.returncode == 0, first.stderr
    found = lines((folder / "out.jsonl").read_text())
    assert sorted(line["result"]["titles"] for line in found) == [titles(0), titles(1)]
    crawlkit("--data-path", "d", "one", "job.py", "-o", "out.jsonl", cwd=folder)
    assert len(lines((folder / "out.jsonl").read_text())) == 4
    assert set(site.count().values()) == {1}
