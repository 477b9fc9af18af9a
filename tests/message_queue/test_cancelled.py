"""Who waits for a broker can be cancelled at every moment, also in the one in which the broker is there again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from crawlkit.message_queue.amqp_link import AmqpLink
from crawlkit.message_queue.amqp_url import read_address
from crawlkit.message_queue.client import QueueClient
from crawlkit.message_queue.redis import RedisBroker


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
