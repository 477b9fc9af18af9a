"""A backend ``cut`` for every kind of store and for queues: it is another backend, whose writes can be cut.

A package of its own for crawlkit (tests/plugins.py puts it where entry points are found), so that nothing of this is
in a component: ``cut+taskdb://sqlite+taskdb:////d/task.db`` is that taskdb, ``cut://redis://...`` are those queues. A
folder named by the variable ``CUT`` holds what is to happen:

- ``trace``: while it is there, each write adds a line to it with its *point*, as ``fetcher: status_queue put_many``.
- ``order``: JSON, ``{"point": ..., "nth": ..., "after": ...}``: the process that comes to that write for the nth time
  since the order was given ends by SIGKILL, before it or right after it, and leaves the file ``done``. Nobody else
  does then.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crawlkit.database import registry
from crawlkit.message_queue.registry import connect_broker

PUTS = ("put_many", "ack", "nack", "reject")
WRITES = ("commit", "save", "create", "remove")


class Knife:
    """Counts the writes of this process and makes the cut."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._order: dict[str, Any] = {}
        self._given = 0  # when the order was given
        self._counts: Counter[str] = Counter()

    @contextlib.contextmanager
    def at(self, point: str) -> Iterator[None]:
        self._read_order()
        self._counts[point] += 1
        self._note(point)
        mine = self._order.get("point") == point and self._order["nth"] == self._counts[point]
        if mine and not self._order["after"]:
            self._cut()
        yield
        if mine:
            self._cut()

    def _read_order(self) -> None:
        try:
            given = os.stat(self.folder / "order").st_mtime_ns
        except FileNotFoundError:
            return
        if given != self._given:
            self._order, self._given = json.loads((self.folder / "order").read_text()), given
            self._counts.clear()

    def _note(self, point: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            trace = os.open(self.folder / "trace", os.O_WRONLY | os.O_APPEND)
            os.write(trace, f"{point}\n".encode())
            os.close(trace)

    def _cut(self) -> None:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.folder / "done", os.O_CREAT | os.O_EXCL))
            os.kill(os.getpid(), signal.SIGKILL)


knife = Knife(Path(os.environ.get("CUT", "/nonexistent")))


class CutStore:
    """A store whose writes can be cut."""

    def __init__(self, kind: str, store: Any) -> None:
        self._kind, self._store = kind, store

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in WRITES:
            return found

        def write(*args: Any, **options: Any) -> Any:
            with knife.at(f"{self._kind} {name}"):
                return found(*args, **options)

        return write


class CutQueue:
    """A queue whose writes can be cut."""

    def __init__(self, who: str, queue: Any) -> None:
        self._who, self._queue = who, queue

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._queue, name)
        if name not in PUTS:
            return found

        async def write(*args: Any, **options: Any) -> Any:
            with knife.at(f"{self._who}: {self._queue.name} {name}"):
                return await found(*args, **options)

        return write


class CutBroker:
    """Queues whose writes can be cut."""

    def __init__(self, who: str, broker: Any) -> None:
        self._who, self._broker = who, broker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def queue(self, name: str) -> CutQueue:
        return CutQueue(self._who, self._broker.queue(name))


def queues(url: str, *, name: str = "", **options: Any) -> CutBroker:
    return CutBroker(name, connect_broker(url.partition("://")[2], name=name, **options))


def taskdb(url: str, **options: Any) -> CutStore:
    return CutStore("taskdb", registry.connect_taskdb(url.partition("://")[2], **options))


def resultdb(url: str, **options: Any) -> CutStore:
    return CutStore("resultdb", registry.connect_resultdb(url.partition("://")[2], **options))


def blobdb(url: str, **options: Any) -> CutStore:
    return CutStore("blobdb", registry.connect_blobdb(url.partition("://")[2], **options))
