"""Whether a node has too much on its hands to take more: its own limits, judged with a margin. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

MIB = 2**20
BELOW = 0.9  # of a limit, under which work is taken again
SMOOTH = 3.0  # seconds over which CPU and bandwidth are judged: a moment of work is no load


@dataclass(frozen=True)
class Limits:
    """What a node may use before it takes no more work; None: no limit."""

    cpu: float | None = None  # percent of one core, its workers included
    memory: int | None = None  # bytes, likewise
    bandwidth: float | None = None  # bytes a second, in and out together
    inflight: int | None = None  # bytes of tasks in its hands

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return self != NO_LIMITS


NO_LIMITS = Limits()


@dataclass(frozen=True)
class Load:
    """What a node uses now, in the units of :class:`Limits`."""

    cpu: float = 0.0
    memory: float = 0.0
    bandwidth: float = 0.0
    inflight: float = 0.0


class Gate:
    """Closes when one of the limits is passed, opens when all are well kept. ``now``: a clock that never goes back."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.reason = ""
        """Why it is closed, in words; empty while it is open."""
        self._cpu = self._bandwidth = 0.0
        self._looked: float | None = None

    def look(self, now: float, load: Load) -> bool:
        """Takes a measurement; whether the gate has just opened or closed."""
        passed = 0.0 if self._looked is None else max(0.0, now - self._looked)
        weight = 1.0 - math.exp(-passed / SMOOTH)
        self._looked = now
        self._cpu += weight * (load.cpu - self._cpu)
        self._bandwidth += weight * (load.bandwidth - self._bandwidth)
        over = self._over(Load(self._cpu, load.memory, self._bandwidth, load.inflight), BELOW if self.reason else 1.0)
        changed = bool(over) != bool(self.reason)
        if changed:
            self.reason = over
        return changed

    def _over(self, load: Load, part: float) -> str:
        """The first limit of which ``load`` uses more than ``part``, in words."""
        limits = self.limits
        if limits.cpu is not None and load.cpu > part * limits.cpu:
            return f"CPU {load.cpu:.0f} %, over its limit of {limits.cpu:g} %"
        if limits.memory is not None and load.memory > part * limits.memory:
            return f"memory {load.memory / MIB:,.0f} MiB, over its limit of {limits.memory / MIB:,.0f} MiB"
        if limits.bandwidth is not None and load.bandwidth > part * limits.bandwidth:
            return f"network {load.bandwidth / MIB:,.1f} MiB/s, over its limit of {limits.bandwidth / MIB:,g} MiB/s"
        if limits.inflight is not None and load.inflight > part * limits.inflight:
            return f"{load.inflight / MIB:,.1f} MiB in flight, over its limit of {limits.inflight / MIB:,g} MiB"
        return ""
