"""Queues over TCP between hosts: the key, what strangers may do, hosts that vanish, servers that come again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from crawlkit import listening
from crawlkit.libs.errors import QueueUnavailable, UsageError
from crawlkit.message_queue import client, manager, server, wire
from crawlkit.message_queue.manager import ManagerBroker, ManagerServer, address_of, derived_key
from tests import needs
from tests.descriptors import no_file_handles
from tests.message_queue.test_local import run, until
from tests.relay import SILENT, Fault, Relay
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
KEY = "a-key-that-nobody-guesses"


def url_of(host: str = "127.0.0.1", key: str = KEY) -> str:
    return f"manager://:{key}@{host}:{free_port()}"


@asynccontextmanager
async def serving(url: str, clients: int = 1) -> AsyncIterator[tuple[ManagerServer, list[ManagerBroker]]]:
    served = ManagerServer(url)
    await served.start()
    brokers = [ManagerBroker(url, name=f"client-{n}") for n in range(clients)]
    for broker in brokers:
        await broker.connect()
    try:
        yield served, brokers
    finally:
        for broker in brokers:
            await broker.close()
        await served.close()


# The URL.


def test_a_url_is_taken_apart():
    address = address_of("manager://:a%2Fkey%40of-more-than-16@[fd00::1]:7000")
    assert (address.host, address.port, address.key) == ("fd00::1", 7000, b"a/key@of-more-than-16")
    assert address.where == "manager://[fd00::1]:7000"
    assert address_of("manager://control:7000", KEY).key == KEY.encode()
    assert address_of(f"manager://:{KEY}@control:7000/", "another-key-from-elsewhere").key == KEY.encode()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("manager://:sec/ret-sec/ret-sec/ret@host:7000", "expected manager://:KEY@host:port"),
        ("manager://:secret-secret-secret@host", "expected manager://:KEY@host:port"),
        ("manager://:secret-secret-secret@:7000", "expected"),
        ("manager://:secret-secret-secret@host:0", "expected"),
        ("manager://:secret-secret-secret@host:70000", "port is not a number"),
        ("manager://:secret-secret-secret@host:port", "port is not a number"),
        ("manager://:secret-secret-secret@[host:7000", "host is not understood"),
        ("manager://:secret-secret-secret@host:7000/1", "nothing after the port"),
        ("manager://:secret-secret-secret@host:7000?prefix=x", "nothing after the port"),
        ("manager://secret-secret-secret@host:7000", "stands behind a colon"),
        ("manager://host:7000", "manager://host:7000: there is no key.*CRAWLKIT_QUEUE_KEY"),
        ("manager://:secret@host:7000", "too short: it has 6 characters.*openssl rand"),
    ],
)
def test_a_wrong_url_is_refused_without_showing_its_key(url, words):
    with pytest.raises(UsageError, match=words) as error:
        address_of(url)
    assert "secret" not in str(error.value)


def test_the_key_is_in_no_repr():
    assert KEY not in repr(address_of(url_of()))
    assert KEY not in repr(ManagerBroker(url_of()))
    assert KEY not in repr(ManagerServer(url_of()))


def test_the_derived_key_is_another_for_each_secret_and_long_enough():
    assert derived_key("one secret") == derived_key("one secret\n")
    assert derived_key("one secret") != derived_key("other secret")
    assert len(derived_key("x")) >= manager.MIN_KEY


# Coming in.


@pytest.mark.parametrize("key", ["a-key-that-nobody-guesseS", KEY + "x", "0123456789abcdef"])
def test_a_wrong_key_is_refused_at_once_in_one_line(key, caplog):
    async def scene():
        url = url_of()
        async with serving(url):
            start = asyncio.get_running_loop().time()
            with pytest.raises(UsageError, match="the key is wrong: give every process the same one") as error:
                await ManagerBroker(url.replace(KEY, key)).connect()
            assert asyncio.get_running_loop().time() - start < 3
            assert "\n" not in str(error.value)
            assert key not in str(error.value)
            assert KEY not in str(error.value)

    with caplog.at_level(logging.DEBUG):
        run(scene)
    assert "refused a client at 127.0.0.1: the key is wrong" in caplog.text
    assert KEY not in caplog.text
    assert key not in caplog.text


def test_the_key_never_goes_over_the_wire():
    async def scene():
        url = url_of()
        seen = bytearray()

        async def tap(reader, writer):
            inner, outer = await asyncio.open_connection("127.0.0.1", address_of(url).port)

            async def copy(source, target):
                while data := await source.read(65536):
                    seen.extend(data)
                    target.write(data)
                target.close()

            await asyncio.gather(copy(reader, outer), copy(inner, writer))

        async with serving(url):
            middle = await asyncio.start_server(tap, "127.0.0.1", 0)
            port = middle.sockets[0].getsockname()[1]
            broker = ManagerBroker(f"manager://:{KEY}@127.0.0.1:{port}")
            await broker.connect()
            await broker.queue("q").put_many([b"a message in the clear"])
            await broker.close()
            middle.close()
        assert b"a message in the clear" in seen
        assert KEY.encode() not in seen

    run(scene)


def test_a_server_without_the_key_gets_nothing():
    async def scene():
        url = url_of()
        async with serving(url.replace(KEY, "another-key-than-ours")):
            with pytest.raises(UsageError, match="the key is wrong"):
                await ManagerBroker(url).connect()

    run(scene)


def test_where_nothing_listens_the_client_says_so_in_one_line():
    async def scene():
        with pytest.raises(QueueUnavailable, match=r"no crawlkit serves queues at manager://127.0.0.1:\d+ .*refused"):
            await ManagerBroker(url_of(), patience=0.2).connect()

    run(scene)


def test_another_kind_of_server_is_told_from_ours():
    async def scene():
        async def ssh(reader, writer):
            writer.write(b"SSH-2.0-OpenSSH_9.2p1\r\n")
            await reader.read()

        other = await asyncio.start_server(ssh, "127.0.0.1", 0)
        port = other.sockets[0].getsockname()[1]
        with pytest.raises(QueueUnavailable, match="it is no crawlkit queue server"):
            await ManagerBroker(f"manager://:{KEY}@127.0.0.1:{port}", patience=0).connect()
        other.close()

    run(scene)


def test_an_address_of_another_host_cannot_be_served():
    async def scene():
        with pytest.raises(UsageError, match="address is of another host: run `crawlkit node` here"):
            await ManagerServer(f"manager://:{KEY}@192.0.2.7:7000").start()

    run(scene)


def test_a_port_in_use_is_said_in_words():
    async def scene():
        url = url_of()
        async with serving(url):
            with pytest.raises(UsageError, match="something listens there already"):
                await ManagerServer(url).start()

    run(scene)


@pytest.mark.parametrize("host", ["[::1]", "[::]", "0.0.0.0", "localhost"])
def test_other_addresses(host):
    if host.startswith("[") and not socket.has_ipv6:
        needs.missing("IPv6")

    async def scene():
        async with serving(url_of(host)) as (served, (broker,)):
            await broker.queue("q").put_many([b"x"])
            assert [d.body for d in await broker.queue("q").get_many(1, 5)] == [b"x"]
            assert served.clients() == ["client-0"]
            if host == "[::]":  # both families
                v4 = ManagerBroker(f"manager://:{KEY}@127.0.0.1:{served.address.port}")
                await v4.connect()
                await v4.close()

    run(scene)


# Strangers.


def test_a_large_frame_before_the_key_is_shown_ends_the_connection():
    async def scene():
        async with serving(url_of()) as (served, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.address.port)
            writer.write(struct.pack(">I", wire.MAX_HELLO + 1) + b"x" * 100)
            assert await asyncio.wait_for(reader.read(), 3) is not None  # the challenge, then the end
            writer.close()
            await until(lambda: served.clients() == ["client-0"])

    run(scene)


def test_who_does_not_greet_is_sent_away(monkeypatch):
    monkeypatch.setattr(server, "GREETING", 0.2)

    async def scene():
        async with serving(url_of()) as (served, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.address.port)
            writer.write(b"\0\0\0\x20")  # begins a greeting, and that is all
            said = await asyncio.wait_for(reader.read(), 5)
            assert b"no greeting" in said
            writer.close()

    run(scene)


def test_a_crowd_of_strangers_keeps_nobody_out(monkeypatch):
    monkeypatch.setattr(server, "MAX_STRANGERS", 8)

    async def scene():
        url = url_of()
        async with serving(url) as (served, _):
            crowd = [await asyncio.open_connection("127.0.0.1", served.address.port) for _ in range(20)]
            guest = ManagerBroker(url, name="guest", patience=0)
            await guest.connect()
            assert "guest" in served.clients()
            assert len(served._strangers) <= 8
            assert len(served._sessions) <= 8 + 1  # who is sent away holds no file handle either
            said = await asyncio.wait_for(crowd[0][0].read(), 3)
            assert b"too many come at once" in said
            await guest.close()
            for _, writer in crowd:
                writer.close()

    run(scene)


@pytest.mark.parametrize("noise", [b"", b"\0" * 64, b"GET / HTTP/1.1\r\n\r\n", b"\x80\x04\x95" + b"x" * 40])
def test_noise_is_turned_away_and_the_others_go_on(noise):
    async def scene():
        async with serving(url_of()) as (served, (broker,)):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.address.port)
            writer.write(noise)
            if not noise:
                writer.write_eof()
            await asyncio.wait_for(reader.read(), 3)
            writer.close()
            await broker.queue("q").put_many([b"x"], 5)

    run(scene)


def test_without_file_handles_the_server_waits_and_says_so_once(monkeypatch, caplog):
    monkeypatch.setattr(listening, "TAKE_AGAIN", 0.1)
    tries: list[float] = []

    plain = listening.Listener._accept

    def counted(listener: listening.Listener) -> None:
        tries.append(asyncio.get_running_loop().time())
        plain(listener)

    monkeypatch.setattr(listening.Listener, "_accept", counted)

    async def scene():
        url = url_of()
        served = ManagerServer(url)
        await served.start()
        with socket.socket() as knocking:
            with no_file_handles():
                knocking.connect(("127.0.0.1", served.address.port))
                await until(lambda: len(tries) >= 4)
            assert tries[3] - tries[0] >= 0.25  # the loop does not turn for it alone
            told = [r.getMessage() for r in caplog.records if "cannot take a client" in r.getMessage()]
            assert told == [
                "the queue server cannot take a client (Too many open files): allow it more open files (ulimit -n)"
            ]
            broker = ManagerBroker(url)
            await broker.connect()
            await broker.queue("q").put_many([b"x"], 5)
            await broker.close()
        with socket.socket() as knocking, no_file_handles():
            before = len(tries)
            knocking.connect(("127.0.0.1", served.address.port))
            await until(lambda: len(tries) > before)
            await served.close()  # during a pause
        before = len(tries)
        await asyncio.sleep(0.3)
        assert len(tries) == before, "it stays closed"

    run(scene)


# A server that comes again.


def test_clients_come_back_by_themselves_and_see_another_epoch():
    async def scene():
        url = url_of()
        first = ManagerServer(url)
        await first.start()
        broker = ManagerBroker(url)
        await broker.connect()
        old = await broker.epoch()
        await broker.queue("q").put_many([b"lost with the server"])
        await first.close()
        waiting = asyncio.create_task(broker.queue("q").get_many(1, 20))
        putting = asyncio.create_task(broker.queue("q").put_many([b"put while it is away"]))
        second = ManagerServer(url)
        await second.start()
        await putting
        assert [d.body for d in await waiting] == [b"put while it is away"]
        assert await broker.epoch() != old
        await broker.close()
        await second.close()

    run(scene)


def test_a_server_that_comes_back_with_another_key_is_said_once(caplog):
    async def scene():
        url = url_of()
        first = ManagerServer(url)
        await first.start()
        broker = ManagerBroker(url)
        await broker.connect()
        await first.close()
        second = ManagerServer(url.replace(KEY, "quite-another-key-now"))
        await second.start()
        await until(lambda: "key is wrong: give every process the same one; trying on" in caplog.text)
        await second.close()
        third = ManagerServer(url)
        await third.start()
        await broker.queue("q").put_many([b"x"], 10)
        await broker.close()
        await third.close()

    run(scene)


def test_a_server_that_falls_silent_is_left_and_found_again(monkeypatch, caplog):
    """Something between goes on confirming packets, so the kernel notices nothing."""
    monkeypatch.setattr(client, "QUIET", 0.2)
    monkeypatch.setattr(client, "SILENT", 0.5)

    async def scene():
        url = url_of()
        async with serving(url) as (_, (near,)):
            port = address_of(url).port
            with Relay(("127.0.0.1", port)) as relay:
                relay.fault = Fault(2, SILENT)  # the challenge, the welcome, and no more
                far = ManagerBroker(url.replace(str(port), str(relay.port)), name="far")
                await far.connect()
                relay.fault = None
                await far.queue("q").put_many([b"x"])
                found = await near.queue("q").get_many(10, 10)
                assert {one.body for one in found} == {b"x"}  # it was put again, for nobody confirmed it
                connections = relay.connections
                for n in range(3):  # it is idle, and then used: neither ends the connection
                    await asyncio.sleep(1)
                    await far.queue("q").put_many([b"%d" % n])
                assert relay.connections == connections
                await far.close()

    run(scene)
    assert caplog.text.count("it has said nothing for 1 s") == 1


def test_a_server_that_dies_right_after_its_welcome_is_tried_again():
    """The end comes together with the welcome, before the client has taken the connection as its own."""

    async def scene():
        url = url_of()
        greeted = 0

        async def dying(reader, writer):
            nonlocal greeted
            nonce = b"n" * wire.NONCE
            writer.write(wire.frame(wire.Challenge(wire.PROTOCOL, nonce)))
            (length,) = struct.unpack(">I", await reader.readexactly(4))
            hello = wire.read_to_server(await reader.readexactly(length))
            assert isinstance(hello, wire.Hello)
            proof = wire.proof(KEY.encode(), b"server", nonce, hello.nonce)
            writer.write(wire.frame(wire.Welcome("e" * 32, proof)))
            writer.close()
            greeted += 1

        first = ManagerServer(url)
        await first.start()
        broker = ManagerBroker(url)
        await broker.connect()
        old = await broker.epoch()
        await first.close()
        other = await asyncio.start_server(dying, "127.0.0.1", address_of(url).port)
        await until(lambda: greeted >= 2)
        other.close()
        await other.wait_closed()
        second = ManagerServer(url)
        await second.start()
        await broker.queue("q").put_many([b"x"], 10)
        assert await broker.epoch() not in (old, "e" * 32)
        await broker.close()
        await second.close()

    run(scene)


# A host that vanishes.


@contextmanager
def another_host() -> Iterator[tuple[str, str, str]]:
    """A network namespace behind a cable: (its name, the cable's end here, this host's address as seen from there)."""
    ip = needs.binary("ip", "iproute2")
    name, here, there = f"ck{free_port()}", f"cka{free_port()}"[:15], f"ckb{free_port()}"[:15]
    net = free_port() % 250

    def do(*words: str) -> None:
        subprocess.run([ip, *words], check=True, capture_output=True)

    try:
        do("netns", "add", name)
    except subprocess.CalledProcessError:
        needs.missing("network namespaces (the right to make them)")
    try:
        do("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        do("addr", "add", f"10.213.{net}.1/24", "dev", here)
        do("link", "set", here, "up")
        do("-n", name, "addr", "add", f"10.213.{net}.2/24", "dev", there)
        do("-n", name, "link", "set", there, "up")
        yield name, here, f"10.213.{net}.1"
    finally:
        subprocess.run([ip, "netns", "del", name], check=False)
        subprocess.run([ip, "link", "del", here], check=False, capture_output=True)


@pytest.mark.faults
def test_what_a_host_held_goes_back_within_ten_seconds_after_it_was_cut_off():
    async def scene(name: str, cable: str, address: str) -> None:
        loop = asyncio.get_running_loop()
        url = url_of(address)
        async with serving(url) as (served, (broker,)):
            queue = broker.queue("work")
            await queue.put_many([b"%d" % n for n in range(40)])
            command = ["ip", "netns", "exec", name, sys.executable, "-m", "tests.message_queue.queue_processes"]
            far = await asyncio.create_subprocess_exec(*command, "consume", url, cwd=ROOT, stdout=subprocess.PIPE)
            assert far.stdout is not None
            done = (await asyncio.wait_for(far.stdout.readline(), 20)).split()
            assert len(done) == 20
            assert served.sizes()["work"].unacked == 10
            pull = await asyncio.create_subprocess_exec("ip", "link", "set", cable, "down")
            assert await pull.wait() == 0
            cut = loop.time()
            await until(lambda: served.sizes()["work"].unacked == 0, 20)
            assert loop.time() - cut < 10
            got = [d.body for d in await queue.get_many(100, 5)]
            assert sorted(got) == sorted(b"%d" % n for n in range(40) if b"%d" % n not in done)
            with contextlib.suppress(ProcessLookupError):
                far.kill()
            await far.wait()

    with another_host() as found:
        run(lambda: scene(*found), 60)
