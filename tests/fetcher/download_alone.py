"""A fetcher in a process of its own that downloads one file, to be killed. ``python -m tests.fetcher.download_alone``.

Arguments: URL, folder, sha256. Prints the answer as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import psutil

from crawlkit.fetcher.fetch import Fetcher
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.libs.clock import SystemClock
from tests.fetcher.helpers import dispatch


async def main(url: str, root: str, sha256: str) -> None:
    one = Fetcher(FetcherSettings(files_path=root), SystemClock(), "alone")
    try:
        fetched = await one.fetch(dispatch(url, download={"to": "{name}", "sha256": sha256}))
    finally:
        await one.close()
    print(json.dumps({"file": fetched.file, "error": fetched.error, "rss": peak()}))


def peak() -> int:
    """The largest resident size of this program, in bytes; what getrusage says counts the one that started it, too."""
    status = Path("/proc/self/status")
    if not status.exists():
        return psutil.Process().memory_info().rss
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
