"""The data path as a directory: making it, and who runs on it.

Two locks: one run (`all` or `one`) a data path, one scheduler a data path. A lock goes with its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path

from crawlkit.libs.errors import UsageError

RUN_LOCK = "run.lock"
SCHEDULER_LOCK = "scheduler.lock"
SECRET_KEY = "secret.key"


def is_writable(path: Path) -> bool:
    """Whether this user can make files there; what is not can still be read."""
    return os.access(path, os.W_OK | os.X_OK)


def make_data_path(path: Path) -> Path:
    """Creates the directory; raises :class:`UsageError` in words."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)  # cookies and scripts are nobody else's business
    except OSError as error:
        raise UsageError(f"data path {path}: {error.strerror}") from None
    if not is_writable(path):
        raise UsageError(f"data path {path}: not writable for this user")
    return path


def secret_key(path: Path, given: str | None = None, *, make: bool = False) -> str | None:
    """The key that settings of projects are encrypted with: ``given``, else the file ``secret.key`` in the data path.

    ``make``: it is made when there is none (readable for its owner only); otherwise the answer is None then. Raises
    :class:`UsageError` in words.
    """
    if given:
        from crawlkit.libs.secrets import checked

        return checked(given)
    file = path / SECRET_KEY
    try:
        if make and not file.exists():
            _make_key(file, None)
        return file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise UsageError(f"{file}: no secret key") from None
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None


def put_secret_key(path: Path, key: str) -> None:
    """Keeps ``key`` in a data path that has none yet."""
    _make_key(path / SECRET_KEY, key)


def _make_key(file: Path, key: str | None) -> None:
    """Whoever comes first makes it: a link does not replace what is there, and shows the file only when whole."""
    from crawlkit.libs.secrets import new_key

    fd, draft = tempfile.mkstemp(dir=file.parent, prefix=".secret")  # mode 0600 from its birth
    try:
        with os.fdopen(fd, "w", encoding="ascii") as new:
            new.write((key or new_key()) + "\n")
            new.flush()
            os.fsync(new.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
    finally:
        os.unlink(draft)


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
