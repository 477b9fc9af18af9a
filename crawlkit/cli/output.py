"""Where the results of ``crawlkit one`` go: stdout, or a file that holds each of them once.

Everything here blocks: run it in a thread.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from crawlkit.libs.errors import StoreUnavailable
from crawlkit.libs.export import in_order, jsonl_line

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

    def missing(self) -> int:
        """How many stored results were not written."""


class Stdout:
    """JSON lines on a stream. What an interrupted run has stored and not printed is printed by the next one."""

    def __init__(self, resultdb: ResultStore, projects: Sequence[str] | None, stream: BinaryIO, aside: Aside) -> None:
        self._resultdb = resultdb
        self._aside = aside
        self._projects = projects
        self._stream = stream
        self._raw = getattr(stream, "raw", stream)  # a buffer would not say what of it was written
        self._seq = resultdb.position(FOLLOWER)[0]
        self._next = self._seq  # behind what is in the rest
        self._rest = memoryview(b"")  # of a page that could not be written whole

    def step(self) -> int:
        """Raises :class:`StoreUnavailable` when the stream cannot be written now."""
        count = 0
        try:
            self._write()
            while rows := self._resultdb.since(self._seq, PAGE, self._projects):
                self._rest = memoryview(b"".join(map(jsonl_line, rows)))
                self._next = rows[-1].seq
                self._write()
                count += len(rows)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StoreUnavailable(f"standard output: {error.strerror or error}") from error
        if count:
            self._resultdb.set_position(FOLLOWER, self._seq, 0)
        return count

    def _write(self) -> None:
        if self._rest:
            with self._aside():
                while self._rest:
                    written = self._raw.write(self._rest)
                    if written is None:  # a stream that does not block, and is full
                        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                    self._rest = self._rest[written:]
        self._seq = self._next

    def finish(self) -> None:
        self.step()

    def missing(self) -> int:
        return sum(1 for _ in in_order(lambda after: self._resultdb.since(after, PAGE, self._projects), self._seq))


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

    def claim(self, overwrite: bool) -> None:
        """Raises :class:`UsageError` when the file cannot be written, or holds something else."""
        self._follower.claim(self._form, overwrite=overwrite)

    def missing(self) -> int:
        return self._follower.missing(self._form)


def open_sink(
    resultdb: ResultStore,
    projects: Sequence[str] | None,
    path: Path | None,
    form: str,
    aside: Aside = nullcontext,
    *,
    overwrite: bool = False,
) -> Sink:
    """The place that the user asked for. ``aside``: what makes room on a terminal that shows more than results.

    Raises :class:`UsageError` when it cannot be written."""
    if path is not None:
        file = File(resultdb, projects, path, form)
        file.claim(overwrite)
        return file
    import sys

    return Stdout(resultdb, projects, sys.stdout.buffer, aside if sys.stdout.isatty() else nullcontext)
