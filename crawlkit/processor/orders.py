"""What the service tells a worker besides tasks, and how deaths are put in words.

Pure: data only.
"""

from __future__ import annotations

import signal

from msgspec import Struct

WHERE_SIGNAL = signal.SIGUSR2  # asks a worker to leave its traceback on the board, also while it is inside C
MAX_SCRIPT = 4 * 2**20  # bytes
MAX_LOGS = 10_000  # characters kept of one task, the last ones
_OURS = ("crawlkit/processor/", "crawlkit/libs/")


class WorkerConfig(Struct):
    """What a worker is told at its birth. See ProcessorSettings."""

    node: str
    process_time_limit: float  # seconds
    memory_limit: int  # bytes
    max_follows: int
    max_processes: int
    max_logs: int = MAX_LOGS  # characters
    debugger: bool = False  # handlers are told that they are being debugged [H17]
    log_lines: bool = False  # what callbacks log is also sent line by line, for the log store


class Script(Struct, array_like=True):
    """One version of a project's script; sent once, before the first task that needs it."""

    project: str
    version: str
    text: bytes  # UTF-8, lone surrogates passed
    about: dict[str, str | float | None] = {}  # the rest of the project's row, for ``self.project`` [H12]


class Settings(Struct, array_like=True):
    """The settings of the worker's project; sent before the first task, and again when they changed."""

    project: str
    values: dict[str, str] = {}
    secret: list[str] = []  # names of those whose values are masked
    closed: dict[str, str] = {}  # settings that cannot be read -> why


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


def where_it_was(last_words: str) -> str | None:
    """The handler's own lines of a faulthandler dump, innermost first; ``None`` without any."""
    lines: list[str] = []
    for line in last_words.splitlines():
        if any(part in line for part in _OURS):
            break
        if line.startswith("  File "):
            lines.append(line)
    return "\n".join(["Where it was (most recent call first):", *lines]) if lines else None
