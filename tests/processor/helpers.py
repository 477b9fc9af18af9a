"""A processor service with real workers, in-memory queues and a dict of scripts."""

from __future__ import annotations

import asyncio
import contextlib
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from crawlkit.database.base import ProjectRow, SettingRow
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.errors import UsageError
from crawlkit.libs.messages import (
    NIL,
    TASK,
    Dispatch,
    Fetched,
    Heartbeat,
    Outcome,
    decode_status,
    encode,
)
from crawlkit.libs.task import NO_FETCH, NO_SCHEDULE, taskid_of
from crawlkit.message_queue.memory import MemoryBroker, MemoryQueue
from crawlkit.message_queue.status_queues import StatusQueues
from crawlkit.processor.project_loader import script_md5
from crawlkit.processor.service import ProcessorService
from crawlkit.processor.settings import ProcessorSettings

HEAD = "from crawlkit.libs.base_handler import *\n\n\nclass Handler(BaseHandler):\n"


def script(body: str, before: str = "") -> str:
    """A handler script whose class has ``body``."""
    return before + HEAD + textwrap.indent(textwrap.dedent(body), "    ")


class Projects:
    """The part of a ProjectStore that a processor uses."""

    def __init__(self) -> None:
        self.rows: dict[str, ProjectRow] = {}
        self.scripts: dict[tuple[str, str], str] = {}
        self.given: dict[str, dict[str, SettingRow]] = {}

    def save(self, name: str, text: str) -> str:
        version = script_md5(text)
        self.rows[name] = ProjectRow(name=name, script=text, version=version)
        self.scripts[name, version] = text
        return version

    def get(self, name: str) -> ProjectRow | None:
        return self.rows.get(name)

    def script(self, name: str, version: str) -> str | None:
        return self.scripts.get((name, version))

    def settings(self, name: str) -> dict[str, SettingRow]:
        return self.given.get(name, {})

    def set(self, name: str, **values: str | None) -> None:
        """Settings as they are stored when sealing is adding ``sealed:``; None removes, ``plain_`` is no secret."""
        given = dict(self.given.get(name, {}))
        for key, value in values.items():
            given.pop(key, None)
            if value is not None:
                given[key] = SettingRow(key, f"sealed:{value}", not key.startswith("plain_"))
        self.given[name] = given
        self.rows[name].updatetime = time.time()

    def changed_since(self, updatetime: float) -> list[ProjectRow]:
        return [row for row in self.rows.values() if row.updatetime > updatetime]


def unseal(project: str, name: str, sealed: str) -> str:
    """Opens what :meth:`Projects.set` sealed."""
    if not sealed.startswith("sealed:"):
        raise UsageError(f"setting {name} of project {project} does not open")
    return sealed.removeprefix("sealed:")


class Bench:
    """A running service, its queues, and what came out of it so far."""

    def __init__(
        self, settings: ProcessorSettings, blobs: Any = None, out_messages: int = 0, journal: Any = None
    ) -> None:
        self.projects = Projects()
        self.inqueue = MemoryQueue("fetcher2processor", max_messages=0)
        self.results = MemoryQueue("processor2result", max_messages=out_messages)
        self.broker = MemoryBroker(out_messages)
        self.status = self.broker.queue("status_queue")
        self.service = ProcessorService(
            inqueue=self.inqueue,
            result_queue=self.results,
            status_queues=StatusQueues(self.broker.queue),
            projectdb=self.projects,  # type: ignore[arg-type]
            settings=settings,
            clock=SystemClock(),
            node="p1",
            blobs=blobs,
            unseal=unseal,
            journal=journal,
        )
        self.parts: dict[tuple[str, str, int], list[Outcome]] = {}
        self.ended: list[tuple[str, str, float]] = []  # project, url, when
        self.heartbeats: list[Heartbeat] = []
        self.ways: dict[str, set[str]] = {}  # url -> queues its parts came by
        self._readers: list[asyncio.Task[None]] = []

    def read(self) -> None:
        """From now on takes everything from the two queues ahead."""
        for queue in (self.results, self.status):
            self._readers.append(asyncio.create_task(self._read(queue)))

    async def _read(self, queue: MemoryQueue) -> None:
        while True:
            for delivery in await queue.get_many(100):
                await queue.ack([delivery.id])
                message = decode_status(delivery.body)
                if isinstance(message, Heartbeat):
                    self.heartbeats.append(message)
                elif isinstance(message, Outcome):
                    self.parts.setdefault((message.project, message.taskid, message.attempt), []).append(message)
                    self.ways.setdefault(message.url, set()).add(queue.name)
                    if message.last:
                        self.ended.append((message.project, message.url, time.monotonic()))

    async def stop_reading(self) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        self._readers.clear()

    async def put(self, *messages: Fetched) -> None:
        await self.inqueue.put_many([encode(message) for message in messages])

    def outcome(self, message: Fetched) -> list[Outcome] | None:
        """All parts of a finished attempt, ``None`` while it is not."""
        parts = self.parts.get((message.task.project, message.task.taskid, message.task.attempt), [])
        return parts if parts and parts[-1].last else None

    async def run(self, *messages: Fetched, within: float = 20) -> list[Outcome]:
        """Puts the messages and waits for their ends; returns the last parts."""
        await self.put(*messages)
        await until(lambda: all(self.outcome(message) for message in messages), within)
        return [(self.outcome(message) or [])[-1] for message in messages]


async def until(condition: Callable[[], Any], within: float = 10) -> None:
    """Waits until ``condition()`` is true."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def bench(
    blobs: Any = None, out_messages: int = 0, read: bool = True, journal: Any = None, **settings: Any
) -> AsyncIterator[Bench]:
    """A service that runs while the block does. ``journal`` gets what callbacks log."""
    settings.setdefault("process_time_limit", 10)
    settings.setdefault("stop_within", 1)
    it = Bench(ProcessorSettings(**settings), blobs, out_messages, journal)
    if read:
        it.read()
    running = asyncio.create_task(it.service.run())
    try:
        yield it
    finally:
        stopping = asyncio.create_task(it.service.stop())
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await it.stop_reading()
        await running


def fetched(
    project: str,
    version: str,
    callback: str | None = "page",
    url: str = "http://example.com/",
    *,
    content: bytes = b"<title>t</title>",
    attempt: int = 1,
    time_limit: float = 0,
    kind: int = TASK,
    status_code: int = 200,
    error: str | None = None,
    blob: str | None = None,
    partition: int = 0,
) -> Fetched:
    """An answer of the fetcher."""
    task = Dispatch(
        project=project,
        taskid=taskid_of(url),
        run=1,
        attempt=attempt,
        url=url,
        script=version,
        callback=callback,
        time_limit=time_limit,
        kind=kind,
        schedule=NO_SCHEDULE,
        fetch=NO_FETCH,
        save=NIL,
        lastcrawltime=0,
        partition=partition,
    )
    return Fetched(
        task=task,
        status_code=status_code,
        url=url,
        orig_url=url,
        headers=[("Content-Type", "text/html")],
        cookies={},
        time=0.1,
        error=error,
        content=content,
        size=len(content),
        blob=blob,
    )
