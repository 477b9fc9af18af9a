"""The book of finished files of a project, in SQLite: what is in it is whole and has been on the disk.

Opened for each call, so that any number of processes may use it; a row is committed with an fsync.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from crawlkit.libs.errors import StoreUnavailable

PATIENCE = 30.0  # seconds to wait for another process
_TABLE = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, url TEXT NOT NULL, target TEXT NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL,
    etag TEXT, last_modified TEXT, final_url TEXT NOT NULL, content_type TEXT NOT NULL, run INTEGER NOT NULL,
    checked REAL NOT NULL
) WITHOUT ROWID
"""
_COLUMNS = "path, url, target, bytes, sha256, etag, last_modified, final_url, content_type, run, checked"


class Entry(Struct, kw_only=True):
    """A finished file."""

    path: str  # below the project's files
    bytes: int
    sha256: str
    url: str = ""  # "": not known, of a file that was taken over
    target: str = ""  # the ``to`` it was asked for with; "": taken over
    etag: str | None = None
    last_modified: str | None = None
    final_url: str = ""
    content_type: str = ""
    run: int = 0  # of the task that fetched it
    checked: float = 0  # when it was last known to be what the server has


class FileBook:
    """The rows of one project. Raises :class:`StoreUnavailable` when the database does not answer."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def find(self, url: str, target: str) -> Entry | None:
        """The file of this URL, under this target or taken over."""
        where = "url = ? AND target IN (?, '') ORDER BY target = '' LIMIT 1"
        return self._first(f"SELECT {_COLUMNS} FROM files WHERE {where}", (url, target))

    def at(self, path: str) -> Entry | None:
        """The file at this path."""
        return self._first(f"SELECT {_COLUMNS} FROM files WHERE path = ?", (path,))

    def put(self, *entries: Entry) -> None:
        """All of them are there, or none is."""
        marks = ", ".join("?" * len(Entry.__struct_fields__))
        rows = [tuple(getattr(entry, name) for name in _COLUMNS.split(", ")) for entry in entries]
        with self._open() as database:
            database.executemany(f"INSERT OR REPLACE INTO files ({_COLUMNS}) VALUES ({marks})", rows)

    def remove(self, path: str) -> None:
        with self._open() as database:
            database.execute("DELETE FROM files WHERE path = ?", (path,))

    def entries(self) -> list[Entry]:
        """All, by path."""
        if not self._file.exists():
            return []
        with self._open() as database:
            return [_entry(row) for row in database.execute(f"SELECT {_COLUMNS} FROM files ORDER BY path")]

    def _first(self, statement: str, values: tuple[str, ...]) -> Entry | None:
        if not self._file.exists():
            return None
        with self._open() as database:
            row = database.execute(statement, values).fetchone()
        return None if row is None else _entry(row)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection with a transaction that is committed at the end."""
        try:
            database = sqlite3.connect(self._file, timeout=PATIENCE)
            try:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")
                database.execute(_TABLE)
                database.execute("CREATE INDEX IF NOT EXISTS by_url ON files (url)")
                with database:
                    yield database
            finally:
                database.close()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self._file}: {error}") from None


def _entry(row: tuple[object, ...]) -> Entry:
    return Entry(**dict(zip(_COLUMNS.split(", "), row, strict=True)))  # type: ignore[arg-type]
