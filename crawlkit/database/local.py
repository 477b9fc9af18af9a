"""A folder of handler scripts as a projectdb [R18]: ``local+projectdb://scripts/*.py,more/*.py``. Read only.

A project is called like its file, is RUNNING, and has changed when its file has. ``# rate: 1.0`` and ``# burst: 3``
on lines of their own set its speed. A file that breaks the rules is a project that is stopped, and the log says why.
"""

from __future__ import annotations

import glob
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from crawlkit.database.base import ProjectRow, SettingRow, VersionRow
from crawlkit.database.rules import check_project, later, version_of
from crawlkit.libs.errors import InvalidProject, UsageError
from crawlkit.libs.task import check_project_name

log = logging.getLogger("projectdb")

_COMMENT = re.compile(r"^[ \t]*#[ \t]*(rate|burst|max_pages)[ \t]*:[ \t]*(\S+)[ \t]*\r?$", re.MULTILINE)
_READ_ONLY = "this projectdb is a folder of scripts: edit the file instead"
_NO_SETTINGS = "this projectdb is a folder of scripts, which keeps no settings: use another --projectdb"


class LocalProjectStore:
    """A :class:`~crawlkit.database.base.ProjectStore` that nobody can write to."""

    def __init__(self, patterns: Sequence[str]) -> None:
        if not patterns:
            raise UsageError("local+projectdb://: give one or more patterns of script files, such as scripts/*.py")
        self._patterns = patterns
        self._cache: dict[Path, tuple[tuple[int, int, int], ProjectRow | None]] = {}  # (mtime, size, inode)

    def put(self, row: ProjectRow, author: str = "", message: str = "") -> ProjectRow:
        """Always raises :class:`UsageError`."""
        raise UsageError(f"project {row.name}: {_READ_ONLY}")

    def get(self, name: str) -> ProjectRow | None:
        return next((row for row in self.all() if row.name == name), None)

    def all(self) -> list[ProjectRow]:
        """Every script that can be read; of two files with one name the first pattern's holds."""
        rows: dict[str, ProjectRow] = {}
        seen = set()
        for pattern in self._patterns:
            for name in sorted(glob.glob(pattern, recursive=True)):
                path = Path(name)
                row = self._row(path)
                seen.add(path)
                if row is not None:
                    rows.setdefault(row.name, row)
        self._cache = {path: known for path, known in self._cache.items() if path in seen}
        return [rows[name] for name in sorted(rows)]

    def _row(self, path: Path) -> ProjectRow | None:
        try:
            stat = path.stat()
            state = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            known = self._cache.get(path)
            if known is not None and known[0] == state:
                return known[1]
            script = path.read_bytes().decode("utf-8-sig", "replace")
        except OSError:
            return None  # a directory, gone since it was listed, or not for us to read
        row = _row_of(path, script, stat.st_mtime)
        if row is not None and known is not None and known[1] is not None:
            # A file that was put back, or copied with its time, has changed as well.
            row.updatetime = later(row.updatetime, known[1].updatetime)
        self._cache[path] = (state, row)
        return row

    def changed_since(self, updatetime: float) -> list[ProjectRow]:
        return sorted((row for row in self.all() if row.updatetime > updatetime), key=lambda row: row.updatetime)

    def names(self) -> list[str]:
        return [row.name for row in self.all()]

    def drop(self, name: str) -> bool:
        """Always raises :class:`UsageError`."""
        raise UsageError(f"project {name}: {_READ_ONLY}")

    def versions(self, name: str) -> list[VersionRow]:
        row = self.get(name)
        return [] if row is None else [VersionRow(name, row.version, row.script, row.updatetime)]

    def script(self, name: str, version: str) -> str | None:
        row = self.get(name)
        return row.script if row is not None and row.version == version else None

    def settings(self, name: str) -> dict[str, SettingRow]:
        """Always none."""
        return {}

    def put_setting(self, name: str, setting: SettingRow) -> None:
        """Always raises :class:`UsageError`."""
        raise UsageError(f"project {name}: {_NO_SETTINGS}")

    def remove_setting(self, name: str, setting: str) -> bool:
        """Always raises :class:`UsageError`."""
        raise UsageError(f"project {name}: {_NO_SETTINGS}")

    def close(self) -> None:
        """Nothing to let go of."""


def _row_of(path: Path, script: str, updatetime: float) -> ProjectRow | None:
    """The project of a file; stopped when the file breaks the rules, ``None`` when that is its name."""
    try:
        return project_of(path.stem, script, updatetime)
    except InvalidProject as error:
        log.warning("%s: %s", path, error)
        try:
            check_project_name(path.stem)
        except InvalidProject:
            return None
        row = ProjectRow(name=path.stem, status="STOP", script=script, comments=str(error), updatetime=updatetime)
        row.version = version_of(script)
        return row


def project_of(name: str, script: str, updatetime: float) -> ProjectRow:
    """The project that a script file is; raises :class:`InvalidProject` in words."""
    row = ProjectRow(name=name, status="RUNNING", script=script, version=version_of(script), updatetime=updatetime)
    for word, value in _COMMENT.findall(script):
        unlimited = word != "burst" and value == "unlimited"
        try:
            number = None if unlimited else int(value) if word == "max_pages" else float(value)
        except ValueError:
            raise InvalidProject(f"project {name}: '# {word}: {value}' is not a number") from None
        setattr(row, word, number)
        row.rate_set |= word != "max_pages"
    check_project(row)
    return row
