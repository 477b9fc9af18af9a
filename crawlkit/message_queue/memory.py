"""Queues inside one process and one event loop: real deliveries, bounds and dead letters, woken by futures.

Also the heart of the ``local://`` server. No I/O, no polling, no thread: every call comes from the loop's own thread.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import count

from crawlkit.libs.errors import QueueFull, QueueUnavailable
from crawlkit.message_queue.base import DeadLetter, Delivery, QueueFlow, QueueSize

MAX_MESSAGES = 100  # pyspider's queue-maxsize
MAX_BYTES = 64 * 2**20
UNBOUNDED = 2**31  # what room() says without a bound
MAX_DEAD = 1_000  # dead letters kept
MAX_DEAD_BYTES = 8 * 2**20
MAX_DEATHS = 5  # consumers a message may take down before it is put aside
SUSPECT = 2  # deaths from which on a message is handed out alone, so that its neighbours are not blamed


class _Putter:
    """Someone who waits for room: what is left of the bodies goes in as room comes."""

    __slots__ = ("bodies", "done", "future")

    def __init__(self, bodies: Sequence[bytes], done: int, future: asyncio.Future[None]) -> None:
        self.bodies = bodies
        self.done = done
        self.future = future


class MemoryQueue:
    """A bounded queue.

    ``max_messages`` (0: none) bounds what waits; what consumers hold is bounded by their own limits and not counted.
    ``max_bytes`` bounds what waits and what is held together, for that is the memory. One message always fits into
    an empty queue.

    The waiting messages are always in order of their ids, which is the order in which they were put.
    """

    def __init__(self, name: str, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES) -> None:
        self.name = name
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.on_change: Callable[[MemoryQueue], None] | None = None  # after anything left the queue
        self._limit = max_messages or UNBOUNDED
        self._ready: deque[Delivery] = deque()
        self._unacked: dict[int, Delivery] = {}
        self._bytes = 0
        self._ids = count(1)
        self._put = 0
        self._deaths: dict[int, int] = {}  # id -> consumers that died holding it
        self._dead: deque[DeadLetter] = deque()
        self._dead_bytes = 0
        self._getters: deque[asyncio.Future[None]] = deque()
        self._putters: deque[_Putter] = deque()
        self._closed = False

    # What does not wait. The local server is built on these.

    def put_now(self, bodies: Sequence[bytes]) -> int:
        """Puts as many as fit, in order; returns how many. Nothing fits while somebody waits for room."""
        if self._closed:
            raise QueueUnavailable(f"the queue {self.name} is closed")
        if self._putters:
            return 0
        return self._insert(bodies, 0)

    def take_now(self, limit: int, max_bytes: int | None = None) -> list[Delivery]:
        """Takes up to ``limit`` messages, oldest first; at most ``max_bytes`` of them, but always one."""
        ready = self._ready
        if self._deaths or (max_bytes is not None and self._bytes > max_bytes):
            batch = self._take_singly(limit, self._bytes if max_bytes is None else max_bytes)
        elif limit >= len(ready):
            batch = list(ready)
            ready.clear()
        else:
            batch = [ready.popleft() for _ in range(limit)]
        if batch:
            self._unacked.update({delivery[0]: delivery for delivery in batch})
            self._room_came()
        return batch

    def put_later(self, bodies: Sequence[bytes], timeout: float | None) -> asyncio.Future[None] | None:
        """Stands in the line with ``bodies`` at once; None: all are in.

        Else a future: done when all are in, ``QueueFull`` after ``timeout`` seconds; cancelling it leaves the line.
        """
        done = self.put_now(bodies)
        if done == len(bodies):
            return None
        if timeout is not None and timeout <= 0:
            raise self._full(done)
        loop = asyncio.get_running_loop()
        putter = _Putter(bodies, done, loop.create_future())
        self._putters.append(putter)
        if timeout is not None:
            timer = loop.call_later(timeout, self._put_timed_out, putter)
            putter.future.add_done_callback(lambda _: timer.cancel())
        putter.future.add_done_callback(lambda future: self._give_up(putter) if future.cancelled() else None)
        return putter.future

    def message_later(self, timeout: float | None) -> asyncio.Future[None]:
        """Done when there is a message to take, or after ``timeout`` seconds; each message is announced to one only.

        Who was told and takes nothing calls :meth:`pass_on`.
        """
        if self._closed:
            raise QueueUnavailable(f"the queue {self.name} is closed")
        loop = asyncio.get_running_loop()
        getter = loop.create_future()
        self._getters.append(getter)
        if timeout is not None:
            timer = loop.call_later(timeout, self._get_timed_out, getter)
            getter.add_done_callback(lambda _: timer.cancel())
        return getter

    def pass_on(self) -> None:
        """Announces what is there to the next who wait."""
        self._wake_getters(len(self._ready))

    def ack_now(self, ids: Iterable[int]) -> None:
        """Ends deliveries for good."""
        pop = self._unacked.pop
        freed = 0
        for id_ in ids:
            delivery = pop(id_, None)
            if delivery is not None:
                freed += len(delivery[1])
                if self._deaths:
                    self._deaths.pop(id_, None)
        if freed:
            self._bytes -= freed
            self._room_came()

    def nack_now(self, ids: Iterable[int]) -> None:
        """Gives deliveries back to the head of the queue."""
        back = [delivery for id_ in ids if (delivery := self._unacked.pop(id_, None)) is not None]
        if not back:
            return
        merged = [Delivery(id_, body, redelivered + 1) for id_, body, redelivered in back]
        newest = max(back)[0]
        while self._ready and self._ready[0][0] < newest:
            merged.append(self._ready.popleft())
        merged.sort(key=lambda delivery: delivery[0], reverse=True)
        self._ready.extendleft(merged)
        self._wake_getters(len(back))

    def reject_now(self, ids: Iterable[int], reason: str) -> None:
        """Puts deliveries aside as dead letters."""
        for id_ in ids:
            delivery = self._unacked.pop(id_, None)
            if delivery is None:
                continue
            self._deaths.pop(id_, None)
            self._bytes -= len(delivery.body)
            self._dead.append(DeadLetter(delivery.body, reason))
            self._dead_bytes += len(delivery.body)
        while len(self._dead) > MAX_DEAD or (self._dead_bytes > MAX_DEAD_BYTES and len(self._dead) > 1):
            self._dead_bytes -= len(self._dead.popleft().body)
        self._room_came()

    def consumer_died(self, ids: Iterable[int]) -> None:
        """Gives back what a dead consumer held; what took down more than ``MAX_DEATHS`` of them is put aside."""
        back: list[int] = []
        poison: list[int] = []
        for id_ in ids:
            if id_ not in self._unacked:
                continue
            deaths = self._deaths[id_] = self._deaths.get(id_, 0) + 1
            (poison if deaths > MAX_DEATHS else back).append(id_)
        self.nack_now(back)
        if poison:
            self.reject_now(poison, f"{MAX_DEATHS + 1} consumers died or lost their connection while they held it")

    def size_now(self) -> QueueSize:
        """What the queue holds."""
        return QueueSize(len(self._ready) + len(self._unacked), self._bytes, len(self._unacked))

    def flow_now(self) -> QueueFlow:
        """What the queue holds, may hold and was given."""
        return QueueFlow(*self.size_now(), self._put, len(self._dead), self.max_messages, self.max_bytes)

    def dead_now(self, limit: int) -> list[DeadLetter]:
        """The newest dead letters, oldest of them first."""
        return list(self._dead)[-limit:] if limit > 0 else []

    def purge_now(self) -> int:
        """Drops everything, what consumers hold included; returns how many."""
        dropped = len(self._ready) + len(self._unacked)
        self._ready.clear()
        self._unacked.clear()
        self._deaths.clear()
        self._bytes = 0
        self._room_came()
        return dropped

    def close(self) -> None:
        """Whoever waits is told ``QueueUnavailable``; the messages are gone with the queue."""
        self._closed = True
        for getter in self._getters:
            _fail(getter, f"the queue {self.name} was closed")
        for putter in self._putters:
            _fail(putter.future, f"the queue {self.name} was closed")
        self._getters.clear()
        self._putters.clear()

    # The contract of base.MessageQueue.

    async def put_many(self, bodies: Sequence[bytes], timeout: float | None = None) -> None:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`. Who waits longest is served first."""
        waiting = self.put_later(bodies, timeout)
        if waiting is not None:
            await waiting

    async def get_many(self, limit: int, timeout: float | None = None) -> list[Delivery]:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while not self._ready:
            left = None if deadline is None else deadline - loop.time()
            if left is not None and left <= 0:
                return []
            waiting = self.message_later(left)
            try:
                await waiting
            except asyncio.CancelledError:
                if not waiting.cancelled():
                    self.pass_on()
                raise
        return self.take_now(limit)

    async def wait_room(self, timeout: float | None = None) -> int:
        """Waits until at least one message would fit, at most ``timeout`` seconds; returns :meth:`room`."""
        if self._putters or not self.room():
            # An empty batch stands in the line like everybody else and is through when its turn comes.
            loop = asyncio.get_running_loop()
            putter = _Putter((), 0, loop.create_future())
            self._putters.append(putter)
            timer = None if timeout is None else loop.call_later(timeout, _wake, putter.future)
            try:
                await putter.future
            finally:
                if timer is not None:
                    timer.cancel()
                self._give_up(putter)
        return self.room()

    async def ack(self, ids: Sequence[int]) -> None:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        self.ack_now(ids)

    async def nack(self, ids: Sequence[int]) -> None:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        self.nack_now(ids)

    async def reject(self, ids: Sequence[int], reason: str) -> None:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        self.reject_now(ids, reason)

    async def dead(self, limit: int = 100) -> list[DeadLetter]:
        """The newest dead letters, oldest of them first."""
        return self.dead_now(limit)

    async def size(self) -> QueueSize:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        return self.size_now()

    def room(self) -> int:
        """How many messages would fit now."""
        if self._putters or (self._bytes and self._bytes >= self.max_bytes):
            return 0
        return max(0, self._limit - len(self._ready))

    async def purge(self) -> int:
        """Drops everything, what consumers hold included; returns how many."""
        return self.purge_now()

    # Inside.

    def _take_singly(self, limit: int, max_bytes: int) -> list[Delivery]:
        batch: list[Delivery] = []
        taken = 0
        while self._ready and len(batch) < limit:
            delivery = self._ready[0]
            taken += len(delivery[1])
            suspect = self._deaths.get(delivery[0], 0) >= SUSPECT
            if batch and (suspect or taken > max_bytes):
                break
            batch.append(self._ready.popleft())
            if suspect:
                break
        return batch

    def _insert(self, bodies: Sequence[bytes], start: int) -> int:
        """Puts ``bodies[start:]`` as far as they fit; returns the index of the first that did not."""
        wanted = len(bodies) - start
        size = sum(map(len, bodies)) if start == 0 else sum(len(body) for body in bodies[start:])
        if len(self._ready) + wanted <= self._limit and self._bytes + size <= self.max_bytes:
            self._ready.extend(map(Delivery, self._ids, bodies if start == 0 else bodies[start:]))
            self._bytes += size
            end = len(bodies)
        else:
            end = self._insert_singly(bodies, start)
        if end > start:
            self._put += end - start
            self._wake_getters(end - start)
        return end

    def _insert_singly(self, bodies: Sequence[bytes], start: int) -> int:
        for index in range(start, len(bodies)):
            size = len(bodies[index])
            if len(self._ready) >= self._limit or (self._bytes and self._bytes + size > self.max_bytes):
                return index
            self._ready.append(Delivery(next(self._ids), bodies[index]))
            self._bytes += size
        return len(bodies)

    def _room_came(self) -> None:
        while self._putters:
            putter = self._putters[0]
            if putter.future.done():  # cancelled just now
                self._putters.popleft()
                continue
            if not putter.bodies:  # waits for room only
                if len(self._ready) >= self._limit or (self._bytes and self._bytes >= self.max_bytes):
                    break
            else:
                putter.done = self._insert(putter.bodies, putter.done)
                if putter.done < len(putter.bodies):
                    break
            self._putters.popleft()
            _wake(putter.future)
        if self.on_change is not None:
            self.on_change(self)

    def _put_timed_out(self, putter: _Putter) -> None:
        if not putter.future.done():
            putter.future.set_exception(self._full(putter.done))
            self._give_up(putter)

    def _get_timed_out(self, getter: asyncio.Future[None]) -> None:
        if not getter.done():
            self._getters.remove(getter)
            getter.set_result(None)

    def _give_up(self, putter: _Putter) -> None:
        if putter in self._putters:
            self._putters.remove(putter)
            self._room_came()  # a smaller message behind it may fit

    def _wake_getters(self, messages: int) -> None:
        getters = self._getters
        while getters and messages > 0:
            getter = getters.popleft()
            if not getter.done():
                getter.set_result(None)
                messages -= 1

    def _full(self, done: int) -> QueueFull:
        held = self.size_now()
        return QueueFull(f"the queue {self.name} is full ({held.messages} messages, {held.bytes} bytes)", done)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], words: str) -> None:
    if not future.done():
        future.set_exception(QueueUnavailable(words))


class MemoryBroker:
    """The queues of one process. Every queue has the same bounds."""

    def __init__(self, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES) -> None:
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self._queues: dict[str, MemoryQueue] = {}
        self._epoch = uuid.uuid4().hex

    def queue(self, name: str) -> MemoryQueue:
        """The queue of that name; it is made when asked for the first time."""
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = MemoryQueue(name, self.max_messages, self.max_bytes)
        return queue

    def __contains__(self, name: str) -> bool:
        return name in self._queues

    def __len__(self) -> int:
        return len(self._queues)

    def sizes(self) -> dict[str, QueueSize]:
        """What every queue holds."""
        return {name: queue.size_now() for name, queue in self._queues.items()}

    def flows(self) -> dict[str, QueueFlow]:
        """What every queue holds, may hold and was given."""
        return {name: queue.flow_now() for name, queue in self._queues.items()}

    async def connect(self) -> None:
        """Nothing to connect to."""

    async def epoch(self) -> str:
        """The same for the broker's whole life."""
        return self._epoch

    async def close(self) -> None:
        """Whoever waits at a queue is told ``QueueUnavailable``."""
        for queue in self._queues.values():
            queue.close()
