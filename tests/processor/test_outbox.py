"""Outcomes on their way: in order, whole, and through a broker that goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from crawlkit.libs.errors import QueueUnavailable
from crawlkit.libs.messages import TASK, DispatchHead
from crawlkit.message_queue.memory import MemoryQueue
from crawlkit.processor import outbox
from crawlkit.processor.held import Held, key_of
from crawlkit.processor.outbox import Outbox
from tests.processor.helpers import until


def held(name: str) -> Held:
    head = DispatchHead("p", name, 1, 1, "http://e.com/", "v", None, 0, TASK)
    return Held((1,), b"", head, key_of(head))


class Flaky(MemoryQueue):
    """Away for the first ``fails`` calls."""

    fails = 2

    async def put_many(self, bodies: Sequence[bytes], timeout: float | None = None) -> None:
        if self.fails:
            self.fails -= 1
            raise QueueUnavailable("away")
        await super().put_many(bodies, timeout)


def test_order_is_kept_and_ends_are_told_after_the_broker_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "RETRY", 0.01)

    async def scene() -> None:
        queue = Flaky("q", max_messages=3)
        ended: list[Held] = []
        box = Outbox(queue, 1000, 10**6, ended.extend)
        running = asyncio.create_task(box.run())
        tasks = [held(str(i)) for i in range(500)]
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
