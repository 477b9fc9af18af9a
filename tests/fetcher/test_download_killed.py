"""A large file whose connection is cut twenty times and whose fetcher is killed five times."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fetcher.file_server import FileServer, digest, file_server
from tests.fetcher.helpers import wait_for

MIB = 2**20
CUTS = 20
KILLS = 5


async def start(server: FileServer, root: Path, sha256: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fetcher.download_alone", server.url, str(root), sha256,
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip


async def fetch_through_it_all(
    size: int, root: Path, seconds: float, delay: float = 0
) -> tuple[FileServer, dict[str, Any], int]:
    """Cuts and kills spread over the file; (the server, what the last fetcher said, the largest RSS of all)."""
    sha256 = await asyncio.to_thread(digest, size)
    peak = 0
    async with file_server(size) as server:
        server.delay = delay
        server.cuts = [size // (CUTS + KILLS + 2)] * CUTS
        for number in range(1, KILLS + 1):
            fetcher = await start(server, root, sha256)
            try:
                await wait_for(lambda mark=size * number // (KILLS + 1): server.sent >= mark, seconds)
                peak = max(peak, psutil.Process(fetcher.pid).memory_info().rss)
            finally:
                fetcher.kill()
                await fetcher.wait()
        last = await start(server, root, sha256)
        said, _ = await asyncio.wait_for(last.communicate(), seconds)
    found = json.loads(said)
    peak = max(peak, found["rss"])
    print(f"{server.sent / size - 1:.2%} more than needed, {len(server.requests)} requests, {peak / MIB:.0f} MiB")
    return server, found, peak


def check(server: FileServer, found: dict[str, Any], size: int) -> None:
    assert found["error"] is None
    assert found["file"]["bytes"] == size
    assert found["file"]["sha256"] == digest(size)
    assert Path(found["file"]["path"]).stat().st_size == size
    assert server.cuts == []
    assert server.left == KILLS
    assert len(server.requests) == 1 + CUTS + KILLS


def test_forty_megabytes(tmp_path: Path) -> None:
    size = 40 * MIB
    server, found, peak = asyncio.run(fetch_through_it_all(size, tmp_path, 40, delay=0.004))
    check(server, found, size)
    # a kill costs what was not synced and what was on its way: that is the same for any size of file
    assert server.sent <= size + (CUTS + KILLS) * 8 * MIB
    assert peak < 200 * MIB


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_gigabytes(tmp_path: Path) -> None:
    size = 2_000_000_000
    server, found, peak = asyncio.run(fetch_through_it_all(size, tmp_path, 300))
    check(server, found, size)
    assert server.sent <= 2_100_000_000
    assert peak < 200 * MIB
