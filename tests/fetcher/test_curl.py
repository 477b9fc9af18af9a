"""The transport: connections and handles that are used again, proxies, the address guard, bounds."""

from __future__ import annotations

import asyncio
import base64
import gc
import socket

import psutil
import pytest

from crawlkit.fetcher.curl import default_ca_file, parse_head
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


@pytest.mark.parametrize(
    ("lines", "status", "reason", "headers"),
    [
        ([b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", b"\r\n"], 200, "OK", [("A", "b")]),
        ([b"HTTP/2 404 \r\n", b"a:b:c\r\n"], 404, "", [("a", "b:c")]),
        (
            [b"HTTP/1.1 100 Continue\r\n", b"\r\n", b"HTTP/1.1 201 Made it so\r\n", b"X:\r\n", b"\r\n", b"T: t\r\n"],
            201,
            "Made it so",
            [("X", "")],
        ),
    ],
)
def test_parse_head(lines: list[bytes], status: int, reason: str, headers: list[tuple[str, str]]) -> None:
    assert parse_head(lines) == (status, reason, headers)


@pytest.mark.parametrize("lines", [[], [b"HTTP/1.1\r\n"], [b"HTTP/1.1 OK\r\n"], [b"HTTP/1.1 20 OK\r\n"]])
def test_parse_head_refuses(lines: list[bytes]) -> None:
    with pytest.raises(FetchError) as caught:
        parse_head(lines)
    assert caught.value.kind == "protocol"
