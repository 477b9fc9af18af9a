"""One queue of an AMQP broker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from crawlkit.libs.errors import BadMessage, QueueFull, QueueUnavailable
from crawlkit.message_queue.amqp_ledger import UNBOUNDED, Ledger
from crawlkit.message_queue.amqp_link import AmqpChannel, AmqpLink, answer, until
from crawlkit.message_queue.amqp_put import Publisher, stamp
from crawlkit.message_queue.amqp_take import Consumer, Taken
from crawlkit.message_queue.amqp_trouble import LostError
from crawlkit.message_queue.base import DeadLetter, Delivery, QueueSize

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_BODY = 16 * 2**20  # bytes
WALL = 256 * 2**20  # bytes of waiting messages from which on the broker itself refuses more
MAX_DEAD = 1_000  # dead letters kept
MAX_DEAD_BYTES = 64 * 2**20
MAX_DELIVERIES = 50  # times a message may come back unacknowledged before it is put aside
ANSWER = 10.0  # seconds after which a question about a queue is given up
GRACE = 1.0  # seconds that the broker may be late with an answer
FRESH = 0.05  # seconds for which a count is believed
RECENT = 0.25  # seconds after which room() asks for another
FULL_PAUSE = (0.005, 0.2)  # seconds between looks at a full queue
LOST_PAUSE = 0.1
RUN = 256  # messages in one put
RUN_BYTES = 4 * 2**20


class AmqpQueue:
    """See :class:`~crawlkit.message_queue.base.MessageQueue`.

    What other connections hold is unknown here: :meth:`size` and the bound on bytes count what waits in the broker and
    what this connection holds; so ``max_messages`` may be passed by as many messages as other producers put at the same
    moment.
    """

    def __init__(
        self, name: str, full_name: str, put_link: AmqpLink, take_link: AmqpLink, queue_type: Callable[[], str],
        max_messages: int, max_bytes: int,
    ) -> None:  # fmt: skip
        self.name = name
        self.full_name = full_name
        self.dead_name = f"{full_name}.dead"
        self.ledger = Ledger(max_messages, min(max_bytes, WALL))
        self._put_link = put_link
        self._take_link = take_link
        self._queue_type = queue_type
        self._publisher = Publisher(put_link, self.declare)
        self._consumer = Consumer(full_name, take_link, self.ledger, self.declare)
        self._consumer.on_change = self._changed
        self._room_came = asyncio.Event()
        self._putting = asyncio.Lock()
        self._browsing = asyncio.Lock()
        self._full = False  # somebody waits for room
        self._counted = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    # The contract of base.MessageQueue.

    async def put_many(self, bodies: Sequence[bytes], timeout: float | None = None) -> None:
        """Without a ``timeout`` it also waits for a broker that is away."""
        for body in bodies:
            if len(body) > MAX_BODY:
                raise BadMessage(f"a message of {len(body)} bytes is over the limit of {MAX_BODY}")
        deadline = self._deadline(timeout)
        try:
            async with asyncio.timeout_at(deadline):
                await self._putting.acquire()
        except TimeoutError:
            raise self._is_full(0) from None
        try:
            await self._put(list(bodies), deadline)
        finally:
            self._full = False
            self._putting.release()

    async def get_many(self, limit: int, timeout: float | None = None) -> list[Delivery]:
        """While the broker is away it waits for it, at most ``timeout`` seconds."""
        deadline = self._deadline(timeout)
        while True:
            try:
                async with asyncio.timeout_at(None if deadline is None else deadline + GRACE):
                    await self._take_link.wait_connected(self._left(deadline))
                    taken = await self._consumer.get(max(1, limit), deadline)
            except TimeoutError:
                return []
            except QueueUnavailable:
                if deadline is None or self._take_link.closed:
                    raise
                return []
            except LostError as error:
                await self._bear(error, self._take_link)
                continue
            good = [(id_, one) for id_, one in taken if one.redelivered <= MAX_DELIVERIES]
            if len(good) < len(taken):
                await self._put_poison_aside(taken)
            if good or not taken:
                return [Delivery(id_, one.body, one.redelivered) for id_, one in good]

    async def ack(self, ids: Sequence[int]) -> None:
        """Is not confirmed: when it gets lost the messages come again."""
        self._consumer.ack(ids)

    async def nack(self, ids: Sequence[int]) -> None:
        """See :class:`~crawlkit.message_queue.base.MessageQueue`."""
        if self._take_link.connected:
            try:
                await self._consumer.nack(ids)
                return
            except LostError as error:
                log.debug("%s: a lost connection gave them back: %s", self.name, error)
        self._consumer.forget(ids)

    async def reject(self, ids: Sequence[int], reason: str) -> None:
        """The dead letter is confirmed before the message is acknowledged."""
        held = self._consumer.bodies(ids)
        if held:
            bodies, names = [body for _, body in held], [stamp() for _ in held]
            await self._asking(self._put_link, lambda: self._bury(bodies, names, reason))
            self._consumer.ack([id_ for id_, _ in held])

    async def dead(self, limit: int = 100) -> list[DeadLetter]:
        """The newest dead letters, oldest of them first. They are taken and given back: two who look at the same
        moment may both see less."""
        async with self._browsing:
            letters: list[DeadLetter] = await self._asking(self._take_link, self._browse)
        return letters[-limit:] if limit > 0 else []

    async def dead_count(self) -> int:
        """How many dead letters are kept."""

        async def count() -> int:
            channel = await self._take_link.channel()
            try:
                return await self._declare_dead(channel)
            finally:
                channel.close()

        return await self._asking(self._take_link, count)

    async def size(self) -> QueueSize:
        """What waits in the broker and what this connection holds; bytes that wait may be a guess."""
        await self._asking(self._take_link, lambda: self._count(exact=True))
        return QueueSize(self.ledger.messages, self.ledger.bytes, self.ledger.held)

    def room(self) -> int:
        """As counted last, and corrected by what was done here since. 0 while the broker is away."""
        if not self._take_link.connected or not self._put_link.connected or self._put_link.blocked or self._full:
            return 0
        loop = asyncio.get_running_loop()
        if loop.time() - self._counted > RECENT and self._looking is None:
            self._looking = loop.create_task(self._look())
        if self.ledger.ready is None:
            return self.ledger.max_messages or UNBOUNDED
        return self.ledger.room()

    async def wait_room(self, timeout: float | None = None) -> int:
        """Is woken by what happens here, and looks now and then for what happens elsewhere."""
        deadline = self._deadline(timeout)
        pause = FULL_PAUSE[0]
        while True:
            if self._take_link.connected and not self._full:
                try:
                    async with asyncio.timeout_at(None if deadline is None else deadline + GRACE):
                        await self._count()
                except LostError as error:
                    log.debug("%s: %s", self.name, error)
                except TimeoutError:
                    return 0
                if room := self.room():
                    return room
            if not await self._pause(pause, deadline):
                return self.room()
            pause = min(pause * 2, FULL_PAUSE[1])

    async def purge(self) -> int:
        """Drops what waits and what this connection holds; returns how many."""
        return await self._asking(self._take_link, self._consumer.purge)

    # For the broker.

    async def declare(self, channel: AmqpChannel) -> None:
        """Makes the queue when it is not there; its arguments never change, whatever the bounds are."""
        arguments = {"x-max-length-bytes": WALL, "x-overflow": "reject-publish"}
        await self.declare_as(channel, self.full_name, arguments)

    async def declare_as(self, channel: AmqpChannel, name: str, arguments: dict[str, Any]) -> int:
        """Declares a durable queue of the broker's best type; returns how many messages wait in it."""
        arguments = {"x-queue-type": self._queue_type(), **arguments}
        try:
            frame = await channel.ask(channel.raw.queue_declare, queue=name, durable=True, arguments=arguments)
        except LostError as error:
            if error.trouble.code == 406:
                vhost = self._take_link.address.vhost
                words = (
                    f"the queue {name} is there with other settings ({error.trouble.words}): end the crawl that uses "
                    f"it and `rabbitmqctl delete_queue -p {vhost} {name}`, or take another ?prefix="
                )
                raise LostError(error.trouble._replace(words=words)) from None
            raise
        return int(frame.method.message_count)

    def reconnected(self) -> None:
        """A link is up again, or takes messages again."""
        self._consumer.wake()
        self._room_came.set()

    def close(self) -> None:
        """Whoever waits is told ``QueueUnavailable`` by the links."""
        self._consumer.close()
        if self._looking is not None:
            self._looking.cancel()
        self.reconnected()

    # Putting.

    async def _put(self, bodies: list[bytes], deadline: float | None) -> None:
        names = [stamp() for _ in bodies]
        done, pause = 0, FULL_PAUSE[0]
        while done < len(bodies):
            try:
                async with asyncio.timeout_at(None if deadline is None else deadline + GRACE):
                    await self._put_link.wait_connected(self._left(deadline))
                    await self._take_link.wait_connected(self._left(deadline))
                    run = await self._fitting(bodies[done : done + RUN])
                    refused: list[int] = []
                    if run:
                        end = done + run
                        self._full = False
                        refused = await self._publisher.publish(self.full_name, bodies[done:end], names[done:end])
            except TimeoutError:
                raise self._is_full(done) from None
            except LostError as error:
                await self._bear(error, self._put_link)
                continue
            if run and not refused:
                self.ledger.was_put([len(body) for body in bodies[done : done + run]])
                done, pause = done + run, FULL_PAUSE[0]
                continue
            if refused:  # the broker's own wall: what it took is behind us, the rest goes again
                todo = {done + index for index in refused}
                taken = [index for index in range(done, done + run) if index not in todo]
                self.ledger.was_put([len(bodies[index]) for index in taken])
                order = [*taken, *(index for index in range(done, len(bodies)) if index not in set(taken))]
                bodies[done:], names[done:] = [bodies[i] for i in order], [names[i] for i in order]
                done += len(taken)
            self._full = True
            if not await self._pause(pause, deadline):
                raise self._is_full(done)
            pause = min(pause * 2, FULL_PAUSE[1])

    async def _fitting(self, bodies: list[bytes]) -> int:
        """How many of these may be put now."""
        if self._put_link.blocked:
            return 0
        sizes: list[int] = []
        total = 0
        for body in bodies:
            total += len(body)
            if sizes and total > RUN_BYTES:
                break
            sizes.append(len(body))
        fresh = asyncio.get_running_loop().time() - self._counted < FRESH
        if not fresh or self.ledger.ready is None or self.ledger.fitting(sizes) < len(sizes):
            await self._count()
        return self.ledger.fitting(sizes)

    # Dead letters.

    async def _bury(self, bodies: list[bytes], names: list[str], reason: str) -> None:
        channel = await self._put_link.channel()
        await self._declare_dead(channel)
        channel.close()
        await self._publisher.publish(self.dead_name, bodies, names, {"reason": reason[:1000]})

    async def _put_poison_aside(self, taken: list[tuple[int, Taken]]) -> None:
        bad = [id_ for id_, one in taken if one.redelivered > MAX_DELIVERIES]
        reason = f"it came back {MAX_DELIVERIES + 1} times without being acknowledged"
        log.warning("%s: put aside %d messages: %s", self.name, len(bad), reason)
        await self.reject(bad, reason)

    async def _declare_dead(self, channel: AmqpChannel) -> int:
        arguments = {"x-max-length": MAX_DEAD, "x-max-length-bytes": MAX_DEAD_BYTES, "x-overflow": "drop-head"}
        return await self.declare_as(channel, self.dead_name, arguments)

    async def _browse(self) -> list[DeadLetter]:
        letters: list[DeadLetter] = []
        last = 0
        wanted = await self.dead_count()
        if not wanted:
            return letters
        loop = asyncio.get_running_loop()
        channel, all_here, started = await self._take_link.channel(), loop.create_future(), loop.create_future()

        def came(_: Any, method: Any, properties: Any, body: bytes) -> None:
            nonlocal last
            last = method.delivery_tag
            letters.append(DeadLetter(body, str((properties.headers or {}).get("reason", ""))))
            if len(letters) >= wanted and not all_here.done():
                all_here.set_result(None)

        tag = "browse"
        try:
            await channel.ask(channel.raw.basic_qos, prefetch_count=wanted)
            channel.tell(
                channel.raw.basic_consume, queue=self.dead_name, on_message_callback=came, consumer_tag=tag,
                callback=answer(started),
            )  # fmt: skip
            await channel.lasting(started)
            try:
                async with asyncio.timeout(GRACE):
                    await channel.lasting(all_here)
            except TimeoutError:
                log.debug("%s: somebody else looks at the dead letters too", self.name)
            await channel.ask(channel.raw.basic_cancel, consumer_tag=tag)
            if last:
                channel.tell(channel.raw.basic_nack, delivery_tag=last, multiple=True, requeue=True)

            async def back() -> bool:
                return await self.dead_count() >= len(letters)

            await until(back, GRACE)
        finally:
            channel.close()
        return letters

    # Waiting and asking.

    async def _count(self, exact: bool = False) -> None:
        await self._consumer.count(exact)
        self._counted = asyncio.get_running_loop().time()

    async def _look(self) -> None:
        try:
            await self._count()
        except LostError as error:
            log.debug("%s: %s", self.name, error)
        finally:
            self._looking = None

    async def _asking(self, link: AmqpLink, question: Callable[[], Awaitable[T]]) -> T:
        """The answer, within ``ANSWER`` seconds; raises ``QueueUnavailable``."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ANSWER
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    await link.wait_connected(None)
                    try:
                        return await question()
                    except LostError as error:
                        await self._bear(error, link)
        except TimeoutError:
            raise link.unavailable() from None

    async def _bear(self, error: LostError, link: AmqpLink) -> None:
        """A moment before the next try; raises ``QueueUnavailable`` when somebody has to mend something first."""
        if error.trouble.lasting and link.connected:
            raise QueueUnavailable(error.trouble.words)
        if link.connected:
            await asyncio.sleep(LOST_PAUSE)

    async def _pause(self, seconds: float, deadline: float | None) -> bool:
        """Waits until room may have come; False: it is too late."""
        left = self._left(deadline)
        if left is not None and left <= 0:
            return False
        self._room_came.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds if left is None else min(seconds, left)):
                await self._room_came.wait()
        return True

    def _changed(self) -> None:
        self._room_came.set()

    def _is_full(self, done: int) -> QueueFull:
        if self._put_link.blocked:
            return QueueFull(f"the broker of {self.name} takes no messages now ({self._put_link.blocked})", done)
        held = self.ledger
        return QueueFull(f"the queue {self.name} is full ({held.messages} messages, {held.bytes} bytes)", done)

    def _deadline(self, timeout: float | None) -> float | None:
        return None if timeout is None else asyncio.get_running_loop().time() + timeout

    def _left(self, deadline: float | None) -> float | None:
        return None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())
