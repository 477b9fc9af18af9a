"""The door to stores: the same behaviour in a folder, in memory, over FTP and in S3."""

from __future__ import annotations

import gc
import hashlib
import io
import os
import sys
import threading
from pathlib import Path

import pytest

from crawlkit.files.store import MERGE_MIN, Store, check_url, is_url
from crawlkit.libs.errors import StoreUnavailable, UsageError
from crawlkit.libs.url_masking import masked
from tests.files.stores import ftp_server


@pytest.fixture
def store(url: str) -> Store:
    return Store(url)


def test_an_object_is_put_replaced_and_removed(store: Store) -> None:
    assert (store.get("p/a.json"), store.size("p/a.json")) == (None, None)
    store.remove("p/a.json")
    for data in (b"one", b"", b"three"):
        store.put("p/a.json", data)
        assert (store.get("p/a.json"), store.size("p/a.json")) == (data, len(data))
    store.remove("p/a.json")
    assert (store.get("p/a.json"), store.size("p/a.json")) == (None, None)


def test_an_object_is_created_once(store: Store) -> None:
    assert [store.create("locks/one", data) for data in (b"mine", b"yours")] == [True, False]
    assert store.get("locks/one") == b"mine"


class Broken(io.BytesIO):
    """Gives one piece, then fails as a disk does."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise OSError(5, "the disk is broken")
        return super().read(1000)


@pytest.mark.parametrize("kind", ["s3", "file"])
def test_what_fails_half_way_is_not_masked(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    store = Store(request.getfixturevalue("s3_url") if kind == "s3" else f"file://{tmp_path}/files")
    store.put("p/kept", b"old")
    for name in ("p/new", "p/kept"):
        with pytest.raises((OSError, StoreUnavailable), match="disk is broken"):
            store.upload(Broken(b"x" * 5000), name)
    gc.collect()
    assert store.names("p") == ["kept"]
    assert store.get("p/kept") == b"old"


def test_names_that_are_no_patterns(store: Store) -> None:
    for name in ("a [1].bin", "b*.bin", "c?d#e.bin", "Ölfaß 日本.bin"):
        store.put(f"p/{name}", name.encode())
        assert store.hash_of(f"p/{name}") == (len(name.encode()), hashlib.sha256(name.encode()).hexdigest())
    store.remove("p/b*.bin")
    assert store.names("p") == sorted(["a [1].bin", "c?d#e.bin", "Ölfaß 日本.bin"])
    store.put("p/deeper/x", b"1")
    store.remove_folder("p")
    assert store.names("p") == []
    assert store.get("p/deeper/x") == b"1"
    assert store.names("nothing") == []


def test_a_folder_is_no_file(store: Store) -> None:
    store.put("p/folder/x", b"1")
    assert store.size("p/folder") in (-1, None)


@pytest.mark.parametrize("sizes", [[], [3], [MERGE_MIN, MERGE_MIN, 5], [7, 2]])
def test_pieces_are_joined(store: Store, sizes: list[int]) -> None:
    pieces = [os.urandom(size) for size in sizes]
    names = [f"parts/{number}" for number in range(len(pieces))]
    for name, data in zip(names, pieces, strict=True):
        store.put(name, data)
    store.put("p/whole [x].bin", b"an older one")
    store.join(names, sizes, "p/whole [x].bin")
    whole = b"".join(pieces)
    assert store.hash_of("p/whole [x].bin") == (len(whole), hashlib.sha256(whole).hexdigest())
    assert store.names("p") == ["whole [x].bin"]
    assert store.names("parts") == names_of(names)


def names_of(paths: list[str]) -> list[str]:
    return [path.rpartition("/")[2] for path in paths]


def test_many_threads_at_once(store: Store) -> None:
    errors: list[Exception] = []

    def work(number: int) -> None:
        try:
            for turn in range(4):
                store.put(f"p/{number}", b"%d" % turn)
                assert store.get(f"p/{number}") == b"%d" % turn
        except Exception as error:  # shown below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert store.names("p") == list("012345")


def test_a_lost_connection_is_said_and_made_anew(tmp_path: Path) -> None:
    with ftp_server(tmp_path) as url:
        store = Store(url)
        store.put("a", b"1")
    with pytest.raises(StoreUnavailable, match=r"ftp://me:\*\*\*@127.0.0.1"):
        store.get("a")
    with ftp_server(tmp_path) as url:
        store.url = url
        assert store.get("a") == b"1"


def test_a_link_that_leads_out_of_a_folder(tmp_path: Path) -> None:
    store = Store(f"file://{tmp_path}/kept")
    store.put("p/a", b"1")
    (tmp_path / "kept/p/link").symlink_to(tmp_path)
    assert [store.leads_out(name) for name in ("p/a", "p/link/a", "p/link/kept/p/a")] == [False, True, False]


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(UsageError, match=r"pip install -e \S+\[fsspec\]"):
        check_url("s3://bucket/folder")


def test_what_a_kind_of_store_needs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.registry import known_implementations

    odd = {"class": "not_installed_here.FileSystem", "err": "Install the odd library"}
    monkeypatch.setitem(known_implementations, "odd", odd)
    with pytest.raises(UsageError, match="odd://bucket/x: Install the odd library"):
        check_url("odd://bucket/x")


def test_urls() -> None:
    assert [is_url(path) for path in ("s3://b/p", "memory://", "/srv/files", "C:/files", "files", "a:b")] == [
        True, True, False, False, False, False,
    ]  # fmt: skip
    check_url("memory://x")
    with pytest.raises(UsageError, match="knows no nonsense://"):
        check_url("nonsense://me:secret@x/y")
    assert masked("ftp://me:secret@host/a:b@c") == "ftp://me:***@c"  # rather too much than too little
    assert Store("ftp://me:secret@host/a/").url_of("p/x") == "ftp://me:***@host/a/p/x"


def test_a_file_of_this_machine_becomes_an_object(url: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 9_000_000)
    store = Store(url)
    store.put("f/a", b"old")
    store.put_file(str(source), "f/a", "tag-")
    assert store.hash_of("f/a")[0] == 9_000_000
    assert store.names("f") == ["a"]
    with pytest.raises(StoreUnavailable):
        store.put_file(str(tmp_path / "none"), "f/a", "tag-")
    assert store.size("f/a") == 9_000_000


def test_drafts_are_removed_by_how_they_begin(tmp_path: Path) -> None:
    with ftp_server(tmp_path) as ftp:
        (tmp_path / "f").mkdir()
        for name in (".crawlkit-a-1-x.tmp", ".crawlkit-a-2-x.tmp", ".crawlkit-b-1-x.tmp", "a"):
            (tmp_path / "f" / name).touch()
        Store(ftp).remove_drafts("f", "a-", "a-2-")
        Store(ftp).remove_drafts("none", "a-", "a-2-")
    left = sorted(path.name for path in (tmp_path / "f").iterdir())
    assert left == [".crawlkit-a-2-x.tmp", ".crawlkit-b-1-x.tmp", "a"]
