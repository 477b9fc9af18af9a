"""``kombu+TRANSPORT://``: queues in whatever else kombu speaks (SQS, MongoDB, a folder, ...). Best effort.

Outside crawlkit's promise: most of these transports lose what a dead process held, or bring it back after an hour;
some do not keep the order. A task that got lost that way comes round again when its lease expires. kombu's calls block,
so that each connection has a thread of its own, and an empty queue is looked at again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import kombu.connection
import kombu.messaging
from kombu.exceptions import OperationalError

from crawlkit.libs.errors import BadMessage, QueueFull, QueueUnavailable, UsageError
from crawlkit.libs.messages import queue_names
from crawlkit.libs.url_masking import hidden, masked
from crawlkit.message_queue.amqp_ledger import Ledger
from crawlkit.message_queue.base import DeadLetter, Delivery, QueueFlow, QueueSize
from crawlkit.message_queue.memory import MAX_BYTES, MAX_MESSAGES

log = logging.getLogger(__name__)
T = TypeVar("T")
Connection: Any = kombu.connection.Connection
Producer: Any = kombu.messaging.Producer

SCHEME = "kombu+"
AMQP = ("amqp:", "amqps:", "pyamqp:")
CONFIRMED = {"confirm_publish": True}
MAX_BODY = 16 * 2**20  # bytes
MAX_DEAD = 1_000  # dead letters kept
CONNECT = 5.0  # seconds
ANSWER = 10.0  # seconds
EMPTY_PAUSE = (0.01, 0.25)  # seconds between looks at an empty or a full queue
AWAY_PAUSE = 0.5  # seconds between attempts to connect


class KombuBroker:
    """``max_messages`` and ``max_bytes`` bound each queue; the bytes are those that are known here.

    ``prefix`` in the URL's query goes before the names of the queues; the rest of it are kombu's transport options.
    """

    def __init__(
        self, url: str, *, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES, name: str = ""
    ) -> None:
        base, _, query = url.removeprefix(SCHEME).partition("?")
        options: dict[str, Any] = {key: int(v) if v.isdecimal() else v for key, v in parse_qsl(query)}
        self.prefix = str(options.pop("prefix", "crawlkit"))
        self.name = name
        self._url = url
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        try:
            self._connection = Connection(
                base,
                transport_options={**(CONFIRMED if base.startswith(AMQP) else {}), **options},
                connect_timeout=CONNECT,
            )
            self._connection.as_uri()  # takes the URL apart, and refuses it now if ever
            self.where = masked(url)
            self._errors = (
                *self._connection.connection_errors,
                *self._connection.channel_errors,
                OperationalError,
                OSError,
            )
        except (ImportError, KeyError) as error:
            scheme = SCHEME + base.partition("://")[0]
            raise UsageError(
                f"message queue {scheme}://: kombu has no such transport, or its package is missing ({error})"
            ) from None
        self._channel: Any = None
        self._thread = ThreadPoolExecutor(1, "kombu")
        self._queues: dict[str, KombuQueue] = {}
        self.generation = 0  # number of the connection
        self._away = False  # and that was logged
        self.closed = False

    def queue(self, name: str) -> KombuQueue:
        """The queue of that name."""
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = KombuQueue(self, name, self.max_messages, self.max_bytes)
        return queue

    async def connect(self) -> None:
        """Connects, and says what is not promised; raises ``QueueUnavailable``."""
        await self.ask(lambda channel: None, 0)
        log.warning(
            "%s: best effort, outside crawlkit's promise: a task in a lost message waits for its lease to end",
            self.where,
        )

    async def epoch(self) -> str:
        """Always the same: that messages were lost cannot be seen here."""
        return "kombu"

    async def flows(self) -> dict[str, QueueFlow]:
        """What the queues of the ring hold, and the status queues of further partitions that this connection used;
        ``put`` counts what was put by it."""
        found = {}
        for name in queue_names(self._queues):
            queue = self.queue(name)
            size, dead = await queue.size(), await queue.dead_count()
            found[name] = QueueFlow(*size, queue.ledger.put, dead, self.max_messages, self.max_bytes)
        return found

    async def close(self) -> None:
        """Leaves; what is held goes back where the transport can."""
        self.closed = True
        for queue in self._queues.values():
            queue.wake()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def remove(self, names: Sequence[str]) -> None:
        """Takes away the queues of these names under the prefix, with their dead letters, as far as the transport can.

        Raises ``QueueUnavailable``.
        """

        def remove(channel: Any) -> None:
            for name in names:
                for full_name in (f"{self.prefix}.{name}", f"{self.prefix}.{name}.dead"):
                    channel.queue_declare(queue=full_name, durable=True, auto_delete=False)
                    channel.queue_purge(full_name)  # where deleting forgets the name only
                    channel.queue_delete(full_name)

        try:
            await self.ask(remove, 0)
        finally:
            await self.close()

    # For the queues.

    async def ask(self, question: Callable[[Any], T], patience: float | None) -> T:
        """``question(channel)`` in the thread, again while the broker is away; raises ``QueueUnavailable`` after
        ``patience`` seconds."""
        loop = asyncio.get_running_loop()
        deadline = None if patience is None else loop.time() + patience
        while True:
            if self.closed:
                raise QueueUnavailable(f"the connection to {self.where} was closed here")
            try:
                found = await loop.run_in_executor(self._thread, self._ask, question)
                if self._away:
                    self._away = False
                    log.warning("%s answers again", self.where)
                return found
            except self._errors as error:
                words = hidden(" ".join(str(error).split()), self._url) or type(error).__name__
                if deadline is not None and loop.time() >= deadline:
                    raise QueueUnavailable(
                        f"{self.where} does not answer ({words}): check the URL and the server"
                    ) from None
                if deadline is None and not self._away:  # who has a time limit is told by the error
                    self._away = True
                    log.warning("%s does not answer (%s): waiting until it does", self.where, words)
            await asyncio.sleep(AWAY_PAUSE if deadline is None else max(0.0, min(AWAY_PAUSE, deadline - loop.time())))

    def _ask(self, question: Callable[[Any], T]) -> T:
        if self._channel is None:
            with contextlib.suppress(*self._errors):
                self._connection.close()
            self._connection.connect()
            self._channel = self._connection.channel()
            self.generation += 1
        try:
            return question(self._channel)
        except self._errors:
            self._channel = None
            raise

    def _close(self) -> None:
        with contextlib.suppress(*self._errors):
            if self._channel is not None:
                self._channel.close()
            self._connection.close()


class KombuQueue:
    """See :class:`~crawlkit.message_queue.base.MessageQueue`."""

    def __init__(self, broker: KombuBroker, name: str, max_messages: int, max_bytes: int) -> None:
        self.name = name
        self.full_name = f"{broker.prefix}.{name}"
        self.ledger = Ledger(max_messages, max_bytes)
        self._broker = broker
        self._ids = count(1)
        self._held: dict[int, tuple[int, Any, bytes]] = {}  # id -> (number of the connection, message, body)
        self._spare: list[tuple[int, Any]] = []  # taken for somebody who was gone
        self._taking = asyncio.Lock()
        self._putting = asyncio.Lock()
        self._happened = asyncio.Event()

    async def put_many(self, bodies: Sequence[bytes], timeout: float | None = None) -> None:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        for body in bodies:
            if len(body) > MAX_BODY:
                raise BadMessage(f"a message of {len(body)} bytes is over the limit of {MAX_BODY}")
        deadline = self._deadline(timeout)
        done, pause = 0, EMPTY_PAUSE[0]
        try:
            async with asyncio.timeout_at(deadline):
                await self._putting.acquire()
        except TimeoutError:
            raise self._full(0) from None
        try:
            while done < len(bodies):
                await self._count(self._left(deadline))
                if room := self.ledger.fitting([len(body) for body in bodies[done:]]):
                    run = bodies[done : done + room]
                    await self._broker.ask(partial(self._publish, bodies=run), self._left(deadline))
                    self.ledger.was_put([len(body) for body in run])
                    done, pause = done + len(run), EMPTY_PAUSE[0]
                    self.wake()
                    continue
                if not await self._pause(pause, deadline):
                    raise self._full(done)
                pause = min(pause * 2, EMPTY_PAUSE[1])
        finally:
            self._putting.release()

    async def get_many(self, limit: int, timeout: float | None = None) -> list[Delivery]:
        """Looks at an empty queue four times a second."""
        deadline, pause = self._deadline(timeout), EMPTY_PAUSE[0]
        while True:
            try:
                await asyncio.shield(self._take(max(1, limit), self._left(deadline)))
            except QueueUnavailable:
                if deadline is None or self._broker.closed:
                    raise
                return []
            if self._spare:
                return self._hand_out(limit)
            if not await self._pause(pause, deadline):
                return []
            pause = min(pause * 2, EMPTY_PAUSE[1])

    async def ack(self, ids: Sequence[int]) -> None:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        ended = self._pop(ids)
        for _, _, body in ended:
            self.ledger.ended(len(body))
        self.wake()
        await self._end(ended, lambda message: message.ack())

    async def nack(self, ids: Sequence[int]) -> None:
        """Gives deliveries back, to the head of the queue where the transport can."""
        back = self._pop(ids)
        await self._end(back[::-1], lambda message: message.requeue())
        self.ledger.returned([len(body) for _, _, body in back])
        self.wake()

    async def reject(self, ids: Sequence[int], reason: str) -> None:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        held = [(id_, self._held[id_][2]) for id_ in ids if id_ in self._held]
        for id_, body in held:
            await self._broker.ask(partial(self._bury, body=body, reason=reason), ANSWER)
            await self.ack([id_])

    async def dead(self, limit: int = 100) -> list[DeadLetter]:
        """They are taken and put again: two who look at the same moment may both see less."""
        letters: list[DeadLetter] = await self._broker.ask(self._browse, ANSWER)
        return letters[-limit:] if limit > 0 else []

    async def dead_count(self) -> int:
        """How many dead letters are kept."""
        return await self._broker.ask(lambda channel: self._declare(channel, self._dead_name), ANSWER)

    async def size(self) -> QueueSize:
        """What waits there and what this connection holds; the bytes that wait may be a guess."""
        await self._count(ANSWER)
        return QueueSize(self.ledger.messages, self.ledger.bytes, self.ledger.held)

    def room(self) -> int:
        """As counted last, and corrected by what was done here since."""
        return self.ledger.room()

    async def wait_room(self, timeout: float | None = None) -> int:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        deadline, pause = self._deadline(timeout), EMPTY_PAUSE[0]
        while True:
            with contextlib.suppress(QueueUnavailable):
                await self._count(self._left(deadline))
                if room := self.room():
                    return room
            if not await self._pause(pause, deadline):
                return 0
            pause = min(pause * 2, EMPTY_PAUSE[1])

    async def purge(self) -> int:
        """Drops what waits and what this connection holds; returns how many."""
        self._hand_out(len(self._spare))
        held = list(self._held)
        await self.ack(held)

        def purge(channel: Any) -> int:
            self._declare(channel, self.full_name)
            return int(channel.queue_purge(self.full_name) or 0)

        dropped = await self._broker.ask(purge, ANSWER)
        self.ledger.counted(0)
        return dropped + len(held)

    def wake(self) -> None:
        """Who waits looks again."""
        self._happened.set()

    # In the thread.

    @property
    def _dead_name(self) -> str:
        return f"{self.full_name}.dead"

    def _declare(self, channel: Any, name: str) -> int:
        return int(channel.queue_declare(queue=name, durable=True, auto_delete=False).message_count)

    def _publish(self, channel: Any, bodies: Sequence[bytes]) -> None:
        producer = Producer(channel)
        for body in bodies:
            self._send(producer, self.full_name, body, {})

    def _send(self, producer: Any, name: str, body: bytes, headers: dict[str, str]) -> None:
        producer.publish(
            body, exchange="", routing_key=name, delivery_mode=2, headers=headers,
            content_type="application/octet-stream", content_encoding="binary",
        )  # fmt: skip

    def _fetch(self, channel: Any, name: str, limit: int) -> list[Any]:
        found: list[Any] = []
        while len(found) < limit and (message := channel.basic_get(name, no_ack=False)) is not None:
            found.append(channel.message_to_python(message) if hasattr(channel, "message_to_python") else message)
        return found

    def _bury(self, channel: Any, body: bytes, reason: str) -> None:
        kept = self._declare(channel, self._dead_name)
        for message in self._fetch(channel, self._dead_name, max(0, kept + 1 - MAX_DEAD)):
            message.ack()
        self._send(Producer(channel), self._dead_name, body, {"reason": reason[:1000]})

    def _browse(self, channel: Any) -> list[DeadLetter]:
        producer = Producer(channel)
        letters = []
        for message in self._fetch(channel, self._dead_name, self._declare(channel, self._dead_name)):
            letters.append(DeadLetter(_body(message), str(message.headers.get("reason", ""))))
            self._send(producer, self._dead_name, letters[-1].body, {"reason": letters[-1].reason})
            message.ack()
        return letters

    # Inside.

    async def _take(self, limit: int, patience: float | None) -> None:
        async with self._taking:
            if self._spare:
                return

            def take(channel: Any) -> tuple[int, list[Any]]:
                self._declare(channel, self.full_name)
                return self._broker.generation, self._fetch(channel, self.full_name, limit)

            generation, messages = await self._broker.ask(take, patience)
            for message in messages:
                self._spare.append((generation, message))
                self.ledger.came(len(_body(message)))

    def _hand_out(self, limit: int) -> list[Delivery]:
        batch, self._spare = self._spare[:limit], self._spare[limit:]
        self.ledger.handed_out(len(batch))
        deliveries = []
        for generation, message in batch:
            id_, body = next(self._ids), _body(message)
            self._held[id_] = (generation, message, body)
            again = message.delivery_info.get("redelivered") or message.headers.get("redelivered")
            deliveries.append(Delivery(id_, body, int(bool(again))))
        self.wake()
        return deliveries

    def _pop(self, ids: Sequence[int]) -> list[tuple[int, Any, bytes]]:
        return [self._held.pop(id_) for id_ in ids if id_ in self._held]

    async def _end(self, taken: Sequence[tuple[int, Any, bytes]], how: Callable[[Any], None]) -> None:
        def end(_: Any) -> None:
            for generation, message, _ in taken:
                if generation == self._broker.generation:  # others died with their connection
                    how(message)

        if taken:
            with contextlib.suppress(QueueUnavailable):  # they come again, or their tasks do
                await self._broker.ask(end, 0)

    async def _count(self, patience: float | None) -> None:
        self.ledger.counted(await self._broker.ask(lambda channel: self._declare(channel, self.full_name), patience))

    async def _pause(self, seconds: float, deadline: float | None) -> bool:
        left = self._left(deadline)
        if left is not None and left <= 0:
            return False
        self._happened.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds if left is None else min(seconds, left)):
                await self._happened.wait()
        return True

    def _full(self, done: int) -> QueueFull:
        held = self.ledger
        return QueueFull(f"the queue {self.name} is full ({held.messages} messages, {held.bytes} bytes)", done)

    def _deadline(self, timeout: float | None) -> float | None:
        return None if timeout is None else asyncio.get_running_loop().time() + timeout

    def _left(self, deadline: float | None) -> float | None:
        return None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())


def _body(message: Any) -> bytes:
    body = message.body
    return (
        body
        if isinstance(body, bytes)
        else bytes(body)
        if isinstance(body, bytearray | memoryview)
        else str(body).encode()
    )
