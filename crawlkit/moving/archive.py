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
from typing import IO, Any

import msgspec
from msgspec import Struct

from crawlkit.database.carrying import Row
from crawlkit.libs.errors import UsageError

FORMAT = 1
LEVEL = 3  # of compression: rows are told apart well enough by it, and it is three times as fast as 6
MAX_MEMBER = 2**30  # bytes; a chunk is a few MB
MANIFEST, SUMS, KEY = "manifest.json", "sums.json", "secret.key"
_BROKEN = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, msgspec.MsgspecError, ValueError)


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
        self._add(f"{kind}/{table}/{self._chunks[what]:08}.msgpack", msgspec.msgpack.encode(rows))
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


class Reader:
    """Reads an archive from ``stream``; raises :class:`UsageError` in words for one that is not whole.

    ``where``: the archive, for people.
    """

    def __init__(self, stream: IO[bytes], where: str) -> None:
        self.where = where
        self.secret_key: str | None = None  # once it went by
        self.rows: Counter[str] = Counter()  # of what went by
        self._seen: dict[str, str] = {}
        self._sums: Sums | None = None
        self._members = self._read(stream)
        name, data = next(self._members, ("", b""))
        if name != MANIFEST:
            raise UsageError(f"{where}: is no archive of crawlkit backup")
        try:
            self.manifest = msgspec.json.decode(data, type=Manifest)
        except (msgspec.MsgspecError, ValueError) as error:
            raise UsageError(f"{where}: its manifest cannot be read: {error}") from None
        if self.manifest.format != FORMAT:
            written = f"has format {self.manifest.format}, written by crawlkit {self.manifest.crawlkit}"
            raise UsageError(f"{where}: {written}: use that one")

    def chunks(self) -> Iterator[Chunk]:
        """All rows, once; at the end everything has been held against the sums."""
        for name, data in self._members:
            if name == KEY:
                self.secret_key = data.decode("ascii", "replace")
            elif name != SUMS:
                try:
                    kind, table, _ = name.split("/")
                    rows = [tuple(row) for row in msgspec.msgpack.decode(data, type=list[list[Any]])]
                except (msgspec.MsgspecError, ValueError) as error:
                    raise self._broken(f"{name}: {error}") from None
                self.rows[f"{kind}.{table}"] += len(rows)
                yield Chunk(kind, table, rows)
        self._check()

    def _read(self, stream: IO[bytes]) -> Iterator[tuple[str, bytes]]:
        try:
            with gzip.GzipFile(fileobj=stream, mode="rb") as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as tar:
                for member in tar:
                    if self._sums is not None or not member.isfile() or member.size > MAX_MEMBER:
                        raise self._broken(f"{member.name[:80]} does not belong there")
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
