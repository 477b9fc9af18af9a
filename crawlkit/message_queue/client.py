"""The client's side of ``local://`` and ``manager://``: queues whose messages live in another process.

Survives the server: it connects again with back-off, asks again for what was not answered, and puts again what was
not confirmed. Deliveries of a lost connection are void: the server gives them out again, and their acks do nothing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, TypeVar

import msgspec

from crawlkit.libs.errors import BadMessage, QueueFull, QueueUnavailable
from crawlkit.message_queue import wire
from crawlkit.message_queue.base import DeadLetter, Delivery, QueueSize
from crawlkit.message_queue.connection import Connection
from crawlkit.message_queue.memory import MAX_MESSAGES
from crawlkit.message_queue.wire import Piece

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_DELAY = 0.05  # seconds before the second attempt to connect; doubles up to
LAST_DELAY = 2.0
ANSWER = 10.0  # seconds after which a question about a queue (size, dead letters) is given up
GREETING = 5.0
WINDOW = 8  # frames of one put that may be on their way
GENERATION = 44  # bits of a delivery's id that are the server's; above them stands the number of the connection


class _LostError(Exception):
    """The connection went away before the answer came: ask again."""


class QueueClient:
    """A broker behind a stream socket. ``open_socket`` makes a connected socket or raises ``OSError``; it may block
    for a moment."""

    def __init__(
        self,
        where: str,
        open_socket: Callable[[], socket.socket],
        *,
        name: str = "",
        key: bytes | None = None,
        patience: float = 5.0,
    ) -> None:
        self.where = where  # for people
        self.name = name  # shown in the server's log
        self.key = key
        self.patience = patience  # seconds that connect() goes on trying
        self._open_socket = open_socket
        self._queues: dict[str, RemoteQueue] = {}
        self._connection: Connection | None = None
        self._epoch = ""
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._orphans: dict[int, str] = {}  # gets that nobody waits for any more -> queue
        self._rids = count(1)
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self.closed = False
        self.generation = 0  # number of the connection

    def queue(self, name: str) -> RemoteQueue:
        """The queue of that name; the server makes it when it is used for the first time."""
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = RemoteQueue(self, name)
        return queue

    async def connect(self) -> None:
        """Connects; raises ``QueueUnavailable`` after ``patience`` seconds. From then on the client stays connected."""
        if self._keeper is not None:
            return
        deadline = asyncio.get_running_loop().time() + self.patience
        delay = FIRST_DELAY
        while True:
            try:
                await self._connect()
                break
            except OSError as error:
                if asyncio.get_running_loop().time() + delay > deadline:
                    raise QueueUnavailable(
                        f"no crawlkit serves queues at {self.where} ({error.strerror or error}): start `crawlkit all`"
                    ) from None
            await asyncio.sleep(delay)
            delay = min(delay * 2, 0.5)
        self._keeper = asyncio.create_task(self._keep())

    async def epoch(self) -> str:
        """Another one when the server lost its messages."""
        await self.wait_connected(ANSWER)
        return self._epoch

    async def sizes(self) -> dict[str, QueueSize]:
        """What every queue of the server holds."""
        found: dict[str, QueueSize] = await self.ask(wire.Sizes, dict[str, QueueSize])
        return found

    async def close(self) -> None:
        """Leaves: what is still held goes back, and who waits gets ``QueueUnavailable``."""
        self.closed = True
        if self._keeper is not None:
            self._keeper.cancel()
        if self._connection is not None:
            self._connection.send([wire.frame(wire.Bye())])
            try:
                await asyncio.wait_for(self._connection.drained(), 1)
            except TimeoutError:
                log.debug("the queue server does not read: leaving without a word")
            if self._connection is not None:
                self._connection.close("this client closed")
        self._up.set()  # who waits for the connection finds it closed

    # For the queues.

    @property
    def connected(self) -> bool:
        return self._connection is not None

    def send(self, pieces: Sequence[Piece]) -> bool:
        """Sends what is not answered; False: there is no connection."""
        if self._connection is None:
            return False
        self._connection.send(pieces)
        return True

    def new_request(self) -> int:
        """A number for the next request."""
        return next(self._rids)

    def request(self, rid: int, pieces: Sequence[Piece], now: bool = False) -> asyncio.Future[Any]:
        """Sends a request; the future gets its answer, or :class:`_LostError`. Only while connected."""
        future = asyncio.get_running_loop().create_future()
        self._pending[rid] = future
        if self._connection is not None:
            self._connection.send(pieces, now)
        return future

    def abandon(self, rid: int, queue: str) -> None:
        """Nobody waits for the answer any more; messages that it may bring go back."""
        if self._pending.pop(rid, None) is not None:
            self._orphans[rid] = queue
            self.send([wire.frame(wire.Cancel(rid))])

    async def ask(self, make: Callable[[int], msgspec.Struct], kind: Any) -> Any:
        """Asks a question about queues; raises ``QueueUnavailable`` when no answer comes."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ANSWER
        while True:
            await self.wait_connected(deadline - loop.time())
            rid = self.new_request()
            future = self.request(rid, [wire.frame(make(rid))])
            try:
                answer = await asyncio.wait_for(future, max(0.01, deadline - loop.time()))
                return msgspec.convert(answer.value, kind)
            except _LostError:
                continue
            except TimeoutError:
                raise self.unavailable() from None
            finally:
                self._pending.pop(rid, None)

    async def wait_connected(self, timeout: float | None) -> None:
        """Waits for the connection; raises ``QueueUnavailable`` when ``timeout`` seconds pass first."""
        while self._connection is None:
            if not self.closed:
                try:
                    await asyncio.wait_for(self._up.wait(), timeout)
                except TimeoutError:
                    raise self.unavailable() from None
            if self.closed:
                raise QueueUnavailable(f"the connection to {self.where} was closed here")

    def unavailable(self) -> QueueUnavailable:
        return QueueUnavailable(f"the queue server at {self.where} does not answer")

    # The connection.

    async def _keep(self) -> None:
        """Connects again whenever the connection is lost."""
        loop = asyncio.get_running_loop()
        while True:
            if self._connection is None:
                delay = FIRST_DELAY
                lost = loop.time()
                while True:
                    try:
                        await self._connect()
                        break
                    except OSError as error:
                        log.debug("the queue server at %s: %s; next try in %.2f s", self.where, error, delay)
                    await asyncio.sleep(delay)
                    delay = min(LAST_DELAY, delay * 2)
                log.info("connected to the queue server at %s again, after %.1f s", self.where, loop.time() - lost)
            await self._down.wait()

    async def _connect(self) -> None:
        """One attempt, with the greeting; raises ``OSError``."""
        loop = asyncio.get_running_loop()
        sock = await loop.run_in_executor(None, self._open_socket)
        answers: asyncio.Queue[wire.ToClient | None] = asyncio.Queue()
        connection = Connection(
            sock,
            lambda data: answers.put_nowait(wire.read_to_client(data)),
            lambda _: answers.put_nowait(None),
        )
        try:
            welcome = await asyncio.wait_for(self._greet(connection, answers), GREETING)
        except TimeoutError:
            connection.close()
            raise OSError("it does not greet") from None
        except BaseException:
            connection.close()
            raise
        self.generation += 1
        self._epoch = welcome.epoch
        self._connection = connection
        self._down = asyncio.Event()
        connection.on_frame = self._frame
        connection.on_lost = self._lost
        self._up.set()
        for queue in self._queues.values():
            queue.reconnected()

    async def _greet(self, connection: Connection, answers: asyncio.Queue[wire.ToClient | None]) -> wire.Welcome:
        challenge = await answers.get()
        if not isinstance(challenge, wire.Challenge):
            raise OSError(challenge.words if isinstance(challenge, wire.Refused) else "it is no crawlkit queue server")
        if challenge.protocol != wire.PROTOCOL:
            raise OSError(f"it speaks protocol {challenge.protocol}, this is {wire.PROTOCOL}")
        nonce = secrets.token_bytes(wire.NONCE)
        shown = wire.proof(self.key, b"client", challenge.nonce, nonce) if self.key is not None else b""
        connection.send([wire.frame(wire.Hello(wire.PROTOCOL, self.name, nonce, shown))])
        welcome = await answers.get()
        if not isinstance(welcome, wire.Welcome):
            raise OSError(welcome.words if isinstance(welcome, wire.Refused) else "it hung up at the greeting")
        if self.key is not None and not wire.proven(self.key, b"server", challenge.nonce, nonce, welcome.proof):
            raise OSError("it does not have the shared key")
        return welcome

    def _frame(self, data: Piece) -> None:
        message = wire.read_to_client(data)
        if isinstance(message, wire.Room):
            self.queue(message.queue).told(message.room)
            return
        if isinstance(message, wire.Challenge | wire.Welcome | wire.Refused):
            raise BadMessage(f"the queue server says {message}")
        future = self._pending.pop(message.rid, None)
        if future is not None and not future.done():
            future.set_result(message)
            return
        queue = self._orphans.pop(message.rid, None)
        if queue is not None and isinstance(message, wire.Deliveries) and message.ids:
            self.send([wire.frame(wire.Nack(queue, message.ids))])

    def _lost(self, reason: str) -> None:
        self._connection = None
        self._up.clear()
        self._down.set()
        self._orphans.clear()
        if not self.closed:
            log.warning("lost the queue server at %s (%s): connecting again", self.where, reason)
        pending, self._pending = self._pending, {}
        for future in pending.values():
            if not future.done():
                future.set_exception(self.unavailable() if self.closed else _LostError())
                future.exception()  # looked at, so that nobody warns when its waiter is gone


class RemoteQueue:
    """See :class:`~crawlkit.message_queue.base.MessageQueue`."""

    def __init__(self, client: QueueClient, name: str) -> None:
        self.name = name
        self._client = client
        self._room: int | None = None  # None: not told yet
        self._watching = False
        self._waiting: list[asyncio.Future[None]] = []

    async def put_many(self, bodies: Sequence[bytes], timeout: float | None = None) -> None:
        """Without a ``timeout`` it also waits for a server that is away; what was confirmed is not put again."""
        for body in bodies:
            if len(body) > wire.MAX_FRAME - wire.MAX_HELLO:
                raise BadMessage(f"a message of {len(body)} bytes is over the limit of {wire.MAX_FRAME}")
        if timeout is not None:
            await self._put_until(bodies, asyncio.get_running_loop().time() + timeout)
            return
        todo = wire.chunks(bodies)
        while todo:
            await self._client.wait_connected(None)
            todo = await self._put_window(todo)

    async def get_many(self, limit: int, timeout: float | None = None) -> list[Delivery]:
        """While the server is away it waits for it, at most ``timeout`` seconds."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        client = self._client
        while True:
            left = None if deadline is None else max(0.0, deadline - loop.time())
            try:
                await client.wait_connected(left)
            except QueueUnavailable:
                if deadline is None or client.closed:
                    raise
                return []
            generation = client.generation << GENERATION
            rid = client.new_request()
            future = client.request(rid, [wire.frame(wire.Get(rid, self.name, limit, left))])
            try:
                answer = await future
            except _LostError:
                continue
            except asyncio.CancelledError:
                if future.done() and not future.cancelled() and future.exception() is None:
                    await self.nack([generation + id_ for id_ in future.result().ids])
                client.abandon(rid, self.name)
                raise
            self.told(answer.room, only_known=True)
            if answer.ids:
                again = answer.redelivered or [0] * len(answer.ids)
                return list(map(Delivery, [generation + id_ for id_ in answer.ids], answer.bodies, again))
            if deadline is not None and loop.time() >= deadline:
                return []

    async def ack(self, ids: Sequence[int]) -> None:
        """Is not confirmed: when it gets lost the messages come again."""
        if mine := self._of_this_connection(ids):
            self._client.send([wire.frame(wire.Ack(self.name, mine))])

    async def nack(self, ids: Sequence[int]) -> None:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        if mine := self._of_this_connection(ids):
            self._client.send([wire.frame(wire.Nack(self.name, mine))])

    async def reject(self, ids: Sequence[int], reason: str) -> None:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        if mine := self._of_this_connection(ids):
            self._client.send([wire.frame(wire.Reject(self.name, mine, reason))])

    async def dead(self, limit: int = 100) -> list[DeadLetter]:
        """The newest dead letters, oldest of them first."""
        found: list[DeadLetter] = await self._client.ask(lambda rid: wire.Dead(rid, self.name, limit), list[DeadLetter])
        return found

    async def size(self) -> QueueSize:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        found: QueueSize = await self._client.ask(lambda rid: wire.Size(rid, self.name), QueueSize)
        return found

    async def purge(self) -> int:
        """Drops everything, what consumers hold included; returns how many."""
        found: int = await self._client.ask(lambda rid: wire.Purge(rid, self.name), int)
        return found

    def room(self) -> int:
        """As the server said last, minus what was put since. 0 while it is away; a guess until it spoke."""
        if not self._client.connected:
            return 0
        self._watch()
        return MAX_MESSAGES if self._room is None else self._room

    async def wait_room(self, timeout: float | None = None) -> int:
        """Is woken by the server."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while self._room is None or not self.room():
            waiting = loop.create_future()
            self._waiting.append(waiting)
            self._watch()
            timer = None if deadline is None else loop.call_at(deadline, _wake, waiting)
            try:
                await waiting
            finally:
                if timer is not None:
                    timer.cancel()
                if waiting in self._waiting:
                    self._waiting.remove(waiting)
            if deadline is not None and loop.time() >= deadline:
                break
        return self.room()

    # For the client.

    def told(self, room: int, only_known: bool = False) -> None:
        """The server said how much room there is."""
        if only_known and self._room is None:
            return
        self._room = room
        if room > 0:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                _wake(future)

    def reconnected(self) -> None:
        """A new connection knows nothing of what this queue watched."""
        self._room = None
        if self._watching:
            self._watching = False
            self._watch()

    # Inside.

    def _watch(self) -> None:
        if not self._watching:
            self._watching = self._client.send([wire.frame(wire.Watch(self.name))])

    def _of_this_connection(self, ids: Sequence[int]) -> list[int]:
        base = self._client.generation << GENERATION
        end = base + (1 << GENERATION)
        return [id_ - base for id_ in ids if base <= id_ < end]

    async def _put_window(self, todo: list[Sequence[bytes]]) -> list[Sequence[bytes]]:
        """Puts runs of bodies in order, some on their way at once; returns those that were not confirmed."""
        client = self._client
        underway: list[tuple[int, asyncio.Future[Any]]] = []
        sent = confirmed = 0
        try:
            while confirmed < len(todo):
                while sent < len(todo) and sent - confirmed < WINDOW and client.connected:
                    bodies = todo[sent]
                    rid = client.new_request()
                    underway.append((rid, client.request(rid, wire.put_frame(rid, self.name, None, bodies), now=True)))
                    if self._room is not None:
                        self._room = max(0, self._room - len(bodies))
                    sent += 1
                if confirmed == sent:
                    break
                answer = await underway[confirmed][1]
                if isinstance(answer, wire.Full):
                    raise QueueUnavailable(answer.words)
                self.told(answer.room)
                confirmed += 1
        except _LostError:
            pass
        except asyncio.CancelledError:
            for rid, _ in underway[confirmed:]:
                client.abandon(rid, self.name)
            raise
        return todo[confirmed:]

    async def _put_until(self, bodies: Sequence[bytes], deadline: float) -> None:
        """Puts one run after the other, so that what was put is always a beginning of ``bodies``."""
        loop = asyncio.get_running_loop()
        client = self._client
        done = 0
        for run in wire.chunks(bodies):
            while True:
                left = max(0.0, deadline - loop.time())
                await client.wait_connected(left)
                rid = client.new_request()
                future = client.request(rid, wire.put_frame(rid, self.name, left, run))
                try:
                    answer = await future
                    break
                except _LostError:
                    continue
                except asyncio.CancelledError:
                    client.abandon(rid, self.name)
                    raise
            self.told(answer.room)
            if isinstance(answer, wire.Full):
                raise QueueFull(answer.words, done + answer.done)
            done += len(run)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
