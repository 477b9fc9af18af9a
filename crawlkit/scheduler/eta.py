"""When a project may be through with what it knows: a range, or nothing where nothing can be said. Pure.

The lower bound is what is left at the best speed seen lately, as if no page led to another. The upper one takes the
slowest speed seen, and that finished tasks go on bringing new ones as they did in the shortest span. Both are guesses,
and said as such; without a finished task in the last minutes there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

FAR = 365 * 86_400.0  # seconds: further off than this is no time worth telling


@dataclass(frozen=True, slots=True)
class Span:
    """What happened in some time up to now."""

    seconds: float
    finished: int  # tasks that ended, well or not
    new: int  # tasks that were taken on

    @property
    def speed(self) -> float:
        """Finished tasks per second."""
        return self.finished / self.seconds if self.seconds > 0 else 0.0


def eta(
    todo: int, spans: list[Span], rate: float | None = None, wait: float = 0.0
) -> tuple[float, float | None] | None:
    """Seconds until ``todo`` tasks are through: (at the earliest, at the latest or ``None`` when that is open).

    ``spans``: the recent ones, the shortest first, which must have something finished in it. ``rate``: tasks per
    second that the project may send; no speed is believed to last above it. ``wait``: seconds until the last of those
    tasks is due that wait for their time. ``None``: nothing can be said.
    """
    if todo <= 0 or not spans or not spans[0].finished:
        return None
    speeds = [span.speed for span in spans if span.finished]
    if rate is not None:
        speeds = [min(speed, rate) for speed in speeds]
    if min(speeds) <= 0:
        return None
    low = max(todo / max(speeds), wait)
    growth = spans[0].new / spans[0].finished  # a crawl begins with many new ones, so long spans say little
    if growth >= 1.0:
        return (low, None) if low <= FAR else None
    high = max(todo / (min(speeds) * (1.0 - growth)), wait)
    if low > FAR:
        return None
    return low, high if high <= FAR else None
