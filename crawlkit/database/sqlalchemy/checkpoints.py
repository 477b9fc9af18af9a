"""Copies SQLite's write-ahead log into the database file in a thread of its own, so that no commit waits for it.

SQLite itself lets the commit that finds the log long do this: a pause of a tenth of a second and more, every few
thousand rows. It still does so when the log grows much longer than it should, so nothing here may be relied upon.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress

ROWS = 16_000  # changed between two checkpoints; a row is rarely more than a page of the log, of 4 KB
ROUNDS = 5  # each copies what came during the one before, until so little is left that the writers hardly wait for it
PATIENCE = 0.03  # seconds a checkpoint may hold up a commit, to bring the log to its end


class Checkpoints:
    """Of one database file. ``connect`` opens a connection to it, to be used by another thread."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], rows: int = ROWS) -> None:
        self._connect = connect
        self._rows = rows
        self._changed = 0
        self._due = threading.Event()
        self._closed = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def committed(self, rows: int) -> None:
        """A transaction that changed so many rows was committed. Returns at once."""
        if rows <= 0:
            return
        with self._lock:
            self._changed += rows
            if self._changed < self._rows or self._closed:
                return
            self._changed = 0
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
                self._thread.start()
        self._due.set()

    def close(self) -> None:
        """Ends the thread, and waits for that."""
        with self._lock:
            self._closed = True
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with suppress(sqlite3.Error):  # then commits copy the log, and say what is wrong
            connection = self._connect()
            try:
                connection.execute(f"PRAGMA busy_timeout = {int(PATIENCE * 1000)}")
                while self._due.wait() and not self._closed:
                    self._due.clear()
                    with suppress(sqlite3.OperationalError):
                        _checkpoint(connection)
            finally:
                connection.close()
        with self._lock:
            self._closed = True


def _checkpoint(connection: sqlite3.Connection) -> None:
    # Most of it while others go on writing; then the little that came meanwhile, with the writers kept out: only a log
    # that is copied to its end is begun anew from its start. A round that finds nothing new costs nothing.
    for _ in range(ROUNDS):
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
