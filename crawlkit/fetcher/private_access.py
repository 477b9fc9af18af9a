"""Whether private addresses may be fetched, where nobody has said so: asked of a store again and again.

A crawlkit that one person runs on one machine may fetch what that person may, the intranet included. From the first
user on, who edits scripts need not be who runs the machine: then private addresses are closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from crawlkit.libs.errors import CrawlkitError

EVERY = 5.0  # seconds between two questions
SOON = 0.5  # seconds, while there was no answer yet
OPENED = "private addresses are open from now on: there is no user any more"
CLOSED = "private addresses are closed from now on: there are users (--allow-private opens them)"
log = logging.getLogger("crawlkit.fetcher")


class PrivateAccess:
    """``ask`` is called in a thread, and tells whether private addresses are open. ``tell`` gets each answer, in the
    loop; ``first``, if any, is called after the first one.

    While ``ask`` fails the last answer holds; before the first one nothing is ``known``, and nothing should be fetched.
    """

    def __init__(self, ask: Callable[[], bool], tell: Callable[[bool], None], first: Callable[[], None]) -> None:
        self._ask = ask
        self._tell = tell
        self._first = first
        self.known = False
        self._open: bool | None = None
        self._failing = False

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                answer = await asyncio.to_thread(self._ask)
            except (CrawlkitError, OSError) as error:
                self._note_failure(error)
            else:
                self._failing = False
                self._take(answer)
            await asyncio.sleep(EVERY if self.known else SOON)

    def _take(self, answer: bool) -> None:
        self._tell(answer)
        if self._open is not None and answer != self._open:
            log.warning("%s", OPENED if answer else CLOSED)
        self._open = answer
        if not self.known:
            self.known = True
            self._first()

    def _note_failure(self, error: Exception) -> None:
        if not self._failing:
            log.warning("whether there are users, so that private addresses are closed, cannot be told: %s; %s", error,
                        "what held before goes on" if self.known else "nothing is fetched until then")  # fmt: skip
        self._failing = True
