"""What this process uses of the machine, for its heartbeats: cheap enough to ask every other second."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import psutil

from crawlkit.libs.clock import SystemClock


class Vitals:
    """CPU since the last look, and memory, of this process and of those it names."""

    def __init__(self) -> None:
        self._own = psutil.Process()
        self._looked = SystemClock.monotonic()
        self._seconds = {self._own.pid: _seconds(self._own)}
        self._others: dict[int, psutil.Process] = {}

    def look(self, others: Iterable[int] = ()) -> dict[str, float]:
        """``cpu``: percent of one core; ``rss``: bytes; ``others``: pids of processes that count as its own.

        With others, ``processes`` says how many are counted.
        """
        now = SystemClock.monotonic()
        passed, self._looked = now - self._looked, now
        used, rss, seconds = 0.0, 0, dict[int, float]()
        self._others = {pid: process for pid in others if (process := self._others.get(pid) or _process(pid))}
        for process in (self._own, *self._others.values()):
            with contextlib.suppress(psutil.Error):  # it has ended
                with process.oneshot():
                    seconds[process.pid] = _seconds(process)
                    rss += process.memory_info().rss
                # of one that is new, all it has used was used since the last look
                used += max(0.0, seconds[process.pid] - self._seconds.get(process.pid, 0.0))
        self._seconds = seconds
        vitals = {"cpu": round(100 * used / passed, 1) if passed > 0 else 0.0, "rss": float(rss)}
        return {**vitals, "processes": float(len(seconds))} if self._others else vitals


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
