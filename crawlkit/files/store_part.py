"""A file that is not whole yet, in a store whose objects cannot grow: numbered pieces, and a note that lists them.

Pieces are never changed: the note, replaced at once, says which of them are the file. So two writers, of whom one was
believed dead, cannot mix their bytes. What is not in a piece yet is in memory: at most two pieces.
"""

from __future__ import annotations

import hashlib
import uuid

import msgspec

from crawlkit.files.part import NOTE_VERSION, Note
from crawlkit.files.store import Store

PIECE = 8 * 2**20  # bytes


class StoreNote(Note, omit_defaults=True, kw_only=True):
    """Beside what a :class:`Note` says: which pieces there are. ``bytes`` are those in them."""

    piece: int = PIECE  # bytes of each but the last
    runs: tuple[tuple[str, int], ...] = ()  # (who wrote, how many) of the full ones, in order
    tail: str = ""  # the last one, when it is not full


class StorePart:
    """The objects in ``folder`` and the note beside it. Opened by :meth:`open`."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = folder
        self.note_name = f"{folder}.json"
        self.note: Note = StoreNote(piece=PIECE)
        self.size = 0
        self._open = False
        self._hash = hashlib.sha256()
        self._begin([], "")

    def _begin(self, runs: list[tuple[str, int]], tail: str) -> None:
        self._writer = uuid.uuid4().hex[:12]  # anew for each beginning: no piece has the name of another
        self._runs = runs
        self._tail = tail
        self._buffer = bytearray()  # from the end of the last full piece on
        self._in_tail = 0  # bytes of the buffer that are in the tail, too

    @classmethod
    def open(cls, store: Store, folder: str, url: str, target: str) -> StorePart:
        """Goes on with what the note lists, as far as it is there; else begins anew."""
        part = cls(store, folder)
        note = read_store_note(store, part.note_name)
        fits = note is not None and (note.url, note.target) == (url, target)
        if note is None or not fits:
            store.remove_folder(folder)
            part.note = StoreNote(url=url, target=target, piece=PIECE)
        else:
            part.note = note
            if note.sha256:  # whole: where its bytes are is looked at by who puts it in place
                part.size = note.bytes
                return part
            part._read_again(note)
        part._open = True
        return part

    @property
    def piece(self) -> int:
        """Bytes that are worth an object of their own."""
        note = self.note
        return note.piece if isinstance(note, StoreNote) else PIECE

    @property
    def is_open(self) -> bool:
        """Whether it can be written to."""
        return self._open

    @property
    def unsynced(self) -> int:
        """Bytes that are in no piece."""
        return self.size - self.note.bytes

    def write(self, chunk: bytes) -> None:
        """Appends, in memory."""
        self._buffer += chunk
        self._hash.update(chunk)
        self.size += len(chunk)

    def sync(self) -> None:
        """Stores the pieces that are full. May run in a thread while more is written."""
        self._store_pieces(whole=False)

    def keep(self) -> None:
        """Stores all there is, and closes."""
        self._store_pieces(whole=True)
        self.close()

    def restart(self) -> None:
        """Forgets what is there. Nothing is stored: the old note fits the old pieces until there is a new one."""
        self._begin([], "")
        self.size = 0
        self._hash = hashlib.sha256()
        self.note = StoreNote(url=self.note.url, target=self.note.target, ranges=self.note.ranges, piece=PIECE)

    def digest(self) -> str:
        """sha256 of what is there, hexadecimal."""
        return self._hash.hexdigest()

    def finish(self) -> None:
        """All is here and right: makes that known for good."""
        self._store_pieces(whole=True)
        self.note.sha256 = self.digest()
        self._write_note()

    def note_path(self, path: str) -> None:
        """Changes where the file is to be, for good."""
        self.note.path = path
        self._write_note()

    def discard(self) -> None:
        """Removes all; the note goes first, for it must not list what is not there."""
        self.close()
        self._store.remove(self.note_name)
        self._store.remove_folder(self._folder)

    def close(self) -> None:
        """What is in no piece is forgotten."""
        self._open = False
        self._buffer = bytearray()

    def pieces(self) -> tuple[list[str], list[int]]:
        """Names and sizes of the objects that the note lists, in order."""
        assert isinstance(self.note, StoreNote)
        return pieces_of(self.note, self._folder)

    def _store_pieces(self, *, whole: bool) -> None:
        piece, old_tail = self.piece, self._tail
        full = len(self._buffer) // piece
        number = sum(count for _, count in self._runs)
        for at in range(full):
            data = bytes(self._buffer[at * piece : (at + 1) * piece])
            self._store.put(_name(self._folder, number + at, self._writer), data)
        if full:
            self._add_run(full)
            del self._buffer[: full * piece]
            self._tail, self._in_tail = "", 0
        rest = len(self._buffer)
        if whole and rest > self._in_tail:
            tail = f"{self._writer}-{rest}"
            self._store.put(_name(self._folder, number + full, tail), bytes(self._buffer[:rest]))
            self._tail, self._in_tail = tail, rest
        note = self.note
        assert isinstance(note, StoreNote)
        note.runs, note.tail = tuple(self._runs), self._tail
        note.bytes = (number + full) * piece + self._in_tail
        self._write_note()
        if old_tail and old_tail != self._tail:
            self._store.remove(_name(self._folder, number, old_tail))

    def _add_run(self, count: int) -> None:
        if self._runs and self._runs[-1][0] == self._writer:
            count += self._runs.pop()[1]
        self._runs.append((self._writer, count))

    def _read_again(self, note: StoreNote) -> None:
        """For the hash; and a last piece that is not full is taken back, to be filled."""
        names, sizes = pieces_of(note, self._folder)
        for name, size in zip(names, sizes, strict=True):
            if self._store.size(name) != size:
                self.restart()
                return
            self._store.read(name, self._hash.update)
            self.size += size
            if size < note.piece:
                self._store.read(name, self._buffer.extend)
        self._runs, self._tail, self._in_tail = list(note.runs), note.tail, len(self._buffer)

    def _write_note(self) -> None:
        self._store.put(self.note_name, msgspec.json.encode(self.note))


def pieces_of(note: StoreNote, folder: str) -> tuple[list[str], list[int]]:
    """Names and sizes of the objects that a note lists, in order."""
    names: list[str] = []
    for writer, count in note.runs:
        names += [_name(folder, len(names) + at, writer) for at in range(count)]
    sizes = [note.piece] * len(names)
    if note.tail:
        sizes.append(note.bytes - note.piece * len(names))
        names.append(_name(folder, len(names), note.tail))
    return names, sizes


def _name(folder: str, number: int, writer: str) -> str:
    return f"{folder}/{number:06d}.{writer}"


def read_store_note(store: Store, name: str) -> StoreNote | None:
    """``None`` when there is none that can be used."""
    data = store.get(name)
    if data is None:
        return None
    try:
        note = msgspec.json.decode(data, type=StoreNote)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    full = note.piece * sum(count for _, count in note.runs)
    fits = full < note.bytes < full + note.piece if note.tail else full == note.bytes
    return note if note.version == NOTE_VERSION and note.piece > 0 and fits else None
