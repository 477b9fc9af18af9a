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
from concurrent.futures import ThreadPoolExecutor
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
from crawlkit.libs.journal import UNSTORED, Journal
from crawlkit.libs.messages import Dispatch, Fetched, Heartbeat, NewTasks, Outcome, decode, decode_status, encode
from crawlkit.libs.rows import LogLine
from crawlkit.libs.task import (
    Fetch,
    JSONDict,
    Process,
    Schedule,
    Task,
    check_project_name,
    check_size,
    check_task,
    task_from_dict,
)
from crawlkit.libs.vitals import Vitals
from crawlkit.message_queue.base import Broker, MessageQueue
from crawlkit.scheduler.actions import AT_ONCE, BULK
from crawlkit.scheduler.engine import Engine
from crawlkit.scheduler.kinds import command
from crawlkit.scheduler.onlookers import OverviewCache, count_order
from crawlkit.scheduler.turn import Failure, Inbox, Order, Outbox, Submission, Verdict

log = logging.getLogger("scheduler")

BEAT = 4.0  # seconds between heartbeats of its own
BATCH = 500  # status messages taken at a time
FOLLOWS_PER_TURN = 1_000  # follow-ups decided in one turn, unless a single message holds more
BACKLOG = 2_000  # messages held undecided before reading stops
BUSY_PAUSE = 0.008  # seconds between turns while many tasks are out, so that each turn has a batch to work on
BUSY = 48  # tasks out
SEND_AHEAD = 100  # tasks leased and not yet put on the queue
SUBMIT_CHUNK = 1_000
TASK_KINDS = ("cancel", "rerun")
TELL_AGAIN = 60.0  # seconds between two log lines about failures of one kind
SWEEP = 3_600.0  # seconds between looks for bodies that were left behind
RETRY_STORE = (0.2, 5.0)  # seconds: first and longest wait for a store that does not answer


class SchedulerService:
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
    ) -> None:
        """``node``: what its own heartbeats call it, of which there are none without. ``journal`` gets failures."""
        self.engine = engine
        self.clock = clock
        self.broker = broker
        self._newtask_queue = newtask_queue
        self._status_queue = status_queue
        self._out_queue = out_queue
        self._ring = list(ring)
        self._resume_queue = resume_queue  # the processors' queue: for what is not fetched
        self._blobs = blobs
        self._node = node
        self._journal = journal
        self._started = clock.time()
        self._inbox = Inbox()
        self._acks: dict[MessageQueue, list[int]] = {status_queue: [], newtask_queue: []}
        self._tickets: dict[int, asyncio.Future[Verdict]] = {}
        self._next_ticket = 0
        self._outbox: list[Dispatch] = []
        self._resumes: list[Fetched] = []
        self._resumes_filled = asyncio.Event()
        self._wake = asyncio.Event()
        self._room_to_read = asyncio.Event()
        self._room_to_read.set()
        self._outbox_filled = asyncio.Event()
        self._stopping = False
        self._submitting = 0
        self._store_down = ""
        self._next_sweep = float("-inf")
        self._told: dict[tuple[str, str, bool], tuple[float, int]] = {}
        self._busy_asked, self._busy = float("-inf"), False
        self._thread = ThreadPoolExecutor(1, "scheduler-store")
        self._overview = OverviewCache(engine, clock, self._thread)
        self._turned = asyncio.Event()
        self.turns = 0

    # -- life --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Works until :meth:`stop`."""
        if self.broker is not None:
            self.engine.epoch = await self.broker.epoch()
        helpers = [
            asyncio.create_task(self._read_status()),
            asyncio.create_task(self._read_newtasks()),
            asyncio.create_task(self._send()),
            asyncio.create_task(self._send_on()),
        ]
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
        for ticket in self._tickets.values():
            if not ticket.done():
                ticket.set_exception(StoreUnavailable("the scheduler was stopped before it could answer"))
        self._tickets.clear()
        self._thread.shutdown(wait=False)

    async def _in_thread(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    # -- input -------------------------------------------------------------------------------------------------------

    async def _read_status(self) -> None:
        while True:
            await self._room_to_read.wait()
            for delivery in await self._get(self._status_queue, BATCH):
                try:
                    self._inbox.status.append(decode_status(delivery.body))
                except BadMessage as error:
                    await self._status_queue.reject([delivery.id], str(error))
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
                    await self._newtask_queue.reject([delivery.id], str(error))
                    continue
                self._inbox.submissions += [Submission(task) for task in tasks]
                self._acks[self._newtask_queue].append(delivery.id)
            self._note_input()

    async def _get(self, queue: MessageQueue, limit: int) -> list[Any]:
        while True:
            try:
                return list(await queue.get_many(limit))
            except QueueUnavailable as error:
                log.warning("%s", error)
                await asyncio.sleep(1.0)

    def _note_input(self) -> None:
        if len(self._inbox.status) + len(self._inbox.submissions) > BACKLOG:
            self._room_to_read.clear()
        self._wake.set()

    # -- turns -------------------------------------------------------------------------------------------------------

    async def _turn_for_ever(self) -> None:
        wait = 0.0
        while not self._stopping:
            if wait > 0 and not self._wake.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), wait)
            self._wake.clear()
            if self._stopping:
                break
            wait = await self._turn()
            if self.engine.snapshot["leased"] > BUSY:
                await asyncio.sleep(BUSY_PAUSE)

    async def _turn(self) -> float:
        inbox, acks = self._take_inbox()
        inbox.room = max(0, SEND_AHEAD - len(self._outbox))
        inbox.newtasks_waiting = self._submitting > 0
        if self.clock.monotonic() - self._busy_asked > 0.5:
            self._busy_asked = self.clock.monotonic()
            self._busy = await self._queues_busy()
        inbox.queues_busy = self._busy
        outbox = await self._whatever_comes(inbox, acks)
        self._room_to_read.set()
        self.turns += 1
        for queue, ids in acks.items():
            if ids:  # ack last: a crash before this repeats the messages, never loses them
                await self._acknowledge(queue, ids)
        for number, verdict in outbox.verdicts:
            ticket = self._tickets.pop(number, None)
            if ticket is not None and not ticket.done():
                ticket.set_result(verdict)
        if outbox.dispatches:
            self._outbox += outbox.dispatches
            self._outbox_filled.set()
        if outbox.resumes:
            self._resumes += outbox.resumes
            self._resumes_filled.set()
        self._tell(outbox)
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

    def _tell(self, outbox: Outbox) -> None:
        """Says who fails and why: the first of each kind a minute, with how many there were since."""
        now = self.clock.monotonic()
        if outbox.failures and self._journal is not None:
            self._journal([_line_of(failure, self.clock.time()) for failure in outbox.failures])
        for failure in outbox.failures:
            kind = (failure.project, failure.reason, failure.again is None)
            told, more = self._told.get(kind, (float("-inf"), 0))
            if now - told < TELL_AGAIN:
                self._told[kind] = (told, more + 1)
                continue
            if len(self._told) > 1_000:
                self._told.clear()
            self._told[kind] = (now, 0)
            before = f"; {more} more like it before" if more else ""
            log.info("%s: %s %s%s", failure.project, failure.url, _words_of(failure), before, extra=UNSTORED)
        for project, state in outbox.pauses:
            words = {
                "paused": "paused: its last tasks all failed",
                "checking": "tries a few tasks again",
                "held": "paused by hand",
            }
            log.warning("project %s %s", project, words.get(state, "runs again"), extra={"project": project})

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
                await self._status_queue.reject([number], "the scheduler failed on it; see its log")
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
            if self._store_down:
                self._store_down = ""
                log.warning("the store answers again: work goes on")
            return outbox

    async def _queues_busy(self) -> bool:
        """Whether a lease that nobody renews may only be waiting in a queue."""
        if not self._ring:
            return self._out_queue.room() <= 0
        try:
            return any([(await queue.size()).messages for queue in self._ring])
        except QueueUnavailable:
            return True

    async def _acknowledge(self, queue: MessageQueue, ids: list[int]) -> None:
        try:
            await queue.ack(ids)
        except QueueUnavailable as error:
            log.warning("%s; what was not acknowledged comes again and changes nothing", error)

    # -- output ------------------------------------------------------------------------------------------------------

    async def _send(self) -> None:
        while True:
            await self._outbox_filled.wait()
            self._outbox_filled.clear()
            while self._outbox:
                batch = self._outbox[:]
                bodies = [body for dispatch in batch if (body := _encoded(dispatch, dispatch)) is not None]
                try:
                    await self._out_queue.put_many(bodies)
                except QueueUnavailable as error:
                    log.warning("%s", error)
                    await asyncio.sleep(1.0)
                    continue
                del self._outbox[: len(batch)]
                self._wake.set()

    async def _send_on(self) -> None:
        """What goes to a processor without a fetch: answered awaits, and requests that a hook may change."""
        while True:
            await self._resumes_filled.wait()
            self._resumes_filled.clear()
            while self._resumes and self._resume_queue is not None:
                batch = self._resumes[:SEND_AHEAD]
                bodies = [body for fetched in batch if (body := _encoded(fetched, fetched.task)) is not None]
                try:
                    await self._resume_queue.put_many(bodies)
                except QueueUnavailable as error:
                    log.warning("%s", error)
                    await asyncio.sleep(1.0)
                    continue
                del self._resumes[: len(batch)]

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

    # -- what others may ask -----------------------------------------------------------------------------------------

    async def submit(self, tasks: Sequence[JSONDict]) -> list[JSONDict]:
        """Admits tasks given as dicts; returns one verdict each, in order, after they are committed."""
        answers: list[JSONDict] = []
        self._submitting += 1
        try:
            for start in range(0, len(tasks), SUBMIT_CHUNK):
                answers += await self._submit_chunk(tasks[start : start + SUBMIT_CHUNK])
        finally:
            self._submitting -= 1
            self._wake.set()
        return answers

    async def _submit_chunk(self, chunk: Sequence[JSONDict]) -> list[JSONDict]:
        waiting: list[asyncio.Future[Verdict] | Verdict] = []
        for value in chunk:
            try:
                task = task_from_dict(value)
            except InvalidTask as error:
                taskid = value.get("taskid") if isinstance(value, dict) else None
                waiting.append(Verdict(str(taskid or ""), False, "refused", str(error)))
                continue
            waiting.append(self._ticket(task))
        self._note_input()
        return [msgspec.to_builtins(_as_dict(one if isinstance(one, Verdict) else await one)) for one in waiting]

    def _ticket(self, task: Task, source: str = "submit") -> asyncio.Future[Verdict]:
        number, future = self._new_ticket()
        self._inbox.submissions.append(Submission(task, source, number))
        return future

    def _new_ticket(self) -> tuple[int, asyncio.Future[Verdict]]:
        self._next_ticket += 1
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._tickets[self._next_ticket] = future
        return self._next_ticket, future

    async def run_project(self, name: str) -> JSONDict:
        """Runs ``on_start`` once more, as the Run button does [W34]."""
        check_project_name(name)
        self.update_project()
        ticket = self._ticket(command(name, "on_start"), "on_start")
        self._note_input()
        return _as_dict(await ticket)

    async def order(self, project: str, kind: str, reason: str | None = None) -> JSONDict:
        """Does something to a whole project: see :mod:`crawlkit.scheduler.actions`. Answers when it is accepted.

        ``kind``: clear, restart, retry_failed (``reason``: only what failed with it), pause or resume. Raises
        ``ValueError`` for another one.
        """
        kinds = (*BULK, *AT_ONCE)
        if kind not in kinds:
            raise ValueError(f"action {kind!r}: use one of {', '.join(kinds)}")
        check_project_name(project)
        self.engine.projects_changed = True  # it may have been put a moment ago
        return (await self._ordered([Order(project, kind, 0, reason=reason)]))[0]

    async def order_tasks(self, project: str, kind: str, taskids: Sequence[str]) -> list[JSONDict]:
        """Cancels tasks, or runs them again (``kind``: cancel, rerun); one verdict each, in order, committed."""
        if kind not in TASK_KINDS or len(taskids) > SUBMIT_CHUNK:
            raise ValueError(f"{kind} {len(taskids)} tasks: use {' or '.join(TASK_KINDS)}, and {SUBMIT_CHUNK} at most")
        return await self._ordered([Order(project, kind, 0, str(taskid)) for taskid in taskids])

    async def _ordered(self, orders: Sequence[Order]) -> list[JSONDict]:
        waiting = []
        for order in orders:
            order.ticket, future = self._new_ticket()
            waiting.append(future)
        self._inbox.orders += orders
        self._wake.set()
        answers = [_as_dict(await future) for future in waiting]
        self._overview.forget()
        return answers

    async def count_order(self, project: str, kind: str, reason: str | None = None) -> JSONDict:
        """How many tasks an order, or ``drop``, would touch."""
        seen = self.summary()["projects"].get(project, {})
        return await count_order(self.engine.taskdb, seen, project, kind, reason)

    async def send_message(self, project: str, message: Any) -> JSONDict:
        """Sends ``message`` (JSON-able) to ``on_message`` of a project; the sender is ``__command__`` [C42]."""
        number = f"{self.clock.time()!r}:{self._next_ticket}"
        task = Task(
            project=project,
            taskid=f"message:{number}"[:64],
            url="data:,on_message",
            schedule=Schedule(priority=9),
            fetch=Fetch(save=["__command__", message]),
            process=Process(callback="_on_message"),
        )
        check_task(task)
        check_size(task)
        ticket = self._ticket(task, "message")
        self._note_input()
        return _as_dict(await ticket)

    async def drop_project(self, name: str) -> None:
        """Removes a project with its tasks, results and counters."""
        await self._in_thread(self.engine.drop, name)
        self.update_project()

    def update_project(self) -> None:
        """The projectdb changed: look now."""
        self.engine.projects_changed = True
        self._wake.set()

    def summary(self) -> dict[str, Any]:
        """The newest snapshot of projects, queues in memory and nodes."""
        return self.engine.snapshot

    def drained(self) -> bool:
        """Nothing is ready, leased, tried again or on its way. Tasks that are due later do not count."""
        if self._submitting or self._inbox.submissions or self._inbox.status or self._outbox or self._resumes:
            return False
        return bool(self.engine.snapshot["drained"])

    async def turned(self) -> None:
        """Waits for the end of the next turn."""
        self._turned.clear()
        await self._turned.wait()

    async def dashboard(self) -> msgspec.Raw:
        """How all projects stand, as JSON, a second old at most: see :meth:`Engine.overview`."""
        return await self._overview.get()

    async def counters(self, window: str) -> dict[str, Any]:
        """Sums per project and event over ``5m``, ``1h``, ``1d`` or ``all`` [S65]; ``5m_time`` are averages."""
        now = self.clock.time()
        counters = self.engine.state.counters
        if window == "5m_time":
            return dict(await self._in_thread(counters.avg, now))
        return dict(await self._in_thread(counters.sum, window, now))

    async def next_ticks(self, project: str, n: int = 5) -> list[tuple[float, str]]:
        """The next ``n`` instants (Unix time, method) at which a project's crons fire."""
        return list(await self._in_thread(self.engine.next_ticks, project, self.clock.time(), n))

    async def active_tasks(self, project: str | None = None, limit: int = 100) -> list[Any]:
        """The newest entries of the ring of recent tasks [S67]."""
        return list(await self._in_thread(self.engine.recent, project, limit))


def _encoded(message: Dispatch | Fetched, dispatch: Dispatch) -> bytes | None:
    try:
        return encode(message)
    except (BadMessage, ValueError, TypeError, OverflowError, RecursionError) as error:
        # its lease ends without an answer, and after some of those it fails as lost
        log.error("task %s of %s cannot be sent: %s", dispatch.taskid, dispatch.project, error)
        return None


def _checked(raw: msgspec.Raw) -> Task:
    try:
        task = msgspec.msgpack.decode(raw, type=Task)
    except msgspec.MsgspecError as error:
        raise InvalidTask("task", str(error)) from None
    check_task(task)
    return task


def _as_dict(verdict: Verdict) -> JSONDict:
    return {
        "taskid": verdict.taskid,
        "accepted": verdict.accepted,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
    }


def _words_of(failure: Failure) -> str:
    if failure.again is None:
        said = f"failed for good ({failure.reason})"
    else:
        said = f"failed ({failure.reason}), tried again in {failure.again:g} s"
    return said + (f" ({failure.tries})" if failure.tries else "") + (f": {failure.text}" if failure.text else "")


def _line_of(failure: Failure, now: float) -> LogLine:
    """A failure for the log store."""
    level = logging.ERROR if failure.again is None else logging.WARNING
    return LogLine(
        now, level, _words_of(failure), project=failure.project, taskid=failure.taskid, url=failure.url, logger=log.name
    )
