"""A bounded memory of taskids that exist. Pure.

It may forget, and never invents: what it does not hold is asked of the store.
"""

from __future__ import annotations

from collections.abc import Collection, Set

_NONE: Set[str] = frozenset()


class KnownTasks:
    """Taskids per project, the oldest forgotten first, ``limit`` in all."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._old: dict[str, set[str]] = {}
        self._new: dict[str, set[str]] = {}
        self._new_size = 0

    def holds(self, project: str, taskid: str) -> bool:
        """Whether the task is known to exist."""
        ids = self._new.get(project)
        if ids is not None and taskid in ids:
            return True
        ids = self._old.get(project)
        if ids is not None and taskid in ids:
            self.add(project, taskid)  # used again: it moves to the younger half
            return True
        return False

    def young(self, project: str) -> Set[str]:
        """Some of those that are held, of which one may ask many: only until something is forgotten."""
        return self._new.get(project, _NONE)

    def add_many(self, project: str, taskids: Collection[str]) -> None:
        """Remembers tasks that exist in the store, if need be so many beyond the limit."""
        ids = self._new.get(project)
        if ids is None:
            ids = self._new[project] = set()
        before = len(ids)
        ids.update(taskids)
        self._new_size += len(ids) - before
        if self._new_size * 2 > self.limit:
            self._old, self._new, self._new_size = self._new, {}, 0

    def add(self, project: str, taskid: str) -> None:
        """Remembers a task that exists in the store."""
        ids = self._new.get(project)
        if ids is None:
            ids = self._new[project] = set()
        before = len(ids)
        ids.add(taskid)
        self._new_size += len(ids) - before
        if self._new_size * 2 > self.limit:
            self._old, self._new, self._new_size = self._new, {}, 0

    def forget(self, project: str, taskid: str) -> None:
        """The task was removed."""
        for half in (self._old, self._new):
            if project in half:
                half[project].discard(taskid)

    def drop(self, project: str) -> None:
        """The whole project was removed."""
        self._old.pop(project, None)
        self._new_size -= len(self._new.pop(project, ()))
