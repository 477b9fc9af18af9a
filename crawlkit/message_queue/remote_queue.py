"""One queue of another process, as its client sees it.

Asks and tells by its :class:`~crawlkit.message_queue.client.QueueClient`, which knows the connection. Deliveries of a
lost connection are void: the server gives them out again, and their acks do nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from crawlkit.libs.errors import BadMessage, QueueFull, QueueUnavailable
from crawlkit.message_queue import wire
from crawlkit.message_queue.base import DeadLetter, Delivery, QueueSize
from crawlkit.message_queue.memory import MAX_MESSAGES

if TYPE_CHECKING:
    from crawlkit.message_queue.client import QueueClient

WINDOW = 8  # frames of one put that may be on their way
GENERATION = 44  # bits of a delivery's id that are the server's; above them stands the number of the connection


class LostError(Exception):
    """The connection went away before the answer came: ask again. Never leaves this package."""


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
            except LostError:
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
        except LostError:
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
                except LostError:
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
