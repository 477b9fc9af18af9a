"""How long turns take: quantiles over the last minute or so, from counts in steps of 9 %. Pure and cheap."""

from __future__ import annotations

from math import ceil, log

STEP = 2 ** (1 / 8)  # from one bound to the next: a figure is right to 9 %
FIRST = 1e-5  # seconds; what is shorter counts as this long
STEPS = 200  # up to 300 s
SPAN = 30.0  # seconds after which the older half is forgotten
_SCALE = 1 / log(STEP)


class TurnTimes:
    """Durations in seconds; ``mono`` is a clock that never goes back."""

    __slots__ = ("_began", "_new", "_old")

    def __init__(self) -> None:
        self._new, self._old = [0] * STEPS, [0] * STEPS
        self._began: float | None = None

    def add(self, seconds: float, mono: float) -> None:
        """One turn that ended at ``mono``."""
        if self._began is None:
            self._began = mono
        elif mono - self._began >= SPAN:
            empty = mono - self._began >= 2 * SPAN
            self._old, self._new = [0] * STEPS if empty else self._new, [0] * STEPS
            self._began = mono
        self._new[_step_of(seconds)] += 1

    def quantiles(self, *parts: float) -> list[float]:
        """For each part (0.5: the median) the time that so many turns did not exceed; 0 without any turn."""
        counts = [a + b for a, b in zip(self._new, self._old, strict=True)]
        total = sum(counts)
        return [_at(counts, ceil(part * total)) for part in parts]


def _step_of(seconds: float) -> int:
    if seconds <= FIRST:
        return 0
    return min(STEPS - 1, ceil(log(seconds / FIRST) * _SCALE))


def _at(counts: list[int], number: int) -> float:
    seen = 0
    for step, count in enumerate(counts):
        seen += count
        if count and seen >= number:
            return float(FIRST * STEP**step)
    return 0.0
