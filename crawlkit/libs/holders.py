"""Who holds something that another process may have to take over: by which a death on this machine is seen at once."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil


def machine() -> str:
    """The same for processes that can see one another; ``""`` where that cannot be known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def own_process() -> tuple[int, float]:
    """(pid, when it began) of this process."""
    pid = os.getpid()
    return pid, float(psutil.Process(pid).create_time())


def has_ended(pid: int, began: float) -> bool:
    """Whether the process of this machine that had the pid since ``began`` is gone; ``False`` when nobody can say."""
    try:
        process = psutil.Process(pid)
        return bool(process.create_time() != began or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
