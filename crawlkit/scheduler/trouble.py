"""The broker is away: said once, whichever queue saw it first, and once when it is back."""

from __future__ import annotations

import asyncio
import logging

from crawlkit.libs.errors import QueueUnavailable
from crawlkit.message_queue.patience import pause_after

log = logging.getLogger("scheduler")


class Trouble:
    """Shared by all who take and send."""

    def __init__(self) -> None:
        self._misses = 0  # since a queue answered

    async def wait(self, error: QueueUnavailable) -> None:
        """Says it, unless that was said, and waits a moment."""
        if not self._misses:
            log.warning("no work is taken or sent until the queues answer: %s", error)
        self._misses += 1
        await asyncio.sleep(pause_after(self._misses))

    def over(self) -> None:
        """A queue answers."""
        if self._misses:
            self._misses = 0
            log.warning("the queues answer again: work goes on")
