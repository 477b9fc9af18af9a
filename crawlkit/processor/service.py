"""The processor: takes fetched tasks, has their callbacks run by worker processes, forwards what came of them.

A thin shell round the pool: forward, then acknowledge. It decodes only the head of a message, and runs no handler code.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any

from crawlkit.database.base import BlobStore, ProjectStore
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import BadMessage, CrawlkitError, QueueError, StoreError, StoreUnavailable
from crawlkit.libs.journal import Journal
from crawlkit.libs.messages import AWAIT, Fetched, FetchedHead, decode, encode
from crawlkit.libs.rows import LogLine
from crawlkit.message_queue.base import Delivery, MessageQueue
from crawlkit.message_queue.outbox import Outbox, StatusOutboxes
from crawlkit.message_queue.patience import pause_after
from crawlkit.message_queue.presence import Presence
from crawlkit.message_queue.status_queues import StatusQueues
from crawlkit.processor import bodies, frames, records
from crawlkit.processor.grants import LOOK, Grants, Unseal, no_key
from crawlkit.processor.held import Held, HeldKey, blobs_of, is_of, key_of
from crawlkit.processor.keeper import Keeper
from crawlkit.processor.orders import MAX_SCRIPT
from crawlkit.processor.outcome import answer, failure
from crawlkit.processor.pool import Pool
from crawlkit.processor.said import Said, from_text
from crawlkit.processor.scripts import Scripts
from crawlkit.processor.settings import ProcessorSettings
from crawlkit.processor.worker_handle import WorkerHandle
from crawlkit.processor.zygote_client import ForkedZygote

STARTS = ("on_start", "on_finished")  # what a command of a person runs
RETRY = 1.0  # seconds between attempts to reach the store of bodies

log = logging.getLogger("crawlkit.processor")


class ProcessorService:
    """One processor. ``environ``: what the workers' clean environment is picked from, by default this process's.

    ``unseal`` opens the settings of projects.
    """

    def __init__(
        self,
        *,
        inqueue: MessageQueue,
        result_queue: MessageQueue,
        status_queues: StatusQueues,
        projectdb: ProjectStore,
        settings: ProcessorSettings,
        clock: Clock,
        node: str,
        blobs: BlobStore | None = None,
        environ: Mapping[str, str] | None = None,
        unseal: Unseal = no_key,
        journal: Journal | None = None,
        zygote: ForkedZygote | None = None,
    ) -> None:
        """``journal`` gets what callbacks log, line by line. ``zygote``: one that is there already."""
        self._inqueue = inqueue
        self._settings = settings
        self._clock = clock
        self._node = node
        self._blobs = blobs
        self._scripts = Scripts(projectdb)
        self._grants = Grants(projectdb, unseal)
        self._journal = journal
        environ = os.environ if environ is None else environ
        self._pool = Pool(self, settings, clock, node, environ, log_lines=journal is not None, zygote=zygote)
        bounds = settings.out_messages, settings.out_bytes
        self._to_result: Outbox[Held] = Outbox(result_queue, *bounds, self._forwarded)
        self._to_status: StatusOutboxes[Held] = StatusOutboxes(
            status_queues, *bounds, self._forwarded, self._look_ahead
        )
        self._set_aside: dict[int, list[Held]] = {}  # partition -> tasks that wait until its status queue goes on
        keep = settings.keep_pages if blobs is not None else 0
        self._keeper = Keeper(blobs, keep, clock) if keep and blobs is not None else None
        self._held: dict[HeldKey, Held] = {}
        self._held_bytes = 0
        self._looking_up: dict[tuple[str, str], list[Held]] = {}  # (project, version) -> tasks that wait for the script
        self._to_ack: list[Held] = []
        self._ack_wake = asyncio.Event()
        self._room = asyncio.Event()
        self._stop = asyncio.Event()
        self._ended = asyncio.Event()
        self._running = False
        self._taking: asyncio.Future[list[Delivery]] | None = None
        self._taken_bytes = 0
        self._presence = Presence(
            status_queues, clock, node, "processor", every=settings.heartbeat, limits=settings.limits,
            held=lambda: [key[:4] for key in self._held], stats=self._stats, pids=self._pool.pids, moved=self._moved,
            inflight=lambda: self._held_bytes, turned=self._turned,
        )  # fmt: skip
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts = {"processed": 0.0, "failed": 0.0}
        self._paused = False

    async def run(self) -> None:
        """Works until :meth:`stop`, or until cancelled."""
        loops: list[asyncio.Task[None]] = []
        self._running = True
        try:
            await self._pool.start()
            for loop in (
                self._to_result.run(),
                self._to_status.run(),
                self._acknowledge(),
                self._presence.run(),
                self._keep_house(),
                self._watch(),
                *([self._keeper.run()] if self._keeper is not None else []),
                self._take(),
            ):
                loops.append(asyncio.create_task(loop))
            stop = asyncio.create_task(self._stop.wait())
            done, _ = await asyncio.wait([*loops, stop], return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            for task in done - {stop}:
                task.result()  # a loop only ends by an error: show it
            loops.pop().cancel()  # take nothing more
            await self._finish()
        finally:
            for task in [*loops, *self._tasks]:
                task.cancel()
            await asyncio.gather(*loops, *self._tasks, return_exceptions=True)
            await self._pool.close()
            self._ended.set()

    async def stop(self) -> None:
        """Takes nothing more, gives back what does not run, lets the rest finish within ``stop_within`` seconds."""
        self._stop.set()
        if self._running:
            await self._ended.wait()

    def pids(self) -> list[int]:
        """The process ids of zygote and workers."""
        return self._pool.pids()

    # Taking.

    async def _take(self) -> None:
        misses = 0
        while True:
            while not self._has_room():
                self._room.clear()
                await self._room.wait()
            try:
                deliveries = await self._next()
                misses = 0
            except QueueError as error:
                if not misses:
                    log.warning("%s: %s; waiting for it", self._inqueue.name, error)
                misses += 1
                await asyncio.sleep(pause_after(misses))
                continue
            for delivery in deliveries:
                self._accept(delivery)

    async def _next(self) -> list[Delivery]:
        """The next messages; none when the node pauses first."""
        self._taking = asyncio.ensure_future(self._inqueue.get_many(self._settings.take))
        try:
            return await self._taking
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._presence.paused or (task is not None and task.cancelling()):
                raise
            return []

    def _has_room(self) -> bool:
        settings = self._settings
        if self._paused or self._presence.paused:
            return False
        return len(self._held) < settings.held_messages and self._held_bytes < settings.held_bytes

    def _accept(self, delivery: Delivery) -> None:
        try:
            fetched: FetchedHead = decode(delivery.body, FetchedHead)
        except BadMessage as error:
            self._spawn(self._reject((delivery.id,), str(error)))
            return
        head = fetched.task
        key = key_of(head)
        known = self._held.get(key)
        if known is not None:
            # The queue lost us for a moment and delivered again what is in hand: it is not run twice.
            known.deliveries += (delivery.id,)
            return
        held = self._held[key] = Held((delivery.id,), delivery.body, head, key)
        self._held_bytes += len(delivery.body)
        self._taken_bytes += len(delivery.body)
        self._presence.took()
        if self._to_status.blocked(head.partition):
            self._set_aside.setdefault(head.partition, []).append(held)
            return
        self._begin(held)

    def _begin(self, held: Held) -> None:
        head = held.head
        if head.kind == AWAIT:
            self._spawn(self._answer_await(held))
            return
        if self._keeper is not None:
            self._keeper.offer(held)
        if head.callback in STARTS and head.url.startswith("data:"):
            self._spawn(self._start(held))
        else:
            self._find_script(held)

    async def _start(self, held: Held) -> None:
        """Somebody starts a crawl: what they set a moment before holds."""
        with contextlib.suppress(CrawlkitError):  # what is known is used then
            await self._grants.refresh()
        self._find_script(held)

    def _find_script(self, held: Held) -> None:
        head = held.head
        text = self._scripts.known(head.project, head.script)
        if text is not None and len(text) <= MAX_SCRIPT:
            held.script = text
            self._pool.submit(held)
            return
        waiting = self._looking_up.get((head.project, head.script))
        if waiting is not None:
            waiting.append(held)
        else:
            self._looking_up[head.project, head.script] = [held]
            self._spawn(self._look_up(head.project, head.script))

    async def _look_up(self, project: str, version: str) -> None:
        await self._grants.find(project)
        text = await self._scripts.find(project, version)
        for held in self._looking_up.pop((project, version)):
            if text is None:
                self.failed(held, "no_project", f"no such project or version: {project} {version}", 0.0)
            elif len(text) > MAX_SCRIPT:
                self.failed(held, "script_error", f"the script is {len(text):,} bytes, over {MAX_SCRIPT:,}", 0.0)
            else:
                held.script = text
                self._pool.submit(held)

    async def _reject(self, deliveries: Sequence[int], reason: str) -> None:
        log.warning("%s: put aside a message: %s", self._inqueue.name, reason)
        with contextlib.suppress(QueueError):  # then it comes again
            await self._inqueue.reject(deliveries, reason)

    # What the pool says.

    def part(self, held: Held, kind: int, payload: bytes) -> None:
        """A part of an outcome came from a worker."""
        last = bool(kind & frames.IS_LAST)
        if not is_of(held, payload):
            # a handler that got hold of the pipe may speak for its own task only
            log.warning("a worker of %s sent an outcome that is not of its task: dropped", held.head.project)
            held.parts -= 1
            if last:
                self.failed(held, "worker_died", "its worker sent an outcome of another task", 0.0)
            return
        if kind & frames.HAS_RESULTS or not last:
            held.by_result_queue = True  # an early part too: its attempt may yet have results
        if last:
            self._counts["processed"] += 1
        self._forward(payload, held, last)

    def failed(self, held: Held, reason: str, text: str, seconds: float, logs: str | None = None) -> None:
        """The service itself ends the attempt."""
        self._counts["failed"] += 1
        try:
            fetched: Fetched = decode(held.body, Fetched)
        except BadMessage as error:
            self.bad_task(held, str(error))
            return
        outcome = failure(
            fetched, node=self._node, reason=reason, exception=text, logs=logs, seconds=seconds, part=held.parts
        )
        if logs:
            self.said(held, from_text(logs, False, self._clock.time()))
        self._forward(encode(outcome), held, True)

    def said(self, held: Held, lines: list[Said]) -> None:
        """What a callback logged."""
        if self._journal is None:
            return
        task = held.head
        self._journal([
            LogLine(
                line.time, line.level, line.text, project=task.project, taskid=task.taskid,
                callback=task.callback or "", url=task.url, logger=line.source,
            )
            for line in lines
        ])  # fmt: skip

    def bad_task(self, held: Held, problem: str) -> None:
        """Its head could be read, the rest cannot."""
        self._drop(held)
        self._spawn(self._reject(held.deliveries, problem))

    def asked(self, worker: WorkerHandle, held: Held, what: str, name: str) -> None:
        """A worker needs a body or a script that only the service can read."""
        if what == frames.ASK_SCRIPT:
            self._spawn(self._answer_script(worker, name))
            return
        if what == frames.ASK_KEEP:
            self._spawn(self._keep(worker, held))
            return
        if name not in blobs_of(held.body):  # user code has got hold of the worker's pipe
            log.warning("project %s: a callback asked for the body of another task", held.head.project)
            self._spawn(self._answer_none(worker))
            return
        if what == frames.ASK_BLOB:
            held.blob = name
        self._spawn(self._answer_blob(worker, name))

    def settings_of(self, project: str) -> bytes:
        """What a worker of the project is given now."""
        return self._grants.known(project)

    def about(self, project: str) -> dict[str, str | float | None]:
        """What the project's row says now, for a worker that begins with its script."""
        return self._grants.about(project)

    def room(self) -> None:
        """A worker ended a task."""
        if not self._room.is_set():
            self._room.set()

    async def _answer_none(self, worker: WorkerHandle) -> None:
        worker.send(frames.ANSWER_NONE, 0, b"")
        worker.flush()

    async def _answer_blob(self, worker: WorkerHandle, name: str) -> None:
        pieces: Iterator[bytes] | None = None
        sent = False
        try:
            if self._blobs is None:
                raise KeyError(name)
            pieces = await bodies.opened(self._blobs, name)
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                for at in range(0, len(piece), frames.ANSWER_CHUNK):
                    worker.send(frames.ANSWER, 0, piece[at : at + frames.ANSWER_CHUNK])
                sent = True
                await worker.drained()
        except (KeyError, StoreError) as error:
            log.warning("body %s: %s", name, error if isinstance(error, StoreError) else "is gone")
            worker.send(frames.ANSWER_NONE, 0, b"")
        else:
            worker.send(frames.ANSWER_END if sent or pieces is not None else frames.ANSWER_NONE, 0, b"")
        worker.flush()

    async def _answer_await(self, held: Held) -> None:
        """An answer that a callback waits for: it is stored, and no callback runs."""
        try:
            fetched: Fetched = decode(held.body, Fetched)
        except BadMessage as error:
            self.bad_task(held, str(error))
            return
        held.blob = fetched.blob
        record = await self._store(held, fetched)
        self._counts["processed"] += 1
        self._forward(encode(answer(fetched, record, node=self._node, now=self._clock.time())), held, True)

    async def _keep(self, worker: WorkerHandle, held: Held) -> None:
        """A callback waits for the first time: what it began with is stored."""
        try:
            record = await self._store(held, decode(held.body, Fetched))
        except BadMessage:  # the worker has read it, so it can be read
            record = None
        if record is None:
            worker.send(frames.ANSWER_NONE, 0, b"")
        else:
            worker.send(frames.ANSWER, 0, record.encode())
            worker.send(frames.ANSWER_END, 0, b"")
        worker.flush()

    async def _store(self, held: Held, fetched: Fetched) -> str | None:
        """The blob of a record of the message; waits while the store is away. ``None``: there is nothing to keep."""
        blobs, task = self._blobs, fetched.task
        if blobs is None:
            return None

        def create() -> str:
            body = blobs.read(fetched.blob) if fetched.blob is not None else ()
            return blobs.create(records.pieces(held.body, body), f"{task.project}/{task.taskid}/{task.run}")

        said = False
        while True:
            try:
                return await asyncio.to_thread(create)
            except StoreUnavailable as error:
                if not said:
                    log.warning("blobs: %s; callbacks that await wait", error)
                    said = True
                await asyncio.sleep(RETRY)
            except (KeyError, StoreError) as error:
                log.warning("%s: %s cannot be kept: %s", task.project, task.url, error)
                return None

    async def _answer_script(self, worker: WorkerHandle, project: str) -> None:
        try:
            text = await self._scripts.newest(project)
        except StoreError as error:
            log.warning("projectdb: %s", error)
            text = None
        if text is None:
            worker.send(frames.ANSWER_NONE, 0, b"")
        else:
            for at in range(0, len(text), frames.ANSWER_CHUNK):
                worker.send(frames.ANSWER, 0, text[at : at + frames.ANSWER_CHUNK])
            worker.send(frames.ANSWER_END, 0, b"")
        worker.flush()

    # Forwarding and acknowledging.

    def _forward(self, payload: bytes, held: Held, last: bool) -> None:
        box = self._to_result if held.by_result_queue else self._to_status.of(held.head.partition)
        box.add(payload, held if last else None)
        if not self._paused and (self._to_result.full or self._to_status.full):
            self._paused = True
            self._pool.pause()

    def _forwarded(self, ended: list[Held]) -> None:
        """The next queue has these outcomes: now their messages may go."""
        if ended:
            self._to_ack += ended
            self._ack_wake.set()
        self._look_ahead()

    def _look_ahead(self) -> None:
        """There may be room in the queues ahead, or one of them is in nobody's way any more."""
        free = [partition for partition in self._set_aside if not self._to_status.blocked(partition)]
        for held in [held for partition in free for held in self._set_aside.pop(partition)]:
            if held.key in self._held:
                self._begin(held)
        if self._paused and self._to_result.half_empty and self._to_status.half_empty:
            self._paused = False
            self._pool.resume()
            self.room()

    async def _acknowledge(self) -> None:
        while True:
            await self._ack_wake.wait()
            self._ack_wake.clear()
            ended, self._to_ack = self._to_ack, []
            for held in ended:  # first: what the queue delivers from here on is not among what is acknowledged
                self._drop(held)
            try:
                await self._inqueue.ack([id_ for held in ended for id_ in held.deliveries])
            except QueueError:  # the message comes again, needs its body, and its outcome finds nothing to do
                continue
            blobs = [held.blob for held in ended if held.blob is not None]
            if blobs and self._blobs is not None:
                with contextlib.suppress(StoreError):  # what stays behind is swept later
                    await asyncio.to_thread(self._blobs.remove, blobs)

    def _drop(self, held: Held) -> None:
        if self._held.pop(held.key, None) is not None:
            self._held_bytes -= len(held.body)
            self.room()

    # Heartbeat, and the end.

    async def _keep_house(self) -> None:
        while True:
            self._pool.housekeeping()
            if imported := self._pool.imports():
                with contextlib.suppress(StoreError):  # the next look is soon
                    self._pool.imports_are(await self._scripts.versions(imported))
            await asyncio.sleep(self._settings.heartbeat)

    async def _watch(self) -> None:
        """A changed setting reaches the workers with the next task."""
        while True:
            with contextlib.suppress(CrawlkitError):  # the next look is soon
                await self._grants.refresh()
            await asyncio.sleep(LOOK)

    def _moved(self) -> tuple[int, int]:
        return self._taken_bytes, self._to_result.put_bytes + self._to_status.put_bytes

    def _stats(self) -> dict[str, float]:
        return {**self._counts, **self._pool.stats(), "held": float(len(self._held))}

    def _turned(self) -> None:
        """The node pauses, or goes on."""
        self.room()
        if self._presence.paused and self._taking is not None:
            self._taking.cancel()

    async def _finish(self) -> None:
        """The graceful end: gives back what does not run, waits for what does, sends what is ready."""
        deadline = self._clock.monotonic() + self._settings.stop_within
        waiting = [held for line in self._looking_up.values() for held in line]
        aside = [held for line in self._set_aside.values() for held in line]
        self._set_aside.clear()
        await self._give_back([*waiting, *aside, *self._pool.drain()])
        while self._clock.monotonic() < deadline and not (
            not self._pool.running() and self._to_result.empty and self._to_status.settled and not self._to_ack
        ):
            self._room.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await self._room.wait()
        await self._give_back(list(self._held.values()))
        if self._keeper is not None:
            await self._keeper.write()
        await self._presence.beat(stopping=True)

    async def _give_back(self, back: list[Held]) -> None:
        for held in back:
            self._drop(held)
        if back:
            with contextlib.suppress(QueueError):  # the broker takes them back by itself when we are gone
                await self._inqueue.nack([id_ for held in back for id_ in held.deliveries])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
