"""A run of the debugger as its user sees it, and the book of all runs. Safe for several threads."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import zstandard

from crawlkit.libs.task import JSONDict
from crawlkit.webui.debug.settings import DebugSettings
from crawlkit.webui.problem import Problem, not_found

WAITING, STARTING, FETCHING, RUNNING, DONE, STOPPED = "waiting", "starting", "fetching", "running", "done", "stopped"
COUNTS = ("follows", "results", "messages", "awaits", "bytes")


@dataclass(eq=False)
class Run:
    """One run from its request to its answer. Changed on the debugger's loop, read from anywhere."""

    id: str
    kind: str  # step, check
    owner: str
    project: str
    began: float  # monotonic
    changed: threading.Condition
    state: str = WAITING
    message: str = ""
    step: int = 0
    ended: float | None = None
    progress: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    answer: bytes | None = None  # JSON, compressed: many are kept
    work: asyncio.Task[None] | None = None

    @property
    def over(self) -> bool:
        return self.state in (DONE, STOPPED)

    def tell(self, state: str, message: str = "", **counts: int) -> None:
        """Where it is now; whoever waits for news is woken."""
        with self.changed:
            self.state, self.message = state, message
            self.progress.update(counts)
            self.step += 1
            self.changed.notify_all()

    def end(self, state: str, answer: JSONDict, now: float) -> None:
        """It is over."""
        data = zstandard.ZstdCompressor(level=1).compress(msgspec.json.encode(answer))
        with self.changed:
            self.state, self.message, self.answer, self.ended = state, "", data, now
            self.step += 1
            self.work = None
            self.changed.notify_all()

    def shown(self, now: float) -> JSONDict:
        """What its user is told."""
        with self.changed:
            answer = self.answer
            shown: JSONDict = {
                "run": self.id,
                "kind": self.kind,
                "project": self.project,
                "state": self.state,
                "message": self.message,
                "step": self.step,
                "seconds": (self.ended if self.ended is not None else now) - self.began,
                "progress": dict(self.progress),
                "answer": None,
            }
        if answer is not None:
            shown["answer"] = msgspec.json.decode(zstandard.ZstdDecompressor().decompress(answer))
        return shown


class RunBook:
    """The runs of all users, bounded by number, bytes and age."""

    def __init__(self, settings: DebugSettings, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, Run] = OrderedDict()

    def new(self, kind: str, owner: str, project: str) -> Run:
        """A run that waits; raises :class:`Problem` 429 when the user has too many already."""
        now = self._monotonic()
        with self._lock:
            self._make_room(owner, now)
            open_ = sum(1 for run in self._runs.values() if run.owner == owner and not run.over)
            if open_ >= self._settings.waiting_per_user:
                raise Problem(429, "Too many runs", f"{open_} debug runs of yours are not over yet; stop one of them")
            run = Run(secrets.token_urlsafe(12), kind, owner, project, now, threading.Condition())
            self._runs[run.id] = run
        return run

    def find(self, owner: str, project: str, run: str) -> Run:
        """Raises :class:`Problem` 404 for one that is gone, or another's."""
        with self._lock:
            found = self._runs.get(run)
        if found is None or found.owner != owner or found.project != project:
            raise not_found("debug run", run)
        return found

    def wait(self, run: Run, seconds: float, seen: int | None) -> None:
        """Until the run is over, has news that the caller has not seen, or the time is up."""
        with run.changed:
            run.changed.wait_for(lambda: run.over or (seen is not None and run.step != seen), seconds)

    def all(self) -> list[Run]:
        with self._lock:
            return list(self._runs.values())

    def _make_room(self, owner: str, now: float) -> None:
        settings = self._settings
        over = [run for run in self._runs.values() if run.over]
        size = sum(len(run.answer or b"") for run in over)
        mine = sum(1 for run in over if run.owner == owner)
        for run in over:
            old = run.ended is not None and now - run.ended > settings.runs_age
            too_many = run.owner == owner and mine >= settings.runs_per_user
            if not old and not too_many and size <= settings.runs_bytes:
                continue
            del self._runs[run.id]
            size -= len(run.answer or b"")
            mine -= run.owner == owner


@dataclass
class Turns:
    """So many at once, the others in the order in which they came. On one event loop."""

    places: int
    _line: list[asyncio.Future[None]] = field(default_factory=list)
    _told: dict[asyncio.Future[None], Callable[[int], Any]] = field(default_factory=dict)

    async def take(self, tell: Callable[[int], Any]) -> None:
        """Waits for a place; ``tell`` hears how many are before this one, whenever that changes."""
        if self.places > 0 and not self._line:
            self.places -= 1
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(mine)
        self._told[mine] = tell
        tell(len(self._line) - 1)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.give_back()
            elif mine in self._line:
                self._line.remove(mine)
            raise
        finally:
            self._told.pop(mine, None)

    def give_back(self) -> None:
        """Somebody else may have the place."""
        while self._line:
            first = self._line.pop(0)
            if not first.done():
                first.set_result(None)
                for before, waiting in enumerate(self._line):
                    self._told[waiting](before)
                return
        self.places += 1
