"""The verdict in words and as JSON: what holds, what does not, and how to do it again."""

from __future__ import annotations

import json
from typing import Any

from crawlkit.libs.task import Status
from crawlkit.proving.chaos_report import Order, Report
from crawlkit.proving.judge import Evidence
from crawlkit.proving.kills import Blow
from crawlkit.proving.ledger import Request
from crawlkit.proving.machine import Machine
from crawlkit.proving.recovery import Seen, Traces
from crawlkit.proving.site import Page
from crawlkit.scheduler.books import Report as Books

MACHINE = Machine("1.0", "CPython 3.12.1", "Linux", 2, "", 8 * 10**9, 0.1)
PAGE = Page("t", "h", "1")


def report(recovery: float = 0.5, asked: int = 3, **evidence: Any) -> Report:
    """Of a site of one page and two kills, with three tasks under way at most."""
    made = Report(MACHINE, Order(0.5, 300, 3, 17), "SQLite", "a local socket", window=3, seconds=31.2)
    blows = [Blow("scheduler", 5, 1, 10.0, frozenset()), Blow("worker", 9, 2, 20.0, frozenset())]
    traces = Traces([Request(1.0, "/a", 0.0)], [], [Seen(10.1, 10.0 + recovery)])
    right: dict[str, Any] = {"results": [("a", PAGE._asdict())], "tasks": [("a", Status.SUCCESS)]}
    books = Books("shop", [], 1, 1, 0, 0, 1, 1, [])
    made.conclude(Evidence(**{"truth": {"a": PAGE}, "asked": {"a": asked}, "books": books, **right, **evidence}),
                  blows, traces)  # fmt: skip
    return made


def test_a_crawl_in_which_all_holds() -> None:
    found = report()
    text = found.text()
    assert "site: 300 pages, 10 pages/s at most; the crawl took 31 s" in text
    assert "refetches: 2; 2 kills x 3 pages under way explain 6 at most" in text
    assert "seed 17; the same kills again: crawlkit chaos --minutes 0.5 --pages 300 --kills 3 --seed 17" in text
    assert "1 of 3 kills were not due before the end" in text
    rows = {line[:16].strip(): line[16:].split() for line in text.splitlines() if line[16:23].strip().isdigit()}
    assert rows["scheduler"] == ["1", "0.50", "0.50", "0.50"]
    assert rows["handler worker"] == ["1", "-", "-", "-"]
    assert rows["all"] == ["2", "0.50", "0.50", "0.50"]
    assert "it holds: each of 300 pages was fetched, and has one result" in text
    plain = json.loads(json.dumps(found.plain()))
    assert (plain["holds"], plain["seed"], plain["command"]) == (True, 17, found.order.command())
    assert plain["kills"]["by_component"] == {
        "scheduler": 1, "fetcher": 0, "processor": 0, "result_worker": 0, "worker": 1,
    }  # fmt: skip
    assert plain["kills"]["at"][1] == {"request": 9, "component": "worker"}
    assert plain["refetches"] == {"count": 2, "window": 3, "bound": 6}
    assert plain["recovery"]["all"] == {"seen": 1, "p50": 0.5, "p95": 0.5, "max": 0.5}
    assert plain["recovery"]["fetcher"] == {"seen": 0, "p50": None, "p95": None, "max": None}


def test_what_the_judge_finds_is_told() -> None:
    found = report(tasks=[("a", Status.ACTIVE)], results=[])
    assert found.text().endswith("it does NOT hold: 2 problems\n  missing: a\n  task left active: a")
    assert found.plain()["problems"] == ["missing: a", "task left active: a"]
    assert found.plain()["holds"] is False


def test_only_the_first_problems_are_shown_to_people() -> None:
    found = report(truth={f"p{number}": PAGE for number in range(20)} | {"a": PAGE})
    assert "it does NOT hold: 60 problems" in found.text()
    assert found.text().endswith("and 50 more")
    assert len(found.plain()["problems"]) == 60


def test_more_refetches_than_the_kills_explain() -> None:
    assert report(asked=7).problems == []
    assert report(asked=8).problems == ["7 pages were fetched again, over 2 kills x 3 under way"]


def test_a_component_that_is_away_too_long() -> None:
    assert report(recovery=5.0).problems == []
    assert report(recovery=5.1).problems == ["recovery: p95 is 5.1 s, over 5 s"]
