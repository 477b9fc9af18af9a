"""Which partitions a scheduler takes and gives back, and who of the others lives. Pure: ``mono`` is the caller's clock.

Everybody decides for itself by what stands in the database. That two want the same partition does no harm: one gets it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from crawlkit.libs.rows import Owner


@dataclass(frozen=True)
class Move:
    """What one scheduler is to do now."""

    take: list[int] = field(default_factory=list)  # in this order, and as far as others are not faster
    give: list[int] = field(default_factory=list)


def balance(me: str, partitions: int, owners: Mapping[int, str], alive: Collection[str]) -> Move:
    """``owners``: partition -> holder, also dead ones; ``alive``: the holders that live, ``me`` among them.

    Everybody has as many as the others, or one more; those who have the most have the one more, so that little moves.
    """
    owned = {holder: [part for part in range(partitions) if owners.get(part) == holder] for holder in {*alive, me}}
    line = sorted(owned, key=lambda holder: (-len(owned[holder]), holder))
    rank = line.index(me)
    share = partitions // len(line) + (rank < partitions % len(line))
    mine = owned[me]
    if len(mine) > share:
        return Move(give=mine[share - len(mine) :])
    free = [part for part in range(partitions) if owners.get(part) not in owned]
    start = rank * len(free) // len(line)  # others begin elsewhere
    return Move(take=(free[start:] + free[:start])[: share - len(mine)])


class Watch:
    """Who lives: an entry that did not change for ``ttl`` seconds of watching is of a dead one.

    Clocks of hosts are never compared. While nobody could look, nobody is judged: after a gap of more than ``gap``
    seconds everybody gets the whole time anew.
    """

    def __init__(self, ttl: float, gap: float) -> None:
        self._ttl = ttl
        self._gap = gap
        self._seen: dict[str, tuple[Owner, float]] = {}
        self._last = float("-inf")

    def alive(self, entries: Iterable[Owner], mono: float, gone: Callable[[str], bool]) -> set[str]:
        """The holders of ``entries`` that live. ``gone``: whether that process is known to run no more."""
        missed = mono - self._last > self._gap
        self._last = mono
        seen, self._seen = self._seen, {}
        found: set[str] = set()
        for entry in entries:
            known = seen.get(entry.holder)
            since = known[1] if known is not None and known[0] == entry and not missed else mono
            self._seen[entry.holder] = (entry, since)
            if mono - since <= self._ttl and not gone(entry.node):
                found.add(entry.holder)
        return found
