"""The process between the Playwright driver and Chromium: when one of them or the service is gone, nothing is left.

Run as a script by a bare interpreter (``python -I -S guard.py CHROMIUM ARGUMENTS``), so it imports nothing of ours.
Chromium's processes are its descendants, also those whose parents died, and it ends when they all have. It can be asked
to end them by SIGTERM.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import sys
import time

SERVICE = "CRAWLKIT_BROWSER_SERVICE"  # environment: the pid of the service
HOME = "CRAWLKIT_BROWSER_HOME"  # environment: the folder of this browser, removed at the end
PID_FILE = "guard.pid"  # in that folder
LOOK = 0.5  # seconds between looks where the kernel tells nothing
KEPT_CODE = 125

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_CAP_SYS_NICE = 23
_PR_SET_CHILD_SUBREAPER = 36


def main(argv: list[str]) -> int:
    """The exit code of Chromium, as a shell would say it."""
    home = os.environ.pop(HOME, "")
    service = int(os.environ.pop(SERVICE, "0"))
    driver = os.getppid()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    wake = _wake_pipe()
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C is for the service
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    chromium = _start(argv, os.getpid())
    if home:
        _write(os.path.join(home, PID_FILE), str(os.getpid()))
    watched = {pid: _pidfd(pid) for pid in (service, driver) if pid}
    _let_go()
    code: int | None = None
    while code is None and not asked and all(_lives(pid, fd) for pid, fd in watched.items()):
        _wait([fd for fd in watched.values() if fd >= 0] + [wake], complete=all(fd >= 0 for fd in watched.values()))
        with contextlib.suppress(BlockingIOError):
            os.read(wake, 4096)
        code = _reap(chromium, code)
    code = _end_all(chromium, code)
    if service and not _lives(service, watched[service]):
        _kill(driver, watched[driver])  # frozen, it would stay for ever
    if home:
        shutil.rmtree(home, ignore_errors=True)
    return KEPT_CODE if code is None else code


def _start(argv: list[str], guard: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        _prctl(_PR_CAPBSET_DROP, _CAP_SYS_NICE)  # as root, Chromium would put itself before everything else here
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == guard:
            os.execv(argv[0], argv)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    os._exit(126)


def _let_go() -> None:
    """The pipes are Chromium's: who kept them open would hide that an end of them is gone."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(5):
        if descriptor != null:
            with contextlib.suppress(OSError):
                if descriptor <= 2:
                    os.dup2(null, descriptor)
                else:
                    os.close(descriptor)


def _wake_pipe() -> int:
    """Written to by the interpreter at each signal."""
    reader, writer = os.pipe()
    if min(reader, writer) < 5:  # where Chromium's pipes are not there: never mistake our own for them
        reader, writer = (_above(fd) for fd in (reader, writer))
    for descriptor in (reader, writer):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(writer)
    return reader


def _above(descriptor: int) -> int:
    import fcntl

    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 5)
    os.close(descriptor)
    return moved


def _wait(descriptors: list[int], *, complete: bool) -> None:
    with contextlib.suppress(InterruptedError):
        select.select(descriptors, [], [], None if complete else LOOK)


def _pidfd(pid: int) -> int:
    """-1 where there are none, and for a process that is gone."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def _lives(pid: int, descriptor: int) -> bool:
    if descriptor >= 0:
        return not select.select([descriptor], [], [], 0)[0]
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _kill(pid: int, descriptor: int) -> None:
    with contextlib.suppress(OSError):
        if descriptor >= 0:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        elif os.getppid() == pid:
            os.kill(pid, signal.SIGKILL)


def _reap(chromium: int, code: int | None) -> int | None:
    """Collects what has ended; Chromium's exit code when it is among it."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == chromium:
                code = os.waitstatus_to_exitcode(status)
                code = 128 - code if code < 0 else code
    return code


def _end_all(chromium: int, code: int | None) -> int | None:
    """Kills until there is no descendant left: whose parent dies becomes our own child."""
    while True:
        code = _reap(chromium, code)
        children = _children()
        if not children:
            if sys.platform != "linux" and code is None:
                with contextlib.suppress(OSError):
                    os.kill(chromium, signal.SIGKILL)
                    os.waitpid(chromium, 0)
            return code
        for pid in children:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _write(path: str, text: str) -> None:
    with contextlib.suppress(OSError), open(f"{path}.tmp", "w") as file:
        file.write(text)
        file.flush()
        os.replace(f"{path}.tmp", path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
