"""The service's side of the zygote: starts it, asks it for workers, hears from it what died.

Runs on the event loop. It decides nothing: what a death means is for the pool to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from crawlkit.libs.errors import CrawlkitError
from crawlkit.libs.malloc import MALLOC
from crawlkit.processor import zygote

START_TIMEOUT = 30.0  # seconds to import the libraries on a busy machine
CLOSE_TIMEOUT = 3.0
#: What handlers may know of the environment. Proxies are not in it: their URLs may hold passwords.
PASSED_ON = ("PATH", "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


class ZygoteEvents(Protocol):
    """Who wants to hear from a zygote. All calls come from the event loop."""

    def forked(self, worker: int, pid: int) -> None: ...

    def not_forked(self, worker: int, problem: str) -> None: ...

    def exited(self, worker: int, status: int) -> None: ...

    def zygote_gone(self) -> None: ...


def clean_environment(source: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of the workers: no database URL, no key, nothing that was not asked for."""
    environment = {name: source[name] for name in PASSED_ON if name in source}
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    environment.update(MALLOC)
    environment.update(extra)
    return environment


@dataclass(frozen=True)
class ForkedZygote:
    """A zygote that was forked with this process, before it knew anything; it waits for its surroundings."""

    control: socket.socket
    pid: int


class ZygoteClient:
    """One zygote process. After :meth:`ZygoteEvents.zygote_gone` a new one is needed.

    ``forked``: one that is there already.
    """

    def __init__(
        self, events: ZygoteEvents, environment: Mapping[str, str], forked: ForkedZygote | None = None
    ) -> None:
        self._events = events
        self._environment = environment
        self._forked = forked
        self._process: subprocess.Popen[bytes] | _Child | None = None
        self._control: socket.socket | None = None
        self._rest = b""
        self._ready: asyncio.Future[None] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id, ``None`` before the start and after the end."""
        return self._process.pid if self._process is not None and self._control is not None else None

    async def start(self) -> None:
        """Starts the process and waits until it can fork; raises :class:`CrawlkitError` when it does not come up."""
        ours = self._take_forked() if self._forked is not None else self._start_anew()
        ours.setblocking(False)
        self._control = ours
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        loop.add_reader(ours, self._readable)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await self._ready
        except TimeoutError:
            self._lost()
            raise CrawlkitError(f"the zygote did not start within {START_TIMEOUT:.0f} s") from None

    def _start_anew(self) -> socket.socket:
        """Starts a process; the socket to it."""
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "crawlkit.processor.zygote", str(theirs.fileno())]
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=dict(self._environment),
                start_new_session=True,  # a Ctrl-C in the terminal is for the service
            )
        finally:
            theirs.close()
        return ours

    def _take_forked(self) -> socket.socket:
        """Tells the zygote that is there where it is; the socket to it."""
        assert self._forked is not None
        ours = self._forked.control
        self._process = _Child(self._forked.pid)
        path = dict.fromkeys([*self._environment["PYTHONPATH"].split(os.pathsep), *sys.path])
        surroundings = msgspec.msgpack.encode(zygote.Surroundings(dict(self._environment), list(path)))
        with contextlib.suppress(OSError):  # it is gone: the next read says so
            ours.sendall(zygote.SIZE.pack(len(surroundings)) + surroundings)
        return ours

    def fork(self, worker: int, config: bytes, fds: list[int]) -> bool:
        """Asks for a worker with the given number; the answer comes as an event. ``False``: there is no zygote."""
        if self._control is None:
            return False
        try:
            socket.send_fds(self._control, [worker.to_bytes(8, "little") + config], fds)
        except OSError:
            return False  # its end is on its way as an event
        return True

    async def close(self) -> None:
        """Hangs up, which kills all workers, and waits until the process is gone."""
        process = self._process
        self._hang_up()
        if process is None:
            return
        try:
            await asyncio.to_thread(process.wait, CLOSE_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
        self._process = None

    def _readable(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        data = self._rest + data
        size = zygote.REPORT.size
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        for kind, worker, pid, status in zygote.REPORT.iter_unpack(data[:whole]):
            self._report(kind, worker, pid, status)

    def _report(self, kind: int, worker: int, pid: int, status: int) -> None:
        if kind == zygote.FORKED:
            self._events.forked(worker, pid)
        elif kind == zygote.EXITED:
            self._events.exited(worker, status)
        elif kind == zygote.NO_FORK:
            self._events.not_forked(worker, os.strerror(status))
        elif kind == zygote.READY and self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def _hang_up(self) -> None:
        if self._control is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None

    def _lost(self) -> None:
        self._hang_up()
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)  # it was killed: this collects it
            self._process = None
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(CrawlkitError("the zygote died while it started; its last words are on stderr"))
            return
        self._events.zygote_gone()


class _Child:
    """A process that was forked, as :class:`subprocess.Popen` has it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)
        self._over = False

    def wait(self, timeout: float | None = None) -> int:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if not self._over:
            if not poll.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired("zygote", timeout or 0)
            os.waitpid(self.pid, 0)
            os.close(self._descriptor)
            self._over = True
        return 0

    def kill(self) -> None:
        if not self._over:
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
