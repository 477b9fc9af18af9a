"""The archive of a backup: streamed, complete, and refused in words when it is not as it was written."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import random
import resource
import subprocess
import sys
import tarfile
from pathlib import Path

import msgspec
import pytest

from crawlkit.libs.errors import UsageError
from crawlkit.moving import targets
from crawlkit.moving.archive import Contents, Manifest, Reader, Writer

ROWS = [("p", f"t{n}", n, math.inf, None, True, b"\x00\xff", "ü" * 50, 2**40) for n in range(50)]


def archive(version: int = 1, key: str | None = None) -> bytes:
    stream = io.BytesIO()
    stores = {"taskdb": Contents("0003", {"tasks": tuple("abcdefghi"), "state": ("c",)})}
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
    assert reader.manifest.stores["taskdb"].tables["tasks"] == tuple("abcdefghi")
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


def crafted(*members: tuple[str, bytes], stores: object = None) -> bytes:
    """An archive whose sums are right, whatever is in it."""
    stream, sums = io.BytesIO(), {}
    if stores is None:
        stores = {"taskdb": {"version": "0006", "tables": {"ledger": ["a", "b"]}}}
    manifest = msgspec.json.encode({"crawlkit": "1.0", "made": 1.0, "stores": stores})
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, data in [("manifest.json", manifest), *members, ("sums.json", b"")]:
            if name == "sums.json":
                data = msgspec.json.encode({"members": sums, "rows": {"taskdb.ledger": 1}})
            sums[name] = hashlib.sha256(data).hexdigest()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


PACKED = msgspec.msgpack.encode


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("resultdb/results/0.msgpack", PACKED([[1, 2]])),
        ("taskdb/tasks/0.msgpack", PACKED([[1, 2]])),
        ("taskdb/ledger/0.msgpack", PACKED([[1]])),
        ("taskdb/ledger/0.msgpack", PACKED([[1, 2, 3]])),
        ("taskdb/ledger/0.msgpack", PACKED([[1, {"a": 1}]])),
        ("taskdb/ledger/0.msgpack", PACKED([[b"x", [1]]])),
        ("taskdb/ledger/0.msgpack", PACKED([[1, msgspec.msgpack.Ext(1, b"x")]])),
        ("taskdb/ledger/0.msgpack", PACKED([[1, 2**64 - 1]])),
        ("taskdb/ledger/0.msgpack", b"\x91" * 100_000 + b"\xc0"),
        ("taskdb/ledger/0.msgpack", b"\x91\x92\x01" + b"\x91" * 100_000 + b"\xc0"),
        ("taskdb/ledger/0.msgpack", b"\x91\x92\x01\xdd\xff\xff\xff\xff"),
        ("taskdb/ledger/0.msgpack", b"\xdd\xff\xff\xff\xff"),
        ("taskdb/ledger/0.msgpack", b"\x91"),
        ("taskdb/ledger/0.msgpack", b""),
        ("taskdb/ledger/0.msgpack", PACKED(5)),
        ("odd", b""),
        ("secret.key", b"two\nlines"),
    ],
)
def test_rows_that_no_table_holds_are_refused(name: str, data: bytes) -> None:
    assert read(crafted(("taskdb/ledger/0.msgpack", PACKED([[b"x", -(2**63)]])))).rows["taskdb.ledger"] == 1
    with pytest.raises(UsageError, match=r"^a\.tar\.gz: the archive is damaged or not whole: "):
        read(crafted((name, data)))


def test_manifests_that_cannot_be_right_are_refused() -> None:
    with pytest.raises(UsageError, match=r"there are no stores '\.\./x'"):
        read(crafted(stores={"../x": {"version": "1", "tables": {}}}))
    for stores in (5, {"taskdb": 5}, {"taskdb": {"version": "1", "tables": {"a": [[]]}}}):
        with pytest.raises(UsageError, match="its manifest cannot be read"):
            read(crafted(stores=stores))


def bomb(place: Path, kind: str) -> None:
    """A few MB that want to be some GB."""
    manifest = b'{"crawlkit":"1","made":1.0,"stores":{"taskdb":{"version":"4","tables":{"t":["a","b"]}}}}'
    first = {"pax": tarfile.XHDTYPE, "longname": tarfile.GNUTYPE_LONGNAME, "sparse": tarfile.GNUTYPE_SPARSE}
    size = 900 * 2**20
    with gzip.open(place, "wb", compresslevel=1) as stream:
        info = tarfile.TarInfo("manifest.json")
        if kind in first or kind == "manifest":
            info.size, info.type = size, first.get(kind, tarfile.REGTYPE)
            stream.write(info.tobuf(tarfile.USTAR_FORMAT))
            start, fill = b"", b" "
        else:
            info.size = len(manifest)
            stream.write(info.tobuf() + manifest.ljust(512, b"\0"))
            info = tarfile.TarInfo("taskdb/t/0")
            info.size = size = 50 * 2**20 if kind != "member" else size
            stream.write(info.tobuf())
            start, fill = {
                "rows": (b"\xdd" + (size - 5).to_bytes(4, "big"), b"\x90"),
                "values": (b"\x91\xdd" + (size - 6).to_bytes(4, "big"), b"\xc0"),
                "value": (b"\x91\x92\x01\xdd" + (size - 8).to_bytes(4, "big"), b"\x90"),
                "member": (b"", b"\0"),
            }[kind]
        stream.write(start)
        left = size - len(start)
        while left:
            step = min(left, 2**20)
            stream.write(fill * step)
            left -= step


@pytest.mark.parametrize("kind", ["pax", "longname", "sparse", "manifest", "member", "rows", "values", "value"])
def test_a_small_archive_does_not_take_all_memory(kind: str, tmp_path: Path) -> None:
    place, limit = tmp_path / "a.tar.gz", 512 * 2**20
    bomb(place, kind)

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    found = subprocess.run(
        [sys.executable, "-m", "crawlkit", "backup", "--verify", str(place)],
        capture_output=True, text=True, preexec_fn=bound, check=False,
    )  # fmt: skip
    assert found.returncode == 2, found.stderr
    assert "Traceback" not in found.stderr
    assert "is no archive" in found.stderr or "damaged or not whole" in found.stderr


def test_large_chunks_are_written_as_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlkit.moving.archive.MAX_CHUNK", 500)
    monkeypatch.setattr("crawlkit.moving.archive.MAX_ROWS", 20)
    reader = Reader(io.BytesIO(archive()), "a")
    found = [chunk.rows for chunk in reader.chunks() if chunk.table == "tasks"]
    assert [row for rows in found for row in rows] == ROWS
    assert len(found) > 4
