"""kombu's transports: what holds for them beside the contract, and what is said of them."""

from __future__ import annotations

import asyncio
import logging

import pytest

from crawlkit.libs.errors import QueueUnavailable
from crawlkit.message_queue.kombu import KombuBroker
from tests.message_queue.test_contract import bodies_of
from tests.servers import OwnRedis, free_port, own_redis, redis_space


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


def test_who_waits_for_a_broker_that_is_away_says_so_once(tmp_path, caplog):
    async def scene(server: OwnRedis) -> None:
        broker = KombuBroker(f"kombu+redis://127.0.0.1:{server.port}/0")
        await broker.connect()
        await asyncio.to_thread(server.stop)
        getting = asyncio.create_task(broker.queue("q").get_many(1))
        putting = asyncio.create_task(broker.queue("p").put_many([b"1"]))
        while not lines("does not answer"):  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.2)  # more attempts, which say nothing
        await asyncio.to_thread(server.start)
        await putting
        await broker.queue("q").put_many([b"2"])
        assert [d.body for d in await getting] == [b"2"]
        await broker.close()

    def lines(words: str) -> int:
        return sum(words in r.getMessage() for r in caplog.records if r.name.startswith("crawlkit"))

    with own_redis(tmp_path) as server:
        asyncio.run(asyncio.wait_for(scene(server), 40))
    assert lines("does not answer") == 1
    assert lines("waiting until it does") == 1
    assert lines("answers again") == 1


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
