"""A file that is not whole yet, through every kind of end."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlkit.files.part import Note, Part, hash_of, read_note


def opened(folder: Path) -> Part:
    return Part.open(folder / "k.part", "u", "t")


def test_what_is_synced_is_there_after_a_crash(tmp_path: Path) -> None:
    part = opened(tmp_path)
    part.note.etag = '"1"'
    part.write(b"a" * 1000)
    part.sync()
    part.write(b"b" * 500)
    assert part.unsynced == 500
    part.close()  # as a kill does: nothing more is written down
    again = opened(tmp_path)
    assert (again.size, again.unsynced, again.note.etag) == (1000, 0, '"1"')
    assert again.digest() == hashlib.sha256(b"a" * 1000).hexdigest()
    again.write(b"c" * 500)
    again.finish()
    again.close()
    assert hash_of(tmp_path / "k.part") == (1500, hashlib.sha256(b"a" * 1000 + b"c" * 500).hexdigest())
    assert opened(tmp_path).note.sha256 == again.note.sha256


def test_a_part_of_another_url_is_not_gone_on_with(tmp_path: Path) -> None:
    part = opened(tmp_path)
    part.write(b"a")
    part.sync()
    part.close()
    other = Part.open(tmp_path / "k.part", "v", "t")
    assert other.size == 0
    assert read_note(tmp_path / "k.json") is None  # it must not vouch for what comes now
    other.close()


def test_a_note_never_vouches_for_other_bytes(tmp_path: Path) -> None:
    part = opened(tmp_path)
    part.note.etag, part.note.ranges = '"1"', False
    part.write(b"a" * 100)
    part.sync()
    part.restart()
    assert read_note(tmp_path / "k.json") is None
    assert part.note == Note(url="u", target="t", ranges=False)
    part.write(b"b" * 200)
    part.close()
    assert opened(tmp_path).size == 0


def test_a_write_that_fails_leaves_the_part_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = opened(tmp_path)
    part.write(b"a" * 100)
    pwrite = os.pwrite
    calls = []

    def short_then_full(fd: int, data: bytes, at: int) -> int:
        calls.append(at)
        if len(calls) == 1:
            return pwrite(fd, data[:10], at)
        raise OSError(28, "full")

    monkeypatch.setattr(os, "pwrite", short_then_full)
    with pytest.raises(OSError, match="full"):
        part.write(b"b" * 50)
    monkeypatch.undo()
    assert calls == [100, 110]
    assert (part.size, part.file.stat().st_size) == (100, 100)
    part.write(b"c")
    assert part.digest() == hashlib.sha256(b"a" * 100 + b"c").hexdigest()
    part.close()


def test_discard_leaves_nothing(tmp_path: Path) -> None:
    part = opened(tmp_path)
    part.write(b"a")
    part.sync()
    part.discard()
    part.discard()
    assert not part.is_open
    assert list(tmp_path.iterdir()) == []


@given(st.binary(max_size=200))
def test_any_note_can_be_read(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "k.json"
        file.write_bytes(data)
        assert read_note(file) is None or isinstance(read_note(file), Note)


STEP = st.one_of(
    st.binary(min_size=1, max_size=300).map(lambda data: ("write", data)),
    st.sampled_from([("sync", b""), ("crash", b""), ("power cut", b""), ("restart", b"")]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEP, max_size=12))
def test_whatever_happens_a_part_is_a_beginning_of_what_was_written(steps: list[tuple[str, bytes]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        part, written, synced = opened(folder), b"", b""
        for what, data in steps:
            if what == "write":
                part.write(data)
                written += data
            elif what == "sync":
                part.sync()
                synced = written
            elif what == "restart":
                part.restart()
                written = synced = b""
            else:
                part.close()
                if what == "power cut":  # what was not synced may be anything
                    with part.file.open("r+b") as file:
                        file.seek(len(synced))
                        file.write(b"\0" * 500)
                part = opened(folder)
                written = synced
            assert part.size == len(written)
            assert part.digest() == hashlib.sha256(written).hexdigest()
        part.close()
        assert (folder / "k.part").read_bytes()[: len(synced)] == synced
