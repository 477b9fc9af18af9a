"""Figures as text and as JSON: per page, medians, what is missing, what is wrong."""

from __future__ import annotations

import json

import pytest

from crawlkit.proving.machine import Machine
from crawlkit.proving.report import Report
from crawlkit.proving.trial import Figures

PARTS = {"queues": 0.02, "scheduler": 0.2, "processor": 0.5, "other": 0.0, "fetcher": 0.1, "result_worker": 0.08}


def report(**more: object) -> Report:
    machine = Machine("1.0", "CPython 3.12.1", "Linux", 2, "", 8 * 10**9, 0.1)
    values = {"served": True, "doc": False, **more}
    return Report(machine, "SQLite", "a local socket", "nginx", 1_000, **values)  # type: ignore[arg-type]


def figures(crawl: float = 2.0, servers: dict[str, float] | None = None, pss: int = 200 * 2**20) -> Figures:
    return Figures(1.5, crawl, PARTS, servers or {}, pss)


def test_the_table_of_one_run() -> None:
    text = report(runs=[figures()]).text()
    assert "crawlkit 1.0, CPython 3.12.1, Linux, 2 cores, 8 GB of memory" in text
    assert "database: SQLite\nqueues: a local socket\nsite: 1,000 pages of 10 KB" in text
    (line,) = (line for line in text.splitlines() if line.startswith("run 1"))
    assert line.split() == ["run", "1", "500", "0.900", "200", "1.50", "2.00"]
    assert "median" not in text
    components = [line.split() for line in text.partition("by component")[2].splitlines()[1:7]]
    assert [line[0] for line in components] == ["scheduler", "fetcher", "processor", "result", "supervisor", "other"]
    assert components[2] == ["processor", "0.500", "56%", "with", "its", "workers"]
    assert text.endswith("results are exact: 1,000 pages, each once")


def test_medians_of_runs() -> None:
    found = report(runs=[figures(1.0), figures(4.0), figures(2.0, pss=0)])
    text = found.text()
    assert [line.split()[2] for line in text.splitlines() if line.startswith("run ")] == ["1,000", "250", "500"]
    (line,) = (line for line in text.splitlines() if line.startswith("median"))
    assert line.split() == ["median", "500", "0.900", "200", "1.50", "2.00"]
    plain = found.plain()
    assert plain["median"]["pages_per_second"] == 500
    assert plain["median"]["components"]["supervisor"] == pytest.approx(0.02)
    assert [one["peak_pss"] for one in plain["runs"]] == [200 * 2**20, 200 * 2**20, None]


def test_what_is_not_told_is_said() -> None:
    found = report(runs=[figures(servers={"database": 0.3, "queue": 0.0}, pss=0)], served=False)
    text = found.text()
    assert "not told: peak memory: this system does not tell it" in text
    assert "not told: CPU of the queue server: it is on another machine" in text
    assert "database server    0.300           beside, for whomever it works" in text
    assert "queue server  " not in text
    assert "which holds the queues" not in text
    plain = found.plain()
    assert plain["median"]["servers"] == {"database": pytest.approx(0.3), "queue": None}
    assert len(plain["missing"]) == 2


def test_results_that_are_not_exact() -> None:
    found = report(runs=[figures()], problems=[f"missing: u{number}" for number in range(7)], left=["folder /x: busy"])
    assert "results are NOT exact: 7 problems\n  missing: u0" in found.text()
    assert found.text().endswith("and 2 more")
    plain = json.loads(json.dumps(found.plain()))
    assert plain["exact"] is False
    assert len(plain["problems"]) == 7
    assert plain["left"] == ["folder /x: busy"]


def test_a_crawl_that_did_not_come_to_its_end() -> None:
    found = report(problems=["it ended with code -9"])
    assert "it ended with code -9" in found.text()
    assert "pages/s" not in found.text()
    assert found.plain()["median"] is None


def test_a_busy_machine_is_told() -> None:
    busy = report()
    object.__setattr__(busy.machine, "load", 3.0)
    assert "busy before (load 3.0)" in busy.text()
    assert "busy before" not in report().text()
