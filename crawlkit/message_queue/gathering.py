"""A short rest of a pump after each batch, in which the next one may come together.

A batch of one costs as many wake-ups and system calls, here and in every process behind, as a batch of ten. A message
after a quiet moment goes at once: who rests has just sent, and the shorter the fewer that was.
"""

from __future__ import annotations

import asyncio

EACH = 0.002  # seconds of rest for each message of the last batch: under 500 a second batches stay as they come
LONGEST = 0.006  # seconds
ENOUGH = 64  # messages that are waited for


def rest_after(count: int) -> float:
    """Seconds in which others may come, after a batch of ``count``; none after one that was large by itself."""
    return min(LONGEST, EACH * count) if count < ENOUGH else 0.0


class Rest:
    """The rest of one pump."""

    def __init__(self) -> None:
        self._over: asyncio.Future[None] | None = None

    async def after(self, count: int) -> None:
        """Returns when the rest is over, or at :meth:`end`."""
        seconds = rest_after(count)
        if seconds:
            await self.take(seconds)

    async def take(self, seconds: float) -> None:
        """The same for a rest of so many seconds."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        timer = loop.call_later(seconds, self.end)
        try:
            await self._over
        finally:
            timer.cancel()
            self._over = None

    def end(self) -> None:
        """Enough has come: ends the rest, if there is one."""
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
