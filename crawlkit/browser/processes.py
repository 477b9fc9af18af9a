"""The processes of one browser: how much memory they use, which is a page's, and their certain end.

Between the driver and Chromium runs :mod:`crawlkit.browser.guard`, whose descendants they are. Reads /proc by psutil.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from crawlkit.browser import guard

PREFIX = "crawlkit-browser-"
LOCK = "lock"
MAX_BASE = 28  # characters; a socket's path has 103 at most (108 on Linux), and Chromium needs 46 of them
SETTLE = 2.0  # seconds for the kernel to take away what was killed


class Home:
    """The folder of a service: profiles, downloads, the starter of browsers. What a killed service left, it removes.

    ``guarded`` is False where no program can be started from it (``noexec``): then browsers run without a guard.
    """

    def __init__(self, chromium: str) -> None:
        base = _base()
        _sweep(base)
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getuid()}-", dir=base))
        self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        starter = self.path / "start"
        words = [sys.executable, "-I", "-S", str(Path(guard.__file__).absolute())]
        starter.write_text(f'#!/bin/sh\nexec {shlex.join(words)} {shlex.quote(chromium)} "$@"\n')
        starter.chmod(0o700)
        self.guarded = not os.statvfs(self.path).f_flag & os.ST_NOEXEC
        self.program = str(starter) if self.guarded else chromium
        self._browsers = 0

    def browser(self) -> Path:
        """A folder for one browser."""
        self._browsers += 1
        path = self.path / str(self._browsers)
        path.mkdir()
        return path

    def files(self) -> Path:
        """The folder of downloads."""
        path = self.path / "files"
        path.mkdir(exist_ok=True)
        return path

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _base() -> Path:
    """Where temporary files go; somewhere nearer where the paths of Chromium's sockets would be too long there."""
    base = tempfile.gettempdir()
    near = "/tmp"
    return Path(near if len(base) > MAX_BASE and os.access(near, os.W_OK | os.X_OK) else base)


def _sweep(base: Path) -> None:
    """Folders of services that are gone."""
    for path in base.glob(f"{PREFIX}{os.getuid()}-*"):
        with contextlib.suppress(OSError), _opened(path / LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class Tree:
    """All processes below one, that one included."""

    def __init__(self, root: int) -> None:
        self.pid = root
        try:
            self._root: psutil.Process | None = psutil.Process(root)
        except psutil.NoSuchProcess:
            self._root = None

    @classmethod
    def of(cls, home: Path, driver_parent: int) -> Tree:
        """The tree of the browser in ``home``; without a guard, of the newest driver of this process."""
        try:
            return cls(int((home / guard.PID_FILE).read_text()))
        except (OSError, ValueError):
            drivers = psutil.Process(driver_parent).children()
            newest = max(drivers, key=lambda one: one.create_time(), default=None)
            return cls(newest.pid if newest is not None else -1)

    def processes(self) -> list[psutil.Process]:
        """Those that live now, the root first."""
        if self._root is None:
            return []
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def memory(self) -> tuple[int, dict[int, int]]:
        """Bytes that they have for themselves, all together, and those of each page's process by its pid."""
        total, pages = 0, {}
        for one in self.processes():
            with contextlib.suppress(psutil.Error):
                used = one.memory_info()
                own = used.rss - getattr(used, "shared", 0)
                total += own
                if "--type=renderer" in one.cmdline():
                    pages[one.pid] = own
        return total, pages

    def driver(self) -> int | None:
        """The pid of the Playwright driver that started the root."""
        try:
            return self._root.ppid() if self._root is not None else None
        except psutil.NoSuchProcess:
            return None

    def kill(self) -> None:
        """Ends all, whatever state they are in. Blocks for :data:`SETTLE` seconds at most."""
        gone = self.processes()
        if not gone:
            return
        root = gone[0]
        with contextlib.suppress(psutil.Error):
            root.send_signal(signal.SIGTERM)  # the guard ends its descendants, those that hide too
            root.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + SETTLE
        _, left = psutil.wait_procs(gone, timeout=SETTLE / 2)
        for one in left:
            with contextlib.suppress(psutil.Error):
                one.kill()
        psutil.wait_procs(left, timeout=max(deadline - time.monotonic(), 0.1))


def kill(pid: int | None) -> None:
    """One process, if it is there."""
    if pid is not None:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def own_memory() -> int:
    """Bytes of this process and all below it."""
    total, _ = Tree(os.getpid()).memory()
    return total
