"""When the ``@every`` methods of a handler are due, and what happens to instants that were missed [S55, H30].

Pure: instants are Unix seconds, and ``now`` is an argument; the only thing read is the machine's time zone data.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from crawlkit.libs.errors import InvalidProject
from crawlkit.libs.messages import CronSpec

MAX_DUE: Final = 1_000  # instants of one answer; the next one goes on behind them
OUTAGE_GAP: Final = 60.0  # seconds; an instant that is later than this was missed
CATCH_UP: Final = ("once", "all", "none")
OVERLAP: Final = ("skip", "queue", "allow")
_MIN_SECONDS = 1.0
_MAX_SECONDS = 10 * 366 * 86_400.0
_AHEAD = 64  # instants of a cron line worked out at once ...
_HORIZON = 400 * 86_400.0  # ... but not much further than this


def check_spec(spec: CronSpec) -> None:
    """Raises :class:`InvalidProject` in words when the spec says what cannot be done."""
    where = f"@every of {spec.method or 'a method'}"
    if (spec.seconds is None) == (spec.cron is None):
        raise InvalidProject(f"{where}: give either an interval or cron=, not both")
    if spec.catch_up not in CATCH_UP:
        raise InvalidProject(f"{where}: catch_up={spec.catch_up!r}: use one of {', '.join(CATCH_UP)}")
    if spec.overlap not in OVERLAP:
        raise InvalidProject(f"{where}: overlap={spec.overlap!r}: use one of {', '.join(OVERLAP)}")
    try:
        if spec.seconds is not None:
            _check_interval(spec.seconds)
        elif spec.cron is not None:
            _line(spec.cron, spec.tz)
    except InvalidProject as error:
        raise InvalidProject(f"{where}: {error}") from None


def next_instants(spec: CronSpec, after: float, n: int) -> list[float]:
    """The next ``n`` instants later than ``after``; fewer when a cron line has no more (29 February in a short range).

    Intervals are counted from 1970-01-01 UTC, whatever the start of the project [H30]. A cron line is read in its time
    zone: a time of day that a change of clocks leaves out comes at the change, one that it repeats comes the first
    time only. Raises :class:`InvalidProject`.
    """
    if spec.seconds is not None:
        _check_interval(spec.seconds)
        step = _step_after(spec.seconds, after)
        return [float((step + i) * spec.seconds) for i in range(n)]
    return _line(spec.cron or "", spec.tz).after(after, n)


def due_instants(spec: CronSpec, last: float | None, now: float, outage_gap: float = OUTAGE_GAP) -> list[float]:
    """The instants to be fired now, oldest first, at most :data:`MAX_DUE`.

    ``last`` is the newest instant that was handled, or the time from which the method counts; with ``None`` nothing is
    due. When the oldest one is more than ``outage_gap`` seconds late, there was an outage, and ``catch_up`` says what
    becomes of it: ``all`` gives every instant, ``once`` the latest one, ``none`` the latest one unless it is late too,
    or nearer to the next one than to its own time.
    Raises :class:`InvalidProject`.
    """
    if last is None or last >= now:
        return []
    first = next_instants(spec, last, 1)
    if not first or first[0] > now:
        return []
    if first[0] >= now - outage_gap or spec.catch_up == "all":
        return _up_to(spec, last, now)
    latest = _latest(spec, last, now)
    if latest is None or (spec.catch_up == "none" and not _is_fresh(spec, latest, now, outage_gap)):
        return []
    return [latest]


def overlap_allows(overlap: str, running: bool, queued: bool) -> Literal["run", "skip", "queue"]:
    """What becomes of an instant when an earlier run of the same method has not ended, or one waits already."""
    if overlap == "allow" or not (running or queued):
        return "run"
    return "queue" if overlap == "queue" else "skip"


def _up_to(spec: CronSpec, last: float, now: float) -> list[float]:
    found: list[float] = []
    asked = 2  # mostly one is due, and the second one shows that
    while len(found) < MAX_DUE:
        more = next_instants(spec, found[-1] if found else last, min(asked, MAX_DUE - len(found)))
        found += [instant for instant in more if instant <= now]
        if not more or more[-1] > now:
            break
        asked = _AHEAD
    return found


def _latest(spec: CronSpec, last: float, now: float) -> float | None:
    """The newest instant behind ``last`` and up to ``now``, without a walk through a long outage."""
    if spec.seconds is not None:
        instant = float((_step_after(spec.seconds, now) - 1) * spec.seconds)
        return instant if instant > last else None
    width = 3600.0
    while True:
        start = max(last, now - width)
        found = next_instants(spec, start, 1)
        if found and found[0] <= now:
            break
        if start == last:
            return None
        width *= 4
    latest = found[0]
    while (found := next_instants(spec, latest, _AHEAD)) and found[0] <= now:
        latest = max(instant for instant in found if instant <= now)
    return latest


def _is_fresh(spec: CronSpec, instant: float, now: float, outage_gap: float) -> bool:
    following = next_instants(spec, instant, 1)
    return now - instant <= (min(outage_gap, (following[0] - instant) / 2) if following else outage_gap)


def _check_interval(seconds: float) -> None:
    if not (math.isfinite(seconds) and _MIN_SECONDS <= seconds <= _MAX_SECONDS):
        raise InvalidProject(f"an interval of {seconds:g} seconds: use at least 1 second and at most 10 years")


def _step_after(seconds: float, after: float) -> int:
    """The smallest whole number k with ``k * seconds > after``."""
    k = math.floor(after / seconds)
    while k * seconds > after:  # the division may have been rounded up
        k -= 1
    while k * seconds <= after:
        k += 1
    return k


class _Line:
    """One cron line in one zone, with the instants around the last question at hand."""

    def __init__(self, cron: str, zone: ZoneInfo) -> None:
        self._cron = cron
        self._zone = zone
        self._known: tuple[float, list[float]] = (math.inf, [])  # (after, the instants that follow it without a gap)

    def after(self, moment: float, n: int) -> list[float]:
        start, instants = self._known
        if not (start <= moment and instants and moment < instants[-1]):
            start, instants = moment, self._ahead(moment, n)
        position = bisect_right(instants, moment)
        missing = n - (len(instants) - position)
        if missing > 0 and instants:
            position, instants = 0, instants[position:] + self._ahead(instants[-1], missing)
            start = moment
        self._known = (start, instants)
        return instants[position : position + n]

    def _ahead(self, moment: float, n: int) -> list[float]:
        instants: list[float] = []
        for instant in self._walk(moment):
            instants.append(instant)
            if len(instants) >= max(n, _AHEAD) or (len(instants) >= n and instant > moment + _HORIZON):
                break
        return instants

    def _walk(self, moment: float) -> Iterator[float]:
        newest = moment
        try:
            for local in CronSim(self._cron, datetime.fromtimestamp(moment, UTC).astimezone(self._zone)):
                instant = local.timestamp()
                # two times of day that a change of clocks left out come at the same instant; one that it repeats may
                # come out as the first of both although that has passed
                if instant > newest:
                    newest = instant
                    yield instant
        except (OverflowError, ValueError, OSError):
            return  # the calendar of datetime ends


@lru_cache(maxsize=1024)
def _line(cron: str, tz: str) -> _Line:
    try:
        zone = ZoneInfo(tz)
    except (KeyError, ValueError, OSError):
        raise InvalidProject(f"time zone {tz!r} is unknown: use a name like Europe/Paris") from None
    problem = "minute, hour, day, month and weekday as in crontab(5), like 30 8 * * 1-5"
    if len(cron.split()) != 5:
        raise InvalidProject(f"cron={cron!r}: give {problem}")
    try:
        CronSim(cron, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise InvalidProject(f"cron={cron!r}: {error}; give {problem}") from None
    return _Line(cron, zone)
