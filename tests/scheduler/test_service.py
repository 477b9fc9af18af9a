"""The scheduler's shell between real queues."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from crawlkit.database.memory import MemoryTaskStore
from crawlkit.libs.errors import InvalidTask, StoreUnavailable
from crawlkit.libs.messages import INFO, Dispatch, FetchEnded, Heartbeat, NewTasks, Outcome, encode, pack
from crawlkit.libs.task import Task, task_from_dict
from crawlkit.scheduler import service
from crawlkit.scheduler.settings import EngineSettings
from tests.scheduler.rig import Rig, follow, outcome_of, running, task


def test_a_submission_goes_round_once_and_on_finished_follows() -> None:
    async def play() -> None:
        rig = Rig()
        rig.project()
        async with running(rig):
            (answer,) = await rig.service.submit([task("http://h/1")])
            assert answer["accepted"]
            assert answer["verdict"] == "new"
            await rig.until(rig.service.drained)
            assert rig.sent[0].kind == INFO
            assert rig.urls() == ["http://h/1", "data:,on_finished"]

    asyncio.run(play())


def test_a_task_is_on_its_way_when_its_sender_is_told() -> None:
    async def play() -> None:
        rig = Rig()
        rig.project()
        async with running(rig):
            await rig.until(lambda: any(one.kind == INFO for one in rig.sent))
            await rig.until(rig.service.drained)
            await rig.service.submit([task("http://h/1")])
            assert "http://h/1" in rig.urls() or (await rig.out.size()).messages

    asyncio.run(play())


def test_follow_ups_are_crawled_once_each() -> None:
    def answer(dispatch: Dispatch) -> Outcome:
        if dispatch.url.startswith("data:"):
            return outcome_of(dispatch)
        number = int(dispatch.url.rpartition("/")[2])
        links = [follow(f"http://h/{n}") for n in (number * 2, number * 2 + 1, 1) if n < 64]
        return outcome_of(dispatch, follows=links)

    async def play() -> None:
        rig = Rig(answer)
        rig.project()
        async with running(rig):
            await rig.service.submit([task("http://h/1")])
            await rig.until(rig.service.drained)
        assert sorted(rig.urls()) == sorted(["data:,on_finished", *(f"http://h/{n}" for n in range(1, 64))])
        assert rig.taskdb.ledger("p")["p", "done", ""] == 64

    asyncio.run(play())


def test_refusals_name_the_field() -> None:
    async def play() -> None:
        rig = Rig()
        rig.project()
        async with running(rig):
            answers = await rig.service.submit(
                [{"project": "p", "taskid": "x"}, task("http://h/", project="nope"), task("", fetch={"timeout": 3})]
            )
        assert [answer["accepted"] for answer in answers] == [False, False, False]
        assert "url" in answers[0]["reason"]
        assert "nope" in answers[1]["reason"]
        assert "task.url" in answers[2]["reason"] or "task.taskid" in answers[2]["reason"]

    asyncio.run(play())


def test_tasks_that_come_by_the_newtask_queue_are_admitted() -> None:
    async def play() -> None:
        rig = Rig()
        rig.project()
        async with running(rig):
            message = NewTasks([pack(Task("p", "a", "http://h/a")), pack(Task("p", "b", "http://h/b"))])
            await rig.newtask.put_many([encode(message), b"\x01rubbish"])
            await rig.until(lambda: len(rig.urls()) >= 2)
            assert (await rig.newtask.dead())[0].reason
            assert (await rig.newtask.size()).messages == 0

    asyncio.run(play())


def test_the_cancel_of_an_unknown_task_does_not_make_it_known() -> None:
    def answer(dispatch: Dispatch) -> Outcome:
        return outcome_of(dispatch, follows=[follow("http://h/x")] if dispatch.url == "http://h/1" else [])

    async def play() -> None:
        rig = Rig(answer)
        rig.project()
        async with running(rig):
            (verdict,) = await rig.service.submit([task("http://h/x", schedule={"cancel": True, "force_update": True})])
            assert verdict["verdict"] == "nothing"
            await rig.service.submit([task("http://h/1")])
            await rig.until(lambda: "http://h/x" in rig.urls())

    asyncio.run(play())


def test_turns_wait_for_a_batch_while_many_are_out_and_not_when_somebody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "BUSY_PAUSE", 60.0)
    monkeypatch.setattr(service, "LONG_PAUSE", 120.0)

    async def play() -> None:
        rig = Rig(lambda dispatch: None)
        rig.project()
        async with running(rig):
            await rig.service.submit([task(f"http://h{n}/") for n in range(300)])
            await rig.until(lambda: rig.engine.leased >= service.AT_WORK)
            (late,) = await asyncio.wait_for(rig.service.submit([task("http://h/late")]), 10)
            assert late["accepted"]
            turns = rig.service.turns
            ended = [
                FetchEnded("p", f"http://h{n}/", 1, 1, f"h{n}", 200, None, 0.1, None) for n in range(service.ENOUGH)
            ]
            await rig.status.put_many([encode(one) for one in ended[1:]])
            await rig.until(lambda: len(rig.service._inbox.status) == service.ENOUGH - 1)
            assert rig.service.turns == turns
            await rig.status.put_many([encode(ended[0])])
            await rig.until(lambda: rig.service.turns > turns)
            assert not rig.service._inbox.status

    asyncio.run(play())


class Stubborn(MemoryTaskStore):
    """A store whose commits fail while told so."""

    failing = False

    def commit(self, writes: Any) -> None:
        if self.failing:
            raise StoreUnavailable("the disk is full")
        super().commit(writes)


def test_heartbeats_on_their_way_keep_no_lost_task_from_coming_round() -> None:
    """The answer is lost, nobody renews the lease, and in every turn there is a heartbeat in the scheduler's hand."""

    async def scene() -> None:
        seen: list[str] = []

        def answer(dispatch: Dispatch) -> Outcome | None:
            seen.append(dispatch.url)
            return outcome_of(dispatch) if seen.count(dispatch.url) > 1 else None

        async def beat() -> None:
            while True:
                await rig.status.put_many([encode(Heartbeat("n", "fetcher", "h", 1, "0", 0.0))])
                await asyncio.sleep(0.05)

        rig = Rig(answer, EngineSettings(lease=1, lease_max=600), watched=True)
        rig.project()
        async with running(rig):
            beating = asyncio.create_task(beat())
            await rig.service.submit([task("http://h/1")])
            await rig.until(lambda: seen.count("http://h/1") == 2, 25)
            beating.cancel()
            await rig.until(rig.service.drained)

    asyncio.run(scene())


def test_a_store_that_fails_stops_work_and_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        store = Stubborn()
        rig = Rig(taskdb=store)
        rig.project()
        async with running(rig):
            await rig.service.submit([task("http://h/1")])
            await rig.until(rig.service.drained)
            store.failing = True
            waiting = asyncio.create_task(rig.service.submit([task("http://h/2")]))
            await rig.until(lambda: "the disk is full" in caplog.text)
            assert not waiting.done()
            assert "http://h/2" not in rig.urls()
            store.failing = False
            (answer,) = await asyncio.wait_for(waiting, 10)
            assert answer["accepted"]
            await rig.until(lambda: "http://h/2" in rig.urls() and rig.service.drained())
        assert caplog.text.count("the disk is full") == 1
        assert "answers again" in caplog.text

    asyncio.run(play())


def test_a_message_that_breaks_the_engine_is_put_aside(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        rig = Rig()
        rig.project()
        async with running(rig):
            await rig.service.submit([task("http://h/1")])
            await rig.until(rig.service.drained)
            turn = rig.engine._turn

            def broken(now: float, inbox: Any, mono: float) -> Any:
                if any(message.url == "http://h/poison" for message in inbox.status):
                    raise ZeroDivisionError("a fault")
                return turn(now, inbox, mono)

            rig.engine._turn = broken  # type: ignore[method-assign]
            answers = await rig.service.submit([task("http://h/2"), task("http://h/poison"), task("http://h/3")])
            assert all(answer["accepted"] for answer in answers)
            await rig.until(lambda: rig.taskdb.ledger("p").get(("p", "done", ""), 0) >= 4)
            (letter,) = await rig.status.dead()
            assert b"poison" in letter.body

    asyncio.run(play())


def test_a_task_that_cannot_be_sent_takes_nobody_along(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        rig = Rig()
        rig.project()
        monkeypatch.setattr("crawlkit.libs.task.msgspec.msgpack.encode", lambda value: b"")  # let it in
        async with running(rig):
            (answer,) = await rig.service.submit([task("http://h/huge", fetch={"save": 10**30})])
            assert answer["accepted"]
            monkeypatch.undo()
            await rig.service.submit([task("http://h/2")])
            await rig.until(lambda: "http://h/2" in rig.urls())

    asyncio.run(play())


def test_a_number_that_no_message_can_hold_is_refused() -> None:
    for part in ({"fetch": {"save": {"n": 10**30}}}, {"schedule": {"retries": 10**30}}, {"schedule": {"itag": 2**64}}):
        with pytest.raises(InvalidTask):
            task_from_dict(task("http://h/1", **part))


def test_a_helper_that_fails_ends_the_service_at_once() -> None:
    async def play() -> None:
        rig = Rig()
        rig.project()

        async def fail(bodies: Any, timeout: float | None = None) -> None:
            raise ZeroDivisionError("a fault")

        rig.out.put_many = fail  # type: ignore[method-assign]
        service = asyncio.create_task(rig.service.run())
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(service, 5)
        await asyncio.sleep(0.2)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(play())


def test_an_idle_scheduler_hardly_turns() -> None:
    async def play() -> None:
        rig = Rig()
        rig.project()
        async with running(rig):
            await rig.service.submit([task("http://h/1")])
            await rig.until(rig.service.drained)
            turns, cpu = rig.service.turns, time.process_time()
            await asyncio.sleep(2.0)
            assert rig.service.turns - turns <= 4
            assert time.process_time() - cpu < 0.1

    asyncio.run(play())


def test_a_submission_is_on_its_way_within_milliseconds() -> None:
    async def play() -> None:
        rig = Rig()
        rig.project()
        async with running(rig):
            await rig.service.submit([task("http://h/0")])
            await rig.until(rig.service.drained)
            times = []
            for number in range(1, 30):
                start = time.perf_counter()
                await rig.service.submit([task(f"http://h/{number}")])
                await rig.until(lambda url=f"http://h/{number}": url in rig.urls())  # type: ignore[misc]
                times.append(time.perf_counter() - start)
            times.sort()
            assert times[len(times) // 2] < 0.05, times

    asyncio.run(play())


def test_a_restarted_scheduler_goes_on_where_the_last_one_was() -> None:
    async def play() -> None:
        rig = Rig(lambda dispatch: None)
        rig.project()
        async with running(rig):
            await rig.service.submit([task(f"http://h/{n}") for n in range(5)])
            await rig.until(lambda: len(rig.urls()) == 5)
        assert len(rig.taskdb.leases()) == 5
        again = Rig(taskdb=rig.taskdb)
        again.projectdb = rig.projectdb
        again.engine.projectdb = rig.projectdb
        async with running(again):
            await again.until(again.service.drained)
        assert sorted(again.urls()) == sorted(["data:,on_finished", *(f"http://h/{n}" for n in range(5))])
        assert all(dispatch.attempt == 2 for dispatch in again.sent if dispatch.url.startswith("http"))

    asyncio.run(play())
