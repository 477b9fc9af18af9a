"""The scripts of projects, by version, read from the projectdb in a thread and kept for a while.

A version never changes its text, so what is kept is never stale.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Collection

from crawlkit.database.base import ProjectStore
from crawlkit.libs.errors import StoreUnavailable

KEPT = 256  # scripts
RETRY = 1.0  # seconds between attempts to reach the projectdb

log = logging.getLogger("crawlkit.processor")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


class Scripts:
    """An LRU of ``kept`` scripts before the projectdb."""

    def __init__(self, projectdb: ProjectStore, kept: int = KEPT) -> None:
        self._projectdb = projectdb
        self._kept = kept
        self._texts: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def known(self, project: str, version: str) -> bytes | None:
        """The text, if it is at hand."""
        text = self._texts.get((project, version))
        if text is not None:
            self._texts.move_to_end((project, version))
        return text

    async def find(self, project: str, version: str) -> bytes | None:
        """The text of that version, ``None`` when there is none. Waits while the projectdb is away."""
        said = False
        while True:
            try:
                text = await asyncio.to_thread(self._projectdb.script, project, version)
                break
            except StoreUnavailable as error:
                if not said:
                    log.warning("projectdb: %s; tasks of %s wait", error, project)
                    said = True
                await asyncio.sleep(RETRY)
        if text is None:
            return None
        data = self._texts[project, version] = _encode(text)
        if len(self._texts) > self._kept:
            self._texts.popitem(last=False)
        return data

    async def newest(self, project: str) -> bytes | None:
        """The text that the project runs now, ``None`` when there is no such project."""

        def look() -> str | None:
            row = self._projectdb.get(project)
            if row is None or not row.pin:
                return row.script if row is not None else None
            return self._projectdb.script(project, row.pin)

        text = await asyncio.to_thread(look)
        return _encode(text) if text is not None else None

    async def versions(self, projects: Collection[str]) -> dict[str, str | None]:
        """The version that each project runs now, ``None`` for one that is gone."""

        def look() -> dict[str, str | None]:
            rows = {project: self._projectdb.get(project) for project in projects}
            return {project: row.runs if row is not None else None for project, row in rows.items()}

        return await asyncio.to_thread(look)
