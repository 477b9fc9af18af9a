"""How a process says that it is there, and takes no work for a while."""

from __future__ import annotations

import asyncio
import logging

import pytest

from crawlkit.libs.clock import SystemClock
from crawlkit.libs.load import Limits
from crawlkit.libs.messages import Heartbeat, decode_status
from crawlkit.message_queue.memory import MemoryBroker
from crawlkit.message_queue.presence import Presence
from crawlkit.message_queue.status_queues import StatusQueues


async def heard(queue: object, n: int = 1) -> list[Heartbeat]:
    found: list[Heartbeat] = []
    while len(found) < n:
        for one in await queue.get_many(10, 5):  # type: ignore[attr-defined]
            message = decode_status(one.body)
            assert isinstance(message, Heartbeat)
            found.append(message)
    return found


def test_it_pauses_over_its_own_limit_says_so_once_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        queues = StatusQueues(MemoryBroker().queue)
        queue = queues.of(0)
        held, turns = [30], []
        node = Presence(
            queues, SystemClock(), "n", "fetcher", every=0.05, limits=Limits(inflight=20), inflight=lambda: held[0],
            turned=lambda: turns.append(node.paused), held=lambda: [("p", "t", 1, 1)], moved=lambda: (7, 3),
        )  # fmt: skip
        assert node.paused  # the bytes in hand count at once, without a look
        run = asyncio.create_task(node.run())
        first, second = (await heard(queue, 2))[:2]
        assert "in flight, over its limit" in first.paused
        assert first.held == [("p", "t", 1, 1)]
        assert second.paused
        assert second.stats["net_in"] >= 0 <= second.stats["cpu"]
        held[0] = 5
        while (await heard(queue))[-1].paused:
            pass
        assert not node.paused
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        assert turns == [True, False]

    with caplog.at_level(logging.INFO, "crawlkit"):
        asyncio.run(main())
    assert [one.getMessage()[:17] for one in caplog.records] == ["takes no work for", "takes work again"]


def test_what_moved_is_a_rate() -> None:
    async def main() -> None:
        queues, moved = StatusQueues(MemoryBroker().queue), [(0, 0)]
        queue = queues.of(0)
        node = Presence(queues, SystemClock(), "n", "fetcher", moved=lambda: moved[0])
        await node.beat()
        moved[0] = (10_000_000, 5_000_000)
        await asyncio.sleep(0.05)
        await node.beat(stopping=True)
        _, last = await heard(queue, 2)
        assert last.stopping
        assert 1e6 < last.stats["net_in"] <= 10_000_000 / 0.05
        assert last.stats["net_in"] == pytest.approx(2 * last.stats["net_out"], rel=0.01)

    asyncio.run(main())


def test_it_beats_for_every_partition_whose_work_it_got_and_a_full_queue_is_in_nobodys_way() -> None:
    async def main() -> None:
        broker = MemoryBroker(max_messages=1)
        queues = StatusQueues(broker.queue)
        node = Presence(queues, SystemClock(), "n", "fetcher", every=30.0)
        await queues.of(0).put_many([b"full"])
        queues.of(3)
        beating = asyncio.create_task(node.beat())
        (beat,) = await heard(broker.queue("status_queue_3"))
        assert beat.node == "n"
        assert not beating.done()
        assert [one.body for one in await queues.of(0).get_many(1)] == [b"full"]
        assert (await heard(queues.of(0)))[0].node == "n"
        await beating
        assert sorted(broker.sizes()) == ["status_queue", "status_queue_3"]

    asyncio.run(main())
