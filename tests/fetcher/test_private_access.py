"""Private addresses, where nobody has said whether they may be fetched: open until there are users."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from crawlkit.fetcher import private_access
from crawlkit.libs.errors import StoreUnavailable
from tests.fetcher.helpers import answer, dispatch, fetcher, in_loop, raw_server, read_request, site, wait_for
from tests.fetcher.test_service import ring


@in_loop
async def test_closed_while_a_connection_is_open() -> None:  # a connection is not looked at again
    async with site() as server, fetcher() as one:
        server.on("/", answer(b"inner"))
        assert (await one.fetch(dispatch(f"{server.url}/"))).content == b"inner"
        one.set_private(False)
        refused = await one.fetch(dispatch(f"{server.url}/"))
        assert refused.error_kind == "address", refused
        assert len(server.asked("/")) == 1
        one.set_private(True)
        assert (await one.fetch(dispatch(f"{server.url}/"))).content == b"inner"


@in_loop
async def test_what_is_on_its_way_ends_and_opens_nothing_new() -> None:
    let = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, _, _ = await read_request(reader)
        await let.wait()
        moved = f"Location: {inner.url}/\r\n"
        writer.write(answer(b"moved", "302 Found", moved) if " /moved " in line else answer(b"slow"))
        await writer.drain()

    async with site() as inner, raw_server(slow) as port, fetcher() as one:
        inner.on("/", answer(b"inner"))
        paths = ("slow", "moved")
        tasks = [asyncio.create_task(one.fetch(dispatch(f"http://127.0.0.1:{port}/{path}"))) for path in paths]
        old = one.engine
        await wait_for(lambda: old.lent == 2)
        one.set_private(False)
        let.set()
        ended, moved = await asyncio.gather(*tasks)
        assert ended.content == b"slow"
        assert moved.error_kind == "address", moved
        assert inner.connections == 0
        assert one.engine is not old
        received = one.moved()[0]
        one.set_private(False)  # asked again, what nobody uses is closed, and what it moved is still counted
        assert one.moved()[0] == received > 0


@in_loop
async def test_nothing_is_fetched_before_it_is_known(caplog: pytest.LogCaptureFixture) -> None:
    broken, calls = threading.Event(), []
    broken.set()

    def ask() -> bool:
        calls.append(1)
        if broken.is_set():
            raise StoreUnavailable("projectdb: refused")
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(private_access, "SOON", 0.01)
        async with site() as server, ring(private=ask) as one:
            server.on("/", answer(b"inner"))
            await one.put(dispatch(f"{server.url}/"))
            await wait_for(lambda: len(calls) > 3)
            assert (await one.outqueue.size()).messages == 0
            broken.clear()
            [fetched] = await one.fetched(1)
            assert fetched.error_kind == "address"
            assert server.connections == 0
    assert sum("nothing is fetched until then" in line for line in caplog.messages) == 1


@in_loop
async def test_it_follows_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    state = {"open": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(private_access, "EVERY", 0.01)
        async with site() as server, ring(private=lambda: state["open"]) as one:
            server.on("/", answer(b"inner"))
            for now in (True, False, True):
                state["open"] = now
                kinds: set[str | None] = set()
                while kinds != {None if now else "address"}:
                    await one.put(dispatch(f"{server.url}/"))
                    kinds = {fetched.error_kind for fetched in await one.fetched(1)}
    said = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert said == [private_access.CLOSED, private_access.OPENED]
