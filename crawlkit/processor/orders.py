"""What the service tells a worker besides tasks, and how deaths are put in words.

Pure: data only.
"""

from __future__ import annotations

import signal

from msgspec import Struct


class WorkerConfig(Struct):
    """What a worker is told at its birth. See ProcessorSettings."""

    node: str
    process_time_limit: float  # seconds
    memory_limit: int  # bytes
    max_follows: int
    max_processes: int


class Script(Struct, array_like=True):
    """One version of a project's script; sent once, before the first task that needs it."""

    project: str
    version: str
    text: str


def how_it_died(status: int | None) -> str:
    """A wait status in words: ``killed by signal 9 (SIGKILL)``, ``exit code 3``."""
    if status is None:
        return "it is gone"
    number = status & 0x7F
    if not number:
        return f"exit code {status >> 8}"
    try:
        return f"killed by signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"killed by signal {number}"
