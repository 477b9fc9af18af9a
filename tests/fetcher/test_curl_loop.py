"""curl's sockets and timers on the asyncio loop, with epoll and with what other systems have instead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pycurl
import pytest

from crawlkit.fetcher import curl_loop
from crawlkit.fetcher.curl_loop import MultiLoop
from tests.fetcher.helpers import answer, dispatch, fetcher, in_loop, raw_server, site, wait_for

POLLS = ["_Epoll", "_Kqueue"]


@pytest.fixture(params=POLLS)
def poll(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """MultiLoop with this set of sockets, whatever the system has."""
    if not hasattr(curl_loop.select, "epoll") and request.param == "_Epoll":
        pytest.skip("no epoll here")
    monkeypatch.setattr(curl_loop, "_Epoll", getattr(curl_loop, request.param))
    monkeypatch.setattr(curl_loop, "_Kqueue", getattr(curl_loop, request.param))


def handle(url: str) -> tuple[pycurl.Curl, list[bytes]]:
    made, body = pycurl.Curl(), []  # type: ignore[var-annotated]
    made.setopt(pycurl.URL, url)
    made.setopt(pycurl.WRITEFUNCTION, body.append)
    return made, body


@pytest.mark.usefixtures("poll")
@in_loop
async def test_whole_fetches() -> None:
    async with site() as server, fetcher() as one:
        server.on("/", answer(b"x"))
        server.on("/large", answer(b"x" * 3_000_000))
        server.redirect("/away", "/large")
        paths = ["", "large", "away", "gone"] * 20
        found = await asyncio.gather(*[one.fetch(dispatch(f"{server.url}/{path}")) for path in paths])
        assert [fetched.size for fetched in found] == [1, 3_000_000, 3_000_000, 12] * 20
        gone = await asyncio.gather(*[one.fetch(dispatch("http://127.0.0.1:1/")) for _ in range(20)])
        assert {fetched.error_kind for fetched in gone} == {"connect"}


@pytest.mark.usefixtures("poll")
@in_loop
async def test_connections_that_the_server_closes_between_fetches() -> None:
    """Descriptors are closed and opened again under the same numbers."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"x"))

    async with raw_server(once) as port, fetcher() as one:
        for _ in range(10):
            found = await asyncio.gather(*[one.fetch(dispatch(f"http://127.0.0.1:{port}/")) for _ in range(8)])
            assert {fetched.content for fetched in found} == {b"x"}


@pytest.mark.usefixtures("poll")
@in_loop
async def test_a_connection_that_speaks_between_fetches_wakes_nobody_for_long() -> None:
    """Its server has closed it, or goes on talking, and nobody has asked: it is watched no more."""
    for last in (b"", b"HTTP/1.1 408 Too slow\r\nContent-Length: 0\r\n\r\n"):
        speak, spoke = asyncio.Event(), asyncio.Event()

        async def then_speaks(
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            last: bytes = last,
            speak: asyncio.Event = speak,
            spoke: asyncio.Event = spoke,
        ) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(b"x"))
            await speak.wait()
            writer.write(last)
            await writer.drain()
            if not last:
                writer.close()
            spoke.set()
            await reader.read()

        async with raw_server(then_speaks) as port, fetcher() as one:
            assert (await one.fetch(dispatch(f"http://127.0.0.1:{port}/"))).content == b"x"
            poll, looks = one.engine.loop._poll, 0
            ready = poll.ready

            def counted() -> list[tuple[int, int]]:
                nonlocal looks
                looks += 1
                return ready()  # noqa: B023

            poll.ready = counted  # type: ignore[method-assign]
            speak.set()
            await spoke.wait()
            await asyncio.sleep(0.1)
            assert looks <= 2
            poll.ready = ready  # type: ignore[method-assign]
            if not last:
                assert (await one.fetch(dispatch(f"http://127.0.0.1:{port}/"))).content == b"x"


@pytest.mark.usefixtures("poll")
@in_loop
async def test_done_is_called_once_and_not_after_a_removal() -> None:
    async with site() as server:
        server.on("/", answer(b"x"))
        loop = MultiLoop(10)
        ends: list[tuple[str, int]] = []

        def note(name: str) -> Callable[[int, str], None]:
            return lambda code, _: ends.append((name, code))

        fine, body = handle(f"{server.url}/")
        gone, _ = handle("http://127.0.0.1:1/")
        removed, _ = handle(f"{server.url}/")
        for name, one in (("fine", fine), ("gone", gone), ("removed", removed)):
            loop.add(one, note(name))
        assert (ends, len(loop)) == ([], 3)
        loop.remove(removed)
        loop.remove(removed)
        await wait_for(lambda: len(ends) == 2)
        assert sorted(ends) == [("fine", 0), ("gone", pycurl.E_COULDNT_CONNECT)]
        assert (body, len(loop)) == ([b"x"], 0)
        loop.add(removed, note("late"))
        loop.close()
        loop.close()
        loop.wake()
        assert len(ends) == 2


@pytest.mark.usefixtures("poll")
@in_loop
async def test_time_outs_come_when_they_are_due() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(silent) as port:
        loop = MultiLoop(10)
        clock = asyncio.get_running_loop().time
        began, ends = clock(), {}
        for milliseconds in (300, 100, 200):
            one, _ = handle(f"http://127.0.0.1:{port}/")
            one.setopt(pycurl.TIMEOUT_MS, milliseconds)
            loop.add(one, lambda code, _, due=milliseconds: ends.setdefault(due, (code, clock() - began)))  # type: ignore[misc]
        await wait_for(lambda: len(ends) == 3)
        loop.close()
    for due, (code, took) in ends.items():
        assert code == pycurl.E_OPERATION_TIMEDOUT
        assert due / 1000 - 0.01 <= took < due / 1000 + 1
