"""A rolling upgrade for real: components of one version replaced by those of another, one by one, during a crawl."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import crawlkit as package
from crawlkit import __version__
from crawlkit.libs.messages import VERSION
from tests.cli.site import Site, crawlkit, environment, lines, script, until
from tests.servers import redis_space

ROLES = ("scheduler", "fetcher", "processor", "result_worker")
PAGES = 150


def copy_of(folder: Path, version: str, messages: int = VERSION) -> Path:
    """A crawlkit of another version, to be put on PYTHONPATH."""
    home = folder / f"crawlkit-{version}"
    shutil.copytree(Path(package.__file__).parent, home / "crawlkit", ignore=shutil.ignore_patterns("__pycache__"))
    init = home / "crawlkit" / "__init__.py"
    init.write_text(_replaced(init.read_text(), __version__, version))
    wire = home / "crawlkit" / "libs" / "messages.py"
    wire.write_text(_replaced(wire.read_text(), f"\nVERSION = {VERSION}\n", f"\nVERSION = {messages}\n"))
    return home


def _replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


class Components:
    """Each in a process of its own, of the version that is asked for."""

    def __init__(self, folder: Path, queue: str) -> None:
        self.folder = folder
        self.options = ("--data-path", str(folder / "d"), "--message-queue", queue)
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, role: str, home: Path) -> None:
        with (self.folder / f"{role}.txt").open("ab") as said:
            self.running[role] = subprocess.Popen(
                self.line(role), cwd=self.folder, env=self.env(home), stdout=said, stderr=said,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def line(self, role: str) -> list[str]:
        return [sys.executable, "-P", "-m", "crawlkit", *self.options, role]

    def env(self, home: Path) -> dict[str, str]:
        return environment({"PYTHONPATH": str(home)})

    def stop(self, role: str) -> None:
        process = self.running.pop(role)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0

    def kill(self) -> None:
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


@pytest.fixture
def components(tmp_path: Path) -> Iterator[Components]:
    with redis_space() as queue:
        made = Components(tmp_path, queue)
        try:
            yield made
        finally:
            made.kill()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_rolling_upgrade_loses_nothing(site: Site, tmp_path: Path, components: Components) -> None:
    script(
        tmp_path, f"for n in range({PAGES}): self.crawl('{site.base}/page/%d' % n, callback=self.page)",
        head="# rate: 4\n# burst: 10\n",
    )  # fmt: skip
    new, old = copy_of(tmp_path, "99.0.0"), Path(package.__file__).parents[1]
    data = ("--data-path", str(tmp_path / "d"))
    for role in ROLES:
        components.start(role, old)

    def versions() -> dict[str, str]:
        found = crawlkit("nodes", "--json", *data, cwd=tmp_path)
        return {one["role"]: one["version"] for one in lines(found.stdout)}

    until(lambda: versions() == dict.fromkeys(ROLES, __version__), "all of the old version", 40)
    for words in (("put", "job.py", "--status", "RUNNING"), ("run", "job")):
        assert crawlkit("project", *words, *data, cwd=tmp_path).returncode == 0
    until(lambda: len(site.requests) > 5, "the crawl")
    for role in ("result_worker", "processor", "fetcher", "scheduler"):
        began = len(site.requests)
        components.stop(role)
        components.start(role, new)
        until(lambda role=role: versions().get(role) == "99.0.0", f"the new {role}", 40)  # type: ignore[misc]
        until(lambda began=began: len(site.requests) > began or began >= PAGES, "the crawl goes on", 40)  # type: ignore[misc]
    assert versions() == dict.fromkeys(ROLES, "99.0.0")
    results = ("results", "job", *data)
    until(lambda: len(lines(crawlkit(*results, cwd=tmp_path).stdout)) >= PAGES, "every result", 60)
    titles = [one["result"]["title"] for one in lines(crawlkit(*results, cwd=tmp_path).stdout)]
    assert sorted(titles) == sorted(f"/page/{n}" for n in range(PAGES))
    until(lambda: crawlkit("audit", *data, cwd=tmp_path).returncode == 0, "balanced books")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_another_message_version_is_refused_in_one_line(tmp_path: Path, components: Components) -> None:
    old, other = Path(package.__file__).parents[1], copy_of(tmp_path, "99.0.0", messages=VERSION + 1)
    components.start("scheduler", old)
    components.start("fetcher", old)
    until(
        lambda: len(crawlkit("nodes", "--json", "--data-path", "d", cwd=tmp_path).stdout.splitlines()) == 2, "both", 40
    )
    for role in ("fetcher", "processor", "result_worker", "webui"):
        refused = subprocess.run(
            components.line(role), cwd=tmp_path, env=components.env(other), capture_output=True, text=True, timeout=60
        )
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1
        for word in (
            role,
            "crawlkit 99.0.0",
            f"message version {VERSION + 1},",
            f"crawlkit {__version__}",
            "upgrades.md",
        ):
            assert word in refused.stderr
    components.stop("scheduler")
    refused = subprocess.run(
        components.line("scheduler"),
        cwd=tmp_path,
        env=components.env(other),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 2
    assert "1 nodes of crawlkit" in refused.stderr
    assert "stop them first" in refused.stderr
