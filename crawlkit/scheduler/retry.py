"""When a failed task is tried again, and when a good one is crawled again [S46-S49].

Pure. Delays are seconds; a negative delay means: fail now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from crawlkit.libs.task import Schedule

#: pyspider's table [S46]. Key: tries used up so far, as text; '' is the rest.
DEFAULT_DELAYS: Final[Mapping[str, float]] = {"0": 30, "1": 3600, "2": 21_600, "3": 43_200, "": 86_400}
#: For ``crawlkit one``, where somebody waits for the end.
ONE_DELAYS: Final[Mapping[str, float]] = {"0": 1, "1": 5, "": 15}
_LAST_RESORT = 86_400.0
#: What a task asks for itself and will ask for again: another try cannot end otherwise.
HOPELESS: Final = frozenset({"bad_url", "bad_request"})


def next_try(
    *,
    retried: int,
    schedule: Schedule,
    delays: Mapping[str, float],
    defaults: Mapping[str, float] = DEFAULT_DELAYS,
    reason: str = "",
) -> float | None:
    """Seconds until a task that just failed is tried again; ``None``: it has failed for good.

    ``retried`` counts the tries used up before the one that failed now. ``delays`` is the handler's ``retry_delay``
    [H11]; unless empty it replaces ``defaults`` as a whole, and what it lacks is its '' or a day [S48]. An ``age`` of
    0 or more caps the delay [S47] and, with ``auto_recrawl``, makes the tries go on for ever [S49]. For a ``reason``
    of :data:`HOPELESS` there is no other try.
    """
    if reason in HOPELESS and not recrawls(schedule):
        return None
    table = delays or defaults
    delay = table.get(str(retried))
    if delay is None:
        delay = table.get("", _LAST_RESORT)
    if delay < 0:
        return None
    if not recrawls(schedule) and retried >= schedule.retries:
        return None
    if schedule.age >= 0:
        return min(delay, schedule.age)
    return delay


def recrawls(schedule: Schedule) -> bool:
    """Whether the task comes back by itself after each run: ``auto_recrawl`` needs an ``age`` of 0 or more."""
    return schedule.auto_recrawl and schedule.age >= 0


def next_crawl(schedule: Schedule) -> float | None:
    """Seconds until a task that just succeeded is crawled again; ``None``: it is done [S49]."""
    return schedule.age if recrawls(schedule) else None
