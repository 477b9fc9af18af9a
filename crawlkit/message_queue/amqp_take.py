"""Taking messages from an AMQP broker.

A consumer stays subscribed while somebody takes; its window (prefetch) is what is held here and what was asked for, so
that no more than that leaves the broker. What nobody fetches here within ``GIVE_BACK`` seconds goes back.

A lost channel makes the broker give its deliveries out again. What is still in hand here is recognised by its name when
it comes again, and is not handed out twice: its acknowledgement then goes to the new delivery.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any

from crawlkit.message_queue.amqp_ledger import Ledger
from crawlkit.message_queue.amqp_link import AmqpChannel, AmqpLink, answer, until
from crawlkit.message_queue.amqp_trouble import LostError, Trouble

log = logging.getLogger(__name__)

GIVE_BACK = 1.0  # seconds
MAX_WINDOW = 65_535
MAX_SETTLED = 20_000  # names of what was acknowledged while its channel was gone
RETURNED = 0.2  # seconds to wait until what was given back is seen in the queue
LOOKS = 4


class Taken:
    """A message that the broker delivered."""

    __slots__ = ("body", "channel", "name", "redelivered", "tag")

    def __init__(self, channel: AmqpChannel | None, tag: int, name: str, body: bytes, redelivered: int) -> None:
        self.channel = channel  # None: it is gone
        self.tag = tag
        self.name = name
        self.body = body
        self.redelivered = redelivered


class Consumer:
    """The taking side of one queue. ``prepare`` declares it on a fresh channel."""

    def __init__(
        self, queue: str, link: AmqpLink, ledger: Ledger, prepare: Callable[[AmqpChannel], Awaitable[None]]
    ) -> None:
        self.on_change: Callable[[], None] = lambda: None  # something left the queue
        self._queue = queue
        self._link = link
        self._ledger = ledger
        self._prepare = prepare
        self._lock = asyncio.Lock()
        self._channel: AmqpChannel | None = None
        self._tag = ""  # of the subscription
        self._window = 0
        self._unsettled = False  # something may be on its way to us
        self._arrivals = 0
        self._arrived = asyncio.Event()
        self._waiting = 0
        self._last_get = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ids = count(1)
        self._buffer: deque[Taken] = deque()
        self._held: dict[int, Taken] = {}
        self._tags: dict[int, None] = {}  # unacknowledged on the channel, in their order
        self._orphans: dict[str, int] = {}  # name -> id of what is held without a channel
        self._settled: OrderedDict[str, None] = OrderedDict()

    # Taking.

    async def get(self, limit: int, deadline: float | None) -> list[tuple[int, Taken]]:
        """Up to ``limit``, with their ids; nothing after ``deadline``. Raises :class:`LostError`."""
        loop = asyncio.get_running_loop()
        while True:
            await self._whole(lambda: self._subscribe(limit))
            self._last_get = loop.time()
            if self._buffer:
                return self._hand_out(limit)
            left = None if deadline is None else deadline - loop.time()
            if left is not None and left <= 0:
                return []
            self._arrived.clear()
            self._waiting += 1
            try:
                async with asyncio.timeout(left):
                    await self._arrived.wait()
            except TimeoutError:
                continue
            finally:
                self._waiting -= 1
                self._last_get = loop.time()
                self._watch_buffer()

    async def count(self, exact: bool = False) -> int:
        """Asks the broker how many wait there; the ledger then knows it too.

        What is on its way to us meanwhile may be counted twice, unless ``exact``, and never not at all.
        """
        for _ in range(LOOKS):
            before = self._arrivals
            ready: int = await self._whole(self._count)
            if not exact or self._arrivals == before:
                break
        return ready

    # Ending. Unknown ids are ignored.

    def ack(self, ids: Sequence[int]) -> None:
        """Ends deliveries for good."""
        tags: list[int] = []
        for id_ in ids:
            taken = self._held.pop(id_, None)
            if taken is None:
                continue
            self._ledger.ended(len(taken.body))
            if taken.channel is not None:
                tags.append(taken.tag)
            elif self._orphans.pop(taken.name, None) is not None:
                self._settled[taken.name] = None
                if len(self._settled) > MAX_SETTLED:
                    self._settled.popitem(last=False)
        if tags:
            self._send_acks(tags)
        self.on_change()

    async def nack(self, ids: Sequence[int]) -> None:
        """Gives deliveries back to the head of the queue."""
        back = [id_ for id_ in ids if id_ in self._held]
        if back:
            await self._whole(lambda: self._give_back(back, False))

    def forget(self, ids: Sequence[int]) -> None:
        """The broker gives these out again, and they are nobody's here when they come."""
        for id_ in ids:
            taken = self._held.pop(id_, None)
            if taken is not None:
                self._orphans.pop(taken.name, None)
                self._ledger.ended(len(taken.body))

    def bodies(self, ids: Sequence[int]) -> list[tuple[int, bytes]]:
        """What is held under these ids."""
        return [(id_, self._held[id_].body) for id_ in ids if id_ in self._held]

    async def purge(self) -> int:
        """Drops what waits and what is held here; returns how many."""
        return int(await self._whole(self._purge))

    def close(self) -> None:
        """Takes nothing more; the connection gives the rest back."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def wake(self) -> None:
        """Who waits looks again."""
        self._arrived.set()

    # Inside: what must not be broken off half-way.

    async def _whole(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Does ``work`` to its end, one at a time, also when whoever waits for it is cancelled."""

        async def alone() -> Any:
            async with self._lock:
                return await work()

        task = asyncio.create_task(alone())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.wait({task})
        if task.cancelled():
            raise LostError(Trouble("the connection was closed here"))
        return task.result()

    async def _opened(self) -> AmqpChannel:
        if self._channel is not None and self._channel.is_open:
            return self._channel
        channel = await self._link.channel()
        await self._prepare(channel)
        channel.on_close = lambda: self._gone(channel)
        channel.raw.add_on_cancel_callback(lambda _: self._cancelled(channel))
        self._channel = channel
        self._tag, self._window = "", 0
        self._tags = {}
        return channel

    async def _subscribe(self, limit: int) -> None:
        channel = await self._opened()
        ours = sum(1 for taken in self._held.values() if taken.channel is channel)
        want = min(MAX_WINDOW, ours + limit)
        if not self._tag or self._window < want:
            if self._tag:
                await self._unsubscribe(channel)
                want = min(MAX_WINDOW, max(want, self._window * 3 // 2))
            await channel.ask(channel.raw.basic_qos, prefetch_count=want)
            tag = f"{self._queue}-{next(self._ids)}"
            future = asyncio.get_running_loop().create_future()
            channel.tell(
                channel.raw.basic_consume,
                queue=self._queue,
                on_message_callback=lambda _, method, properties, body: self._came(channel, method, properties, body),
                consumer_tag=tag,
                callback=answer(future),
            )
            self._tag, self._window = tag, want
            self._unsettled = True
            await channel.lasting(future)
        if self._unsettled and len(self._buffer) < limit:
            await self._count()
            self._unsettled = False

    async def _unsubscribe(self, channel: AmqpChannel) -> None:
        await until(self._settled_down, RETURNED)
        tag, self._tag = self._tag, ""
        if not tag:
            return
        cancelled = asyncio.get_running_loop().create_future()
        channel.tell(channel.raw.basic_cancel, consumer_tag=tag, callback=answer(cancelled))
        # pika would give back what comes before the answer, one by one and behind our back: we keep it
        channel.raw._cancelled.discard(tag)
        await channel.lasting(cancelled)

    async def _settled_down(self) -> bool:
        """Whether the broker has nothing more to send us: what comes after the end of a subscription goes back."""
        return await self._count() == 0 or len(self._tags) >= self._window or not self._tag

    async def _count(self) -> int:
        channel = await self._opened()
        frame = await channel.ask(channel.raw.queue_declare, queue=self._queue, passive=True)
        ready = int(frame.method.message_count)
        if self._tag:
            # The broker's answer may overtake deliveries that it sent before; the answer to this does not.
            await channel.ask(channel.raw.basic_qos, prefetch_count=self._window)
        self._ledger.counted(ready)
        return ready

    async def _give_back(self, ids: Sequence[int], buffer_too: bool) -> None:
        channel = await self._opened()
        if self._tag:
            await self._unsubscribe(channel)
        before = await self._count()
        back = [taken for id_ in ids if (taken := self._held.pop(id_, None)) is not None]
        for taken in back:
            self._orphans.pop(taken.name, None)
        if buffer_too:
            self._ledger.handed_out(len(self._buffer))
            back += self._buffer
            self._buffer.clear()
        sent = 0
        for taken in back:
            if taken.channel is channel:
                self._tags.pop(taken.tag, None)
                channel.tell(channel.raw.basic_nack, delivery_tag=taken.tag, requeue=True)
                sent += 1
        # AMQP does not confirm this; when others take meanwhile it is not seen either
        if sent:
            await until(self._sees(before + sent), RETURNED)
        self._ledger.returned([len(taken.body) for taken in back])
        self._arrived.set()

    def _sees(self, ready: int) -> Callable[[], Awaitable[bool]]:
        async def seen() -> bool:
            return await self._count() >= ready

        return seen

    async def _purge(self) -> int:
        channel = await self._opened()
        if self._tag:
            await self._unsubscribe(channel)
        frame = await channel.ask(channel.raw.queue_purge, queue=self._queue)
        dropped = int(frame.method.message_count) + len(self._buffer) + len(self._held)
        self._hand_out(len(self._buffer))
        self.ack(list(self._held))
        self._ledger.counted(0)
        self._arrived.set()
        return dropped

    # Inside: what does not wait.

    def _came(self, channel: AmqpChannel, method: Any, properties: Any, body: bytes) -> None:
        tag, name = int(method.delivery_tag), properties.message_id or ""
        self._tags[tag] = None
        if name and name in self._orphans:
            held = self._held[self._orphans.pop(name)]
            held.channel, held.tag = channel, tag
            return
        if name and self._settled.pop(name, 0) is None:
            self._send_acks([tag])
            return
        times = (properties.headers or {}).get("x-delivery-count", int(bool(method.redelivered)))
        self._arrivals += 1
        self._buffer.append(Taken(channel, tag, name, body, int(times)))
        self._ledger.came(len(body))
        self._arrived.set()
        if not self._waiting:
            self._watch_buffer()

    def _hand_out(self, limit: int) -> list[tuple[int, Taken]]:
        if any(taken.redelivered for taken in self._buffer):  # they were there before all others
            again = sorted((taken for taken in self._buffer if taken.redelivered), key=lambda taken: taken.name)
            self._buffer = deque([*again, *(taken for taken in self._buffer if not taken.redelivered)])
        batch = [(next(self._ids), self._buffer.popleft()) for _ in range(min(limit, len(self._buffer)))]
        self._held.update(batch)
        self._ledger.handed_out(len(batch))
        self.on_change()
        return batch

    def _send_acks(self, tags: Sequence[int]) -> None:
        """One frame for a beginning of what is open, else one for each."""
        channel = self._channel
        if channel is None:
            return
        todo, last = set(tags), 0
        for tag in self._tags:
            if tag not in todo:
                break
            last = tag
        try:
            if last:
                channel.tell(channel.raw.basic_ack, delivery_tag=last, multiple=True)
            for tag in tags:
                self._tags.pop(tag, None)
                if tag > last:
                    channel.tell(channel.raw.basic_ack, delivery_tag=tag)
        except LostError as error:
            log.debug("not acknowledged, so they come again: %s", error)

    def _watch_buffer(self) -> None:
        if self._buffer and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GIVE_BACK, self._look_at_buffer)

    def _look_at_buffer(self) -> None:
        self._timer = None
        if not self._buffer or self._waiting:
            return
        if asyncio.get_running_loop().time() - self._last_get < GIVE_BACK * 0.9:
            self._watch_buffer()
            return
        giving = asyncio.create_task(self._whole(lambda: self._give_back((), True)))
        self._tasks.add(giving)
        giving.add_done_callback(self._tasks.discard)
        giving.add_done_callback(lambda task: task.cancelled() or task.exception())

    def _cancelled(self, channel: AmqpChannel) -> None:
        """The broker ended the subscription: the queue was deleted, or moved."""
        if channel is self._channel:
            self._tag = ""
            self._arrived.set()

    def _gone(self, channel: AmqpChannel) -> None:
        if channel is not self._channel:
            return
        self._channel, self._tag = None, ""
        self._tags = {}
        self._ledger.handed_out(len(self._buffer))
        self._ledger.returned([len(taken.body) for taken in self._buffer])
        self._buffer.clear()
        for id_, taken in list(self._held.items()):
            taken.channel = None
            if taken.name:
                self._orphans[taken.name] = id_
        self._arrived.set()
