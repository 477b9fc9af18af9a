"""The transport: connections and handles that are used again, proxies, the address guard, bounds."""

from __future__ import annotations

import asyncio
import base64
import gc
import socket

import psutil
import pytest

from crawlkit.fetcher.curl import Answer
from crawlkit.fetcher.curl_options import default_ca_file
from crawlkit.fetcher.flight import Flight
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
async def test_a_handle_that_serves_the_same_kind_of_task_again_has_nothing_of_the_last_one() -> None:
    """Its options stay, for they are the same; cookies go, wherever in an answer they stood."""
    async with site() as server, fetcher(poolsize=1) as one:
        for path, reply in {
            "/head": answer(b"x", headers="SET-cookie: a=1; Path=/\r\n"),
            "/interim": b"HTTP/1.1 103 Hints\r\nSet-Cookie: b=1; Path=/\r\n\r\n" + answer(b"x"),
            "/trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie\r\n\r\n1\r\nx\r\n0\r\n"
            b"Set-Cookie: c=1; Path=/\r\n\r\n",
            "/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nSet-Cookie: d=1; Path=/\r\n\r\nx",
            "/none": answer(b"x"),
        }.items():
            server.on(path, reply)
        handles = set()
        for path in ("/none", "/none", "/head", "/none", "/interim", "/none", "/trailer", "/none", "/cut", "/none"):
            timeout = 0.3 if path == "/cut" else 20.0  # a handle that goes over to other options and back
            await one.fetch(dispatch(f"{server.url}{path}", headers={"X-Own": "b"}, timeout=timeout))
            handles |= {id(transfer.handle) for transfer in one.engine._idle}
        await one.fetch(dispatch(f"{server.url}/none"))
        assert len(handles) == 1
        assert [headers.get("cookie") for _, headers, _ in server.requests] == [None] * 11
        assert [headers.get("x-own") for _, headers, _ in server.requests] == ["b"] * 10 + [None]


@in_loop
async def test_who_is_the_next_of_a_server_goes_when_a_connection_is_free() -> None:
    let_go = asyncio.Semaphore(0)
    order: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line, _, _ = await read_request(reader)
            order.append(line.split()[1])
            await let_go.acquire()
            writer.write(answer(b"x"))

    async with raw_server(serve) as port, site() as other, fetcher(host_connections=2) as one:
        other.on("/", answer(b"x"))
        fetches = []
        for number in range(6):
            timeout = 0.3 if number == 3 else 20.0
            fetches.append(
                asyncio.create_task(one.fetch(dispatch(f"http://127.0.0.1:{port}/{number}", timeout=timeout)))
            )
        await wait_for(lambda: len(order) == 2)
        assert (await one.fetch(dispatch(f"{other.url}/"))).content == b"x"  # no line there
        late = await fetches[3]
        assert (late.error_kind, late.status_code) == ("timeout", 599)
        fetches[4].cancel()
        await asyncio.gather(fetches[4], return_exceptions=True)
        for _ in range(4):
            let_go.release()
        done = await asyncio.gather(*[fetches[number] for number in (0, 1, 2, 5)])
        assert [fetched.content for fetched in done] == [b"x"] * 4
        assert (sorted(order[:2]), order[2:]) == (["/0", "/1"], ["/2", "/5"])


@in_loop
async def test_the_wait_for_a_turn_is_a_part_of_the_time_that_a_fetch_may_take() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, _, _ = await read_request(reader)
        await asyncio.sleep(0.4 if "first" in line else 30)
        writer.write(answer(b"x"))

    async with raw_server(slow) as port, fetcher(host_connections=1) as one:
        began = asyncio.get_running_loop().time()
        wishes = [dispatch(f"http://127.0.0.1:{port}/{name}", timeout=1.0) for name in ("first", "second")]
        first, second = await asyncio.gather(*map(one.fetch, wishes))
        assert (first.status_code, second.error_kind) == (200, "timeout")
        assert asyncio.get_running_loop().time() - began < 1.35


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
async def test_a_fetch_that_is_cancelled_where_it_would_go_on_leaves_nothing() -> None:
    """A flight that becomes a task, and the task has not begun."""
    async with site() as server, fetcher() as one:
        server.redirect("/", "/there")
        server.on("/there", answer(b"x"))
        flights: list[Flight] = []
        go_on, answers = Flight._landed, []

        def landed(flight: Flight, end: Answer | FetchError) -> None:
            go_on(flight, end)
            flight.cancel()
            answers.append(end)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Flight, "_landed", landed)
            begun = one.begin(dispatch(f"{server.url}/"), lambda fetched: flights.append(fetched))  # type: ignore[arg-type]
            assert isinstance(begun, Flight)
            await wait_for(lambda: bool(answers) and not one.later)
        assert not flights
        assert one.engine.inflight.bytes == 0
        assert len(one.engine._idle) == 1
        assert (await one.fetch(dispatch(f"{server.url}/"))).content == b"x"


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
