"""``crawlkit partitions`` and further schedulers: real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from crawlkit import wiring
from crawlkit.scheduler.ownership import name_of_process
from crawlkit.settings import Settings
from tests.cli.site import Site, crawlkit, script, started, until
from tests.cli.test_all import count, everything


def shares(folder: Path) -> dict[str, int]:
    """Who has how many."""
    found: dict[str, Any] = json.loads(crawlkit("partitions", "--json", "--data-path", "d", cwd=folder).stdout)
    owners = list(found["owners"].values())
    return {owner: owners.count(owner) for owner in owners}


def test_they_are_shown_and_changed_while_no_scheduler_runs(tmp_path: Path) -> None:
    nothing = crawlkit("partitions", "--data-path", "d", cwd=tmp_path)
    assert (nothing.returncode, "there is nothing yet" in nothing.stderr) == (2, True)
    made = crawlkit("partitions", "4", "--data-path", "d", cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "4 partitions\n")
    shown = crawlkit("partitions", "--data-path", "d", cwd=tmp_path)
    assert shown.stdout.splitlines() == ["4 partitions, of which each scheduler has its share", "nobody: 0, 1, 2, 3"]
    found = json.loads(crawlkit("partitions", "--json", "--data-path", "d", cwd=tmp_path).stdout)
    assert found == {"partitions": 4, "owners": {}}
    taskdb = wiring.open_stores(Settings(data_path=tmp_path / "d"), ("taskdb",))
    with subprocess.Popen(["true"]) as gone, taskdb as stores:
        gone.wait()
        node = name_of_process().replace(f" pid {os.getpid()} ", f" pid {gone.pid} ")
        assert stores.taskdb.own(node, 60, partition=3) is None
        killed = crawlkit("partitions", "--data-path", "d", cwd=tmp_path)
        assert killed.stdout.splitlines()[1] == f"on {os.uname().nodename}, pid {gone.pid} (dead): 3"
        assert crawlkit("partitions", "2", "--data-path", "d", cwd=tmp_path).returncode == 0
        fewer = crawlkit("partitions", "--data-path", "d", cwd=tmp_path)
        assert fewer.stdout.splitlines()[1:] == ["nobody: 0, 1"]
        assert crawlkit("partitions", "4", "--data-path", "d", cwd=tmp_path).returncode == 0
        stores.taskdb.disown()
    (tmp_path / "one.py").write_text(
        "from crawlkit.libs.base_handler import *\nclass Handler(BaseHandler):\n    pass\n"
    )
    alone = crawlkit("one", "one.py", "--data-path", "d", cwd=tmp_path)
    assert alone.returncode == 2
    assert "the taskdb is divided into 4 partitions, and this works alone" in alone.stderr


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_second_scheduler_is_refused_with_what_to_do_and_joins_then(tmp_path: Path) -> None:
    site = Site()
    script(tmp_path, f"for n in range(12): self.crawl('{site.base}/page/%d' % n, callback=self.page)")
    with everything(tmp_path):
        refused = crawlkit("scheduler", "--data-path", "d", cwd=tmp_path)
        assert refused.returncode == 2
        assert "run 'crawlkit partitions 8'" in refused.stderr
        running = crawlkit("partitions", "4", "--data-path", "d", cwd=tmp_path)
        assert (running.returncode, running.stderr.endswith("stop it first\n")) == (2, True)
    assert crawlkit("partitions", "4", "--data-path", "d", cwd=tmp_path).returncode == 0
    other = tmp_path / "other"
    other.mkdir()
    with everything(tmp_path):
        until(lambda: sum(shares(tmp_path).values()) == 4, "the first one to have all")
        with started("scheduler", "--data-path", "../d", cwd=other) as second:
            until(lambda: sorted(shares(tmp_path).values()) == [2, 2], "both to have their share")
            for words in (("put", "job.py", "--status", "RUNNING"), ("run", "job")):
                assert crawlkit("project", *words, "--data-path", "d", cwd=tmp_path).returncode == 0
            until(lambda: count(tmp_path) == 12, "all pages", 30)
            divided = crawlkit("partitions", "2", "--data-path", "d", cwd=tmp_path)
            assert (divided.returncode, "stop" in divided.stderr) == (2, True)
            os.kill(second.pid, signal.SIGKILL)
            until(lambda: list(shares(tmp_path).values()) == [4], "the first one to have all again", 10)
        assert crawlkit("project", "pause", "job", "--data-path", "d", cwd=tmp_path).returncode == 0
        listed = crawlkit("project", "list", "--data-path", "d", cwd=tmp_path).stdout
        assert "RUNNING (paused)" in listed
        audit = crawlkit("audit", "--data-path", "d", cwd=tmp_path)
        assert audit.returncode == 0, audit.stdout
    assert all(n == 1 for n in site.count().values())
