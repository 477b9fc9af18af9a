"""A backend ``lying`` for every kind of store and for queues: it is another backend that cannot be believed (R-10).

A package of its own for crawlkit, as :mod:`tests.faults.cutting`: ``lying+taskdb://sqlite+taskdb:////d/task.db`` is
that taskdb, ``lying://redis://...`` are those queues. A folder named by the variable ``LYING`` holds what is to happen:

- ``seed``: while it is there, a tenth of all writes is ``done`` and says that it was not, a tenth is ``late``, and a
  tenth is ``refused``; of reads a twentieth. Which ones follows from the seed, from whose writes they are and from how
  many came before: the same calls get the same lies.
- ``told``: if it is there, each lie adds a line to it, as ``scheduler: taskdb commit done``.

Who is refused an acknowledgement gets the message again, as after a lost connection: that is the queues' promise.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from crawlkit.database import registry
from crawlkit.libs.errors import QueueUnavailable, StoreUnavailable
from crawlkit.message_queue.registry import connect_broker

SHARE = 0.1  # of the writes, for each kind of lie
READS = 0.05  # of the reads
DONE, LATE, REFUSED = KINDS = ("done", "late", "refused")
LATEST = 0.3  # seconds
ENDS = ("ack", "nack", "reject")
PUTS = ("put_many", "get_many", *ENDS)
WRITES = {
    "taskdb": "commit own renew disown announce dismiss draw drop drop_some"
    " prune_ticks prune_nodes prune_attempts prune_metrics",
    "projectdb": "put drop put_setting remove_setting",
    "accountdb": "",
    "resultdb": "save drop drop_some set_position take_sink hold_sink move_sink",
    "blobdb": "create remove sweep keep_pages drop_kept",
    "logdb": "append_many",
}


class Lie(NamedTuple):
    """What one call does beside its work."""

    kind: str  # one of KINDS; "": nothing
    before: float = 0.0  # seconds
    after: float = 0.0


HONEST = Lie("")


class Liar:
    """Decides for all stores and queues of this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.who = ""  # the component that this process is
        self._seed = ""
        self._given = 0  # when the seed was given
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def at(self, name: str, share: float) -> Lie:
        """What this call of ``name`` is to do."""
        with self._lock:
            self._read_seed()
            if not self._seed:
                return HONEST
            point = f"{self.who}: {name}"
            self._counts[point] += 1
            chance = random.Random(f"{self._seed}/{point}/{self._counts[point]}")
        drawn = int(chance.random() / share)
        if drawn >= len(KINDS):
            return HONEST
        self._note(f"{point} {KINDS[drawn]}")
        if KINDS[drawn] != LATE:
            return Lie(KINDS[drawn])
        seconds, first = chance.uniform(0, LATEST), chance.random() < 0.5
        return Lie(LATE, seconds if first else 0.0, 0.0 if first else seconds)

    def _read_seed(self) -> None:
        try:
            given = os.stat(self.folder / "seed").st_mtime_ns
        except FileNotFoundError:
            self._seed, self._given = "", 0
            return
        if given != self._given:
            self._seed, self._given = (self.folder / "seed").read_text(), given
            self._counts.clear()

    def _note(self, told: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            file = os.open(self.folder / "told", os.O_WRONLY | os.O_APPEND)
            os.write(file, f"{told}\n".encode())
            os.close(file)


liar = Liar(Path(os.environ.get("LYING", "/nonexistent")))


class LyingStore:
    """A store that cannot be believed."""

    def __init__(self, kind: str, store: Any) -> None:
        self._kind, self._store = kind, store

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name.startswith("_") or name == "close" or not callable(found):
            return found
        return self._telling(f"{self._kind} {name}", SHARE if name in WRITES[self._kind].split() else READS, found)

    def _telling(self, what: str, share: float, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            lie = liar.at(what, share)
            time.sleep(lie.before)
            if lie.kind == REFUSED:
                raise StoreUnavailable(f"{what}: refused")
            answer = work(*args, **options)
            time.sleep(lie.after)
            if lie.kind == DONE:
                raise StoreUnavailable(f"{what}: timed out")
            return answer

        return call


class LyingQueue:
    """A queue that cannot be believed."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._queue, name)
        if name in PUTS:
            return self._telling(name, found)
        return self._away(found) if name == "size" else found

    def _telling(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        what = f"{self._queue.name} {name}"

        async def call(first: Any, *args: Any, **options: Any) -> Any:
            lie = liar.at(what, SHARE)
            await asyncio.sleep(lie.before)
            if lie.kind == REFUSED:
                if name in ENDS:
                    await self._queue.nack(first)
                raise QueueUnavailable(f"{what}: refused")
            answer = await work(first, *args, **options)
            if lie.kind == DONE:
                if name == "get_many":
                    await self._give_back(answer)
                raise QueueUnavailable(f"{what}: timed out")
            if name != "get_many":  # who waits for messages may be cancelled, and would hold them
                await asyncio.sleep(lie.after)
            return answer

        return call

    def _away(self, work: Callable[..., Any]) -> Callable[..., Any]:
        async def call() -> Any:
            if liar.at(f"{self._queue.name} size", READS).kind:
                raise QueueUnavailable("size: refused")
            return await work()

        return call

    async def _give_back(self, deliveries: Sequence[Any]) -> None:
        if deliveries:
            await self._queue.nack([one.id for one in deliveries])


class LyingBroker:
    """Queues that cannot be believed."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def queue(self, name: str) -> LyingQueue:
        return LyingQueue(self._broker.queue(name))

    async def epoch(self) -> str:
        if liar.at("epoch", READS).kind:
            raise QueueUnavailable("epoch: refused")
        found: str = await self._broker.epoch()
        return found


def queues(url: str, *, name: str = "", **options: Any) -> LyingBroker:
    liar.who = name
    return LyingBroker(connect_broker(url.partition("://")[2], name=name, **options))


def taskdb(url: str, **options: Any) -> LyingStore:
    return LyingStore("taskdb", registry.connect_taskdb(url.partition("://")[2], **options))


def projectdb(url: str, **options: Any) -> LyingStore:
    return LyingStore("projectdb", registry.connect_projectdb(url.partition("://")[2], **options))


def accountdb(url: str, **options: Any) -> LyingStore:
    return LyingStore("accountdb", registry.connect_accountdb(url.partition("://")[2], **options))


def resultdb(url: str, **options: Any) -> LyingStore:
    return LyingStore("resultdb", registry.connect_resultdb(url.partition("://")[2], **options))


def blobdb(url: str, **options: Any) -> LyingStore:
    return LyingStore("blobdb", registry.connect_blobdb(url.partition("://")[2], **options))


def logdb(url: str, **options: Any) -> LyingStore:
    return LyingStore("logdb", registry.connect_logdb(url.partition("://")[2], **options))
