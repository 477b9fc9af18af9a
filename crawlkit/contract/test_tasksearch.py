"""The contract of searches of the taskdb."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from crawlkit.contract.rows import attempt, task, writes
from crawlkit.database.base import AttemptRow, TaskRow, TaskSearch, TaskStore
from crawlkit.libs.rows import Queue
from crawlkit.libs.task import Process, Status

BUDGET = 60.0  # seconds for a look
REASONS = ("timeout", "dns", "http")


@pytest.fixture
def store(crawlkit_taskdb: TaskStore) -> TaskStore:
    """From the options of pytest, unless a test module says otherwise."""
    return crawlkit_taskdb


def all_of(store: TaskStore, search: TaskSearch, limit: int = 3) -> list[tuple[str, str]]:
    found, after = [], None
    while True:
        page = store.search(search, after, limit, BUDGET)
        assert len(page.rows) == limit or page.next is None or not BUDGET
        found += [(row.project, row.taskid) for row in page.rows]
        if page.next is None:
            return found
        after = page.next


def ids(store: TaskStore, **search: object) -> str:
    return " ".join(taskid for _, taskid in all_of(store, TaskSearch(**search)))  # type: ignore[arg-type]


def fill(store: TaskStore) -> None:
    store.commit(
        writes(
            insert=[
                task("a", updatetime=10.0, url="http://x/A", process=Process(callback="list")),
                task("b", updatetime=30.0, url="http://x/b", process=Process(callback="list"), status=Status.SUCCESS),
                task("c", updatetime=20.0, url="http://y/a", process=Process(callback="über"), status=Status.FAILED),
                task("d", updatetime=20.0, url="http://y/_a%", status=Status.FAILED),
                task("e", updatetime=20.0, url="http://z/a", status=Status.FAILED, project="q"),
                task("f", updatetime=5.0, url="http://z/b", status=Status.BAD, project="q"),
            ],
            attempts=[
                attempt("a", number=1, ok=False, reason="dns"),
                attempt("b", number=1, ok=False, reason="timeout"),
                attempt("b", number=2),
                attempt("c", number=1, ok=False, reason="dns"),
                attempt("c", run=2, number=1, ok=False, reason="timeout"),
                attempt("e", project="q", ok=False, reason="timeout"),
            ],
        )
    )


def test_the_task_updated_last_comes_first(store: TaskStore) -> None:
    fill(store)
    assert ids(store) == "b c d e a f"
    assert ids(store, project="p") == "b c d a"
    assert ids(store, project="nobody") == ""


def test_every_filter(store: TaskStore) -> None:
    fill(store)
    assert ids(store, status=Status.FAILED) == "c d e"
    assert ids(store, status=Status.FAILED, project="q") == "e"
    assert ids(store, status=Status.BAD) == "f"
    assert ids(store, status=Status.ACTIVE, project="p") == "a"
    assert ids(store, url="/a") == "c e"  # case counts
    assert ids(store, url="http://*/a") == "c e"
    assert ids(store, url="_a%") == "d"
    assert ids(store, callback="list") == "b a"
    assert ids(store, callback="lis") == ""
    assert ids(store, callback="über") == "c"
    assert ids(store, callback="__call__") == "d e f"
    assert ids(store, reason="timeout") == "c e"
    assert ids(store, reason="dns") == "a"
    assert ids(store, reason="unknown") == "d"
    assert ids(store, since=20.0) == "b c d e"
    assert ids(store, before=20.0) == "a f"
    assert ids(store, since=10.0, before=30.0) == "c d e a"
    assert ids(store, project="p", status=Status.FAILED, callback="über", reason="timeout", url="y", since=1.0) == "c"


def test_a_page_that_ends_with_the_last_row_says_so(store: TaskStore) -> None:
    fill(store)
    page = store.search(TaskSearch(), None, 6)
    assert len(page.rows) == 6
    if page.next is not None:  # only another look can tell
        assert store.search(TaskSearch(), page.next, 6).rows == []


@pytest.fixture
def before_search() -> Callable[[TaskSearch, int], None]:
    """Called with each search and the number of rows there are."""
    return lambda search, rows: None


def test_random_histories_against_the_plain_rule(
    store: TaskStore, before_search: Callable[[TaskSearch, int], None]
) -> None:
    chance = random.Random(7)
    rows, last = some_rows(chance)
    store.commit(writes(insert=rows, attempts=[one for tries in last.values() for one in tries]))
    for _ in range(80):
        search = some_search(chance)
        before_search(search, len(rows))
        assert all_of(store, search, chance.choice([1, 2, 5, 200])) == plainly(rows, last, search), search


def some_rows(chance: random.Random) -> tuple[list[TaskRow], dict[tuple[str, str], list[AttemptRow]]]:
    rows, tries = [], {}
    for n in range(120):
        project, taskid = chance.choice("pqr"), f"t{n:03}"
        rows.append(
            task(
                taskid,
                project,
                url=f"http://{chance.choice('xyXY')}/{chance.choice('abc')}/{n % 7}",
                status=chance.choice(list(Status)),
                updatetime=float(chance.choice([chance.randrange(15), chance.random() * 15])),
                process=Process(callback=chance.choice(["list", "page", None])),
            )
        )
        tries[project, taskid] = [
            attempt(taskid, run, 1, project, ok=False, reason=chance.choice([*REASONS, ""]))
            for run in range(1, chance.choice([1, 2, 3]))
        ]
    return rows, tries


def some_search(chance: random.Random) -> TaskSearch:
    def maybe(*values: object) -> object:
        return chance.choice([None, None, None, *values])

    return TaskSearch(
        project=maybe("p", "q"),
        status=maybe(*Status),
        url=maybe("x", "X/a", "http://*/1", "b*"),
        callback=maybe("list", "__call__"),
        reason=maybe(*REASONS, "unknown"),
        since=maybe(3.0, 7.5),
        before=maybe(9.0, 12.5),
        by_url=chance.random() < 0.3,
    )  # type: ignore[arg-type]


def plainly(
    rows: list[TaskRow], tries: dict[tuple[str, str], list[AttemptRow]], search: TaskSearch
) -> list[tuple[str, str]]:
    """What the words of the search mean, said without any of the store's own code."""

    def fits(row: TaskRow) -> bool:
        mine = tries[row.project, row.taskid]
        reason = mine[-1].reason if mine else ""
        reason = reason or ("unknown" if row.status == Status.FAILED else "")
        url, callback = row.url, row.process.callback or "__call__"
        return all(
            (
                search.project in (None, row.project),
                search.status in (None, row.status),
                search.callback in (None, callback),
                search.reason in (None, reason),
                search.since is None or row.updatetime >= search.since,
                search.before is None or row.updatetime < search.before,
                {None: True, "x": "x" in url, "X/a": "X/a" in url, "http://*/1": url.endswith("/1"), "b*": False}[
                    search.url
                ],
            )
        )

    order = sorted(
        filter(fits, rows), key=lambda row: (row.url if search.by_url else -row.updatetime, row.project, row.taskid)
    )
    return [(row.project, row.taskid) for row in order]


def test_failures_by_project_and_reason(store: TaskStore) -> None:
    fill(store)
    store.commit(writes(insert=[task("g", updatetime=99.0, status=Status.FAILED)],
                        attempts=[attempt("g", ok=False, reason="timeout")]))  # fmt: skip
    page = store.failure_groups()
    assert [(one.project, one.reason, one.tasks, one.first, one.last) for one in page.groups] == [
        ("p", "timeout", 2, 20.0, 99.0), ("p", "unknown", 1, 20.0, 20.0), ("q", "timeout", 1, 20.0, 20.0),
    ]  # fmt: skip
    assert page.groups[0].examples == [("g", "http://example.com/g"), ("c", "http://y/a")]
    assert (page.failed, page.counted) == (4, 4)
    assert store.failure_groups(examples=1).groups[0].examples == [("g", "http://example.com/g")]
    assert [one.project for one in store.failure_groups("q").groups] == ["q"]
    assert store.failure_groups("nobody").groups == []


def test_those_that_wait_for_another_try(store: TaskStore) -> None:
    late = [task(name, queue=Queue.TIME, rank=9.0, retried=1, updatetime=5.0) for name in "ab"]
    first = task("first", queue=Queue.TIME, rank=8.0, retried=0)
    store.commit(writes(insert=[*late, first, task("ready", queue=Queue.READY, retried=1)],
                        attempts=[attempt("a", ok=False, reason="timeout")]))  # fmt: skip
    page = store.failure_groups(retrying=True)
    assert [(one.project, one.reason, one.tasks) for one in page.groups] == [
        ("p", "timeout", 1), ("p", "unknown", 1),
    ]  # fmt: skip
    assert page.counted == 2
    assert store.failure_groups("nobody", retrying=True).groups == []
