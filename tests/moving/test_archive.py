"""The archive of a backup: streamed, complete, and refused in words when it is not as it was written."""

from __future__ import annotations

import gzip
import io
import math
import random
from pathlib import Path

import pytest

from crawlkit.libs.errors import UsageError
from crawlkit.moving import targets
from crawlkit.moving.archive import Contents, Manifest, Reader, Writer

ROWS = [("p", f"t{n}", n, math.inf, None, True, b"\x00\xff", "ü" * 50, 2**40) for n in range(50)]


def archive(version: int = 1, key: str | None = None) -> bytes:
    stream = io.BytesIO()
    stores = {"taskdb": Contents("0003", {"tasks": ("a", "b"), "state": ("c",)})}
    writer = Writer(stream, Manifest("1.0", 1.7e9, stores, format=version, secret_key=key is not None))
    if key is not None:
        writer.key(key)
    writer.rows("taskdb", "tasks", ROWS[:30])
    writer.rows("taskdb", "tasks", ROWS[30:])
    writer.rows("taskdb", "state", [("x",)])
    assert writer.close() == {"taskdb.tasks": 50, "taskdb.state": 1}
    return stream.getvalue()


def read(data: bytes) -> Reader:
    reader = Reader(io.BytesIO(data), "a.tar.gz")
    for _ in reader.chunks():
        pass
    return reader


def test_rows_come_back_as_they_were() -> None:
    reader = Reader(io.BytesIO(archive(key="k" * 44)), "a")
    found = [row for chunk in reader.chunks() if chunk.table == "tasks" for row in chunk.rows]
    assert found == ROWS
    assert reader.secret_key == "k" * 44
    assert reader.manifest.stores["taskdb"].tables["tasks"] == ("a", "b")
    assert b"k" * 44 not in gzip.decompress(archive())


def test_a_cut_one_is_not_whole() -> None:
    whole = archive()
    for length in range(0, len(whole) - 8, 97):
        with pytest.raises(UsageError, match=r"^a\.tar\.gz: (is no archive|the archive is damaged or not whole)"):
            read(whole[:length])


def test_a_changed_byte_is_seen() -> None:
    plain, pick = bytearray(gzip.decompress(archive())), random.Random(7)
    good = read(gzip.compress(bytes(plain))).rows
    seen = 0
    for _ in range(300):
        place = pick.randrange(len(plain))
        plain[place] ^= 0x55
        try:
            rows = read(gzip.compress(bytes(plain))).rows
        except UsageError:
            seen += 1
        else:  # padding of the tar, or a field that nobody reads
            assert rows == good
        plain[place] ^= 0x55
    assert seen > 100


def test_other_files_and_versions_are_refused() -> None:
    for data in (b"", b"hello", gzip.compress(b"hello")):
        with pytest.raises(UsageError, match="is no archive of crawlkit backup"):
            read(data)
    with pytest.raises(UsageError, match=r"has format 2, written by crawlkit 1\.0: use that one"):
        read(archive(version=2))


def break_off(place: str) -> None:
    with targets.written(place) as stream:
        stream.write(b"half")
        raise RuntimeError


def test_an_archive_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "a.tar.gz"
    for number in range(2):
        with targets.written(str(place)) as stream:
            stream.write(b"whole %d" % number)
        with pytest.raises(RuntimeError):
            break_off(str(place))
        assert place.read_bytes() == b"whole %d" % number
        assert [path.name for path in place.parent.iterdir()] == ["a.tar.gz"]
    assert place.stat().st_mode & 0o777 == 0o600
    (tmp_path / "file").touch()
    with pytest.raises(UsageError), targets.written(str(tmp_path / "file" / "a.tar.gz")):
        pass


def test_an_archive_in_a_store_of_files() -> None:
    place = "memory://backups/a.tar.gz"
    with targets.written(place) as stream:
        stream.write(archive())
    with targets.read(place) as stream:
        assert sum(1 for _ in Reader(stream, place).chunks()) == 3
    with pytest.raises(RuntimeError):
        break_off("memory://backups/half.tar.gz")
    with (
        pytest.raises(UsageError, match=r"memory://backups/half\.tar\.gz"),
        targets.read("memory://backups/half.tar.gz"),
    ):
        pass


def test_names(tmp_path: Path) -> None:
    named = "crawlkit-20231114-221320.tar.gz"
    assert targets.place_of(str(tmp_path), 1.7e9) == str(tmp_path / named)
    assert targets.place_of("new/", 1.7e9) == f"new/{named}"
    assert targets.place_of("memory://b/", 1.7e9) == f"memory://b/{named}"
    assert targets.place_of("b.tgz", 1.7e9) == "b.tgz"
    with pytest.raises(UsageError, match="fsspec knows no odd://"):
        targets.place_of("odd://x/a", 1.7e9)
