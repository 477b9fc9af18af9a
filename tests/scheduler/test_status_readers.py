"""Status queues of partitions that go from one scheduler to another while messages flow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crawlkit.database.memory import MemoryProjectStore, MemoryTaskStore
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.messages import (
    NEWTASK_QUEUE,
    SCHEDULER2FETCHER,
    FetchEnded,
    Heartbeat,
    decode_status,
    encode,
    status_queue_name,
)
from crawlkit.message_queue.base import Broker, MessageQueue
from crawlkit.message_queue.memory import MemoryBroker
from crawlkit.message_queue.status_queues import StatusQueues
from crawlkit.scheduler import service as services
from crawlkit.scheduler.engine import Engine
from crawlkit.scheduler.service import SchedulerService
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.turn import Inbox, Outbox
from tests.message_queue.shared import SHARED, shared


def ended(number: int, partition: int) -> FetchEnded:
    return FetchEnded("p", str(number), 1, 1, "h", 200, None, 0.1, None, partition=partition)


class Scheduler:
    """A service between its queues, and what its turns were given; a turn waits while :attr:`free` is not set."""

    def __init__(self, broker: Broker, partitions: int = 2, node: str = "") -> None:
        self.handled: list[str] = []
        self.blocked = False  # a turn waits
        self.free = threading.Event()
        self.free.set()
        engine = Engine(MemoryTaskStore(), MemoryProjectStore(), EngineSettings(partitions=partitions))
        turn = engine.turn

        def watched(now: float, inbox: Inbox, mono: float) -> Outbox:
            self.blocked = not self.free.is_set()
            assert self.free.wait(30)
            self.handled += [one.taskid for one in inbox.status if isinstance(one, FetchEnded)]
            return turn(now, inbox, mono)

        engine.turn = watched  # type: ignore[method-assign,assignment]
        self.service = SchedulerService(
            engine,
            newtask_queue=broker.queue(NEWTASK_QUEUE),
            status_queues=StatusQueues(broker.queue),
            out_queue=broker.queue(SCHEDULER2FETCHER),
            clock=SystemClock(),
            ring=[broker.queue(SCHEDULER2FETCHER)],
            node=node,
        )

    async def read(self, *partitions: int) -> None:
        await self.service.read_status(frozenset(partitions))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.service.run())
        try:
            yield
        finally:
            self.free.set()
            await self.service.stop()
            await task


async def until(condition: Any, seconds: float = 20) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not (await condition() if asyncio.iscoroutinefunction(condition) else condition()):
        assert loop.time() < end, "the condition never held"
        await asyncio.sleep(0.01)


async def empty(queue: MessageQueue) -> None:
    async def is_empty() -> bool:
        return (await queue.size()).messages == 0

    await until(is_empty)


@pytest.mark.parametrize("backend", SHARED)
def test_two_that_swap_partitions_while_messages_flow_lose_none(backend: str, tmp_path: Path) -> None:
    async def play() -> None:
        async with shared(backend, tmp_path, 50) as connect:
            broker = await connect()
            one, two = Scheduler(await connect()), Scheduler(await connect())
            queues = StatusQueues(broker.queue)

            async def put(partition: int) -> None:
                for start in range(0, 600, 20):
                    numbers = range(partition * 1000 + start, partition * 1000 + start + 20)
                    await queues.of(partition).put_many([encode(ended(number, partition)) for number in numbers])
                    await asyncio.sleep(0.005)

            await asyncio.gather(one.read(0), two.read(1))
            async with one.running(), two.running():
                putting = asyncio.gather(put(0), put(1))
                swapped = 0
                while not putting.done():
                    swapped += 1
                    await asyncio.gather(one.read(swapped % 2), two.read(1 - swapped % 2))
                    await asyncio.sleep(0.02)
                await putting
                assert swapped > 2
                wanted = {str(partition * 1000 + number) for partition in (0, 1) for number in range(600)}
                await until(lambda: {*one.handled, *two.handled} == wanted)
                assert one.handled
                assert two.handled
                for partition in (0, 1):
                    await empty(queues.of(partition))

    asyncio.run(asyncio.wait_for(play(), 60))


@pytest.mark.parametrize("backend", SHARED)
def test_what_was_taken_and_is_in_no_turn_goes_back_to_who_comes_after(backend: str, tmp_path: Path) -> None:
    async def play() -> None:
        async with shared(backend, tmp_path) as connect:
            queue = (await connect()).queue(status_queue_name(1))
            one, two = Scheduler(await connect()), Scheduler(await connect())

            async def back() -> bool:
                size = await queue.size()
                return size.messages - size.unacked >= 20

            await one.read(0, 1)
            async with one.running(), two.running():
                await until(lambda: one.service.turns > 0)
                one.free.clear()
                await queue.put_many([encode(ended(0, 1))])
                await until(lambda: one.blocked)
                await queue.put_many([encode(ended(number, 1)) for number in range(1, 21)])
                await until(lambda: len(one.service._inbox.status) >= 20)
                await one.read(0)
                assert one.service._inbox.status == []
                await until(back)  # a broker may take them back one by one
                await two.read(1)
                await until(lambda: len(two.handled) >= 20)
                assert two.handled[-20:] == [str(number) for number in range(1, 21)]
                one.free.set()
                await empty(queue)
                assert {*one.handled, *two.handled} == {str(number) for number in range(21)}

    asyncio.run(asyncio.wait_for(play(), 60))


def test_what_is_anothers_is_put_where_it_belongs_and_what_is_nobodys_is_judged_here() -> None:
    async def play() -> None:
        broker = MemoryBroker()
        one, two = Scheduler(broker), Scheduler(broker)
        await two.read(1)
        async with one.running(), two.running():
            first = broker.queue(status_queue_name(0))
            await first.put_many([encode(ended(1, 1)), encode(ended(2, 0)), encode(ended(3, 7))])
            await until(lambda: one.handled == ["2", "3"] and two.handled == ["1"])
            await empty(first)
            await empty(broker.queue(status_queue_name(1)))
            await one.read(0, 1)
            await two.read()
            await first.put_many([encode(ended(4, 1))])  # the other queue of one's own: no way round
            await until(lambda: "4" in one.handled)
            assert broker.queue(status_queue_name(1)).flow_now().put == 1

    asyncio.run(asyncio.wait_for(play(), 30))


def test_what_cannot_be_read_is_put_aside_in_its_own_queue() -> None:
    async def play() -> None:
        broker = MemoryBroker()
        one = Scheduler(broker)
        await one.read(1)
        async with one.running():
            queue = broker.queue(status_queue_name(1))
            await queue.put_many([b"nonsense", encode(ended(1, 1))])
            await until(lambda: one.handled == ["1"] and queue.flow_now().dead == 1)
            await empty(queue)

    asyncio.run(asyncio.wait_for(play(), 30))


def test_its_heartbeats_go_to_its_own_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "BEAT", 0.05)

    async def play() -> None:
        broker = MemoryBroker(max_messages=5)
        one = Scheduler(broker, 4, node="s1")
        await one.read(2, 3)
        full = broker.queue(status_queue_name(3))
        one.service._room_to_read.clear()  # it takes nothing
        await full.put_many([b"x"] * 5)
        async with one.running():
            beats = [decode_status(found.body) for found in await broker.queue(status_queue_name(2)).get_many(1, 10)]
            assert [beat.node for beat in beats if isinstance(beat, Heartbeat)] == ["s1"]
        assert status_queue_name(1) not in broker
        assert broker.queue(status_queue_name(0)).flow_now().put == 1  # who has the first partition hears all nodes

    asyncio.run(asyncio.wait_for(play(), 30))


def test_a_task_may_be_in_the_status_queues_that_it_reads() -> None:
    async def play() -> None:
        broker = MemoryBroker()
        one = Scheduler(broker, 4)
        await one.read(1, 2)
        await broker.queue(status_queue_name(0)).put_many([encode(ended(1, 0))])
        assert await one.service._look_at_queues(Inbox()) == (False, False)
        await broker.queue(status_queue_name(2)).put_many([encode(ended(1, 2))])
        assert await one.service._look_at_queues(Inbox()) == (True, True)

    asyncio.run(asyncio.wait_for(play(), 30))
