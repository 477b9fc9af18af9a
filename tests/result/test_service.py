from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlkit.libs import messages
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.errors import BadMessage, StoreUnavailable
from crawlkit.libs.messages import Follow, Heartbeat, Outcome
from crawlkit.message_queue import outbox
from crawlkit.message_queue.memory import MemoryBroker
from crawlkit.message_queue.status_queues import StatusQueues
from crawlkit.result import service
from crawlkit.result.service import FEW, LONGEST_NAP, ResultService, nap_after
from tests.result.hooks import Both, Exporter, Fails


class Store:
    """Keeps what it is given; breaks when told to."""

    def __init__(self) -> None:
        self.saved: list[Any] = []
        self.transactions = 0
        self.down = False
        self.refuses: set[str] = set()

    def save(self, sets):
        if self.down:
            raise StoreUnavailable("the disk is full")
        if any(found.taskid in self.refuses for found in sets):
            raise ValueError("a row nobody can store")
        self.transactions += 1
        self.saved += sets
        return [0] * len(sets)


def outcome(taskid: str, *results: Any, part: int = 0, last: bool = True, first: int = 0, **more: Any) -> Outcome:
    fields: dict[str, Any] = {
        "project": "p", "taskid": taskid, "run": 1, "attempt": 1, "kind": 0, "url": "http://h/" + taskid,
        "node": "processor-1", "ok": True, "messages": [], "result_count": first + len(results),
        "follows": [Follow("f1", True, messages.pack({"url": "http://h/f"}))],
    }  # fmt: skip
    texts = [json.dumps(result) for result in results]
    return Outcome(part=part, last=last, first_result=first, results=texts, **{**fields, **more})


class Scene:
    def __init__(self, store: Store | None, worker: Any = None, batch: int = 200) -> None:
        self.broker = MemoryBroker()
        self.inqueue = self.broker.queue("processor2result")
        self.status = self.broker.queue("status_queue")
        self.store = store
        self.outcomes: list[Outcome] = []
        self.beats: list[Heartbeat] = []
        self.unreadable = 0
        self.service = ResultService(
            inqueue=self.inqueue,
            status_queues=StatusQueues(self.broker.queue),
            resultdb=store,  # type: ignore[arg-type]
            clock=SystemClock(),
            node="result-1",
            worker=worker,
            batch=batch,
        )

    async def put(self, *outcomes: Outcome) -> None:
        await self.inqueue.put_many([messages.encode(found) for found in outcomes])

    async def drain(self) -> None:
        while True:
            deliveries = await self.status.get_many(100)
            for delivery in deliveries:
                try:
                    message = messages.decode_status(delivery.body)
                except BadMessage:  # of what is passed on unread the scheduler is the judge
                    self.unreadable += 1
                    continue
                (self.beats if isinstance(message, Heartbeat) else self.outcomes).append(message)  # type: ignore[arg-type]
            await self.status.ack([delivery.id for delivery in deliveries])

    async def until(self, condition: Callable[[], bool], seconds: float = 10) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while not condition():
            assert asyncio.get_running_loop().time() < deadline, "the condition never held"
            await asyncio.sleep(0.005)


def play(scene: Scene, act: Callable[[Scene], Any]) -> None:
    @asynccontextmanager
    async def running():
        run = asyncio.create_task(scene.service.run())
        drain = asyncio.create_task(scene.drain())
        try:
            yield
        finally:
            await scene.service.stop()
            await run
            await scene.until(lambda: not scene.status.size_now().messages)
            drain.cancel()

    async def main() -> None:
        async with running():
            await act(scene)

    asyncio.run(asyncio.wait_for(main(), 30))


def test_results_are_stored_before_the_outcome_goes_on():
    async def act(scene):
        await scene.put(outcome("a", {"x": 1}), outcome("b", "text", None))
        await scene.until(lambda: len(scene.outcomes) == 2)
        assert [(s.taskid, s.results, s.last) for s in scene.store.saved] == [
            ("a", ['{"x": 1}'], True),
            ("b", ['"text"', "null"], True),
        ]
        assert scene.store.transactions == 1
        first = scene.outcomes[0]
        assert (first.taskid, first.results, first.result_count, first.discarded) == ("a", [], 1, 0)
        assert first.follows == [Follow("f1", True, messages.pack({"url": "http://h/f"}))]
        await scene.until(lambda: scene.inqueue.size_now().messages == 0)

    play(Scene(Store()), act)


def test_without_a_resultdb_results_are_counted_and_discarded():
    async def act(scene):
        await scene.put(outcome("a", 1, 2), outcome("b", 3))
        await scene.until(lambda: len(scene.outcomes) == 2)
        assert [(o.discarded, o.result_count) for o in scene.outcomes] == [(2, 0), (1, 0)]
        assert scene.service.counts.discarded == 3

    play(Scene(None), act)


def test_a_store_that_is_down_holds_everything_and_goes_on_by_itself(caplog):
    async def act(scene):
        scene.store.down = True
        await scene.put(outcome("a", 1))
        await scene.until(lambda: scene.service.counts.store_errors >= 2)
        assert not scene.outcomes
        assert scene.inqueue.size_now().unacked == 1
        await scene.until(lambda: any(beat.stats["store_down"] == 1 for beat in scene.beats))
        assert scene.beats[-1].held == [("p", "a", 1, 1)]
        scene.store.down = False
        await scene.until(lambda: len(scene.outcomes) == 1)
        assert scene.service.counts.store_down == 0

    with caplog.at_level(logging.WARNING):
        play(Scene(Store()), act)
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "the disk is full" in caplog.text


def test_stop_gives_back_what_could_not_be_stored():
    scene = Scene(Store())

    async def act(scene):
        scene.store.down = True
        await scene.put(outcome("a", 1), outcome("b", 2))
        await scene.until(lambda: scene.service.counts.store_errors >= 1)

    play(scene, act)
    assert scene.inqueue.size_now()[::2] == (2, 0)
    assert not scene.outcomes
    assert scene.beats[-1].stopping


def test_one_row_that_cannot_be_stored_does_not_stop_the_others():
    async def act(scene):
        scene.store.refuses = {"b"}
        await scene.put(outcome("a", 1), outcome("b", 2), outcome("c", 3))
        await scene.until(lambda: len(scene.outcomes) == 2)
        assert [o.taskid for o in scene.outcomes] == ["a", "c"]
        dead = await scene.inqueue.dead()
        assert len(dead) == 1
        assert "a row nobody can store" in dead[0].reason

    play(Scene(Store()), act)


@pytest.mark.parametrize("garbage", [b"", b"\x07abc", b"\x01\xc1", bytes(200), b"\x01" + b"\x91" * 5000])
def test_what_nobody_can_read_is_put_aside(garbage):
    async def act(scene):
        await scene.inqueue.put_many([garbage])
        await scene.put(outcome("a", 1))
        await scene.until(lambda: len(scene.outcomes) == 1)
        assert [dead.body for dead in await scene.inqueue.dead()] == [garbage]
        assert scene.service.counts.rejected == 1

    play(Scene(Store()), act)


def test_parts_keep_their_order():
    async def act(scene):
        await scene.put(
            outcome("a", 1, part=0, last=False),
            outcome("a", 2, part=1, last=False, first=1),
            outcome("a", part=2, first=2),
        )
        await scene.until(lambda: len(scene.outcomes) == 3)
        assert [o.part for o in scene.outcomes] == [0, 1, 2]
        assert [(s.first, s.last) for s in scene.store.saved] == [(0, False), (1, False), (2, True)]

    play(Scene(Store(), batch=2), act)


@pytest.mark.parametrize("more", [{"ok": False}, {"not_modified": True}, {"kind": messages.INFO}])
def test_outcomes_that_change_no_results_are_passed_on(more):
    async def act(scene):
        await scene.put(outcome("a", **more))
        await scene.until(lambda: len(scene.outcomes) == 1)
        assert scene.store.saved == []

    play(Scene(Store()), act)


def test_a_hook_instead_of_the_resultdb():
    hook = Exporter()

    async def act(scene):
        await scene.put(outcome("a", {"x": 1}, {"x": 2}, part=0, last=False), outcome("a", {"x": 3}, part=1, first=2))
        await scene.until(lambda: len(scene.outcomes) == 2)
        assert hook.seen == [("a", 0, {"x": 1}), ("a", 1, {"x": 2}), ("a", 2, {"x": 3})]
        assert [o.discarded for o in scene.outcomes] == [2, 1]
        assert scene.outcomes[1].result_count == 0

    play(Scene(Store(), hook), act)


def test_a_hook_beside_the_resultdb():
    async def act(scene):
        await scene.put(outcome("a", {"x": 1}))
        await scene.until(lambda: len(scene.outcomes) == 1)
        assert [json.loads(text) for s in scene.store.saved for text in s.results] == [{"x": 1, "by": "hook"}]
        assert (scene.outcomes[0].result_count, scene.outcomes[0].discarded) == (1, 0)

    play(Scene(Store(), Both()), act)


def test_a_hook_that_raises_keeps_its_task_open_and_nobody_elses(caplog):
    hook = Fails()

    async def act(scene):
        await scene.put(
            outcome("a", {"bad": True}, part=0, last=False),
            outcome("b", {}),
            outcome("a", {}, part=1, first=1),
        )
        await scene.until(lambda: len(scene.outcomes) == 1)
        assert scene.outcomes[0].taskid == "b"
        assert scene.service.counts.late == 2
        assert scene.inqueue.size_now().unacked == 2
        await scene.put(outcome("c", {}))
        await scene.until(lambda: len(scene.outcomes) == 4)
        assert [(o.taskid, o.part) for o in scene.outcomes if o.taskid == "a"] == [("a", 0), ("a", 1)]
        assert scene.service.counts.hook_errors == 2
        assert scene.service.counts.late == 0
        assert hook.times == 0

    with caplog.at_level(logging.WARNING):
        play(Scene(Store(), hook), act)
    assert len(caplog.records) == 1
    assert "on_result raised for p/a" in caplog.text


def test_heartbeats_say_who_and_what():
    async def act(scene):
        await scene.until(lambda: len(scene.beats) >= 1)
        beat = scene.beats[0]
        assert (beat.node, beat.role, beat.held, beat.stopping) == ("result-1", "result_worker", [], False)

    play(Scene(Store()), act)


def test_the_wait_for_a_full_status_queue_ends_with_the_stop():
    scene = Scene(Store())

    async def main():
        await scene.status.put_many([b"x"] * 100)
        run = asyncio.create_task(scene.service.run())
        await scene.put(outcome("a", 1))
        await scene.until(lambda: len(scene.store.saved) == 1)
        await scene.service.stop(timeout=0.1)
        await run
        assert scene.inqueue.size_now()[::2] == (1, 0)  # stored, not passed on: it comes again

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_result_that_is_not_json_is_put_aside_when_a_hook_needs_it():
    async def act(scene):
        bad = outcome("a")
        bad.results = ["{"]
        await scene.put(bad, outcome("b", {}))
        await scene.until(lambda: len(scene.outcomes) == 1)
        assert scene.outcomes[0].taskid == "b"
        dead = await scene.inqueue.dead()
        assert "not JSON" in dead[0].reason

    play(Scene(Store(), Both()), act)


def mutated(body: bytes, cut: int, at: int, byte: int) -> bytes:
    body = body[:at] + bytes([byte]) + body[at + 1 :]
    return body[:cut]


GOOD = messages.encode(outcome("a", {"x": 1}))
NOISE = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=300).map(lambda tail: b"\x01" + tail),
    st.builds(mutated, st.just(GOOD), st.integers(0, 400), st.integers(0, len(GOOD)), st.integers(0, 255)),
)


def told_elsewhere(broker: MemoryBroker) -> int:
    """Outcomes in the status queues of other partitions than the first."""
    queues = [broker.queue(name) for name in broker.sizes() if name.startswith("status_queue_")]
    bodies = [delivery.body for queue in queues for delivery in queue.take_now(1000)]
    return sum(not isinstance(_read(body), Heartbeat) for body in bodies)


def _read(body: bytes) -> messages.StatusMessage | None:
    try:
        return messages.decode_status(body)
    except BadMessage:
        return None


def survives(bodies: list[bytes], hook: Any) -> None:
    """RELIABILITY R-13: whatever lies in the queue, the loop goes on, and nothing is dropped without a reason."""

    async def act(scene):
        await scene.inqueue.put_many(bodies)
        await scene.put(outcome("last", {}))
        await scene.until(lambda: any(o.taskid == "last" for o in scene.outcomes))
        await scene.until(lambda: not scene.inqueue.size_now().messages)
        await scene.until(lambda: not scene.status.size_now().messages)
        told = len(scene.outcomes) + scene.unreadable + told_elsewhere(scene.broker)
        assert len(await scene.inqueue.dead(1000)) + told == len(bodies) + 1

    play(Scene(Store(), hook), act)


@settings(max_examples=25)
@given(st.lists(NOISE, max_size=20), st.booleans())
def test_noise(bodies, hooked):
    survives(bodies, Both() if hooked else None)


@pytest.mark.fuzz
@settings(max_examples=1000)
@given(st.lists(NOISE, min_size=5, max_size=20), st.booleans())
def test_much_noise(bodies, hooked):
    survives(bodies, Both() if hooked else None)


def test_a_partition_that_nobody_reads_holds_up_no_other(monkeypatch):
    monkeypatch.setattr(outbox, "STUCK", 0.1)

    async def act(scene):
        unread = scene.broker.queue("status_queue_3")
        await unread.put_many([b"x"] * 100)
        await scene.put(*(outcome(f"b{n}", n, partition=3) for n in range(20)), outcome("a0", 0))
        await scene.until(lambda: len(scene.outcomes) == 1)
        await scene.put(*(outcome(f"a{n}", n) for n in range(1, 20)))
        await scene.until(lambda: len(scene.outcomes) == 20)
        assert {found.taskid for found in scene.outcomes} == {f"a{n}" for n in range(20)}
        await scene.until(lambda: scene.inqueue.size_now().messages == 20)  # acknowledged, those of the other not
        assert [found.body for found in await unread.get_many(100)] == [b"x"] * 100
        outcomes = []
        while len(outcomes) < 20:
            found = [messages.decode_status(one.body) for one in await unread.get_many(100, 10)]
            outcomes += [one for one in found if isinstance(one, Outcome)]
        assert sorted(one.taskid for one in outcomes) == sorted(f"b{n}" for n in range(20))
        assert {one.partition for one in outcomes} == {3}
        await scene.until(lambda: scene.inqueue.size_now().messages == 0)

    play(Scene(Store()), act)


def test_so_much_may_wait_for_a_partition_and_then_no_more_is_taken(monkeypatch):
    monkeypatch.setattr(outbox, "STUCK", 0.1)
    monkeypatch.setattr(service, "WAITING", (10, 2**20))

    async def act(scene):
        unread = scene.broker.queue("status_queue_3")
        await unread.put_many([b"x"] * 100)
        await scene.put(*(outcome(f"b{n}", n, partition=3) for n in range(10)))
        await scene.until(lambda: len(scene.service._out) == 10 and scene.service._out.blocked(3))
        await scene.put(outcome("a", 1))
        assert scene.inqueue.size_now()[::2] == (11, 10)
        while not scene.outcomes:
            await unread.ack([one.id for one in await unread.get_many(50, 0.1)])

    play(Scene(Store()), act)


@pytest.mark.parametrize(
    ("count", "took", "nap"),
    [
        (1, 0.5, 0.0),
        (FEW - 1, 0.5, 0.0),
        (FEW, 0.002, 0.008),
        (FEW, 0.5, LONGEST_NAP),
        (99, 0.5, LONGEST_NAP),
        (100, 0.5, 0.0),
        (200, 0.002, 0.0),
    ],
)
def test_only_under_load_the_next_batch_is_waited_for(count: int, took: float, nap: float) -> None:
    assert nap_after(count, took, 200) == pytest.approx(nap)
