"""Opens the stored body of a page, however long its store takes to be there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from crawlkit.database.base import BlobStore
from crawlkit.libs.errors import StoreUnavailable

RETRY = 1.0  # seconds between attempts to reach the store

log = logging.getLogger("crawlkit.processor")


async def opened(blobs: BlobStore, name: str) -> Iterator[bytes]:
    """The pieces of a body; waits while the store is away, and the callback that asked with it, up to its time limit.

    Raises ``KeyError`` for one that is gone.
    """
    said = False
    while True:
        try:
            return await asyncio.to_thread(blobs.read, name)
        except StoreUnavailable as error:
            if not said:
                log.warning("body %s: %s; its callback waits", name, error)
                said = True
            await asyncio.sleep(RETRY)
