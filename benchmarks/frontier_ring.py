"""A real scheduler process, and a made-up ring around it that answers every dispatch at once.

The ring lives in the process that measures: it serves the queues as the supervisor of ``crawlkit all`` does and plays
fetcher, processor and result worker in one, for a few microseconds a task.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.frontier_load import PROJECT, taskid_of, url_of
from crawlkit.libs.messages import (
    INFO,
    SCHEDULER2FETCHER,
    STATUS_QUEUE,
    DispatchHead,
    Follow,
    Outcome,
    ProjectInfo,
    TrackFetch,
    TrackProcess,
    decode,
    encode,
    pack,
)
from crawlkit.libs.task import Process, Task
from crawlkit.message_queue.server import LocalServer

ROOT = Path(__file__).parents[1]
FETCH = TrackFetch(True, 0.02, 200, encoding="utf-8", size=10_240)
PROCESS = TrackProcess(True, 0.002, 1)
BATCH = 200

Info = Callable[[str], ProjectInfo]  # what the handler of a project says of itself


@dataclass
class Seen:
    """What the ring has seen of one life of the scheduler."""

    started: float = field(default_factory=time.monotonic)
    first: float | None = None  # seconds from the start of the process to the first task sent
    selected: int = 0


class Ring:
    """Answers what comes. Each answer brings one new task while ``new`` is a number, so that the backlog stays."""

    def __init__(self, path: Path, queue_maxsize: int, new: int | None, info: Info | None = None) -> None:
        self.server = LocalServer(path, max_messages=queue_maxsize)
        self.new = new
        self.seen = Seen()
        self.answered = 0
        self._new_life = False  # each begins by asking for the settings: what comes before that is of the one before
        self.on_task: Callable[[DispatchHead, bytes], None] | None = None
        self._info = info or (lambda project: ProjectInfo())
        self.task: asyncio.Task[None] | None = None

    def completed(self) -> int:
        """Answers that the scheduler has committed."""
        return self.answered - self.server.queue(STATUS_QUEUE).size_now().messages

    async def run(self) -> None:
        """For ever."""
        out, status = self.server.queue(SCHEDULER2FETCHER), self.server.queue(STATUS_QUEUE)
        while True:
            deliveries = await out.get_many(BATCH)
            answers = [self._answer(delivery.body) for delivery in deliveries]
            await status.put_many(answers)
            self.answered += len(answers)
            await out.ack([delivery.id for delivery in deliveries])

    async def first(self, seconds: float) -> float:
        """Waits for the first task of this life."""
        deadline = time.monotonic() + seconds
        while self.seen.first is None:
            if self.task is not None and self.task.done():
                self.task.result()
            if time.monotonic() > deadline:
                raise SystemExit(f"no task came within {seconds:g} s")
            await asyncio.sleep(0.05)
        return self.seen.first

    def begin(self) -> None:
        """A new life of the scheduler begins now. What the one before has sent does not count."""
        self.seen = Seen()
        self._new_life = False

    def _answer(self, body: bytes) -> bytes:
        head = decode(body, DispatchHead)
        follows: list[Follow] = []
        info = None
        if head.kind == INFO:
            info, self._new_life = self._info(head.project), True
        else:
            if self.on_task is not None:
                self.on_task(head, body)
            self.seen.selected += 1
            if self.seen.first is None and self._new_life:
                self.seen.first = time.monotonic() - self.seen.started
            if self.new is not None:
                follows = [follow(self.new)]
                self.new += 1
        return encode(
            Outcome(
                head.project, head.taskid, head.run, head.attempt, head.kind, 0, True, [], 0, head.url, "ring", True,
                follows, [], fetch=FETCH, process=PROCESS, result_count=1, info=pack(info),
            )
        )  # fmt: skip


def follow(number: int) -> Follow:
    """The task with that number as a follow-up."""
    url, taskid = url_of(number), taskid_of(number)
    return Follow(taskid, True, pack(Task(PROJECT, taskid, url, process=Process(callback="detail_page"))))


class Scheduler:
    """``crawlkit scheduler`` in a process of its own."""

    def __init__(self, data_path: Path, taskdb: str, queue_maxsize: int) -> None:
        self._log = data_path / "scheduler.txt"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CRAWLKIT_")}
        self._command = [
            sys.executable, str(ROOT / "run.py"), "--data-path", str(data_path), "--taskdb", taskdb,
            "--queue-maxsize", str(queue_maxsize), "scheduler", "--no-xmlrpc",
        ]  # fmt: skip
        self._env = {**kept, "PYTHONPATH": str(ROOT)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as said:
            self._process = subprocess.Popen(
                self._command, env=self._env, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )

    @property
    def process(self) -> psutil.Process:
        assert self._process is not None
        if self._process.poll() is not None:
            raise SystemExit(f"the scheduler ended by itself:\n{self._log.read_text()[-3000:]}")
        return psutil.Process(self._process.pid)

    def rss(self) -> int:
        """Resident bytes."""
        return int(self.process.memory_info().rss)

    def cpu(self) -> float:
        """Seconds so far."""
        used = self.process.cpu_times()
        return float(used.user + used.system)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.asynccontextmanager
async def playing(ring: Ring, scheduler: Scheduler) -> AsyncIterator[None]:
    """The ring turns, and at the end both are gone."""
    await ring.server.start()
    ring.task = asyncio.create_task(ring.run())
    try:
        yield
        if ring.task.done():
            ring.task.result()
    finally:
        await asyncio.to_thread(scheduler.stop)
        ring.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ring.task
        await ring.server.close()
