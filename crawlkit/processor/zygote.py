"""The process that workers are forked from: one thread, the libraries loaded, nothing of anybody's data.

Runs as ``python -m crawlkit.processor.zygote FD``, or is forked with its processor. Forks on request, collects what
dies and says how. It runs no handler code and opens nothing; when the service's end of the socket closes, it kills
every worker and goes.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import selectors
import signal
import socket
import struct
import sys

import msgspec

from crawlkit.process_title import renew_environment

REPORT = struct.Struct("<BQqq")  # kind, worker id, pid, wait status
READY, FORKED, EXITED, NO_FORK = range(4)
REQUEST_MAX = 65_536
SIZE = struct.Struct("<I")  # what goes before the surroundings: their length
SWEEP = 2.0  # seconds between looks for orphans while there are workers

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Surroundings(msgspec.Struct):
    """What a zygote that was forked is told."""

    environment: dict[str, str]
    path: list[str]  # sys.path


def prctl(option: int, value: int) -> None:
    """Linux's prctl(2); does nothing elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """This process is killed when ``parent``, which forked it, dies. Not on macOS."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Descendants whose parents die become children of this process, where they can be found. Not on macOS."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children() -> list[int]:
    """The pids of this process's children, dead ones included; ``[]`` where the kernel does not tell."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


class Zygote:
    """The loop: requests and SIGCHLD come in, forks and reports go out."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._workers: dict[int, int] = {}  # pid -> id
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)

    def run(self) -> None:
        """Until the service hangs up."""
        adopt_orphans()
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler must exist for the wake-up to be written
        signal.set_wakeup_fd(self._wake_write)
        self._report(READY, 0, os.getpid(), 0)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while True:
                ready = selector.select(SWEEP if self._workers else None)
                for key, _ in ready:
                    if key.fileobj is self._control:
                        if not self._request(selector):
                            return
                    else:
                        with contextlib.suppress(BlockingIOError):
                            os.read(self._wake_read, 4096)
                self._collect()
                self._kill_orphans()

    def close(self) -> None:
        """Kills every worker and whatever they started."""
        for pid in list(self._workers):
            _kill_group(pid)
        while True:
            self._kill_orphans(everybody=True)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return

    def _request(self, selector: selectors.BaseSelector) -> bool:
        try:
            request, fds, _, _ = socket.recv_fds(self._control, REQUEST_MAX, 2)
        except ConnectionError:
            return False
        if not request:
            return False
        worker = int.from_bytes(request[:8], "little")
        try:
            pid = os.fork()
        except OSError as error:
            self._report(NO_FORK, worker, 0, error.errno or 0)
            pid = -1
        if pid == 0:
            self._become_worker(request[8:], fds, selector)
        for fd in fds:
            os.close(fd)
        if pid > 0:
            self._workers[pid] = worker
            self._report(FORKED, worker, pid, 0)
        return True

    def _become_worker(self, config: bytes, fds: list[int], selector: selectors.BaseSelector) -> None:
        """In the child. Never returns."""
        code = 1
        try:
            parent = os.getppid()
            os.setsid()
            die_with_parent(parent)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            selector.close()
            self._control.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            from crawlkit.processor import worker_process

            worker_process.main(config, *fds)
            code = 0
        finally:
            os._exit(code)

    def _collect(self) -> None:
        """Reports every worker that died; its process group dies with it."""
        while (dead := _next_dead()) is not None:
            pid, status = dead
            if status is None:
                if pid in self._workers:
                    _kill_group(pid)  # before it is collected: until then nobody else can have its number
                _, status = os.waitpid(pid, 0)
            elif pid in self._workers:
                _kill_group(pid)
            worker = self._workers.pop(pid, None)
            if worker is not None:
                self._report(EXITED, worker, pid, status)

    def _kill_orphans(self, everybody: bool = False) -> None:
        """Kills children that are no workers: what a dead worker's callbacks left in sessions of their own."""
        for pid in children():
            if pid in self._workers and not everybody:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _report(self, kind: int, worker: int, pid: int, status: int) -> None:
        with contextlib.suppress(ConnectionError):  # the service is gone; the next read says so
            self._control.sendall(REPORT.pack(kind, worker, pid, status))


def _next_dead() -> tuple[int, int | None] | None:
    """A child that has died; its wait status is ``None`` while it is not collected."""
    try:
        if hasattr(os, "waitid"):
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            return None if dead is None else (dead.si_pid, None)
        pid, status = os.waitpid(-1, os.WNOHANG)  # macOS before Python 3.13
        return (pid, status) if pid else None
    except ChildProcessError:
        return None


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def main(argv: list[str]) -> int:
    """Entry point: ``argv[1]`` is the file descriptor of the socket to the service."""
    control = socket.socket(fileno=int(argv[1]))
    os.set_inheritable(control.fileno(), False)
    return _live(control)


def load() -> None:
    """What workers need is loaded once, before they are forked."""
    from crawlkit.processor.preloading import load_pyquery

    load_pyquery()
    import crawlkit.processor.worker_process  # noqa: F401


def main_forked(control: socket.socket) -> int:
    """The same in a process that was forked, which has to be told what an interpreter finds when it starts."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)  # as one that is started anew has it
    os.close(null)
    surroundings = _receive(control)
    if surroundings is None:
        return 0
    renew_environment(surroundings.environment)
    sys.path[:] = surroundings.path
    return _live(control)


def _receive(control: socket.socket) -> Surroundings | None:
    """The service's first words; ``None``: it hung up."""
    with contextlib.suppress(ConnectionError):
        head = control.recv(SIZE.size, socket.MSG_WAITALL)
        if len(head) == SIZE.size:
            (size,) = SIZE.unpack(head)
            body = control.recv(size, socket.MSG_WAITALL)
            if len(body) == size:
                return msgspec.msgpack.decode(body, type=Surroundings)
    return None


def _live(control: socket.socket) -> int:
    control.setblocking(True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the service decides when this ends; its end of the socket says so
    load()
    gc.collect()
    gc.freeze()  # so that collections in the workers leave these pages shared
    zygote = Zygote(control)
    try:
        zygote.run()
    finally:
        zygote.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
