"""Sends SIGKILL to components of a running ``crawlkit all`` as a schedule says, at counts of requests to its site.

It starts nothing again: the supervisor does that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Sequence

import psutil

from crawlkit.proving.kills import PARTS, WORKER, Blow, Kill


def members(root: psutil.Process) -> dict[str, list[int]]:
    """The living processes of each part, by pid. ``root``: the supervisor."""
    found: dict[str, list[int]] = {part: [] for part in PARTS}
    below: dict[int, list[psutil.Process]] = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in root.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.status() != psutil.STATUS_ZOMBIE:
                    below.setdefault(process.ppid(), []).append(process)
    for process in below.get(root.pid, []):
        with contextlib.suppress(psutil.NoSuchProcess):
            role = "".join(process.cmdline()[-1:])
            if role in found and role != WORKER:
                found[role].append(process.pid)
    zygotes = [zygote for processor in found["processor"] for zygote in below.get(processor, [])]
    found[WORKER] = [worker.pid for zygote in zygotes for worker in below.get(zygote.pid, [])]
    return {part: sorted(pids) for part, pids in found.items()}


class Reaper:
    """``blows``: what was done so far. Two threads use it: the site's calls :meth:`on_request`, another the rest."""

    def __init__(self, root: psutil.Process, plan: Sequence[Kill]) -> None:
        self._root = root
        self._due = deque(plan)
        self.blows: list[Blow] = []

    def on_request(self, number: int) -> None:
        """Kills who is due, one at a request; who is not there just now is killed at a later one."""
        if self._due and self._due[0].request <= number:
            kill = self._due[0]
            struck = {blow.pid for blow in self.blows}  # some may not be quite dead
            pids = [pid for pid in members(self._root)[kill.part] if pid not in struck]
            if pids and _kill(pid := pids[kill.which % len(pids)]):
                self._due.popleft()
                self.blows.append(Blow(kill.part, number, pid, time.monotonic(), frozenset(pids)))

    def look(self) -> None:
        """Writes down who is back."""
        missing = [blow for blow in list(self.blows) if blow.returned is None]
        if missing:
            found = members(self._root)
            now = time.monotonic()
            for blow in missing:
                if set(found[blow.part]) - blow.before:
                    blow.returned = now


def _kill(pid: int) -> bool:
    """SIGKILL to a process and its group; ``False``: it was gone already."""
    try:
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
