"""The audit's comparison: what balances, and what each broken rule says."""

from __future__ import annotations

import pytest

from crawlkit.libs.rows import Books, TaskRow
from crawlkit.libs.task import Status
from crawlkit.scheduler.books import ResultCheck, compare

Ledger = dict[tuple[str, str, str], int]

GOOD: Ledger = {
    ("p", "accepted", "submit"): 6,
    ("p", "accepted", "follow"): 6,
    ("p", "done", ""): 4,
    ("p", "done", "not_modified"): 1,
    ("p", "failed", "http_404"): 2,
    ("p", "cancelled", "by_request"): 1,
    ("p", "removed", "tick"): 1,
    ("p", "ignored", "known"): 50,
    ("p", "refused", "task.url"): 3,
    ("p", "retried", "http_500"): 7,
    ("other", "accepted", "submit"): 99,
}
ROWS = Books(tasks=10, runs=11, active=4, leased=1, by_status={1: 4, 2: 3, 3: 2, 4: 1})


def test_balanced_books() -> None:
    report = compare("p", GOOD, ROWS)
    assert report.balanced, report.problems
    assert (report.accepted, report.ended, report.waiting, report.leased, report.tasks) == (12, 8, 3, 1, 10)
    assert [entry.event for entry in report.entries[:6]] == [
        "accepted",
        "accepted",
        "done",
        "done",
        "failed",
        "cancelled",
    ]
    assert all(entry.count != 99 for entry in report.entries)


BROKEN: list[tuple[Ledger, Books, str]] = [
    ({("p", "accepted", "submit"): 7}, ROWS, "accepted 13 runs, but 8 ended and 4 wait or are leased: 1 lost"),
    ({("p", "done", ""): 6}, ROWS, "accepted 12 runs, but 10 ended and 4 wait or are leased: 2 too many"),
    ({("p", "removed", "tick"): 0}, ROWS, "the rows count 11 runs and 0 were removed, but 12 were accepted: 1 lost"),
    ({}, Books(10, 11, 4, 5, {1: 4, 2: 3, 3: 2, 4: 1}), "5 leases for 4 active rows"),
    ({}, Books(9, 11, 4, 1, {1: 4, 2: 3, 3: 2, 4: 1}), "9 rows, but 10 by their status"),
    ({}, Books(10, 11, 4, 1, {1: 3, 2: 4, 3: 2, 4: 1}), "4 active rows, but 3 by their status"),
    ({("p", "lost", "lease_expired"): -1}, ROWS, "lost lease_expired is negative: -1"),
]


@pytest.mark.parametrize(("change", "rows", "words"), BROKEN, ids=[words for _, _, words in BROKEN])
def test_each_broken_rule_is_told(change: Ledger, rows: Books, words: str) -> None:
    report = compare("p", {**GOOD, **change}, rows)
    assert not report.balanced
    assert words in report.problems


def test_empty_books_balance() -> None:
    assert compare("p", {}, Books(0, 0, 0, 0, {})).balanced


def row(taskid: str, results: int, status: Status = Status.SUCCESS, run: int = 1) -> TaskRow:
    return TaskRow("p", taskid, f"http://x/{taskid}", status=status, results=results, run=run)


RESULTS = [
    (row("a", 1), {"a": (1, 1)}, 0),
    (row("a", 0), {}, 0),
    (row("a", 1), {}, 1),
    (row("a", 1), {"a": (1, 2)}, 1),
    (row("a", 0, Status.ACTIVE), {"a": (1, 3)}, 0),  # stored, and the outcome is on its way
    (row("a", 2, Status.ACTIVE, run=2), {"a": (1, 2)}, 0),  # those of the last run stay until then
    (row("a", 2, Status.ACTIVE, run=2), {"a": (1, 1)}, 1),
    (row("a", 2, Status.FAILED, run=2), {"a": (1, 2)}, 0),
]


@pytest.mark.parametrize(("task", "counts", "wrong"), RESULTS)
def test_results_against_rows(task: TaskRow, counts: dict[str, tuple[int, int]], wrong: int) -> None:
    check = ResultCheck()
    check.add([task], counts)
    assert check.wrong == wrong
    report = compare("p", {}, Books(0, 0, 0, 0, {}))
    check.conclude(report, 5, discarded=False)
    assert report.results == 5
    assert report.balanced is (not wrong)
    if wrong:
        assert "1 tasks do not have the results their rows say" in report.problems
        assert any(task.url in problem for problem in report.problems)


def test_discarded_results_are_no_loss() -> None:
    check = ResultCheck()
    check.add([row("a", 1)], {})
    report = compare("p", {}, Books(0, 0, 0, 0, {}))
    check.conclude(report, 0, discarded=True)
    assert report.balanced
