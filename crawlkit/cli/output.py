"""Where the results of ``crawlkit one`` go: stdout, or a file that holds each of them once.

Everything here blocks: run it in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from crawlkit.database.base import ResultStore

Aside = Callable[[], AbstractContextManager[None]]
PAGE = 500
FOLLOWER = "stdout"


class Sink(Protocol):
    """Takes results as they become visible in the resultdb."""

    def step(self) -> int:
        """Writes what is new; returns how many results that were."""

    def finish(self) -> None:
        """The crawl is over: writes the rest."""


class Stdout:
    """JSON lines on a stream. What an interrupted run has stored and not printed is printed by the next one."""

    def __init__(self, resultdb: ResultStore, projects: Sequence[str] | None, stream: BinaryIO, aside: Aside) -> None:
        self._resultdb = resultdb
        self._aside = aside
        self._projects = projects
        self._stream = stream
        self._seq = resultdb.position(FOLLOWER)[0]

    def step(self) -> int:
        from crawlkit.libs.export import jsonl_line

        count = 0
        while rows := self._resultdb.since(self._seq, PAGE, self._projects):
            with self._aside():
                self._stream.write(b"".join(map(jsonl_line, rows)))
                self._stream.flush()
            self._seq = rows[-1].seq
            count += len(rows)
        if count:
            self._resultdb.set_position(FOLLOWER, self._seq, 0)
        return count

    def finish(self) -> None:
        self.step()


class File:
    """A file beside the resultdb: JSON lines as they come, JSON and CSV at the end."""

    def __init__(self, resultdb: ResultStore, projects: Sequence[str] | None, path: Path, form: str) -> None:
        from crawlkit.result.follower import FileFollower

        self._form = form
        self._follower = FileFollower(resultdb, path, projects, f"file:{path.resolve()}")

    def step(self) -> int:
        return self._follower.step() if self._form == "jsonl" else 0

    def finish(self) -> None:
        self._follower.finish(self._form)


def open_sink(
    resultdb: ResultStore, projects: Sequence[str] | None, path: Path | None, form: str, aside: Aside = nullcontext
) -> Sink:
    """The place that the user asked for. ``aside``: what makes room on a terminal that shows more than results."""
    if path is not None:
        return File(resultdb, projects, path, form)
    import sys

    return Stdout(resultdb, projects, sys.stdout.buffer, aside if sys.stdout.isatty() else nullcontext)
