"""Which outcomes wait because ``on_result`` raised, and when each is tried again.

Pure: ``now`` is an argument (monotonic seconds). The parts of one attempt stay together and in order.
"""

from __future__ import annotations

from typing import Generic, TypeVar

AttemptKey = tuple[str, str, int, int]  # (project, taskid, run, attempt)
T = TypeVar("T")


class _Entry(Generic[T]):
    __slots__ = ("delay", "due", "items")

    def __init__(self, due: float, delay: float) -> None:
        self.due = due
        self.delay = delay
        self.items: list[T] = []


class Late(Generic[T]):
    """Attempts that wait. The delay starts at ``first`` seconds and doubles with each failure up to ``last``."""

    def __init__(self, first: float = 0.5, last: float = 30.0) -> None:
        self.first = first
        self.last = last
        self._entries: dict[AttemptKey, _Entry[T]] = {}
        self._delays: dict[AttemptKey, float] = {}  # of attempts being tried again just now
        self._count = 0

    def __len__(self) -> int:
        """How many outcomes wait."""
        return self._count

    def __contains__(self, key: AttemptKey) -> bool:
        return key in self._entries

    def add(self, key: AttemptKey, item: T, now: float) -> None:
        """``item`` failed, or stands behind a part that did."""
        entry = self._entries.get(key)
        if entry is None:
            delay = min(self.last, self._delays.pop(key, self.first / 2) * 2)
            entry = self._entries[key] = _Entry(now + delay, delay)
        entry.items.append(item)
        self._count += 1

    def wait(self, now: float) -> float | None:
        """Seconds until the next one is due; None: nothing waits."""
        if not self._entries:
            return None
        return max(0.0, min(entry.due for entry in self._entries.values()) - now)

    def take_due(self, now: float) -> list[T]:
        """What is due, the parts of an attempt in their order. Which fails again comes back by :meth:`add`."""
        due = [key for key, entry in self._entries.items() if entry.due <= now]
        taken: list[T] = []
        for key in due:
            entry = self._entries.pop(key)
            self._delays[key] = entry.delay
            taken += entry.items
        self._count -= len(taken)
        return taken

    def forget(self, key: AttemptKey) -> None:
        """It worked."""
        self._delays.pop(key, None)
