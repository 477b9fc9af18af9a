"""The scheduler's shell: takes what arrives, lets the engine turn, then acknowledges and sends.

No rule lives here. The order is the promise: commit, then acknowledge, then send; a crash in between repeats work and
loses none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Sequence
from typing import Any

import msgspec

from crawlkit import __version__
from crawlkit.database.base import BlobStore
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import (
    BadMessage,
    CrawlkitError,
    InvalidTask,
    QueueError,
    QueueUnavailable,
    StoreError,
    StoreUnavailable,
)
from crawlkit.libs.journal import Journal
from crawlkit.libs.messages import Heartbeat, NewTasks, Outcome, decode, decode_status, encode
from crawlkit.libs.task import Task, check_task
from crawlkit.libs.vitals import Vitals
from crawlkit.message_queue.base import Broker, MessageQueue
from crawlkit.scheduler.desk import SUBMIT_CHUNK, Desk
from crawlkit.scheduler.engine import Engine
from crawlkit.scheduler.ownership import Ownership
from crawlkit.scheduler.post import Post
from crawlkit.scheduler.teller import Teller
from crawlkit.scheduler.trouble import Trouble
from crawlkit.scheduler.turn import Inbox, Outbox, Submission, Verdict
from crawlkit.scheduler.turn_times import TurnTimes

log = logging.getLogger("scheduler")

BEAT = 2.0  # seconds between heartbeats of its own
BATCH = 500  # status messages taken at a time
FOLLOWS_PER_TURN = 1_000  # follow-ups decided in one turn, unless a single message holds more
BUSY_PAUSE = 0.008  # seconds between turns while many tasks are out, so that each turn has a batch to work on
BUSY = 48  # tasks out, or messages that came during a turn: then the next one has a batch at once
SWEEP = 3_600.0  # seconds between looks for bodies that were left behind
RETRY_STORE = (0.2, 2.0)  # seconds: first and longest wait for a store that does not answer
EPOCH = 2.0  # seconds between questions whether the broker lost its messages


class SchedulerService(Desk):
    """Runs an :class:`Engine` between its queues. All methods belong to one event loop."""

    def __init__(
        self,
        engine: Engine,
        *,
        newtask_queue: MessageQueue,
        status_queue: MessageQueue,
        out_queue: MessageQueue,
        clock: Clock,
        broker: Broker | None = None,
        ring: Sequence[MessageQueue] = (),
        resume_queue: MessageQueue | None = None,
        blobs: BlobStore | None = None,
        node: str = "",
        journal: Journal | None = None,
        ownership: Ownership | None = None,
    ) -> None:
        """``node``: what its own heartbeats call it, of which there are none without. ``journal`` gets failures.

        ``ownership``: of the taskdb, claimed before the engine was made; it is renewed here.
        """
        super().__init__(engine, clock)
        self.broker = broker
        self._newtask_queue = newtask_queue
        self._status_queue = status_queue
        self._out_queue = out_queue
        self._trouble = Trouble()
        self._post = Post(out_queue, resume_queue, self._wake.set, self._trouble)
        self._teller = Teller(clock, journal)
        self._ring = list(ring)
        self._blobs = blobs
        self._node = engine.node = node
        self._ownership = ownership
        self._started = clock.time()
        self._acks: dict[MessageQueue, list[int]] = {status_queue: [], newtask_queue: []}
        self._stopping = False
        self._store_down = ""
        self._next_sweep = float("-inf")
        self._busy_asked, self._busy, self._waiting = float("-inf"), False, False
        self.turns = 0
        self._took = TurnTimes()

    # -- life --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Works until :meth:`stop`."""
        if self.broker is not None:
            self.engine.epoch = await self.broker.epoch()
        helpers = [
            asyncio.create_task(self._read_status()),
            asyncio.create_task(self._read_newtasks()),
            asyncio.create_task(self._post.run()),
            asyncio.create_task(self._post.run_on()),
        ]
        if self.broker is not None:
            helpers.append(asyncio.create_task(self._watch_epoch(self.broker)))
        if self._ownership is not None:
            helpers.append(asyncio.create_task(self._ownership.keep()))
        if self._node:
            helpers.append(asyncio.create_task(self._beat()))
        main = asyncio.create_task(self._turn_for_ever())
        try:
            done, _ = await asyncio.wait([main, *helpers], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._stopping = True  # wait_for may swallow the cancel, and no turn may follow the end of the thread
            for one in (main, *helpers):
                one.cancel()
            await asyncio.gather(main, *helpers, return_exceptions=True)
            await self._close()

    async def _beat(self) -> None:
        """Says that the scheduler is there by the way all nodes do."""
        vitals = Vitals()
        while True:
            seen = self.engine.snapshot
            stats = {**vitals.look(), "turns": float(self.turns), "leased": float(seen["leased"])}
            median, slow, longest = self._took.quantiles(0.5, 0.99, 1.0)
            stats |= {"turn_p50": median, "turn_p99": slow, "turn_max": longest}  # seconds, of the last minute
            beat = Heartbeat(
                self._node, "scheduler", socket.gethostname(), os.getpid(), __version__, self._started, stats=stats
            )
            with contextlib.suppress(QueueError):  # full or away: the next one says the same
                await self._status_queue.put_many([encode(beat)], BEAT / 2)
            await asyncio.sleep(BEAT)

    async def stop(self) -> None:
        """Ends after the turn that runs now. What is leased stays leased until its answer or its time comes."""
        self._stopping = True
        self._wake.set()

    async def _close(self) -> None:
        try:
            await self._in_thread(self.engine.stop, self.clock.time())
        except StoreError as error:
            log.warning("the counters could not be kept: %s", error)
        self._give_up()
        self._thread.shutdown(wait=False)

    # -- input -------------------------------------------------------------------------------------------------------

    async def _read_status(self) -> None:
        while True:
            await self._room_to_read.wait()
            for delivery in await self._get(self._status_queue, BATCH):
                try:
                    self._inbox.status.append(decode_status(delivery.body))
                except BadMessage as error:
                    await self._put_aside(self._status_queue, delivery.id, str(error))
                    continue
                self._acks[self._status_queue].append(delivery.id)
            self._note_input()

    async def _read_newtasks(self) -> None:
        while True:
            await self._room_to_read.wait()
            for delivery in await self._get(self._newtask_queue, 20):
                try:
                    message: NewTasks = decode(delivery.body, NewTasks)
                    tasks = [_checked(raw) for raw in message.tasks]
                except (BadMessage, InvalidTask) as error:
                    await self._put_aside(self._newtask_queue, delivery.id, str(error))
                    continue
                self._inbox.submissions += [Submission(task) for task in tasks]
                self._acks[self._newtask_queue].append(delivery.id)
            self._note_input()

    async def _get(self, queue: MessageQueue, limit: int) -> list[Any]:
        while True:
            try:
                found = list(await queue.get_many(limit))
            except QueueUnavailable as error:
                await self._trouble.wait(error)
                continue
            self._trouble.over()
            return found

    async def _put_aside(self, queue: MessageQueue, delivery: int, reason: str) -> None:
        try:
            await queue.reject([delivery], reason)
        except QueueUnavailable as error:
            log.warning("%s: a message was not put aside (%s) and comes again: %s", queue.name, reason, error)

    async def _watch_epoch(self, broker: Broker) -> None:
        """A broker that loses its messages while we run: what was on its way comes round again at once."""
        while True:
            await asyncio.sleep(EPOCH)
            with contextlib.suppress(QueueUnavailable):  # who takes and who sends says so
                epoch = await broker.epoch()
                if epoch != self.engine.epoch:
                    log.warning("the broker lost its messages: what was on its way comes round again")
                    self.engine.epoch = epoch
                    self._wake.set()

    def drained(self) -> bool:
        """Nothing is ready, leased, tried again or on its way. Tasks that are due later do not count."""
        if self._submitting or self._inbox.submissions or self._inbox.status or not self._post.empty():
            return False
        return bool(self.engine.snapshot["drained"])

    # -- turns -------------------------------------------------------------------------------------------------------

    async def _turn_for_ever(self) -> None:
        wait = 0.0
        while not self._stopping:
            if wait > 0 and not self._wake.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
            self._wake.clear()
            if self._stopping:
                break
            wait = await self._turn()
            if self.engine.snapshot["leased"] > BUSY and len(self._inbox.status) < BUSY:
                await asyncio.sleep(BUSY_PAUSE)

    async def _turn(self) -> float:
        inbox, acks = self._take_inbox()
        inbox.room = self._post.room()
        inbox.newtasks_waiting = self._submitting > 0
        if self.clock.monotonic() - self._busy_asked > 0.5:
            self._busy_asked = self.clock.monotonic()
            self._busy, self._waiting = await self._look_at_queues(inbox)
        inbox.queues_busy, inbox.queues_waiting = self._busy, self._waiting
        outbox = await self._whatever_comes(inbox, acks)
        self._room_to_read.set()
        self.turns += 1
        for queue, ids in acks.items():
            if ids:  # ack last: a crash before this repeats the messages, never loses them
                await self._acknowledge(queue, ids)
        self._answer(outbox.verdicts)
        self._post.take(outbox)
        self._teller.tell(outbox)
        if self._blobs is not None:
            await self._tidy_blobs(self._blobs, outbox.blobs)
        self._turned.set()
        return 0.0 if len(outbox.dispatches) >= inbox.room > 0 else outbox.wake

    def _take_inbox(self) -> tuple[Inbox, dict[MessageQueue, list[int]]]:
        """What the next turn works on: not so much that other projects would wait for its end."""
        inbox, self._inbox = self._inbox, Inbox()
        acks, self._acks = self._acks, {self._status_queue: [], self._newtask_queue: []}
        follows = 0
        for position, message in enumerate(inbox.status):
            follows += len(message.follows) if isinstance(message, Outcome) else 0
            if follows > FOLLOWS_PER_TURN and position:
                ids = acks[self._status_queue]
                self._inbox.status, inbox.status = inbox.status[position:], inbox.status[:position]
                self._acks[self._status_queue], acks[self._status_queue] = ids[position:], ids[:position]
                self._wake.set()
                break
        if len(inbox.submissions) > SUBMIT_CHUNK and not acks[self._newtask_queue]:
            self._inbox.submissions = inbox.submissions[SUBMIT_CHUNK:]
            del inbox.submissions[SUBMIT_CHUNK:]
            self._wake.set()
        return inbox, acks

    async def _whatever_comes(self, inbox: Inbox, acks: dict[MessageQueue, list[int]]) -> Outbox:
        """One turn; a message that the engine cannot digest is put aside instead of being met again for ever."""
        try:
            return await self._until_stored(inbox)
        except CrawlkitError:
            raise
        except Exception:  # a fault of crawlkit's own, met with one of these messages: find out which
            log.exception("a turn failed; its messages are tried one by one")
        whole = Outbox(wake=0.0)
        ids = acks[self._status_queue]
        acks[self._status_queue] = []
        for message, number in zip(inbox.status, ids, strict=True):
            if await self._alone(Inbox(status=[message]), whole):
                acks[self._status_queue].append(number)
            else:
                await self._put_aside(self._status_queue, number, "the scheduler failed on it; see its log")
        for order in inbox.orders:
            if not await self._alone(Inbox(orders=[order]), whole):
                problem = Verdict(order.taskid, False, "refused", "the scheduler failed on it; see its log")
                whole.verdicts.append((order.ticket, problem))
        for submission in inbox.submissions:
            if not await self._alone(Inbox(submissions=[submission]), whole) and submission.ticket is not None:
                problem = Verdict(submission.task.taskid, False, "refused", "the scheduler failed on it; see its log")
                whole.verdicts.append((submission.ticket, problem))
        return whole

    async def _alone(self, inbox: Inbox, whole: Outbox) -> bool:
        try:
            one = await self._until_stored(inbox)
        except CrawlkitError:
            raise
        except Exception:  # as above; this is the one
            log.exception("put aside: %r", (inbox.status or inbox.submissions or inbox.orders)[0])
            return False
        whole.dispatches += one.dispatches
        whole.resumes += one.resumes
        whole.blobs += one.blobs
        whole.failures += one.failures
        whole.pauses += one.pauses
        whole.holds += one.holds
        whole.let_go += one.let_go
        whole.nodes += one.nodes
        whole.no_browser += one.no_browser
        whole.verdicts += one.verdicts
        return True

    async def _until_stored(self, inbox: Inbox) -> Outbox:
        """One turn of the engine, however long the store takes to be there again."""
        pause = RETRY_STORE[0]
        while True:
            try:
                now, mono = self.clock.time(), self.clock.monotonic()
                outbox: Outbox = await self._in_thread(self.engine.turn, now, inbox, mono)
            except StoreUnavailable as error:
                if self._store_down != str(error):
                    self._store_down = str(error)
                    log.error("no work is taken until the store answers: %s", error)
                if self._stopping:
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_STORE[1])
                continue
            ended = self.clock.monotonic()
            self._took.add(ended - mono, ended)
            if self._store_down:
                self._store_down = ""
                log.warning("the store answers again: work goes on")
            return outbox

    async def _look_at_queues(self, inbox: Inbox) -> tuple[bool, bool]:
        """Whether a lease that nobody renews may be in a queue, and whether it may wait there for somebody.

        Heartbeats in hand do not count: there is nearly always one, and no lost task would ever come round.
        """
        if not self._ring:
            full = self._out_queue.room() <= 0
            return full, full
        try:
            sizes = [await queue.size() for queue in self._ring]
        except QueueUnavailable:
            return True, True
        mine = [*inbox.status, *self._inbox.status]
        busy = waiting = any(not isinstance(message, Heartbeat) for message in mine)
        for queue, size in zip(self._ring, sizes, strict=True):
            waits = size.messages > size.unacked
            waiting |= waits
            busy |= waits if queue.name == self._status_queue.name else size.messages > 0
        return busy, waiting

    async def _acknowledge(self, queue: MessageQueue, ids: list[int]) -> None:
        try:
            await queue.ack(ids)
        except QueueUnavailable as error:
            log.debug("%s; what was not acknowledged comes again and changes nothing", error)

    async def _tidy_blobs(self, blobs: BlobStore, done: list[str]) -> None:
        """Removes what nobody needs any more, and now and then what a crash left behind."""
        now, mono = self.clock.time(), self.clock.monotonic()
        try:
            if done:
                await self._in_thread(blobs.remove, done)
            if mono >= self._next_sweep:
                self._next_sweep = mono + SWEEP
                await self._in_thread(blobs.sweep, now - self.engine.settings.keep_blobs)
        except StoreError as error:
            log.warning("%s; bodies that nobody needs are swept up later", error)


def _checked(raw: msgspec.Raw) -> Task:
    try:
        task = msgspec.msgpack.decode(raw, type=Task)
    except msgspec.MsgspecError as error:
        raise InvalidTask("task", str(error)) from None
    check_task(task)
    return task
