"""``amqp://`` and ``amqps://``: queues in RabbitMQ, or another broker that speaks AMQP 0-9-1.

Durable quorum queues where the server has them, else durable classic ones; publisher confirms; manual
acknowledgements. Two connections, because a broker that is short of memory stops listening to those that put.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence

from crawlkit.libs.errors import QueueUnavailable, UsageError
from crawlkit.libs.messages import queue_names
from crawlkit.message_queue.amqp_link import AmqpChannel, AmqpLink, until
from crawlkit.message_queue.amqp_news import News, Report
from crawlkit.message_queue.amqp_put import Publisher, stamp
from crawlkit.message_queue.amqp_queue import ANSWER, AmqpQueue
from crawlkit.message_queue.amqp_trouble import LostError
from crawlkit.message_queue.amqp_url import read_address
from crawlkit.message_queue.base import QueueFlow, QueueSize
from crawlkit.message_queue.memory import MAX_BYTES, MAX_MESSAGES

log = logging.getLogger(__name__)

EPOCH = "epoch"
QUORUM_SINCE = (3, 8)  # of RabbitMQ
SECOND_LOOK = 0.2  # seconds
LOCKED = 405  # AMQP's reply: another connection has an exclusive queue of that name
LOCKED_PAUSE = 0.02  # seconds


class AmqpBroker:
    """``max_messages`` and ``max_bytes`` bound each queue, as far as they are known here (:class:`AmqpQueue`).

    ``name`` is shown by the broker beside the connections; ``patience``: seconds that :meth:`connect` goes on trying.
    """

    def __init__(
        self,
        url: str,
        *,
        max_messages: int = MAX_MESSAGES,
        max_bytes: int = MAX_BYTES,
        name: str = "",
        patience: float = 5.0,
    ) -> None:
        self.address = read_address(url)
        self.where = self.address.shown
        self.name = name
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.patience = patience
        self.queue_type = self.address.queue_type
        self._put_link = AmqpLink(self.address, name, "puts")
        self._take_link = AmqpLink(self.address, name, "takes")
        self._queues: dict[str, AmqpQueue] = {}
        self._asking_epoch = asyncio.Lock()
        self._epoch_known = ("", 0)  # and the number of the connection that read it
        self._news = News(self._put_link, self._take_link, f"{self.address.prefix}.news", self._reports)
        for link in (self._put_link, self._take_link):
            link.on_up = link.on_unblocked = self._up

    def queue(self, name: str) -> AmqpQueue:
        """The queue of that name; the broker makes it when it is used for the first time."""
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = AmqpQueue(
                name, f"{self.address.prefix}.{name}", self._put_link, self._take_link, lambda: self.queue_type,
                self.max_messages, self.max_bytes,
            )  # fmt: skip
        return queue

    async def connect(self) -> None:
        """Connects; raises ``QueueUnavailable`` in words that say what to do, :class:`UsageError` when that is to
        mend the URL or the server. Then it stays connected."""
        await self._take_link.connect(self.patience)
        await self._put_link.connect(self.patience)
        if not self.queue_type:
            self.queue_type = _best_type(self._take_link.server)
        product = self._take_link.server.get("product", "?")
        log.info(
            "%s: durable %s queues of %s %s", self.where, self.queue_type, _text(product),
            _text(self._take_link.server.get("version", "?")),
        )  # fmt: skip
        try:
            await self._ask_epoch()
        except LostError as error:
            raise UsageError(error.trouble.words) from None
        self._news.start()

    async def epoch(self) -> str:
        """A word that the broker keeps in a queue of its own: another one when it lost its messages."""
        try:
            return await self._ask_epoch()
        except LostError as error:
            raise QueueUnavailable(error.trouble.words) from None

    async def sizes(self) -> dict[str, QueueSize]:
        """What the queues of the ring hold, as far as it is known here."""
        return {name: await self.queue(name).size() for name in queue_names(self._queues)}

    async def flows(self) -> dict[str, QueueFlow]:
        """What the queues of the ring hold and may hold, with the status queues of all partitions that this or another
        connection uses. What other connections hold and put is what they said of it
        in the last seconds; ``put`` counts from the first call on."""
        try:
            await self._news.listen()
        except LostError as error:
            raise QueueUnavailable(error.trouble.words) from None
        found = {}
        for name in queue_names([*self._queues, *self._news.others()]):
            queue = self.queue(name)
            size, dead = await queue.size(), await queue.dead_count()
            told, ledger = self._news.others().get(name, Report()), queue.ledger
            waiting = ledger.ready_bytes or int((ledger.ready or 0) * told.mean)
            found[name] = QueueFlow(
                messages=size.messages + told.held + told.buffered,
                bytes=waiting + ledger.local_bytes + told.local_bytes,
                unacked=size.unacked + told.held,
                put=ledger.put + told.put,
                dead=dead,
                max_messages=ledger.max_messages,
                max_bytes=ledger.max_bytes,
            )
        return found

    async def close(self) -> None:
        """Leaves: what is still held goes back, and who waits gets ``QueueUnavailable``."""
        self._news.close()
        for queue in self._queues.values():
            queue.close()
        await asyncio.gather(self._take_link.close(), self._put_link.close())

    async def remove(self, names: Sequence[str]) -> None:
        """Takes away the queues of these names under the prefix, with their dead letters, and what stands beside them.

        Nobody may use them any more. Raises ``QueueUnavailable``, :class:`UsageError`.
        """
        link = AmqpLink(self.address, self.name, "removes")
        await link.connect(self.patience)
        try:
            channel = await link.channel()
            for name in (*names, EPOCH):
                for full_name in (f"{self.address.prefix}.{name}", f"{self.address.prefix}.{name}.dead"):
                    await channel.ask(channel.raw.queue_delete, queue=full_name)
            await channel.ask(channel.raw.exchange_delete, exchange=self._news.exchange)
        except LostError as error:
            raise QueueUnavailable(error.trouble.words) from None
        finally:
            await link.close()

    async def _ask_epoch(self) -> str:
        """Raises ``QueueUnavailable`` after ``ANSWER`` seconds, :class:`LostError` when somebody has to mend something
        first."""
        queue = self.queue(EPOCH)
        try:
            async with self._asking_epoch, asyncio.timeout(ANSWER):
                while True:
                    await self._take_link.wait_connected(None)
                    await self._put_link.wait_connected(None)
                    try:
                        return await self._same_epoch(queue) or await self._epoch(queue)
                    except LostError as error:
                        if error.trouble.lasting and error.trouble.code != LOCKED:
                            raise
                    await asyncio.sleep(LOCKED_PAUSE)
        except TimeoutError:
            raise self._take_link.unavailable() from None

    def _reports(self) -> dict[str, Report]:
        ledgers = {name: queue.ledger for name, queue in self._queues.items() if name != EPOCH}
        return {
            name: Report(one.put, one.held, one.buffered, one.local_bytes, one.mean) for name, one in ledgers.items()
        }

    async def _same_epoch(self, queue: AmqpQueue) -> str:
        """The word that this connection knows, when it is still there."""
        word, generation = self._epoch_known
        if not word or generation != self._take_link.generation:
            return ""
        channel = await self._take_link.channel()
        try:
            frame = await channel.ask(channel.raw.queue_declare, queue=queue.full_name, passive=True)
            return word if frame.method.message_count else ""
        except LostError:
            return ""
        finally:
            channel.close()

    async def _epoch(self, queue: AmqpQueue) -> str:
        """Reads or makes the word; while that is done, an exclusive queue keeps others from it."""
        generation = self._take_link.generation
        channel = await self._take_link.channel()
        raw, lock = channel.raw, f"{queue.full_name}.lock"
        try:
            await channel.ask(raw.queue_declare, queue=lock, exclusive=True)
            try:
                await queue.declare(channel)
                word = await _read(channel, queue.full_name)
                if not word:  # somebody may have died with it in hand
                    await asyncio.sleep(SECOND_LOOK)
                    word = await _read(channel, queue.full_name)
                if not word:
                    word = secrets.token_hex(16)
                    publisher = Publisher(self._put_link, queue.declare)
                    await publisher.publish(queue.full_name, [word.encode()], [stamp()])
                    publisher.forget()
                self._epoch_known = (word, generation)
                return word
            finally:
                if channel.is_open:
                    await channel.ask(raw.queue_delete, queue=lock)
        finally:
            channel.close()

    def _up(self) -> None:
        for queue in self._queues.values():
            queue.reconnected()


async def _read(channel: AmqpChannel, name: str) -> str:
    """The message of a queue, which stays there; "" when there is none."""
    got: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
    channel.raw.basic_get(name, lambda _, method, __, body: got.set_result((method.delivery_tag, body)))

    async def waits() -> bool:
        frame = await channel.ask(channel.raw.queue_declare, queue=name, passive=True)
        return bool(frame.method.message_count)

    await waits()
    if not got.done():
        return ""
    tag, body = got.result()
    channel.tell(channel.raw.basic_nack, delivery_tag=tag, requeue=True)
    await until(waits, ANSWER)
    return body.decode("ascii", "replace")


def _best_type(server: dict[str, object]) -> str:
    version = _text(server.get("version", "")).split(".")
    numbers = tuple(int(part) for part in version[:2] if part.isdecimal())
    return "quorum" if _text(server.get("product", "")) == "RabbitMQ" and numbers >= QUORUM_SINCE else "classic"


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
