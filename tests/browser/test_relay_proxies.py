"""Doors that go by the task's own proxy: of each kind, over TLS, with the guard on, and proxies that fail."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest
import trustme

from crawlkit.browser import relay
from crawlkit.libs.proxy import Proxy
from tests.browser.relayed import PUBLIC, names, one_public_address, refused, through
from tests.fetcher import proxies
from tests.fetcher.helpers import Handler, answer, in_loop, raw_server, site


async def get(door: relay.Door, host: str, port: int) -> bytes:
    """The answer to a request by the door, up to its end."""
    reader, writer = await through(door, host, port)
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    text = await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(5)
    writer.close()
    return text


@in_loop
async def test_by_connect_with_credentials() -> None:
    async with site() as server, proxies.proxy("u:p") as own:
        server.on("/", answer(b"hello"))
        async with relay.open(guarded=False, proxy=Proxy("http", "127.0.0.1", own.port, "u", "p")) as door:
            assert (await get(door, "localhost", server.port)).endswith(b"hello")
            assert [method for method, _ in own.seen] == ["CONNECT"]
            assert door.received > 0
        for proxy in (Proxy("http", "127.0.0.1", own.port), Proxy("http", "127.0.0.1", own.port, "u", "wrong")):
            async with relay.open(guarded=False, proxy=proxy) as door:
                await refused(door, "localhost", server.port)
                failure = door.failure_of(f"http://localhost:{server.port}/")
                assert failure is not None
                assert (failure.kind, str(failure)) == ("proxy", "the proxy answered 407 to CONNECT")
        assert server.connections == 1


@in_loop
async def test_by_a_proxy_that_speaks_tls() -> None:
    authority = trustme.CA()
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    authority.configure_trust(trusting)
    async with site() as server, proxies.proxy(tls=serving) as own:
        server.on("/", answer(b"hello"))
        proxy = Proxy("https", "127.0.0.1", own.port)
        async with relay.open(guarded=False, proxy=proxy, tls=trusting) as door:
            assert (await get(door, "localhost", server.port)).endswith(b"hello")
        async with relay.open(guarded=False, proxy=proxy) as door:
            await refused(door, "localhost", server.port)
            failure = door.failure_of(f"http://localhost:{server.port}/")
            assert failure is not None
            assert failure.kind == "proxy"
            assert "certificate" in str(failure)


@pytest.mark.parametrize(
    ("server", "proxy", "host", "fine"),
    [
        (proxies.socks5, Proxy("socks5h", "127.0.0.1", 1, "u", "p"), "far.example", True),
        (proxies.socks5, Proxy("socks5", "127.0.0.1", 1, "u", "p"), "near.example", True),
        (proxies.socks5, Proxy("socks5h", "127.0.0.1", 1, "u", "x"), "far.example", False),
        (proxies.socks5, Proxy("socks5h", "127.0.0.1", 1), "far.example", False),
        (proxies.socks4, Proxy("socks4a", "127.0.0.1", 1, "u"), "far.example", True),
        (proxies.socks4, Proxy("socks4", "127.0.0.1", 1, "u"), "near.example", True),
        (proxies.socks4, Proxy("socks4", "127.0.0.1", 1, "x"), "near.example", False),
    ],
)
@in_loop
async def test_by_socks_of_every_kind(server: Handler, proxy: Proxy, host: str, fine: bool) -> None:
    """``near.example`` is known here only and ``far.example`` there only."""
    async with site() as target, raw_server(server) as port:
        target.on("/", answer(b"hello"))
        own = proxy._replace(port=port)
        async with relay.open(guarded=False, proxy=own, resolve=names({"near.example": ["127.0.0.1"]})) as door:
            if fine:
                assert (await get(door, host, target.port)).endswith(b"hello")
            else:
                await refused(door, host, target.port)
                failure = door.failure_of(f"http://{host}:{target.port}/")
                assert failure is not None
                assert failure.kind == "proxy"


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def strange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"220 mail.example ESMTP\r\n\r\n")
    await reader.read()


@pytest.mark.parametrize("scheme", ["http", "socks5h", "socks4a"])
@pytest.mark.parametrize(("behaviour", "kind"), [(silent, "connect_timeout"), (rude, "proxy"), (strange, "proxy")])
@in_loop
async def test_proxies_that_fail(behaviour: Handler, kind: str, scheme: str) -> None:
    async with raw_server(behaviour) as port:
        proxy = Proxy(scheme, "127.0.0.1", port)
        async with relay.open(guarded=False, proxy=proxy, connect_timeout=0.5) as door:
            await refused(door, "a.example", 80)
            failure = door.failure_of("http://a.example/")
            assert failure is not None
            assert failure.kind == kind


@in_loop
async def test_proxies_that_are_not_there() -> None:
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    for host, port in (("127.0.0.1", closed.getsockname()[1]), ("no-such-proxy.example", 1)):
        async with relay.open(guarded=False, proxy=Proxy("http", host, port), resolve=names({})) as door:
            await refused(door, "a.example", 80)
            failure = door.failure_of("http://a.example/")
            assert failure is not None
            assert failure.kind == "proxy"
            assert host in str(failure)
    closed.close()


@pytest.mark.parametrize("scheme", ["http", "socks5h", "socks5"])
@in_loop
async def test_the_guard_behind_the_operators_proxy(scheme: str) -> None:
    """It may be private itself; what is asked of it may not, and it does not even hear of it."""
    inward = {"inward.example": ["10.0.0.1"]}
    async with proxies.proxy() as own:
        proxy = Proxy(scheme, "127.0.0.1", own.port, trusted=True)
        async with relay.open(guarded=True, proxy=proxy, resolve=names(inward)) as door:
            for host in ("127.0.0.1", "localhost", "x.internal", "0x7f.1", "2130706433", "::1", "fd00::1", "10.0.0.1"):
                await refused(door, host, 80)
            if scheme == "socks5":  # whose names are looked up here
                await refused(door, "inward.example", 80)
            assert door.refusals == len(door.refused) == (9 if scheme == "socks5" else 8)
        assert own.seen == []


@in_loop
async def test_a_task_may_not_name_a_private_proxy() -> None:
    async with site() as own:
        for host in ("127.0.0.1", "localhost", "[::1]", "inward.example"):
            proxy = Proxy("http", host, own.port)
            resolve = names({"inward.example": ["127.0.0.1"], "a.example": [PUBLIC]})
            async with relay.open(guarded=True, proxy=proxy, resolve=resolve) as door:
                await refused(door, "a.example", 80)
                failure = door.failure_of("http://a.example/")
                assert failure is not None
                assert failure.kind == "address"
        assert own.connections == 0


@in_loop
async def test_a_public_proxy_of_a_task() -> None:
    with one_public_address():
        server = await asyncio.start_server(proxies.Proxy().serve, PUBLIC, 0)
        port = server.sockets[0].getsockname()[1]
        async with server, site() as target:
            target.on("/", answer(b"hello"))
            proxy = Proxy("http", "proxy.example", port)
            async with relay.open(guarded=True, proxy=proxy, resolve=names({"proxy.example": [PUBLIC]})) as door:
                # what a proxy of somebody else connects to is that one's affair; names are all that is seen of it
                await refused(door, "127.0.0.1", target.port)
                await refused(door, "a.example", 80)
                failure = door.failure_of("http://a.example/")
                assert failure is not None
                assert failure.kind == "proxy"


@in_loop
async def test_what_a_proxy_says_too_early_is_not_lost() -> None:
    async def eager(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await reader.read()

    async with raw_server(eager) as port:
        proxy = Proxy("http", "127.0.0.1", port)
        async with relay.open(guarded=False, proxy=proxy) as door:
            reader, writer = await through(door, "a.example", 80)
            assert await reader.readexactly(5) == b"hello"
            assert door.received == 5
            writer.close()
