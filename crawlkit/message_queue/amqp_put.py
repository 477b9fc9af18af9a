"""Giving messages to an AMQP broker: each is confirmed before anybody is told that it is there."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any

import pika

from crawlkit.message_queue.amqp_link import AmqpChannel, AmqpLink
from crawlkit.message_queue.amqp_trouble import LostError, Trouble

PERSISTENT = 2
_CLIENT = f"{os.getpid():08x}{int.from_bytes(os.urandom(4)):08x}"
_NUMBERS = count(1)


def stamp() -> str:
    """Names a message, and sorts by the time at which it was put."""
    return f"{time.time_ns() // 1000:016x}-{_CLIENT}-{next(_NUMBERS):x}"


class Publisher:
    """A channel with publisher confirms. ``prepare`` declares the queues on a fresh channel."""

    def __init__(self, link: AmqpLink, prepare: Callable[[AmqpChannel], Awaitable[None]]) -> None:
        self._link = link
        self._prepare = prepare
        self._lock = asyncio.Lock()
        self._channel: AmqpChannel | None = None
        self._sent = 0
        self._open_tags: set[int] = set()
        self._refused: set[int] = set()
        self._returned = False
        self._all_answered: asyncio.Future[None] | None = None

    async def publish(
        self, queue: str, bodies: Sequence[bytes], names: Sequence[str], headers: dict[str, str] | None = None
    ) -> list[int]:
        """Puts ``bodies``; ``names`` are their :func:`stamp`.

        Returns the indexes of those that the broker refused because the queue is full; raises :class:`LostError`
        when it is unknown which of them arrived.
        """
        async with self._lock:
            channel = await self._opened()
            first = self._sent + 1
            answered = self._all_answered = asyncio.get_running_loop().create_future()
            self._refused.clear()
            self._returned = False
            for body, name in zip(bodies, names, strict=True):
                properties = pika.BasicProperties(delivery_mode=PERSISTENT, message_id=name, headers=headers)
                self._sent += 1
                self._open_tags.add(self._sent)
                channel.tell(
                    channel.raw.basic_publish,
                    exchange="",
                    routing_key=queue,
                    body=body,
                    properties=properties,
                    mandatory=True,
                )
            try:
                await channel.lasting(answered)
            except BaseException:
                self.forget()  # the answers of an abandoned put must not be taken for those of the next
                raise
            if self._returned:
                self.forget()
                raise LostError(Trouble(f"the queue {queue} was deleted"))
            return sorted(tag - first for tag in self._refused)

    def forget(self) -> None:
        """The next put opens a channel of its own."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    async def _opened(self) -> AmqpChannel:
        if self._channel is not None and self._channel.is_open:
            return self._channel
        channel = await self._link.channel()
        await self._prepare(channel)
        self._sent = 0
        self._open_tags.clear()
        await channel.ask(channel.raw.confirm_delivery, ack_nack_callback=lambda frame: self._confirmed(channel, frame))
        channel.raw.add_on_return_callback(lambda *_: self._came_back(channel))
        self._channel = channel
        return channel

    def _came_back(self, channel: AmqpChannel) -> None:
        if channel is self._channel:
            self._returned = True

    def _confirmed(self, channel: AmqpChannel, frame: Any) -> None:
        if channel is not self._channel:
            return
        method = frame.method
        tags = self._open_tags
        ended = {tag for tag in tags if tag <= method.delivery_tag} if method.multiple else {method.delivery_tag} & tags
        if isinstance(method, pika.spec.Basic.Nack):
            self._refused |= ended
        tags -= ended
        if not tags and self._all_answered is not None and not self._all_answered.done():
            self._all_answered.set_result(None)
