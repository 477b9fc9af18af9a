"""What AMQP does not tell: each connection says once in a while what it put and what it holds, to whoever listens.

A fanout exchange without queues drops what nobody listens to. Nothing but people's view of the queues depends on it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from crawlkit.message_queue.amqp_link import AmqpChannel, AmqpLink
from crawlkit.message_queue.amqp_trouble import LostError

log = logging.getLogger(__name__)

LOOK = 1.0  # seconds between looks at what changed here
REPEAT = 3.0  # seconds after which the same is said again
SILENT = 10.0  # seconds after which who says nothing is gone
WAITING_REPORTS = 1_000  # kept by the broker for a listener that is slow


class Report(NamedTuple):
    """One queue, as one connection knows it."""

    put: int = 0  # messages it gave to the queue
    held: int = 0
    buffered: int = 0  # delivered to it and not handed out
    local_bytes: int = 0  # of both
    mean: float = 0.0  # bytes of a message that it saw


class _Says(msgspec.Struct, array_like=True):
    client: str
    queues: dict[str, Report]


class News:
    """``now()`` is what this connection has to say. The link that takes puts nothing, lest a server that is short of
    memory stops listening to its acknowledgements."""

    def __init__(
        self, put_link: AmqpLink, take_link: AmqpLink, exchange: str, now: Callable[[], dict[str, Report]]
    ) -> None:
        self._put_link = put_link
        self._take_link = take_link
        self.exchange = exchange
        self._now = now
        self._me = secrets.token_hex(8)
        self._task: asyncio.Task[None] | None = None
        self._telling: AmqpChannel | None = None
        self._listening: AmqpChannel | None = None
        self._others: dict[str, tuple[float, dict[str, Report]]] = {}  # client -> (when, what)
        self._put: dict[str, int] = {}  # by others, since we listen

    def start(self) -> None:
        """From now on it is said what happens here."""
        self._task = asyncio.create_task(self._tell())

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def listen(self) -> None:
        """From now on :meth:`others` knows; raises :class:`LostError`."""
        if self._listening is not None and self._listening.is_open:
            return
        channel = await self._opened(self._take_link)
        frame = await channel.ask(
            channel.raw.queue_declare, queue="", exclusive=True, arguments={"x-max-length": WAITING_REPORTS}
        )
        queue = frame.method.queue
        await channel.ask(channel.raw.queue_bind, queue=queue, exchange=self.exchange)
        await channel.ask(channel.raw.basic_consume, queue=queue, auto_ack=True, on_message_callback=self._heard)
        self._listening = channel

    def others(self) -> dict[str, Report]:
        """The sums over all other connections, by queue; ``mean`` is the largest."""
        now = asyncio.get_running_loop().time()
        self._others = {client: said for client, said in self._others.items() if now - said[0] < SILENT}
        found = {name: Report(put) for name, put in self._put.items()}
        for _, queues in self._others.values():
            for name, one in queues.items():
                put, held, buffered, local_bytes, mean = found.get(name, Report())
                found[name] = Report(
                    put, held + one.held, buffered + one.buffered, local_bytes + one.local_bytes, max(mean, one.mean)
                )
        return found

    async def _opened(self, link: AmqpLink) -> AmqpChannel:
        channel = await link.channel()
        await channel.ask(channel.raw.exchange_declare, exchange=self.exchange, exchange_type="fanout")
        return channel

    async def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        said: dict[str, Report] = {}
        when = float("-inf")
        while True:
            await asyncio.sleep(LOOK)
            now = self._now()
            if (now == said and loop.time() - when < REPEAT) or not self._put_link.connected:
                continue
            if self._put_link.blocked:
                continue
            said, when = now, loop.time()
            try:
                if self._telling is None or not self._telling.is_open:
                    self._telling = await self._opened(self._put_link)
                channel = self._telling
                body = msgspec.msgpack.encode(_Says(self._me, now))
                channel.tell(channel.raw.basic_publish, exchange=self.exchange, routing_key="", body=body)
            except LostError as error:
                log.debug("nobody is told what happens here: %s", error)

    def _heard(self, _: Any, __: Any, ___: Any, body: bytes) -> None:
        try:
            says = msgspec.msgpack.decode(body, type=_Says)
        except msgspec.MsgspecError as error:  # another version
            log.debug("a report that cannot be read: %s", error)
            return
        if says.client == self._me:
            return
        _, before = self._others.get(says.client, (0.0, says.queues))
        for name, one in says.queues.items():
            grown = one.put - before.get(name, Report()).put
            self._put[name] = self._put.get(name, 0) + max(0, grown)
        self._others[says.client] = (asyncio.get_running_loop().time(), says.queues)
