"""The settings of projects, and what their rows say, as workers get them: read in a thread, opened, kept up to date.

Only here are settings opened; a worker is sent those of the project it runs, and no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import msgspec

from crawlkit.database.base import ProjectRow, ProjectStore, SettingRow
from crawlkit.libs.errors import StoreUnavailable, UsageError
from crawlkit.processor.orders import Settings

LOOK = 1.0  # seconds between looks at what changed
RETRY = 1.0  # seconds between attempts to reach the projectdb

Unseal = Callable[[str, str, str], str]  # (project, name, sealed) -> value; raises UsageError

log = logging.getLogger("crawlkit.processor")
_encode = msgspec.msgpack.Encoder().encode

About = dict[str, str | float | None]


def no_key(project: str, name: str, sealed: str) -> str:
    """An :data:`Unseal` for who has no key."""
    raise UsageError(f"setting {name} of project {project} cannot be opened here: there is no secret key")


class Grants:
    """What every project is given, as the payload of a frame; ``b""`` for nothing."""

    def __init__(self, projectdb: ProjectStore, unseal: Unseal = no_key) -> None:
        self._projectdb = projectdb
        self._unseal = unseal
        self._payloads: dict[str, bytes] = {}
        self._about: dict[str, About] = {}
        self._seen = 0.0  # the latest updatetime that was looked at

    def known(self, project: str) -> bytes:
        """The payload to send now."""
        return self._payloads.get(project, b"")

    def about(self, project: str) -> About:
        """What the project's row says now, beside the script; empty for an unknown project."""
        return self._about.get(project, {})

    async def find(self, project: str) -> None:
        """Reads a project's settings, unless they are known. Waits while the projectdb is away."""
        while project not in self._payloads:
            try:
                await asyncio.to_thread(self._read, project)
            except StoreUnavailable as error:
                log.warning("projectdb: %s; tasks of %s wait", error, project)
                await asyncio.sleep(RETRY)

    async def refresh(self) -> None:
        """Reads anew what changed since the last time, of the projects that are known."""
        await asyncio.to_thread(self._refresh)

    def _refresh(self) -> None:
        for row in self._projectdb.changed_since(self._seen):
            if row.name in self._payloads:
                self._about[row.name] = about(row)
                self._read(row.name)
            self._seen = max(self._seen, row.updatetime)

    def _read(self, project: str) -> None:
        if project not in self._about and (row := self._projectdb.get(project)) is not None:
            self._about[project] = about(row)
        rows = self._projectdb.settings(project)
        if not rows:
            # Those that a worker has already are to be taken from it, so this is sent as well.
            self._payloads[project] = _encode(Settings(project)) if self._payloads.get(project) else b""
            return
        self._payloads[project] = _encode(opened(project, rows, self._unseal))


def about(row: ProjectRow) -> About:
    """What a script may read of its project's row, beside the script [H12]."""
    return {
        "group": row.group,
        "status": row.status,
        "rate": row.rate,
        "burst": row.burst,
        "comments": row.comments,
        "updatetime": row.updatetime,
    }


def opened(project: str, rows: Mapping[str, SettingRow], unseal: Unseal) -> Settings:
    """The settings with their values. One that cannot be opened is said here, and to who asks for it."""
    found = Settings(project)
    for name, row in rows.items():
        try:
            found.values[name] = unseal(project, name, row.sealed)
        except UsageError as error:
            log.error("%s", error)
            found.closed[name] = str(error)
        else:
            if row.secret:
                found.secret.append(name)
    return found
