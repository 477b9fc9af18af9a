"""What migrate, backup and restore show: how many rows of which table are through. Writes to stderr only."""

from __future__ import annotations

import sys
import time
from typing import Any

from crawlkit.cli.base import say
from crawlkit.cli.progress import EVERY


class Display:
    """A bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}  # table -> rows that are through
        self._next = time.monotonic() + EVERY
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            self._bar = Progress(
                TextColumn("{task.description:>24}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                console=Console(file=sys.stderr),
                redirect_stdout=False,
                transient=True,
            )
            self._bar.start()

    def tell(self, what: str, done: int, total: int) -> None:
        """``done`` of ``total`` rows of a table are through."""
        self.rows[what] = done
        if self._bar is not None:
            if total:
                if what not in self._tasks:
                    self._tasks[what] = self._bar.add_task(what)
                self._bar.update(self._tasks[what], completed=done, total=total)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            say(f"{what}: {done:,} of {total:,} rows")

    def close(self) -> None:
        """Gives the terminal back."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
