"""Puts on the queues what a turn ended in: work for the fetchers, and what goes straight to a processor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from crawlkit.libs.errors import BadMessage, QueueUnavailable
from crawlkit.libs.messages import Dispatch, Fetched, encode
from crawlkit.message_queue.base import MessageQueue
from crawlkit.scheduler.trouble import Trouble
from crawlkit.scheduler.turn import Outbox

log = logging.getLogger("scheduler")

SEND_AHEAD = 100  # tasks leased and not yet put on the queue


class Post:
    """What is committed and not sent yet. ``sent`` is called when some of it went.

    ``sure`` is waited for before each sending: what a scheduler decided before it stood still may be another's by then.
    """

    def __init__(
        self,
        out_queue: MessageQueue,
        resume_queue: MessageQueue | None,
        sent: Callable[[], None],
        trouble: Trouble,
        sure: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._out_queue = out_queue
        self._resume_queue = resume_queue  # the processors' queue: for what is not fetched
        self._sent = sent
        self._trouble = trouble
        self._sure = sure
        self._going = [0, 0]  # how many of outbox and of resumes are being put on their queue
        self.outbox: list[Dispatch] = []
        self.resumes: list[Fetched] = []
        self._filled = asyncio.Event()
        self._on_filled = asyncio.Event()

    def room(self) -> int:
        """Tasks that may be leased now."""
        return max(0, SEND_AHEAD - len(self.outbox))

    def empty(self) -> bool:
        """Nothing is on its way to a queue."""
        return not self.outbox and not self.resumes

    def take(self, outbox: Outbox) -> None:
        """Sends what a turn ended in, soon."""
        if outbox.dispatches:
            self.outbox += outbox.dispatches
            self._filled.set()
        if outbox.resumes:
            self.resumes += outbox.resumes
            self._on_filled.set()

    def forget(self, partitions: Collection[int]) -> None:
        """These are another scheduler's, which gives their tasks out again."""
        going, on = self._going  # those cannot be held back any more
        self.outbox[going:] = [one for one in self.outbox[going:] if one.partition not in partitions]
        self.resumes[on:] = [one for one in self.resumes[on:] if one.task.partition not in partitions]

    async def run(self) -> None:
        """Sends to the fetchers, for ever."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self.outbox:
                if self._sure is not None:
                    await self._sure()
                batch = self.outbox[:]
                self._going[0] = len(batch)
                bodies = [body for dispatch in batch if (body := _encoded(dispatch, dispatch)) is not None]
                try:
                    await self._out_queue.put_many(bodies)
                except QueueUnavailable as error:
                    self._going[0] = 0
                    await self._trouble.wait(error)
                    continue
                self._trouble.over()
                self._going[0] = 0
                del self.outbox[: len(batch)]
                self._sent()

    async def run_on(self) -> None:
        """What goes to a processor without a fetch: answered awaits, and requests that a hook may change."""
        while True:
            await self._on_filled.wait()
            self._on_filled.clear()
            while self.resumes and self._resume_queue is not None:
                if self._sure is not None:
                    await self._sure()
                batch = self.resumes[:SEND_AHEAD]
                self._going[1] = len(batch)
                bodies = [body for fetched in batch if (body := _encoded(fetched, fetched.task)) is not None]
                try:
                    await self._resume_queue.put_many(bodies)
                except QueueUnavailable as error:
                    self._going[1] = 0
                    await self._trouble.wait(error)
                    continue
                self._trouble.over()
                self._going[1] = 0
                del self.resumes[: len(batch)]


def _encoded(message: Dispatch | Fetched, dispatch: Dispatch) -> bytes | None:
    try:
        return encode(message)
    except (BadMessage, ValueError, TypeError, OverflowError, RecursionError) as error:
        # its lease ends without an answer, and after some of those it fails as lost
        log.error("task %s of %s cannot be sent: %s", dispatch.taskid, dispatch.project, error)
        return None
