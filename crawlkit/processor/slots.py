"""Which worker gets which task: one decision at a time, returned for the pool to carry out.

Pure: no I/O, no clock, no process. A slot is a worker process as this module sees it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

FIRST_GUESS = 0.005  # seconds per task, until a worker has shown better
QUEUE_TIME = 0.02  # seconds of work given to a worker in advance
MIN_TURN = 0.5  # seconds a project keeps a worker that another project waits for
OVERCOMMIT = 3  # times the workers there may be, when callbacks that run for long block the usual number
MAX_SCRIPTS = 4  # versions of a script loaded in one worker


@dataclass(eq=False)
class Slot:
    """A worker process: the project it works for and what was given to it."""

    project: str
    since: float  # monotonic time of its start
    used: float = 0.0  # monotonic time of its last task
    waiting: int = 0  # tasks given and not ended
    waiting_bytes: int = 0
    tasks: int = 0  # tasks ended
    took: float = FIRST_GUESS  # seconds per task, a moving average
    retiring: bool = False  # gets no more tasks
    slow: bool = False  # its callback runs for long
    scripts: set[str] = field(default_factory=set)
    settings: bytes = b""  # those it was sent last

    def ended(self, size: int) -> None:
        """One task of ``size`` bytes ended."""
        self.tasks += 1
        self.waiting -= 1
        self.waiting_bytes -= size

    def learn(self, tasks: int, busy: float) -> None:
        """``tasks`` kept the worker busy for ``busy`` seconds."""
        took = busy / tasks
        weight = 1 - (0.5 if took > self.took else 0.9) ** tasks  # quick to believe in slow tasks
        self.took += (took - self.took) * weight


class Limits(NamedTuple):
    """How many processes there may be, and how much is given in advance."""

    workers: int
    per_project: int
    depth: int
    depth_bytes: int


class Give(NamedTuple):
    """Give the task to this worker."""

    slot: Slot


class Open(NamedTuple):
    """Start a worker for the project; ``instead_of``: an idle one that has to go first."""

    instead_of: Slot | None = None


class Retire(NamedTuple):
    """Let this worker finish what it has, then go: another project waits."""

    slot: Slot


class Wait(NamedTuple):
    """Nothing can be done before a worker ends a task."""


Decision = Give | Open | Retire | Wait


def depth_of(slot: Slot, most: int) -> int:
    """How many tasks a worker may have at once: about :data:`QUEUE_TIME` of work, at least one."""
    return max(1, min(most, int(QUEUE_TIME / max(slot.took, 1e-6))))


def place(
    project: str, script: str, size: int, slots: Collection[Slot], limits: Limits, now: float, can_open: bool = True
) -> Decision:
    """Where a task of ``size`` bytes goes that needs version ``script`` of ``project``."""
    best: Slot | None = None
    own = 0
    for slot in slots:
        if slot.project != project:
            continue
        if slot.retiring:
            continue
        own += 1
        if slot.waiting and (
            slot.waiting >= depth_of(slot, limits.depth) or slot.waiting_bytes + size > limits.depth_bytes
        ):
            continue
        if script not in slot.scripts and len(slot.scripts) >= MAX_SCRIPTS:
            continue
        if best is None or slot.waiting < best.waiting:
            best = slot
    if best is not None:
        return Give(best)
    if own >= limits.per_project or not can_open:
        return _make_way_for_script(project, script, slots)
    if len(slots) < limits.workers:
        return Open()
    idle = [slot for slot in slots if not slot.waiting and slot.project != project and not slot.retiring]
    if idle:
        return Open(min(idle, key=lambda slot: slot.used))
    if own:
        return Wait()
    quick = sum(not slot.slow for slot in slots)
    if quick < limits.workers and len(slots) < OVERCOMMIT * limits.workers:
        return Open()
    return _take_turn(project, slots, now)


def _make_way_for_script(project: str, script: str, slots: Collection[Slot]) -> Decision:
    for slot in slots:
        if slot.project == project and not slot.retiring and script not in slot.scripts:
            full = len(slot.scripts) >= MAX_SCRIPTS
            if full:
                return Retire(slot)
    return Wait()


def _take_turn(project: str, slots: Collection[Slot], now: float) -> Decision:
    if any(slot.retiring for slot in slots):
        return Wait()  # somebody is on the way out already
    oldest = min((slot for slot in slots if slot.project != project), key=lambda slot: slot.since, default=None)
    if oldest is None or now - oldest.since < MIN_TURN:
        return Wait()
    return Retire(oldest)
