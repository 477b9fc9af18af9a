"""The folder of a project's files: where a file goes, who works on it, and how it gets there whole.

What has its proper name there is whole; what is not yet lies in ``.crawlkit-files``. Blocking: called in threads.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from crawlkit.files.book import Entry, FileBook
from crawlkit.files.ownership import entry_of, free_path
from crawlkit.files.part import Part, hash_of, read_note, sync_folder
from crawlkit.libs.errors import FetchError
from crawlkit.libs.filenames import PLACE

INNER = ".crawlkit-files"
BROKEN = ".broken"


def part_key(url: str, target: str) -> str:
    """The name of a part of this URL for this target."""
    return hashlib.sha256(f"{target}\0{url}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Lock:
    """A lock among all tasks and processes on this machine; the system frees it when its process dies."""

    def __init__(self, file: Path, fd: int) -> None:
        self._file = file
        self._fd = fd

    def release(self) -> None:
        """Its file goes first: who waits looks whether the file it has locked is still the one that is there."""
        if self._fd >= 0:
            with contextlib.suppress(FileNotFoundError):
                self._file.unlink()
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    __del__ = _close  # of one that was taken for a task that had been cancelled meanwhile


class FileArea:
    """The files of one project below ``root``. Raises ``OSError`` as the file system does."""

    look = 0.1  # seconds between looks at a target that another task has: its holder may be another process

    def __init__(self, root: Path, project: str) -> None:
        self.folder = Path(os.path.abspath(root)) / project
        self.inner = self.folder / INNER
        self.book = FileBook(self.inner / "files.db")

    def make(self) -> None:
        """Makes the folders, once."""
        make_folder(self.inner)

    def place(self, path: str) -> Path:
        """The absolute path for one below the project's files.

        Raises :class:`FetchError` of kind ``file`` when it leads out of the folder, by a link for example.
        """
        made = self.folder / path
        real = Path(os.path.realpath(made.parent))
        folder = Path(os.path.realpath(self.folder))
        if os.path.isabs(path) or ".." in Path(path).parts or not real.is_relative_to(folder):
            raise FetchError("file", f"{path!r:.200} leads out of the project's files")
        if real.is_relative_to(folder / INNER):
            raise FetchError("file", f"{path!r:.200} is crawlkit's own")
        return made

    @property
    def where(self) -> str:
        """The folder of the project's files."""
        return str(self.folder)

    def name_of(self, path: str) -> str:
        """The absolute path of a file; raises as :meth:`place` does."""
        return str(self.place(path))

    # -- who works on what -------------------------------------------------------------------------------------------

    def try_lock(self, url: str, target: str) -> Lock | None:
        """The lock on a target (one that takes the server's name: with its URL); ``None`` while another has it."""
        self.make()
        name = part_key(url if PLACE in target else "", target)
        return _lock(self.inner / f"{name}.lock", wait=False)

    # -- what is there -----------------------------------------------------------------------------------------------

    def finished(self, url: str, target: str, guess: str, run: int, now: float) -> Entry | None:
        """The finished file for a URL and a target, if it is there as the book says.

        ``guess``: the path if the server calls the file as the URL does; a file of which no URL is known counts there.
        One that was whole when a crash came is put into its place first (see :meth:`settle`).
        """
        part_file = self._part_file(url, target)
        note = read_note(part_file.with_suffix(".json"))
        if note is not None and note.sha256:
            part = Part.open(part_file, url, target)
            if part_file.exists() or self.place(note.path).is_file():
                return self.settle(part, run, now)
            part.discard()
        entry = self.book.find(url, target)
        if entry is None and PLACE not in target:
            entry = self.book.at(target)
        if entry is None:
            return self.adopted(guess)
        if not self.is_there(entry):
            self.book.remove(entry.path)
            return None
        return entry

    def adopted(self, path: str) -> Entry | None:
        """A file that was taken over without a URL."""
        entry = self.book.at(path)
        return entry if entry is not None and not entry.url and self.is_there(entry) else None

    def is_there(self, entry: Entry) -> bool:
        """Whether the file has the length that the book says."""
        with contextlib.suppress(OSError):
            found = self.place(entry.path)
            return found.is_file() and found.stat().st_size == entry.bytes
        return False

    def open_part(self, url: str, target: str) -> Part:
        """What there is of a file that is not finished."""
        self.make()
        return Part.open(self._part_file(url, target), url, target)

    def _part_file(self, url: str, target: str) -> Path:
        return self.inner / f"{part_key(url, target)}.part"

    # -- how it gets there -------------------------------------------------------------------------------------------

    def settle(self, part: Part, run: int, now: float) -> Entry:
        """Puts a whole part (see :meth:`Part.finish`) into its place and into the book.

        May be done again after a crash. Raises :class:`FetchError` of kind ``file`` when the place belongs to another.
        """
        with self._one_at_a_time():
            entry = entry_of(part.note, free_path(part.note, self, self.book.at), run, now)
            if entry.path != part.note.path:
                part.note_path(entry.path)
            place = self.place(entry.path)
            if part.file.exists():
                make_folder(place.parent)
                os.replace(part.file, place)
                sync_folder(place.parent)
            # else a crash came between the line above and the one below
            if place.stat().st_size != entry.bytes:
                part.discard()
                raise FetchError("file", f"{place}: has changed while it was put into its place")
            self.book.put(entry)
            part.discard()
            return entry

    def set_apart(self, part: Part) -> Path:
        """Moves a part whose length or hash is wrong to its name with ``.broken``; an older one goes."""
        with self._one_at_a_time():
            place = self.place(part.note.path + BROKEN)
            make_folder(place.parent)
            os.replace(part.file, place)
            sync_folder(place.parent)
            part.discard()
            return place

    def length_at(self, path: str) -> int | None:
        """Bytes of the file at a path; ``None``: nothing is there; -1: no file."""
        place = self.place(path)
        if not os.path.lexists(place):
            return None
        return place.stat().st_size if place.is_file() else -1

    def hash_at(self, path: str) -> tuple[int, str]:
        """(bytes, sha256) of a file."""
        return hash_of(self.place(path))

    def read(self, path: str, limit: int) -> bytes | None:
        """A file of at most ``limit`` bytes; ``None`` when it is not there or larger. Follows no link."""
        try:
            fd = os.open(self.place(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(fd, "rb") as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
                return None
            return file.read(limit)

    def state_of(self, entry: Entry) -> str | None:
        """What is wrong with a finished file, which is read again; ``None``: nothing."""
        place = self.place(entry.path)
        if not place.is_file():
            return "is gone"
        return None if hash_of(place) == (entry.bytes, entry.sha256) else "has changed"

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Files are put into their places one after the other, whoever does it."""
        self.make()
        lock = _lock(self.inner / "settle.lock", wait=True)
        assert lock is not None
        try:
            yield
        finally:
            lock.release()

    # -- what was there before ---------------------------------------------------------------------------------------

    def adopt(
        self, source: Path, path: str, *, url: str = "", sha256: str | None = None, copy: bool = False, now: float = 0
    ) -> Entry:
        """A whole file from elsewhere, brought into its place, or one that lies there already; the source stays.

        It counts as finished when :meth:`enter` has been called with it, for many at once.
        It is linked when both are on one file system, unless ``copy``. Raises :class:`FetchError` of kind ``file`` when
        the place has another file or somebody writes to this one, of kind ``file_broken`` when its hash is wrong.
        """
        self.make()
        place = self.place(path)
        before = source.stat()
        size, digest = hash_of(source)
        if _moved_on(before, source.stat(), size):
            raise FetchError("file", "somebody writes to it")
        if sha256 not in (None, digest):
            raise FetchError("file_broken", f"has sha256 {digest}, {sha256} was expected")
        entry = Entry(path=path, bytes=size, sha256=digest, url=url, checked=now)
        with self._one_at_a_time():
            if not os.path.lexists(place):
                self._bring(source, place, copy)
            elif not place.is_file() or not (place.samefile(source) or hash_of(place) == (size, digest)):
                raise FetchError("file", f"{place}: is there already, and it is another file")
            known = self.book.at(path)
        return known if known is not None and known.sha256 == digest and not url else entry

    def enter(self, entries: Sequence[Entry]) -> None:
        """Puts adopted files into the book, once their names are sure to last."""
        for folder in {self.place(entry.path).parent for entry in entries}:
            sync_folder(folder)
        if entries:
            self.book.put(*entries)

    def inside(self, source: Path) -> str | None:
        """The path of a file that lies among the project's files already."""
        real, folder = source.resolve(), self.folder.resolve()
        return str(real.relative_to(folder)) if real.is_relative_to(folder) else None

    def _bring(self, source: Path, place: Path, copy: bool) -> None:
        make_folder(place.parent)
        try:
            if copy:
                raise OSError
            os.link(source, place)
        except OSError:  # another file system, or one without links
            draft = self.inner / f"{place.name[:100]}.adopted"
            shutil.copy2(source, draft)
            with draft.open("rb") as copied:
                os.fsync(copied.fileno())
            os.replace(draft, place)


def _moved_on(before: os.stat_result, after: os.stat_result, size: int) -> bool:
    return (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or size != after.st_size


def make_folder(folder: Path) -> None:
    """A folder with all above it, for good."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        sync_folder(folder.parent)
    if not folder.is_dir():
        raise FileExistsError(17, "is there and is no folder", str(folder))


def _lock(file: Path, *, wait: bool) -> Lock | None:
    while True:
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same_file(fd, file):
                return Lock(file, fd)
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # its holder has removed it meanwhile: once more with the new one


def _is_same_file(fd: int, file: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), os.stat(file))
    return False
