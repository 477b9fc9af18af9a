"""The relay by real sockets: who may use it, where it connects, what it counts, and how it ends."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import psutil
import pytest

from crawlkit.browser import dial, peers, relay
from crawlkit.libs.errors import FetchError
from tests.browser.relayed import PUBLIC, names, one_public_address, refused, through
from tests.fetcher.helpers import answer, in_loop, raw_server, site, wait_for
from tests.needs import missing

MIB = 2**20


@pytest.fixture
def public() -> Iterator[None]:
    with one_public_address():
        yield


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says something without end to whoever says anything."""
    await reader.read(1)
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def read_all(reader: asyncio.StreamReader) -> None:
    """Keeps nothing."""
    while await reader.read(65_536):
        pass


@in_loop
async def test_what_goes_in_comes_out() -> None:
    body = random.Random(1).randbytes(8 * MIB)
    async with raw_server(echo) as port, relay.open(guarded=False) as door:
        reader, writer = await through(door, "127.0.0.1", port)
        back = asyncio.create_task(reader.readexactly(len(body)))
        writer.write(body)
        assert hashlib.sha256(await back).digest() == hashlib.sha256(body).digest()
        assert (door.sent, door.received, door.bytes) == (len(body), len(body), 2 * len(body))
        assert (door.refused, door.closed_by, door.opened) == ([], None, 1)
        writer.close()
        await wait_for(lambda: not door.near)


@in_loop
async def test_an_answer_that_ends_by_closing_comes_whole() -> None:
    body = random.Random(2).randbytes(3 * MIB)

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(body))
        await writer.drain()

    async with raw_server(once) as port, relay.open(guarded=False) as door:
        reader, writer = await through(door, "localhost", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await asyncio.sleep(0.2)  # a reader who is late: what is closed meanwhile is still delivered
        assert (await reader.read()).endswith(body)
        writer.close()


@in_loop
async def test_an_answer_that_is_broken_off_looks_so() -> None:
    """A reset must not become an end: a page without a length would be taken for a whole one."""

    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
        await writer.drain()
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, relay._RESET)
        writer.transport.abort()

    async with raw_server(broken) as port, relay.open(guarded=False) as door:
        reader, writer = await through(door, "127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"half of it")
        writer.write(b"!")
        with pytest.raises(ConnectionResetError):
            await reader.read()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0.0.0.0", "0", "127.1", "0x7f.1", "2130706433", "017700000001", "::1", "::",
     "::ffff:127.0.0.1", "::ffff:7f00:1", "64:ff9b::7f00:1", "fe80::1", "fd00::1", "10.0.0.1", "169.254.169.254",
     "192.168.1.1", "100.64.0.1", "224.0.0.1", "255.255.255.255", "inward.example", "both.example"],
)  # fmt: skip
@in_loop
async def test_private_addresses_are_refused(host: str) -> None:
    both = ["127.0.0.2", "::1"]
    known = names({"localhost": ["127.0.0.1", "::1"], "inward.example": ["127.0.0.1"], "both.example": both})
    resolve = known if "." not in host or "example" in host else None  # numbers are read by the system, as ever
    async with site() as server, relay.open(guarded=True, resolve=resolve) as door:
        await refused(door, host, server.port)
        assert server.connections == 0
        assert [name for name, _ in door.refused] == [host]
        failure = door.failure_of(f"http://{f'[{host}]' if ':' in host else host}:{server.port}/x")
        assert failure is not None
        assert failure.kind == "address"


@pytest.mark.usefixtures("public")
@in_loop
async def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    """A name that is public at first and private later: nothing comes to the private address, at no turn."""
    turns = iter([[PUBLIC], ["127.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC]])
    asked = 0

    def turn() -> list[str]:
        nonlocal asked
        asked += 1
        return next(turns)

    async def at(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(writer.get_extra_info("sockname")[0].encode() + b"\n")

    server = await asyncio.start_server(at, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    resolve = names({"rebound.example": turn})
    async with server:
        for number in range(3):
            async with relay.open(guarded=True, resolve=resolve) as door:
                if number == 1:
                    await refused(door, "rebound.example", port)
                    continue
                for _ in range(3):  # the answer holds for the whole task
                    reader, writer = await through(door, "rebound.example", port)
                    assert await reader.readline() == PUBLIC.encode() + b"\n"
                    writer.close()
        assert asked == 3


@pytest.mark.usefixtures("public")
@in_loop
async def test_one_private_address_among_several() -> None:
    """The public one is taken; where it does not answer, the task is told of the guard, as with plain fetches."""
    closed = socket.socket()
    closed.bind((PUBLIC, 0))
    async with relay.open(guarded=True, resolve=names({"both.example": ["10.0.0.1", PUBLIC]})) as door:
        port = closed.getsockname()[1]
        await refused(door, "both.example", port)
        assert door.refused == [("both.example", "10.0.0.1 is private")]
        closed.close()
        server = await asyncio.start_server(echo, PUBLIC, port)
        async with server:
            reader, writer = await through(door, "both.example", port)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.close()
            assert door.failure_of(f"http://both.example:{port}/") is None


@in_loop
async def test_why_a_connection_did_not_come_about() -> None:
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    never = asyncio.Event()

    async def resolve(host: str, port: int) -> list[tuple[int, int, int, str, object]]:
        if host == "slow.example":
            await never.wait()
        return await names({})(host, port)

    async with relay.open(guarded=False, connect_timeout=0.3, resolve=resolve) as door:
        for host, kind in (("127.0.0.1", "connect"), ("missing.example", "dns"), ("slow.example", "connect_timeout")):
            await refused(door, host, port)
            failure = door.failure_of(f"https://{host.upper()}:{port}/")
            assert isinstance(failure, FetchError)
            assert (failure.kind, door.refused) == (kind, [])
        assert door.failure_of("https://other.example/") is None
        assert door.failure_of("https://x:99999999/") is None


@in_loop
async def test_names_are_looked_up_by_the_system() -> None:
    async with site() as server, relay.open(guarded=False) as door:
        server.on("/", answer(b"x"))
        reader, writer = await through(door, "localhost", server.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()
        await refused(door, "no-such-name.invalid", 80)
        failure = door.failure_of("http://no-such-name.invalid/")
        assert failure is not None
        assert failure.kind == "dns"


@in_loop
async def test_names_that_take_for_ever_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that looks up cannot be broken off; so there is an end to their number."""
    answered = threading.Event()
    monkeypatch.setattr(dial, "_slots", threading.BoundedSemaphore(3))
    monkeypatch.setattr(dial.socket, "getaddrinfo", lambda *_, **__: answered.wait(20) and [])
    async with relay.open(guarded=False, connect_timeout=0.2) as door:
        for number in range(3):
            await refused(door, f"slow{number}.example", 80)
        await refused(door, "slow3.example", 80)
        kinds = [door.failure_of(f"http://slow{number}.example/") for number in range(4)]
        assert [one.kind for one in kinds if one] == ["connect_timeout"] * 3 + ["overload"]
    answered.set()
    await wait_for(lambda: dial._slots.acquire(blocking=False))


@in_loop
async def test_a_name_that_failed_is_asked_for_again() -> None:
    turns = iter([[], ["127.0.0.1"], ["10.0.0.1"]])
    async with raw_server(echo) as port, relay.open(guarded=False, resolve=resolver(turns)) as door:
        await refused(door, "late.example", port)
        for _ in range(2):  # and what it said then holds
            _, writer = await through(door, "late.example", port)
            writer.close()


def resolver(turns: Iterator[list[str]]) -> dial.Resolve:
    """Answers in turn; an empty answer is an error."""

    async def resolve(host: str, port: int) -> list[dial.Address]:
        found = next(turns)
        if not found:
            raise FetchError("dns", f"{host}: not now")
        return await names({host: found})(host, port)

    return resolve


@in_loop
async def test_a_fault_of_ours_is_an_answer_too() -> None:
    async def resolve(host: str, port: int) -> list[dial.Address]:
        raise ZeroDivisionError("oh")

    async with relay.open(guarded=False, resolve=resolve) as door:
        await refused(door, "a.example", 80)
        failure = door.failure_of("http://a.example/")
        assert failure is not None
        assert (failure.kind, str(failure)) == ("internal", "ZeroDivisionError: oh")


@in_loop
async def test_the_share_of_bytes() -> None:
    async with raw_server(pour) as port, relay.open(guarded=False, max_bytes=5 * MIB) as door:
        other, idle = await through(door, "127.0.0.1", port)
        reader, writer = await through(door, "127.0.0.1", port)
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await read_all(reader)
        await door.over.wait()
        assert door.closed_by == "too_large"
        assert 5 * MIB < door.bytes <= 5 * MIB + 2 * 256 * 1024
        with pytest.raises(ConnectionResetError):
            await other.read()
        with pytest.raises(ConnectionRefusedError):
            await through(door, "127.0.0.1", port)
        assert not door.near
        idle.close()


@in_loop
async def test_what_is_sent_counts_as_well() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            pass

    async with raw_server(swallow) as port, relay.open(guarded=False, max_bytes=MIB) as door:
        reader, writer = await through(door, "127.0.0.1", port)
        reader.feed_data(b"go")
        with pytest.raises(ConnectionError):
            await pour(reader, writer)
        assert door.closed_by == "too_large"


@in_loop
async def test_who_reads_slowly_gets_it_slowly() -> None:
    """No more is kept than the buffers of one connection, whatever the far side pours."""
    async with raw_server(pour) as port, relay.open(guarded=False) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(door.url.rpartition(":")[2]), limit=1024)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        writer.write(b"\x05\x01\x00\x05\x01\x00\x03\x09127.0.0.1" + port.to_bytes(2, "big") + b"x")
        assert (await reader.readexactly(12))[3] == 0
        [near] = door.near
        await wait_for(lambda: near.other is not None and not near.other.transport.is_reading())
        held = door.received
        assert near.transport.get_write_buffer_size() <= relay.HIGH_WATER + 256 * 1024
        for _ in range(20):
            await asyncio.sleep(0)
        assert door.received == held
        for _ in range(200):
            await reader.readexactly(65_536)
        assert door.received > held
        writer.close()


@in_loop
async def test_connections_at_once() -> None:
    async with raw_server(echo) as port, relay.open(guarded=False, max_connections=3) as door:
        held = [await through(door, "127.0.0.1", port) for _ in range(3)]
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await through(door, "127.0.0.1", port)
        held.pop()[1].close()
        await wait_for(lambda: len(door.near) == 2)
        held.append(await through(door, "127.0.0.1", port))
        assert door.closed_by is None
        for _, writer in held:
            writer.close()


@in_loop
async def test_everything_is_closed_with_the_door() -> None:
    ends: list[bytes | None] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            ends.append(await reader.read())
        except ConnectionError:
            ends.append(None)

    never = asyncio.Event()

    async def resolve(host: str, port: int) -> list[tuple[int, int, int, str, object]]:
        if host == "slow.example":
            await never.wait()
        return await names({})(host, port)

    before = psutil.Process().num_fds()
    async with raw_server(listen) as port:
        async with relay.open(guarded=False, resolve=resolve) as door:
            held = [await through(door, "127.0.0.1", port) for _ in range(5)]
            waiting = asyncio.create_task(through(door, "slow.example", port))
            await wait_for(lambda: door.opened == 6)
        for reader, writer in held:
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await waiting
        await wait_for(lambda: len(ends) == 5)
        with pytest.raises(ConnectionRefusedError):
            await through(door, "127.0.0.1", port)
        assert not door.near
    await wait_for(lambda: psutil.Process().num_fds() <= before)


@in_loop
async def test_who_gives_up_while_it_connects_leaves_nothing() -> None:
    never = asyncio.Event()
    ended = asyncio.Event()

    async def resolve(host: str, port: int) -> list[tuple[int, int, int, str, object]]:
        try:
            await never.wait()
        finally:
            ended.set()
        return []

    async with relay.open(guarded=False, resolve=resolve) as door:
        waiting = asyncio.create_task(through(door, "slow.example", 80))
        await wait_for(lambda: door.opened == 1)
        waiting.cancel()
        [near] = door.near
        near.transport.abort()
        await wait_for(lambda: not door.near)
    await ended.wait()  # the look-up itself is the door's, and ends with it


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x05\xff"),
        (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", b"\x05\xff"),
        (b"\x05\x01\x02", b"\x05\xff"),
        (b"\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", b"\x05\x00" + b"\x05\x04\x00\x01" + bytes(6)),
        (b"\x05\x01\x00\x05\x03\x00\x01\x7f\x00\x00\x01\x00\x50", b"\x05\x00" + b"\x05\x04\x00\x01" + bytes(6)),
        (b"\x05\x01\x00\x05\x01\x00\x03\x03a b\x00\x50", b"\x05\x00" + b"\x05\x04\x00\x01" + bytes(6)),
    ],
)
@in_loop
async def test_who_speaks_otherwise(said: bytes, answer: bytes) -> None:
    async with relay.open(guarded=False) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(door.url.rpartition(":")[2]))
        writer.write(said)
        assert await reader.read() == answer
        writer.close()
        assert door.opened == 0


@in_loop
async def test_what_is_said_too_early_waits_or_is_cut() -> None:
    never = asyncio.Event()

    async def resolve(host: str, port: int) -> list[tuple[int, int, int, str, object]]:
        await never.wait()
        return await names({"slow.example": ["127.0.0.1"]})(host, port)

    request = b"\x05\x01\x00\x05\x01\x00\x03\x0cslow.example"
    async with raw_server(echo) as port, relay.open(guarded=False, resolve=resolve) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(door.url.rpartition(":")[2]))
        greedy, flood = await asyncio.open_connection("127.0.0.1", int(door.url.rpartition(":")[2]))
        writer.write(request + port.to_bytes(2, "big") + b"early")
        flood.write(request + port.to_bytes(2, "big") + b"x" * MIB)
        with pytest.raises(ConnectionResetError):
            await greedy.read()
        flood.close()
        never.set()
        assert (await reader.readexactly(12 + 5)).endswith(b"early")
        writer.close()


@in_loop
async def test_other_users_of_the_machine_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(echo) as port, relay.open(guarded=False) as door:
        with monkeypatch.context() as patch:
            patch.setattr(relay.os, "geteuid", lambda: os.getuid() + 1)
            with pytest.raises(ConnectionError):
                await through(door, "127.0.0.1", port)
        assert (door.strangers, door.opened) == (1, 0)
        _, writer = await through(door, "127.0.0.1", port)
        writer.close()


SPEAK = """
import encodings.idna, os, socket, sys
os.setuid(65534)
end = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
words = b"\\x05\\x01\\x00\\x05\\x01\\x00\\x03\\x09127.0.0.1" + int(sys.argv[2]).to_bytes(2, "big") + b"hello"
try:
    end.sendall(words)
    if sys.argv[3] == "stay":
        sys.exit(len(end.recv(100)))
except ConnectionResetError:
    sys.exit(0)
"""


@pytest.mark.parametrize("how", ["stay", "leave"])
@in_loop
async def test_a_real_other_user(how: str) -> None:
    """Also one who has sent everything and is gone before anybody looks: his socket is nobody's then."""
    if os.geteuid() != 0:
        missing("root, to be another user")
    async with site() as server, relay.open(guarded=False) as door:
        port = door.url.rpartition(":")[2]
        arguments = [sys.executable, "-c", SPEAK, port, str(server.port), how]
        if how == "leave":  # the loop stands still until he is gone
            assert subprocess.run(arguments, timeout=20, check=False).returncode == 0  # noqa: ASYNC221
        else:
            process = await asyncio.create_subprocess_exec(*arguments)
            assert await process.wait() == 0
        await wait_for(lambda: door.strangers == 1)
        assert (door.opened, server.connections) == (0, 0)


def test_whose_a_socket_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        pair = client.getsockname(), server.getsockname()
        assert peers.uid_of(*pair) == peers._by_table(*pair) == os.geteuid()
        assert not peers.blind()
        client.close()
        assert peers.uid_of(*pair) is peers._by_table(*pair) is None
    assert peers.uid_of(("127.0.0.1", 1), ("127.0.0.1", 2)) is None
