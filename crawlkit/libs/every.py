"""The ``@every`` decorator: says when a method runs by itself. It only notes; the scheduler makes the ticks.

Pure: nothing is started and no clock is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, overload
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from msgspec.structs import replace

from crawlkit.libs.messages import CronSpec

CATCH_UPS = ("once", "all", "none")
OVERLAPS = ("skip", "queue", "allow")
MARK = "_crawlkit_every"

F = TypeVar("F", bound=Callable[..., Any])


@overload
def every(function: F, /) -> F: ...
@overload
def every(
    *,
    minutes: float = 0,
    seconds: float = 0,
    hours: float = 0,
    days: float = 0,
    cron: str | None = None,
    tz: str | None = None,
    catch_up: str = "once",
    overlap: str = "skip",
) -> Callable[[F], F]: ...
def every(
    function: F | None = None,
    /,
    *,
    minutes: float = 0,
    seconds: float = 0,
    hours: float = 0,
    days: float = 0,
    cron: str | None = None,
    tz: str | None = None,
    catch_up: str = "once",
    overlap: str = "skip",
) -> F | Callable[[F], F]:
    """Runs the method again and again [H30]; may be given more than once. Bare ``@every`` means each minute.

    The times given are added up. ``cron`` takes five fields (``"0 8 * * 1-5"``) in the time zone ``tz`` (UTC).
    ``catch_up`` says what happens after an outage: ``once`` runs the last instant missed, ``all`` each of them,
    ``none`` none. ``overlap`` says what happens while the run before is not done: ``skip`` leaves the instant out,
    ``queue`` runs it afterwards, ``allow`` runs it at once. Raises :class:`ValueError` or :class:`TypeError` in words.
    """
    if function is not None and not callable(function):
        raise TypeError("@every: name the times: @every(minutes=5)")
    interval = _interval({"seconds": seconds, "minutes": minutes, "hours": hours, "days": days})
    if cron is not None:
        if interval:
            raise ValueError("@every: give either cron or a time, not both")
        _check_cron(cron)
    elif tz is not None:
        raise ValueError("@every: tz goes with cron")
    if function is None and cron is None and not interval:
        raise ValueError("@every: give minutes=, seconds=, hours=, days= or cron=")
    _check_zone(tz or "UTC")
    _check_word("catch_up", catch_up, CATCH_UPS)
    _check_word("overlap", overlap, OVERLAPS)
    spec = CronSpec(
        method="",
        seconds=None if cron is not None else interval or 60,
        cron=cron,
        tz=tz or "UTC",
        catch_up=catch_up,
        overlap=overlap,
    )

    def mark(function: F) -> F:
        if not callable(function):
            raise TypeError("@every goes above a method")
        setattr(function, MARK, (spec, *getattr(function, MARK, ())))
        return function

    return mark if function is None else mark(function)


def crons_of(handler: type) -> list[CronSpec]:
    """Every ``@every`` of a handler class, also the inherited ones; sorted by method."""
    found: list[CronSpec] = []
    for name in sorted(dir(handler)):
        for spec in getattr(getattr(handler, name, None), MARK, ()):
            found.append(replace(spec, method=name))
    return found


def _interval(times: dict[str, float]) -> float:
    units = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
    total = 0.0
    for name, value in times.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"@every: {name} is a number, not {value!r}")
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"@every: {name}={value!r}: use a number above 0")
        total += value * units[name]
    if 0 < total < 1:
        raise ValueError("@every: the shortest time is 1 second")
    return total


def _check_cron(line: str) -> None:
    from datetime import UTC, datetime

    if not isinstance(line, str) or len(line.split()) != 5:
        raise ValueError(f"@every: cron={line!r}: use five fields: minute hour day month weekday")
    try:
        next(CronSim(line, datetime(2024, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        raise ValueError(f"@every: cron={line!r}: {error or 'there is no such day'}") from None


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        raise ValueError(f"@every: tz={name!r} is no time zone; use a name like Europe/Paris") from None


def _check_word(what: str, word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        raise ValueError(f"@every: {what}={word!r}: use one of {', '.join(words)}")
