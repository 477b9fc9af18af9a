"""The archive of a backup: a gzipped tar of chunks of rows in msgpack, with a manifest in front and sums at the end.

Written and read as one stream, in flat memory. Without its sums an archive is not whole.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import IO, Self

import msgspec
from msgspec import Struct

from crawlkit.database.carrying import KINDS, Row
from crawlkit.libs.errors import UsageError

FORMAT = 1
LEVEL = 3  # of compression: rows are told apart well enough by it, and it is three times as fast as 6
MAX_MEMBER = 128 * 2**20  # bytes; a chunk is a few MB
MAX_CHUNK = 32 * 2**20  # bytes; what is more is written as two, unless it is one row
MAX_ROWS = 10_000  # of a chunk
MAX_MEMBERS = 2**20
MAX_TIME = 2**33  # the year 2242
MANIFEST, SUMS, KEY = "manifest.json", "sums.json", "secret.key"
_LIMITS = {MANIFEST: 2**20, KEY: 4096}  # bytes
_WRONG = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)
_BROKEN = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, *_WRONG)
_RAWS = msgspec.msgpack.Decoder(list[msgspec.Raw])
_PLAIN = msgspec.msgpack.Decoder(list[int | float | str | bool | None])  # a row without bytes
_LISTS = (*range(0x90, 0xA0), 0xDC, 0xDD)  # how msgpack begins a list
_NESTED = (*range(0x80, 0xA0), *range(0xC7, 0xCA), *range(0xD4, 0xD9), *range(0xDC, 0xE0))  # and all that is no scalar


class Contents(Struct):
    """One store in an archive."""

    version: str  # of its schema
    tables: dict[str, tuple[str, ...]]  # in the order in which they come -> columns


class Manifest(Struct):
    """What an archive says of itself, before all else."""

    crawlkit: str  # the version that wrote it
    made: float  # Unix time
    stores: dict[str, Contents]  # kind -> what is there of it
    format: int = FORMAT
    secret_key: bool = False


class Sums(Struct):
    """The end of an archive."""

    members: dict[str, str]  # name -> SHA-256
    rows: dict[str, int]  # "kind.table" -> how many


class Chunk(Struct):
    """Some rows of one table."""

    kind: str
    table: str
    rows: list[Row]


class Writer:
    """Writes an archive into ``stream``, which stays open."""

    def __init__(self, stream: IO[bytes], manifest: Manifest) -> None:
        self._gzip = gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=LEVEL, mtime=int(manifest.made))
        self._tar = tarfile.open(fileobj=self._gzip, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._chunks: Counter[str] = Counter()
        self._made = int(manifest.made)
        self._members: dict[str, str] = {}
        self._rows: Counter[str] = Counter()
        self._add(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))

    def rows(self, kind: str, table: str, rows: Sequence[Row]) -> None:
        """A chunk of a table."""
        what = f"{kind}.{table}"
        data = msgspec.msgpack.encode(rows)
        if len(rows) > 1 and (len(data) > MAX_CHUNK or len(rows) > MAX_ROWS):
            half = len(rows) // 2
            self.rows(kind, table, rows[:half])
            self.rows(kind, table, rows[half:])
            return
        if len(data) > MAX_MEMBER or len(self._members) >= MAX_MEMBERS - 2:
            raise UsageError(f"{what}: a row of {len(data):,} bytes, or too many rows for one archive: copy the stores")
        self._add(f"{kind}/{table}/{self._chunks[what]:08}.msgpack", data)
        self._chunks[what] += 1
        self._rows[what] += len(rows)

    def key(self, key: str) -> None:
        """The key that settings are sealed with."""
        self._add(KEY, key.encode("ascii"))

    def close(self) -> dict[str, int]:
        """Ends the archive; returns how many rows of each table are in it."""
        sums = Sums(self._members, dict(self._rows))
        self._add(SUMS, msgspec.json.encode(sums))
        self._tar.close()
        self._gzip.close()
        return sums.rows

    def _add(self, name: str, data: bytes) -> None:
        if name != SUMS:
            self._members[name] = hashlib.sha256(data).hexdigest()
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = len(data), self._made, 0o600
        self._tar.addfile(info, io.BytesIO(data))


class _Member(tarfile.TarInfo):
    """A file as the Writer makes them; other headers are refused before anything of them is read."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.type != tarfile.REGTYPE:
            raise tarfile.ReadError(f"{found.name[:80]!r} is no plain file")
        if not 0 <= found.size <= _LIMITS.get(found.name, MAX_MEMBER):
            raise tarfile.ReadError(f"{found.name[:80]!r} has {found.size:,} bytes")
        return found


class Reader:
    """Reads an archive from ``stream``; raises :class:`UsageError` in words for one that is not whole.

    ``where``: the archive, for people.
    """

    def __init__(self, stream: IO[bytes], where: str) -> None:
        self.where = where
        self.secret_key: str | None = None  # once it went by
        self.rows: Counter[str] = Counter()  # of what went by
        self.types: dict[str, list[set[type]]] = {}  # "kind.table" -> what went by in each column
        self._seen: dict[str, str] = {}
        self._sums: Sums | None = None
        self._members = self._read(stream)
        name, data = next(self._members, ("", b""))
        if name != MANIFEST:
            raise UsageError(f"{where}: is no archive of crawlkit backup")
        try:
            self.manifest = msgspec.json.decode(data, type=Manifest)
        except _WRONG as error:
            raise UsageError(f"{where}: its manifest cannot be read: {error}") from None
        if self.manifest.format != FORMAT:
            written = f"has format {self.manifest.format}, written by crawlkit {self.manifest.crawlkit}"
            raise UsageError(f"{where}: {written}: use that one")
        strange = sorted(self.manifest.stores.keys() - set(KINDS))
        if strange or not 0 <= self.manifest.made < MAX_TIME:
            what = f"there are no stores {strange[0][:80]!r}" if strange else f"made at {self.manifest.made}"
            raise UsageError(f"{where}: its manifest cannot be right: {what}: use another archive")

    def chunks(self) -> Iterator[Chunk]:
        """All rows, once; at the end everything has been held against the sums."""
        for name, data in self._members:
            if name == KEY:
                self.secret_key = data.decode("ascii", "replace")
                if not (data.isascii() and self.secret_key.isprintable()):
                    raise self._broken(f"{name} is no key")
            elif name != SUMS:
                try:
                    chunk = self._chunk(name, data)
                except _WRONG as error:
                    raise self._broken(f"{name[:80]}: {error}") from None
                self.rows[f"{chunk.kind}.{chunk.table}"] += len(chunk.rows)
                yield chunk
        self._check()

    def _chunk(self, name: str, data: bytes) -> Chunk:
        """The rows of a member; nothing is built before it is known how much it will be."""
        kind, table, _ = name.split("/")
        contents = self.manifest.stores.get(kind)
        columns = contents.tables.get(table) if contents is not None else None
        if columns is None:
            raise ValueError("the manifest knows no such table")
        if _length(data) > MAX_ROWS:
            raise ValueError(f"more than {MAX_ROWS:,} rows")
        types = self.types.setdefault(f"{kind}.{table}", [set() for _ in columns])
        rows = []
        for raw in _RAWS.decode(data):
            if _length(raw) != len(columns):
                raise ValueError(f"a row has not the {len(columns)} columns of {table}")
            row = _row(raw)
            for seen, value in zip(types, row, strict=True):
                seen.add(type(value))
                if type(value) is int and not -(2**63) <= value < 2**63:
                    raise ValueError(f"{value} is too large a number")
            rows.append(row)
        return Chunk(kind, table, rows)

    def _read(self, stream: IO[bytes]) -> Iterator[tuple[str, bytes]]:
        try:
            with gzip.GzipFile(fileobj=stream, mode="rb") as unzipped, tarfile.open(
                fileobj=unzipped, mode="r|", tarinfo=_Member
            ) as tar:  # fmt: skip
                for member in tar:
                    tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                    if self._sums is not None or member.name in self._seen or len(self._seen) >= MAX_MEMBERS:
                        raise self._broken(f"{member.name[:80]} does not belong there")
                    if member.name == SUMS and member.size > 2**20 + 256 * len(self._seen):
                        raise self._broken(f"{member.name} has {member.size:,} bytes")
                    file = tar.extractfile(member)
                    data = file.read() if file is not None else b""
                    if member.name == SUMS:
                        self._sums = msgspec.json.decode(data, type=Sums)
                    else:
                        self._seen[member.name] = hashlib.sha256(data).hexdigest()
                    yield member.name, data
        except _BROKEN as error:
            if not self._seen:
                raise UsageError(f"{self.where}: is no archive of crawlkit backup ({error})") from None
            raise self._broken(str(error)) from None

    def _check(self) -> None:
        if self._sums is None:
            raise self._broken("its end is missing")
        for name in sorted(self._seen.keys() | self._sums.members.keys()):
            if self._seen.get(name) != self._sums.members.get(name):
                raise self._broken(f"{name} is not as it was written")
        if dict(self.rows) != self._sums.rows:
            raise self._broken("the numbers of rows are not those that were written")

    def _broken(self, why: str) -> UsageError:
        return UsageError(f"{self.where}: the archive is damaged or not whole: {why}: use another one")


def _length(data: bytes | msgspec.Raw) -> int:
    """How many values a list in msgpack says that it has; raises ``ValueError`` for something else."""
    head = bytes(memoryview(data)[:5])
    if not head or head[0] not in _LISTS:
        raise ValueError("is no list")
    return head[0] & 15 if head[0] < 0xA0 else int.from_bytes(head[1:3] if head[0] == 0xDC else head[1:], "big")


def _row(raw: msgspec.Raw) -> Row:
    """The values of a row; raises ``ValueError`` for one that is no scalar."""
    try:
        return tuple(_PLAIN.decode(raw))
    except msgspec.ValidationError:  # bytes, or what does not belong there
        values = _RAWS.decode(raw)
    if any(memoryview(value)[0] in _NESTED for value in values):
        raise ValueError("a value is none that a column holds")
    return tuple(msgspec.msgpack.decode(value) for value in values)
