"""Keeps the components of ``crawlkit all`` alive: starts each as a child process, starts it again when it dies.

Knows nothing of crawling. The first restart comes at once, quick deaths one after the other wait longer and longer;
at the end every child and its descendants are gone, whether the supervisor was asked to stop or was killed itself.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import inspect
import logging
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crawlkit.launching import ForkLauncher, Launcher, Process
from crawlkit.libs.clock import Clock, SystemClock

if TYPE_CHECKING:
    from crawlkit.forkserver import Forks

log = logging.getLogger(__name__)

SETTLED = 5.0  # seconds after which a child counts as running well
FIRST_DELAY = 0.5  # seconds before the second restart in a row; doubles up to
LAST_DELAY = 3.0  # so that it is back within 5 s however often it was killed
GRACE = 8.0  # seconds from SIGTERM to SIGKILL
LAST_WAIT = 1.5  # seconds for the kernel to take away what was killed
USAGE = 2  # exit code of who cannot start as it was asked to
FAILED = 1
LIFELINE = "CRAWLKIT_LIFELINE"  # environment: the descriptor whose end of file means that the supervisor is gone
DOOR = "CRAWLKIT_DOOR"  # environment: the descriptor of a listening socket
READY = "CRAWLKIT_READY"  # environment: the descriptor to which a child writes a byte when it does its work
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class ChildSpec:
    """A process to keep running. ``env`` is added to the supervisor's own environment.

    ``command``: the arguments of the same process as a command of crawlkit's, for a supervisor that can fork it.

    With ``door``, a socket that listens, it is started when somebody comes, and again when somebody comes after it has
    ended; it takes the socket over by :func:`given_door`. Exit code 0 is then no death.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    door: socket.socket | None = None
    command: Sequence[str] = ()


@dataclass(frozen=True)
class Death:
    """A child ended without having been asked to."""

    name: str
    pid: int
    returncode: int  # negative: minus the signal's number
    uptime: float  # seconds


@dataclass
class ChildStatus:
    """How a child is doing."""

    name: str
    pid: int | None = None  # None: it does not run now
    started: float = 0  # Unix time of its latest start
    ready: bool = False  # it said so since then
    deaths: int = 0


class Backoff:
    """How long to wait before a child is started again. Pure."""

    def __init__(self, first: float = FIRST_DELAY, last: float = LAST_DELAY, settled: float = SETTLED) -> None:
        self.first = first
        self.last = last
        self.settled = settled
        self._delay = 0.0

    def after(self, uptime: float) -> float:
        """Seconds to wait after a life of ``uptime`` seconds: at first none, then more with each quick death."""
        if uptime >= self.settled:
            self._delay = 0.0
        delay = self._delay
        self._delay = min(self.last, max(self.first, delay * 2))
        return delay


class Supervisor:
    """Runs ``children``, started in their order, until it is stopped.

    ``on_death`` is called (and awaited, beside the restart) when a child dies. A child that ends with exit code 2
    soon after its very first start cannot do what it was asked to: then everything stops and the exit code is 2.
    ``forks``: a server that the children are forked from.
    """

    def __init__(
        self,
        children: Sequence[ChildSpec],
        *,
        on_death: Callable[[Death], Awaitable[None] | None] | None = None,
        clock: Clock | None = None,
        grace: float = GRACE,
        backoff: Callable[[], Backoff] = Backoff,
        forks: Forks | None = None,
    ) -> None:
        self.children = list(children)
        self.on_death = on_death
        self.clock = clock or SystemClock()
        self.grace = grace
        self.exit_code = 0
        self._new_backoff = backoff
        self._status = {child.name: ChildStatus(child.name) for child in self.children}
        self._processes: dict[str, Process] = {}
        self._launcher: Launcher = Launcher() if forks is None else ForkLauncher(forks)
        self._stopping = asyncio.Event()
        self._readier = asyncio.Event()  # set when a child says that it is ready
        self._killing = False
        self._told: set[asyncio.Task[None]] = set()
        if len(self._status) != len(self.children):
            raise ValueError("two children have the same name")

    def unready(self) -> list[str]:
        """The names of the children that have not said that they are ready."""
        on_demand = {child.name for child in self.children if child.door is not None}
        return [one.name for one in self._status.values() if not one.ready and one.name not in on_demand]

    async def until_readier(self) -> None:
        """Waits until the next child says that it is ready."""
        self._readier.clear()
        await self._readier.wait()

    def status(self) -> list[ChildStatus]:
        """How every child is doing, in the order of starting."""
        return list(self._status.values())

    async def run(self, handle_signals: bool = True) -> int:
        """Until :meth:`stop`, SIGTERM, SIGINT or SIGHUP; returns the exit code. A second signal kills at once."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) if handle_signals else ()
        for number in signals:
            loop.add_signal_handler(number, self._signalled, number)
        self._launcher.begin()
        keepers = [asyncio.create_task(self._keep(child)) for child in self.children]
        try:
            await self._until_stopped(keepers)
            await self._end(keepers)
        finally:
            self._kill()
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, *self._told, return_exceptions=True)
            for number in signals:
                loop.remove_signal_handler(number)
            self._launcher.end()
        return self.exit_code

    def stop(self) -> None:
        """Asks every child to end; who has not after ``grace`` seconds is killed."""
        self._stopping.set()

    # Inside.

    def _signalled(self, number: int) -> None:
        name = signal.Signals(number).name
        if self._stopping.is_set():
            log.warning("%s again: killing what still runs", name)
            self._kill()
        else:
            log.info("%s: stopping", name)
            self.stop()

    async def _until_stopped(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({stopping, *keepers}, return_when=asyncio.FIRST_COMPLETED)
            for keeper in keepers:
                if keeper.done():
                    keeper.result()  # an error nobody foresaw
        finally:
            stopping.cancel()

    async def _end(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        self._stopping.set()
        for process in self._processes.values():
            _signal(process, signal.SIGTERM)
        _, pending = await asyncio.wait(keepers, timeout=self.grace)
        if pending:
            log.warning("did not end within %g s and is killed: %s", self.grace, ", ".join(sorted(self._processes)))
            self.exit_code = self.exit_code or FAILED
            self._kill()
            await asyncio.wait(keepers, timeout=LAST_WAIT)

    def _kill(self) -> None:
        self._killing = True
        for process in self._processes.values():
            _kill_group(process.pid)

    async def _keep(self, child: ChildSpec) -> None:
        """Runs one child again and again."""
        status = self._status[child.name]
        backoff = self._new_backoff()
        while not self._stopping.is_set():
            if child.door is not None and not await self._knocked(child.door):
                return
            started = self.clock.monotonic()
            code, pid = await self._run_once(child, status)
            if self._stopping.is_set():
                return
            if child.door is not None and code == 0:
                continue
            death = Death(child.name, pid, code, self.clock.monotonic() - started)
            if code == USAGE and status.deaths == 0 and death.uptime < SETTLED and child.door is None:
                log.error("%s cannot start (exit code %d): stopping", child.name, code)
                self.exit_code = USAGE
                self.stop()
                return
            status.deaths += 1
            self._tell(death)
            delay = backoff.after(death.uptime)
            log.warning("%s (pid %d) %s after %.1f s; starting it again %s", child.name, pid, describe(code),
                        death.uptime, f"in {delay:g} s" if delay else "at once")  # fmt: skip
            if delay:
                with suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._stopping.wait()

    async def _knocked(self, door: socket.socket) -> bool:
        """Waits until somebody wants to connect; False: the stop came first."""
        loop = asyncio.get_running_loop()
        knock = asyncio.Event()
        loop.add_reader(door, knock.set)
        waits = {asyncio.create_task(knock.wait()), asyncio.create_task(self._stopping.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(door)
            for one in waits:
                one.cancel()
        return not self._stopping.is_set()

    async def _run_once(self, child: ChildSpec, status: ChildStatus) -> tuple[int, int]:
        """One life of a child: (exit code, pid)."""
        lifeline, write_end = os.pipe()
        told, tell = os.pipe()
        os.set_blocking(told, False)
        descriptors = {LIFELINE: lifeline, READY: tell}
        if child.door is not None:
            descriptors[DOOR] = child.door.fileno()
        try:
            env = {**os.environ, **child.env}
            process = await self._launcher.start(child.argv, child.command, env, descriptors)
        except OSError as error:
            log.error("%s: %s does not start: %s", child.name, child.argv[0], error.strerror or error)
            os.close(write_end)
            os.close(told)
            return USAGE, 0
        finally:
            os.close(lifeline)
            os.close(tell)
        self._processes[child.name] = process
        status.pid = process.pid
        status.started = self.clock.time()
        loop = asyncio.get_running_loop()
        loop.add_reader(told, self._heard, loop, told, status)
        if self._killing:
            _kill_group(process.pid)
        elif self._stopping.is_set():
            _signal(process, signal.SIGTERM)
        try:
            code = await process.wait()
        finally:
            _kill_group(process.pid)  # what it left behind
            os.close(write_end)
            loop.remove_reader(told)
            os.close(told)
            status.pid, status.ready = None, False
            del self._processes[child.name]
        return code, process.pid

    def _heard(self, loop: asyncio.AbstractEventLoop, told: int, status: ChildStatus) -> None:
        """A child wrote, or closed its end."""
        loop.remove_reader(told)
        status.ready = bool(os.read(told, 1))
        self._readier.set()

    def _tell(self, death: Death) -> None:
        answer = self.on_death(death) if self.on_death is not None else None
        if inspect.isawaitable(answer):
            task = asyncio.ensure_future(_logged(answer, death))
            self._told.add(task)
            task.add_done_callback(self._told.discard)


async def _logged(answer: Awaitable[None], death: Death) -> None:
    try:
        await answer
    except Exception:  # telling others must never end the supervision
        log.exception("telling of the death of %s failed", death.name)


def describe(returncode: int) -> str:
    """A returncode in words."""
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"


def _signal(process: Process, number: int) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
        os.killpg(pid, signal.SIGKILL)


def die_with_parent(environ: MutableMapping[str, str] | None = None) -> bool:
    """To be called first thing by a child: from now on it, and its process group, end when the supervisor is gone.

    Returns False, and does nothing, in a process that no supervisor started.
    """
    environ = os.environ if environ is None else environ
    lifeline = environ.pop(LIFELINE, None)  # not for grandchildren
    if lifeline is None:
        return False
    descriptor = int(lifeline)
    os.set_inheritable(descriptor, False)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if not _let_the_kernel_kill(descriptor):
        threading.Thread(target=_wait_for_end, args=(descriptor,), name="lifeline", daemon=True).start()
    elif select.select([descriptor], [], [], 0)[0]:
        _end_group()  # it was over before the kernel could be asked
    return True


def tell_ready(environ: MutableMapping[str, str] | None = None) -> None:
    """To be called by a child when it does its work, so that its supervisor knows; nothing without a supervisor."""
    descriptor = (os.environ if environ is None else environ).pop(READY, None)
    if descriptor is not None:
        with suppress(OSError):  # nobody listens any more
            os.write(int(descriptor), b"1")
            os.close(int(descriptor))


def given_door(environ: MutableMapping[str, str] | None = None) -> socket.socket | None:
    """The socket that the supervisor listens on for this child; ``None``: it has to make its own."""
    descriptor = (os.environ if environ is None else environ).pop(DOOR, None)
    if descriptor is None:
        return None
    os.set_inheritable(int(descriptor), False)
    return socket.socket(fileno=int(descriptor))


def _let_the_kernel_kill(descriptor: int) -> bool:
    """Asks for a SIGKILL to the whole group at the end of file: no thread of ours has to be able to run for it."""
    if sys.platform != "linux" or os.getpgrp() != os.getpid():
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError:
        return False
    return True


def _wait_for_end(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    _end_group()


def _end_group() -> None:
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(FAILED)
