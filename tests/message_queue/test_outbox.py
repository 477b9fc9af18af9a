"""Outcomes on their way: in order, whole, and through a broker that goes away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from crawlkit.libs.errors import QueueUnavailable
from crawlkit.message_queue import outbox, patience
from crawlkit.message_queue.memory import MemoryQueue
from crawlkit.message_queue.outbox import Outbox, StatusOutboxes
from crawlkit.message_queue.status_queues import StatusQueues
from tests.message_queue.shared import SHARED, shared
from tests.processor.helpers import until


class Flaky(MemoryQueue):
    """Away for the first ``fails`` calls."""

    fails = 2

    async def put_many(self, bodies: Sequence[bytes], timeout: float | None = None) -> None:
        if self.fails:
            self.fails -= 1
            raise QueueUnavailable("away")
        await super().put_many(bodies, timeout)


def test_order_is_kept_and_ends_are_told_after_the_broker_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES", (0.01,))

    async def scene() -> None:
        queue = Flaky("q", max_messages=3)
        ended: list[str] = []
        box = Outbox(queue, 1000, 10**6, ended.extend)
        running = asyncio.create_task(box.run())
        tasks = [str(i) for i in range(500)]
        for i, task in enumerate(tasks):
            box.add(b"%d part" % i, None)
            box.add(b"%d last" % i, task)
        assert not box.empty
        assert box.full
        got: list[bytes] = []
        while len(got) < 1000:
            assert len(ended) <= len(got) // 2 + 2
            for delivery in await queue.get_many(10):
                got.append(delivery.body)
                await queue.ack([delivery.id])
        assert got == [b"%d %s" % (i, word) for i in range(500) for word in (b"part", b"last")]
        await until(lambda: len(ended) == 500)
        assert ended == tasks
        assert box.empty
        assert box.half_empty
        running.cancel()

    asyncio.run(scene())


@pytest.mark.parametrize("backend", SHARED)
def test_a_queue_that_nobody_reads_loses_nothing_and_stops_no_other(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "STUCK", 0.2)

    async def scene() -> None:
        async with shared(backend, tmp_path, 3) as connect:
            puts, takes = StatusQueues((await connect()).queue), StatusQueues((await connect()).queue)
            ended: list[str] = []
            turned = asyncio.Event()
            boxes: StatusOutboxes[str] = StatusOutboxes(puts, 5, 10**6, ended.extend, turned.set)
            running = asyncio.create_task(boxes.run())
            for n in range(10):
                boxes.of(2).add(b"%d" % n, f"2-{n}")
            assert boxes.full
            await asyncio.wait_for(turned.wait(), 10)
            assert boxes.blocked(2)
            assert not boxes.full
            assert boxes.half_empty

            async def got(partition: int, n: int) -> list[bytes]:
                queue, found = takes.of(partition), []
                while len(found) < n:
                    deliveries = await queue.get_many(10, 10)
                    assert deliveries, "no message came"
                    found += [one.body for one in deliveries]
                    await queue.ack([one.id for one in deliveries])
                return found

            for n in range(10):
                boxes.of(0).add(b"%d" % n, f"0-{n}")
            assert await got(0, 10) == [b"%d" % n for n in range(10)]
            await until(lambda: len(ended) == 10)
            assert boxes.settled
            assert not boxes.empty
            assert len(boxes.left()[2]) == len(boxes) == 10
            assert await got(2, 10) == [b"%d" % n for n in range(10)]
            await until(lambda: boxes.empty)
            assert not boxes.blocked(2)
            assert sorted(ended) == sorted(f"{partition}-{n}" for partition in (0, 2) for n in range(10))
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    with caplog.at_level(logging.WARNING, "crawlkit"):
        asyncio.run(asyncio.wait_for(scene(), 60))
    said = [record.getMessage() for record in caplog.records if "status_queue_2" in record.getMessage()]
    assert [line[:30] for line in said] == ["status_queue_2 has taken nothi", "status_queue_2 takes messages "]


def test_the_oldest_that_is_not_under_way_may_be_given_up() -> None:
    async def scene() -> None:
        queue = MemoryQueue("q", max_messages=1)
        box: Outbox[None] = Outbox(queue, 10, 10**6, lambda _: None)
        box.add(b"0", None)
        running = asyncio.create_task(box.run())
        await until(lambda: box.empty)
        box.add(b"1", None)
        await until(lambda: len(queue._putters) == 1)
        assert not box.drop_oldest()
        for n in range(2, 5):
            box.add(b"%d" % n, None)
        assert box.drop_oldest()
        assert (box.size, box.left()) == (3, [b"1", b"3", b"4"])
        found: list[bytes] = []
        while len(found) < 4:
            deliveries = await queue.get_many(10)
            found += [one.body for one in deliveries]
            await queue.ack([one.id for one in deliveries])
        assert found == [b"0", b"1", b"3", b"4"]
        running.cancel()

    asyncio.run(asyncio.wait_for(scene(), 30))


@pytest.mark.parametrize("backend", SHARED)
def test_who_looks_at_the_queues_sees_those_of_all_partitions(backend: str, tmp_path: Path) -> None:
    async def scene() -> None:
        async with shared(backend, tmp_path) as connect:
            used, looks = await connect(), await connect()
            await StatusQueues(used.queue).of(3).put_many([b"1", b"2"])

            async def seen() -> bool:
                flows = looks.flows()  # type: ignore[attr-defined]
                flows = await flows if asyncio.iscoroutine(flows) else flows
                return "status_queue_3" in flows and flows["status_queue_3"].messages == 2

            end = asyncio.get_running_loop().time() + 15
            while not await seen():
                assert asyncio.get_running_loop().time() < end, "it is not seen"
                await asyncio.sleep(0.1)

    asyncio.run(scene())
