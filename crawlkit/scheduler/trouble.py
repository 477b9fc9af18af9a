"""The broker is away: said once, whichever queue saw it first, and once when it is back."""

from __future__ import annotations

import asyncio
import logging

from crawlkit.libs.errors import QueueUnavailable

log = logging.getLogger("scheduler")

RETRY = 1.0  # seconds between tries when the broker does not answer


class Trouble:
    """Shared by all who take and send."""

    def __init__(self) -> None:
        self._down = False

    async def wait(self, error: QueueUnavailable) -> None:
        """Says it, unless that was said, and waits a moment."""
        if not self._down:
            self._down = True
            log.warning("no work is taken or sent until the queues answer: %s", error)
        await asyncio.sleep(RETRY)

    def over(self) -> None:
        """A queue answers."""
        if self._down:
            self._down = False
            log.warning("the queues answer again: work goes on")
