"""The projectdb in memory."""

from __future__ import annotations

import threading
from copy import copy

from crawlkit.database.base import ProjectRow, SettingRow, VersionRow
from crawlkit.database.rules import check_project, check_setting, later, version_of
from crawlkit.libs.clock import Clock, SystemClock
from crawlkit.libs.errors import InvalidProject


class MemoryProjectStore:
    """A :class:`~crawlkit.database.base.ProjectStore`."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._rows: dict[str, ProjectRow] = {}
        self._versions: dict[str, list[VersionRow]] = {}
        self._settings: dict[str, dict[str, SettingRow]] = {}
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
            self._settings.pop(name, None)
            return self._rows.pop(name, None) is not None

    def versions(self, name: str) -> list[VersionRow]:
        with self._lock:
            return [copy(row) for row in reversed(self._versions.get(name, []))]

    def script(self, name: str, version: str) -> str | None:
        with self._lock:
            return next((row.script for row in self._versions.get(name, []) if row.version == version), None)

    def settings(self, name: str) -> dict[str, SettingRow]:
        with self._lock:
            known = self._settings.get(name, {})
            return {setting: copy(known[setting]) for setting in sorted(known)}

    def put_setting(self, name: str, setting: SettingRow) -> None:
        check_setting(name, setting)
        with self._lock:
            if name not in self._rows:
                raise InvalidProject(f"no project {name!r}")
            new = copy(setting)
            new.updatetime = self._touch(name)
            self._settings.setdefault(name, {})[setting.name] = new

    def remove_setting(self, name: str, setting: str) -> bool:
        with self._lock:
            if self._settings.get(name, {}).pop(setting, None) is None:
                return False
            self._touch(name)
            return True

    def _touch(self, name: str) -> float:
        self._newest = self._rows[name].updatetime = later(self._clock.time(), self._newest)
        return self._newest

    def close(self) -> None:
        """Nothing to let go of."""
