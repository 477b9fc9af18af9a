"""The only place that reads the time.

Decisions take ``now`` as an argument; services get a :class:`Clock` from wiring and pass its readings down.
"""

from __future__ import annotations

import time as _time
from typing import Protocol


class Clock(Protocol):
    """Two readings, both in seconds."""

    def time(self) -> float:
        """Unix time. May jump; for dates shown to people and for due times that outlive the process."""

    def monotonic(self) -> float:
        """Never goes back. For durations, leases held in memory and rates."""


class SystemClock:
    """The machine's own clock."""

    time = staticmethod(_time.time)
    monotonic = staticmethod(_time.monotonic)


class ManualClock:
    """A clock that moves when told to. For tests and simulations."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self.now = start

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float) -> float:
        """Moves on by ``seconds`` and returns the new time."""
        self.now += seconds
        return self.now
