"""Several schedulers as processes on PostgreSQL and Redis, killed again and again, with wrong clocks."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest

import benchmarks.frontier_load as load
from crawlkit.database.registry import connect_taskdb
from tests.e2e.schedulers import LoggingSite, Schedulers

CRONS = """
from crawlkit.libs.base_handler import *

class Handler(BaseHandler):
    @every(seconds=1, catch_up="all", overlap="allow")
    def often(self, response):
        with open({log!r}, "a") as log:
            log.write(f"{name} {{response.save['tick']!r}}\\n")
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("database", "wanted"), [("postgres", 1_000), ("mariadb", 200)])
def test_a_thousand_instants_of_crons_run_a_thousand_times(database: str, wanted: int, tmp_path: Path) -> None:
    """Ten crons of a second each; three schedulers, killed at random, with clocks that are off by 2 s."""
    log = tmp_path / "ran.txt"
    log.touch()

    def runs() -> Counter[tuple[str, float]]:
        return Counter((line.split()[0], float(line.split()[1])) for line in log.read_text().splitlines())

    with Schedulers(tmp_path, 6, database) as group, group.node():
        group.command("partitions", "6")
        for ahead in (0.0, 2.0, -2.0):
            group.start(ahead)
        group.until(lambda: group.settled(6), 60, "three that share")
        for number in range(10):  # from here on each has a second's instants
            script = tmp_path / f"cron{number}.py"
            script.write_text(CRONS.format(log=str(log), name=f"cron{number}"))
            group.command("project", "put", str(script), "--status", "RUNNING", "--rate", "unlimited")
        while len(runs()) < wanted:
            group.kill_one()
            before = len(runs())
            group.until(lambda before=before: len(runs()) > before + 30, 90, "more runs")  # type: ignore[misc]
        for number in range(10):
            group.command("project", "put", str(tmp_path / f"cron{number}.py"), "--status", "STOP")
        found = 0
        while found != len(runs()):  # what a dead scheduler had leased and not sent comes round
            found = len(runs())
            time.sleep(45)
        store = connect_taskdb(group.database)
        waiting = {(f"cron{n}", row.fetch.save["tick"]) for n in range(10) for row in store.select(f"cron{n}")}
        store.close()
        assert group.kills >= 3
    ran = runs()
    assert set(ran.values()) == {1}, f"ran twice: {[tick for tick, n in ran.items() if n > 1]}"
    assert len(ran) >= wanted
    for number in range(10):
        name = f"cron{number}"
        instants = sorted(instant for project, instant in {*ran, *waiting} if project == name)
        assert instants == [instants[0] + n for n in range(len(instants))], "an instant was missed"
    print(f"{len(ran)} instants, each once, with {group.kills} kills")


RATED = """
from crawlkit.libs.base_handler import *

class Handler(BaseHandler):
    crawl_config = {"host_limits": {"rate": 0.25, "burst": 1}}

    def detail_page(self, response):
        pass

    def on_finished(self, response, task):
        print("finished")
"""
MILLION = int(os.environ.get("CRAWLKIT_TEST_MILLION", "1000000"))


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("tasks", [20_000, MILLION])
def test_rate_and_limits_hold_over_three_that_are_killed(
    tasks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One project at a rate of 5 over 40 hosts of which each may be asked every four seconds; 20 kills."""
    site = LoggingSite()
    monkeypatch.setattr(load, "host_of", lambda number: f"127.0.1.{number * 7919 % 40 + 1}:{site.port}")
    rate, burst = 5.0, 3.0
    with Schedulers(tmp_path, 7) as group:
        load.load(group.database, tasks)
        group.command("partitions", "8", timeout=900)
        with group.node():
            for ahead in (0.0, 2.0, -2.0):
                group.start(ahead)
            group.until(lambda: group.settled(8), 60, "three that share")
            (tmp_path / f"{load.PROJECT}.py").write_text(RATED)
            begin = time.time()
            words = ("--status", "RUNNING", "--rate", str(rate), "--burst", str(burst))
            group.command("project", "put", str(tmp_path / f"{load.PROJECT}.py"), *words)
            group.until(lambda: len(site.log) > 10, 60, "the first requests")
            while group.kills < 20:
                group.kill_one()
                seen = len(site.log)
                group.until(lambda seen=seen: len(site.log) > seen + 8, 60, "requests go on")  # type: ignore[misc]
            group.freeze_one(12)
            seen = len(site.log)
            group.until(lambda: len(site.log) > seen + 20, 60, "requests go on")
            group.until(lambda: group.settled(8), 60, "the one that stood still takes part again")
            log = sorted(site.log)
            for number, (when, _, _) in enumerate(log, 1):
                assert number <= burst + rate * (when - begin), (
                    f"request {number} came {when - begin} s after the start"
                )
            for host in {host for _, host, _ in log}:
                times = [when for when, other, _ in log if other == host]
                for first, when in enumerate(times):  # what a fetcher or a queue held up comes later, and so nearer
                    assert len([t for t in times[first:] if t <= when + 6.0]) <= 3, f"{host} was asked too often"
            assert max(Counter(path for _, _, path in log).values()) == 1
            speed = len(log) / (log[-1][0] - begin)
            group.command("project", "clear", load.PROJECT, "--yes", timeout=120)
            store = connect_taskdb(group.database)
            accepted = (load.PROJECT, "accepted", "on_finished")
            group.until(lambda: store.ledger(load.PROJECT).get(accepted), 900, "the end")
            group.until(lambda: store.state_of("", "drained") == "1", 60, "all have drained")
            assert store.ledger(load.PROJECT)[accepted] == 1
            group.command("audit")
            store.close()
    site.close()
    print(f"{len(log)} requests, {speed:.2f} a second, {group.kills} kills, {tasks:,} tasks")
