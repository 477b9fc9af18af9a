"""A project's files in a store: the rules that hold for a folder, in every kind of store."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from crawlkit.files import store_part
from crawlkit.files.store import Store
from crawlkit.files.store_area import StoreArea
from crawlkit.files.store_lock import StoreLocks
from crawlkit.files.store_part import StorePart
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.errors import FetchError

URL = "http://host/x.pdf"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_part, "PIECE", 4)


@pytest.fixture
def store(url: str) -> Store:
    return Store(url)


@pytest.fixture
def area(store: Store) -> StoreArea:
    return StoreArea(store, StoreLocks(store, ManualClock().monotonic), "p")


def whole(area: StoreArea, path: str, data: bytes, url: str = URL, target: str = "{name}") -> StorePart:
    part = area.open_part(url, target)
    part.note.path = path
    part.write(data)
    part.finish()
    return part


def there(store: Store, *folders: str) -> list[str]:
    return [name for folder in folders for name in store.names(f"p/.crawlkit-files/{folder}")]


def test_a_whole_part_goes_to_its_place(area: StoreArea, store: Store) -> None:
    entry = area.settle(whole(area, "a/b/x.pdf", b"1234567890"), run=3, now=9.0)
    assert (entry.path, entry.bytes, entry.run, entry.checked) == ("a/b/x.pdf", 10, 3, 9.0)
    assert store.get("p/a/b/x.pdf") == b"1234567890"
    assert area.name_of("a/b/x.pdf").endswith("/p/a/b/x.pdf")
    assert "secret" not in area.name_of("a/b/x.pdf")
    assert area.finished(URL, "{name}", "x.pdf", 4, 10.0) == entry
    assert area.book.entries() == [entry]
    assert there(store, "parts", "locks") == []


def test_a_crash_before_it_is_in_its_place(area: StoreArea, store: Store) -> None:
    whole(area, "x.pdf", b"1234567890")
    entry = area.finished(URL, "{name}", "x.pdf", 1, 1.0)
    assert entry is not None
    assert store.get("p/x.pdf") == b"1234567890"
    assert there(store, "parts", "locks") == []


def test_a_file_that_is_gone_or_has_another_length_counts_no_more(area: StoreArea, store: Store) -> None:
    for change in (lambda: store.remove("p/x.pdf"), lambda: store.put("p/x.pdf", b"longer than before")):
        area.settle(whole(area, "x.pdf", b"12345"), 1, 1.0)
        change()
        assert area.finished(URL, "{name}", "x.pdf", 1, 1.0) is None
        store.remove("p/x.pdf")


def test_a_newer_version_replaces_an_older_one(area: StoreArea, store: Store) -> None:
    for data in (b"old", b"new and longer"):
        area.settle(whole(area, "x.pdf", data), 1, 1.0)
    assert store.get("p/x.pdf") == b"new and longer"


def test_the_file_of_another_url_stays(area: StoreArea, store: Store) -> None:
    area.settle(whole(area, "x.pdf", b"first", "u1", "x.pdf"), 1, 1.0)
    with pytest.raises(FetchError, match="is the file of another URL, u1"):
        area.settle(whole(area, "x.pdf", b"second", "u2", "x.pdf"), 1, 1.0)
    assert store.get("p/x.pdf") == b"first"
    paths = [area.settle(whole(area, "x.pdf", url.encode(), url), 1, 1.0).path for url in ("u3", "u4", "u3")]
    assert paths == [f"x-{hashlib.sha256(url).hexdigest()[:8]}.pdf" for url in (b"u3", b"u4", b"u3")]


def test_a_file_that_nobody_knows_stays(area: StoreArea, store: Store) -> None:
    store.put("p/x.pdf", b"mine")
    with pytest.raises(FetchError, match="nothing is known of it"):
        area.settle(whole(area, "x.pdf", b"other"), 1, 1.0)
    assert store.get("p/x.pdf") == b"mine"
    store.put("p/x.pdf", b"other")  # the same bytes: it is the file
    assert area.finished(URL, "{name}", "x.pdf", 1, 1.0) is not None


def test_a_broken_part_is_set_apart(area: StoreArea, store: Store) -> None:
    for data in (b"12345", b"wrong"):
        part = area.open_part(URL, "a/{name}")
        part.note.path = "a/x.pdf"
        part.write(data)
        assert area.set_apart(part).endswith("/p/a/x.pdf.broken")
        assert store.get("p/a/x.pdf.broken") == data
    assert there(store, "parts", "locks") == []
    assert area.open_part(URL, "a/{name}").size == 0


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", ".crawlkit-files/book/x", "", "a//b", "a\0b"])
def test_nothing_leads_out(area: StoreArea, path: str) -> None:
    with pytest.raises(FetchError) as raised:
        area.name_of(path)
    assert raised.value.kind == "file"


def test_a_target_is_one_tasks(area: StoreArea) -> None:
    lock = area.try_lock("u1", "x.pdf")
    assert lock is not None
    assert area.try_lock("u2", "x.pdf") is None
    other = area.try_lock("u2", "{name}")
    assert other is not None
    for each in (lock, other):
        each.release()


def test_adopted_files(area: StoreArea, store: Store, tmp_path: Path) -> None:
    source = tmp_path / "old.pdf"
    source.write_bytes(b"12345")
    entries = [area.adopt(source, "a/old.pdf", url="u1"), area.adopt(source, "b.pdf", copy=True)]
    assert area.finished("u1", "{name}", "c.pdf", 1, 1.0) is None
    area.enter(entries)
    assert area.finished("u1", "{name}", "c.pdf", 1, 1.0) == entries[0]
    assert area.finished("u2", "b.pdf", "c.pdf", 1, 1.0) == entries[1]
    assert area.finished("u3", "{name}", "b.pdf", 1, 1.0) == entries[1]
    assert area.adopt(source, "b.pdf") == entries[1]
    with pytest.raises(FetchError, match="was expected"):
        area.adopt(source, "d.pdf", sha256="0" * 64)
    source.write_bytes(b"other")
    with pytest.raises(FetchError, match="it is another file"):
        area.adopt(source, "b.pdf")
    assert [area.state_of(entry) for entry in entries] == [None, None]
    store.put("p/b.pdf", b"54321")
    store.remove("p/a/old.pdf")
    assert [area.state_of(entry) for entry in entries] == ["is gone", "has changed"]


def test_a_whole_file_is_read_up_to_a_limit(area: StoreArea) -> None:
    area.settle(whole(area, "a/x.pdf", b"1234567890"), run=1, now=0.0)
    assert area.read("a/x.pdf", 10) == b"1234567890"
    assert area.read("a/x.pdf", 9) is None
    assert area.read("a/y.pdf", 9) is None
    with pytest.raises(FetchError):
        area.read("../other/x.pdf", 9)
