"""The client's side of ``local://`` and ``manager://``: queues whose messages live in another process.

Survives the server: it connects again with back-off, and its queues ask again for what was not answered and put again
what was not confirmed.
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

from crawlkit.libs.errors import BadMessage, QueueUnavailable, UsageError
from crawlkit.message_queue import wire
from crawlkit.message_queue.base import QueueFlow, QueueSize
from crawlkit.message_queue.connection import Connection
from crawlkit.message_queue.remote_queue import LostError, RemoteQueue
from crawlkit.message_queue.wire import Piece

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_DELAY = 0.05  # seconds before the second attempt to connect; doubles up to
LAST_DELAY = 2.0
ANSWER = 10.0  # seconds after which a question about a queue (size, dead letters) is given up
GREETING = 5.0
QUIET = 5.0  # seconds without a frame from the server after which it is asked something
SILENT = 15.0  # seconds without one after that, and the connection is given up


class RefusedError(OSError):
    """The two sides do not belong together: trying again does not help. Never leaves this module."""


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
        self._late: dict[int, wire.Deliveries] = {}  # came after the cancel and before whoever waited could abandon it
        self._rids = count(1)
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._heard = 0.0  # when the last frame came
        self.closed = False
        self.generation = 0  # number of the connection

    def queue(self, name: str) -> RemoteQueue:
        """The queue of that name; the server makes it when it is used for the first time."""
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = RemoteQueue(self, name)
        return queue

    async def connect(self) -> None:
        """Connects, and stays connected from then on.

        Raises ``QueueUnavailable`` after ``patience`` seconds without a server, :class:`UsageError` at once when there
        is one and it cannot be this client's.
        """
        if self._keeper is not None:
            return
        deadline = asyncio.get_running_loop().time() + self.patience
        delay = FIRST_DELAY
        while True:
            try:
                await self._connect()
                break
            except RefusedError as error:
                raise UsageError(f"the queue server at {self.where}: {error}") from None
            except OSError as error:
                if asyncio.get_running_loop().time() + delay > deadline:
                    raise QueueUnavailable(
                        f"no crawlkit serves queues at {self.where} ({error.strerror or error}): start `crawlkit all`"
                    ) from None
            await asyncio.sleep(delay)
            delay = min(delay * 2, 0.5)
        self._keeper = asyncio.create_task(self._keep())
        self._listener = asyncio.create_task(self._listen())

    async def epoch(self) -> str:
        """Another one when the server lost its messages."""
        await self.wait_connected(ANSWER)
        return self._epoch

    async def sizes(self) -> dict[str, QueueSize]:
        """What every queue of the server holds."""
        found: dict[str, QueueSize] = await self.ask(wire.Sizes, dict[str, QueueSize])
        return found

    async def flows(self) -> dict[str, QueueFlow]:
        """What every queue of the server holds, may hold and was given."""
        found: dict[str, QueueFlow] = await self.ask(wire.Flows, dict[str, QueueFlow])
        return found

    async def close(self) -> None:
        """Leaves: what is still held goes back, and who waits gets ``QueueUnavailable``."""
        self.closed = True
        for task in (self._keeper, self._listener):
            if task is not None:
                task.cancel()
        if self._connection is not None:
            self._connection.send([wire.frame(wire.Bye())])
            try:
                async with asyncio.timeout(1):
                    await self._connection.drained()
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
        """Sends a request; the future gets its answer, or :class:`LostError`. Only while connected."""
        future = asyncio.get_running_loop().create_future()
        self._pending[rid] = future
        if self._connection is not None:
            self._connection.send(pieces, now)
        return future

    def abandon(self, rid: int, queue: str) -> None:
        """Nobody waits for the answer any more; messages that it may bring go back."""
        late = self._late.pop(rid, None)
        if late is not None:
            self.send([wire.frame(wire.Nack(queue, late.ids))])
        elif self._pending.pop(rid, None) is not None:
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
                async with asyncio.timeout(max(0.01, deadline - loop.time())):
                    answer = await future
                return msgspec.convert(answer.value, kind)
            except LostError:
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
                    async with asyncio.timeout(timeout):
                        await self._up.wait()
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
                refused = ""
                while True:
                    try:
                        await self._connect()
                        break
                    except OSError as error:
                        log.debug("the queue server at %s: %s; next try in %.2f s", self.where, error, delay)
                        if isinstance(error, RefusedError) and str(error) != refused:
                            refused = str(error)
                            log.warning("the queue server at %s: %s; trying on", self.where, refused)
                    await asyncio.sleep(delay)
                    delay = min(LAST_DELAY, delay * 2)
                log.info("connected to the queue server at %s again, after %.1f s", self.where, loop.time() - lost)
            await self._down.wait()

    async def _listen(self) -> None:
        """Leaves a server that says nothing: one that stands still, or a proxy that has lost it.

        A host that is gone the kernel notices; here somebody goes on confirming what is sent.
        """
        loop = asyncio.get_running_loop()
        asked = float("-inf")  # when; answered when something came after it
        while True:
            now, heard, connection = loop.time(), self._heard, self._connection
            if connection is None:
                pass
            elif asked < heard:
                if now - heard >= QUIET:
                    asked = now
                    connection.send([wire.frame(wire.Sizes(self.new_request()))])  # any frame will do for an answer
            elif now - asked >= SILENT:
                connection.close(f"it has said nothing for {now - heard:.0f} s")
            await asyncio.sleep(min(QUIET, 1.0))

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
        connection.limit = wire.MAX_HELLO  # until the other side has shown what it is
        try:
            async with asyncio.timeout(GREETING):
                welcome = await self._greet(connection, answers)
        except TimeoutError:
            connection.close()
            raise OSError("it does not greet") from None
        except BaseException:
            connection.close()
            raise
        if connection.closed:  # before anything here would have been told
            raise OSError("it hung up after the greeting")
        self.generation += 1
        self._epoch = welcome.epoch
        self._connection = connection
        self._heard = loop.time()
        self._down = asyncio.Event()
        connection.limit = wire.MAX_FRAME
        connection.on_frame = self._frame
        connection.on_lost = self._lost
        self._up.set()
        for queue in self._queues.values():
            queue.reconnected()

    async def _greet(self, connection: Connection, answers: asyncio.Queue[wire.ToClient | None]) -> wire.Welcome:
        challenge = await answers.get()
        if not isinstance(challenge, wire.Challenge):
            if isinstance(challenge, wire.Refused):
                raise OSError(challenge.words)
            raise OSError("it is no crawlkit queue server")
        if challenge.protocol != wire.PROTOCOL:
            raise RefusedError(
                f"it speaks protocol {challenge.protocol}, this is {wire.PROTOCOL}: run the same crawlkit everywhere"
            )
        nonce = secrets.token_bytes(wire.NONCE)
        shown = wire.proof(self.key, b"client", challenge.nonce, nonce) if self.key is not None else b""
        connection.send([wire.frame(wire.Hello(wire.PROTOCOL, self.name, nonce, shown))])
        welcome = await answers.get()
        if not isinstance(welcome, wire.Welcome):
            if isinstance(welcome, wire.Refused):
                raise (OSError if welcome.again else RefusedError)(welcome.words)
            raise OSError("it hung up at the greeting")
        if self.key is not None and not wire.proven(self.key, b"server", challenge.nonce, nonce, welcome.proof):
            raise RefusedError("it does not have the shared key: give every process the same one")
        return welcome

    def _frame(self, data: Piece) -> None:
        self._heard = asyncio.get_running_loop().time()
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
        if future is not None and future.cancelled() and isinstance(message, wire.Deliveries) and message.ids:
            self._late[message.rid] = message  # who waited is about to be told that, and then abandons it
            return
        queue = self._orphans.pop(message.rid, None)
        if queue is not None and isinstance(message, wire.Deliveries) and message.ids:
            self.send([wire.frame(wire.Nack(queue, message.ids))])

    def _lost(self, reason: str) -> None:
        self._connection = None
        self._up.clear()
        self._down.set()
        self._orphans.clear()
        self._late.clear()
        if not self.closed:
            log.warning("lost the queue server at %s (%s): connecting again", self.where, reason)
        pending, self._pending = self._pending, {}
        for future in pending.values():
            if not future.done():
                future.set_exception(self.unavailable() if self.closed else LostError())
                future.exception()  # looked at, so that nobody warns when its waiter is gone
