"""The contract of searches of the taskdb, over every backend and over each way SQL takes to the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crawlkit.contract import test_tasksearch as contract
from crawlkit.contract.rows import task, writes
from crawlkit.contract.test_tasksearch import *  # noqa: F403
from crawlkit.contract.test_tasksearch import fill
from crawlkit.database.base import Place, TaskRow, TaskSearch, TaskStore
from crawlkit.database.registry import connect_taskdb
from crawlkit.database.sqlalchemy import tasksearch
from crawlkit.libs.task import Status

from .stores import url_of
from .test_plans import plans_of

AT_ONCE = ("memory", "sqlite", "postgresql", "mariadb")
BACK = ("sqlite, back in time", "postgresql, back in time", "mariadb, back in time")
WAYS = (*AT_ONCE, *BACK, "sqlite, first a look", "postgresql, first a look")


@pytest.fixture(params=WAYS)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskStore]:
    if request.param not in AT_ONCE:  # nothing is few, and every stretch is short
        monkeypatch.setattr(tasksearch, "FEW" if request.param in BACK else "NOT_SO_FEW", 0)
        monkeypatch.setattr(tasksearch, "FIRST_STRETCH", 3)
        monkeypatch.setattr(tasksearch, "STRETCH", 7)
        if request.param not in BACK:
            monkeypatch.setattr(contract, "BUDGET", 0)
    made = connect_taskdb(url_of(request.param.partition(",")[0], tmp_path))
    yield made
    made.close()


@pytest.fixture
def before_search(monkeypatch: pytest.MonkeyPatch) -> Callable[[TaskSearch, int], None]:
    """By URL as many as are there, where nothing is few: what is left out then has its own test."""
    few = tasksearch.FEW

    def before(search: TaskSearch, rows: int) -> None:
        monkeypatch.setattr(tasksearch, "FEW", rows if search.by_url and few == 0 else few)

    return before


def test_a_look_ends_with_its_time_and_the_next_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasksearch, "FIRST_STRETCH", 10)
    monkeypatch.setattr(tasksearch, "STRETCH", 10)
    store = connect_taskdb(f"sqlite:///{tmp_path}/t.db")
    store.commit(writes(insert=[task(f"t{n:03}", updatetime=float(n), url=f"http://x/{n}") for n in range(100)]))
    search, after, looks = TaskSearch(url="/5*"), None, []
    found: list[str] = []
    while True:
        page = store.search(TaskSearch(url="http://x/5"), after, 100, budget=0)
        found += [row.taskid for row in page.rows]
        looks.append(page.looked_back_to)
        if page.next is None:
            break
        after = page.next
    assert search.url == "/5*"
    assert found == ["t059", "t058", "t057", "t056", "t055", "t054", "t053", "t052", "t051", "t050", "t005"]
    assert len(looks) > 3
    assert looks[-1] is None
    assert [look for look in looks if look is not None] == sorted((look for look in looks[:-1]), reverse=True)
    store.close()


def test_by_url_it_says_how_far_back_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasksearch, "FEW", 10)
    store = connect_taskdb(f"sqlite:///{tmp_path}/t.db")
    store.commit(writes(insert=[task(f"t{n:03}", updatetime=float(n), url=f"http://x/{99 - n:02}") for n in range(50)]))
    page: list[TaskRow] = []
    after: Place | None = None
    while True:
        look = store.search(TaskSearch(by_url=True), after, 4)
        page += look.rows
        assert look.looked_back_to == 39.0
        if look.next is None:
            break
        after = look.next
    assert [row.taskid for row in page] == [f"t{n:03}" for n in range(49, 38, -1)]
    store.close()


def test_each_way_goes_by_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = connect_taskdb(f"sqlite:///{tmp_path}/t.db")
    fill(store)

    def steps(**search: object) -> list[str]:
        looked = plans_of(store, lambda: store.search(TaskSearch(**search)))  # type: ignore[arg-type]
        return [step for step in looked if "tasks" in step]

    few = steps(project="p", callback="list")
    assert all("(project=?" in step for step in few), few
    failed = steps(status=Status.FAILED)
    assert all("tasks_failed" in step for step in failed), failed
    assert all("tasks_updated" in step for step in steps(callback="list")), steps(callback="list")
    monkeypatch.setattr(tasksearch, "FEW", 0)
    many = steps(project="p", since=1.0)[1:]
    assert all("tasks_updated" in step for step in many), many
    store.close()


def test_too_many_failures_are_counted_and_a_share_of_each_project_is_grouped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasksearch, "COUNT_FAILED", 10)
    store = connect_taskdb(f"sqlite:///{tmp_path}/t.db")
    many = [task(f"t{n:03}", status=Status.FAILED) for n in range(50)]
    store.commit(writes(insert=[*many, task("z", "z", status=Status.FAILED)]))
    page = store.failure_groups()
    assert [(one.project, one.tasks) for one in page.groups] == [("p", 5), ("z", 1)]
    assert (page.failed, page.counted) == (51, 6)
    store.close()
