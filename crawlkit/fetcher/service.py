"""The fetcher as a service: takes dispatches, fetches many at once, hands on an answer for each.

Store, then forward, then acknowledge: a task is given up only when the next queue has its answer. Decides nothing
about HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

import msgspec

from crawlkit.database.base import BlobStore
from crawlkit.fetcher.fetch import IN_LINE, Fetcher
from crawlkit.fetcher.flight import Flight
from crawlkit.fetcher.private_access import PrivateAccess
from crawlkit.fetcher.retry_after import seconds_from
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import BadMessage, OtherVersion, QueueError, UsageError
from crawlkit.libs.messages import NIL, Dispatch, Fetched, FetchEnded, decode, encode
from crawlkit.libs.task import NO_FETCH, host_of
from crawlkit.message_queue.base import Delivery, MessageQueue
from crawlkit.message_queue.gathering import ENOUGH, Rest
from crawlkit.message_queue.outbox import StatusOutboxes
from crawlkit.message_queue.patience import pause_after
from crawlkit.message_queue.presence import Presence
from crawlkit.message_queue.status_queues import StatusQueues

__all__ = ["Fetcher", "FetcherService", "FetcherSettings"]

log = logging.getLogger("crawlkit.fetcher")

TAKE_WAIT = 1.0  # seconds a take waits for work before it looks whether to stop
FOREIGN = 10  # messages of another version in a row after which it is no accident
MAX_ENDED = 10_000  # FetchEnded that wait for a status queue; they are advice, so the oldest go first


class FetcherService:
    """Takes from ``inqueue`` (Dispatch), puts to ``outqueue`` (Fetched) and ``status_queues`` (FetchEnded, Heartbeat).

    ``node`` is unique per process. A body over ``MAX_INLINE_BODY`` goes to ``blobs`` when there are any.
    """

    def __init__(
        self,
        *,
        inqueue: MessageQueue,
        outqueue: MessageQueue,
        status_queues: StatusQueues,
        settings: FetcherSettings,
        clock: Clock,
        node: str,
        blobs: BlobStore | None = None,
        private: Callable[[], bool] | None = None,
    ) -> None:
        """``private`` tells in a thread whether private addresses are open, in place of the settings: see
        :mod:`.private_access`."""
        self._inqueue = inqueue
        self._outqueue = outqueue
        self._status_queues = status_queues
        self._settings = settings
        self._clock = clock
        self._node = node
        self._fetcher = Fetcher(settings, clock, node, blobs)
        self._presence = Presence(
            status_queues, clock, node, "fetcher", every=settings.heartbeat, limits=settings.limits,
            held=self._attempts, stats=self._counts, moved=self._fetcher.moved, inflight=self._inflight_bytes,
            turned=self._turned,
        )  # fmt: skip
        self._running: dict[int, asyncio.Task[None] | Flight] = {}
        self._held: dict[int, Dispatch] = {}  # from the take to the acknowledgement
        self._out: list[tuple[int, bytes]] = []
        self._forwarding = 0  # answers on their way into the outqueue
        self._rejects: list[tuple[int, str]] = []
        self._ended: StatusOutboxes[None] = StatusOutboxes(status_queues, MAX_ENDED, MAX_ENDED * 1000, lambda _: None)
        few = max(1, settings.poolsize // 4)
        self._enough = min(ENOUGH, few)  # answers
        self._refill = settings.poolsize - few  # with so many running it is time to take more
        self._put_rest, self._take_rest = Rest(), Rest()
        self._room_made = asyncio.Event()
        self._fetcher.line.on_waiting = self._room_made.set
        self._out_ready = asyncio.Event()
        self._taking: asyncio.Future[list[Delivery]] | None = None
        self._stopping = False
        self._stopped = asyncio.Event()
        self._stopped.set()
        self._access = None if private is None else PrivateAccess(
            private, self._fetcher.set_private, self._room_made.set
        )  # fmt: skip
        self._said: set[str] = set()
        self._foreign, self._foreign_words = 0, ""  # messages of another version since the last readable one
        self.stats: dict[str, float] = {"fetched": 0, "errors": 0, "bytes": 0, "status_dropped": 0, "unreadable": 0}

    def _attempts(self) -> list[tuple[str, str, int, int]]:
        return [(task.project, task.taskid, task.run, task.attempt) for task in self._held.values()]

    def _counts(self) -> dict[str, float]:
        return dict(self.stats, running=len(self._running), inflight=len(self._held))

    def _inflight_bytes(self) -> int:
        return self._fetcher.inflight_bytes() + sum(len(body) for _, body in self._out)

    def _turned(self) -> None:
        """The node pauses, or goes on."""
        self._room_made.set()
        if self._presence.paused and self._taking is not None:
            self._taking.cancel()

    def inflight(self) -> int:
        """Tasks taken whose answers are not in the next queue yet."""
        return len(self._held)

    async def run(self) -> None:
        """Works until :meth:`stop`."""
        self._stopped.clear()
        works = [self._forward, self._ended.run, self._presence.run]
        if self._access is not None:
            works.append(self._access.run)
        pumps = [asyncio.create_task(work()) for work in works]
        try:
            await self._take()
        finally:
            try:
                await self._finish()
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
                await self._give_back()
                await self._fetcher.close()
                self._stopped.set()

    async def stop(self) -> None:
        """Takes nothing more, lets what runs finish within ``stop_grace`` seconds, gives the rest back."""
        self._stopping = True
        self._room_made.set()
        self._take_rest.end()
        self._put_rest.end()
        if self._taking is not None:
            self._taking.cancel()
        await self._stopped.wait()

    # Taking

    def _room(self) -> int:
        """Free slots; none while a full pool of answers waits for the next queue."""
        if self._presence.paused or len(self._out) + self._forwarding >= self._settings.poolsize:
            return 0
        if self._access is not None and not self._access.known:
            return 0
        # who waits for a browser takes no place of those that do not
        in_line = min(self._fetcher.line.waiting, IN_LINE * self._settings.poolsize)
        return self._settings.poolsize - len(self._running) + in_line

    async def _take(self) -> None:
        misses = 0
        while not self._stopping:
            room = self._room()
            if room <= 0:
                self._room_made.clear()
                await self._room_made.wait()
                await asyncio.sleep(0)  # what ends in the same turn makes the next take larger
                continue
            try:
                deliveries = await self._next(room)
                if self._rejects:
                    await self._reject()
            except QueueError as error:
                misses = await self._back_off(misses, f"{self._inqueue.name}: {error}")
                continue
            misses = 0
            for delivery in deliveries:
                self._start(delivery)
            if self._foreign >= FOREIGN:
                await self._refuse()
            if len(self._running) > self._refill or len(deliveries) < room:
                await self._take_rest.after(len(deliveries))

    async def _next(self, room: int) -> list[Delivery]:
        """The next tasks; none when the stop comes first."""
        self._taking = asyncio.ensure_future(self._inqueue.get_many(room, TAKE_WAIT))
        try:
            return await self._taking
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._stopping and (not self._presence.paused or (task is not None and task.cancelling())):
                raise
            return []

    def _start(self, delivery: Delivery) -> None:
        try:
            task: Dispatch = decode(delivery.body, Dispatch)
        except BadMessage as error:
            self.stats["unreadable"] += 1
            if isinstance(error, OtherVersion):
                self._foreign += 1
                self._foreign_words = f"{self._inqueue.name}: {FOREIGN} messages in a row: {error}"
            self._rejects.append((delivery.id, str(error)))
            return
        self._foreign = 0
        number = delivery.id
        self._held[number] = task
        self._presence.took()
        try:
            begun = self._fetcher.begin(task, lambda fetched: self._landed(number, fetched))
        except Exception as error:  # a task must never be lost, whatever we did wrong
            begun = self._internal(task, error)
        if isinstance(begun, Fetched):
            self._hand_on(number, begun)
        else:
            self._running[number] = begun or asyncio.create_task(self._work(number, task))

    async def _refuse(self) -> None:
        """A scheduler of another version has taken over: what it sends is put aside, and this fetcher ends."""
        with contextlib.suppress(QueueError):  # then it comes to somebody else
            await self._reject()
        raise UsageError(self._foreign_words)

    async def _reject(self) -> None:
        while self._rejects:
            number, reason = self._rejects[0]
            await self._inqueue.reject([number], reason)
            self._rejects.pop(0)

    # Fetching

    async def _work(self, number: int, task: Dispatch) -> None:
        """One task, from the take to its answer in the batch of answers. Whatever happens there is an answer."""
        try:
            try:
                fetched = await self._fetcher.fetch(task)
            except Exception as error:  # a task must never be lost, whatever we did wrong
                fetched = self._internal(task, error)
            self._hand_on(number, fetched)
        finally:
            self._ended_one(number)

    def _landed(self, number: int, fetched: Fetched) -> None:
        """The same, of a flight."""
        self._hand_on(number, fetched)
        self._ended_one(number)

    def _ended_one(self, number: int) -> None:
        """Its slot is free."""
        running = self._running
        del running[number]
        if len(running) == self._refill:
            self._take_rest.end()
        self._room_made.set()

    def _hand_on(self, number: int, fetched: Fetched) -> None:
        """Puts an answer into the batch of answers."""
        try:
            body = encode(fetched)
        except Exception as error:
            task = fetched.task
            fetched = self._internal(task, error)
            try:
                body = encode(fetched)
            except BadMessage:  # the request alone nearly fills a message: the answer goes without it
                fetched.task = msgspec.structs.replace(task, fetch=NO_FETCH, save=NIL, jar=[])
                body = encode(fetched)
        out = self._out
        out.append((number, body))
        self._note_end(fetched)
        if len(out) == 1:
            self._out_ready.set()
        elif len(out) >= self._enough:
            self._put_rest.end()

    def _internal(self, task: Dispatch, error: Exception) -> Fetched:
        log.error("fetch of %s failed", task.taskid, exc_info=error)
        kind = "too_large" if isinstance(error, BadMessage) else "internal"
        return Fetched(
            task=task, status_code=599, url=task.url, orig_url=task.url, headers=[], cookies={}, time=0.0,
            error=f"{type(error).__name__}: {error}"[:1000], error_kind=kind, node=self._node,
        )  # fmt: skip

    def _note_end(self, fetched: Fetched) -> None:
        task = fetched.task
        self.stats["fetched"] += 1
        self.stats["bytes"] += fetched.size
        if fetched.error is not None:
            self.stats["errors"] += 1
        retry_after = None
        if fetched.status_code >= 400:
            retry_after = seconds_from(fetched.headers, fetched.status_code, self._clock.time())
        ended = FetchEnded(
            task.project, task.taskid, task.run, task.attempt, host_of(fetched.url or task.url),
            fetched.status_code, fetched.error_kind, fetched.time, retry_after, fetched.crawl_delay,
            task.partition,
        )  # fmt: skip
        box = self._ended.of(task.partition)
        if len(box) >= MAX_ENDED and box.drop_oldest():
            self.stats["status_dropped"] += 1
        box.add(encode(ended), None)

    # Handing on

    async def _forward(self) -> None:
        """Answers into the outqueue, by the batch; then, and only then, their tasks are acknowledged."""
        while True:
            await self._out_ready.wait()
            self._out_ready.clear()
            batch, self._out = self._out, []
            self._forwarding = len(batch)
            misses = 0
            while True:
                try:
                    await self._outqueue.put_many([body for _, body in batch])
                    break
                except QueueError as error:
                    misses = await self._back_off(misses, f"{self._outqueue.name}: {error}")
            numbers = [number for number, _ in batch]
            # ack last: a crash before this repeats the fetch, never loses it
            with contextlib.suppress(QueueError):  # not acknowledged: it comes again, and its second answer is ignored
                await self._inqueue.ack(numbers)
            for number in numbers:
                self._held.pop(number, None)
            self._forwarding = 0
            self._room_made.set()
            if len(self._out) < self._enough and not self._stopping:
                await self._put_rest.after(len(batch))

    async def _back_off(self, misses: int, trouble: str) -> int:
        """Says it once, waits longer from time to time, returns the new number of misses."""
        if misses == 0:
            log.warning("%s; trying again until it works", trouble)
        await asyncio.sleep(pause_after(misses + 1))
        return misses + 1

    # Stopping

    async def _finish(self) -> None:
        """Gives what runs ``stop_grace`` seconds in all, then breaks it off."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.stop_grace
        await self._until(lambda: not self._running, deadline)
        late = list(self._running.values())
        for one in late:
            one.cancel()
        await asyncio.gather(*[one for one in late if isinstance(one, asyncio.Task)], return_exceptions=True)
        self._running.clear()
        await self._until(lambda: not self._out and not self._forwarding, deadline)

    async def _until(self, over: Callable[[], bool], deadline: float) -> None:
        """Returns when it is so, or at the deadline."""
        loop = asyncio.get_running_loop()
        while not over() and loop.time() < deadline:
            self._room_made.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(deadline - loop.time(), 0.0)):
                    await self._room_made.wait()

    async def _give_back(self) -> None:
        """What has no answer in the next queue goes back to the head of ours."""
        with contextlib.suppress(QueueError):  # a lost connection gives everything back by itself
            if self._held:
                await self._inqueue.nack(list(self._held))
            self._held.clear()
        await asyncio.gather(*(self._tell(*left) for left in self._ended.left().items() if left[1]))
        await self._presence.beat(stopping=True, timeout=0.5)

    async def _tell(self, partition: int, bodies: list[bytes]) -> None:
        with contextlib.suppress(QueueError):  # they are advice
            await self._status_queues.of(partition).put_many(bodies, 0.5)
