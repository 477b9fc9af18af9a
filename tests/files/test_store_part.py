"""Parts in a store: pieces that never change, and a note that says which of them are the file."""

from __future__ import annotations

import hashlib
import os

import msgspec
import pytest

from crawlkit.files import store_part
from crawlkit.files.store import Store
from crawlkit.files.store_part import StorePart, pieces_of, read_store_note

DATA = os.urandom(1_050)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_part, "PIECE", 100)


@pytest.fixture
def store(url: str) -> Store:
    return Store(url)


def open_part(store: Store, address: str = "u") -> StorePart:
    return StorePart.open(store, "p/parts/k", address, "{name}")


def written(store: Store, size: int) -> StorePart:
    part = open_part(store)
    part.write(DATA[:size])
    return part


def content(store: Store, part: StorePart) -> bytes:
    names, sizes = part.pieces()
    found = [store.get(name) or b"" for name in names]
    assert [len(data) for data in found] == sizes
    return b"".join(found)


def test_what_is_stored_is_gone_on_with(store: Store) -> None:
    part = written(store, 250)
    part.sync()
    assert (part.unsynced, part.size) == (50, 250)
    part.keep()
    part = open_part(store)
    assert (part.size, part.unsynced, part.is_open) == (250, 0, True)
    part.write(DATA[250:420])
    part.sync()
    assert (part.unsynced, content(store, part)) == (20, DATA[:400])
    part.write(DATA[420:1_050])
    part.finish()
    assert content(store, part) == DATA
    assert part.note.sha256 == part.digest() == hashlib.sha256(DATA).hexdigest()
    assert len(store.names("p/parts/k")) == 11  # nothing is left of the tails


def test_a_crash_costs_what_was_in_no_piece(store: Store) -> None:
    part = written(store, 250)
    part.sync()
    part = open_part(store)
    assert part.size == 200
    part.write(DATA[200:1_050])
    part.finish()
    assert content(store, part) == DATA


def test_a_kept_tail_that_grows_by_less_than_a_piece(store: Store) -> None:
    for end in (30, 60, 60, 99, 100, 130):
        part = open_part(store)
        part.write(DATA[part.size : end])
        part.keep()
        assert (part.note.bytes, content(store, part)) == (end, DATA[:end])
    assert len(store.names("p/parts/k")) == 2


def test_beginning_anew_leaves_the_old_until_there_is_something_new(store: Store) -> None:
    part = written(store, 250)
    part.keep()
    part = open_part(store)
    part.restart()
    assert open_part(store).size == 250  # a crash here
    part.write(DATA[500:700])
    part.finish()
    assert content(store, part) == DATA[500:700]
    assert part.digest() == hashlib.sha256(DATA[500:700]).hexdigest()
    part.discard()
    assert (store.names("p/parts/k"), store.get("p/parts/k.json")) == ([], None)


def test_two_writers_never_mix(store: Store) -> None:
    """One was believed dead and was not."""
    first = written(store, 150)
    first.keep()
    first, second = open_part(store), open_part(store)
    first.write(b"1" * 200)
    second.write(b"2" * 200)
    for part in (first, second, first, second):
        part.sync()
    first.write(b"1" * 50)
    first.keep()
    assert content(store, open_part(store)) == DATA[:150] + b"1" * 250
    second.write(b"2" * 10)
    second.finish()
    assert content(store, second) == DATA[:150] + b"2" * 210


@pytest.mark.parametrize("damage", ["a piece is gone", "a piece is short", "another url", "no note", "nonsense"])
def test_what_does_not_fit_begins_anew(store: Store, damage: str) -> None:
    part = written(store, 250)
    part.keep()
    names, _ = part.pieces()
    if damage == "a piece is gone":
        store.remove(names[1])
    elif damage == "a piece is short":
        store.put(names[1], b"x")
    elif damage == "no note":
        store.remove(part.note_name)
    elif damage == "nonsense":
        store.put(part.note_name, b'{"bytes": 7}')
    part = open_part(store, "other" if damage == "another url" else "u")
    assert (part.size, part.note.bytes, part.digest()) == (0, 0, hashlib.sha256().hexdigest())
    part.write(DATA)
    part.finish()
    assert content(store, part) == DATA


def test_a_piece_keeps_its_size_when_the_default_changes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    written(store, 350).keep()
    monkeypatch.setattr(store_part, "PIECE", 70)
    part = open_part(store)
    part.write(DATA[350:])
    part.finish()
    assert content(store, part) == DATA


def test_an_empty_file(store: Store) -> None:
    part = open_part(store)
    part.finish()
    assert pieces_of(read_store_note(store, part.note_name), "f") == ([], [])  # type: ignore[arg-type]


def test_a_note_that_contradicts_itself_is_none(store: Store) -> None:
    for runs, tail, size in (([("a", 2)], "", 199), ([("a", 2)], "t", 200), ([], "t", 100)):
        store.put(
            "n.json", msgspec.json.encode({"version": 1, "piece": 100, "runs": runs, "tail": tail, "bytes": size})
        )
        assert read_store_note(store, "n.json") is None
