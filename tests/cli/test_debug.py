"""``crawlkit one --pdb`` and ``-i``, driven through their standard input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.site import ROOT, Site, environment, lines, script


def talk(*line: str, cwd: Path, said: str) -> Any:
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *line], cwd=cwd, env=environment(), input=said, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip


@pytest.fixture
def folder(site: Site, tmp_path: Path) -> Path:
    script(
        tmp_path,
        f"self.crawl('{site.base}/page/1', callback=self.broken, retries=0, priority=1)\n"
        f"self.crawl('{site.base}/page/2', callback=self.page)",
    )
    return tmp_path


def test_pdb_stops_where_it_raised_and_goes_on(site: Site, folder: Path) -> None:
    done = talk("one", "job.py", "--pdb", cwd=folder, said="p response.url + '!'\nc\n")
    assert f"'{site.base}/page/1!'" in done.stderr
    assert "-> raise ValueError('no such thing')" in done.stderr
    assert done.returncode == 1
    assert [line["url"] for line in lines(done.stdout)] == [f"{site.base}/page/2"]


def test_leaving_the_debugger_stops_the_crawl(site: Site, folder: Path) -> None:
    script(
        folder,
        f"self.crawl('{site.base}/page/1', callback=self.broken, retries=0, priority=1)\n"
        f"self.crawl('{site.base}/page/2', callback=self.page, exetime=4e9)",  # not overtaking the one that breaks
    )
    done = talk("one", "job.py", "--pdb", cwd=folder, said="q\n")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "done 0 pages, failed 1, waiting 1 in" in done.stderr


def test_the_prompt_crawls_page_by_page(site: Site, folder: Path) -> None:
    said = [
        f"crawl('{site.base}/', callback='page')",
        f"crawl('{site.base}/status/404', callback='page', retries=0)",
        "crawl('nonsense')",
        "crawl('http://x/', speed=1)",
        "run('other')",
        "print('now', len(results()))",
        "quit_crawlkit()",
    ]
    done = talk("one", "job.py", "-i", cwd=folder, said="\n".join(said) + "\n")
    assert site.count() == {"/": 1, "/status/404": 1}  # what follows from a page waits
    assert f"200 {site.base}/: ok, 12 follow-ups" in done.stderr
    assert f"404 {site.base}/status/404: failed: HTTPError: " in done.stderr
    assert "nonsense: neither a URL nor the taskid" in done.stderr
    assert "crawl() got unexpected arguments: speed" in done.stderr
    assert "which project? there are job" in done.stderr
    assert "now 1" in done.stdout
    assert "Traceback" not in done.stderr


def test_run_at_the_prompt_and_again_by_taskid(site: Site, folder: Path) -> None:
    taskid = f"__import__('hashlib').md5(b'{site.base}/page/2').hexdigest()"
    done = talk(
        "one", "job.py", "-i", cwd=folder, said=f"run()\nprint(results())\ncrawl({taskid})\nquit_interactive()\n"
    )
    assert "[{'title': '/page/2'}]" in done.stdout
    assert site.count() == {"/page/1": 1, "/page/2": 2}
    assert done.returncode == 1
