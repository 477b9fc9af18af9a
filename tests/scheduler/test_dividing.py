"""Into how many partitions a taskdb is divided, and changing that while no scheduler runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlkit.database.base import TaskStore
from crawlkit.database.memory import MemoryTaskStore
from crawlkit.database.registry import connect_taskdb
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.errors import UsageError
from crawlkit.libs.messages import AWAIT, RESUME, Await, Dispatch, Outcome, pack
from crawlkit.libs.rows import Letter, Queue, Writes
from crawlkit.libs.task import Task, partition_of
from crawlkit.scheduler import dividing
from crawlkit.scheduler.dividing import begin_with, divide, partitions_of
from crawlkit.scheduler.projects import PAGES
from crawlkit.scheduler.turn import Inbox, Submission
from tests.database.stores import task, waiting, writes
from tests.scheduler.cluster import Cluster
from tests.scheduler.rig import outcome_of


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_700_000_000.0)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[TaskStore]:
    url = f"sqlite:///{tmp_path / 'task.db'}"
    made: TaskStore = MemoryTaskStore(clock) if request.param == "memory" else connect_taskdb(url)
    yield made
    made.close()


def test_a_new_taskdb_has_one_and_may_begin_with_more(store: TaskStore, clock: ManualClock) -> None:
    assert partitions_of(store) == 1
    begin_with(store, clock, 4, clock.advance)
    assert partitions_of(store) == 4
    begin_with(store, clock, 4, clock.advance)
    store.commit(writes(insert=[waiting("a", 1)]))
    begin_with(store, clock, 4, clock.advance)
    with pytest.raises(UsageError, match=r"has 4 partitions and tasks already.*'crawlkit partitions 2'"):
        begin_with(store, clock, 2, clock.advance)
    with pytest.raises(UsageError, match="300 partitions: use 1 to 256"):
        begin_with(store, clock, 300, clock.advance)


def test_all_that_waits_says_of_which_partition_it_is(
    store: TaskStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dividing, "CHUNK", 7)
    rows = [waiting(f"t{n}", n, host=f"h{n % 9}") for n in range(1, 40)]
    rows += [task(f"l{n}", host=f"h{n}", queue=Queue.TIME, rank=5.0 + n, seq=100 + n) for n in range(20)]
    rows.append(waiting("home", 200, host=""))
    store.commit(writes(insert=rows))
    moved = divide(store, clock, 5, clock.advance)
    assert moved > 20
    for row in store.select("p"):
        assert row.partition == partition_of(row.host or "p", 5)
    for queue in Queue:
        parts = [store.window("p", queue, None, 100, partitions=[part]) for part in range(5)]
        assert sum(map(len, parts)) == len(store.window("p", queue, None, 100))
    assert partitions_of(store) == 5
    divide(store, clock, 1, clock.advance)
    assert {row.partition for row in store.select("p")} == {0}
    assert store.state_of("", "partitions") is None


def test_what_was_interrupted_keeps_schedulers_away_and_is_begun_again(
    store: TaskStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.commit(writes(insert=[waiting("a", 1, host="h")]))

    def crash(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        divide(store, clock, 3, clock.advance, crash)
    with pytest.raises(UsageError, match="'crawlkit partitions 3' again"):
        partitions_of(store)
    divide(store, clock, 3, clock.advance)
    assert partitions_of(store) == 3


def test_not_while_somebody_runs_or_something_is_under_way(clock: ManualClock) -> None:
    store = MemoryTaskStore(clock)
    other = store.beside()
    other.announce("another", 6)

    def meanwhile(seconds: float) -> None:
        clock.advance(seconds)
        other.announce("another", 6)

    with pytest.raises(UsageError, match="a scheduler runs"):
        divide(store, clock, 3, meanwhile)
    with pytest.raises(UsageError, match=r"has 1 partition, so leave --partitions away; .*: a scheduler runs"):
        begin_with(store, clock, 3, meanwhile)
    divide(store, clock, 3, clock.advance)  # it says nothing any more
    assert store.members() == []
    store.commit(Writes(mail=[Letter(0, "p", "task", "{}")]))
    with pytest.raises(UsageError, match="letters between schedulers"):
        divide(store, clock, 4, clock.advance)
    store.commit(Writes(mail_taken=[store.mail([0], 1)[0].id], state={("p", "action:2"): "{}"}))
    with pytest.raises(UsageError, match="an order for project p is under way"):
        divide(store, clock, 4, clock.advance)


def test_a_page_budget_is_known_to_one_scheduler_as_well(store: TaskStore, clock: ManualClock) -> None:
    store.commit(writes(insert=[waiting("a", 1)]))
    store.commit(Writes(counts={("p", PAGES): 7}, state={("p", "pages"): "5"}))
    divide(store, clock, 3, clock.advance)
    assert (store.state_of("p", "pages"), store.counts("p", [PAGES])) == ("12", {PAGES: 0})


def test_a_callback_that_waits_is_answered_from_another_partition(clock: ManualClock) -> None:
    """It began to wait when there was one partition; its request is another scheduler's now."""

    def answer(dispatch: Dispatch) -> list[Outcome]:
        if dispatch.kind == AWAIT:
            return [outcome_of(dispatch, answer=f"blob of {dispatch.url}")]
        if dispatch.url.startswith("http") and dispatch.kind != RESUME:
            waits = [Await(n, pack(Task("p", f"child{n}", f"http://other{n}.example/"))) for n in range(1, 9)]
            return [outcome_of(dispatch, awaits=waits, record="record")]
        return [outcome_of(dispatch)]

    store = MemoryTaskStore(clock)
    alone = Cluster(store.beside, clock, partitions=1, answer=answer)
    alone.project()
    scheduler = alone.start()
    scheduler.engine.mine = None
    scheduler.member.leave()
    alone.processes.clear()
    url = "http://h.example/"
    waiting_for = [Submission(Task("p", url, url), ticket=1)]
    while not any(name.startswith("parked:") for _, name in store.state()):
        clock.advance(0.2)
        inbox = Inbox(alone.queues[0], waiting_for, 3)
        alone.queues[0], waiting_for = [], []
        for sent in scheduler.engine.turn(clock.time(), inbox, clock.monotonic()).dispatches:
            alone._send(sent, [])
        clock.advance(1.0)
        alone._answers()
    divide(store, clock, 6, clock.advance)
    several = Cluster(store.beside, clock, partitions=6, answer=answer)
    several.projectdb = alone.projectdb
    for _ in range(3):
        several.start()
    several.until(several.drained)
    assert [len(recorded) for _, recorded in several.resumed] == [9]
    assert not [name for _, name in store.state() if name.startswith(("asked:", "parked:"))]
    several.check_books()
