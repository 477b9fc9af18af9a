"""Queues under a prefix of their own go without a trace, and those of others stay."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawlkit.libs.errors import QueueUnavailable, UsageError
from crawlkit.libs.messages import FETCHER2PROCESSOR, status_queue_name
from crawlkit.message_queue import scratch
from crawlkit.message_queue.registry import connect_broker
from tests.servers import amqp_url, ask_redis, free_port, redis_url

NAMES = [FETCHER2PROCESSOR, status_queue_name(0), status_queue_name(3)]


def left(url: str, prefix: str, folder: Path) -> list[str]:
    """What there is under a prefix."""
    if url.startswith("redis"):
        return [key.decode() for key in ask_redis(url, "KEYS", f"{{{prefix}}}*")]
    if url.startswith("kombu+"):
        return [file.name for file in folder.iterdir() if f"{prefix}." in file.name]
    import pika

    found = []
    connection = pika.BlockingConnection(pika.URLParameters(url))
    for kind in ("queue", "exchange"):
        for name in (*NAMES, *(f"{name}.dead" for name in NAMES), "epoch", "news"):
            channel = connection.channel()
            try:
                getattr(channel, f"{kind}_declare")(f"{prefix}.{name}", passive=True)
                found.append(name)
                channel.close()
            except pika.exceptions.ChannelClosedByBroker:
                pass
    connection.close()
    return found


@pytest.fixture(params=["redis", "amqp", "kombu"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a broker, with no prefix."""
    if request.param == "kombu":
        (tmp_path / "q").mkdir()
        place = "&".join(f"{option}={tmp_path}/q" for option in ("data_folder_in", "data_folder_out", "control_folder"))
        yield f"kombu+filesystem://?{place}"
    else:
        yield {"redis": redis_url, "amqp": amqp_url}[request.param]()


async def use(url: str) -> None:
    """Messages that wait, are held and are dead, in several queues."""
    broker: Any = connect_broker(url)
    await broker.connect()
    await broker.epoch()
    for name in NAMES:
        queue = broker.queue(name)
        await queue.put_many([b"1", b"2", b"3"])
        one, *_ = await queue.get_many(1, 5)
        await queue.reject([one.id], "for a test")
        await queue.get_many(1, 5)
    await broker.flows()  # on AMQP by an exchange
    await broker.close()


def test_nothing_is_left_of_them_and_others_stay(url: str, tmp_path: Path) -> None:
    mine, others = (f"crawlkit_test_{secrets.token_hex(4)}" for _ in range(2))
    folder = tmp_path / "q"
    try:
        for prefix in (mine, others):
            asyncio.run(use(scratch.with_prefix(url, prefix)))
        assert scratch.has_prefix(url)
        before = left(url, others, folder)
        assert left(url, mine, folder)
        asyncio.run(scratch.remove(scratch.with_prefix(url, mine), NAMES))
        assert left(url, mine, folder) == []
        assert sorted(left(url, others, folder)) == sorted(before)
    finally:
        for prefix in (mine, others):
            asyncio.run(scratch.remove(scratch.with_prefix(url, prefix), NAMES))
    assert left(url, others, folder) == []


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_is_not_there(scheme: str) -> None:
    url = f"{scheme}://u:s3cret@127.0.0.1:{free_port()}"
    with pytest.raises(QueueUnavailable) as error:
        asyncio.run(scratch.remove(f"{url}?prefix=x", NAMES, patience=0))
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "other"),
    [("redis://h:1/2", "redis://h:1/2?prefix=new"), ("redis://h?prefix=old&ssl_x=1", "redis://h?ssl_x=1&prefix=new"),
     ("amqp://u:p@h/%2F?heartbeat=5&prefix=old", "amqp://u:p@h/%2F?heartbeat=5&prefix=new")],
)  # fmt: skip
def test_a_url_with_another_prefix(url: str, other: str) -> None:
    assert scratch.with_prefix(url, "new") == other


def test_queues_that_end_with_their_process_have_none() -> None:
    for url in ("local:///x", "manager://:k@h:1", "memory://"):
        assert not scratch.has_prefix(url)
    asyncio.run(scratch.remove("memory://", NAMES))
    with pytest.raises(UsageError, match="kept apart"):
        scratch.has_prefix("elsewhere://u:s3cret@h")
