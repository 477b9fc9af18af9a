"""Who waits for a broker can be cancelled at every moment, also in the one in which the broker is there again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

from crawlkit.message_queue.amqp_link import AmqpLink
from crawlkit.message_queue.amqp_url import read_address
from crawlkit.message_queue.client import QueueClient
from crawlkit.message_queue.redis import RedisBroker
from tests.message_queue.shared import SHARED, shared


def of_kind(kind: str) -> Any:
    if kind == "redis":
        return RedisBroker("redis://127.0.0.1:1/0")
    if kind == "amqp":
        return AmqpLink(read_address("amqp://guest:guest@127.0.0.1:1/%2F"), "test", "test")
    return QueueClient("nowhere", socket.socket)


async def cancelled_after(kind: str, limit: float | None, turns: int) -> bool:
    """Whether a waiter that was cancelled some turns of the loop after the connection came was indeed."""
    broker = of_kind(kind)
    waiter = asyncio.create_task(broker.wait_connected(limit))
    for _ in range(3):
        await asyncio.sleep(0)
    broker._connection = object()
    broker._up.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    if not waiter.cancel():
        return True  # it was through
    with contextlib.suppress(asyncio.CancelledError):
        await waiter
    return waiter.cancelled()


@pytest.mark.parametrize("kind", ["redis", "amqp", "manager"])
@pytest.mark.parametrize("limit", [None, 30.0])
def test_a_cancel_is_never_swallowed(kind: str, limit: float | None) -> None:
    assert [asyncio.run(cancelled_after(kind, limit, turns)) for turns in range(8)] == [True] * 8


@pytest.mark.parametrize("backend", SHARED)
def test_who_ends_while_a_message_comes_leaves_it_to_others(backend: str, tmp_path: Path) -> None:
    async def play() -> None:
        async with shared(backend, tmp_path) as connect:
            puts, ends, takes = [(await connect()).queue("scene") for _ in range(3)]
            for turns in range(0, 24, 8 if backend == "amqp" else 1):
                taker = asyncio.create_task(ends.get_many(1))
                await asyncio.sleep(0.02)  # it waits, or the message comes before it does
                put = asyncio.create_task(puts.put_many([b"%d" % turns]))
                for _ in range(turns):
                    await asyncio.sleep(0)
                taker.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await ends.nack([one.id for one in await taker])
                await put
                found = await takes.get_many(1, 10)
                assert [one.body for one in found] == [b"%d" % turns]
                await takes.ack([one.id for one in found])

    asyncio.run(play())
