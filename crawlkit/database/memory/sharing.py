"""What several schedulers on one taskdb share, in memory: who owns what, who takes part, letters, allowances.

Has no lock of its own: the taskdb's holds for it.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from copy import copy

from crawlkit.database.base import Letter, Owner
from crawlkit.database.rules import NOBODY, draw
from crawlkit.libs.clock import Clock, SystemClock
from crawlkit.libs.rows import TASK_LETTER, Allowance


class Sharing:
    """One for all stores on the same rows."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.owners: dict[int, Owner] = {}
        self.members: dict[str, Owner] = {}
        self._letters: dict[int, dict[int, Letter]] = {}  # partition -> id -> letter, oldest first
        self._partition_of: dict[int, int] = {}  # id of a letter -> its partition
        self._waiting: dict[str, int] = {}  # project -> letters of kind task
        self._last = 0
        self._allowances: dict[str, Allowance] = {}

    def take(self, mine: Owner, ttl: float, over: Owner | None, partition: int, had: bool) -> Owner | None:
        """See :meth:`TaskStore.own`; ``had``: it was taken before."""
        now = self._clock.time()
        found = self.owners.get(partition)
        if found is None or found.holder != mine.holder:
            if had:
                return found or NOBODY
            if found is not None and now < found.until and found != over:
                return found
        self.owners[partition] = Owner(mine.holder, mine.node, now + ttl)
        return None

    def lost(self, holder: str, taken: Iterable[int]) -> dict[int, Owner | None]:
        """Those of ``taken`` that ``holder`` has no more, with who has each."""
        found = {partition: self.owners.get(partition) for partition in taken}
        return {partition: owner for partition, owner in found.items() if owner is None or owner.holder != holder}

    def give_back(self, holder: str, partition: int | None) -> None:
        for each in [partition] if partition is not None else list(self.owners):
            if each in self.owners and self.owners[each].holder == holder:
                del self.owners[each]

    def announce(self, holder: str, node: str, ttl: float) -> Owner:
        member = self.members[holder] = Owner(holder, node, self._clock.time() + ttl)
        return member

    def post(self, letters: Iterable[Letter]) -> None:
        for letter in letters:
            self._last += 1
            kept = copy(letter)
            kept.id = self._last
            self._letters.setdefault(letter.partition, {})[kept.id] = kept
            self._partition_of[kept.id] = letter.partition
            if letter.kind == TASK_LETTER:
                self._waiting[letter.project] = self._waiting.get(letter.project, 0) + 1

    def take_away(self, ids: Iterable[int]) -> None:
        for each in ids:
            partition = self._partition_of.pop(each, None)
            if partition is None:
                continue
            letter = self._letters[partition].pop(each)
            if letter.kind == TASK_LETTER:
                self._waiting[letter.project] -= 1

    def mail(self, partitions: Collection[int], limit: int) -> list[Letter]:
        boxes = (self._letters.get(partition, {}).values() for partition in set(partitions))
        merged = heapq.merge(*boxes, key=lambda letter: letter.id)
        return [copy(letter) for _, letter in zip(range(max(0, limit)), merged, strict=False)]

    def waiting(self, project: str) -> int:
        return self._waiting.get(project, 0)

    def drop_letters(self, project: str, limit: int | None = None, kind: str | None = None) -> int:
        """Removes up to ``limit`` letters of a project, of all kinds or of one; returns how many."""
        letters = (letter for box in self._letters.values() for letter in box.values())
        ids = [letter.id for letter in letters if letter.project == project and kind in (None, letter.kind)][:limit]
        self.take_away(ids)
        return len(ids)

    def draw(self, project: str, want: int, rate: float, burst: float) -> tuple[int, float]:
        left, granted, wait = draw(self._allowances.get(project), self._clock.time(), want, rate, burst)
        if left is not None:
            self._allowances[project] = left
        return granted, wait

    def forget_allowance(self, project: str) -> int:
        return int(self._allowances.pop(project, None) is not None)
