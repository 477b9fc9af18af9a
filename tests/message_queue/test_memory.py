"""The memory queue against a model that is too simple to be wrong, and its fairness."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from crawlkit.libs.errors import QueueUnavailable
from crawlkit.message_queue.memory import MAX_DEAD, MAX_DEATHS, MemoryBroker, MemoryQueue

MAX_MESSAGES = 6
MAX_BYTES = 60


class Model(RuleBasedStateMachine):
    """Messages are numbered in the order of being put; ``waiting`` and ``held`` hold numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = MemoryQueue("q", MAX_MESSAGES, MAX_BYTES)
        self.bodies: dict[int, bytes] = {}
        self.waiting: list[int] = []
        self.held: dict[int, int] = {}  # delivery id -> number
        self.deliveries: dict[int, int] = {}
        self.deaths: dict[int, int] = {}
        self.dead: list[int] = []

    def bytes(self) -> int:
        return sum(len(self.bodies[n]) for n in [*self.waiting, *self.held.values()])

    @rule(sizes=st.lists(st.integers(1, 80), min_size=1, max_size=5))
    def put(self, sizes):
        fitting = 0
        for size in sizes:
            used = self.bytes()
            if len(self.waiting) >= MAX_MESSAGES or (used and used + size > MAX_BYTES):
                break
            number = len(self.bodies)
            self.bodies[number] = bytes([number % 256]) * size
            self.waiting.append(number)
            fitting += 1
        first = len(self.bodies) - fitting
        bodies = [self.bodies[first + i] if i < fitting else bytes(size) for i, size in enumerate(sizes)]
        assert self.queue.put_now(bodies) == fitting

    @rule(limit=st.integers(1, 8), max_bytes=st.none() | st.integers(0, 60))
    def take(self, limit, max_bytes):
        batch = self.queue.take_now(limit, max_bytes)
        assert len(batch) <= limit
        expected = self.waiting[: len(batch)]
        assert [d.body for d in batch] == [self.bodies[n] for n in expected]
        assert [d.redelivered for d in batch] == [self.deliveries.get(n, 0) for n in expected]
        if self.waiting:
            assert batch
        if not self.deaths and max_bytes is None:
            assert len(batch) == min(limit, len(self.waiting))
        if max_bytes is not None and len(batch) > 1:
            assert sum(len(d.body) for d in batch) <= max_bytes
        del self.waiting[: len(batch)]
        for delivery, number in zip(batch, expected, strict=True):
            self.deliveries[number] = self.deliveries.get(number, 0) + 1
            self.held[delivery.id] = number

    def some(self, data) -> list[int]:
        return data.draw(st.lists(st.sampled_from(sorted(self.held)), unique=True, min_size=1))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def ack(self, data):
        ids = self.some(data)
        self.queue.ack_now([*ids, 10**6])
        for id_ in ids:
            self.deaths.pop(self.held.pop(id_), None)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def nack(self, data):
        ids = self.some(data)
        self.queue.nack_now([*ids, 10**6])
        self.waiting = sorted([*self.waiting, *(self.held.pop(id_) for id_ in ids)])

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def reject(self, data):
        ids = self.some(data)
        self.queue.reject_now([*ids, 10**6], "bad")
        for id_ in ids:
            number = self.held.pop(id_)
            self.deaths.pop(number, None)
            self.dead.append(number)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def die(self, data):
        ids = self.some(data)
        self.queue.consumer_died([*ids, 10**6])
        for id_ in ids:
            number = self.held.pop(id_)
            self.deaths[number] = self.deaths.get(number, 0) + 1
            if self.deaths[number] > MAX_DEATHS:
                del self.deaths[number]
                self.dead.append(number)
            else:
                self.waiting.append(number)
        self.waiting.sort()

    @rule()
    def purge(self):
        assert self.queue.purge_now() == len(self.waiting) + len(self.held)
        self.waiting.clear()
        self.held.clear()
        self.deaths.clear()

    @invariant()
    def the_books_agree(self):
        assert self.queue.size_now() == (len(self.waiting) + len(self.held), self.bytes(), len(self.held))
        assert [d.body for d in self.queue.dead_now(1000)] == [self.bodies[n] for n in self.dead]
        room = self.queue.room()
        assert room == (0 if self.bytes() >= MAX_BYTES else max(0, MAX_MESSAGES - len(self.waiting)))


TestModel = Model.TestCase


def test_who_waits_longest_is_served_first():
    async def scene():
        queue = MemoryQueue("q", 2)
        await queue.put_many([b"0", b"1"])
        order = []

        async def put(name: str, bodies: list[bytes]) -> None:
            await queue.put_many(bodies)
            order.append(name)

        tasks = [asyncio.create_task(put("big", [b"2", b"3", b"4"])), asyncio.create_task(put("small", [b"5"]))]
        await asyncio.sleep(0)
        got = []
        while len(got) < 6:
            got += [d.body for d in await queue.get_many(1, 5)]
        await asyncio.gather(*tasks)
        assert got == [b"%d" % n for n in range(6)]
        assert order == ["big", "small"]

    asyncio.run(scene())


def test_a_cancelled_put_leaves_the_line():
    async def scene():
        queue = MemoryQueue("q", 1)
        await queue.put_many([b"0"])
        first = asyncio.create_task(queue.put_many([b"never"]))
        second = asyncio.create_task(queue.put_many([b"1"]))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert [d.body for d in await queue.get_many(1)] == [b"0"]
        await second
        assert [d.body for d in await queue.get_many(1)] == [b"1"]
        assert await queue.get_many(1, 0) == []

    asyncio.run(scene())


def test_a_wake_up_is_not_lost_with_a_cancelled_get():
    async def scene():
        queue = MemoryQueue("q")
        first = asyncio.create_task(queue.get_many(1))
        second = asyncio.create_task(queue.get_many(1))
        await asyncio.sleep(0)
        queue.put_now([b"1"])  # wakes the first
        first.cancel()
        assert [d.body for d in await asyncio.wait_for(second, 5)] == [b"1"]
        await asyncio.gather(first, return_exceptions=True)

    asyncio.run(scene())


def test_dead_letters_are_bounded():
    queue = MemoryQueue("q", 0, 2**40)
    queue.put_now([b"%d" % n for n in range(MAX_DEAD + 5)])
    queue.reject_now([d.id for d in queue.take_now(10**6)], "bad")
    dead = queue.dead_now(10**6)
    assert len(dead) == MAX_DEAD
    assert dead[-1].body == b"%d" % (MAX_DEAD + 4)


def test_a_closed_queue_tells_who_waits():
    async def scene():
        broker = MemoryBroker(1)
        queue = broker.queue("q")
        get = asyncio.create_task(queue.get_many(1))
        await asyncio.sleep(0)
        await broker.close()
        with pytest.raises(QueueUnavailable):
            await get
        with pytest.raises(QueueUnavailable):
            await queue.put_many([b"x"])
        with pytest.raises(QueueUnavailable):
            await queue.get_many(1)

    asyncio.run(scene())


def test_the_broker_knows_its_queues():
    broker = MemoryBroker()
    assert broker.queue("a") is broker.queue("a")
    broker.queue("a").put_now([b"xyz"])
    broker.queue("b")
    assert broker.sizes() == {"a": (1, 3, 0), "b": (0, 0, 0)}
    assert asyncio.run(broker.epoch()) == asyncio.run(broker.epoch())
    assert asyncio.run(broker.epoch()) != asyncio.run(MemoryBroker().epoch())
