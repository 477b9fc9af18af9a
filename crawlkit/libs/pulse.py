"""When a node's next heartbeat is due: every few seconds, and soon after it took work, so that its holder is known."""

from __future__ import annotations

import asyncio
import contextlib

SOON = 0.5  # seconds between two heartbeats at least


class Pulse:
    """``every``: seconds between heartbeats at most. Belongs to one event loop."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._soon = min(SOON, every / 4)
        self._news = asyncio.Event()

    def hasten(self) -> None:
        """There is something to say: work was taken, or the node pauses."""
        self._news.set()

    async def next(self) -> None:
        """Returns when the next heartbeat is due."""
        await asyncio.sleep(self._soon)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._every - self._soon):
                await self._news.wait()
        self._news.clear()
