"""kombu's transports: what holds for them beside the contract, and what is said of them."""

from __future__ import annotations

import asyncio
import logging

import pytest

from crawlkit.libs.errors import QueueUnavailable
from crawlkit.message_queue.kombu import KombuBroker
from tests.message_queue.test_contract import bodies_of
from tests.servers import free_port, redis_space


def test_it_says_that_nothing_is_promised(tmp_path, caplog):
    async def scene() -> None:
        broker = KombuBroker(f"kombu+filesystem://?data_folder_in={tmp_path}&data_folder_out={tmp_path}")
        await broker.connect()
        await broker.close()
        with pytest.raises(QueueUnavailable, match="was closed here"):
            await broker.queue("q").get_many(1)

    asyncio.run(scene())
    assert sum("best effort, outside crawlkit's promise" in r.getMessage() for r in caplog.records) == 1


def test_two_connections_share_a_queue():
    async def scene(url: str) -> None:
        one, two = KombuBroker(url), KombuBroker(url)
        await one.connect()
        await two.connect()
        waiting = asyncio.create_task(two.queue("q").get_many(5))
        await one.queue("q").put_many([b"1", b"2"])
        got = await asyncio.wait_for(waiting, 10)
        await two.queue("q").ack([d.id for d in got])
        got_too = [] if len(got) == 2 else await bodies_of(two.queue("q"))
        assert [d.body for d in got] + got_too == [b"1", b"2"]
        assert (await one.flows())["newtask_queue"][:3] == (0, 0, 0)
        assert await one.epoch() == await two.epoch()
        await one.close()
        await two.close()

    with redis_space() as url:
        asyncio.run(asyncio.wait_for(scene(f"kombu+{url.replace('prefix', 'global_keyprefix')}"), 30))


def test_nobody_there(caplog):
    async def scene() -> None:
        broker = KombuBroker(f"kombu+redis://:seecret@127.0.0.1:{free_port()}/0")
        with pytest.raises(QueueUnavailable, match=r"does not answer .*check the URL and the server") as error:
            await broker.connect()
        assert "seecret" not in str(error.value)
        assert "\n" not in str(error.value)
        await broker.close()

    caplog.set_level(logging.DEBUG)
    asyncio.run(scene())
    assert "seecret" not in caplog.text
