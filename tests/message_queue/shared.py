"""Every backend with as many connections as a test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from crawlkit.libs.messages import status_queue_name
from crawlkit.message_queue.base import Broker
from crawlkit.message_queue.local import LocalServer
from crawlkit.message_queue.manager import ManagerServer
from crawlkit.message_queue.memory import MemoryBroker
from crawlkit.message_queue.registry import connect_broker
from tests.servers import free_port, fresh_amqp, redis_space

SHARED = ("memory", "local", "manager", "redis", "amqp")
Connect = Callable[[], Awaitable[Broker]]


@asynccontextmanager
async def shared(backend: str, path: Path, max_messages: int = 100) -> AsyncIterator[Connect]:
    """What makes a connection of its own to queues that are fresh; of ``memory`` it is the same one each time."""
    async with AsyncExitStack() as stack:
        one = MemoryBroker(max_messages)
        url = ""
        if backend == "local":
            served = LocalServer(path, max_messages=max_messages)
            await served.start()
            stack.push_async_callback(served.close)
            url = served.url
        elif backend == "manager":
            url = f"manager://:a-key-for-the-tests@127.0.0.1:{free_port()}"
            server = ManagerServer(url, max_messages=max_messages)
            await server.start()
            stack.push_async_callback(server.close)
        elif backend == "redis":
            url = stack.enter_context(redis_space())
        elif backend == "amqp":
            url = stack.enter_context(fresh_amqp(*map(status_queue_name, range(4))))

        async def connect() -> Broker:
            if not url:
                return one
            broker = connect_broker(url, max_messages=max_messages)
            await broker.connect()
            stack.push_async_callback(broker.close)
            return broker

        yield connect
