"""The zygote and its client: starting, forking, dying."""

from __future__ import annotations

import asyncio
import os
import socket

import msgspec
import psutil

from crawlkit.processor.board import create_memory
from crawlkit.processor.orders import WorkerConfig
from crawlkit.processor.zygote_client import ZygoteClient, clean_environment
from tests.processor.helpers import until


class Ears:
    """Remembers what the client said."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def forked(self, worker: int, pid: int) -> None:
        self.heard.append(("forked", worker, pid))

    def not_forked(self, worker: int, problem: str) -> None:
        self.heard.append(("not_forked", worker, problem))

    def exited(self, worker: int, status: int) -> None:
        self.heard.append(("exited", worker, status))

    def zygote_gone(self) -> None:
        self.heard.append(("gone",))


def test_the_environment_of_workers_is_picked_not_copied() -> None:
    source = {"PATH": "/bin", "CRAWLKIT_TASKDB": "x", "http_proxy": "http://u:p@h", "LANG": "C", "AWS_SECRET": "y"}
    environment = clean_environment(source, {"ADDED": "1"})
    assert set(environment) == {"PATH", "LANG", "PYTHONPATH", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "ADDED"}


def test_workers_are_forked_reported_and_end_with_the_zygote() -> None:
    async def scene() -> None:
        ears = Ears()
        client = ZygoteClient(ears, clean_environment(os.environ, {}))
        await client.start()
        assert client.pid is not None
        zygote = psutil.Process(client.pid)
        config = msgspec.msgpack.encode(WorkerConfig("n", 30.0, 0, 10, 10))
        ends: list[socket.socket] = []
        for number in (1, 2):
            ours, theirs = socket.socketpair()
            ends.append(ours)
            memory = create_memory()
            assert client.fork(number, config, [theirs.fileno(), memory])
            theirs.close()
            os.close(memory)
        await until(lambda: len(ears.heard) == 2)
        assert [(what, worker) for what, worker, _ in ears.heard] == [("forked", 1), ("forked", 2)]
        ends[0].close()  # a worker whose service hangs up goes
        await until(lambda: ("exited", 1, 0) in ears.heard)
        workers = zygote.children()
        assert len(workers) == 1
        await client.close()
        assert not psutil.pid_exists(workers[0].pid)
        assert client.pid is None
        assert not client.fork(3, config, [])
        ends[1].close()

    asyncio.run(scene())
