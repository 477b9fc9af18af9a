"""A file that is not whole yet: its bytes, their hash, and a note beside it that never claims more than is on disk.

Blocking: what takes long (opening, syncing, finishing) is called in a thread; ``write`` only reaches the page cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

READ = 1024 * 1024  # bytes at a time
NOTE_VERSION = 1


class Note(Struct, omit_defaults=True, kw_only=True):
    """What is known of a part after a crash. Raises :data:`NOTE_VERSION` when its meaning changes."""

    version: int = NOTE_VERSION
    url: str = ""
    target: str = ""
    path: str = ""  # where the file is to be, below the project's files
    bytes: int = 0  # of the part, written and synced
    total: int | None = None
    etag: str | None = None
    last_modified: str | None = None
    final_url: str = ""
    content_type: str = ""
    ranges: bool = True  # False: the server's ranges were wrong once
    sha256: str = ""  # not empty: the part is whole and checked, and only has to go to its place


class Part:
    """``file`` and its note ``file`` + ``.json``. Opened by :meth:`open`, closed by :meth:`close`."""

    piece = 1  # bytes: any number is worth a sync

    def __init__(self, file: Path) -> None:
        self.file = file
        self.note_file = file.with_suffix(".json")
        self.note = Note()
        self.size = 0
        self._fd = -1
        self._hash = hashlib.sha256()

    @classmethod
    def open(cls, file: Path, url: str, target: str) -> Part:
        """Goes on with what is there, as far as the note vouches for it; else begins anew. Raises ``OSError``."""
        part = cls(file)
        note = read_note(part.note_file)
        fits = note is not None and (note.url, note.target) == (url, target)
        part.note = note if note is not None and fits else Note(url=url, target=target)
        if part.note.sha256:  # whole: where its bytes are is looked at by who puts it in place
            return part
        part._fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if not fits or os.fstat(part._fd).st_size < part.note.bytes:
                part.restart()
            part._read_again()
        except BaseException:
            part.close()
            raise
        return part

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    @property
    def unsynced(self) -> int:
        """Bytes that a crash of the machine may take."""
        return self.size - self.note.bytes

    def write(self, chunk: bytes) -> None:
        """Appends. Raises ``OSError``; what was written of the chunk then is forgotten."""
        view = memoryview(chunk)
        done = 0
        try:
            while done < len(view):
                done += os.pwrite(self._fd, view[done:], self.size + done)
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        self._hash.update(chunk)
        self.size += len(chunk)

    def sync(self) -> None:
        """Brings to disk what is written, and then says so in the note. May run while more is written."""
        size = self.size
        os.fsync(self._fd)
        self.note.bytes = size
        self._write_note()

    def keep(self) -> None:
        """Brings to disk all that is written, and closes."""
        self.sync()
        self.close()

    def restart(self) -> None:
        """Throws away what is there; what the server said of it goes too."""
        self._remove_note()  # first: it must not vouch for other bytes
        sync_folder(self.file.parent)
        os.ftruncate(self._fd, 0)
        self.size = 0
        self._hash = hashlib.sha256()
        self.note = Note(url=self.note.url, target=self.note.target, ranges=self.note.ranges)

    def digest(self) -> str:
        """sha256 of what is there, hexadecimal."""
        return self._hash.hexdigest()

    def finish(self) -> None:
        """All is here and right: makes that known for good."""
        os.fsync(self._fd)
        self.note.bytes = self.size
        self.note.sha256 = self.digest()
        self._write_note()

    def note_path(self, path: str) -> None:
        """Changes where the file is to be, for good."""
        self.note.path = path
        self._write_note()

    def discard(self) -> None:
        """Removes both files."""
        self.close()
        self._remove_note()
        with contextlib.suppress(FileNotFoundError):
            self.file.unlink()

    def close(self) -> None:
        """Closes the file; nothing is synced."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read_again(self) -> None:
        os.ftruncate(self._fd, self.note.bytes)  # what is behind may be anything after a power cut
        while piece := os.pread(self._fd, READ, self.size):
            self._hash.update(piece)
            self.size += len(piece)

    def _write_note(self) -> None:
        write_whole(self.note_file, msgspec.json.encode(self.note))

    def _remove_note(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.note_file.unlink()


def read_note(file: Path) -> Note | None:
    """``None`` when there is none that can be used."""
    try:
        note = msgspec.json.decode(file.read_bytes(), type=Note)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return note if note.version == NOTE_VERSION and note.bytes >= 0 else None


def write_whole(file: Path, data: bytes) -> None:
    """Replaces a small file at once and for good."""
    draft = file.with_suffix(".tmp")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(draft, file)


def sync_folder(folder: Path) -> None:
    """Makes renames and removals in a folder last."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def hash_of(file: Path) -> tuple[int, str]:
    """(bytes, sha256) of a file, read once."""
    whole = hashlib.sha256()
    size = 0
    with file.open("rb") as source:
        while piece := source.read(READ):
            whole.update(piece)
            size += len(piece)
    return size, whole.hexdigest()
