"""How the supervisor starts a process: by a program of its own, or by a fork of a process that has all loaded.

Runs on the event loop. Every process has a session of its own: Ctrl-C is for the supervisor alone, and what belongs to
it can be killed as a whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from crawlkit.forkserver import PID, PLAIN, SIZE, WITH_ZYGOTE, Forks, Order

log = logging.getLogger(__name__)


class Process(Protocol):
    """A running child."""

    @property
    def pid(self) -> int: ...

    async def wait(self) -> int:
        """The exit code; minus a signal's number."""

    def send_signal(self, signal: int) -> None: ...


class Launcher:
    """Starts programs."""

    def begin(self) -> None:
        """Before the first start; to be called on the event loop."""

    def end(self) -> None:
        """After the last one has ended."""

    async def start(
        self, argv: Sequence[str], command: Sequence[str], env: Mapping[str, str], descriptors: Mapping[str, int]
    ) -> Process:
        """Starts ``argv``, with nothing on its standard input.

        ``descriptors`` are handed on; under these names its environment says which they are.
        """
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            env=_named(env, descriptors),
            pass_fds=list(descriptors.values()),
            start_new_session=True,
        )


class ForkLauncher(Launcher):
    """Has the fork server make the process where ``command`` says which command of crawlkit's it is.

    Starts programs when the server is gone. Linux only.
    """

    def __init__(self, forks: Forks) -> None:
        self._control = forks.control
        self._control.setblocking(False)
        self._served = True
        self._ours: set[int] = set()  # pids that somebody waits for
        self._starting = 0  # forks under way, whose pids are not known yet

    def begin(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def end(self) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)
        self._control.close()  # which ends the server

    async def start(
        self, argv: Sequence[str], command: Sequence[str], env: Mapping[str, str], descriptors: Mapping[str, int]
    ) -> Process:
        if command and self._served:
            self._starting += 1
            try:
                pid = await self._fork(command, env, descriptors)
                if pid is not None:
                    return self._taken(pid)
            finally:
                self._starting -= 1
                self._reap()
        started = subprocess.Popen(  # noqa: ASYNC220 - asyncio's would wait for it in a thread of its own
            argv,
            stdin=subprocess.DEVNULL,
            env=_named(env, descriptors),
            pass_fds=list(descriptors.values()),
            start_new_session=True,
        )
        return self._taken(started.pid, started)

    async def _fork(self, command: Sequence[str], env: Mapping[str, str], descriptors: Mapping[str, int]) -> int | None:
        """The new process's pid; ``None``: nothing can be forked, now or any more."""
        order = msgspec.msgpack.encode(Order(list(command), dict(env), list(descriptors)))
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        with ours:
            try:
                with theirs:
                    kind = WITH_ZYGOTE if command[0] == "processor" else PLAIN
                    socket.send_fds(self._control, [kind], [theirs.fileno()])
                said = await loop.sock_recv(ours, PID.size)
                pid = PID.unpack(said)[0] if len(said) == PID.size else 0
                if pid > 0:
                    # a process that ends before it has read this is found dead by who waits for it
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        socket.send_fds(ours, [SIZE.pack(len(order))], list(descriptors.values()))
                        await loop.sock_sendall(ours, order)
                    return int(pid)
            except OSError:
                pid = 0
        if pid < 0:
            log.warning("the fork server cannot fork: %s", os.strerror(-pid))
        else:
            self._served = False
            log.warning("the fork server is gone: from now on each component is started anew")
        return None

    def _taken(self, pid: int, program: subprocess.Popen[bytes] | None = None) -> Process:
        self._ours.add(pid)
        return _Waited(pid, self._over, program)

    def _over(self, pid: int) -> None:
        self._ours.discard(pid)
        self._reap()

    def _reap(self) -> None:
        """Collects children that nobody waits for: the server, and what dead components left behind."""
        while not self._starting:
            try:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if dead is None or dead.si_pid in self._ours:
                return  # who waits for it comes back here
            os.waitpid(dead.si_pid, 0)


class _Waited:
    """A child, waited for by its descriptor."""

    def __init__(self, pid: int, over: Callable[[int], None], program: subprocess.Popen[bytes] | None) -> None:
        self.pid = pid
        self._over = over
        self._program = program
        self._descriptor = os.pidfd_open(pid)
        self._code: int | None = None

    async def wait(self) -> int:
        if self._code is None:
            loop = asyncio.get_running_loop()
            ended = loop.create_future()
            loop.add_reader(self._descriptor, _set, ended)
            try:
                await ended
            finally:
                loop.remove_reader(self._descriptor)
            _, status = os.waitpid(self.pid, 0)  # noqa: ASYNC222 - it has ended
            os.close(self._descriptor)
            self._code = os.waitstatus_to_exitcode(status)
            if self._program is not None:
                self._program.returncode = self._code  # so that it does not look for itself
            self._over(self.pid)
        return self._code

    def send_signal(self, signal: int) -> None:
        if self._code is None:
            os.kill(self.pid, signal)


def _set(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


def _named(env: Mapping[str, str], descriptors: Mapping[str, int]) -> dict[str, str]:
    return {**env, **{name: str(descriptor) for name, descriptor in descriptors.items()}}
