"""A scheduler between real in-process queues, with a ring that answers as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from crawlkit.database.memory import MemoryProjectStore, MemoryTaskStore
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.messages import (
    INFO,
    NEWTASK_QUEUE,
    SCHEDULER2FETCHER,
    STATUS_QUEUE,
    Dispatch,
    Follow,
    Outcome,
    ProjectInfo,
    TrackFetch,
    TrackProcess,
    decode,
    encode,
    pack,
)
from crawlkit.libs.rows import ProjectRow
from crawlkit.libs.task import Task
from crawlkit.message_queue.memory import MemoryBroker
from crawlkit.message_queue.status_queues import StatusQueues
from crawlkit.scheduler.engine import Engine
from crawlkit.scheduler.service import SchedulerService
from crawlkit.scheduler.settings import EngineSettings

Answer = Callable[[Dispatch], Outcome | None]


def task(url: str, project: str = "p", **parts: Any) -> dict[str, Any]:
    """A submission as a dict; the taskid is the URL's last 60 characters."""
    return {"project": project, "taskid": url[-60:], "url": url, **parts}


def follow(url: str, project: str = "p", plain: bool = True) -> Follow:
    """A follow-up as a callback makes it."""
    return Follow(url[-60:], plain, pack(Task(project, url[-60:], url)))


def outcome_of(dispatch: Dispatch, ok: bool = True, **fields: Any) -> Outcome:
    """The answer to one dispatch."""
    defaults: dict[str, Any] = {
        "results": [],
        "follows": [],
        "messages": [],
        "fetch": TrackFetch(ok=ok, status_code=200 if ok else 599),
        "process": TrackProcess(ok=ok, reason=None if ok else "exception"),
    }
    return Outcome(
        project=dispatch.project,
        taskid=dispatch.taskid,
        run=dispatch.run,
        attempt=dispatch.attempt,
        kind=dispatch.kind,
        part=0,
        last=True,
        first_result=0,
        url=dispatch.url,
        node="n",
        ok=ok,
        **(defaults | fields),
    )


def info_of(dispatch: Dispatch, info: ProjectInfo | None = None) -> Outcome:
    """The answer to an INFO dispatch."""
    return outcome_of(dispatch, info=pack(info or ProjectInfo(has_on_finished=True)))


class Rig:
    """The service, its queues, and everything it sent so far."""

    def __init__(
        self,
        answer: Answer | None = None,
        settings: EngineSettings | None = None,
        taskdb: Any = None,
        watched: bool = False,  # it looks at its queues before it takes a lease back
    ) -> None:
        self.broker = MemoryBroker()
        self.taskdb = taskdb or MemoryTaskStore()
        self.projectdb = MemoryProjectStore()
        self.out = self.broker.queue(SCHEDULER2FETCHER)
        self.status = self.broker.queue(STATUS_QUEUE)
        self.newtask = self.broker.queue(NEWTASK_QUEUE)
        self.engine = Engine(self.taskdb, self.projectdb, settings)
        self.service = SchedulerService(
            self.engine,
            newtask_queue=self.newtask,
            status_queues=StatusQueues(self.broker.queue),
            out_queue=self.out,
            clock=SystemClock(),
            broker=self.broker,
            ring=[self.out] if watched else (),
        )
        self.sent: list[Dispatch] = []
        self.answer: Answer = answer or outcome_of

    def project(self, name: str = "p", status: str = "RUNNING", rate: float | None = None, **fields: Any) -> None:
        """Saves a project that nothing slows down unless told so."""
        self.projectdb.put(ProjectRow(name, status=status, script="# 1", rate=rate, rate_set=True, **fields))

    async def ring(self) -> None:
        """Stands for fetcher and processor."""
        while True:
            deliveries = await self.out.get_many(100)
            for delivery in deliveries:
                dispatch = decode(delivery.body, Dispatch)
                self.sent.append(dispatch)
                reply = info_of(dispatch) if dispatch.kind == INFO else self.answer(dispatch)
                if reply is not None:
                    await self.status.put_many([encode(reply)])
            await self.out.ack([delivery.id for delivery in deliveries])

    async def until(self, condition: Callable[[], Any], seconds: float = 10.0) -> None:
        """Waits for a condition; fails with what was sent when it does not come."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not condition():
            if loop.time() > end:
                raise AssertionError(f"did not come; sent: {[d.url for d in self.sent]}, {self.service.summary()}")
            with suppress(TimeoutError):
                await asyncio.wait_for(self.service.turned(), 0.05)

    def urls(self) -> list[str]:
        """What was sent, without the questions for settings."""
        return [dispatch.url for dispatch in self.sent if dispatch.kind != INFO]


@asynccontextmanager
async def running(rig: Rig):  # type: ignore[no-untyped-def]
    """The service and the ring, until the end of the block."""
    service = asyncio.create_task(rig.service.run())
    ring = asyncio.create_task(rig.ring())
    try:
        yield rig
    finally:
        await rig.service.stop()
        await asyncio.wait_for(service, 10)
        ring.cancel()
        await asyncio.gather(ring, return_exceptions=True)
