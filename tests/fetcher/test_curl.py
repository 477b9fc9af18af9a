"""The transport: connections and handles that are used again, proxies, the address guard, bounds."""

from __future__ import annotations

import asyncio
import base64
import gc
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pycurl
import pytest

from crawlkit.fetcher import curl, request
from crawlkit.fetcher.curl import default_ca_file
from crawlkit.libs.errors import FetchError
from tests.fetcher.helpers import answer, dispatch, fetch, fetcher, in_loop, raw_server, read_request, site, wait_for


@in_loop
async def test_connections_are_used_again() -> None:
    async with site() as server, fetcher() as one:
        server.on("/", answer(b"x"))
        for number in range(20):
            assert (await one.fetch(dispatch(f"{server.url}/", taskid=str(number)))).status_code == 200
        assert server.connections == 1
        await asyncio.gather(*[one.fetch(dispatch(f"{server.url}/")) for _ in range(10)])
        assert 2 <= server.connections <= 10


@in_loop
async def test_a_connection_that_died_meanwhile_is_replaced() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer(b"x"))
        await writer.drain()

    async with raw_server(once) as port, fetcher() as one:
        for _ in range(5):
            assert (await one.fetch(dispatch(f"http://127.0.0.1:{port}/"))).content == b"x"


@in_loop
async def test_nothing_rides_on_with_a_handle() -> None:
    """The same handle serves one task after another: each sees only its own."""
    async with site() as server, proxy() as first, proxy() as second, fetcher(poolsize=1) as one:
        server.on("/", answer(b"x", headers="Set-Cookie: planted=1; Path=/\r\n"))
        rich = {
            "method": "POST", "data": b"body", "cookies": {"d": "2"},
            "headers": {"Authorization": "a", "X-Own": "b", "Cookie": "c=1"},
            "user_agent": "rich", "timeout": 5.0, "proxy": f"user:secret@127.0.0.1:{first.port}",
        }  # fmt: skip
        assert (await one.fetch(dispatch(f"{server.url}/", **rich))).cookies == {"c": "1", "d": "2", "planted": "1"}
        assert (await one.fetch(dispatch(f"{server.url}/", method="HEAD"))).content == b""
        plain = await one.fetch(dispatch(f"{server.url}/"))
        assert plain.cookies == {"planted": "1"}
        through = await one.fetch(dispatch(f"{server.url}/", proxy=f"127.0.0.1:{second.port}"))
        assert through.content == b"x"
        assert len(one.engine._idle) == 1
        line, headers, body = server.requests[0]
        assert (line, body) == ("POST / HTTP/1.1", b"body")
        assert "proxy-authorization" not in headers
        for line, headers, body in server.requests[2:]:
            assert (line, body) == ("GET / HTTP/1.1", b"")
            assert set(headers) - {"proxy-connection", "connection"} == {
                "host",
                "accept",
                "user-agent",
                "accept-encoding",
            }
        assert first.seen == [("POST", "Basic " + base64.b64encode(b"user:secret").decode())]
        assert second.seen == [("GET", None)]


class Proxy:
    def __init__(self) -> None:
        self.port = 0
        self.seen: list[tuple[str, str | None]] = []  # method and Proxy-Authorization
        self.wanted: str | None = None  # credentials without which it says 407

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, headers, body = await read_request(reader)
        method, target, _ = line.split()
        given = {name.lower(): value for name, value in headers}.get("proxy-authorization")
        self.seen.append((method, given))
        if self.wanted is not None and given != "Basic " + base64.b64encode(self.wanted.encode()).decode():
            writer.write(
                answer(b"who are you", "407 Proxy Authentication Required", "Proxy-Authenticate: Basic realm=x\r\n")
            )
            return
        where = target if method == "CONNECT" else target.split("/")[2]
        host, _, port = where.partition(":")
        upstream_reader, upstream = await asyncio.open_connection(host, int(port))
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\nX-Proxy: yes\r\n\r\n")
        else:
            path = "/" + target.split("/", 3)[3]
            kept = [f"{name}: {value}\r\n" for name, value in headers if name.lower() != "proxy-authorization"]
            upstream.write(
                f"{method} {path} HTTP/1.1\r\n{''.join(kept)}Connection: close\r\n\r\n".encode("latin-1") + body
            )
        await relay(reader, writer, upstream_reader, upstream)


async def relay(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far: asyncio.StreamReader,
    upstream: asyncio.StreamWriter,
) -> None:
    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()

    copies = [asyncio.create_task(copy(reader, upstream)), asyncio.create_task(copy(far, writer))]
    await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED, timeout=2)
    for one in copies:
        one.cancel()
    await asyncio.gather(*copies, return_exceptions=True)
    upstream.close()


@asynccontextmanager
async def proxy(wanted: str | None = None) -> AsyncIterator[Proxy]:
    made = Proxy()
    made.wanted = wanted
    async with raw_server(made.serve) as port:
        made.port = port
        yield made


@in_loop
async def test_http_proxy() -> None:  # T36
    async with site() as server, proxy("user:pa ss") as guarded:
        server.on("/x", lambda headers, body: b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
        address = f"127.0.0.1:{guarded.port}"
        denied = await fetch(f"{server.url}/x", proxy=address)
        assert (denied.status_code, denied.content) == (407, b"who are you")
        allowed = await fetch(f"{server.url}/x", proxy=f"http://user:pa%20ss@{address}")
        assert (allowed.status_code, allowed.content) == (200, b"x")
        async with fetcher(proxy=f"user:pa ss@{address}") as one:
            assert (await one.fetch(dispatch(f"{server.url}/x"))).content == b"x"
            before = len(guarded.seen)
            assert (await one.fetch(dispatch(f"{server.url}/x", proxy=False))).content == b"x"
            assert len(guarded.seen) == before
        gone = await fetch(f"{server.url}/x", proxy="127.0.0.1:1")
        assert gone.error_kind in {"proxy", "connect"}
        nowhere = await fetch(f"{server.url}/x", proxy="no-such-proxy.invalid:1")
        assert nowhere.error_kind == "proxy"
        assert all("proxy-authorization" not in headers for _, headers, _ in server.requests)


@in_loop
async def test_a_proxy_that_refuses_a_tunnel() -> None:
    async with proxy("user:secret") as guarded:
        fetched = await fetch("https://127.0.0.1:1/", proxy=f"127.0.0.1:{guarded.port}")
    assert (fetched.status_code, fetched.error_kind) == (599, "proxy")
    assert guarded.seen[0] == ("CONNECT", None)


@in_loop
async def test_proxy_of_the_environment_is_not_used() -> None:
    async with site() as server:
        server.on("/", answer(b"x"))
        with pytest.MonkeyPatch.context() as patch:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
                patch.setenv(name, "http://127.0.0.1:1")
            assert (await fetch(f"{server.url}/")).content == b"x"


async def socks5(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RFC 1928 and 1929, user ``u`` and password ``p``."""
    _, count = await reader.readexactly(2)
    methods = await reader.readexactly(count)
    if 2 not in methods:
        writer.write(b"\x05\xff")
        return
    writer.write(b"\x05\x02")
    _, size = await reader.readexactly(2)
    user = await reader.readexactly(size)
    [size] = await reader.readexactly(1)
    password = await reader.readexactly(size)
    writer.write(b"\x01\x00" if (user, password) == (b"u", b"p") else b"\x01\x01")
    if (user, password) != (b"u", b"p"):
        return
    _, _, _, kind = await reader.readexactly(4)
    if kind == 3:
        [size] = await reader.readexactly(1)
        host = (await reader.readexactly(size)).decode()
    else:
        host = socket.inet_ntoa(await reader.readexactly(4))
    [port] = struct.unpack("!H", await reader.readexactly(2))
    far, upstream = await asyncio.open_connection("127.0.0.1" if host == "far.example" else host, port)
    writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
    await relay(reader, writer, far, upstream)


@in_loop
async def test_socks_proxy() -> None:
    async with site() as server, raw_server(socks5) as port:
        server.on("/", answer(b"x"))
        assert (await fetch(f"{server.url}/", proxy=f"socks5://u:p@127.0.0.1:{port}")).content == b"x"
        named = await fetch(f"http://far.example:{server.port}/", proxy=f"socks5h://u:p@127.0.0.1:{port}")
        assert named.content == b"x"
        refused = await fetch(f"{server.url}/", proxy=f"socks5://u:wrong@127.0.0.1:{port}")
        assert (refused.status_code, refused.error_kind) == (599, "proxy")


PRIVATE = [
    "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://localhost.:{port}/", "http://0x7f.1:{port}/", "http://2130706433:{port}/",
    "http://017700000001:{port}/", "http://127.1:{port}/", "http://[::1]:{port}/", "http://[::ffff:127.0.0.1]:{port}/",
    "http://0.0.0.0:{port}/", "http://0:{port}/", "http://169.254.169.254/latest/", "http://10.255.255.1/", "http://[fe80::1]/",
    "http://①②⑦.⓪.⓪.①:{port}/", "http://127.0.0.1.:{port}/",
]  # fmt: skip


@pytest.mark.parametrize("url", PRIVATE)
@in_loop
async def test_private_addresses_are_refused(url: str) -> None:
    async with site() as server, fetcher(allow_private=False) as one:
        url = url.format(port=server.port)
        began = asyncio.get_running_loop().time()
        fetched = await one.fetch(dispatch(url, timeout=5.0))
        assert (fetched.status_code, fetched.error_kind) == (599, "address"), fetched.error
        assert asyncio.get_running_loop().time() - began < 1
        robots = await one.fetch(dispatch(url, timeout=5.0, robots_txt=True))
        assert robots.error_kind in {"address", "robots"}
        proxied = await one.fetch(dispatch("http://example.com/", timeout=5.0, proxy=f"127.0.0.1:{server.port}"))
        assert proxied.error_kind == "address"
        assert server.connections == 0


@in_loop
async def test_the_operators_proxy_may_be_private_but_not_its_targets() -> None:
    async with site() as server, proxy() as own, fetcher(allow_private=False, proxy=f"127.0.0.1:{own.port}") as one:
        for host in ("127.0.0.1", "localhost", "x.internal", "0x7f.1"):
            fetched = await one.fetch(dispatch(f"http://{host}:{server.port}/"))
            assert fetched.error_kind == "address"
        assert own.seen == []
        through = await one.fetch(dispatch("http://example.invalid:1/"))
        assert through.error_kind != "address"
        assert len(own.seen) == 1


@in_loop
async def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    """A name that resolves to a private address: the check sits in the connection itself, not before it."""
    async with site() as server, fetcher(allow_private=False) as one:
        rebound = f"http://rebound.example:{server.port}/"
        session = one.engine.session()

        def configured(handle: pycurl.Curl, plan: request.Plan, engine: curl.Engine) -> None:
            original(handle, plan, engine)
            handle.setopt(pycurl.RESOLVE, [f"rebound.example:{server.port}:127.0.0.1"])

        original = curl.configure
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(curl, "configure", configured)
            with pytest.raises(FetchError) as caught:
                await session.send(request.plan_of(dispatch(rebound), one.settings))
        session.close()
        assert caught.value.kind == "address"
        assert server.connections == 0


@in_loop
async def test_a_cancelled_fetch_leaves_nothing() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000)
        await reader.read()

    async with raw_server(silent) as port, fetcher() as one:
        tasks = [asyncio.create_task(one.fetch(dispatch(f"http://127.0.0.1:{port}/"))) for _ in range(5)]
        await wait_for(lambda: one.engine.inflight.bytes > 400_000)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(one.engine.loop) == 0
        assert one.engine.inflight.bytes == 0


@in_loop
async def test_more_sockets_than_select_can_hold() -> None:
    held = [socket.socket() for _ in range(1100)]
    try:
        async with site() as server, fetcher() as one:
            server.on("/", answer(b"x"))
            assert {
                fetched.content
                for fetched in await asyncio.gather(*[one.fetch(dispatch(f"{server.url}/")) for _ in range(20)])
            } == {b"x"}
    finally:
        for one_held in held:
            one_held.close()


@in_loop
async def test_descriptors_are_given_back() -> None:
    async with site() as server:
        server.on("/", answer(b"x"))
        await fetch(f"{server.url}/")
        gc.collect()
        before = psutil.Process().num_fds()
        for _ in range(5):
            async with fetcher() as one:
                await asyncio.gather(*[one.fetch(dispatch(f"{server.url}/")) for _ in range(10)])
        gc.collect()
        await wait_for(lambda: psutil.Process().num_fds() <= before + 2)


def test_certificates_are_found() -> None:
    assert default_ca_file()
