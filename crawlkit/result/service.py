"""The result worker's loop: store a batch of results durably, then pass the outcomes on, then acknowledge.

Nothing is acknowledged before it is stored, and nothing is dropped: what cannot be stored now is held and tried again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import msgspec

from crawlkit import __version__
from crawlkit.database.base import ResultStore
from crawlkit.libs import messages
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import BadMessage, QueueError, QueueUnavailable, StoreUnavailable
from crawlkit.libs.messages import Heartbeat, OutcomeForStore
from crawlkit.libs.result_key import STOP
from crawlkit.libs.rows import ResultSet
from crawlkit.libs.vitals import Vitals
from crawlkit.message_queue.base import Delivery, MessageQueue
from crawlkit.message_queue.outbox import StatusOutboxes
from crawlkit.message_queue.patience import pause_after
from crawlkit.message_queue.presence import tell_all
from crawlkit.message_queue.status_queues import StatusQueues
from crawlkit.result.late import AttemptKey, Late
from crawlkit.result.worker import ResultWorker

T = TypeVar("T")
log = logging.getLogger(__name__)

BEAT = 2.0  # seconds between heartbeats
FIRST_DELAY = 0.5  # seconds before the first repetition; doubles up to
LAST_DELAY = 2.0
FEW = 8  # outcomes: with fewer nobody is kept waiting for others
NAPS = 4.0  # times what a batch took, until the next one is taken
LONGEST_NAP = 0.03  # seconds
MAX_LATE = 1_000  # outcomes held because on_result raised; with so many no new ones are taken
WAITING = (2_000, 64 * 2**20)  # outcomes, and their bytes, that wait for status queues; with so many likewise


@dataclass(slots=True)
class Counts:
    """What heartbeats say under ``stats``."""

    outcomes: int = 0  # passed on
    results: int = 0  # stored
    discarded: int = 0  # results that were not kept: no resultdb, or on_result did not hand them on
    rejected: int = 0  # messages put aside
    hook_errors: int = 0  # calls of on_result that raised
    store_errors: int = 0  # saves that did not work
    store_down: int = 0  # 1: the resultdb does not answer now
    known: int = 0  # results that were not kept, because their key was known
    late: int = 0  # outcomes that wait because on_result raised


@dataclass(slots=True)
class _Item:
    id: int
    key: AttemptKey
    outcome: OutcomeForStore
    texts: list[str]  # what goes into the resultdb
    keys: list[str]  # of these; "": none
    error: Exception | None = None  # what on_result raised
    cut: bool = False  # what is behind a known result was looked for


class ResultService:
    """Takes outcomes with results from ``inqueue``; ``resultdb`` None: results are counted and discarded.

    ``worker``: the hook for every result; None: straight into the resultdb. ``batch``: outcomes per transaction.
    """

    def __init__(
        self,
        *,
        inqueue: MessageQueue,
        status_queues: StatusQueues,
        resultdb: ResultStore | None,
        clock: Clock,
        node: str,
        worker: ResultWorker | None = None,
        batch: int = 200,
    ) -> None:
        self.inqueue = inqueue
        self.status_queues = status_queues
        self.resultdb = resultdb
        self.clock = clock
        self.node = node
        self.worker = worker if worker is not None and worker.overridden else None
        self.batch = batch
        self.counts = Counts()
        self._started = clock.time()
        self._vitals = Vitals()
        self._held: dict[int, AttemptKey] = {}  # delivery id -> the attempt it belongs to
        self._late: Late[_Item] = Late(FIRST_DELAY, LAST_DELAY)
        self._met_known: set[AttemptKey] = set()  # a part met a known key under the policy stop, the last is to come
        self._dropped: dict[AttemptKey, int] = {}  # results of earlier parts that were not kept
        self._out: StatusOutboxes[_Item] = StatusOutboxes(status_queues, *WAITING, self._forwarded, self._moved)
        self._done: list[_Item] = []  # passed on, to be acknowledged
        self._went_on = asyncio.Event()
        self._to_ack = asyncio.Event()
        self._stop = asyncio.Event()
        self._stopped = asyncio.Event()
        self._main: asyncio.Task[None] | None = None
        self._taking: asyncio.Future[list[Delivery]] | None = None
        self._thread = ThreadPoolExecutor(1, "result-store")  # one, so that parts keep their order
        self._misses = 0  # since the queue answered
        self._said: set[str] = set()  # troubles that were reported and last

    async def run(self) -> None:
        """Works until :meth:`stop`; an error that nobody foresaw comes out here."""
        self._main = main = asyncio.create_task(self._work())
        tasks = [main, *(asyncio.create_task(work) for work in (self._beat(), self._out.run(), self._ack_for_ever()))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._leave()
            self._stopped.set()

    async def stop(self, timeout: float = 5.0) -> None:
        """Finishes the batch in hand, at most ``timeout`` seconds, and gives the rest back."""
        self._stop.set()
        if self._taking is not None:
            self._taking.cancel()
        if self._main is None:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._stopped.wait()
        except TimeoutError:
            self._main.cancel()
            await self._stopped.wait()

    # The loop.

    async def _work(self) -> None:
        while not self._stop.is_set():
            items = self._late.take_due(self.clock.monotonic())
            if not items:
                items = await self._decode(await self._take())
            if items:
                began = self.clock.monotonic()
                await self._handle(items)
                nap = nap_after(len(items), self.clock.monotonic() - began, self.batch)
                if nap:
                    await self._pause(nap)

    async def _take(self) -> list[Delivery]:
        """The next deliveries; ``[]`` when something held is due, and at the stop."""
        timeout = self._late.wait(self.clock.monotonic())
        if timeout is not None and len(self._late) >= MAX_LATE:
            await self._pause(timeout)
            return []
        self._taking = asyncio.ensure_future(self.inqueue.get_many(self.batch, timeout))
        try:
            taken = await self._taking
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._stop.is_set() or (task is not None and task.cancelling()):
                raise
            return []
        except QueueUnavailable as error:
            self._say("queue", "the queue %s does not answer: %s; trying again", self.inqueue.name, error)
            self._misses += 1
            await self._pause(pause_after(self._misses))
            return []
        finally:
            self._taking = None
        self._misses = 0
        self._over("queue")
        return taken

    async def _decode(self, deliveries: Sequence[Delivery]) -> list[_Item]:
        items: list[_Item] = []
        for delivery in deliveries:
            try:
                outcome: OutcomeForStore = messages.decode(delivery.body, OutcomeForStore)
            except BadMessage as error:
                await self._put_aside(delivery.id, str(error))
                continue
            key = (outcome.project, outcome.taskid, outcome.run, outcome.attempt)
            item = _Item(delivery.id, key, outcome, outcome.results, outcome.keys)
            self._held[item.id] = key
            if key in self._late:
                self._late.add(key, item, self.clock.monotonic())  # behind the part that failed
            else:
                items.append(item)
        self.counts.late = len(self._late)
        return items

    async def _handle(self, items: list[_Item]) -> None:
        """Store, then forward, then ack: a crash in between repeats the outcomes, never loses one."""
        if self.worker is not None:
            worker = self.worker
            await self._in_thread(lambda: _call_hook(worker, items))
            items = await self._sort_out(items)
        if self.resultdb is not None:
            items = await self._store(self.resultdb, items)
        if items:
            await self._forward(items)

    async def _sort_out(self, items: list[_Item]) -> list[_Item]:
        """Puts what ``on_result`` failed for in the waiting room; returns the rest."""
        good = []
        now = self.clock.monotonic()
        for item in items:
            if item.error is None and item.key not in self._late:
                self._late.forget(item.key)
                good.append(item)
                continue
            if isinstance(item.error, BadMessage):
                await self._put_aside(item.id, str(item.error))
                continue
            if item.error is not None:
                self.counts.hook_errors += 1
                self._say("hook", "on_result raised for %s/%s: %r; such tasks are not done and it is called again",
                          item.key[0], item.key[1], item.error)  # fmt: skip
            item.error = None
            self._late.add(item.key, item, now)
        if not self._late:
            self._over("hook")
        self.counts.late = len(self._late)
        return good

    async def _store(self, resultdb: ResultStore, items: list[_Item]) -> list[_Item]:
        """Saves the batch in one transaction, however long it takes; returns what is to be passed on."""
        storable = [item for item in items if _is_stored(item)]
        pending = [self._set_of(item) for item in storable]
        delay = FIRST_DELAY

        def save() -> list[int]:
            self._stop_behind_known(resultdb, items)
            return resultdb.save(pending)

        while pending:
            try:
                known = await self._in_thread(save)
                break
            except StoreUnavailable as error:
                self.counts.store_down = 1
                self.counts.store_errors += 1
                self._say("store", "the resultdb does not take results: %s; tasks wait until it does", error)
            except Exception as error:
                # Whatever a driver raises for one row must not end the loop: find the row, put it aside.
                if len(items) > 1:
                    return [kept for item in items for kept in await self._store(resultdb, [item])]
                self.counts.store_errors += 1
                log.error("the resultdb refuses a result of %s/%s: %r", items[0].key[0], items[0].key[1], error)
                await self._put_aside(items[0].id, f"the resultdb refuses it: {error!r}")
                return []
            await self._pause(delay)
            if self._stop.is_set():
                return []  # given back at the end
            delay = min(LAST_DELAY, delay * 2)
        self.counts.store_down = 0
        self._over("store")
        self.counts.results += sum(len(found.results) for found in pending)
        if pending:
            for item, count in zip(storable, known, strict=True):
                item.outcome.known = count
            self.counts.known += sum(known)
        return items

    def _stop_behind_known(self, resultdb: ResultStore, items: Sequence[_Item]) -> None:
        """Policy stop: takes out the follow-ups behind the first result whose key is known, also of later parts.

        What is known is asked before anything of these is stored. When this process ends between two parts, the later
        one only stops at a known result of its own.
        """
        for item in items:
            outcome = item.outcome
            if outcome.key_policy != STOP or item.cut:
                continue
            if not outcome.part:
                self._met_known.discard(item.key)  # it comes again from its beginning
            keep: int | None = 0 if item.key in self._met_known else None
            if keep is None and outcome.keys:
                known = resultdb.known_keys(outcome.project, outcome.taskid, outcome.run, outcome.keys)
                keep = next(
                    (place for key, place in zip(outcome.keys, outcome.key_places, strict=False) if key in known), None
                )
            item.cut = True
            if keep is not None:
                self._met_known.add(item.key)
                follows = msgspec.msgpack.decode(outcome.follows, type=list[msgspec.Raw])
                outcome.behind = len(follows[keep:])
                outcome.follows = messages.pack(follows[:keep])
            if outcome.last:
                self._met_known.discard(item.key)

    def _set_of(self, item: _Item) -> ResultSet:
        outcome = item.outcome
        return ResultSet(
            project=outcome.project,
            taskid=outcome.taskid,
            run=outcome.run,
            attempt=outcome.attempt,
            url=outcome.url,
            first=outcome.first_result,
            results=item.texts,
            last=outcome.last,
            updatetime=self.clock.time(),
            keys=item.keys,
            key_policy=outcome.key_policy,
        )

    async def _forward(self, items: list[_Item]) -> None:
        """Passes on, each to its partition, and waits until that is done, but not for a queue that is stuck."""
        for item in items:
            self._out.of(item.outcome.partition).add(messages.encode(self._stored(item)), item)
        while not self._out.settled or len(self._out) >= WAITING[0] or self._out.size >= WAITING[1]:
            self._went_on.clear()
            await self._went_on.wait()
        await self._acknowledge()

    def _moved(self) -> None:
        self._went_on.set()

    def _forwarded(self, items: list[_Item]) -> None:
        self._done += items
        self._to_ack.set()
        self._went_on.set()

    async def _ack_for_ever(self) -> None:
        """For what goes on while the loop waits for other work."""
        while True:
            await self._to_ack.wait()
            await self._acknowledge()

    async def _acknowledge(self) -> None:
        self._to_ack.clear()
        items, self._done = self._done, []
        if not items:
            return
        try:
            await self.inqueue.ack([item.id for item in items])
        except QueueUnavailable as error:
            log.debug("not acknowledged, so they come again: %s", error)
        for item in items:
            self._held.pop(item.id, None)
        self.counts.outcomes += len(items)

    def _stored(self, item: _Item) -> OutcomeForStore:
        """The outcome as the scheduler gets it: without results, and with what became of them."""
        outcome = item.outcome
        kept = len(item.texts) if self.resultdb is not None and _is_stored(item) else 0
        outcome.discarded = max(0, len(outcome.results) - kept)
        self.counts.discarded += outcome.discarded
        dropped = self._dropped.pop(item.key, 0) + outcome.discarded
        if outcome.last:
            outcome.result_count = max(0, outcome.result_count - dropped)
        elif dropped:
            self._dropped[item.key] = dropped
        outcome.results, outcome.keys, outcome.key_places = [], [], []
        return outcome

    # Helpers of the loop.

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _put_aside(self, delivery: int, reason: str) -> None:
        self.counts.rejected += 1
        self._held.pop(delivery, None)
        try:
            await self.inqueue.reject([delivery], reason)
        except QueueUnavailable as error:
            log.debug("not put aside, so it comes again: %s", error)

    async def _pause(self, seconds: float) -> None:
        """Waits, at most until the stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    def _say(self, trouble: str, words: str, *args: object) -> None:
        """A warning when a trouble begins; only DEBUG while it lasts."""
        log.log(logging.DEBUG if trouble in self._said else logging.WARNING, words, *args)
        self._said.add(trouble)

    def _over(self, trouble: str) -> None:
        if trouble in self._said:
            self._said.discard(trouble)
            log.info("the trouble is over (%s): going on", trouble)

    async def _beat(self) -> None:
        """Says every few seconds that this node lives and which attempts it holds: that renews their leases."""
        while True:
            await self._send_beat(stopping=False)
            await asyncio.sleep(BEAT)

    async def _send_beat(self, stopping: bool) -> None:
        beat = Heartbeat(
            node=self.node,
            role="result_worker",
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            started=self._started,
            held=list(set(self._held.values())),
            stats={**{name: float(value) for name, value in asdict(self.counts).items()}, **self._vitals.look()},
            stopping=stopping,
        )
        await tell_all(self.status_queues, [messages.encode(beat)], BEAT)

    async def _leave(self) -> None:
        """Gives back what is held and says good-bye."""
        await self._acknowledge()
        held = list(self._held)
        self._held.clear()
        try:
            async with asyncio.timeout(1):
                await self.inqueue.nack(held)
            async with asyncio.timeout(1):
                await self._send_beat(stopping=True)
        except (QueueError, TimeoutError) as error:
            log.debug("the queues do not answer at the end: %s", error)
        self._thread.shutdown(wait=False)


def nap_after(count: int, took: float, most: int) -> float:
    """Seconds in which the next batch may come together, after one of ``count`` outcomes, ``most`` at most.

    A commit costs about the same for ten as for a hundred. With few there is no load, and with many no need.
    """
    return min(LONGEST_NAP, NAPS * took) if FEW <= count < most // 2 else 0.0


def _is_stored(item: _Item) -> bool:
    """False: nothing new (304), or the last part of a callback that raised, whose retry gives its results again."""
    outcome = item.outcome
    return outcome.kind == messages.TASK and not outcome.not_modified and (outcome.ok or not outcome.last)


def _call_hook(worker: ResultWorker, items: Sequence[_Item]) -> None:
    """Calls ``on_result`` for every result; behind a failure the later parts of the same attempt are left alone."""
    failed: set[AttemptKey] = set()
    for item in items:
        if item.key in failed or not _is_stored(item):
            continue
        try:
            item.texts, item.keys = _after_hook(worker, item.outcome)
        except (Exception, SystemExit) as error:  # the user's code: anything may come out of it
            item.error = error if isinstance(error, Exception) else RuntimeError(repr(error))
            failed.add(item.key)


def _after_hook(worker: ResultWorker, outcome: OutcomeForStore) -> tuple[list[str], list[str]]:
    """The texts that the hook keeps, and their keys: what is kept of one result has its key, if it is one result."""
    task: dict[str, Any] = {
        "project": outcome.project,
        "taskid": outcome.taskid,
        "url": outcome.url,
        "run": outcome.run,
        "attempt": outcome.attempt,
    }
    try:
        results = [msgspec.json.decode(text) for text in outcome.results]
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadMessage(f"a result is not JSON: {error}") from None
    texts: list[str] = []
    keys: list[str] = []
    worker.take_kept()
    for n, result in enumerate(results):
        worker.on_result({**task, "n": outcome.first_result + n}, result)
        kept = worker.take_kept()
        texts += [msgspec.json.encode(each).decode() for each in kept]
        if outcome.keys:
            keys += [outcome.keys[n]] if len(kept) == 1 else [""] * len(kept)
    return texts, keys
