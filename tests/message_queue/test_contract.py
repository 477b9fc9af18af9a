"""The contract of the queues, over every backend [T61]."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from crawlkit.contract.test_queue import *  # noqa: F403
from crawlkit.message_queue.base import Broker
from crawlkit.message_queue.local import LocalBroker, LocalServer
from crawlkit.message_queue.manager import ManagerBroker, ManagerServer
from crawlkit.message_queue.memory import MemoryBroker
from crawlkit.message_queue.registry import connect_broker
from tests.servers import free_port, fresh_amqp, redis_space

KEYS = "global_keyprefix"  # of kombu's Redis transport
OpenHere = Callable[[Path, int, int], AbstractAsyncContextManager[Broker]]


@asynccontextmanager
async def memory(_: Path, max_messages: int, max_bytes: int) -> AsyncIterator[Broker]:
    broker = MemoryBroker(max_messages, max_bytes)
    await broker.connect()
    try:
        yield broker
    finally:
        await broker.close()


@asynccontextmanager
async def local(path: Path, max_messages: int, max_bytes: int) -> AsyncIterator[Broker]:
    server = LocalServer(path, max_messages=max_messages, max_bytes=max_bytes)
    await server.start()
    broker = LocalBroker(server.url)
    await broker.connect()
    try:
        yield broker
    finally:
        await broker.close()
        await server.close()


@asynccontextmanager
async def manager(_: Path, max_messages: int, max_bytes: int) -> AsyncIterator[Broker]:
    url = f"manager://:a-key-for-the-contract@127.0.0.1:{free_port()}"
    server = ManagerServer(url, max_messages=max_messages, max_bytes=max_bytes)
    await server.start()
    broker = ManagerBroker(url)
    await broker.connect()
    try:
        yield broker
    finally:
        await broker.close()
        await server.close()


@asynccontextmanager
async def redis(_: Path, max_messages: int, max_bytes: int) -> AsyncIterator[Broker]:
    with redis_space() as url:
        broker = connect_broker(url, max_messages=max_messages, max_bytes=max_bytes)
        await broker.connect()
        try:
            yield broker
        finally:
            await broker.close()


@asynccontextmanager
async def amqp(_: Path, max_messages: int, max_bytes: int, queue_type: str = "quorum") -> AsyncIterator[Broker]:
    with fresh_amqp("scene") as url:
        broker = connect_broker(f"{url}&queue_type={queue_type}", max_messages=max_messages, max_bytes=max_bytes)
        await broker.connect()
        try:
            yield broker
        finally:
            await broker.close()


def kombu_urls(path: Path) -> Iterator[tuple[str, Callable[[ExitStack], str]]]:
    """The transports of kombu that are tried, each with what makes its URL."""
    folders = f"data_folder_in={path}&data_folder_out={path}&control_folder={path}"
    yield "kombu-filesystem", lambda _: f"kombu+filesystem://?{folders}"
    yield "kombu-redis", lambda stack: f"kombu+{stack.enter_context(redis_space()).replace('prefix', KEYS)}"
    yield "kombu-amqp", lambda stack: f"kombu+{stack.enter_context(fresh_amqp('scene'))}"


@asynccontextmanager
async def kombu(path: Path, max_messages: int, max_bytes: int, name: str = "") -> AsyncIterator[Broker]:
    with ExitStack() as stack:
        url = dict(kombu_urls(path))[name](stack)
        broker = connect_broker(url, max_messages=max_messages, max_bytes=max_bytes)
        await broker.connect()
        try:
            yield broker
        finally:
            await broker.close()


BACKENDS: dict[str, OpenHere] = {
    "memory": memory,
    "local": local,
    "manager": manager,
    "redis": redis,
    "amqp": amqp,
    "amqp-classic": partial(amqp, queue_type="classic"),
    **{name: partial(kombu, name=name) for name, _ in kombu_urls(Path())},
}

#: What kombu's transports cannot hold, for they are outside the promise: (backend, test) -> why.
CANNOT: dict[tuple[str, str], str] = {
    **{
        ("kombu-filesystem", test): "messages of the same millisecond come in any order"
        for test in (
            "test_first_in_first_out",
            "test_size_counts_what_is_held",
            "test_a_full_queue_refuses_after_the_timeout",
            "test_a_put_waits_for_room_and_is_woken",
            "test_nacked_messages_go_to_the_head_in_their_old_order",
            "test_rejected_messages_are_kept_with_their_reason",
        )
    },
    ("kombu-redis", "test_nacked_messages_go_to_the_head_in_their_old_order"): "what is given back goes to the end",
    ("kombu-amqp", "test_nacked_messages_go_to_the_head_in_their_old_order"): "given back without a confirmation",
    ("kombu-amqp", "test_size_counts_what_is_held"): "what was given back is not counted at once",
}


@pytest.fixture(params=sorted(BACKENDS))
def open_broker(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[int, int], AbstractAsyncContextManager[Broker]]:
    if why := CANNOT.get((request.param, request.function.__name__)):
        pytest.skip(f"{request.param}: {why}")
    return partial(BACKENDS[request.param], tmp_path)
