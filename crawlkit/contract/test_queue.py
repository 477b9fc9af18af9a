"""What every queue backend must do [T61]."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from crawlkit.libs.errors import QueueFull
from crawlkit.message_queue.base import Broker, MessageQueue

MIB = 2**20
Open = Callable[[int, int], AbstractAsyncContextManager[Broker]]
Play = Callable[..., None]


@pytest.fixture
def open_broker(crawlkit_queue: Callable[[int, int], Broker]) -> Open:
    """From bounds to a connected broker; by the options of pytest, unless a test module says otherwise."""

    @asynccontextmanager
    async def opened(max_messages: int, max_bytes: int) -> AsyncIterator[Broker]:
        broker = crawlkit_queue(max_messages, max_bytes)
        await broker.connect()
        try:
            yield broker
            await broker.queue("scene").purge()
        finally:
            await broker.close()

    return opened


@pytest.fixture
def play(open_broker: Open) -> Play:
    """Runs a scene with a fresh queue of the given bounds."""

    def play(
        scene: Callable[[MessageQueue], Awaitable[None]], max_messages: int = 100, max_bytes: int = 64 * MIB
    ) -> None:
        async def run() -> None:
            async with open_broker(max_messages, max_bytes) as broker:
                async with asyncio.timeout(30):
                    await scene(broker.queue("scene"))

        asyncio.run(run())

    return play


async def bodies_of(queue: MessageQueue, limit: int = 100) -> list[bytes]:
    deliveries = await queue.get_many(limit, 5)
    await queue.ack([delivery.id for delivery in deliveries])
    return [delivery.body for delivery in deliveries]


def test_first_in_first_out(play: Play) -> None:
    async def scene(queue: MessageQueue) -> None:
        await queue.put_many([b"1", b"2"])
        await queue.put_many([b"3"])
        assert [(d.body, d.redelivered) for d in await queue.get_many(2)] == [(b"1", 0), (b"2", 0)]
        assert await bodies_of(queue) == [b"3"]

    play(scene)


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00\xff" * 50, "gr\u00fc\u00df \u4e16\u754c \U0001f600".encode(), bytes(range(256)), b"x" * 3_000_000],
)
def test_any_bytes_come_back_the_same(play: Play, body: bytes) -> None:
    async def scene(queue: MessageQueue) -> None:
        await queue.put_many([body])
        assert await bodies_of(queue) == [body]

    play(scene)


def test_size_counts_what_is_held(play: Play) -> None:
    async def scene(queue: MessageQueue) -> None:
        await queue.put_many([b"ab", b"cde", b"f"])
        assert await queue.size() == (3, 6, 0)
        taken = await queue.get_many(2)
        assert await queue.size() == (3, 6, 2)
        await queue.ack([taken[0].id])
        assert await queue.size() == (2, 4, 1)
        await queue.nack([taken[1].id])
        assert await queue.size() == (2, 4, 0)

    play(scene)


def test_an_empty_queue_answers_after_the_timeout(play: Play) -> None:
    async def scene(queue: MessageQueue) -> None:
        loop = asyncio.get_running_loop()
        assert await queue.get_many(10, 0) == []
        start = loop.time()
        assert await queue.get_many(10, 0.05) == []
        assert 0.04 <= loop.time() - start < 2

    play(scene)


def test_a_full_queue_refuses_after_the_timeout(play: Play) -> None:
    async def scene(queue: MessageQueue) -> None:
        await queue.put_many([b"1", b"2", b"3", b"4", b"5"], 1)
        assert queue.room() == 0
        with pytest.raises(QueueFull) as full:
            await queue.put_many([b"6"], 0.05)
        assert full.value.args[1] == 0
        with pytest.raises(QueueFull):
            await queue.put_many([b"6"], 0)
        assert await bodies_of(queue, 2) == [b"1", b"2"]
        with pytest.raises(QueueFull) as full:
            await queue.put_many([b"6", b"7", b"8"], 0.05)
        assert full.value.args[1] == 2
        assert await bodies_of(queue) == [b"3", b"4", b"5", b"6", b"7"]

    play(scene, max_messages=5)


def test_a_put_waits_for_room_and_is_woken(play: Play) -> None:
    async def scene(queue: MessageQueue) -> None:
        await queue.put_many([b"%d" % n for n in range(5)])
        waiting = asyncio.create_task(queue.put_many([b"%d" % n for n in range(5, 12)]))
        got: list[bytes] = []
        while len(got) < 12:
            got += await bodies_of(queue, 3)
        await waiting
        assert got == [b"%d" % n for n in range(12)]

    play(scene, max_messages=5)


def test_bytes_push_back(play: Play) -> None:
    async def scene(queue: MessageQueue) -> None:
        await queue.put_many([b"x" * 600])
        with pytest.raises(QueueFull):
            await queue.put_many([b"y" * 600], 0.05)
        held = await queue.get_many(1)
        with pytest.raises(QueueFull):  # what a consumer holds is memory too
            await queue.put_many([b"y" * 600], 0.05)
        await queue.ack([held[0].id])
        await queue.put_many([b"y" * 600], 1)

    play(scene, max_bytes=1000)


def test_one_message_always_fits(play: Play) -> None:
    async def scene(queue: MessageQueue) -> None:
        await queue.put_many([b"x" * 5000], 1)
        assert queue.room() == 0
        assert await bodies_of(queue) == [b"x" * 5000]

    play(scene, max_bytes=1000)


def test_a_get_is_woken_by_a_put(play: Play) -> None:
    async def scene(queue: MessageQueue) -> None:
        waiting = asyncio.create_task(queue.get_many(10))
        await asyncio.sleep(0.02)
        await queue.put_many([b"late"])
        assert [d.body for d in await waiting] == [b"late"]

    play(scene)


def test_a_cancelled_get_takes_nothing_along(play: Play) -> None:
    async def scene(queue: MessageQueue) -> None:
        waiting = asyncio.create_task(queue.get_many(10))
        await asyncio.sleep(0.02)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await queue.put_many([b"1"])
        assert await bodies_of(queue) == [b"1"]

    play(scene)


def test_nacked_messages_go_to_the_head_in_their_old_order(play: Play) -> None:
    async def scene(queue: MessageQueue) -> None:
        await queue.put_many([b"1", b"2", b"3", b"4"])
        a, b, c = await queue.get_many(3)
        await queue.nack([c.id])
        await queue.nack([b.id, a.id])
        again = await queue.get_many(10)
        assert [(d.body, d.redelivered) for d in again] == [(b"1", 1), (b"2", 1), (b"3", 1), (b"4", 0)]

    play(scene)


def test_a_nack_wakes_a_waiting_get(play: Play) -> None:
    async def scene(queue: MessageQueue) -> None:
        await queue.put_many([b"1"])
        held = await queue.get_many(1)
        waiting = asyncio.create_task(queue.get_many(1))
        await asyncio.sleep(0.02)
        await queue.nack([held[0].id])
        assert [d.body for d in await waiting] == [b"1"]

    play(scene)


def test_unknown_ids_are_ignored(play: Play) -> None:
    async def scene(queue: MessageQueue) -> None:
        await queue.put_many([b"1"])
        await queue.ack([1, 99])
        await queue.nack([99])
        await queue.reject([99], "no")
        assert await queue.dead() == []
        assert await bodies_of(queue) == [b"1"]

    play(scene)


def test_rejected_messages_are_kept_with_their_reason(play: Play) -> None:
    async def scene(queue: MessageQueue) -> None:
        await queue.put_many([b"good", b"bad", b"worse"])
        good, bad, worse = await queue.get_many(3)
        await queue.reject([bad.id], "not msgpack")
        await queue.reject([worse.id], "version 9")
        await queue.ack([good.id])
        assert await queue.dead() == [(b"bad", "not msgpack"), (b"worse", "version 9")]
        assert await queue.dead(1) == [(b"worse", "version 9")]
        assert await queue.size() == (0, 0, 0)

    play(scene)


def test_room_and_waiting_for_it(play: Play) -> None:
    async def scene(queue: MessageQueue) -> None:
        await queue.put_many([b"%d" % n for n in range(4)])
        assert queue.room() == 1
        await queue.put_many([b"4"])
        assert queue.room() == 0
        assert await queue.wait_room(0.02) == 0
        waiting = asyncio.create_task(queue.wait_room(5))
        await asyncio.sleep(0.02)
        await bodies_of(queue, 2)
        assert await waiting >= 1

    play(scene, max_messages=5)


def test_purge(play: Play) -> None:
    async def scene(queue: MessageQueue) -> None:
        await queue.put_many([b"1", b"2", b"3"])
        await queue.get_many(1)
        assert await queue.purge() == 3
        assert await queue.size() == (0, 0, 0)
        assert await queue.get_many(1, 0) == []

    play(scene)


def test_a_hundred_messages_between_many(play: Play) -> None:
    async def scene(queue: MessageQueue) -> None:
        got: list[bytes] = []

        async def produce(producer: int) -> None:
            for n in range(25):
                await queue.put_many([b"%d/%d" % (producer, n)])

        async def consume() -> None:
            while len(got) < 100:
                deliveries = await queue.get_many(7, 0.05)
                got.extend(d.body for d in deliveries)
                await queue.ack([d.id for d in deliveries])

        await asyncio.gather(*(produce(n) for n in range(4)), *(consume() for _ in range(3)))
        assert sorted(got) == sorted(b"%d/%d" % (p, n) for p in range(4) for n in range(25))
        for producer in range(4):
            mine = [body for body in got if body.startswith(b"%d/" % producer)]
            assert len(mine) == 25

    play(scene, max_messages=5)
