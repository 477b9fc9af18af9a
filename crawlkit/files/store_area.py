"""A project's files in a store that an fsspec URL names, by the rules of :mod:`crawlkit.files.area`.

Nothing there can be appended, renamed for sure, or locked. What lies in ``.crawlkit-files`` lets any other fetcher go
on. Blocking: called in threads.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from crawlkit.files.area import BROKEN, INNER, part_key
from crawlkit.files.book import Entry
from crawlkit.files.ownership import entry_of, free_path
from crawlkit.files.part import hash_of
from crawlkit.files.store import Store
from crawlkit.files.store_book import StoreBook
from crawlkit.files.store_lock import StoreLock, StoreLocks
from crawlkit.files.store_part import StorePart, read_store_note
from crawlkit.libs.errors import FetchError, InvalidTask
from crawlkit.libs.filenames import OURS, PLACE, check_target


class StoreArea:
    """The files of one project below the store's URL. Raises :class:`StoreUnavailable`."""

    look = 1.0  # seconds between looks at a target that another task has: each is a request

    def __init__(self, store: Store, locks: StoreLocks, project: str) -> None:
        self._store = store
        self._locks = locks
        self._project = project
        self._inner = f"{project}/{INNER}"
        self.book = StoreBook(store, self._inner)

    @property
    def where(self) -> str:
        """The URL of the project's files."""
        return self._store.url_of(self._project)

    def name_of(self, path: str) -> str:
        """The URL of a file; raises :class:`FetchError` of kind ``file`` when it leads out of the project's files."""
        return self._store.url_of(self._place(path))

    def _place(self, path: str) -> str:
        try:
            check_target(path.removesuffix(BROKEN))
        except InvalidTask as error:
            raise FetchError("file", error.problem) from None
        if path.startswith(OURS):
            raise FetchError("file", f"{path!r:.200} is crawlkit's own")
        place = f"{self._project}/{path}"
        if self._store.leads_out(place):
            raise FetchError("file", f"{path!r:.200} leads out of the project's files")
        return place

    # -- who works on what -------------------------------------------------------------------------------------------

    def try_lock(self, url: str, target: str) -> StoreLock | None:
        """The lock on a target (one that takes the server's name: with its URL); ``None`` while another has it."""
        return self._locks.try_lock(self._lock_name(part_key(url if PLACE in target else "", target)))

    def _lock_name(self, key: str) -> str:
        return f"{self._inner}/locks/{key}.json"

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Files are put into their places one after the other, whoever does it."""
        while (lock := self._locks.try_lock(self._lock_name("settle"))) is None:
            time.sleep(0.2)
        try:
            yield
        finally:
            lock.release()

    # -- what is there -----------------------------------------------------------------------------------------------

    def finished(self, url: str, target: str, guess: str, run: int, now: float) -> Entry | None:
        """The finished file for a URL and a target, if it is there as the book says.

        ``guess``: the path if the server calls the file as the URL does; a file of which no URL is known counts there.
        One that was whole when a crash came is put into its place first (see :meth:`settle`).
        """
        folder = self._part_folder(url, target)
        note = read_store_note(self._store, f"{folder}.json")
        if note is not None and note.sha256:
            part = StorePart.open(self._store, folder, url, target)
            names, _ = part.pieces()
            if not names or self._store.size(names[0]) is not None:
                return self.settle(part, run, now)
            part.discard()
        entry = self.book.find(url, target)
        if entry is None and PLACE not in target:
            entry = self.book.at(target)
        if entry is None:
            found = self.book.at(guess)
            return found if found is not None and not found.url and self._is_there(found) else None
        if not self._is_there(entry):
            self.book.remove(entry.path)
            return None
        return entry

    def adopted(self, path: str) -> Entry | None:
        """``None``: a store cannot be asked while an answer comes in. A file is found by its place or its URL."""
        return None

    def _is_there(self, entry: Entry) -> bool:
        with contextlib.suppress(FetchError):
            return self.length_at(entry.path) == entry.bytes
        return False

    def open_part(self, url: str, target: str) -> StorePart:
        """What there is of a file that is not finished; it is read again, for its hash."""
        return StorePart.open(self._store, self._part_folder(url, target), url, target)

    def _part_folder(self, url: str, target: str) -> str:
        return f"{self._inner}/parts/{part_key(url, target)}"

    def length_at(self, path: str) -> int | None:
        """Bytes of the file at a path; ``None``: nothing is there; -1: no file."""
        return self._store.size(self._place(path))

    def hash_at(self, path: str) -> tuple[int, str]:
        """(bytes, sha256) of a file."""
        return self._store.hash_of(self._place(path))

    def read(self, path: str, limit: int) -> bytes | None:
        """A file of at most ``limit`` bytes; ``None`` when it is not there or larger."""
        place = self._place(path)
        size = self._store.size(place)
        return None if size is None or size > limit else self._store.get(place)

    def state_of(self, entry: Entry) -> str | None:
        """What is wrong with a finished file, which is read again; ``None``: nothing."""
        if self.length_at(entry.path) in (None, -1):
            return "is gone"
        return None if self.hash_at(entry.path) == (entry.bytes, entry.sha256) else "has changed"

    # -- how it gets there -------------------------------------------------------------------------------------------

    def settle(self, part: StorePart, run: int, now: float) -> Entry:
        """Joins a whole part (see :meth:`StorePart.finish`) in its place, and writes it into the book.

        May be done again after a crash. Raises :class:`FetchError` of kind ``file`` when the place belongs to another.
        """
        with self._one_at_a_time():
            path = free_path(part.note, self, self.book.at)
            if path != part.note.path:
                part.note_path(path)
            self._join(part, path)
            entry = entry_of(part.note, path, run, now)
            self.book.put(entry)
            part.discard()
            return entry

    def _join(self, part: StorePart, path: str) -> None:
        self._store.join(*part.pieces(), self._place(path))
        length = self.length_at(path)
        if length != part.note.bytes:
            raise FetchError("file", f"{self.name_of(path)}: has {length} bytes, {part.note.bytes:,} were put there")

    def set_apart(self, part: StorePart) -> str:
        """Joins a part whose length or hash is wrong at its name with ``.broken``; an older one goes."""
        part.keep()
        with self._one_at_a_time():
            path = part.note.path + BROKEN
            self._join(part, path)
            part.discard()
            return self.name_of(path)

    # -- what was there before ---------------------------------------------------------------------------------------

    def adopt(
        self, source: Path, path: str, *, url: str = "", sha256: str | None = None, copy: bool = False, now: float = 0
    ) -> Entry:
        """A whole file from a folder, copied into its place. It counts when :meth:`enter` has been called with it.

        Raises :class:`FetchError` of kind ``file`` when the place has another file, of kind ``file_broken`` when its
        hash is wrong.
        """
        size, digest = hash_of(source)
        if sha256 not in (None, digest):
            raise FetchError("file_broken", f"has sha256 {digest}, {sha256} was expected")
        with self._one_at_a_time():
            if self.length_at(path) is None:
                with source.open("rb") as data:
                    self._store.upload(data, self._place(path))
            if self.length_at(path) != size or self.hash_at(path) != (size, digest):
                raise FetchError("file", f"{self.name_of(path)}: is there already, and it is another file")
            known = self.book.at(path)
        if known is not None and known.sha256 == digest and not url:
            return known
        return Entry(path=path, bytes=size, sha256=digest, url=url, checked=now)

    def enter(self, entries: Sequence[Entry]) -> None:
        """Puts adopted files into the book."""
        self.book.put(*entries)

    def inside(self, source: Path) -> str | None:
        """``None``: a folder's file is none of the store's."""
        return None
