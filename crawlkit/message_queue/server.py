"""Serves a set of memory queues to other processes: over a Unix socket, or over TCP to who has the shared key.

What a lost connection held goes back to the head of its queue at once. Runs in the supervisor's loop; nothing here
looks into a message.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import secrets
import socket
from pathlib import Path

from crawlkit.libs.errors import BadMessage, QueueFull, UsageError
from crawlkit.listening import Listener
from crawlkit.message_queue import wire
from crawlkit.message_queue.address import SCHEME, socket_path
from crawlkit.message_queue.base import Delivery, QueueSize
from crawlkit.message_queue.connection import Connection
from crawlkit.message_queue.memory import MAX_BYTES, MAX_MESSAGES, MemoryBroker, MemoryQueue
from crawlkit.message_queue.wire import Piece

log = logging.getLogger(__name__)

MAX_REPLY = 2**20  # bytes of bodies in one answer, unless one body is larger
MAX_QUEUES = 1_000
GREETING = 5.0  # seconds a client has for its first frame
BACKLOG = 128
TELL_AGAIN = 60.0  # seconds until the same refusal is logged again
MAX_STRANGERS = 128  # connections that have not greeted yet


class QueueServer:
    """Answers clients on behalf of ``broker``. What it listens on is the business of subclasses."""

    def __init__(self, broker: MemoryBroker, key: bytes | None = None) -> None:
        self.broker = broker
        self.key = key  # None: whoever can open the socket may use it
        self.epoch_id = secrets.token_hex(16)
        self._sessions: set[_Session] = set()
        self._strangers: dict[_Session, None] = {}  # who has not greeted yet, in the order of coming
        self._refusals: dict[str, float] = {}
        self._listeners: list[Listener] = []
        self._changed: set[MemoryQueue] = set()

    def sizes(self) -> dict[str, QueueSize]:
        """What every queue holds."""
        return self.broker.sizes()

    def clients(self) -> list[str]:
        """The names that the connected clients gave themselves."""
        return sorted(session.name for session in self._sessions if session not in self._strangers)

    def queue(self, name: str) -> MemoryQueue:
        """The queue itself, for the process that serves it."""
        queue = self.broker.queue(name)
        if queue.on_change is None:
            queue.on_change = self._on_change
        return queue

    def listen(self, listener: socket.socket) -> None:
        """Takes clients from a bound socket, from several when called again."""
        listener.listen(BACKLOG)
        self._listeners.append(Listener(listener, self._come, "the queue server cannot take a client"))

    async def close(self) -> None:
        """Ends every connection; what the clients held is back in the queues, which stay usable in this process."""
        for listener in self._listeners:
            listener.stop()
            listener.socket.close()
        self._listeners.clear()
        for session in list(self._sessions):
            session.connection.close("the server stops")

    def _come(self, sock: socket.socket, peer: object) -> None:
        session = _Session(self, sock, f"a client at {peer[0]}" if isinstance(peer, tuple) else "a client")
        self._sessions.add(session)
        self._strangers[session] = None
        if len(self._strangers) > MAX_STRANGERS:
            next(iter(self._strangers)).refuse("too many come at once", again=True, now=True)

    def _on_change(self, queue: MemoryQueue) -> None:
        if not self._changed:
            asyncio.get_running_loop().call_soon(self._tell_room)
        self._changed.add(queue)

    def _tell_room(self) -> None:
        changed, self._changed = self._changed, set()
        for session in self._sessions:
            for queue in changed:
                session.tell_room(queue)

    def tell_refusal(self, words: str) -> None:
        """Logs it, the same once in a while: who is refused tries again and again."""
        self._tell(logging.WARNING, f"refused {words}")

    def _tell(self, level: int, words: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._refusals.get(words, -TELL_AGAIN) < TELL_AGAIN:
            return
        if len(self._refusals) > MAX_STRANGERS:
            self._refusals.clear()
        self._refusals[words] = now
        log.log(level, "the queue server %s", words)

    def greeted(self, session: _Session) -> None:
        """A session is no stranger any more, or will not become a guest."""
        self._strangers.pop(session, None)

    def forget(self, session: _Session) -> None:
        """A session ended."""
        self._sessions.discard(session)
        self._strangers.pop(session, None)


class LocalServer(QueueServer):
    """Serves on the Unix socket of a data path. Only one server can hold a data path at a time."""

    def __init__(
        self,
        path: str | Path,
        broker: MemoryBroker | None = None,
        *,
        max_messages: int = MAX_MESSAGES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        super().__init__(broker or MemoryBroker(max_messages, max_bytes))
        self.path = Path(path).expanduser().absolute()
        self.socket_path = socket_path(self.path)
        self._lock: int | None = None

    @property
    def url(self) -> str:
        """For clients."""
        return f"{SCHEME}{self.path}"

    async def start(self) -> None:
        """Begins to serve; raises :class:`UsageError` when another process serves this path."""
        directory = self.socket_path.parent
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if directory.stat().st_uid != os.getuid():
            raise UsageError(f"{directory} belongs to another user: use a data path of your own")
        self._take_lock()
        self.socket_path.unlink(missing_ok=True)  # of a server that was killed: its lock is gone
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o177)  # nobody else may open it, from its first moment on
        try:
            listener.bind(str(self.socket_path))
        finally:
            os.umask(old)
        self.listen(listener)

    async def close(self) -> None:
        """See :meth:`QueueServer.close`; another process may serve the path afterwards."""
        await super().close()
        if self._lock is not None:
            self.socket_path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        lock = os.open(self.socket_path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise UsageError(f"another crawlkit runs with the data path {self.path}: stop it or use another") from None
        self._lock = lock


class _Session:
    """One client."""

    def __init__(self, server: QueueServer, sock: socket.socket, name: str) -> None:
        self.server = server
        self.name = name  # until it says its own
        self.connection = Connection(sock, self._greet, self._lost)
        self.connection.limit = wire.MAX_HELLO
        self._nonce = secrets.token_bytes(wire.NONCE) if server.key is not None else b""
        self._held: dict[str, set[int]] = {}
        self._parked: dict[int, asyncio.Future[None]] = {}  # requests that wait
        self._told: dict[str, int] = {}  # the room that the client knows of, for the queues it watches
        self._leaving = False
        self._timer = asyncio.get_running_loop().call_later(GREETING, self.refuse, "no greeting", True)
        self.connection.send([wire.frame(wire.Challenge(wire.PROTOCOL, self._nonce))])

    # Coming and going.

    def _greet(self, data: Piece) -> None:
        hello = wire.read_to_server(data)
        if not isinstance(hello, wire.Hello):
            raise BadMessage("the first frame is not a greeting")
        if hello.protocol != wire.PROTOCOL:
            self.refuse(f"protocol {hello.protocol}, this is {wire.PROTOCOL}: run the same crawlkit everywhere")
            return
        key = self.server.key
        shown = b""
        if key is not None:
            if len(hello.nonce) != wire.NONCE or not wire.proven(key, b"client", self._nonce, hello.nonce, hello.proof):
                self.refuse("the key is wrong: give every process the same one")
                return
            shown = wire.proof(key, b"server", self._nonce, hello.nonce)
        self._timer.cancel()
        self.server.greeted(self)
        self.name = hello.name
        self.connection.limit = wire.MAX_FRAME
        self.connection.on_frame = self._frame
        self.connection.send([wire.frame(wire.Welcome(self.server.epoch_id, shown))])

    def refuse(self, words: str, again: bool = False, now: bool = False) -> None:
        """Ends the connection, with a reason. ``again``: another try may help. ``now``: its file handle is needed."""
        self._timer.cancel()
        self.server.greeted(self)
        self.server.tell_refusal(f"{self.name}: {words}")
        self.connection.send([wire.frame(wire.Refused(words, again))], now)
        if now:
            self.connection.close(words)
        else:
            self.connection.close_soon(words)

    def _lost(self, reason: str) -> None:
        self._timer.cancel()
        self.server.forget(self)
        for future in self._parked.values():
            future.cancel()
        for name, ids in self._held.items():
            queue = self.server.queue(name)
            if self._leaving:
                queue.nack_now(ids)
            elif ids:
                log.warning("%s is gone (%s): %d messages of %s go back", self.name, reason, len(ids), name)
                queue.consumer_died(ids)

    # Frames.

    def _frame(self, data: Piece) -> None:
        message = wire.read_to_server(data)
        match message:
            case wire.Get():
                self._get(message)
            case wire.Put():
                self._put(message)
            case wire.Ack():
                self._queue(message.queue).ack_now(self._release(message.queue, message.ids))
            case wire.Nack():
                self._queue(message.queue).nack_now(self._release(message.queue, message.ids))
            case wire.Reject():
                self._queue(message.queue).reject_now(self._release(message.queue, message.ids), message.reason)
            case wire.Cancel():
                if (parked := self._parked.get(message.rid)) is not None:
                    parked.cancel()
            case wire.Watch():
                self._told[message.queue] = room = self._queue(message.queue).room()
                self._send(wire.Room(message.queue, room))
            case wire.Bye():
                self._leaving = True
                self.connection.close("it left")
            case wire.Hello():
                raise BadMessage("a second greeting")
            case _:
                self._answer(message)

    def _answer(self, message: wire.Dead | wire.Size | wire.Purge | wire.Sizes | wire.Flows) -> None:
        if isinstance(message, wire.Sizes):
            self._send(wire.Answer(message.rid, self.server.sizes()))
            return
        if isinstance(message, wire.Flows):
            self._send(wire.Answer(message.rid, self.server.broker.flows()))
            return
        queue = self._queue(message.queue)
        match message:
            case wire.Size():
                self._send(wire.Answer(message.rid, queue.size_now()))
            case wire.Dead():
                self._send(wire.Answer(message.rid, queue.dead_now(message.limit)))
            case wire.Purge():
                self._send(wire.Answer(message.rid, queue.purge_now()))

    def _put(self, message: wire.Put) -> None:
        queue = self._queue(message.queue)
        try:
            waiting = queue.put_later(message.bodies, message.timeout)
        except QueueFull as error:
            self._send(wire.Full(message.rid, queue.room(), error.args[1], str(error.args[0])))
            return
        if waiting is None:
            self._done(message.rid, queue)
            return
        self._parked[message.rid] = waiting
        waiting.add_done_callback(lambda future: self._put_ended(message.rid, queue, future))

    def _put_ended(self, rid: int, queue: MemoryQueue, future: asyncio.Future[None]) -> None:
        self._parked.pop(rid, None)
        error = None if future.cancelled() else future.exception()
        if error is None:
            self._done(rid, queue)
        else:
            self._send(wire.Full(rid, queue.room(), error.args[1] if len(error.args) > 1 else 0, str(error.args[0])))

    def _done(self, rid: int, queue: MemoryQueue) -> None:
        self._told[queue.name] = room = queue.room()
        self._send(wire.Done(rid, room))

    def _get(self, message: wire.Get) -> None:
        queue = self._queue(message.queue)
        batch = queue.take_now(message.limit, MAX_REPLY)
        if batch or (message.timeout is not None and message.timeout <= 0):
            self._deliver(message.rid, queue, batch)
            return
        self._park_get(message, queue, message.timeout)

    def _park_get(self, message: wire.Get, queue: MemoryQueue, timeout: float | None) -> None:
        waiting = queue.message_later(timeout)
        self._parked[message.rid] = waiting
        waiting.add_done_callback(lambda future: self._get_ended(message, queue, future))

    def _get_ended(self, message: wire.Get, queue: MemoryQueue, future: asyncio.Future[None]) -> None:
        """A message came, or the time is over, or nobody waits any more."""
        self._parked.pop(message.rid, None)
        if future.cancelled() or future.exception() is not None:
            self._deliver(message.rid, queue, [])
        elif self.connection.closed:
            queue.pass_on()
        else:
            self._deliver(message.rid, queue, queue.take_now(message.limit, MAX_REPLY))

    def _deliver(self, rid: int, queue: MemoryQueue, batch: list[Delivery]) -> None:
        ids = [delivery[0] for delivery in batch]
        held = self._held.get(queue.name)
        if held is None:
            held = self._held[queue.name] = set()
        held.update(ids)
        again = [delivery[2] for delivery in batch]
        self.connection.send(
            wire.deliveries_frame(rid, queue.room(), ids, again if any(again) else [], [d[1] for d in batch]), now=True
        )

    # Helpers.

    def tell_room(self, queue: MemoryQueue) -> None:
        """Tells a client that was short of room how much there is now."""
        told = self._told.get(queue.name)
        if told is None:
            return
        room = queue.room()
        if room > told and told * 2 < (queue.max_messages or MAX_MESSAGES):
            self._told[queue.name] = room
            self._send(wire.Room(queue.name, room))

    def _queue(self, name: str) -> MemoryQueue:
        if name not in self.server.broker and len(self.server.broker) >= MAX_QUEUES:
            raise BadMessage(f"more than {MAX_QUEUES} queues")
        return self.server.queue(name)

    def _release(self, name: str, ids: list[int]) -> list[int]:
        """Of ``ids`` those that this client holds; it holds them no more."""
        held = self._held.get(name)
        if not held:
            return []
        mine = ids if held.issuperset(ids) else [id_ for id_ in ids if id_ in held]
        held.difference_update(mine)
        return mine

    def _send(self, message: wire.ToClient) -> None:
        self.connection.send([wire.frame(message)])
