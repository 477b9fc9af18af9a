"""A connection to an AMQP broker that comes back, and its channels as something to await.

Knows nothing of queues. pika speaks the protocol, on the running asyncio loop.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection

from crawlkit.libs.errors import QueueUnavailable, UsageError
from crawlkit.message_queue.amqp_trouble import LostError, Trouble, trouble_of
from crawlkit.message_queue.amqp_url import AmqpAddress

log = logging.getLogger(__name__)
logging.getLogger("pika").setLevel(logging.CRITICAL + 1)  # it logs tracebacks of what is said here in words

FIRST_DELAY = 0.05  # seconds before the second attempt to connect; doubles up to
LAST_DELAY = 0.5
SETTLED = 5.0  # seconds after which a connection that was made counts as one that holds
REACH = 2.0  # seconds for TCP
HANDSHAKE = 10.0  # seconds for TCP, TLS and the greeting
FAREWELL = 1.0
ASK_AGAIN = 0.005


def answer(future: asyncio.Future[Any]) -> Callable[[Any], None]:
    """A callback that ends ``future`` with what it is called with, unless nobody waits any more."""

    def answered(result: Any) -> None:
        if not future.done():
            future.set_result(result)

    return answered


async def until(holds: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Asks the broker again and again, for that of which it does not tell; False: ``seconds`` have passed."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not await holds():
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(ASK_AGAIN)
    return True


class AmqpChannel:
    """One channel: requests are answered in the order in which they were made. Void after any error."""

    def __init__(self, channel: Any) -> None:
        self.raw = channel
        self.trouble = Trouble("the connection was lost")
        self.on_close: Callable[[], None] | None = None
        self._waiting: set[asyncio.Future[Any]] = set()
        channel.add_on_close_callback(self._closed)

    @property
    def is_open(self) -> bool:
        return bool(self.raw.is_open)

    async def ask(self, method: Callable[..., Any], **arguments: Any) -> Any:
        """Calls a method of the channel and waits for its answer; raises :class:`LostError`."""
        future = asyncio.get_running_loop().create_future()
        self.tell(method, **arguments, callback=answer(future))
        return await self.lasting(future)

    async def lasting(self, future: asyncio.Future[Any]) -> Any:
        """Waits for ``future``; raises :class:`LostError` when the channel goes first."""
        if self.raw.is_closed or self.raw.is_closing:
            raise LostError(self.trouble)
        self._waiting.add(future)
        try:
            return await future
        finally:
            self._waiting.discard(future)

    def tell(self, method: Callable[..., Any], **arguments: Any) -> None:
        """Calls a method of the channel; raises :class:`LostError`."""
        try:
            method(**arguments)
        except pika.exceptions.AMQPError:  # the channel or its connection is closed or closing
            raise LostError(self.trouble) from None

    def close(self) -> None:
        """What was delivered on it and is not acknowledged goes back."""
        if self.is_open:
            self.raw.close()

    def _closed(self, _: Any, error: BaseException) -> None:
        self.trouble = trouble_of(error)
        for future in self._waiting:
            if not future.done():
                future.set_exception(LostError(self.trouble))
                future.exception()  # looked at, so that nobody warns when its waiter is gone
        if self.on_close is not None:
            self.on_close()


class AmqpLink:
    """A connection that is made again whenever it is lost. ``purpose``: what it is for, shown by the broker."""

    def __init__(self, address: AmqpAddress, name: str, purpose: str) -> None:
        self.address = address
        self.blocked = ""  # why the broker takes no messages, in its words
        self.server: dict[str, Any] = {}  # what the server says of itself
        self.trouble = Trouble("")  # of the last attempt
        self.closed = False
        self.generation = 0  # number of the connection
        self.on_up: Callable[[], None] | None = None
        self.on_unblocked: Callable[[], None] | None = None
        self._name = name
        self._purpose = purpose
        self._connection: Any = None
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._since = 0.0  # when the connection was made
        self._delay = 0.0  # seconds before the next attempt
        self._said: set[str] = set()  # what was logged since a connection held

    @property
    def connected(self) -> bool:
        return self._connection is not None

    async def connect(self, patience: float) -> None:
        """Connects, and stays connected from then on; raises ``QueueUnavailable`` after ``patience`` seconds,
        :class:`UsageError` at once when trying again would not help."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        delay = FIRST_DELAY
        while True:
            try:
                await self._connect(deadline - loop.time())
                break
            except LostError as error:
                if error.trouble.lasting:
                    raise UsageError(error.trouble.words) from None
                if loop.time() + delay > deadline:
                    raise self.unavailable() from None
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_DELAY)
        self._keeper = asyncio.create_task(self._keep())

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
                raise QueueUnavailable(f"the connection to {self.address.shown} was closed here")

    async def channel(self) -> AmqpChannel:
        """A new channel; raises :class:`LostError`."""
        connection = self._connection
        if connection is None:
            raise LostError(self.trouble)
        opened = asyncio.get_running_loop().create_future()
        try:
            raw = connection.channel(on_open_callback=answer(opened))
        except pika.exceptions.AMQPError as error:
            raise LostError(trouble_of(error)) from None
        channel = AmqpChannel(raw)
        await channel.lasting(opened)
        return channel

    async def close(self) -> None:
        """Leaves with a good-bye: what is held goes back."""
        self.closed = True
        if self._keeper is not None:
            self._keeper.cancel()
        connection, gone = self._connection, self._down
        if connection is not None and connection.is_open:
            connection.close()
            try:
                async with asyncio.timeout(FAREWELL):
                    await gone.wait()
            except TimeoutError:
                log.debug("%s does not answer the good-bye", self.address.shown)
        self._up.set()  # who waits for the connection finds it closed

    def unavailable(self) -> QueueUnavailable:
        """In words that say what to do."""
        return QueueUnavailable(self.trouble.words or f"{self.address.shown} does not answer")

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._down.wait()
            lost, quiet = loop.time(), self._delay > 0
            while True:
                await asyncio.sleep(self._delay)
                self._delay = min(LAST_DELAY, max(FIRST_DELAY, self._delay * 2))
                try:
                    await self._connect(HANDSHAKE)
                    break
                except LostError as error:
                    if error.trouble.lasting:
                        self._say(f"{error.trouble.words}; trying again until it works")
                if quiet and loop.time() - lost >= SETTLED:
                    quiet = False
                    log.warning("%s is still away: trying again until it works (%s)", self.address.shown, self._purpose)
            level = logging.DEBUG if quiet else logging.INFO
            log.log(
                level, "connected to %s again (%s), after %.1f s", self.address.shown, self._purpose, loop.time() - lost
            )

    def _say(self, words: str) -> None:
        if words not in self._said:
            self._said.add(words)
            log.warning("%s", words)

    async def _connect(self, patience: float) -> None:
        """One attempt; raises :class:`LostError`."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        try:
            parameters = [self._parameters(host, port, patience) for host, port in self.address.hosts]
        except (OSError, ssl.SSLError) as error:
            self.trouble = trouble_of(error, self.address)
            raise LostError(self.trouble) from None

        def ended(result: Any) -> None:
            if not done.done():
                done.set_result(result)
            elif not isinstance(result, BaseException) and result.is_open:
                result.close()  # nobody waits for it any more

        AsyncioConnection.create_connection(parameters, on_done=ended, custom_ioloop=loop)
        try:
            result = await done
        except asyncio.CancelledError:  # pika cannot abort while it greets: the attempt runs out by itself
            if not done.cancelled():
                ended(done.result())
            raise
        if isinstance(result, BaseException):
            self.trouble = trouble_of(result, self.address)
            raise LostError(self.trouble)
        result.add_on_close_callback(self._lost)
        result.add_on_connection_blocked_callback(self._blocked)
        result.add_on_connection_unblocked_callback(self._unblocked)
        self.server = dict(result.server_properties or {})
        self.blocked = ""
        self.trouble = Trouble("")
        self._down = asyncio.Event()
        self._connection = result
        self._since = loop.time()
        self.generation += 1
        self._up.set()
        if self.on_up is not None:
            self.on_up()

    def _parameters(self, host: str, port: int, patience: float) -> Any:
        address = self.address
        options = None
        if address.tls:
            context = ssl.create_default_context(cafile=address.cacertfile or None)
            if address.certfile:
                context.load_cert_chain(address.certfile, address.keyfile or None)
            if not address.verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            options = pika.SSLOptions(context, host)
        return pika.ConnectionParameters(
            host=host,
            port=port,
            virtual_host=address.vhost,
            credentials=pika.PlainCredentials(address.user, address.password),
            heartbeat=address.heartbeat,
            ssl_options=options,
            connection_attempts=1,
            retry_delay=0,
            socket_timeout=max(0.1, min(REACH, patience)),
            stack_timeout=max(0.2, min(HANDSHAKE, patience)),
            client_properties={"connection_name": f"crawlkit {self._name or '?'} ({self._purpose})"},
        )

    def _lost(self, _: Any, error: BaseException) -> None:
        self._connection = None
        self._up.clear()
        self._down.set()
        self.blocked = ""
        if asyncio.get_running_loop().time() - self._since >= SETTLED:
            self._delay = 0.0
            self._said.clear()
        if not self.closed:
            self.trouble = trouble_of(error, self.address)
            self._say(f"{self.trouble.words}; connecting again ({self._purpose})")

    def _blocked(self, _: Any, frame: Any) -> None:
        self.blocked = str(frame.method.reason or "no reason given")
        log.warning("%s takes no messages now (%s): waiting until it does", self.address.shown, self.blocked)

    def _unblocked(self, *_: Any) -> None:
        self.blocked = ""
        log.warning("%s takes messages again", self.address.shown)
        if self.on_unblocked is not None:
            self.on_unblocked()
