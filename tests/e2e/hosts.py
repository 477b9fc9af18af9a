"""Several hosts on one machine, each with an address of its own: network namespaces behind one switch.

A host's programs see its own loopback and one network, 10.77.0.0/24, on which only the other hosts of the same test
are. A host can be cut off (its cable is pulled: nothing is refused, packets are just gone) and lost (SIGKILL to all
that runs on it). Where the machine refuses namespaces the hosts are loopback addresses, and a host that is cut off is
one whose programs stand still; ``Lan.kind`` says which it is. CRAWLKIT_TEST_HOSTS=loopback asks for these.

Whatever way the test ends, also by SIGKILL, a guard process ends what runs on the hosts and removes them.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

NETNS = "/run/netns"
NAMESPACES, LOOPBACK = "network namespaces", "loopback addresses"
_numbers = itertools.count()


def _ip(*words: str, check: bool = True) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if check and done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Host:
    """One host of a :class:`Lan`."""

    def __init__(self, lan: Lan, name: str, address: str) -> None:
        self.lan, self.name, self.address = lan, name, address
        self.namespace = f"{lan.name}-{name}"
        self.programs: list[subprocess.Popen[bytes]] = []
        self.is_cut = False

    def command(self, argv: Sequence[str]) -> list[str]:
        """``argv`` as a command that runs on this host."""
        if self.lan.kind == LOOPBACK:
            return list(argv)
        return ["nsenter", f"--net={NETNS}/{self.namespace}", "--", *argv]

    def start(
        self, argv: Sequence[str], *, said: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts a program here, in a process group of its own; what it says is added to the file ``said``."""
        with said.open("ab") as file:
            program = subprocess.Popen(self.command(argv), env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=file,
                                       stderr=file, start_new_session=True)  # fmt: skip
        self.programs.append(program)
        self.lan.guard(program.pid)
        return program

    def run(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program here to its end."""
        return subprocess.run(self.command(argv), env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=timeout)  # fmt: skip

    def processes(self) -> list[psutil.Process]:
        """All that runs here."""
        if self.lan.kind == NAMESPACES:
            return _inside(self.namespace)
        found: dict[int, psutil.Process] = {}
        for program in self.programs:
            with contextlib.suppress(psutil.NoSuchProcess):
                top = psutil.Process(program.pid)
                found.update({one.pid: one for one in [top, *top.children(recursive=True)]})
        return [one for one in found.values() if one.status() != psutil.STATUS_ZOMBIE]

    def cut(self) -> None:
        """Pulls the cable."""
        self.is_cut = True
        if self.lan.kind == NAMESPACES:
            self.lan.switch("link", "set", self.name, "down")
        else:
            self._signal(signal.SIGSTOP)

    def join(self) -> None:
        """Plugs it in again."""
        self.is_cut = False
        if self.lan.kind == NAMESPACES:
            self.lan.switch("link", "set", self.name, "up")
        else:
            self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to all that runs here, again and again until nothing does."""
        deadline = time.monotonic() + 20
        while running := self.processes():
            for process in running:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            for program in self.programs:
                program.poll()
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name}: still running: {running}")
            time.sleep(0.02)
        for program in self.programs:
            program.wait(10)
        self.programs.clear()

    def _signal(self, number: signal.Signals) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


class Lan:
    """Hosts that reach one another, and nothing else. A context manager."""

    def __init__(self, names: Sequence[str], kind: str = "") -> None:
        self.name = f"ck{os.getpid()}x{next(_numbers)}"
        if not kind and os.environ.get("CRAWLKIT_TEST_HOSTS") == "loopback":
            kind = LOOPBACK
        self.kind = kind or (NAMESPACES if namespaces_work() else LOOPBACK)
        net = (
            "10.77.0" if self.kind == NAMESPACES else f"127.{77 + os.getpid() % 150}.{next(_numbers) % 250}"
        )  # others may run tests
        self.hosts = {name: Host(self, name, f"{net}.{number}") for number, name in enumerate(names, 11)}
        self._guard: subprocess.Popen[bytes] | None = None

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def switch(self, *words: str) -> None:
        """An ``ip`` command about the switch that joins the hosts."""
        _ip("-n", f"{self.name}-switch", *words)

    def guard(self, pid: int) -> None:
        """Names a program to the guard, which kills its group when this process is gone."""
        assert self._guard is not None
        assert self._guard.stdin is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            self._guard.stdin.write(b"%d %r\n" % (pid, psutil.Process(pid).create_time()))
        self._guard.stdin.flush()

    def __enter__(self) -> Lan:
        self._guard = subprocess.Popen(
            [sys.executable, __file__, self.name], stdin=subprocess.PIPE, start_new_session=True
        )
        try:
            if self.kind == NAMESPACES:
                self._wire()
        except BaseException:
            self.__exit__()
            raise
        print(f"{len(self.hosts)} hosts as {self.kind}: {', '.join(self.hosts)}", file=sys.stderr)
        return self

    def _wire(self) -> None:
        _ip("netns", "add", f"{self.name}-switch")
        self.switch("link", "add", "lan", "type", "bridge")
        self.switch("link", "set", "lan", "up")
        for host in self.hosts.values():
            _ip("netns", "add", host.namespace)
            inside = ("-n", host.namespace)
            self.switch("link", "add", host.name, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
            self.switch("link", "set", host.name, "master", "lan", "up")
            _ip(*inside, "address", "add", f"{host.address}/24", "dev", "eth0")
            _ip(*inside, "link", "set", "eth0", "up")
            _ip(*inside, "link", "set", "lo", "up")

    def __exit__(self, *_: object) -> None:
        for host in self.hosts.values():
            if host.is_cut:
                with contextlib.suppress(OSError):
                    host.join()
            host.kill()
        if self._guard is not None:
            self._guard.communicate(timeout=30)  # its end of file: it removes the namespaces


@functools.cache
def namespaces_work() -> bool:
    """Whether this machine lets us make hosts of network namespaces."""
    name = f"ck{os.getpid()}-try"
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("nsenter") is None:
        return False
    try:
        _ip("netns", "add", name)
    except OSError:
        return False
    try:
        _ip("-n", name, "link", "add", "one", "type", "veth", "peer", "name", "two")
        _ip("-n", name, "link", "add", "lan", "type", "bridge")
        return True
    except OSError:
        return False
    finally:
        _ip("netns", "del", name, check=False)


def _inside(namespace: str) -> list[psutil.Process]:
    try:
        meant = os.stat(f"{NETNS}/{namespace}").st_ino
    except FileNotFoundError:
        return []
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            if os.stat(f"/proc/{pid}/ns/net").st_ino == meant:
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
    return found


def _names(lan: str) -> Iterator[str]:
    for path in Path(NETNS).glob(f"{lan}-*") if Path(NETNS).is_dir() else ():
        yield path.name


def _watch(lan: str) -> None:
    """The guard: reads the pids of programs until the test is gone, then ends them and removes the namespaces."""
    told = [line.split() for line in sys.stdin]
    deadline = time.monotonic() + 20
    running = [process for name in _names(lan) for process in _inside(name)]
    for pid, started in told:
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if psutil.Process(int(pid)).create_time() == float(started):  # and not another's of the same number
                os.killpg(int(pid), signal.SIGKILL)
    while running and time.monotonic() < deadline:
        for process in running:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.02)
        running = [process for name in _names(lan) for process in _inside(name)]
    for name in _names(lan):
        _ip("netns", "del", name, check=False)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _watch(sys.argv[1])
