"""``dirq:///some/folder``: queues whose messages are files, for all processes that see the folder.

An example of a message queue in a package of its own. It keeps every promise of the contract, and is slow: whoever
waits looks into the folder again and again.

A queue is a folder with ``ready``, ``held/TOKEN`` of each consumer, and ``dead``. A message is a file; its name is a
number that grows and how often it was delivered. Giving it to a consumer is a rename, and so is giving it back.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from crawlkit.libs.errors import QueueFull, QueueUnavailable, UsageError
from crawlkit.message_queue.base import DeadLetter, Delivery, QueueFlow, QueueSize

LOOK = 0.02  # seconds between two looks
MAX_DEAD = 1_000
UNBOUNDED = 2**31


class DirectoryQueue:
    """One queue. See :class:`crawlkit.message_queue.base.MessageQueue`."""

    def __init__(self, folder: Path, name: str, token: str, max_messages: int, max_bytes: int) -> None:
        self.name = name
        self._folder = folder
        self._bounds = (max_messages, max_bytes)
        self._ready, self._held, self._dead = folder / "ready", folder / "held" / token, folder / "dead"
        for place in (self._ready, self._held, self._dead):
            place.mkdir(parents=True, exist_ok=True)
        self._mine: dict[int, Path] = {}  # the number of a delivery -> its file
        self._next = 0

    async def put_many(self, bodies: Sequence[bytes], timeout: float | None = None) -> None:
        done = 0

        def fill() -> bool:
            nonlocal done
            with self._locked():
                waiting, size = self._waiting()
                while done < len(bodies) and self._fits(waiting, size, len(bodies[done])):
                    self._write(bodies[done])
                    waiting, size, done = waiting + 1, size + len(bodies[done]), done + 1
            return done == len(bodies)

        if not await _until(fill, timeout):
            raise QueueFull(f"the queue {self.name} is full", done)

    async def get_many(self, limit: int, timeout: float | None = None) -> list[Delivery]:
        taken: list[Delivery] = []

        def take() -> bool:
            with self._locked():
                self._take_back()
                for path in sorted(self._ready.iterdir())[:limit]:
                    self._next += 1
                    held = self._mine[self._next] = path.rename(self._held / path.name)
                    taken.append(Delivery(self._next, held.read_bytes(), int(path.name.partition("-")[2])))
            return bool(taken)

        await _until(take, timeout)
        return taken

    async def ack(self, ids: Sequence[int]) -> None:
        for path in self._released(ids):
            path.unlink()

    async def nack(self, ids: Sequence[int]) -> None:
        with self._locked():
            for path in self._released(ids):
                _give_back(path, self._ready)

    async def reject(self, ids: Sequence[int], reason: str) -> None:
        with self._locked():
            for path in self._released(ids):
                (self._dead / f"{path.name}.json").write_text(json.dumps(reason))
                path.rename(self._dead / path.name)
            kept = sorted(path for path in self._dead.iterdir() if path.suffix != ".json")
            for path in kept[:-MAX_DEAD]:
                path.unlink()
                path.with_name(f"{path.name}.json").unlink()

    async def dead(self, limit: int = 100) -> list[DeadLetter]:
        kept = sorted(path for path in self._dead.iterdir() if path.suffix != ".json")[-limit:] if limit > 0 else []
        return [DeadLetter(path.read_bytes(), json.loads(_reason(path))) for path in kept]

    async def size(self) -> QueueSize:
        waiting, size = self._waiting()
        held = len(list((self._folder / "held").glob("*/*-*")))
        return QueueSize(waiting + held, size, held)

    def room(self) -> int:
        waiting, size = self._waiting()
        return max(0, (self._bounds[0] or UNBOUNDED) - waiting) if self._fits(waiting, size, 1) else 0

    async def wait_room(self, timeout: float | None = None) -> int:
        await _until(lambda: self.room() > 0, timeout)
        return self.room()

    async def purge(self) -> int:
        with self._locked():
            gone = [*self._ready.iterdir(), *(self._folder / "held").glob("*/*-*")]
            for path in gone:
                path.unlink()
        self._mine.clear()
        return len(gone)

    async def flow(self) -> QueueFlow:
        """What the queue holds, may hold and was given."""
        put = (self._folder / "put").stat().st_size if (self._folder / "put").exists() else 0
        return QueueFlow(*await self.size(), put, len(await self.dead(MAX_DEAD)), *self._bounds)

    def leave(self) -> None:
        """Gives back what is held."""
        with self._locked():
            for path in self._released(list(self._mine)):
                _give_back(path, self._ready)

    def _waiting(self) -> tuple[int, int]:
        """How many messages wait, and the bytes of all."""
        waiting, held = list(self._ready.iterdir()), (self._folder / "held").glob("*/*-*")
        return len(waiting), sum(_size(path) for path in (*waiting, *held))

    def _fits(self, waiting: int, size: int, more: int) -> bool:
        max_messages, max_bytes = self._bounds
        return (not max_messages or waiting < max_messages) and (not size or size + more <= max_bytes)

    def _write(self, body: bytes) -> None:
        draft = self._folder / f"draft-{secrets.token_hex(8)}"
        draft.write_bytes(body)
        draft.rename(self._ready / f"{time.time_ns():020d}{secrets.token_hex(2)}-0")
        with (self._folder / "put").open("ab") as count:
            count.write(b".")  # its length is the number of messages there ever were

    def _released(self, ids: Sequence[int]) -> Iterator[Path]:
        for number in ids:
            path = self._mine.pop(number, None)
            if path is not None and path.exists():
                yield path

    def _take_back(self) -> None:
        """What consumers held that died: nobody has the lock on their token any more."""
        for place in (self._folder / "held").iterdir():
            if place != self._held and not _lives(self._folder.parent / "clients" / place.name):
                for path in place.iterdir():
                    _give_back(path, self._ready)
                place.rmdir()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class DirectoryBroker:
    """See :class:`crawlkit.message_queue.base.Broker`. The keywords are those of crawlkit's own backends."""

    def __init__(self, url: str, *, max_messages: int, max_bytes: int, name: str = "") -> None:
        path = url.partition("://")[2]
        if not path.startswith("/"):
            raise UsageError(f"message queue {url!r}: expected dirq:///an/absolute/folder")
        self._folder = Path(path)
        self._bounds = (max_messages, max_bytes)
        self._token = f"{name or 'client'}.{secrets.token_hex(8)}"
        self._alive: Any = None
        self._queues: dict[str, DirectoryQueue] = {}

    async def connect(self) -> None:
        try:
            clients = self._folder / "clients"
            clients.mkdir(parents=True, exist_ok=True)
            self._alive = (clients / self._token).open("w")
            fcntl.flock(self._alive, fcntl.LOCK_EX)  # it goes with this process
            with contextlib.suppress(FileExistsError):
                draft = clients / f"{self._token}.epoch"
                draft.write_text(secrets.token_hex(16))
                os.link(draft, self._folder / "epoch")
        except OSError as error:
            raise QueueUnavailable(f"message queue {self._folder}: {error.strerror}: is it mounted?") from None

    def queue(self, name: str) -> DirectoryQueue:
        if name not in self._queues:
            self._queues[name] = DirectoryQueue(self._folder / f"queue-{name}", name, self._token, *self._bounds)
        return self._queues[name]

    async def epoch(self) -> str:
        return (self._folder / "epoch").read_text()

    async def flows(self) -> dict[str, QueueFlow]:
        names = [path.name.removeprefix("queue-") for path in self._folder.glob("queue-*")]
        return {name: await self.queue(name).flow() for name in names}

    async def close(self) -> None:
        for queue in self._queues.values():
            queue.leave()
        if self._alive is not None:
            self._alive.close()


async def _until(step: Callable[[], bool], timeout: float | None) -> bool:
    deadline = None if timeout is None else time.monotonic() + timeout
    while not step():
        if deadline is not None and time.monotonic() >= deadline:
            return False
        await asyncio.sleep(LOOK)
    return True


def _give_back(path: Path, ready: Path) -> None:
    number, _, times = path.name.partition("-")
    path.rename(ready / f"{number}-{int(times) + 1}")


def _reason(path: Path) -> str:
    return path.with_name(f"{path.name}.json").read_text()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # another process took it just now
        return 0


def _lives(client: Path) -> bool:
    try:
        with client.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
