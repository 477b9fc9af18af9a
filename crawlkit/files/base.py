"""What the fetcher asks of a place for files, be it a folder or a store elsewhere. Blocking: called in threads.

``write`` and ``restart`` of a part alone are called in the event loop: they reach memory, or the page cache, only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from crawlkit.files.book import Entry
from crawlkit.files.part import Note


class Lock(Protocol):
    """A target that is one task's."""

    def release(self) -> None:
        """Lets the next one have it."""


class Book(Protocol):
    """The finished files of a project. Raises :class:`StoreUnavailable`."""

    def find(self, url: str, target: str) -> Entry | None:
        """The file of this URL, under this target or taken over."""

    def at(self, path: str) -> Entry | None:
        """The file at this path."""

    def put(self, *entries: Entry) -> None:
        """Writes them in."""

    def remove(self, path: str) -> None:
        """Forgets the file at this path."""

    def entries(self) -> list[Entry]:
        """All, by path."""


class PartFile(Protocol):
    """A file that is not whole yet. ``size``: bytes written."""

    note: Note
    size: int

    @property
    def piece(self) -> int:
        """Fewer bytes than this are not worth a sync."""

    @property
    def is_open(self) -> bool:
        """Whether it can be written to."""

    @property
    def unsynced(self) -> int:
        """Bytes that a crash may take."""

    def write(self, chunk: bytes) -> None:
        """Appends."""

    def sync(self) -> None:
        """Makes what is written last. May run while more is written."""

    def keep(self) -> None:
        """Makes all that is written last, and closes."""

    def restart(self) -> None:
        """Throws away what is there; what the server said of it goes too."""

    def digest(self) -> str:
        """sha256 of what is there, hexadecimal."""

    def finish(self) -> None:
        """All is here and right: makes that known for good."""

    def discard(self) -> None:
        """Removes it."""


class Area(Protocol):
    """The files of one project. Raises ``OSError`` and :class:`StoreUnavailable`."""

    look: float  # seconds between looks at a target that another task has

    @property
    def book(self) -> Book:
        """What is finished."""

    @property
    def where(self) -> str:
        """The folder, or the URL, of the project's files."""

    def name_of(self, path: str) -> str:
        """What a callback learns of a file: its absolute path or its URL.

        Raises :class:`FetchError` of kind ``file`` when it leads out of the project's files.
        """

    def try_lock(self, url: str, target: str) -> Lock | None:
        """The lock on a target; ``None`` while another has it."""

    def finished(self, url: str, target: str, guess: str, run: int, now: float) -> Entry | None:
        """The finished file for a URL and a target, if it is there as the book says."""

    def adopted(self, path: str) -> Entry | None:
        """A file that was taken over without a URL. Called in the event loop: a store says ``None``."""

    def open_part(self, url: str, target: str) -> PartFile:
        """What there is of a file that is not finished."""

    def settle(self, part: Any, run: int, now: float) -> Entry:
        """Puts a whole part of its own into its place and into the book."""

    def set_apart(self, part: Any) -> object:
        """Moves a part of its own whose length or hash is wrong to its name with ``.broken``; returns that."""

    def read(self, path: str, limit: int) -> bytes | None:
        """A file of at most ``limit`` bytes; ``None`` when it is not there or larger.

        Raises :class:`FetchError` of kind ``file`` when the path leads out of the project's files.
        """

    def state_of(self, entry: Entry) -> str | None:
        """What is wrong with a finished file, which is read again; ``None``: nothing."""

    def adopt(
        self, source: Path, path: str, *, url: str = "", sha256: str | None = None, copy: bool = False, now: float = 0
    ) -> Entry:
        """A whole file from elsewhere, brought into its place. It counts when :meth:`enter` has been called with it."""

    def enter(self, entries: Sequence[Entry]) -> None:
        """Puts adopted files into the book."""

    def inside(self, source: Path) -> str | None:
        """The path of a file that lies among the project's files already."""
