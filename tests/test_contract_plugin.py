"""The contract as a pytest plug-in: the suites run against a backend of another package, and find what is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crawlkit.contract.plugin import KINDS
from tests.plugins import ROOT, install, install_dirqueue

STORES = """
from crawlkit.database.memory import MemoryProjectStore, MemoryResultStore, MemoryTaskStore

class Task(MemoryTaskStore):
    def __init__(self, url, read_only): super().__init__()

class Project(MemoryProjectStore):
    def __init__(self, url, read_only, clock): super().__init__(clock)

class Result(MemoryResultStore):
    def __init__(self, url, read_only): super().__init__()

class Forgetful(Result):
    def drop(self, project): return 0
"""

ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def contract(site: Path, *options: str, folder: Path) -> str:
    """Runs pytest as somebody with a package of their own would, without plug-ins of others; what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "crawlkit.contract.plugin", "-p", "no:cacheprovider", "-q", "--pyargs",
         "crawlkit.contract", "--rootdir", str(folder), "-c", os.devnull, *options],
        cwd=folder, env={**os.environ, **ALONE, "PYTHONPATH": f"{ROOT}{os.pathsep}{site}"},
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    return done.stdout + done.stderr


def count(said: str, what: str) -> int:
    found = re.search(rf"(\d+) {what}", said)
    return int(found[1]) if found else 0


def test_the_example_of_a_queue_keeps_the_whole_contract(tmp_path: Path) -> None:
    said = contract(
        install_dirqueue(tmp_path / "site"),
        "-k",
        "test_queue",
        "--crawlkit-queue",
        "dirq://{folder}/q",
        folder=tmp_path,
    )
    assert count(said, "passed") >= 20, said
    assert not count(said, "failed") + count(said, "error") + count(said, "skipped"), said


def test_stores_of_another_package_are_held_to_the_contract(tmp_path: Path) -> None:
    site = tmp_path / "site"
    for kind in ("Task", "Project", "Result"):
        group = f"crawlkit.{kind.lower()}dbs"
        install(site, f"shelf-{kind}", group, {"shelf": f"shelf_stores:{kind}"}, shelf_stores=STORES)
    install(site, "bad-shelf", "crawlkit.resultdbs", {"badshelf": "shelf_stores:Forgetful"})
    kinds = ("taskdb", "projectdb", "resultdb")
    said = contract(site, *(f"--crawlkit-{kind}=shelf://{{name}}" for kind in kinds), folder=tmp_path)
    assert count(said, "passed") > 100, said
    assert not count(said, "failed") + count(said, "error"), said
    assert "test_queue" in contract(site, "-rs", "-k", "test_first_in", folder=tmp_path)  # skipped: no URL was given
    said = contract(site, "--crawlkit-resultdb=badshelf://{name}", "-k", "drop", folder=tmp_path)
    assert count(said, "failed") > 0, said


def test_urls_that_the_tests_would_share_are_refused(tmp_path: Path) -> None:
    said = contract(tmp_path, "--crawlkit-taskdb", "shelf://host/x", folder=tmp_path)
    assert "--crawlkit-taskdb shelf://host/x: write {name} or {folder} into it" in said
    said = contract(tmp_path, "--crawlkit-queue", "nowhere://{name}", "-k", "test_first_in", folder=tmp_path)
    assert "nowhere:// is unknown; there are memory://" in said


def test_the_plugin_costs_other_test_runs_nothing() -> None:
    code = "import sys, crawlkit.contract.plugin; print([m for m in sys.modules if m.startswith('crawlkit.')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['crawlkit.contract', 'crawlkit.contract.plugin']"


@pytest.mark.slow
def test_a_crawl_goes_through_the_example(tmp_path: Path) -> None:
    from tests.cli.site import PAGES, Site, crawlkit, lines, script, started, until

    site = Site()
    env = {"PYTHONPATH": f"{ROOT}{os.pathsep}{install_dirqueue(tmp_path / 'site')}", "PYTHONUNBUFFERED": "1"}
    try:
        script(tmp_path, f"self.crawl('{site.base}/', callback=self.page)")
        line = ("--message-queue", f"dirq://{tmp_path}/queues", "--data-path", "d", "all", "--no-webui")
        with started(*line, cwd=tmp_path, env=env):
            until(lambda: "ready: " in (tmp_path / "said.txt").read_text(), "readiness", 60)
            put = ("project", "put", "job.py", "--status", "RUNNING", "--data-path", "d")
            assert crawlkit(*put, cwd=tmp_path).returncode == 0
            assert crawlkit("project", "run", "job", "--data-path", "d", cwd=tmp_path).returncode == 0
            results = ("results", "job", "--data-path", "d")
            until(lambda: len(lines(crawlkit(*results, cwd=tmp_path).stdout)) == PAGES + 1, "all results", 60)
            until(lambda: crawlkit("audit", "--data-path", "d", cwd=tmp_path).returncode == 0, "balanced books")
    finally:
        site.close()


PAGE = (ROOT / "docs" / "plugins.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_page_shows_the_example_as_it_is() -> None:
    (project,) = blocks("toml")
    assert project == (ROOT / "examples" / "dirqueue" / "pyproject.toml").read_text()
    options = set(re.findall(r"--crawlkit-(\w+)", PAGE))
    assert options == set(KINDS)


def test_the_suite_of_the_page_passes(tmp_path: Path) -> None:
    (suite,) = blocks("python")
    (tmp_path / "test_mine.py").write_text(suite)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "crawlkit.contract.plugin", "-q", "-c", os.devnull, "test_mine.py"],
        cwd=tmp_path, env={**os.environ, **ALONE, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert count(done.stdout, "passed") > 15, done.stdout
    assert not count(done.stdout, "failed") + count(done.stdout, "error"), done.stdout
