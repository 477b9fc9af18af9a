"""The scheduler's shell: takes what arrives, lets the engine turn, then acknowledges and sends.

No rule lives here. The order is the promise: commit, then acknowledge, then send; a crash in between repeats work and
loses none.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import msgspec

from crawlkit import __version__
from crawlkit.database.base import BlobStore
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import (
    BadMessage,
    CrawlkitError,
    InvalidTask,
    NotOwner,
    Overspent,
    QueueError,
    QueueUnavailable,
    StoreError,
    StoreUnavailable,
)
from crawlkit.libs.journal import Journal
from crawlkit.libs.messages import Heartbeat, NewTasks, Outcome, decode, decode_status, encode
from crawlkit.libs.task import Task, check_task
from crawlkit.libs.vitals import Vitals
from crawlkit.message_queue.base import Broker, Delivery, MessageQueue
from crawlkit.message_queue.gathering import Rest
from crawlkit.message_queue.outbox import StatusOutboxes
from crawlkit.message_queue.status_queues import StatusQueues
from crawlkit.scheduler.desk import SUBMIT_CHUNK, Desk
from crawlkit.scheduler.engine import Engine
from crawlkit.scheduler.membership import CarryOut, Membership
from crawlkit.scheduler.ownership import Ownership
from crawlkit.scheduler.post import SEND_AHEAD, Post
from crawlkit.scheduler.status_readers import StatusReaders
from crawlkit.scheduler.teller import Teller
from crawlkit.scheduler.trouble import Trouble
from crawlkit.scheduler.turn import Inbox, Outbox, Submission, Verdict
from crawlkit.scheduler.turn_times import TurnTimes

log = logging.getLogger("scheduler")

BEAT = 2.0  # seconds between heartbeats of its own
FOLLOWS_PER_TURN = 2_000  # follow-ups decided in one turn, unless a single message holds more
BUSY_PAUSE = 0.008  # seconds between turns while many tasks are out, so that each turn has a batch to work on
AT_WORK = 2 * SEND_AHEAD  # tasks out, so that some are worked on while a turn takes in the answers of others
BUSY = 48  # tasks out: from so many on turns wait for a batch
POURING = 32  # messages that came since the last turn began: then more are waited for
ENOUGH = 128  # of them: a batch on which what each turn costs by itself hardly counts
LONG_PAUSE = 0.02  # seconds between turns while messages pour in, unless there are enough
SWEEP = 3_600.0  # seconds between looks for bodies that were left behind
RETRY_STORE = (0.2, 2.0)  # seconds: first and longest wait for a store that does not answer
EPOCH = 2.0  # seconds between questions whether the broker lost its messages
UNBOUNDED = 2**40
Source = tuple[MessageQueue, int]  # the queue that a message came from, and its id there


class SchedulerService(Desk):
    """Runs an :class:`Engine` between its queues. All methods belong to one event loop."""

    def __init__(
        self,
        engine: Engine,
        *,
        newtask_queue: MessageQueue,
        status_queues: StatusQueues,
        out_queue: MessageQueue,
        clock: Clock,
        broker: Broker | None = None,
        ring: Sequence[MessageQueue] = (),
        resume_queue: MessageQueue | None = None,
        blobs: BlobStore | None = None,
        node: str = "",
        journal: Journal | None = None,
        ownership: Ownership | None = None,
        membership: Membership | None = None,
    ) -> None:
        """``node``: what its own heartbeats call it, of which there are none without. ``journal`` gets failures.

        ``ownership``: of the taskdb, claimed before the engine was made; it is renewed here.
        ``membership``: instead of that, where there are several partitions.
        ``ring``: the queues beside the status queues in which a task may be on its way.
        """
        super().__init__(engine, clock)
        self.broker = broker
        self._newtask_queue = newtask_queue
        self._status_queues = status_queues
        self._out_queue = out_queue
        self._trouble = Trouble()
        sure = membership.sure if membership is not None else None
        self._post = Post(out_queue, resume_queue, self._room_came, self._trouble, sure)
        self._teller = Teller(clock, journal)
        self._ring = list(ring)
        self._blobs = blobs
        self._node = engine.node = node
        self._ownership = ownership
        self._membership = membership
        self._at_work = asyncio.Lock()  # held in a turn, from what it takes to what it sends
        self._started = clock.time()
        self._readers = StatusReaders(status_queues, self._room_to_read, self._trouble, self._took_status)
        self._elsewhere: StatusOutboxes[Source] = StatusOutboxes(
            status_queues, UNBOUNDED, UNBOUNDED, self._went_elsewhere
        )
        self._changing = asyncio.Lock()
        self._sources: list[Source] = []  # of the messages in the inbox, one by one
        self._newtask_ids: list[int] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._rest = Rest()
        self._store_down = ""
        self._next_sweep = float("-inf")
        self._busy_asked, self._busy, self._waiting = float("-inf"), False, False
        self._short = False  # whether the last turn would have sent more if there had been room
        self.turns = 0
        self._took = TurnTimes()

    # -- life --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Works until :meth:`stop`."""
        if self.broker is not None:
            self.engine.epoch = await self.broker.epoch()
        if self._membership is not None:
            await self.read_status(frozenset())
        helpers = [
            asyncio.create_task(self._readers.run()),
            asyncio.create_task(self._elsewhere.run()),
            asyncio.create_task(self._read_newtasks()),
            asyncio.create_task(self._post.run()),
            asyncio.create_task(self._post.run_on()),
        ]
        if self.broker is not None:
            helpers.append(asyncio.create_task(self._watch_epoch(self.broker)))
        if self._ownership is not None:
            helpers.append(asyncio.create_task(self._ownership.keep()))
        if self._membership is not None:
            helpers.append(asyncio.create_task(self._membership.keep(partial(self._change, self._membership))))
        if self._node:
            helpers.append(asyncio.create_task(self._beat()))
        main = asyncio.create_task(self._turn_for_ever())
        try:
            done, _ = await asyncio.wait([main, *helpers], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._stopping = True  # wait_for may swallow the cancel, and no turn may follow the end of the thread
            for one in (main, *helpers, *self._tasks):
                one.cancel()
            await asyncio.gather(main, *helpers, *self._tasks, return_exceptions=True)
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
            queues = dict.fromkeys(
                [self._status_queues.of(0), *self._readers.queues()]
            )  # the first one hears all nodes
            await asyncio.gather(*(self._put_beat(queue, encode(beat)) for queue in queues))
            await asyncio.sleep(BEAT)

    async def _put_beat(self, queue: MessageQueue, beat: bytes) -> None:
        with contextlib.suppress(QueueError):  # full or away: the next one says the same
            await queue.put_many([beat], BEAT / 2)

    async def stop(self) -> None:
        """Ends after the turn that runs now. What is leased stays leased until its answer or its time comes."""
        self._stopping = True
        self._wake.set()
        self._rest.end()

    async def _close(self) -> None:
        try:
            await self._in_thread(self.engine.stop, self.clock.time())
        except StoreError as error:
            log.warning("the counters could not be kept: %s", error)
        if self._membership is not None:
            with contextlib.suppress(StoreError):  # else others find out by themselves
                await self._in_thread(self._membership.leave)
        self._give_up()
        self._thread.shutdown(wait=False)

    # -- input -------------------------------------------------------------------------------------------------------

    async def read_status(self, partitions: frozenset[int]) -> None:
        """Reads the status queues of these partitions from now on, of partition 0 before the first call.

        When it returns, what had come for others and is in no turn yet was given back to the heads of their queues.
        What a turn works on at the moment is acknowledged at its end, or see :meth:`hand_back`.
        """
        async with self._changing:
            gone = await self._readers.change(partitions)
            taken = list(zip(self._inbox.status, self._sources, strict=True))
            kept = [one for one in taken if one[1][0] not in gone]
            if len(kept) < len(taken):
                self._inbox.status, self._sources = [one[0] for one in kept], [one[1] for one in kept]
                await self.hand_back([source for _, source in taken if source[0] in gone])
                self._room_to_read.set()

    async def hand_back(self, sources: Sequence[Source]) -> None:
        """Gives messages back to their queues, in their old order: whoever reads these now gets them."""
        for queue, ids in _by_queue(sources).items():
            with contextlib.suppress(QueueError):  # a lost connection gives them back by itself
                await queue.nack(ids)

    def _took_status(self, partition: int, queue: MessageQueue, deliveries: Sequence[Delivery]) -> None:
        """What a reader took."""
        status, sources = self._inbox.status, self._sources
        for delivery in deliveries:
            try:
                message = decode_status(delivery.body)
            except BadMessage as error:
                self._spawn(self._put_aside(queue, delivery.id, str(error)))
                continue
            if (
                not isinstance(message, Heartbeat)
                and message.partition != partition
                and self._foreign(message.partition)
            ):
                # its bound is that of the queue it came from, where it is unacknowledged
                self._elsewhere.of(message.partition).add(delivery.body, (queue, delivery.id))
                continue
            status.append(message)
            sources.append((queue, delivery.id))
        self._note_input()

    def _foreign(self, partition: int) -> bool:
        """Whether it is another scheduler's. One that is none any more is nobody's, so ours to judge."""
        return partition < self.engine.settings.partitions and partition not in self._readers.partitions

    def _went_elsewhere(self, sources: list[Source]) -> None:
        """These are in the queues where they belong: here they are done."""
        for queue, ids in _by_queue(sources).items():
            self._spawn(self._acknowledge(queue, ids))

    async def _read_newtasks(self) -> None:
        while True:
            await self._room_to_read.wait()
            for delivery in await self._get_newtasks():
                try:
                    message: NewTasks = decode(delivery.body, NewTasks)
                    tasks = [_checked(raw) for raw in message.tasks]
                except (BadMessage, InvalidTask) as error:
                    await self._put_aside(self._newtask_queue, delivery.id, str(error))
                    continue
                self._inbox.submissions += [Submission(task) for task in tasks]
                self._newtask_ids.append(delivery.id)
            self._note_input()

    async def _get_newtasks(self) -> list[Delivery]:
        while True:
            try:
                found = await self._newtask_queue.get_many(20)
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

    def is_first(self) -> bool:
        """Whether this is the scheduler, or of several the one that has the first partition."""
        return self.engine.mine is None or 0 in self.engine.mine

    async def between_turns(self, work: Callable[[], object]) -> None:
        """Does something with the stores while no turn does."""
        await self._in_thread(work)

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
            if self.turns == 1:  # what was read at the start stays: nobody need look at it again for cycles
                gc.collect()
                gc.freeze()
            if self.engine.leased <= BUSY:
                continue
            if wait == 0.0 and self.engine.leased < AT_WORK:  # there is more to send: it goes as soon as there is room
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BUSY_PAUSE):
                        await self._wake.wait()
            else:
                await self._gather()

    async def _gather(self) -> None:
        """Rests a moment, and a longer one while messages pour in; not while somebody waits for a verdict."""
        for seconds in (BUSY_PAUSE, LONG_PAUSE - BUSY_PAUSE):
            if not self._batch():
                await self._rest.take(seconds)
            if len(self._inbox.status) < POURING:
                return

    def _batch(self) -> bool:
        """Whether there is enough for a turn."""
        return len(self._inbox.status) >= ENOUGH or bool(self._tickets) or self._stopping

    def _note_input(self) -> None:
        super()._note_input()
        if self._batch():
            self._rest.end()

    async def _turn(self) -> float:
        try:
            async with self._at_work:
                return await self._take_turn()
        except NotOwner as error:
            if self._membership is None:
                raise
            who = str(error).partition(";")[0]
            log.warning("%s; nothing of this turn was kept; this one goes on with the rest of its partitions", who)
        await self._membership.look_now()
        return 0.0

    async def _change(self, membership: Membership, carry_out: CarryOut, lost: set[int]) -> None:
        """Other partitions are this scheduler's from the next turn on, also when the store fails half-way."""

        def between_turns() -> None:
            try:
                carry_out()
            finally:
                self.engine.own(membership.mine)
                if lost:
                    self.engine.forget()

        async with self._at_work:
            before = self.engine.mine
            try:
                await self._in_thread(between_turns)
            finally:
                mine = membership.mine
                await self.read_status(mine)
                if lost:
                    self._post.forget(lost)
        if mine != before:
            log.info("partitions of this scheduler: %s", ", ".join(map(str, sorted(mine))) or "none for now")
        self._wake.set()

    async def _take_turn(self) -> float:
        inbox, sources, newtask_ids = self._take_inbox()
        inbox.room = self._post.room()
        inbox.newtasks_waiting = self._submitting > 0
        if self.clock.monotonic() - self._busy_asked > 0.5:
            self._busy_asked = self.clock.monotonic()
            self._busy, self._waiting = await self._look_at_queues(inbox)
        inbox.queues_busy, inbox.queues_waiting = self._busy, self._waiting
        came = list(sources)
        try:
            outbox = await self._whatever_comes(inbox, sources)
        except NotOwner:
            await self.hand_back(came)
            self._inbox.submissions = inbox.submissions + self._inbox.submissions
            self._inbox.orders = inbox.orders + self._inbox.orders
            self._newtask_ids = newtask_ids + self._newtask_ids
            raise
        self._room_to_read.set()
        self.turns += 1
        # ack last: a crash before this repeats the messages, never loses them
        for queue, ids in _by_queue(sources).items():
            await self._acknowledge(queue, ids)
        if newtask_ids:
            await self._acknowledge(self._newtask_queue, newtask_ids)
        self._post.take(outbox)  # before who submitted is told: a page goes out, then its answer is written
        self._answer(outbox.verdicts)
        self._teller.tell(outbox)
        if self._blobs is not None:
            await self._tidy_blobs(self._blobs, outbox.blobs)
        self._turned.set()
        self._short = len(outbox.dispatches) >= inbox.room
        return 0.0 if self._short and max(inbox.room, self._post.room()) > 0 else outbox.wake

    def _room_came(self) -> None:
        """Something was sent: who found no room in the last turn has its turn again."""
        if self._short:
            self._wake.set()

    def _take_inbox(self) -> tuple[Inbox, list[Source], list[int]]:
        """What the next turn works on, and where it came from: not so much that other projects would wait for its
        end."""
        inbox, self._inbox = self._inbox, Inbox()
        sources, self._sources = self._sources, []
        newtask_ids, self._newtask_ids = self._newtask_ids, []
        follows = 0
        for position, message in enumerate(inbox.status):
            follows += len(message.follows) if isinstance(message, Outcome) else 0
            if follows > FOLLOWS_PER_TURN and position:
                self._inbox.status, inbox.status = inbox.status[position:], inbox.status[:position]
                self._sources, sources = sources[position:], sources[:position]
                self._wake.set()
                break
        if len(inbox.submissions) > SUBMIT_CHUNK and not newtask_ids:
            self._inbox.submissions = inbox.submissions[SUBMIT_CHUNK:]
            del inbox.submissions[SUBMIT_CHUNK:]
            self._wake.set()
        return inbox, sources, newtask_ids

    async def _whatever_comes(self, inbox: Inbox, sources: list[Source]) -> Outbox:
        """One turn; a message that the engine cannot digest is put aside instead of being met again for ever, and
        leaves ``sources``."""
        try:
            return await self._until_stored(inbox)
        except CrawlkitError:
            raise
        except Exception:  # a fault of crawlkit's own, met with one of these messages: find out which
            log.exception("a turn failed; its messages are tried one by one")
        whole = Outbox(wake=0.0)
        came = list(zip(inbox.status, sources, strict=True))
        sources.clear()
        for message, source in came:
            if await self._alone(Inbox(status=[message]), whole):
                sources.append(source)
            else:
                await self._put_aside(*source, "the scheduler failed on it; see its log")
        for order in inbox.orders:
            if not await self._alone(Inbox(orders=[order]), whole):
                problem = Verdict(order.taskid, False, "refused", "the scheduler failed on it; see its log")
                if order.ticket is not None:
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
            except Overspent as error:
                log.debug("%s", error)
                continue
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
        answers = self._readers.queues()
        ring = [*self._ring, *answers]
        try:
            sizes = [await queue.size() for queue in ring]
        except QueueUnavailable:
            return True, True
        mine = [*inbox.status, *self._inbox.status]
        busy = waiting = any(not isinstance(message, Heartbeat) for message in mine)
        for queue, size in zip(ring, sizes, strict=True):
            waits = size.messages > size.unacked
            waiting |= waits
            busy |= waits if queue in answers else size.messages > 0
        return busy, waiting

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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


def _by_queue(sources: Sequence[Source]) -> dict[MessageQueue, list[int]]:
    """The ids of each queue, in their order."""
    found: dict[MessageQueue, list[int]] = {}
    for queue, number in sources:
        if queue in found:
            found[queue].append(number)
        else:
            found[queue] = [number]
    return found


def _checked(raw: msgspec.Raw) -> Task:
    try:
        task = msgspec.msgpack.decode(raw, type=Task)
    except msgspec.MsgspecError as error:
        raise InvalidTask("task", str(error)) from None
    check_task(task)
    return task
