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
from typing import TYPE_CHECKING, Any, NamedTuple

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
MANY = 1_000  # ids in one call
LATE = 1.0  # seconds a reply may come after the end of the time-out that was asked for
NO_MEMORY_PAUSE = 0.5  # seconds between attempts while the server has no memory

PUT, ROOM, TAKE, AFTER, ACK, NACK, REJECT, DEAD, FLOWS, PURGE = SCRIPTS = [
    Script(text)
    for text in (
        scripts.PUT, scripts.ROOM, scripts.TAKE, scripts.AFTER, scripts.ACK, scripts.NACK, scripts.REJECT,
        scripts.DEAD, scripts.FLOWS, scripts.PURGE,
    )
]  # fmt: skip


class State(NamedTuple):
    """What a queue was like when Redis last said so."""

    room: int  # messages
    waiting: int  # messages that nobody holds
    back: int  # of those, the ones that were given back
    bytes: int  # waiting and held
    messages: int  # waiting and held


class RedisQueue:
    """See :class:`~crawlkit.message_queue.base.MessageQueue`."""

    def __init__(self, broker: RedisBroker, name: str, max_messages: int, max_bytes: int) -> None:
        self.name = name
        self.max_messages = max_messages or UNBOUNDED
        self.max_bytes = max_bytes
        self._broker = broker
        self._state = State(self.max_messages, 0, 0, 0, 0)
        self._xadd = broker.xadd(name)
        self._plain = True  # whether a plain command found what it was sent for
        self.ever_put = 0  # as Redis said last
        self._ids = count(1)
        self._held: dict[int, tuple[bytes, int]] = {}  # id -> (that of the stream, bytes)
        self._acks: list[tuple[bytes, int]] = []  # to be sent in this turn of the loop
        self._unconfirmed: dict[bytes, int] = {}
        self._greeted: list[bytes] = []  # what the greeting that is on its way calls ours
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
        self._give_back(ids)

    async def reject(self, ids: Sequence[int], reason: str) -> None:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        mine = [held[0] for id_ in ids if (held := self._held.pop(id_, None)) is not None]
        if mine:
            self._send(self._learn, REJECT, self._broker.consumer, *self._bounds, reason, *mine)

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
        return self._state.room if self._broker.connected else 0

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
                await self._ask_room(0, deadline)
                if self._state.room > 0 or (deadline is not None and loop.time() >= deadline):
                    return self.room()
                await _until(waiter, deadline)
            except LostError:
                await asyncio.sleep(0)
                continue
            except TimeoutError:
                return self.room()
            except ReplyError as error:
                if not self._broker.short_of_memory(error):
                    raise self._broker.refusal(error) from None
                if deadline is not None and loop.time() + NO_MEMORY_PAUSE >= deadline:
                    return 0
                await asyncio.sleep(NO_MEMORY_PAUSE)
            finally:
                if waiter in self._putters:
                    self._putters.remove(waiter)

    # For the broker.

    def told(self, line: str) -> None:
        """Redis says that there is a message (``takers``, ``back``) or room (``putters``) for this process."""
        if line == "putters":
            room, size = max(1, self.max_messages // 4), self.max_bytes // 4  # that much is why it was said
            now = self._state
            self._state = now._replace(room=max(now.room, room), bytes=min(now.bytes, self.max_bytes - size))
            waiting, self._putters = self._putters, deque()
            for future in waiting:
                _wake(future)
            if not waiting:  # the next in the line
                self._send(self._learn, AFTER, *self._bounds)
            return
        now = self._state
        self._state = now._replace(waiting=now.waiting or 1, back=now.back or int(line == "back"))
        if not _wake_first(self._getters):
            self._send(self._learn, AFTER, *self._bounds)

    def looked(self, state: Sequence[int]) -> None:
        """What the queue was like at the last beat, in case that somebody was told and died."""
        now = self._state = State(*state)
        if now.waiting:
            _wake_first(self._getters)
        if now.room and self._putters:
            waiting, self._putters = self._putters, deque()
            for future in waiting:
                _wake(future)

    def greeting(self) -> list[Any]:
        """What this process knows of the queue, for a new connection: see ``GREET``."""
        kept = self._greeted = [sid for sid, _ in self._held.values()] + list(self._unconfirmed)
        return [self.name, self.ever_put, len(kept), *kept]

    def reconnected(self) -> None:
        """Says again what the lost connection may have swallowed; whoever waits asks again."""
        ours = {sid for sid, _ in self._held.values()} | self._unconfirmed.keys()
        self._return([sid for sid in self._greeted if sid not in ours])  # given up while the greeting was on its way
        self._greeted = []
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
            await broker.wait_connected(None if deadline is None else max(0.0, deadline - loop.time()))
            waiter = loop.create_future()
            self._putters.append(waiter)
            try:
                fitting = self._fitting(run, done)
                if not fitting:
                    await self._ask_room(len(run[done]), deadline)
                    fitting = self._fitting(run, done)
                if fitting:
                    placed = await self._place(run[done : done + fitting], deadline)
                    done += placed
                    if done == len(run):
                        return
                    if placed == fitting:
                        continue
                if deadline is not None and loop.time() >= deadline:
                    raise self._full(before + done)
                with contextlib.suppress(TimeoutError):
                    await _until(waiter, deadline)
            except LostError:
                await asyncio.sleep(0)
                continue
            except TimeoutError:
                raise broker.unavailable() from None
            except ReplyError as error:
                if not broker.short_of_memory(error):
                    raise broker.refusal(error) from None
                if deadline is not None and loop.time() + NO_MEMORY_PAUSE >= deadline:
                    raise self._full(before + done) from None
                await asyncio.sleep(NO_MEMORY_PAUSE)
            finally:
                if waiter in self._putters:
                    self._putters.remove(waiter)

    def _fitting(self, run: Sequence[bytes], start: int) -> int:
        """How many of ``run[start:]`` would fit, as far as is known."""
        room, size = self._state.room, self._state.bytes
        for position in range(start, len(run)):
            size += len(run[position])
            if position - start >= room or (size > self.max_bytes and size > len(run[position])):
                return position - start
        return len(run) - start

    async def _place(self, bodies: Sequence[bytes], deadline: float | None) -> int:
        """Puts what fits; returns how many."""
        asked = asyncio.get_running_loop().create_future()
        pieces: list[bytes] = []
        xadd = self._xadd
        for body in bodies:
            pieces += (b"%b%d\r\n" % (xadd, len(body)), body, b"\r\n")
        self._send_acks()
        wait = int(deadline is None or asyncio.get_running_loop().time() < deadline)
        words = (self._broker.consumer, *self._bounds, wait, *map(len, bodies))
        self._broker.transaction(partial(self._placed, asked), pieces, len(bodies), PUT, self.name, *words)
        placed, ever, *_ = await _until(asked, None if deadline is None else deadline + LATE)
        self.ever_put = max(self.ever_put, ever)
        self._broker.took()
        return int(placed)

    def _placed(self, asked: asyncio.Future[Any], reply: Any) -> None:
        if not isinstance(reply, Exception):
            self._state = State(*reply[2])
            for line in reply[3]:  # also when nobody waits any more for the put itself
                self.told(line.decode())
        settle(asked, reply)

    async def _ask_room(self, size: int, deadline: float | None) -> None:
        """Learns how much room there is; Redis tells when some comes for a message of that size."""
        self._send_acks()
        asked = asyncio.get_running_loop().create_future()
        self._send(partial(settle, asked), ROOM, self._broker.consumer, *self._bounds, size)
        self._state = State(*await _until(asked, None if deadline is None else deadline + LATE))

    async def _take(self, limit: int, deadline: float | None) -> list[Delivery] | None:
        """Asks once; None: there was no answer, ask again."""
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[list[Delivery] | None] = loop.create_future()
        self._send_acks()
        broker, now = self._broker, self._state
        if self._plain and now.waiting > now.back == 0:
            most = min(limit, max(1, TAKE_BYTES * now.messages // max(1, now.bytes)))
            broker.read(partial(self._have_read, asked), self.name, most)
            self._send(self._read_on, AFTER, *self._bounds)
        else:
            wait = 0 if deadline is not None and loop.time() >= deadline else 1 if len(self._getters) < 2 else 2
            words = (broker.consumer, *self._bounds, limit, TAKE_BYTES, wait)
            self._send(partial(self._taken, asked), TAKE, *words)
        try:
            found: list[Delivery] | None = await _until(asked, None if deadline is None else deadline + LATE)
            return found
        except TimeoutError:
            return []
        except LostError:
            await asyncio.sleep(0)
            return None
        except ReplyError as error:
            raise broker.refusal(error) from None
        except asyncio.CancelledError:
            if asked.done() and not asked.cancelled() and asked.exception() is None:
                self._give_back([one.id for one in asked.result() or ()])
            raise

    def _taken(self, asked: asyncio.Future[list[Delivery] | None], reply: Any) -> None:
        if isinstance(reply, Exception):
            settle(asked, reply)
            return
        state, again, counts, fresh = reply
        self._state = State(*state)
        self._plain = True
        self._hand_over(asked, self._deliveries(again, counts) + self._deliveries(fresh))

    def _have_read(self, asked: asyncio.Future[list[Delivery] | None], reply: Any) -> None:
        """The answer to a plain XREADGROUP."""
        if isinstance(reply, LostError):
            settle(asked, reply)
        elif isinstance(reply, dict):
            self._hand_over(asked, self._deliveries(next(iter(reply.values()))))
        else:  # nothing there, or the group is not: the script knows what to do
            self._plain = False
            settle(asked, None)

    def _read_on(self, reply: Any) -> None:
        self._learn(reply)
        _wake_first(self._getters)  # it looks for itself, and stands in the line again

    def _deliveries(self, entries: Sequence[Any], often: Sequence[int] = ()) -> list[Delivery]:
        found = []
        for position, (sid, words) in enumerate(entries):
            id_ = next(self._ids)
            body = words[1]
            self._held[id_] = (sid, len(body))
            found.append(Delivery(id_, body, often[position] if often else 0))
        return found

    def _hand_over(self, asked: asyncio.Future[list[Delivery] | None], found: list[Delivery]) -> None:
        if asked.done():  # nobody waits any more
            self._give_back([one.id for one in found])
        else:
            asked.set_result(found)

    def _give_back(self, ids: Sequence[int]) -> None:
        mine = [held[0] for id_ in ids if (held := self._held.pop(id_, None)) is not None]
        self._return(mine)
        if mine:
            now = self._state
            self._state = now._replace(waiting=now.waiting + len(mine), back=now.back + len(mine))

    def _return(self, mine: Sequence[bytes]) -> None:
        for start in range(0, len(mine), MANY):
            self._send(_ignore, NACK, self._broker.consumer, *mine[start : start + MANY])

    def _send_acks(self) -> None:
        if not self._acks:
            return
        acks, self._acks = self._acks, []
        for start in range(0, len(acks), MANY):
            some = acks[start : start + MANY]
            sizes = [size for _, size in some]
            words = (sum(sizes), " ".join(map(str, sizes)), *(sid for sid, _ in some))
            self._send(partial(self._acked, some), ACK, self._broker.consumer, *self._bounds, *words)

    def _acked(self, acks: list[tuple[bytes, int]], reply: Any) -> None:
        if not isinstance(reply, Exception):
            self._state = State(*reply)
            for sid, _ in acks:
                self._unconfirmed.pop(sid, None)
        elif not isinstance(reply, LostError):  # it is said again after the next connection
            self._broker.refusal(reply)

    def _learn(self, reply: Any) -> None:
        if not isinstance(reply, Exception):
            self._state = State(*reply)

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
