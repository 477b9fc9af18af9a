"""The contract of the store of large bodies, over every backend."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlkit.database.base import BlobStore
from crawlkit.database.registry import connect_blobdb
from crawlkit.database.rules import CHUNK, pieces
from crawlkit.libs.clock import ManualClock

from .stores import BACKENDS, url_of


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[BlobStore]:
    made = connect_blobdb(url_of(request.param, tmp_path), clock=clock)
    yield made
    made.close()


def numbered(count: int, size: int) -> Iterator[bytes]:
    for n in range(count):
        yield hashlib.md5(b"%d" % n).digest() * (size // 16)


@pytest.mark.parametrize("chunks", [[], [b""], [b"a"], [b"a", b"", b"b"], [b"x" * CHUNK], [b"x" * (CHUNK + 1)]])
def test_what_goes_in_comes_out(store: BlobStore, chunks: list[bytes]) -> None:
    blob = store.create(chunks, "p/t/1")
    assert b"".join(store.read(blob)) == b"".join(chunks)


def test_a_large_body_in_pieces(store: BlobStore) -> None:
    blob = store.create(numbered(100, 100_000), "p/t/1")
    read = list(store.read(blob))
    assert b"".join(read) == b"".join(numbered(100, 100_000))
    assert max(map(len, read)) <= CHUNK


def test_each_has_an_id_of_its_own(store: BlobStore) -> None:
    one, two = store.create([b"1"], "same"), store.create([b"2"], "same")
    store.remove([one, "unknown"])
    assert b"".join(store.read(two)) == b"2"
    with pytest.raises(KeyError):
        store.read(one)


def test_unknown(store: BlobStore) -> None:
    with pytest.raises(KeyError):
        store.read("no")
    store.remove([])


def test_sweep_takes_the_old_and_the_unfinished(store: BlobStore, clock: ManualClock) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * (20 * CHUNK)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        store.create(broken(), "p/t/1")
    old = store.create([b"old"], "p/t/1")
    clock.advance(10)
    new = store.create([b"new"], "p/t/2")
    assert store.sweep(clock.time()) in (1, 2)  # the memory store keeps nothing of an unfinished one
    assert store.sweep(clock.time()) == 0
    with pytest.raises(KeyError):
        store.read(old)
    assert b"".join(store.read(new)) == b"new"


@pytest.mark.parametrize("sizes", [[], [1], [5, 5], [3, 0, 9], [100], [4, 4, 4]])
def test_pieces(sizes: list[int]) -> None:
    whole = bytes(range(sum(sizes)))
    chunks, start = [], 0
    for size in sizes:
        chunks.append(whole[start : start + size])
        start += size
    got = list(pieces(chunks, 4))
    assert b"".join(got) == whole
    assert all(len(piece) == 4 for piece in got[:-1])
    assert all(got)
