"""The way of log lines from who has them to who stores them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from crawlkit.libs.rows import LogLine

Journal = Callable[[Sequence[LogLine]], None]
"""Takes lines for the log store. Never blocks and never raises; what it cannot keep it counts."""


class Voice(Protocol):
    """Who has log lines: a writer of the log store, or part of a process that has one."""

    @property
    def node(self) -> str:
        """What the process is called; "": each of its components has a name of its own."""

    def put(self, lines: Sequence[LogLine]) -> None:
        """A :data:`Journal`."""


UNSTORED = {"stored": False}
"""``extra`` of a record of ``logging`` whose content goes to the journal by itself."""
