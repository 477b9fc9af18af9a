"""What only queues in another process can go through: lost connections, killed processes, strangers at the socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from crawlkit.libs.errors import BadMessage, QueueFull, QueueUnavailable, UsageError
from crawlkit.message_queue import wire
from crawlkit.message_queue.client import QueueClient
from crawlkit.message_queue.local import LocalBroker, LocalServer
from crawlkit.message_queue.memory import MAX_DEATHS, MemoryBroker
from crawlkit.message_queue.server import QueueServer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ck") as found:
        yield Path(found)


@asynccontextmanager
async def serving(path: Path, clients: int = 1, **bounds: int) -> AsyncIterator[tuple[LocalServer, list[LocalBroker]]]:
    server = LocalServer(path, **bounds)
    await server.start()
    brokers = [LocalBroker(server.url, name=f"client-{n}") for n in range(clients)]
    for broker in brokers:
        await broker.connect()
    try:
        yield server, brokers
    finally:
        for broker in brokers:
            await broker.close()
        await server.close()


@contextmanager
def process(role: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own; killed at the end."""
    command = [sys.executable, "-m", "tests.message_queue.queue_processes", role, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def run(scene, seconds: float = 30) -> None:
    asyncio.run(asyncio.wait_for(scene(), seconds))


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition never held"
        await asyncio.sleep(0.005)


def cut(broker: QueueClient) -> None:
    """The connection breaks, as when the process is killed."""
    assert broker._connection is not None
    broker._connection.close("cut by the test")


def test_what_a_lost_connection_held_goes_to_the_head_at_once(path):
    async def scene():
        async with serving(path, 2) as (server, (one, two)):
            await one.queue("q").put_many([b"1", b"2", b"3"])
            held = await one.queue("q").get_many(2)
            cut(one)
            await until(lambda: server.sizes()["q"].unacked == 0)
            got = await two.queue("q").get_many(3, 5)
            assert [(d.body, d.redelivered) for d in got] == [(b"1", 1), (b"2", 1), (b"3", 0)]
            await one.queue("q").ack([d.id for d in held])  # void: those deliveries ended with the connection

    run(scene)


def test_acks_of_an_old_connection_end_nothing(path):
    async def scene():
        async with serving(path) as (server, (broker,)):
            queue = broker.queue("q")
            await queue.put_many([b"1"])
            old = await queue.get_many(1)
            cut(broker)
            again = await queue.get_many(1, 5)
            assert [(d.body, d.redelivered) for d in again] == [(b"1", 1)]
            await queue.ack([old[0].id])
            await queue.nack([old[0].id])
            assert (await queue.size()).unacked == 1
            await queue.ack([again[0].id])
            assert await queue.size() == (0, 0, 0)
            assert server.sizes() == {"q": (0, 0, 0)}

    run(scene)


def test_a_client_that_leaves_in_order_gives_back_without_blame(path):
    async def scene():
        async with serving(path) as (server, (broker,)):
            await broker.queue("q").put_many([b"1"])
            for _ in range(MAX_DEATHS + 3):
                other = LocalBroker(server.url)
                await other.connect()
                assert len(await other.queue("q").get_many(1, 5)) == 1
                await other.close()
            assert [d.body for d in await broker.queue("q").get_many(1, 5)] == [b"1"]

    run(scene)


def test_what_kills_its_consumers_is_put_aside_and_its_neighbours_are_not(path, caplog):
    async def scene():
        async with serving(path, 2) as (_, (doomed, other)):
            queue = doomed.queue("q")
            await queue.put_many([b"before", b"poison", b"after"])
            for _ in range(MAX_DEATHS + 20):
                batch = await queue.get_many(10, 0.5)
                if any(d.body == b"poison" for d in batch):
                    cut(doomed)
                elif batch:
                    await queue.ack([d.id for d in batch])
                else:
                    break
            dead = await other.queue("q").dead()
            assert [(d.body, "consumers died" in d.reason) for d in dead] == [(b"poison", True)]
            assert await other.queue("q").size() == (0, 0, 0)

    with caplog.at_level(logging.WARNING):
        run(scene)


def test_a_cancelled_get_gives_back_what_was_on_its_way(path):
    async def scene():
        async with serving(path, 2) as (_, (one, two)):
            for round_ in range(20):
                get = asyncio.create_task(one.queue("q").get_many(5))
                await asyncio.sleep(0)
                await two.queue("q").put_many([b"%d" % round_])
                get.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await get
                got = await two.queue("q").get_many(5, 5)
                assert [d.body for d in got] == [b"%d" % round_]
                await two.queue("q").ack([d.id for d in got])
            assert await two.queue("q").size() == (0, 0, 0)

    run(scene)


def test_a_killed_consumer_loses_nothing(path):
    async def scene():
        async with serving(path, max_messages=100) as (server, (broker,)):
            queue = broker.queue("work")
            await queue.put_many([b"%d" % n for n in range(50)])
            with process("consume", path) as child:
                done = await asyncio.to_thread(child.stdout.readline)
                child.send_signal(signal.SIGKILL)
                child.wait()
            done = done.split()
            assert len(done) == 20
            await until(lambda: server.clients() == ["client-0"])
            rest = []
            while len(rest) < 30:
                batch = await queue.get_many(7, 5)
                assert batch
                rest += batch
                await queue.ack([d.id for d in batch])
            assert [d.body for d in rest] == [b"%d" % n for n in range(20, 50)]
            assert [d.redelivered for d in rest] == [1] * 10 + [0] * 20
            assert await queue.size() == (0, 0, 0)

    run(scene)


def test_a_killed_server_and_its_successor(path, caplog):
    async def scene():
        with process("serve", path) as first:
            assert first.stdout.readline() == "ready\n"
            broker = LocalBroker(f"local://{path}")
            await broker.connect()
            queue = broker.queue("q")
            await queue.put_many([b"lost"])
            epoch = await broker.epoch()
            waiting = asyncio.create_task(broker.queue("other").get_many(1))
            room = asyncio.create_task(broker.queue("full").put_many([b"x"] * 60))
            await asyncio.sleep(0.05)
            first.kill()
            first.wait()
            await until(lambda: queue.room() == 0)
            assert await queue.get_many(1, 0.05) == []
            with pytest.raises(QueueUnavailable):
                await queue.put_many([b"no"], 0.05)
            later = asyncio.create_task(queue.put_many([b"later"]))
            with process("serve", path) as second:
                assert second.stdout.readline() == "ready\n"
                await later
                assert await broker.epoch() != epoch
                assert [d.body for d in await queue.get_many(5, 5)] == [b"later"]
                await broker.queue("other").put_many([b"woken"])
                assert [d.body for d in await waiting] == [b"woken"]
                got = 0
                while got < 60:  # what was not confirmed was put again
                    batch = await broker.queue("full").get_many(60, 5)
                    got += len(batch)
                    await broker.queue("full").ack([d.id for d in batch])
                await room
                await broker.close()

    with caplog.at_level(logging.WARNING):
        run(scene)
    assert len([r for r in caplog.records if "lost the queue server" in r.message]) == 1


def test_without_a_server_the_client_says_what_to_do(path):
    async def scene():
        with pytest.raises(QueueUnavailable, match="crawlkit all"):
            await LocalBroker(f"local://{path}", patience=0.1).connect()

    run(scene)


def test_a_client_that_comes_first_waits_for_its_server(path):
    async def scene():
        broker = LocalBroker(f"local://{path}")
        connecting = asyncio.create_task(broker.connect())
        await asyncio.sleep(0.05)
        async with serving(path, 0):
            await connecting
            await broker.close()

    run(scene)


def test_a_closed_client_refuses(path):
    async def scene():
        async with serving(path) as (_, (broker,)):
            waiting = asyncio.create_task(broker.queue("q").get_many(1))
            await asyncio.sleep(0.02)
            await broker.close()
            with pytest.raises(QueueUnavailable):
                await waiting
            with pytest.raises(QueueUnavailable):
                await broker.queue("q").put_many([b"x"])

    run(scene)


def test_one_server_a_data_path(path):
    async def scene():
        async with serving(path, 0):
            with pytest.raises(UsageError, match="another crawlkit"):
                await LocalServer(path).start()
        async with serving(path) as (_, (broker,)):  # and after its end another one may
            await broker.queue("q").put_many([b"x"])

    run(scene)


def test_the_socket_is_the_users_own(path):
    async def scene():
        async with serving(path) as (server, _):
            assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o600

    run(scene)


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\5hello", b"\xff" * 100, b"\0\0\0\0" * 10])
def test_strangers_are_turned_away(path, noise):
    async def scene():
        async with serving(path) as (server, (broker,)):
            reader, writer = await asyncio.open_unix_connection(str(server.socket_path))
            writer.write(noise)
            await reader.read()  # until the server hangs up
            writer.close()
            await broker.queue("q").put_many([b"fine"])
            assert server.clients() == ["client-0"]

    run(scene)


def test_noise_after_the_greeting_ends_that_connection_only(path):
    async def scene():
        async with serving(path, 2) as (_, (one, two)):
            await one.queue("q").put_many([b"1"])
            assert len(await one.queue("q").get_many(1)) == 1
            one.send([b"\0\0\0\3abc"])
            assert [d.body for d in await two.queue("q").get_many(1, 5)] == [b"1"]
            assert (await one.queue("q").size()).messages == 1  # and it connects again

    run(scene)


def test_a_message_too_large_for_a_frame_is_refused(path):
    async def scene():
        async with serving(path) as (_, (broker,)):
            with pytest.raises(BadMessage):
                await broker.queue("q").put_many([bytes(wire.MAX_FRAME)])

    run(scene)


def test_large_batches_arrive_in_order(path):
    async def scene():
        async with serving(path, 2, max_messages=0) as (_, (one, two)):
            sent = [b"%d" % n + bytes(n % 7 * 30_000) for n in range(150)]
            put = asyncio.create_task(one.queue("q").put_many(sent))
            got = []
            while len(got) < len(sent):
                batch = await two.queue("q").get_many(40, 5)
                got += [d.body for d in batch]
                await two.queue("q").ack([d.id for d in batch])
            await put
            assert got == sent

    run(scene)


def test_a_timeout_counts_over_all_frames_of_a_put(path):
    async def scene():
        async with serving(path, max_messages=0, max_bytes=2_000_000) as (_, (broker,)):
            with pytest.raises(QueueFull) as full:
                await broker.queue("q").put_many([bytes(300_000)] * 10, 0.1)
            assert full.value.args[1] == 6

    run(scene)


def test_producers_learn_of_room_without_asking(path):
    async def scene():
        async with serving(path, 2, max_messages=10) as (_, (producer, consumer)):
            queue = producer.queue("q")
            await queue.put_many([b"x"] * 10)
            assert queue.room() == 0
            await consumer.queue("q").get_many(4)
            await until(lambda: queue.room() == 4)
            await consumer.queue("q").get_many(6)
            await until(lambda: queue.room() == 10)

    run(scene)


def test_sizes_of_all_queues(path):
    async def scene():
        async with serving(path) as (server, (broker,)):
            await broker.queue("a").put_many([b"xy"])
            await broker.queue("b").put_many([b"z", b"z"])
            assert await broker.sizes() == {"a": (1, 2, 0), "b": (2, 2, 0)} == server.sizes()


def test_flows_of_all_queues(path):
    async def scene():
        async with serving(path, max_messages=3) as (_, (broker,)):
            queue = broker.queue("a")
            await queue.put_many([b"xy", b"z", b"broken"])
            one, two, three = await queue.get_many(3)
            await queue.ack([one.id])
            await queue.nack([two.id])  # what comes back was not given once more
            await queue.reject([three.id], "no message")
            flow = (await broker.flows())["a"]
            assert (flow.messages, flow.bytes, flow.unacked) == (1, 1, 0)
            assert (flow.put, flow.dead, flow.max_messages) == (3, 1, 3)
            assert flow.max_bytes > 2**20

    run(scene)


def over_tcp(address: tuple[str, int], key: bytes | None) -> QueueClient:
    return QueueClient("tcp", lambda: socket.create_connection(address, 5), key=key, patience=0)


@pytest.mark.parametrize(
    ("client_key", "words"), [(b"right", None), (b"wrong", "the key is wrong"), (None, "the key is wrong")]
)
def test_over_tcp_the_key_is_asked_for(client_key, words):
    async def scene():
        server = QueueServer(MemoryBroker(), key=b"right")
        server.listen(socket.create_server(("127.0.0.1", 0)))
        client = over_tcp(server._listeners[0].socket.getsockname(), client_key)
        if words is None:
            await client.connect()
            await client.queue("q").put_many([b"x"])
            assert [d.body for d in await client.queue("q").get_many(1, 5)] == [b"x"]
        else:
            with pytest.raises(UsageError, match=words):
                await client.connect()
        await client.close()
        await server.close()

    run(scene)


def test_a_server_without_the_key_gets_nothing():
    async def scene():
        server = QueueServer(MemoryBroker())
        server.listen(socket.create_server(("127.0.0.1", 0)))
        with pytest.raises(UsageError, match="does not have the shared key"):
            await over_tcp(server._listeners[0].socket.getsockname(), b"right").connect()
        await server.close()

    run(scene)


@pytest.mark.faults
def test_a_hundred_killed_consumers_lose_nothing(path):
    """RELIABILITY R-02."""

    async def scene():
        async with serving(path, max_messages=0) as (_, (broker,)):
            queue = broker.queue("work")
            await queue.put_many([b"%d" % n for n in range(3_000)])
            done: list[bytes] = []
            for _ in range(100):
                with process("consume", path) as child:
                    line = await asyncio.to_thread(child.stdout.readline)
                    child.send_signal(signal.SIGKILL)
                    child.wait()
                done += line.encode().split()
                killed = asyncio.get_running_loop().time()
                while (await queue.size()).unacked:
                    assert asyncio.get_running_loop().time() - killed < 2
            while batch := await queue.get_many(1_000, 0.1):
                done += [d.body for d in batch]
                await queue.ack([d.id for d in batch])
            done += [d.body for d in await queue.dead(1_000)]
            assert sorted(done, key=int) == [b"%d" % n for n in range(3_000)]

    run(scene, 110)


@pytest.mark.faults
def test_a_hundred_killed_servers_and_the_clients_come_back(path):
    """RELIABILITY R-05."""

    async def scene():
        broker = LocalBroker(f"local://{path}")
        epochs = set()
        for round_ in range(100):
            with process("serve", path) as server:
                assert await asyncio.to_thread(server.stdout.readline) == "ready\n"
                if not round_:
                    await broker.connect()
                started = asyncio.get_running_loop().time()
                queue = broker.queue("q")
                await queue.put_many([b"%d" % round_])
                got = await queue.get_many(5, 5)
                assert [d.body for d in got] == [b"%d" % round_]
                await queue.ack([d.id for d in got])
                assert asyncio.get_running_loop().time() - started < 5
                epochs.add(await broker.epoch())
            await until(lambda: not broker.connected)
        assert len(epochs) == 100
        await broker.close()

    run(scene, 110)
