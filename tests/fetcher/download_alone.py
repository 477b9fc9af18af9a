"""A fetcher in a process of its own that downloads one file, to be killed. ``python -m tests.fetcher.download_alone``.

Arguments: URL, folder, sha256. Prints the answer as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys

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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"file": fetched.file, "error": fetched.error, "rss": peak}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
