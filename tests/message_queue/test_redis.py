"""Redis as a message queue: what happens when consumers die and when the server goes, freezes, fills up or forgets."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from crawlkit.libs.errors import CrawlkitError, QueueFull, QueueUnavailable, UsageError
from crawlkit.message_queue.memory import MAX_DEATHS
from crawlkit.message_queue.redis import RedisBroker
from crawlkit.message_queue.redis_greeting import meaning
from crawlkit.message_queue.redis_url import parse_redis_url
from tests.message_queue.test_contract import bodies_of
from tests.servers import ask_redis, free_port, own_redis, redis_space

ROOT = Path(__file__).parents[2]


def play(scene: Coroutine[Any, Any, None], within: float = 50) -> None:
    asyncio.run(asyncio.wait_for(scene, within))


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[RedisBroker]:
    broker = RedisBroker(url, **options)
    await broker.connect()
    try:
        yield broker
    finally:
        await broker.close()


async def until(condition: Callable[[], Awaitable[Any]], within: float = 15) -> float:
    """Waits for a condition; returns how long that took."""
    start = asyncio.get_running_loop().time()
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110 - another process has no event to set
            await asyncio.sleep(0.01)
    return asyncio.get_running_loop().time() - start


async def vanish(broker: RedisBroker) -> None:
    """The process is gone without a word."""
    for task in broker._tasks:
        task.cancel()
    assert broker._connection is not None
    connection, broker._connection = broker._connection, None
    connection.on_lost = lambda _: None
    connection.abort("the process died")


# Consumers.


def test_R02_what_a_killed_process_held_comes_back_to_the_head():
    async def scene(url: str) -> None:
        async with connected(url) as broker:
            queue = broker.queue("work")
            await queue.put_many([b"%d" % n for n in range(40)])
            command = [sys.executable, "-m", "tests.message_queue.queue_processes", "consume", url]
            victim = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
            assert victim.stdout is not None
            assert (await victim.stdout.readline()).split() == [b"%d" % n for n in range(20)]
            assert (await queue.size()).unacked == 10
            victim.kill()
            await victim.wait()
            loop = asyncio.get_running_loop()
            start = loop.time()
            await until(lambda: _unacked(queue, 0))
            assert loop.time() - start < 5
            again = await queue.get_many(20)
            assert [(d.body, d.redelivered) for d in again[:10]] == [(b"%d" % n, 1) for n in range(20, 30)]
            assert [(d.body, d.redelivered) for d in again[10:]] == [(b"%d" % n, 0) for n in range(30, 40)]

    with redis_space() as url:
        play(scene(url))


async def _unacked(queue: Any, n: int) -> bool:
    return bool((await queue.size()).unacked == n)


def test_a_waiting_consumer_is_woken_by_what_a_dead_one_held():
    async def scene(url: str) -> None:
        async with connected(url) as living, connected(url) as dying:
            await living.queue("q").put_many([b"1"])
            await dying.queue("q").get_many(1)
            waiting = asyncio.create_task(living.queue("q").get_many(1))
            await vanish(dying)
            assert [(d.body, d.redelivered) for d in await asyncio.wait_for(waiting, 5)] == [(b"1", 1)]

    with redis_space() as url:
        play(scene(url))


def test_who_leaves_in_order_gives_back_at_once():
    async def scene(url: str) -> None:
        async with connected(url) as other:
            queue = other.queue("q")
            await queue.put_many([b"1", b"2"])
            async with connected(url) as broker:
                assert len(await broker.queue("q").get_many(2)) == 2
                waiting = asyncio.create_task(queue.get_many(2))
            assert [d.body for d in await asyncio.wait_for(waiting, 0.5)] == [b"1", b"2"]

    with redis_space() as url:
        play(scene(url))


def test_late_acks_of_one_taken_for_dead_do_no_harm():
    async def scene(url: str) -> None:
        async with connected(url) as broker, connected(url) as late:
            queue, theirs = broker.queue("q"), late.queue("q")
            await queue.put_many([b"1", b"2"])
            held = await theirs.get_many(2)
            await vanish(late)
            mine = await asyncio.wait_for(queue.get_many(2), 6)
            assert [d.body for d in mine] == [b"1", b"2"]
            late._tasks = []
            await late.connect()  # the process was not dead after all
            await theirs.ack([held[0].id])
            await theirs.nack([held[1].id])
            await theirs.size()
            assert await queue.size() == (2, 2, 2)
            await queue.ack([d.id for d in mine])
            assert await queue.size() == (0, 0, 0)
            await theirs.put_many([b"3"])
            assert await bodies_of(theirs) == [b"3"]

    with redis_space() as url:
        play(scene(url))


def test_a_short_cut_of_the_connection_takes_nothing_away():
    async def scene(url: str) -> None:
        async with connected(url, name="cut") as broker, connected(url) as other:
            queue = broker.queue("q")
            await queue.put_many([b"1", b"2", b"3"])
            held = await queue.get_many(2)
            for client in ask_redis(url.partition("?")[0], "CLIENT", "LIST").decode().splitlines():
                if "name=crawlkit-cut " in client:
                    number = client.split()[0].removeprefix("id=")
                    ask_redis(url.partition("?")[0], "CLIENT", "KILL", "ID", number)
            await queue.ack([held[0].id])  # on its way when the connection goes
            assert await until(lambda: _size_is(other.queue("q"), (2, 2, 1))) < 1
            await asyncio.sleep(3.5)  # longer than the dead are given
            assert await other.queue("q").size() == (2, 2, 1)
            await queue.ack([held[1].id])
            assert [d.redelivered for d in await queue.get_many(5)] == [0]

    with redis_space() as url:
        play(scene(url))


async def _size_is(queue: Any, size: tuple[int, int, int]) -> bool:
    return bool(await queue.size() == size)


def test_what_kills_its_consumers_is_put_aside_with_the_reason():
    async def scene(url: str) -> None:
        async with connected(url) as broker:
            queue = broker.queue("q")
            await queue.put_many([b"poison", b"good"])
            for _ in range(MAX_DEATHS + 1):
                victim = RedisBroker(url)
                await victim.connect()
                assert (await victim.queue("q").get_many(1))[0].body == b"poison"
                await vanish(victim)
                plain, _, prefix = url.partition("?prefix=")
                ask_redis(plain, "ZADD", f"{{{prefix}}}:beats", 0, victim.consumer)  # not heard for long
                while (await queue.size()).unacked:
                    await broker.epoch()  # everybody's beat judges
            assert [letter.body for letter in await queue.dead()] == [b"poison"]
            assert "consumers died" in (await queue.dead())[0].reason
            assert await bodies_of(queue) == [b"good"]
            assert await queue.size() == (0, 0, 0)

    with redis_space() as url:
        play(scene(url))


def test_a_cancelled_get_does_not_keep_what_comes():
    async def scene(url: str) -> None:
        async with connected(url) as broker, connected(url) as other:
            queue = broker.queue("q")
            for _ in range(30):
                waiting = asyncio.create_task(queue.get_many(5))
                await asyncio.sleep(0)
                await other.queue("q").put_many([b"x"])
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                if not waiting.cancelled():
                    await queue.nack([d.id for d in waiting.result()])
                assert await asyncio.wait_for(bodies_of(other.queue("q")), 3) == [b"x"]

    with redis_space() as url:
        play(scene(url))


# Bounds.


def test_producers_on_other_connections_wait_and_are_woken():
    async def scene(url: str) -> None:
        async with connected(url, max_messages=5) as a, connected(url, max_messages=5) as b, connected(url) as taker:

            async def produce(broker: RedisBroker, mark: bytes) -> None:
                for n in range(30):
                    await broker.queue("q").put_many([b"%s%d" % (mark, n)])

            producers = asyncio.gather(produce(a, b"a"), produce(b, b"b"))
            queue, got = taker.queue("q"), list[bytes]()
            while len(got) < 60:
                assert (await queue.size()).messages <= 5
                got += await bodies_of(queue, 3)
            await producers
            assert [x for x in got if x[:1] == b"a"] == [b"a%d" % n for n in range(30)]
            assert len(set(got)) == 60

    with redis_space() as url:
        play(scene(url), 20)


def test_memory_and_counters_are_flat_after_many_messages():
    async def scene(url: str) -> None:
        plain, _, prefix = url.partition("?prefix=")
        async with connected(url, max_messages=500) as broker:
            queue = broker.queue("q")
            for _ in range(40):
                await queue.put_many([b"x" * 500] * 250)
                keeps = await queue.get_many(100)
                await queue.nack([d.id for d in keeps[:50]])
                await queue.ack([d.id for d in keeps[50:]])
                for _ in range(2):
                    await bodies_of(queue)
            assert await queue.size() == (0, 0, 0)
            assert (await broker.flows())["q"][:5] == (0, 0, 0, 10_000, 0)
            assert ask_redis(plain, "MEMORY", "USAGE", f"{{{prefix}}}:q:stream") < 20_000

    with redis_space() as url:
        play(scene(url))


def test_dead_letters_are_bounded():
    async def scene(url: str) -> None:
        async with connected(url) as broker:
            queue = broker.queue("q")
            for n in range(12):
                await queue.put_many([bytes([n]) * 2**20])
                await queue.reject([(await queue.get_many(1))[0].id], f"bad {n}")
            assert [letter.reason for letter in await queue.dead()] == [f"bad {n}" for n in range(4, 12)]
            assert (await broker.flows())["q"].dead == 8

    with redis_space() as url:
        play(scene(url))


def test_messages_of_8_mib_in_one_batch():
    async def scene(url: str) -> None:
        async with connected(url) as broker:
            queue = broker.queue("q")
            bodies = [bytes([n]) * 8 * 2**20 for n in range(6)]
            await queue.put_many(bodies)
            got: list[bytes] = []
            while len(got) < 6:
                batch = await queue.get_many(100)
                assert len(batch) <= 2  # a reply stays within bounds
                got += [d.body for d in batch]
                await queue.ack([d.id for d in batch])
            assert got == bodies

    with redis_space() as url:
        play(scene(url))


def test_two_crawls_share_a_server():
    async def scene(one: str, two: str) -> None:
        async with connected(one) as a, connected(two) as b:
            await a.queue("q").put_many([b"a"])
            assert await b.queue("q").get_many(1, 0) == []
            assert list(await a.flows()) == ["q"]
            assert await a.epoch() != await b.epoch()

    with redis_space() as one, redis_space() as two:
        play(scene(one, two))


# The server.


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_R05_a_restart_is_survived_without_a_hand(tmp_path, how, caplog):
    async def scene(server: Any) -> None:
        async with connected(server.url, max_messages=3) as broker, connected(server.url, max_messages=3) as other:
            queue, empty = broker.queue("q"), other.queue("empty")
            await queue.put_many([b"1", b"2", b"3"])
            held = await queue.get_many(1)
            await queue.put_many([b"4"])
            epoch = await broker.epoch()
            getting = asyncio.create_task(empty.get_many(1))
            putting = asyncio.create_task(queue.put_many([b"5"]))
            await asyncio.sleep(0.05)
            await asyncio.to_thread(server.restart, how)
            await queue.ack([held[0].id])
            start = asyncio.get_running_loop().time()
            assert [d.body for d in await queue.get_many(2)] == [b"2", b"3"]
            await putting
            assert asyncio.get_running_loop().time() - start < 2
            await other.queue("empty").put_many([b"x"])
            assert [d.body for d in await getting] == [b"x"]
            assert await broker.epoch() == epoch
            assert await bodies_of(other.queue("q"), 9) == [b"4", b"5"]
            await until(lambda: _size_is(queue, (2, 2, 2)))

    with own_redis(tmp_path) as server:
        play(scene(server))
    assert [r.message for r in caplog.records if "lost Redis" in r.message]
    assert not any(r.exc_info for r in caplog.records)


def test_R05_a_wiped_server_gets_its_queues_again_and_another_epoch(tmp_path):
    async def scene(server: Any) -> None:
        async with connected(server.url) as broker, connected(server.url) as other:
            queue = broker.queue("q")
            await queue.put_many([b"old", b"older"])
            held = await queue.get_many(1)
            epoch = await broker.epoch()
            waiting = asyncio.create_task(other.queue("idle").get_many(1))
            await asyncio.sleep(0.05)
            server.wipe()
            assert await until(lambda: _another(broker, epoch)) < 2
            await queue.ack([held[0].id])
            await queue.put_many([b"new"])
            assert [(d.body, d.redelivered) for d in await queue.get_many(5)] == [(b"new", 0)]
            assert await queue.size() == (1, 3, 1)
            await broker.queue("idle").put_many([b"hello"])
            assert [d.body for d in await asyncio.wait_for(waiting, 3)] == [b"hello"]
            assert await other.epoch() == await broker.epoch()

    with own_redis(tmp_path) as server:
        play(scene(server))


async def _another(broker: RedisBroker, epoch: str) -> bool:
    return await broker.epoch() != epoch


def test_a_server_that_comes_back_with_old_data_has_another_epoch(tmp_path):
    async def scene(server: Any) -> None:
        async with connected(server.url) as broker:
            queue = broker.queue("q")
            await queue.put_many([b"1"])
            epoch = await broker.epoch()
            server.ask("SAVE")
            await queue.put_many([b"2"])  # forgotten by the restart
            server.restart(signal.SIGKILL)
            await until(lambda: _another(broker, epoch), 5)
            assert await bodies_of(queue) == [b"1"]

    with own_redis(tmp_path, {"appendonly": "no"}) as server:
        play(scene(server))


@pytest.mark.parametrize("seconds", [3, pytest.param(12, marks=pytest.mark.slow)])
def test_a_frozen_server_is_waited_for_and_nobody_is_taken_for_dead(tmp_path, caplog, seconds):
    async def scene(server: Any) -> None:
        async with connected(server.url) as broker, connected(server.url) as other:
            queue = broker.queue("q")
            await queue.put_many([b"1", b"2"])
            held = await queue.get_many(1)
            server.freeze()
            loop = asyncio.get_running_loop()
            start = loop.time()
            assert await other.queue("q").get_many(1, 0.2) == []
            with pytest.raises(QueueUnavailable, match="does not answer"):
                await other.queue("q").put_many([b"3"], 0.2)
            assert loop.time() - start < 5
            waiting = asyncio.create_task(other.queue("q").get_many(1))
            await asyncio.sleep(seconds)  # beats are old meanwhile, and after 5 s connections are given up
            server.thaw()
            start = loop.time()
            await asyncio.wait_for(waiting, 5)
            assert loop.time() - start < 1
            await until(lambda: _unacked(queue, 2), 3)
            await asyncio.sleep(2)
            assert (await queue.size()).unacked == 2, "nobody was dead"
            await queue.ack([held[0].id])
            await until(lambda: _unacked(queue, 1), 3)

    with own_redis(tmp_path) as server:
        play(scene(server))
    assert not any(r.exc_info for r in caplog.records)


def test_a_full_server_pushes_back_and_loses_nothing(tmp_path, caplog):
    async def scene(server: Any) -> None:
        async with connected(server.url, max_messages=0, max_bytes=2**30) as broker:
            queue = broker.queue("q")
            used = int(server.ask("INFO", "memory").decode().split("used_memory:")[1].split()[0])
            server.ask("CONFIG", "SET", "maxmemory", used + 24 * 2**20)
            with pytest.raises(QueueFull) as full:
                await queue.put_many([b"x" * 2**17] * 300, 2)
            done = full.value.args[1]
            assert 0 < done < 300
            server.ask("CONFIG", "SET", "maxmemory", used + 12 * 2**20)
            waiting = asyncio.create_task(queue.put_many([b"y" * 2**20]))
            await asyncio.sleep(2.5)  # beats and acks pass, though memory is full
            assert (await queue.size())[:2] == (done, done * 2**17)
            got = await queue.get_many(done)
            await queue.ack([d.id for d in got])
            await asyncio.wait_for(waiting, 3)
            assert len(got) == done
            assert await bodies_of(queue) == [b"y" * 2**20]
            assert await queue.size() == (0, 0, 0)

    with own_redis(tmp_path, {"maxmemory-policy": "noeviction"}) as server:
        play(scene(server))
    said = [r.message for r in caplog.records if r.levelno >= logging.ERROR]
    assert len(said) == 1
    assert "raise maxmemory" in said[0]


def test_scripts_that_were_flushed_are_loaded_again(tmp_path):
    async def scene(server: Any) -> None:
        async with connected(server.url) as broker:
            queue = broker.queue("q")
            await queue.put_many([b"1"])
            server.ask("SCRIPT", "FLUSH")
            await queue.put_many([b"2"])
            assert await bodies_of(queue) == [b"1", b"2"]

    with own_redis(tmp_path) as server:
        play(scene(server))


@pytest.mark.slow  # two nodes take their time to become one cluster
def test_R30_a_cluster_is_asked_which_node_has_the_queues(tmp_path):
    async def scene(first: Any, second: Any) -> None:
        url = f"redis://127.0.0.1:{free_port()},127.0.0.1:{first.port},127.0.0.1:{second.port}/0"
        found = set()
        for prefix in "abcdef":
            async with connected(f"{url}?prefix={prefix}") as broker:
                await broker.queue("q").put_many([b"1"])
                assert await bodies_of(broker.queue("q")) == [b"1"]
                assert (await broker.flows())["q"].put == 1
            found |= {n for n, server in enumerate((first, second)) if server.ask("KEYS", f"{{{prefix}}}:*")}
        assert found == {0, 1}

    one, two = ({"cluster-enabled": "yes", "cluster-node-timeout": 1000, "cluster-port": free_port()} for _ in "12")
    (tmp_path / "2").mkdir()
    with own_redis(tmp_path, one) as first, own_redis(tmp_path / "2", two) as second:
        first.ask("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        second.ask("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        first.ask("CLUSTER", "MEET", "127.0.0.1", second.port, two["cluster-port"])
        asyncio.run(until(lambda: _formed(first, second), 30))
        play(scene(first, second))


async def _formed(*servers: Any) -> bool:
    return all(b"cluster_state:ok" in server.ask("CLUSTER", "INFO") for server in servers)


# What is said when it cannot be.


def refused(url: str) -> str:
    async def scene() -> str:
        broker = RedisBroker(url, patience=0.2)
        with pytest.raises(CrawlkitError) as error:
            await broker.connect()
        await broker.close()
        return str(error.value)

    words = asyncio.run(asyncio.wait_for(scene(), 20))
    assert "\n" not in words
    assert "geheim" not in words
    return words


def test_nobody_there():
    assert "(Connection refused): start it" in refused(f"redis://:geheim@127.0.0.1:{free_port()}/0")
    assert "the name no-such-host.invalid does not resolve" in refused("redis://no-such-host.invalid")
    assert "no Redis answers at /no/such.sock" in refused("redis+unix:///no/such.sock")


def test_passwords_databases_and_replicas(tmp_path):
    with own_redis(tmp_path, {"requirepass": "richtig", "databases": 2}) as server:
        assert "wants a password" in refused(f"redis://127.0.0.1:{server.port}/0")
        assert "refuses the password" in refused(f"redis://:geheim@127.0.0.1:{server.port}/0")
        assert "refuses the password" in refused(f"redis://nobody:geheim@127.0.0.1:{server.port}/0")
        assert "has no database 7" in refused(f"redis://:richtig@127.0.0.1:{server.port}/7")
        play(_round_trip(f"redis://:richtig@127.0.0.1:{server.port}/1"))
        (tmp_path / "replica").mkdir()
        with own_redis(tmp_path / "replica", {"replicaof": f"127.0.0.1 {server.port}", "masterauth": "richtig"}) as two:
            assert "read-only replica: name its primary" in refused(two.url)


def test_what_an_old_redis_answers():
    said = meaning(
        parse_redis_url("redis://:geheim@db/0"), "ERR unknown command `HELLO`, with args beginning with: `3`"
    )
    assert isinstance(said, UsageError)
    assert "is too old" in str(said)
    assert "6.2 or newer" in str(said)


async def _round_trip(url: str) -> None:
    async with connected(url) as broker:
        await broker.queue("q").put_many([b"1"])
        assert await bodies_of(broker.queue("q")) == [b"1"]


def test_tls_and_sockets(tmp_path):
    authority = trustme.CA()
    cert = authority.issue_cert("127.0.0.1")
    cert.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    cert.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    port = free_port()
    settings = {
        "tls-port": port,
        "tls-cert-file": str(tmp_path / "cert.pem"),
        "tls-key-file": str(tmp_path / "key.pem"),
        "tls-ca-cert-file": str(tmp_path / "ca.pem"),
        "tls-auth-clients": "optional",
        "unixsocket": str(tmp_path / "s.sock"),
    }
    with own_redis(tmp_path, settings) as server:
        ca = f"ssl_ca_certs={tmp_path / 'ca.pem'}"
        play(_round_trip(f"rediss://127.0.0.1:{port}/0?{ca}"))
        client = f"ssl_certfile={tmp_path / 'cert.pem'}&ssl_keyfile={tmp_path / 'key.pem'}"
        play(_round_trip(f"rediss://127.0.0.1:{port}/0?{ca}&{client}"))
        play(_round_trip(f"rediss://127.0.0.1:{port}/0?ssl_cert_reqs=none"))
        play(_round_trip(f"redis+unix://{tmp_path / 's.sock'}?db=1"))
        assert "certificate that is not trusted" in refused(f"rediss://127.0.0.1:{port}/0")
        assert "a port without TLS wants redis://" in refused(f"rediss://127.0.0.1:{server.port}/0?{ca}")
        assert "a port with TLS wants rediss://" in refused(f"redis://127.0.0.1:{port}/0")


def test_a_server_that_hangs_up_in_one_breath_with_its_greeting(tmp_path):
    """Over TLS the reply and the end come in one callback: that connection is dead before it is used."""
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    made = 0

    async def scene(url: str) -> None:
        real = parse_redis_url(url)

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal made
            made += 1
            cuts, greeted = made == 1, asyncio.Event()
            back, there = await asyncio.open_connection(*real.hosts[0])

            async def answers() -> None:
                while data := await back.read(2**16):
                    writer.write(data)
                    if cuts and greeted.is_set():
                        break
                writer.close()

            answering = asyncio.create_task(answers())
            while data := await reader.read(2**16):
                if b"SUBSCRIBE" in data:  # goes out together with the greeting
                    greeted.set()
                there.write(data)
            there.close()
            await answering

        server = await asyncio.start_server(proxy, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        place = f"127.0.0.1:{port}/{real.db}?prefix={real.prefix}&ssl_ca_certs={tmp_path / 'ca.pem'}"
        async with connected(f"rediss://{place}") as broker:
            assert made == 2
            assert broker._connection is not None
            assert not broker._connection.lost
            await broker.queue("q").put_many([b"1"], 5)
            assert await bodies_of(broker.queue("q")) == [b"1"]
        server.close()

    with redis_space() as url:
        play(scene(url))


def test_a_connection_that_is_cut_at_once_is_tried_ever_more_slowly_and_said_once(caplog):
    async def scene(url: str) -> None:
        real = parse_redis_url(url)
        loop = asyncio.get_running_loop()
        made: list[float] = []

        async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(2**16):
                writer.write(data)
            writer.close()

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            made.append(loop.time())
            back, there = await asyncio.open_connection(*real.hosts[0])
            answering = asyncio.create_task(pipe(back, writer))
            cuts = len(made) < 7
            while data := await reader.read(2**16):
                there.write(data)
                if cuts and b"SUBSCRIBE" in data:  # goes out together with the greeting
                    loop.call_later(0.02, there.close)
            there.close()
            await answering

        server = await asyncio.start_server(proxy, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with connected(f"redis://127.0.0.1:{port}/{real.db}?prefix={real.prefix}") as broker:
            await until(lambda: _size_is(broker.queue("q"), (0, 0, 0)))
            while len(made) < 7:  # noqa: ASYNC110 - the proxy has no event to set
                await asyncio.sleep(0.01)
            assert made[6] - made[1] > 0.05 + 0.1 + 0.2 + 0.4 + 0.5
            await broker.queue("q").put_many([b"1"], 5)
            assert await bodies_of(broker.queue("q")) == [b"1"]
        server.close()

    caplog.set_level(logging.INFO)
    with redis_space() as url:
        play(scene(url))
    said = [record.getMessage() for record in caplog.records if record.name.startswith("crawlkit")]
    assert sum("lost Redis" in line for line in said) == 1
    assert sum("connected to Redis" in line for line in said) == 1


def test_a_user_of_the_access_lists_needs_what_the_docs_say(tmp_path):
    page = (ROOT / "docs" / "queues.md").read_text()
    rights = page.partition("A user of the access lists needs `")[2].partition("`.")[0].replace("`", "")
    assert rights.startswith("~{crawlkit}*, ")
    with own_redis(tmp_path) as server:
        server.ask("ACL", "SETUSER", "crawl", "on", ">richtig", *rights.split(", "))
        play(_round_trip(f"redis://crawl:richtig@127.0.0.1:{server.port}/0"))
        server.ask("ACL", "SETUSER", "crawl", "-info")
        assert "does not let this user work" in refused(f"redis://crawl:richtig@127.0.0.1:{server.port}/0")
