"""How a crawl shows where it is: a bar on a terminal, a line every ten seconds elsewhere. Writes to stderr only."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

EVERY = 10.0  # seconds between lines


@dataclass(frozen=True)
class Figures:
    """Where a crawl is. ``elapsed`` in seconds, ``speed`` in pages a second over the last few; ``more``: words."""

    done: int = 0
    failed: int = 0
    waiting: int = 0
    speed: float = 0.0
    elapsed: float = 0.0
    more: str = ""

    def words(self) -> str:
        """One line."""
        return (
            f"done {self.done:,}  failed {self.failed:,}  waiting {self.waiting:,}  "
            f"{self.speed:,.1f} pages/s  {clock_of(self.elapsed)}{'  ' * bool(self.more)}{self.more}"
        )


class Progress(Protocol):
    """Something that shows figures."""

    def show(self, figures: Figures) -> None: ...

    def aside(self) -> AbstractContextManager[None]:
        """While somebody else writes to the terminal."""

    def close(self) -> None: ...


class Lines:
    """A line every ten seconds."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._next = EVERY

    def show(self, figures: Figures) -> None:
        if figures.elapsed >= self._next:
            self._next = figures.elapsed - figures.elapsed % EVERY + EVERY
            self._write(figures.words())

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        """Nothing is left open."""


class Bar:
    """A bar that fills as what is known gets done."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._progress = RichProgress(
            BarColumn(bar_width=30),
            TextColumn("{task.fields[words]}"),
            console=Console(file=sys.stderr),
            redirect_stdout=False,
            refresh_per_second=4,
            transient=True,
        )
        self._task: Any = self._progress.add_task("crawl", total=None, words="starting")
        self._lock = threading.Lock()
        self._open = True
        self._progress.start()

    def show(self, figures: Figures) -> None:
        ended = figures.done + figures.failed
        self._progress.update(self._task, completed=ended, total=max(1, ended + figures.waiting), words=figures.words())

    @contextmanager
    def aside(self) -> Iterator[None]:
        with self._lock:
            self._progress.stop()
            try:
                yield
            finally:
                if self._open:
                    self._progress.start()

    def close(self) -> None:
        with self._lock:
            self._open = False
            self._progress.stop()


def make(write: Callable[[str], None], *, terminal: bool) -> Progress:
    """A bar for a terminal, else lines."""
    return Bar() if terminal else Lines(write)


class Speed:
    """Pages a second over the last few seconds."""

    def __init__(self, window: float = 5.0) -> None:
        self._window = window
        self._seen: list[tuple[float, int]] = []

    def add(self, elapsed: float, count: int) -> float:
        """The speed, given that ``count`` pages were through after ``elapsed`` seconds."""
        self._seen.append((elapsed, count))
        while len(self._seen) > 2 and self._seen[1][0] <= elapsed - self._window:
            del self._seen[0]
        first, before = self._seen[0]
        return (count - before) / (elapsed - first) if elapsed > first else 0.0


def clock_of(seconds: float) -> str:
    """``0:00:07``."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
