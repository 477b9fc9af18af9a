"""One queue in Redis, as its :class:`~crawlkit.message_queue.redis.RedisBroker` lets it be used.

What it holds stays its own over a lost connection, until the others take it for dead. Nobody polls: who waits for a
message or for room stands in a line in Redis and is told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from crawlkit.libs.errors import BadMessage, QueueFull, QueueUnavailable
from crawlkit.message_queue import redis_scripts as scripts
from crawlkit.message_queue.base import DeadLetter, Delivery, QueueSize
from crawlkit.message_queue.memory import UNBOUNDED
from crawlkit.message_queue.redis_connection import LostError, ReplyError, Script, settle

if TYPE_CHECKING:
    from crawlkit.message_queue.redis import RedisBroker

MAX_MESSAGE = 64 * 2**20  # bytes
PUT_BYTES, PUT_MESSAGES = 4 * 2**20, 250  # of one put on the wire
TAKE_BYTES = 16 * 2**20  # bytes in one reply, about
LATE = 1.0  # seconds a reply may come after the end of the time-out that was asked for
NO_MEMORY_PAUSE = 0.5  # seconds between attempts while the server has no memory

PUT, ROOM, TAKE, PASS, ACK, NACK, REJECT, DEAD, FLOWS, PURGE = map(
    Script,
    (
        scripts.PUT, scripts.ROOM, scripts.TAKE, scripts.PASS, scripts.ACK, scripts.NACK, scripts.REJECT,
        scripts.DEAD, scripts.FLOWS, scripts.PURGE,
    ),
)  # fmt: skip
SCRIPTS = (PUT, ROOM, TAKE, PASS, ACK, NACK, REJECT, DEAD, FLOWS, PURGE)


class RedisQueue:
    """See :class:`~crawlkit.message_queue.base.MessageQueue`."""

    def __init__(self, broker: RedisBroker, name: str, max_messages: int, max_bytes: int) -> None:
        self.name = name
        self.max_messages = max_messages or UNBOUNDED
        self.max_bytes = max_bytes
        self._broker = broker
        self._room = self.max_messages  # as far as is known
        self.ever_put = 0  # as Redis said last
        self._ids = count(1)
        self._held: dict[int, tuple[bytes, int]] = {}  # id -> (that of the stream, bytes)
        self._acks: list[tuple[bytes, int]] = []  # to be sent in this turn of the loop
        self._unconfirmed: dict[bytes, int] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._putters: deque[asyncio.Future[None]] = deque()
        self._line = asyncio.Lock()  # of puts: what waits for room is not overtaken from this process

    async def put_many(self, bodies: Sequence[bytes], timeout: float | None = None) -> None:
        """Without a ``timeout`` it also waits for a server that is away or has no memory left."""
        for body in bodies:
            if len(body) > MAX_MESSAGE:
                raise BadMessage(f"a message of {len(body)} bytes is over the limit of {MAX_MESSAGE}")
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        done = 0
        try:
            async with asyncio.timeout_at(deadline if self._line.locked() else None):
                await self._line.acquire()
        except TimeoutError:
            raise self._full(0) from None
        try:
            for run in _runs(bodies):
                await self._put_run(run, deadline, done)
                done += len(run)
        finally:
            self._line.release()

    async def get_many(self, limit: int, timeout: float | None = None) -> list[Delivery]:
        """While the server is away it waits for it, at most ``timeout`` seconds."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            try:
                await self._broker.wait_connected(None if deadline is None else max(0.0, deadline - loop.time()))
            except QueueUnavailable:
                if deadline is None or self._broker.closed:
                    raise
                return []
            waiter = loop.create_future()
            self._getters.append(waiter)  # before the question: the answer and the call may come in one packet
            asks_again = False
            try:
                found = await self._take(limit, deadline)
                if found or (deadline is not None and loop.time() >= deadline):
                    return found or []
                if found is not None:
                    with contextlib.suppress(TimeoutError):
                        await _until(waiter, deadline)
                asks_again = True
            finally:
                self._stop_waiting(waiter, asks_again)

    async def ack(self, ids: Sequence[int]) -> None:
        """Is not confirmed. What a lost connection swallowed is said again over the next one."""
        mine = [held for id_ in ids if (held := self._held.pop(id_, None)) is not None]
        if not mine:
            return
        if not self._acks:
            asyncio.get_running_loop().call_soon(self._send_acks)
        self._acks += mine
        self._unconfirmed.update(mine)

    async def nack(self, ids: Sequence[int]) -> None:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        mine = [held[0] for id_ in ids if (held := self._held.pop(id_, None)) is not None]
        if mine:
            self._send(_ignore, NACK, self._broker.consumer, *mine)

    async def reject(self, ids: Sequence[int], reason: str) -> None:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        mine = [held[0] for id_ in ids if (held := self._held.pop(id_, None)) is not None]
        if mine:
            self._send(self._told_room, REJECT, self._broker.consumer, *self._bounds, reason, *mine)

    async def dead(self, limit: int = 100) -> list[DeadLetter]:
        """The newest dead letters, oldest of them first."""
        if limit <= 0:
            return []
        entries = await self._broker.answer(DEAD, self.name, limit)
        return [DeadLetter(words[1], words[3].decode()) for _, words in reversed(entries)]

    async def size(self) -> QueueSize:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        self._send_acks()
        found = await self._broker.answer(FLOWS, self.name)
        return QueueSize(*found[0][1:4])

    async def purge(self) -> int:
        """Drops everything, what consumers hold included; returns how many."""
        self._send_acks()
        dropped: int = await self._broker.answer(PURGE, self.name, *self._bounds)
        self._held.clear()
        return dropped

    def room(self) -> int:
        """As Redis said last, minus what was put since; 0 while it is away."""
        return self._room if self._broker.connected else 0

    async def wait_room(self, timeout: float | None = None) -> int:
        """Is woken by those who take."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            try:
                await self._broker.wait_connected(None if deadline is None else max(0.0, deadline - loop.time()))
            except QueueUnavailable:
                if deadline is None or self._broker.closed:
                    raise
                return 0
            waiter = loop.create_future()
            self._putters.append(waiter)
            try:
                self._send_acks()
                asked = loop.create_future()
                self._send(partial(settle, asked), ROOM, self._broker.consumer, *self._bounds)
                self._room = await _until(asked, None if deadline is None else deadline + LATE)
                if self._room > 0 or (deadline is not None and loop.time() >= deadline):
                    return self.room()
                await _until(waiter, deadline)
            except LostError:
                continue
            except TimeoutError:
                return self.room()
            except ReplyError as error:
                raise self._broker.refusal(error) from None
            finally:
                if waiter in self._putters:
                    self._putters.remove(waiter)

    # For the broker.

    def told(self, line: str) -> None:
        """Redis says that there is a message (``takers``) or room (``putters``) for this process."""
        if line == "putters":
            waiting, self._putters = self._putters, deque()
            for future in waiting:
                _wake(future)
            return
        if not _wake_first(self._getters):
            self._send(_ignore, PASS)

    def looked(self, waiting: int, room: int) -> None:
        """What the queue was like at the last beat, in case that somebody was told and died."""
        self._room = room
        if waiting:
            _wake_first(self._getters)
        if room:
            self.told("putters")

    def greeting(self) -> list[Any]:
        """What this process knows of the queue, for a new connection: see ``GREET``."""
        kept = [sid for sid, _ in self._held.values()] + list(self._unconfirmed)
        return [self.name, self.ever_put, len(kept), *kept]

    def reconnected(self) -> None:
        """Says again what the lost connection may have swallowed; whoever waits asks again."""
        if self._unconfirmed:
            self._acks = list(self._unconfirmed.items())
            self._send_acks()
        self.wake_all()

    def forget(self) -> None:
        """The messages at hand are others' now, or gone."""
        self._held.clear()
        self._acks.clear()
        self._unconfirmed.clear()
        self.ever_put = 0

    def flush(self) -> None:
        """Sends what was to be sent in this turn of the loop."""
        self._send_acks()

    def wake_all(self) -> None:
        """Whoever waits finds the broker closed, or waits for the connection."""
        for line in (self._getters, self._putters):
            while line:
                _wake(line.popleft())

    # Inside.

    @property
    def _bounds(self) -> tuple[int, int]:
        return self.max_messages, self.max_bytes

    async def _put_run(self, run: Sequence[bytes], deadline: float | None, before: int) -> None:
        """Puts all, whatever comes between; ``before``: bodies of the same put that are in already."""
        loop = asyncio.get_running_loop()
        done = 0
        broker = self._broker
        while True:
            left = None if deadline is None else max(0.0, deadline - loop.time())
            await broker.wait_connected(left)
            waiter = loop.create_future()
            self._putters.append(waiter)
            try:
                self._send_acks()
                wait = int(left != 0.0)
                asked = loop.create_future()
                self._send(partial(settle, asked), PUT, broker.consumer, *self._bounds, wait, *run[done:])
                try:
                    placed, self._room, ever = await _until(asked, None if deadline is None else deadline + LATE)
                except TimeoutError:
                    raise broker.unavailable() from None
                self.ever_put = max(self.ever_put, ever)
                if placed:
                    broker.took()
                done += placed
                if done == len(run):
                    return
                if deadline is not None and loop.time() >= deadline:
                    raise self._full(before + done)
                with contextlib.suppress(TimeoutError):
                    await _until(waiter, deadline)
            except LostError:
                continue
            except ReplyError as error:
                if not broker.short_of_memory(error):
                    raise broker.refusal(error) from None
                if deadline is not None and loop.time() + NO_MEMORY_PAUSE >= deadline:
                    raise self._full(before + done) from None
                await asyncio.sleep(NO_MEMORY_PAUSE)
            finally:
                if waiter in self._putters:
                    self._putters.remove(waiter)

    async def _take(self, limit: int, deadline: float | None) -> list[Delivery] | None:
        """Asks once; None: there was no answer, ask again."""
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[list[Delivery]] = loop.create_future()
        wait = 0 if deadline is not None and loop.time() >= deadline else 1 if len(self._getters) < 2 else 2
        self._send_acks()
        broker = self._broker
        words = (broker.consumer, broker.token, limit, TAKE_BYTES, wait, *self._bounds)
        self._send(partial(self._taken, asked), TAKE, *words)
        try:
            found: list[Delivery] = await _until(asked, None if deadline is None else deadline + LATE)
            return found
        except TimeoutError:
            return []
        except LostError:
            return None
        except ReplyError as error:
            raise broker.refusal(error) from None
        except asyncio.CancelledError:
            if asked.done() and not asked.cancelled() and asked.exception() is None:
                self._give_back(asked.result())
            raise

    def _taken(self, asked: asyncio.Future[list[Delivery]], reply: Any) -> None:
        if isinstance(reply, Exception):
            settle(asked, reply)
            return
        room, again, counts, fresh = reply
        self._room = room
        found = []
        for entries, often in ((again, counts), (fresh, None)):
            for position, (sid, words) in enumerate(entries):
                id_ = next(self._ids)
                self._held[id_] = (sid, len(words[1]))
                found.append(Delivery(id_, words[1], 0 if often is None else often[position]))
        if asked.done():  # nobody waits any more
            self._give_back(found)
        else:
            asked.set_result(found)

    def _give_back(self, found: Sequence[Delivery]) -> None:
        if found:
            self._send(_ignore, NACK, self._broker.consumer, *(self._held.pop(one.id)[0] for one in found))

    def _send_acks(self) -> None:
        if not self._acks:
            return
        acks, self._acks = self._acks, []
        words = [word for pair in acks for word in pair]
        self._send(partial(self._acked, acks), ACK, self._broker.consumer, *self._bounds, *words)

    def _acked(self, acks: list[tuple[bytes, int]], reply: Any) -> None:
        if not isinstance(reply, Exception):
            self._room = reply
            for sid, _ in acks:
                self._unconfirmed.pop(sid, None)
        elif not isinstance(reply, LostError):  # it is said again after the next connection
            self._broker.refusal(reply)

    def _told_room(self, reply: Any) -> None:
        if not isinstance(reply, Exception):
            self._room = reply

    def _send(self, on_reply: Any, script: Script, *words: Any) -> None:
        self._broker.run(on_reply, script, self.name, *words)

    def _stop_waiting(self, waiter: asyncio.Future[None], asks_again: bool) -> None:
        if waiter in self._getters:
            self._getters.remove(waiter)
        elif not asks_again and waiter.done():  # it was told of a message and leaves it to the next
            self.told("takers")

    def _full(self, done: int) -> QueueFull:
        bounds = f"{self.max_messages} messages or {self.max_bytes} bytes"
        return QueueFull(f"the queue {self.name} is full: it takes {bounds}", done)


def _runs(bodies: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """In pieces that do not keep the server busy for long."""
    start = size = 0
    for position, body in enumerate(bodies):
        if position > start and (size + len(body) > PUT_BYTES or position - start >= PUT_MESSAGES):
            yield bodies[start:position]
            start, size = position, 0
        size += len(body)
    if start < len(bodies):
        yield bodies[start:]


async def _until(future: asyncio.Future[Any], deadline: float | None) -> Any:
    """Waits for the future; raises ``TimeoutError`` when the time is over, which ends the future as well."""
    if deadline is None:
        return await future
    timer = asyncio.get_running_loop().call_at(deadline, settle, future, TimeoutError())
    try:
        return await future
    finally:
        timer.cancel()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _wake_first(line: deque[asyncio.Future[None]]) -> bool:
    while line:
        future = line.popleft()
        if not future.done():
            future.set_result(None)
            return True
    return False


def _ignore(reply: Any) -> None:
    """For what is not confirmed: it is made good when the connection is made anew."""
