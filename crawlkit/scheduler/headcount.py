"""How many tasks a project took on, in all and by host, while a bound counts them. Pure, and bounded in memory.

The numbers are in the taskdb; what is not remembered is asked of it by :meth:`HeadCount.missing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ALL = ""  # in place of a host; what has none counts in all only
MAX_HOST = 255  # characters that are told apart


class HeadCount:
    """``limit`` numbers at most are remembered from one turn to the next."""

    def __init__(self, limit: int = 20_000) -> None:
        self.limit = limit
        self._known: dict[tuple[str, str], int] = {}

    def missing(self, wanted: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
        """Of the hosts that a turn will ask for, by project, those to be read. Forgets what would be too much."""
        if len(self._known) > self.limit:
            self._known.clear()
        found = {}
        for project, hosts in wanted.items():
            names = dict.fromkeys((ALL, *(host[:MAX_HOST] for host in hosts)))
            unknown = [host for host in names if (project, host) not in self._known]
            if unknown:
                found[project] = unknown
        return found

    def learn(self, project: str, asked: Iterable[str], found: Mapping[str, int]) -> None:
        """What the taskdb says of them."""
        for host in asked:
            self._known[project, host] = found.get(host, 0)

    def of(self, project: str, host: str) -> tuple[int, int]:
        """(tasks in all, tasks of the host)."""
        known = self._known
        of_host = known.get((project, host[:MAX_HOST]), 0) if host != ALL else 0
        return max(0, known.get((project, ALL), 0)), max(0, of_host)

    def add(self, project: str, host: str, n: int = 1) -> list[tuple[str, str]]:
        """Counts; returns the keys under which the taskdb counts it, too."""
        keys = list(dict.fromkeys(((project, ALL), (project, host[:MAX_HOST]))))
        for key in keys:
            if key in self._known:
                self._known[key] += n
        return keys

    def drop(self, project: str) -> None:
        """The project is removed."""
        for key in [key for key in self._known if key[0] == project]:
            del self._known[key]
