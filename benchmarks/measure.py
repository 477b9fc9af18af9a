"""Runs a command and says what it cost: wall time, CPU of its whole process tree, peak memory. Linux only.

    python -m benchmarks.measure OUT.json COMMAND...

The CPU is exact: this process becomes the reaper of every descendant, orphans included, so that the kernel adds their
times up. Memory is the largest sum of proportional set sizes (pages shared by a fork count once), looked at twice a
second; resident sizes, which count them in each process, are given beside it. SIGTERM is handed on to the command.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from crawlkit.proving.processes import memory

PR_SET_CHILD_SUBREAPER = 36
INTERVAL = 0.5  # seconds between looks at the memory


def descendants(root: int) -> list[int]:
    """All living processes below ``root``."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(") ")[2].split()
            except OSError:
                continue  # it ended meanwhile
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    todo = [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def measure(command: list[str]) -> dict[str, Any]:
    """Runs a command to its end."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    peaks = [0, 0]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(INTERVAL):
            peaks[:] = map(max, peaks, memory(descendants(os.getpid())))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    code = process.wait()
    wall = time.monotonic() - start
    while True:  # whatever was left behind belongs to the bill
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    over.set()
    watcher.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"code": code, "wall": wall, "cpu": used.ru_utime + used.ru_stime, "pss": peaks[0], "rss": peaks[1]}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(measure(sys.argv[2:])))
