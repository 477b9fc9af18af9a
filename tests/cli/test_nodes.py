"""``crawlkit nodes``: real processes, killed and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.cli.site import Site, crawlkit, lines, script, started, until
from tests.cli.test_all import count, everything
from tests.servers import own_redis


def nodes(folder: Path, *words: str) -> list[dict[str, Any]]:
    done = crawlkit("nodes", "--json", "--data-path", "d", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return lines(done.stdout)


class HoldsFirst(Site):
    """The first visitor of /page/7 waits until the site is closed; the next ones are served at once."""

    def answer(self, path: str) -> tuple[int, bytes]:
        found = super().answer(path)
        if path == "/page/7" and self.count()[path] == 1:
            self.release.wait(60)
        return found


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_stopped_fetcher_is_dead_within_15_s_and_alive_when_it_goes_on(tmp_path: Path) -> None:
    site = HoldsFirst()
    script(tmp_path, f"for n in range(12): self.crawl('{site.base}/page/%d' % n, callback=self.page)")
    with everything(tmp_path):
        until(lambda: len(nodes(tmp_path)) == 5, "five processes", 30)
        for words in (("put", "job.py", "--status", "RUNNING"), ("run", "job")):
            assert crawlkit("project", *words, "--data-path", "d", cwd=tmp_path).returncode == 0
        until(lambda: count(tmp_path) == 11, "all but the page that hangs", 30)
        until(lambda: nodes(tmp_path, "--role", "fetcher")[0]["inflight"] == 1, "the heartbeat that says so")
        (fetcher,) = nodes(tmp_path, "--role", "fetcher")
        assert fetcher["state"] == "alive"
        os.kill(fetcher["pid"], signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            other = tmp_path / "other"
            other.mkdir()
            with started("fetcher", "--data-path", "../d", cwd=other):
                until(lambda: site.count()["/page/7"] == 2, "the page with another fetcher", 15)
                assert time.monotonic() - stopped < 15
                until(lambda: count(tmp_path) == 12, "its result")
                states = {one["node"]: one["state"] for one in nodes(tmp_path, "--role", "fetcher", "--all")}
                assert states.pop(fetcher["node"]) == "dead"
                assert list(states.values()) == ["alive"]
                os.kill(fetcher["pid"], signal.SIGCONT)
                until(lambda: fetcher["node"] in {one["node"] for one in nodes(tmp_path)}, "it is back")
                said = (tmp_path / "said.txt").read_text()
                assert said.count("is silent: it counts as dead, its 1 tasks come round again") == 1
                assert f"{fetcher['node']} on {fetcher['host']} is back" in said
        finally:
            os.kill(fetcher["pid"], signal.SIGCONT)
            site.close()
        assert crawlkit("audit", "--data-path", "d", cwd=tmp_path).returncode == 0
        assert count(tmp_path) == 12


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_who_is_killed_with_its_whole_group_is_dead_within_15_s(site: Site, tmp_path: Path) -> None:
    with everything(tmp_path):
        other = tmp_path / "other"
        other.mkdir()
        with started("processor", "--data-path", "../d", cwd=other) as process:
            until(lambda: process.pid in {one["pid"] for one in nodes(tmp_path)}, "the second processor", 30)
            table = crawlkit("nodes", "--data-path", "d", "--sort", "role", cwd=tmp_path).stdout.splitlines()
            assert table[0].split()[:4] == ["NAME", "HOST", "ROLE", "VERSION"]
            assert Counter(line.split()[2] for line in table[1:]) == {
                "scheduler": 1, "fetcher": 1, "processor": 2, "result_worker": 1, "webui": 1,
            }  # fmt: skip
            os.killpg(process.pid, signal.SIGKILL)
            killed = time.monotonic()
            until(lambda: process.pid not in {one["pid"] for one in nodes(tmp_path)}, "its death", 15)
            assert time.monotonic() - killed < 15
        (dead,) = nodes(tmp_path, "--state", "dead")
        assert (dead["pid"], dead["role"], dead["cpu"]) == (process.pid, "processor", None)
    assert len(nodes(tmp_path, "--all")) == 6  # everything was killed: the database still tells


@pytest.mark.faults
@pytest.mark.timeout(180)
def test_an_outage_of_the_broker_makes_nobody_dead(tmp_path: Path) -> None:
    """Away for twice the time after which a silent node is dead, and frozen for as long."""
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(own_redis(tmp_path))
        line = ("--message-queue", redis.url, "--data-path", "../d")
        for role in ("scheduler", "fetcher", "result_worker"):
            (tmp_path / role).mkdir()
            stack.enter_context(started(*line, role, cwd=tmp_path / role))
        until(lambda: len(nodes(tmp_path)) == 3, "three processes", 40)
        before = {one["node"] for one in nodes(tmp_path)}
        for begin, end in ((redis.stop, redis.start), (redis.freeze, redis.thaw)):
            begin()
            away = time.monotonic()
            until(lambda away=away: time.monotonic() - away > 20, "20 s of it", 30)  # type: ignore[misc]
            assert not nodes(tmp_path, "--state", "dead")
            end()
            back = time.monotonic()

            def settled(back: float = back) -> bool:
                there = {one["node"] for one in nodes(tmp_path, "--state", "alive")}
                return there == before and time.monotonic() - back > 14

            until(settled, "that all are heard again", 40)
        said = "".join((tmp_path / role / "said.txt").read_text() for role in ("scheduler", "fetcher"))
        assert "counts as dead" not in said


@pytest.mark.timeout(60)
def test_watching_shows_them_anew(tmp_path: Path) -> None:
    with everything(tmp_path, web=False):
        until(lambda: len(nodes(tmp_path)) == 4, "four processes", 30)
        (tmp_path / "w").mkdir()
        said = tmp_path / "w" / "said.txt"
        with started("nodes", "--watch", "--role", "scheduler", "--data-path", "../d", cwd=tmp_path / "w") as process:
            until(lambda: said.read_text().count("NAME") >= 2, "two looks", 20)
            os.kill(process.pid, signal.SIGINT)
            assert process.wait(10) in (0, 1)


def test_nobody_is_there(tmp_path: Path) -> None:
    nothing = crawlkit("nodes", "--data-path", "d", cwd=tmp_path)
    assert nothing.returncode == 2
    assert "there is nothing yet" in nothing.stderr
    wrong = crawlkit("nodes", "--sort", "beauty", "--data-path", "d", cwd=tmp_path)
    assert wrong.returncode == 2
