"""What processes cost: CPU by component, memory that counts shared pages once, a server's share. Only reads.

CPU is counted wherever psutil counts it. Proportional memory (PSS) takes Linux and ``/proc/PID/smaps_rollup``.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

import psutil

QUEUES = "queues"  # what the supervisor does, which holds the local queues
PARTS = ("scheduler", "fetcher", "processor", "result_worker", QUEUES)
PORTS = {"redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671, "postgresql": 5432, "mysql": 3306, "mariadb": 3306}
LOOK = 0.25  # seconds between looks at the memory


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it; none when it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def cpu(roots: Iterable[psutil.Process]) -> float:
    """Seconds of some processes, of those below them, and of those below them that have ended."""
    total = 0.0
    for process in {one.pid: one for root in roots for one in family(root)}.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total


def part_of(process: psutil.Process) -> str:
    """Which component a process of ``crawlkit all`` is; its supervisor holds the local queues."""
    with contextlib.suppress(psutil.Error):
        words = process.cmdline()
        if "all" in words:
            return QUEUES
        for part in PARTS:
            if part in words or any(f"crawlkit.{part}" in word for word in words):
                return part
    return "other"


def by_part(processes: Iterable[psutil.Process]) -> dict[str, float]:
    """Seconds of CPU so far of each component, workers counted with the processor."""
    found: dict[str, float] = {}
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            part = part_of(process)
            found[part] = found.get(part, 0.0) + used.user + used.system
    return found


def memory(pids: Iterable[int]) -> tuple[int, int]:
    """(proportional, resident) bytes of some processes together; zeros where the system does not tell."""
    totals = {"Pss:": 0, "Rss:": 0}
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, *rest = line.split()
            if name in totals:
                totals[name] += int(rest[0]) * 1024
    return totals["Pss:"], totals["Rss:"]


class Memory(threading.Thread):
    """Looks at the proportional memory of some processes until :meth:`stop`."""

    def __init__(self, processes: Callable[[], list[psutil.Process]]) -> None:
        super().__init__(name="memory", daemon=True)
        self._processes, self._over = processes, threading.Event()
        self.curve: list[tuple[float, int]] = []  # (monotonic, bytes)

    def run(self) -> None:
        while not self._over.wait(LOOK):
            self.curve.append((time.monotonic(), memory([one.pid for one in self._processes()])[0]))

    def stop(self) -> None:
        self._over.set()
        self.join()

    def peak(self) -> int:
        """The most that was seen; 0 where the system does not tell."""
        return max((size for _, size in self.curve), default=0)


def server_at(url: str) -> list[psutil.Process]:
    """The process on this machine that listens at the port of ``url``; none for a file, for a socket of ours, and where
    the system does not say whose a port is."""
    parts = urlsplit(url)
    with contextlib.suppress(ValueError, psutil.Error):
        port = parts.port or PORTS.get(parts.scheme.partition("+")[0])
        listening = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
        pids = {one.pid for one in listening if port and one.laddr.port == port and one.pid}
        if pids:
            return [psutil.Process(min(pids))]
    return []
