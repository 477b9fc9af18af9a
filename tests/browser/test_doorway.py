"""Who comes to the browser service's door and says nothing costs it little, and never its descriptors."""

from __future__ import annotations

import asyncio

import pytest

from crawlkit import listening
from tests.browser.serving import Running, serving
from tests.fetcher.helpers import in_loop, wait_for

TOKEN = "the right one"


async def come(running: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", running.port)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> bytes:
    writer.write(f"DELETE /files/12345678 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)


async def ended(reader: asyncio.StreamReader) -> None:
    while await asyncio.wait_for(reader.read(4096), 20):
        continue


def test_the_oldest_strangers_go_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "MAX_STRANGERS", 4)

    @in_loop
    async def play() -> None:
        async with serving(token=TOKEN) as running:
            guest = await come(running)
            assert b" 204 " in await ask(*guest, TOKEN)
            strangers = await asyncio.gather(*[come(running) for _ in range(10)])
            ends = [asyncio.ensure_future(ended(reader)) for reader, _ in strangers]
            await wait_for(lambda: sum(end.done() for end in ends) == 6)
            assert running.service.doorway.strangers == 4
            assert (await running.request("GET", "/", token=TOKEN)).status == 200  # there is room for who may come in
            assert b" 204 " in await ask(*guest, TOKEN)
            for _, writer in [guest, *strangers]:
                writer.close()
            await asyncio.gather(*ends)
            await wait_for(lambda: running.service.doorway.strangers == 0)

    play()


def test_a_stranger_s_time_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "GREETING", 0.5)

    @in_loop
    async def play() -> None:
        async with serving(token=TOKEN) as running:
            guest, silent, wrong = [await come(running) for _ in range(3)]
            assert b" 204 " in await ask(*guest, TOKEN)
            assert b" 401 " in await ask(*wrong, "the wrong one")
            await ended(silent[0])
            await ended(wrong[0])
            assert b" 204 " in await ask(*guest, TOKEN)
            for _, writer in (guest, silent, wrong):
                writer.close()

    play()
