"""Everything that can happen to queues in Redis at once: nothing is lost, and the counters are exact at the end."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path

import pytest

from crawlkit.libs.errors import QueueFull, QueueUnavailable
from crawlkit.message_queue.redis import RedisBroker
from tests.message_queue.test_redis import vanish
from tests.servers import OwnRedis, own_redis

BOUNDS = {"max_messages": 50, "max_bytes": 200_000}


class Storm:
    """Producers, consumers, and what goes wrong with them. ``seed`` decides what and when."""

    def __init__(self, server: OwnRedis, seed: int) -> None:
        self.server = server
        self.chance = random.Random(seed)
        self.put: set[bytes] = set()
        self.got: dict[bytes, int] = {}
        self.consumers: dict[asyncio.Task[None], RedisBroker] = {}
        self.producers: list[RedisBroker] = []
        self.over = asyncio.Event()

    async def broker(self) -> RedisBroker:
        broker = RedisBroker(self.server.url, patience=30, **BOUNDS)
        await broker.connect()
        return broker

    async def produce(self, mark: int) -> None:
        broker = await self.broker()
        self.producers.append(broker)
        queue = broker.queue("q")
        n = 0
        while not self.over.is_set():
            bodies = [b"%d/%d/" % (mark, n + i) + b"x" * self.chance.choice((0, 10, 3_000)) for i in range(20)]
            n += 20
            if self.chance.random() < 0.2:
                try:
                    await queue.put_many(bodies, 0.3)
                except QueueFull as error:
                    self.put.update(bodies[: error.args[1]])
                    continue
                except QueueUnavailable:
                    continue  # some of them may be there
            else:
                await queue.put_many(bodies)
            self.put.update(bodies)

    async def consume(self, broker: RedisBroker) -> None:
        queue = broker.queue("q")
        while True:
            batch = await queue.get_many(self.chance.choice((1, 7, 30)), self.chance.choice((None, 0.1, 1)))
            await asyncio.sleep(self.chance.choice((0, 0, 0.01)))
            ids = [delivery.id for delivery in batch]
            if self.chance.random() < 0.1:
                await queue.nack(ids)
                continue
            for delivery in batch:
                self.got[delivery.body] = self.got.get(delivery.body, 0) + 1
            await queue.ack(ids)

    async def hire(self) -> None:
        broker = await self.broker()
        self.consumers[asyncio.create_task(self.consume(broker))] = broker

    async def dismiss(self, in_order: bool) -> None:
        task, broker = self.consumers.popitem()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await (broker.close() if in_order else vanish(broker) if broker.connected else broker.close())

    async def cut(self) -> None:
        for broker in [*self.consumers.values(), *self.producers]:
            if self.chance.random() < 0.5 and broker._connection is not None:
                broker._connection.abort("cut by the test")

    async def restart(self) -> None:
        await asyncio.to_thread(self.server.restart, signal.SIGKILL)

    async def freeze(self) -> None:
        self.server.freeze()
        await asyncio.sleep(1)
        self.server.thaw()

    async def rage(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        producing = [asyncio.create_task(self.produce(n)) for n in range(3)]
        for _ in range(3):
            await self.hire()
        end = loop.time() + seconds
        while loop.time() < end:
            await asyncio.sleep(self.chance.uniform(0, 0.6))
            kind = self.chance.choice(("cut", "cut", "death", "leave", "restart", "freeze", "flush"))
            if kind in ("death", "leave"):
                await self.dismiss(kind == "leave")
                await self.hire()
            elif kind == "flush":
                self.server.ask("SCRIPT", "FLUSH")
            else:
                await {"cut": self.cut, "restart": self.restart, "freeze": self.freeze}[kind]()
        self.over.set()
        await asyncio.gather(*producing)

    async def settle(self) -> tuple[int, int, int]:
        """Until nothing is left of it, or 20 s have passed; returns what is left."""
        watcher = await self.broker()
        loop = asyncio.get_running_loop()
        end = loop.time() + 20
        size = await watcher.queue("q").size()
        while tuple(size) != (0, 0, 0) and loop.time() < end:
            await asyncio.sleep(0.1)
            size = await watcher.queue("q").size()
        if tuple(size) != (0, 0, 0):
            print("stuck:", size, self.server.ask("XPENDING", "{crawlkit}:q:stream", "crawlkit"))
            print("alive:", [broker.consumer for broker in self.consumers.values()], await watcher.queue("q").dead())
        for task, broker in list(self.consumers.items()):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await broker.close()
        for broker in [*self.producers, watcher]:
            await broker.close()
        return tuple(size)


@pytest.mark.parametrize(
    ("seed", "seconds"), [(1, 4), *(pytest.param(n, 60, marks=pytest.mark.faults) for n in range(2, 8))]
)
@pytest.mark.timeout(200)
def test_R02_R05_nothing_is_lost_in_a_storm(tmp_path: Path, seed: int, seconds: float) -> None:
    async def scene() -> None:
        storm = Storm(server, seed)
        await storm.rage(seconds)
        left = await storm.settle()
        lost = storm.put - storm.got.keys()
        assert not lost, f"{len(lost)} of {len(storm.put)} were lost, such as {sorted(lost)[:3]}"
        assert left == (0, 0, 0)
        assert len(storm.put) > 100

    with own_redis(tmp_path, {"appendfsync": "always"}) as server:  # else a killed Redis forgets a second
        asyncio.run(scene())
