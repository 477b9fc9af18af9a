"""Who waits for a place: first in, first out, bounded; who goes away leaves no gap."""

from __future__ import annotations

import asyncio
from collections import deque

from crawlkit.libs.errors import CrawlkitError


class LineFull(CrawlkitError):
    """Too many wait already: send the client away for a while."""


class Line:
    """``places`` at once; ``most`` wait behind them. Belongs to one event loop."""

    def __init__(self, places: int, most: int) -> None:
        self.places = places
        self.most = most
        self.taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def check(self) -> None:
        """Raises :class:`LineFull` when there is no room even to wait."""
        if self.taken >= self.places and len(self._waiting) >= self.most:
            raise LineFull(f"{self.taken} pages run and {len(self._waiting)} wait")

    async def take(self) -> None:
        """A place; give it back with :meth:`leave`. Cancelled, it has none."""
        self.check()
        if self.taken < self.places:
            self.taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # it was called in the same moment
            elif turn in self._waiting:  # else somebody who left has passed it over already
                self._waiting.remove(turn)
            raise

    def leave(self) -> None:
        """The next in line takes the place over."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.taken -= 1
