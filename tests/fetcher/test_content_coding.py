"""Bodies come out as they went in, however they are cut; bombs stop at the sink's limit."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
import zlib
from collections import deque
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.fetcher.content_coding import STEP, Chain, codings_of
from crawlkit.libs.errors import FetchError


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(data) + coder.flush()


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=5),
    "zstd": zstandard.ZstdCompressor().compress,
}


def opened(codings: list[str], data: bytes, piece: int = 16_384) -> bytes:
    out: list[bytes] = []
    chain = Chain(codings, out.append, 2**30)
    for start in range(0, len(data), piece):
        chain.write(data[start : start + piece])
    chain.finish()
    return b"".join(out)


@pytest.mark.parametrize("coding", CODERS)
@given(data=st.binary(max_size=3000), times=st.integers(1, 200), piece=st.integers(1, 5000))
def test_round_trip(coding: str, data: bytes, times: int, piece: int) -> None:
    assert opened([coding], CODERS[coding](data * times), piece) == data * times


@given(codings=st.lists(st.sampled_from(sorted(CODERS)), min_size=2, max_size=4), data=st.binary(max_size=3000))
def test_several_on_top_of_each_other(codings: list[str], data: bytes) -> None:
    packed = data
    for coding in codings:
        packed = CODERS[coding](packed)
    assert opened(codings, packed, 100) == data


@pytest.mark.parametrize("piece", [1, 7, 16_384])
def test_odd_but_right(piece: int) -> None:
    data = b"<p>page</p>" * 9_000
    assert opened(["deflate"], raw_deflate(data), piece) == data
    assert opened(["gzip"], gzip.compress(data) + gzip.compress(b"more"), piece) == data + b"more"
    assert opened(["gzip"], gzip.compress(data) + b"\0" * 1000, piece) == data
    zstd = CODERS["zstd"]
    assert opened(["zstd"], zstd(data) + zstd(b"more"), piece) == data + b"more"


@pytest.mark.parametrize("coding", CODERS)
def test_nothing_at_all_is_an_empty_body(coding: str) -> None:
    assert opened([coding], b"") == b""


@pytest.mark.parametrize("coding", CODERS)
@pytest.mark.parametrize("cut", [3, 20, -1])
def test_a_body_that_was_cut_short(coding: str, cut: int) -> None:
    packed = CODERS[coding](bytes(range(256)) * 40)
    with pytest.raises(FetchError) as caught:
        opened([coding], packed[:cut])
    assert caught.value.kind == "decode"


@pytest.mark.parametrize("coding", CODERS)
@given(rubbish=st.binary(min_size=1, max_size=200))
def test_rubbish_is_an_error_or_bytes(coding: str, rubbish: bytes) -> None:
    with contextlib.suppress(FetchError):
        opened([coding], rubbish)


def bomb(coding: str, size: int) -> bytes:
    """``size`` zeros, packed as small as the coding can."""
    block = bytes(2**20)
    if coding == "br":
        coder = brotli.Compressor(quality=9, lgwin=22)
        return b"".join([coder.process(block) for _ in range(size // len(block))]) + coder.finish()
    if coding == "zstd":
        zstd = zstandard.ZstdCompressor(level=3).compressobj()
        return b"".join([zstd.compress(block) for _ in range(size // len(block))]) + zstd.flush()
    deflate = zlib.compressobj(9, wbits=31 if coding == "gzip" else 15)
    return b"".join([deflate.compress(block) for _ in range(size // len(block))]) + deflate.flush()


class Limit:
    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.largest = 0

    def __call__(self, piece: bytes) -> None:
        self.largest = max(self.largest, len(piece))
        self.size += len(piece)
        if self.size > self.limit:
            raise FetchError("too_large", "stop")


@pytest.mark.parametrize(
    "codings", [["gzip"], ["deflate"], ["br"], ["zstd"], ["gzip", "gzip"], ["gzip", "br"], ["zstd", "zstd"]]
)
def test_bombs_stop_at_the_limit(codings: list[str]) -> None:
    packed = bomb(codings[0], 2**26)
    for coding in codings[1:]:
        packed = CODERS[coding](packed)
    limit = Limit(2**22)
    chain = Chain(codings, limit, 2**30)
    pieces = (packed[start : start + 16_384] for start in range(0, len(packed), 16_384))
    tracemalloc.start()
    with pytest.raises(FetchError) as caught:
        deque(map(chain.write, pieces), maxlen=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.kind == "too_large"
    assert limit.size <= limit.limit + limit.largest
    assert limit.largest <= 4 * STEP
    assert peak < 2**22


@pytest.mark.parametrize("codings", [["gzip"], ["zstd"], ["gzip", "gzip"], ["zstd", "br"], ["gzip", "zstd"]])
def test_what_opens_to_nothing_stops_too(codings: list[str]) -> None:
    """Empty members and frames without an end: no opened byte that could be counted."""
    empty = CODERS[codings[0]](b"")
    packed = empty * (2**24 // len(empty))
    for coding in codings[1:]:
        packed = CODERS[coding](packed)
    chain = Chain(codings, deque(maxlen=0).append, 2**22)
    pieces = (packed[start : start + 16_384] for start in range(0, len(packed), 16_384))
    with pytest.raises(FetchError) as caught:
        deque(map(chain.write, pieces), maxlen=0)
    assert caught.value.kind in {"too_large", "decode"}


@pytest.mark.parametrize(
    ("values", "codings"),
    [
        ([], []),
        (["gzip"], ["gzip"]),
        (["GZip"], ["gzip"]),
        (["gzip, br"], ["gzip", "br"]),
        (["gzip", "br"], ["gzip", "br"]),
        (["identity"], []),
        (["utf-8"], []),
        (["gzip, utf-8"], []),
        (["x-gzip, "], ["gzip"]),
        ([""], []),
        (["zstd"], ["zstd"]),
    ],
)
def test_names(values: list[str], codings: list[str]) -> None:
    assert codings_of(values) == codings


def test_too_many_layers() -> None:
    with pytest.raises(FetchError) as caught:
        codings_of(["gzip," * 5])
    assert caught.value.kind == "decode"
