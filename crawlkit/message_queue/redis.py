"""Queues in Redis: streams with one consumer group each, for components on any number of machines [R30].

The broker keeps one connection, makes it anew with back-off, and says every second that it is there; who is not heard
of is taken for dead by the others, and what it held goes back to the heads of its queues.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Sequence
from functools import partial
from typing import Any

from crawlkit.libs.errors import QueueUnavailable, UsageError
from crawlkit.message_queue import redis_scripts as scripts
from crawlkit.message_queue.base import QueueFlow
from crawlkit.message_queue.memory import MAX_BYTES, MAX_MESSAGES, UNBOUNDED
from crawlkit.message_queue.redis_connection import LostError, RedisConnection, ReplyError, Script, settle
from crawlkit.message_queue.redis_greeting import meaning, open_connection
from crawlkit.message_queue.redis_queue import FLOWS, SCRIPTS, RedisQueue
from crawlkit.message_queue.redis_url import parse_redis_url

log = logging.getLogger(__name__)

GREET, BEAT, LEAVE = map(Script, (scripts.GREET, scripts.BEAT, scripts.LEAVE))
FIRST_DELAY = 0.05  # seconds before the second attempt to connect; doubles up to
LAST_DELAY = 0.5
SETTLED = 5.0  # seconds after which a connection that was made counts as one that holds
BETWEEN_BEATS = 1.0  # seconds
SILENCE = 5.0  # seconds without an answer to a beat after which the connection is given up
ANSWER = 10.0  # seconds after which a question about a queue is given up
#: Errors that end with another connection: to scripts that are there, to a server that may write, to one that is ready.
ELSEWHERE = ("NOSCRIPT", "GONE", "READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "UNBLOCKED")
FORGOTTEN = "it does not know this process"
NO_MEMORY = ("OOM", "MISCONF")


class RedisBroker:
    """The queues of ``url`` under its prefix; see :func:`~crawlkit.message_queue.redis_url.parse_redis_url`.

    ``name`` is what ``CLIENT LIST`` shows of this process. ``patience``: seconds that connect() goes on trying.
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
        self.url = parse_redis_url(url)
        self.where = self.url.where
        self.name = name
        self.patience = patience
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self._space = "{" + self.url.prefix + "}"
        self._tls = self.url.ssl_context()
        self._queues: dict[str, RedisQueue] = {}
        self._connection: RedisConnection | None = None
        self._epoch = ""
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._since = 0.0  # when the connection was made
        self._delay = 0.0  # seconds before the next attempt
        self._told: set[str] = set()  # the troubles that were logged since a connection held
        self._no_memory = False
        self.closed = False
        self._node = f"{name or 'client'}@{socket.gethostname()}:{secrets.token_hex(6)}"
        self._connections = 0
        self.consumer = ""  # the name on this connection; "": Redis does not know this process

    def queue(self, name: str) -> RedisQueue:
        """The queue of that name; it is made when it is used for the first time."""
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = RedisQueue(self, name, self.max_messages, self.max_bytes)
            if self._connection is not None:  # else its greeting says so
                self._connection.send(lambda _: None, "SADD", f"{self._space}:queues", name)
        return queue

    async def connect(self) -> None:
        """Connects; raises ``QueueUnavailable`` after ``patience`` seconds, or ``UsageError``, as for a password.

        From then on the broker stays connected.
        """
        if self._tasks:
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.patience
        delay = FIRST_DELAY
        while True:
            try:
                await self._connect()
                break
            except OSError as error:
                if loop.time() + delay > deadline:
                    words = os.strerror(error.errno) if error.errno and error.errno > 0 else error
                    raise QueueUnavailable(
                        f"no Redis answers at {self.where} ({words}): start it, or mend --message-queue"
                    ) from None
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_DELAY)
        self._tasks = [asyncio.create_task(self._keep()), asyncio.create_task(self._beat_for_ever())]

    async def epoch(self) -> str:
        """Another one when Redis lost its messages: asked anew each time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ANSWER
        while True:
            await self.wait_connected(max(0.0, deadline - loop.time()))
            try:
                await self._beat(deadline - loop.time())
                return self._epoch
            except LostError:
                await asyncio.sleep(0)

    async def flows(self) -> dict[str, QueueFlow]:
        """What every queue under the prefix holds, may hold and was given."""
        found = await self.answer(FLOWS)
        bounds = (self.max_messages, self.max_bytes)
        return {one[0].decode(): QueueFlow(*(*one[1:], *bounds)) for one in sorted(found)}

    async def close(self) -> None:
        """Leaves: what is still held goes back, and who waits gets ``QueueUnavailable``."""
        if self.closed:
            return
        for queue in self._queues.values():
            queue.flush()
        self.closed = True
        for task in self._tasks:
            task.cancel()
        if self._connection is not None:
            left = asyncio.get_running_loop().create_future()
            self.run(partial(settle, left), LEAVE, self.consumer)
            with contextlib.suppress(TimeoutError, LostError, ReplyError):  # then the others find out by themselves
                async with asyncio.timeout(1):
                    await left
        if self._connection is not None:
            self._connection.abort("this client closed")
        self._up.set()  # who waits for the connection finds it closed
        for queue in self._queues.values():
            queue.wake_all()

    async def remove(self, names: Sequence[str]) -> None:
        """Takes away all that stands under the prefix, of which nobody makes use any more, on a connection of its own.

        ``names``: queues that there may be beside those that are known. Raises ``QueueUnavailable``, ``UsageError``.
        """
        try:
            connection = await open_connection(self.url, self._tls, "crawlkit-remove", ())
        except OSError as error:
            raise QueueUnavailable(f"no Redis answers at {self.where} ({error})") from None
        try:
            known = [name.decode() for name in await connection.ask("SMEMBERS", f"{self._space}:queues")]
            of_queues = [f"{name}:{key}" for name in {*names, *known} for key in scripts.OF_A_QUEUE]
            await connection.ask("UNLINK", *(f"{self._space}:{key}" for key in (*of_queues, *scripts.OF_ALL)))
        except (LostError, ReplyError) as error:
            raise self.refusal(error) from None
        finally:
            connection.abort("done")

    # For the queues.

    @property
    def connected(self) -> bool:
        return self._connection is not None

    async def wait_connected(self, timeout: float | None) -> None:
        """Waits for the connection; raises ``QueueUnavailable`` when ``timeout`` seconds pass first."""
        while self._connection is None or self.closed:
            if not self.closed:
                try:
                    async with asyncio.timeout(timeout):
                        await self._up.wait()
                except TimeoutError:
                    raise self.unavailable() from None
            if self.closed:
                raise QueueUnavailable(f"the connection to {self.where} was closed here")

    def run(self, on_reply: Any, script: Script, *words: Any) -> None:
        """Sends a script's call. ``on_reply`` gets the reply, a ``ReplyError`` or a :class:`LostError`."""
        connection = self._connection
        if connection is None:
            on_reply(LostError())
        else:
            connection.send(partial(self._reply, connection, on_reply), "EVALSHA", script.sha, 1, self._space, *words)

    def transaction(self, on_reply: Any, pieces: list[bytes], count: int, script: Script, *words: Any) -> None:
        """Sends ``count`` commands and a script's call that go together, or not at all."""
        connection = self._connection
        if connection is None:
            on_reply(LostError())
            return
        # The text itself, not its name: without the call the commands must not be done.
        words = ("EVAL", script.text, 1, self._space, *words)
        connection.transaction(partial(self._reply, connection, on_reply), pieces, count, *words)

    def xadd(self, queue: str) -> bytes:
        """The start of a packed XADD to a queue, up to the body's length."""
        stream = f"{self._space}:{queue}:stream".encode()
        return b"*5\r\n$4\r\nXADD\r\n$%d\r\n%b\r\n$1\r\n*\r\n$1\r\nb\r\n$" % (len(stream), stream)

    def read(self, on_reply: Any, queue: str, limit: int) -> None:
        """Takes new messages by a plain command."""
        connection = self._connection
        if connection is None:
            on_reply(LostError())
            return
        words = ("GROUP", scripts.GROUP, self.consumer, "COUNT", limit, "STREAMS", f"{self._space}:{queue}:stream", ">")
        connection.send(on_reply, "XREADGROUP", *words)

    async def answer(self, script: Script, *words: Any) -> Any:
        """Asks a question; raises ``QueueUnavailable`` when no answer comes."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ANSWER
        while True:
            await self.wait_connected(max(0.0, deadline - loop.time()))
            asked = loop.create_future()
            self.run(partial(settle, asked), script, *words)
            try:
                async with asyncio.timeout(max(0.01, deadline - loop.time())):
                    return await asked
            except LostError:
                await asyncio.sleep(0)
            except TimeoutError:
                raise self.unavailable() from None
            except ReplyError as error:
                raise self.refusal(error) from None

    def unavailable(self) -> QueueUnavailable:
        return QueueUnavailable(f"Redis at {self.where} does not answer")

    def refusal(self, error: Exception) -> QueueUnavailable:
        """An error that Redis answered with, in words; it is logged once."""
        refusal = QueueUnavailable(f"Redis at {self.where} refuses: {error}")
        self._say(str(refusal))
        return refusal

    def short_of_memory(self, error: Exception) -> bool:
        """Whether Redis takes no more because memory or disk is full; that is logged once, until it takes again."""
        if not any(word in str(error) for word in NO_MEMORY):
            return False
        if not self._no_memory:
            self._no_memory = True
            log.error(
                "Redis at %s takes no more (%s): nothing is lost and putting waits; raise maxmemory or free its disk",
                self.where,
                error,
            )
        return True

    def took(self) -> None:
        """A put went in: memory is there again."""
        if self._no_memory:
            self._no_memory = False
            log.warning("Redis at %s takes messages again", self.where)

    # The connection.

    def _reply(self, connection: RedisConnection, on_reply: Any, reply: Any) -> None:
        if isinstance(reply, ReplyError) and any(word in str(reply) for word in ELSEWHERE):
            on_reply(LostError())
            connection.abort(FORGOTTEN if "GONE" in str(reply) else str(reply))
            return
        on_reply(reply)

    async def _keep(self) -> None:
        """Connects again whenever the connection is lost."""
        loop = asyncio.get_running_loop()
        while True:
            await self._down.wait()
            lost, quiet = loop.time(), self._delay > 0
            while True:
                await asyncio.sleep(self._delay)
                self._delay = min(LAST_DELAY, max(FIRST_DELAY, self._delay * 2))
                try:
                    await self._connect()
                    break
                except OSError as error:
                    log.debug("Redis at %s: %s; next try in %.2f s", self.where, error, self._delay)
                except (QueueUnavailable, UsageError) as error:
                    self._say(str(error))
                if quiet and loop.time() - lost >= SETTLED:
                    quiet = False
                    log.warning("Redis at %s is still away: trying again until it works", self.where)
            level = logging.DEBUG if quiet else logging.INFO
            log.log(level, "connected to Redis at %s again, after %.1f s", self.where, loop.time() - lost)

    async def _connect(self) -> None:
        """One attempt; raises as :func:`open_connection` does."""
        all_scripts = (*SCRIPTS, GREET, BEAT, LEAVE)
        name = f"crawlkit-{self.name or 'client'}"
        connection = await open_connection(self.url, self._tls, name, all_scripts)
        try:
            async with asyncio.timeout(SILENCE):
                await self._greet(connection)
        except ReplyError as error:
            connection.abort("refused")
            raise meaning(self.url, str(error)) from None
        except (LostError, TimeoutError) as error:
            connection.abort("it does not greet")
            raise OSError(str(error) or "it does not greet") from None
        except BaseException:
            connection.abort("given up")
            raise
        if connection.lost:  # the reply and the end came together: its end was told to nobody
            raise OSError("it hung up after the greeting")
        connection.on_lost = self._lost
        connection.on_push = self._push
        self._connection = connection
        self._since = asyncio.get_running_loop().time()
        self._down = asyncio.Event()
        self._up.set()
        for queue in self._queues.values():
            queue.reconnected()

    async def _greet(self, connection: RedisConnection) -> None:
        """Makes this process known over a connection, as the heir of what it was on the last one."""
        self._connections += 1
        name = f"{self._node}:{self._connections}"
        connection.tell("SUBSCRIBE", f"{self._space}:wake:{name}")
        while True:
            words: list[Any] = [name, self.consumer, secrets.token_hex(16)]
            for queue in self._queues.values():
                words += queue.greeting()
            known, epoch = await connection.ask("EVALSHA", GREET.sha, 1, self._space, *words)
            if known:
                self.consumer = name
                self._epoch = epoch.decode()
                return
            log.warning("Redis at %s does not know this process any more: what it held comes round again", self.where)
            self.consumer = ""
            for queue in self._queues.values():
                queue.forget()

    def _lost(self, reason: str) -> None:
        self._connection = None
        self._up.clear()
        self._down.set()
        if asyncio.get_running_loop().time() - self._since >= SETTLED:
            self._delay = 0.0
            self._told.clear()
        if not self.closed and reason != FORGOTTEN:  # that is said when it is made good
            self._say(f"lost Redis at {self.where} ({reason}): connecting again")
        for queue in self._queues.values():
            queue.wake_all()

    def _push(self, words: list[Any]) -> None:
        if words[0] == b"message":
            line, _, name = words[2].decode().partition(" ")
            self.queue(name).told(line)

    def _say(self, words: str) -> None:
        if words not in self._told:
            self._told.add(words)
            log.warning("%s", words)

    # The beat.

    async def _beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(BETWEEN_BEATS)
            if self._connection is not None:
                with contextlib.suppress(LostError, QueueUnavailable):  # both were logged
                    await self._beat(SILENCE)

    async def _beat(self, timeout: float) -> None:
        """Says that this process is there, and looks whether anything waits; raises :class:`LostError`."""
        connection = self._connection
        if connection is None:
            raise LostError()
        asked = asyncio.get_running_loop().create_future()
        names = list(self._queues)
        words = (self.consumer, secrets.token_hex(16), self.max_messages or UNBOUNDED, self.max_bytes, *names)
        self.run(partial(settle, asked), BEAT, *words)
        try:
            async with asyncio.timeout(max(0.01, timeout)):
                known, epoch, *found = await asked
        except TimeoutError:
            connection.abort(f"no answer for {timeout:g} s")
            raise LostError() from None
        except ReplyError as error:
            raise self.refusal(error) from None
        self._epoch = epoch.decode()
        if not known:
            connection.abort(FORGOTTEN)
            raise LostError()
        for name, state in zip(names, found, strict=True):
            self._queues[name].looked(state)
