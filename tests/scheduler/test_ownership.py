"""One scheduler a taskdb (R-12): who takes it from whom, and when."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crawlkit.database.base import NodeRow, Owner, TaskStore
from crawlkit.database.registry import connect_taskdb
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.errors import NotOwner, UsageError
from crawlkit.libs.metrics import MINUTE, MetricRow
from crawlkit.scheduler import ownership
from crawlkit.scheduler.ownership import Ownership, name_of_process, process_is_gone
from tests.database.stores import SQL, attempt, tick, url_of, waiting, writes

TTL, RENEW = 0.6, 0.1


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "LOOK", 0.1)


@pytest.fixture(params=SQL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, tmp_path)


@pytest.fixture
def stores(url: str) -> Iterator[list[TaskStore]]:
    made = [connect_taskdb(url) for _ in range(2)]
    yield made
    for store in made:
        store.close()


def holding(store: TaskStore) -> Ownership:
    return Ownership(store, SystemClock(), ttl=TTL, renew=RENEW)


async def refused(second: Ownership, first: Ownership) -> str:
    keeper = asyncio.create_task(first.keep())
    with pytest.raises(UsageError) as info:
        await asyncio.to_thread(second.claim)
    keeper.cancel()
    return str(info.value)


def test_a_second_one_is_refused_in_words(stores: list[TaskStore]) -> None:
    first, second = (Ownership(store, SystemClock(), ttl=60, renew=RENEW) for store in stores)
    first.claim()
    said = asyncio.run(refused(second, first))
    assert f"a scheduler has this taskdb already (on {os.uname().nodename}, pid {os.getpid()}): stop it first" in said


def test_one_that_stopped_is_followed_at_once(stores: list[TaskStore]) -> None:
    first, second = (Ownership(store, SystemClock(), ttl=60) for store in stores)
    first.claim()
    stores[0].close()
    second.claim()
    stores[1].commit(writes(insert=[waiting("a", 1)]))


def test_one_that_says_nothing_is_followed_and_cannot_commit_any_more(stores: list[TaskStore]) -> None:
    first, second = map(holding, stores)
    first.claim()
    stores[0].commit(writes(insert=[waiting("a", 1)]))
    began = time.monotonic()
    second.claim()
    assert time.monotonic() - began < TTL + 2 * ownership.LOOK + 1
    with pytest.raises(NotOwner, match="stops and leaves everything to it"):
        stores[0].commit(writes(insert=[waiting("b", 2)]))
    stores[1].commit(writes(insert=[waiting("c", 3)]))
    assert set(stores[1].get_many([("p", "a"), ("p", "b"), ("p", "c")])) == {("p", "a"), ("p", "c")}
    with pytest.raises(NotOwner):
        asyncio.run(first.keep())
    assert stores[1].max_seq() == 3


def test_one_that_lost_it_removes_nothing_any_more(url: str, stores: list[TaskStore]) -> None:
    """It stood still before it removed old rows or a project; another scheduler has both by now."""
    lost, has = stores
    assert lost.own("lost", 0) is None
    assert has.own("has", 60) is None
    kept = writes(
        insert=[waiting("a", 1)], attempts=[attempt("a", ended=1.0)], ticks=[tick("m", 1), tick("m", 2)],
        nodes=[NodeRow("n", "fetcher", "h", 1, "1", 1.0, 1.0)], metrics=[MetricRow("p", MINUTE, 60)],
    )  # fmt: skip
    kept.count("p", "accepted", "", 1)
    has.commit(kept)
    calls: list[Callable[[TaskStore], object]] = [
        lambda store: store.prune_ticks(9),
        lambda store: store.prune_nodes(9),
        lambda store: store.prune_attempts(9),
        lambda store: store.prune_metrics(MINUTE, 900),
        lambda store: store.drop_some("p", 10),
        lambda store: store.drop("p"),
    ]
    for call in calls:
        with pytest.raises(NotOwner, match="has has it now"):
            call(lost)
    assert len(has.ticks("p")) == 2
    assert len(has.attempts("p", "a")) == len(has.nodes()) == len(has.metrics("p", 0, 120)) == 1
    assert has.books("p").tasks == 1
    assert has.ledger("p") == {("p", "accepted", ""): 1}
    assert [call(has) for call in calls[:4]] == [1, 1, 1, 1]
    never = connect_taskdb(url)
    assert never.drop("p").tasks == 1
    never.close()


def test_a_patient_one_waits_for_the_end_of_the_other(stores: list[TaskStore]) -> None:
    first, second = map(holding, stores)
    first.claim()

    async def main() -> None:
        keeper = asyncio.create_task(first.keep())
        waiter = asyncio.create_task(asyncio.to_thread(second.claim, patient=True))
        await asyncio.sleep(TTL + 2 * ownership.LOOK)
        assert not waiter.done()
        keeper.cancel()
        await asyncio.wait_for(waiter, TTL + 2 * ownership.LOOK + 5)

    asyncio.run(main())


def test_a_clock_that_went_back_keeps_nobody_waiting(stores: list[TaskStore]) -> None:
    """Who is not seen to renew is dead, whatever time its row tells."""
    Ownership(stores[0], SystemClock(), ttl=3_600).claim()
    second = holding(stores[1])
    began = time.monotonic()
    second.claim()
    assert TTL < time.monotonic() - began < TTL + 2 * ownership.LOOK + 1


HOLDER = """
import sys, time
from crawlkit.database.registry import connect_taskdb
from crawlkit.libs.clock import SystemClock
from crawlkit.scheduler.ownership import Ownership
Ownership(connect_taskdb(sys.argv[1]), SystemClock(), ttl=3600).claim()
print("has it", flush=True)
time.sleep(3600)
"""


def test_one_that_was_killed_on_this_host_is_followed_at_once(url: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"has it\n"
        child.kill()
    store = connect_taskdb(url)
    began = time.monotonic()
    Ownership(store, SystemClock()).claim()
    assert time.monotonic() - began < 2
    store.close()


def test_of_many_at_once_one_gets_it(url: str) -> None:
    stores = [connect_taskdb(url) for _ in range(6)]
    barrier = threading.Barrier(6)
    answers: list[Owner | None] = []

    def run(store: TaskStore, name: str) -> None:
        barrier.wait()
        answers.append(store.own(name, 60))

    threads = [threading.Thread(target=run, args=(store, f"n{n}")) for n, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(None) == 1
    assert len({answer for answer in answers if answer is not None}) == 1
    for store in stores:
        store.close()


def test_of_another_system_nothing_is_known() -> None:
    mine = name_of_process()
    assert not process_is_gone(mine)
    host, _, rest = mine.partition(" pid ")
    system = rest.partition(" ")[2]
    assert process_is_gone(f"{host} pid 4194304 {system}")  # over the largest pid
    assert not process_is_gone(f"{host} pid 4194304 another/pid:[1]")
    assert not process_is_gone(f"x{host} pid 4194304 {system}")
    assert not process_is_gone("no name")
