"""What ``await self.fetch(...)`` waits for inside a callback: answers on record, or a reason to end the run for now.

Runs in a worker, in the callback's event loop. Sends nothing: it gathers the requests that the callback waits for.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Coroutine, Mapping
from typing import Any

from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.messages import Await, Dispatch, Fetched, pack
from crawlkit.libs.response import HTTPError, Response
from crawlkit.libs.task import Task, check_task
from crawlkit.processor.endings import Diverged
from crawlkit.processor.records import RecordLost

AT_ONCE = 500  # requests sent together
BYTES_AT_ONCE = 2**20
MAX_AWAITS = 10_000  # in one run: all of them are read again at every step
_FRAMEWORK = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class Parked(BaseException):
    """The callback can go no further until its requests are answered. Never seen by a script."""


class Replay:
    """The awaits of one run. ``recorded``: answers by number; ``None``: nothing came of that request."""

    def __init__(self, dispatch: Dispatch, recorded: Mapping[int, Fetched | None]) -> None:
        self._dispatch = dispatch
        self._recorded = recorded
        self._count = 0
        self._waiting: dict[int, tuple[Await, asyncio.Future[Fetched | None]]] = {}
        self.awaits: list[Await] = []
        """What the callback waits for, once it is parked."""
        self.parked = False
        self.broken: RuntimeError | None = None
        """Why the record does not fit the run, whatever the script makes of it."""

    @property
    def used(self) -> bool:
        """Whether the callback has asked for anything."""
        return self._count > 0

    def fetch(self, task: Task) -> Coroutine[Any, Any, Response]:
        """The next request of the run; raises :class:`Diverged` when another one is recorded under its number."""
        if self._count >= MAX_AWAITS:
            raise RuntimeError(f"self.fetch(): {MAX_AWAITS:,} awaits are the most of one run; use self.crawl")
        self._count += 1
        number, where = self._count, _where()
        request = task.taskid
        task.taskid = self._taskid(number, request)
        check_task(task)
        raw = pack(task)
        if len(raw) > BYTES_AT_ONCE:
            raise InvalidTask("task", f"is {len(raw):,} bytes with the body it sends, over {BYTES_AT_ONCE:,}")
        try:
            known = self._recorded.get(number)
        except RecordLost as error:
            self.broken = error
            raise
        if known is not None and known.task.taskid != task.taskid:
            self.broken = Diverged(
                f"{where}: await number {number} asks for {_named(task)}, but when the callback ran before, it was"
                f" {_named(known.task)}. A callback that awaits is run again with what was answered, so it must ask"
                " for the same pages in the same order"
            )
            raise self.broken
        return self._answer(number, Await(number, raw, where), task.url)

    def _taskid(self, number: int, request: str) -> str:
        task = self._dispatch
        whole = f"{task.project}\0{task.taskid}\0{task.run}\0{number}\0{request}"
        return hashlib.md5(whole.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()

    async def _answer(self, number: int, request: Await, url: str) -> Response:
        if self.parked:
            raise asyncio.CancelledError
        future: asyncio.Future[Fetched | None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (request, future)
        try:
            fetched = await future
        finally:
            self._waiting.pop(number, None)
        if fetched is None:
            raise HTTPError(f"nothing came of {url}: the request was cancelled or refused")
        return Response.of(fetched)

    def idle(self) -> bool:
        """Nothing in the loop can go on now. Whether that is mended, by answers or by parking the callback.

        Answers come out in the same batches in which they were asked for, so that what runs side by side takes the
        same turns as the first time.
        """
        if self.parked or not self._waiting:
            return False
        batch: list[tuple[Await, asyncio.Future[Fetched | None]]] = []
        size = 0
        for number in sorted(self._waiting):
            one = self._waiting[number]
            size += len(one[0].task)
            if batch and (len(batch) >= AT_ONCE or size > BYTES_AT_ONCE):
                break
            batch.append(one)
        answered = [one for one in batch if one[0].number in self._recorded]
        for request, future in answered:
            if not future.done():
                future.set_result(self._recorded[request.number])
        if not answered:
            self.awaits = [request for request, _ in batch]
            self.parked = True
            asyncio.get_running_loop().stop()
        return True


def _named(task: Task | Dispatch) -> str:
    method = (task.fetch.method if task.fetch is not None else None) or "GET"
    return task.url if method == "GET" else f"{method} {task.url}"


def _where() -> str:
    """File and line of the script that is being run."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_FRAMEWORK):
        frame = frame.f_back
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
