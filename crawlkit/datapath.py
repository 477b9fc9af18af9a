"""The files of a data path that are no database: who runs on it, and where its scheduler answers.

Two locks: one run (`all` or `one`) a data path, one scheduler a data path. A lock goes with its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path

from crawlkit.libs.errors import ServiceUnreachable, UsageError

RUN_LOCK = "run.lock"
SCHEDULER_LOCK = "scheduler.lock"
ADDRESS = "scheduler.json"


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


@dataclass(frozen=True)
class Address:
    """Where a scheduler answers, and the token it asks for."""

    url: str
    token: str


def write_address(data_path: Path, address: Address) -> None:
    """Publishes the scheduler's address for the commands on this machine, readable by this user only."""
    target = data_path / ADDRESS
    fresh = target.with_name(f".{ADDRESS}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump({"url": address.url, "token": address.token, "pid": os.getpid()}, file)
    fresh.replace(target)


def read_address(data_path: Path) -> Address:
    """The published address; raises :class:`ServiceUnreachable` that says how to start a scheduler."""
    path = data_path / ADDRESS
    try:
        value = json.loads(path.read_text())
        return Address(str(value["url"]), str(value["token"]))
    except FileNotFoundError:
        raise ServiceUnreachable(no_scheduler(data_path)) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ServiceUnreachable(f"{path}: cannot be read: {error}") from None


def remove_address(data_path: Path) -> None:
    """At the end of a scheduler; another one's address stays."""
    path = data_path / ADDRESS
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if json.loads(path.read_text())["pid"] == os.getpid():
            path.unlink()


def no_scheduler(data_path: Path) -> str:
    """What to say when no scheduler answers."""
    option = "" if data_path == Path("data") else f"--data-path {data_path} "
    return f"no scheduler runs on data path {data_path}; start one with: crawlkit {option}all"
