"""The transport: connections and handles that are used again, proxies, the address guard, bounds."""

from __future__ import annotations

import asyncio
import base64
import gc
import socket

import psutil
import pycurl
import pytest

from crawlkit.fetcher import curl, request
from crawlkit.fetcher.curl import default_ca_file
from crawlkit.libs.errors import FetchError
from tests.fetcher.helpers import answer, dispatch, fetch, fetcher, in_loop, raw_server, read_request, site, wait_for
from tests.fetcher.proxies import proxy


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
