"""The data path as a directory: making it, and who runs on it.

Two locks: one run (`all` or `one`) a data path, one scheduler a data path. A lock goes with its process.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from crawlkit.libs.errors import UsageError

RUN_LOCK = "run.lock"
SCHEDULER_LOCK = "scheduler.lock"


def make_data_path(path: Path) -> Path:
    """Creates the directory; raises :class:`UsageError` in words."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"data path {path}: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise UsageError(f"data path {path}: not writable for this user")
    return path


class Lock:
    """A lock on a file, held by this process and not by its children (POSIX record lock)."""

    def __init__(self, path: Path, name: str) -> None:
        """Takes it at once, or raises :class:`UsageError` that says who holds it. ``name``: what runs here."""
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from None
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._fd, 200).decode("utf-8", "replace").strip() or "another process"
            os.close(self._fd)
            raise UsageError(
                f"{holder} runs on data path {path.parent} already; stop it first, or use another --data-path"
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{name} (pid {os.getpid()})\n".encode(), 0)

    def release(self) -> None:
        """Closes the file, which ends the lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
