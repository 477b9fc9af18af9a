"""Files that go to a store elsewhere: cuts, other nodes, other versions, and a store that fails."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from crawlkit.fetcher import file_transfer
from crawlkit.fetcher.fetch import Fetcher
from crawlkit.files import store_part
from crawlkit.files.store import Store
from crawlkit.libs.messages import Fetched
from tests.fetcher.file_server import digest, file_server
from tests.fetcher.helpers import dispatch, fetcher, in_loop
from tests.files.stores import ftp_server

SIZE = 1_200_000
PIECE = 150_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlkit.fetcher.download_rules.PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(file_transfer, "SYNC_EVERY", PIECE)
    monkeypatch.setattr(file_transfer, "MAX_UNSYNCED", PIECE)
    monkeypatch.setattr(store_part, "PIECE", PIECE)


async def get(one: Fetcher, address: str, to: str = "a/{name}", *, run: int = 1, **wish: object) -> Fetched:
    task = dispatch(address, download={"to": to, **wish})
    task.run = run
    return await one.fetch(task)


def check(fetched: Fetched, url: str, salt: int = 0, path: str = "a/big file.bin") -> None:
    assert fetched.error is None, fetched.error
    said = Store(url).url_of(f"p/{path}")
    assert fetched.file == {"path": said, "bytes": SIZE, "sha256": digest(SIZE, salt)}
    assert Store(url).hash_of(f"p/{path}") == (SIZE, digest(SIZE, salt))
    left = [name for folder in ("parts", "locks") for name in Store(url).names(f"p/.crawlkit-files/{folder}")]
    assert left == []


@in_loop
async def test_a_file_is_fetched_once_with_all_its_cuts(url: str) -> None:
    async with file_server(SIZE) as server, fetcher(files_path=url) as one:
        server.cuts = [250_000, 250_000, 333_333]
        check(await get(one, server.url, sha256=digest(SIZE)), url)
        assert server.ranges_asked().count(None) == 1
        assert server.sent <= SIZE + 3 * 300_000
        sent = server.sent
        check(await get(one, server.url), url)
        check(await get(one, server.url, run=2), url)  # 304
        assert server.sent == sent


@in_loop
async def test_another_fetcher_goes_on(url: str) -> None:
    async with file_server(SIZE) as server:
        async with fetcher(files_path=url, max_timeout=60) as one:
            server.cuts = [700_000, 0, 0, 0, 0, 0]
            fetched = await get(one, server.url)
            assert fetched.error_kind == "reset"
        server.cuts = []
        sent = server.sent
        async with fetcher(files_path=url) as other:
            check(await get(other, server.url), url)
        assert server.sent - sent <= SIZE - 600_000


@in_loop
async def test_another_version_replaces_the_old_one(url: str) -> None:
    async with file_server(SIZE) as server, fetcher(files_path=url) as one:
        check(await get(one, server.url), url)
        server.etag, server.salt, server.cuts = '"v2"', 5, [300_000]
        check(await get(one, server.url, run=2), url, salt=5)


@in_loop
async def test_a_change_in_the_middle_begins_anew(url: str) -> None:
    async with file_server(SIZE) as server:
        async with fetcher(files_path=url) as one:
            server.cuts = [700_000, 0, 0, 0, 0, 0]
            assert (await get(one, server.url)).error_kind == "reset"
        server.etag, server.salt, server.cuts = '"v2"', 5, []
        async with fetcher(files_path=url) as other:
            check(await get(other, server.url), url, salt=5)


@in_loop
async def test_a_broken_one_is_kept_apart(url: str) -> None:
    async with file_server(SIZE) as server, fetcher(files_path=url) as one:
        fetched = await get(one, server.url, sha256="0" * 64)
        assert fetched.error_kind == "file_broken"
        assert Store(url).hash_of("p/a/big file.bin.broken") == (SIZE, digest(SIZE))
        assert Store(url).size("p/a/big file.bin") is None


@in_loop
async def test_two_tasks_for_one_file_fetch_it_once(url: str) -> None:
    async with file_server(SIZE) as server, fetcher(files_path=url) as one:
        for fetched in await asyncio.gather(*(get(one, server.url) for _ in range(3))):
            check(fetched, url)
        assert server.sent == SIZE


@in_loop
async def test_a_store_that_goes_away_is_said_and_gone_on_with(tmp_path: Path) -> None:
    """The same server comes back at its port, as one that was restarted."""
    async with file_server(SIZE) as server:
        with ftp_server(tmp_path) as url:
            async with fetcher(files_path=url) as one:
                server.cuts = [700_000, 0, 0, 0, 0, 0]
                assert (await get(one, server.url)).error_kind == "reset"
        server.cuts = []
        async with fetcher(files_path=url) as one:
            fetched = await get(one, server.url)
            assert fetched.error_kind == "file"
            assert "ftp://me:***@127.0.0.1" in str(fetched.error)
            assert "secret" not in str(fetched.error)
        with ftp_server(tmp_path) as url:
            sent = server.sent
            async with fetcher(files_path=url) as one:
                check(await get(one, server.url), url)
            assert server.sent - sent <= SIZE - 600_000


@in_loop
async def test_the_loop_goes_on_while_a_store_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    put = Store._put

    def slow(self: Store, name: str, data: bytes) -> None:
        import time

        time.sleep(0.1)
        put(self, name, data)

    monkeypatch.setattr(Store, "_put", slow)
    url = f"memory://{uuid.uuid4().hex}"
    async with file_server(SIZE) as server, fetcher(files_path=url) as one:
        counting = asyncio.ensure_future(count())
        check(await get(one, server.url), url)
        counting.cancel()
    assert turns > 50  # 8 pieces and as many notes: a second and more
