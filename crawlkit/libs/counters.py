"""Counts per project over the last 5 minutes, hour and day and for all time, and 5-minute averages [S65, S66].

Pure: ``now`` is Unix time in seconds; whoever owns the counters keeps :meth:`Counters.dump` somewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

#: What is counted of a project's tasks.
EVENTS: Final = ("pending", "success", "retry", "failed")
#: window -> (slots, seconds of one slot). ``all`` has no slots.
WINDOWS: Final = {"5m": (30, 10), "1h": (60, 60), "1d": (144, 600)}
ALL: Final = "all"
AVERAGES: Final = "5m"
_NOT_IN_ALL: Final = frozenset({"retry"})  # a retry is no task of its own


class _Ring:
    """Sums over a sliding time: one number per slot that has any, oldest first; at most ``size`` slots."""

    __slots__ = ("head", "size", "slots", "total", "width")

    def __init__(self, size: int, width: int) -> None:
        self.size = size
        self.width = width
        self.slots: dict[int, float] = {}  # number of the slot since 1970 -> sum
        self.head = 0  # the newest slot seen
        self.total: float = 0

    def add(self, n: float, now: float) -> None:
        if now // self.width != self.head:
            self.turn(now)
        self.slots[self.head] = self.slots.get(self.head, 0) + n
        self.total += n

    def turn(self, now: float) -> None:
        """Drops what is too old. Readings that lie behind the newest slot a little count into it."""
        slot = int(now // self.width)
        if slot <= self.head - self.size:
            self.slots.clear()  # the clock was set back by more than the window
            self.head = slot
        elif slot > self.head:
            self.head = slot
            for number in list(self.slots):
                if number > slot - self.size:
                    break
                del self.slots[number]
        self.total = sum(self.slots.values())  # anew, so that errors of rounding do not add up

    def sum(self, now: float) -> float:
        if now // self.width != self.head:
            self.turn(now)
        return self.total

    def dump(self) -> list[tuple[int, float]]:
        """(slot, sum), oldest first."""
        return list(self.slots.items())

    def load(self, slots: list[tuple[int, float]], now: float) -> None:
        """Takes dumped slots that are not too old; those of the future count as now."""
        self.head = int(now // self.width)
        self.slots.clear()
        for number, n in sorted(slots):
            if number > self.head - self.size:
                place = min(number, self.head)
                self.slots[place] = self.slots.get(place, 0) + n
        self.total = sum(self.slots.values())


class _Project:
    __slots__ = ("averages", "events", "totals")

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.events: dict[str, dict[str, _Ring]] = {}  # event -> window -> ring
        self.averages: dict[str, tuple[_Ring, _Ring]] = {}  # name -> (sums, numbers)

    def rings(self, event: str) -> dict[str, _Ring]:
        rings = self.events.get(event)
        if rings is None:
            rings = self.events[event] = {name: _Ring(*shape) for name, shape in WINDOWS.items()}
        return rings

    def average(self, name: str) -> tuple[_Ring, _Ring]:
        pair = self.averages.get(name)
        if pair is None:
            shape = WINDOWS[AVERAGES]
            pair = self.averages[name] = (_Ring(*shape), _Ring(*shape))
        return pair


class _KeptProject(msgspec.Struct, omit_defaults=True):
    totals: dict[str, int] = {}
    events: dict[str, dict[str, list[tuple[int, float]]]] = {}
    averages: dict[str, tuple[list[tuple[int, float]], list[tuple[int, float]]]] = {}


class Counters:
    """All counters of all projects.

    A name costs up to 25 KB a project until that is dropped; so names come from the code (see
    :data:`EVENTS`), never from what is crawled.
    """

    def __init__(self) -> None:
        self._projects: dict[str, _Project] = {}

    def add(self, project: str, event: str, n: int, now: float) -> None:
        """Counts ``n`` events, into every window and, but for retries, into ``all``. ``n`` may be negative."""
        counted = self._project(project)
        if event not in _NOT_IN_ALL:
            counted.totals[event] = counted.totals.get(event, 0) + n
        for ring in counted.rings(event).values():
            ring.add(n, now)

    def set_total(self, project: str, event: str, n: int) -> None:
        """Overwrites the number of ``all``, as known from the rows of the store."""
        self._project(project).totals[event] = n

    def observe(self, project: str, name: str, value: float, now: float, number: int = 1) -> None:
        """Takes a measured value, such as a ``fetch_time`` in seconds, into the 5-minute average.

        With ``number`` it is the sum of so many.
        """
        sums, numbers = self._project(project).average(name)
        sums.add(value, now)
        numbers.add(number, now)

    def sum(self, window: str, now: float) -> dict[str, dict[str, int]]:
        """project -> event -> number in ``window`` (5m, 1h, 1d or all); ``ValueError`` for another window."""
        if window == ALL:
            return {name: dict(project.totals) for name, project in self._projects.items() if project.totals}
        if window not in WINDOWS:
            raise ValueError(f"window {window!r}: use one of {', '.join([*WINDOWS, ALL])}")
        found = {}
        for name, project in self._projects.items():
            sums = {event: int(n) for event, rings in project.events.items() if (n := rings[window].sum(now))}
            if sums:
                found[name] = sums
        return found

    def avg(self, now: float) -> dict[str, dict[str, float]]:
        """project -> name -> mean of the values of the last 5 minutes; names without a value are left out."""
        found = {}
        for project_name, project in self._projects.items():
            means = {}
            for name, (sums, numbers) in project.averages.items():
                if number := numbers.sum(now):
                    means[name] = sums.sum(now) / number
            if means:
                found[project_name] = means
        return found

    def windows(self, project: str, now: float) -> dict[str, list[int]]:
        """One project's numbers: window -> those of :data:`EVENTS` in their order; windows without any are left out."""
        known = self._projects.get(project)
        if known is None:
            return {}
        rings = [known.events.get(event) for event in EVENTS]
        found = {}
        for window in WINDOWS:
            sums = [0 if one is None else int(one[window].sum(now)) for one in rings]
            if any(sums):
                found[window] = sums
        return found

    def means(self, project: str, now: float) -> dict[str, float]:
        """One project's means, as :meth:`avg` gives them."""
        known = self._projects.get(project)
        if known is None:
            return {}
        pairs = known.averages.items()
        return {name: sums.sum(now) / number for name, (sums, numbers) in pairs if (number := numbers.sum(now))}

    def spark(self, project: str, events: Sequence[str], now: float) -> list[int]:
        """The sum of some events in each slot of the 5 minutes, oldest first; empty when there was none."""
        known = self._projects.get(project)
        size, width = WINDOWS["5m"]
        rings = [known.events[event]["5m"] for event in events if event in known.events] if known is not None else []
        if not any(ring.sum(now) for ring in rings):
            return []
        first = max(int(now // width), *(ring.head for ring in rings)) - size + 1
        found = [0] * size
        for ring in rings:
            for slot, n in ring.slots.items():
                if slot >= first:
                    found[slot - first] += int(n)
        return found

    def busy(self, project: str, events: Sequence[str], window: str, now: float) -> float:
        """Seconds from the first of some events in the window to now, as exact as its slots are; 0 for none."""
        known = self._projects.get(project)
        rings = [known.events[event][window] for event in events if event in known.events] if known is not None else []
        firsts = [next(iter(ring.slots)) for ring in rings if ring.sum(now) and ring.slots]
        width = WINDOWS[window][1]
        return max(float(width), now - min(firsts) * width) if firsts else 0.0

    def drop(self, project: str) -> None:
        """Forgets a project."""
        self._projects.pop(project, None)

    def dump(self) -> str:
        """Everything as JSON text for :meth:`load`."""
        kept = {
            name: _KeptProject(
                project.totals,
                {event: {w: ring.dump() for w, ring in rings.items()} for event, rings in project.events.items()},
                {key: (sums.dump(), numbers.dump()) for key, (sums, numbers) in project.averages.items()},
            )
            for name, project in self._projects.items()
        }
        return msgspec.json.encode(kept).decode()

    def load(self, text: str, now: float) -> None:
        """Takes the place of everything by what :meth:`dump` wrote, less what is too old by now.

        A text that cannot be read leaves the counters empty: they are for looking at, no decision hangs on them.
        """
        self._projects = {}
        try:
            kept = msgspec.json.decode(text, type=dict[str, _KeptProject])
        except (msgspec.MsgspecError, ValueError):
            return
        for name, old in kept.items():
            project = self._projects[name] = _Project()
            project.totals = dict(old.totals)
            for event, windows in old.events.items():
                rings = project.rings(event)
                for window, slots in windows.items():
                    if window in rings:
                        rings[window].load(slots, now)
            for key, (sums, numbers) in old.averages.items():
                pair: Any = project.average(key)
                pair[0].load(sums, now)
                pair[1].load(numbers, now)

    def _project(self, name: str) -> _Project:
        project = self._projects.get(name)
        if project is None:
            project = self._projects[name] = _Project()
        return project
