"""The projectdb in memory."""

from __future__ import annotations

import threading
from copy import copy

from crawlkit.database.base import ProjectRow, VersionRow
from crawlkit.database.rules import check_project, later, version_of
from crawlkit.libs.clock import Clock, SystemClock


class MemoryProjectStore:
    """A :class:`~crawlkit.database.base.ProjectStore`."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._rows: dict[str, ProjectRow] = {}
        self._versions: dict[str, list[VersionRow]] = {}
        self._newest = 0.0

    def put(self, row: ProjectRow, author: str = "", message: str = "") -> ProjectRow:
        check_project(row)
        with self._lock:
            now = self._clock.time()
            new = copy(row)
            new.version = version_of(row.script)
            new.updatetime = self._newest = later(now, self._newest)
            known = self._rows.get(row.name)
            if known is None or known.version != new.version:
                version = VersionRow(row.name, new.version, row.script, now, author, message)
                self._versions.setdefault(row.name, []).append(version)
            self._rows[row.name] = new
            return copy(new)

    def get(self, name: str) -> ProjectRow | None:
        with self._lock:
            row = self._rows.get(name)
            return copy(row) if row is not None else None

    def all(self) -> list[ProjectRow]:
        with self._lock:
            return [copy(self._rows[name]) for name in sorted(self._rows)]

    def changed_since(self, updatetime: float) -> list[ProjectRow]:
        with self._lock:
            rows = [copy(row) for row in self._rows.values() if row.updatetime > updatetime]
        return sorted(rows, key=lambda row: row.updatetime)

    def names(self) -> list[str]:
        with self._lock:
            return sorted(self._rows)

    def drop(self, name: str) -> bool:
        with self._lock:
            self._versions.pop(name, None)
            return self._rows.pop(name, None) is not None

    def versions(self, name: str) -> list[VersionRow]:
        with self._lock:
            return [copy(row) for row in reversed(self._versions.get(name, []))]

    def script(self, name: str, version: str) -> str | None:
        with self._lock:
            return next((row.script for row in self._versions.get(name, []) if row.version == version), None)

    def close(self) -> None:
        """Nothing to let go of."""
