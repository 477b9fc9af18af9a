"""Run as ``python -m tests.message_queue.queue_processes ROLE PATH|URL``: processes to be killed by tests."""

from __future__ import annotations

import asyncio
import sys

from crawlkit.message_queue.local import LocalServer
from crawlkit.message_queue.registry import connect_broker


async def serve(path: str) -> None:
    server = LocalServer(path, max_messages=50)
    await server.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def consume(path: str) -> None:
    """Takes messages and says so; acknowledges all but the last ten of each batch, then waits to be killed."""
    broker = connect_broker(path if "://" in path else f"local://{path}", name="doomed")
    await broker.connect()
    queue = broker.queue("work")
    batch = await queue.get_many(30)
    done = batch[:-10]
    await queue.ack([delivery.id for delivery in done])
    await queue.size()  # its answer says that the acks have arrived
    print(" ".join(delivery.body.decode() for delivery in done), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run({"serve": serve, "consume": consume}[sys.argv[1]](sys.argv[2]))
