"""Frames survive any cutting of the stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs.errors import BadMessage
from crawlkit.processor.frames import HEADER, MAX_FRAME, FrameReader, header

FRAME = st.tuples(st.integers(0, 255), st.integers(0, 2**64 - 1), st.binary(max_size=300))


@given(st.lists(FRAME, max_size=20), st.lists(st.integers(1, 200), min_size=1))
def test_frames_come_out_as_they_went_in(sent: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(header(kind, number, len(payload)) + payload for kind, number, payload in sent)
    reader, found, at, turn = FrameReader(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        found += reader.feed(stream[at : at + size])
        at += size
        turn += 1
    assert found == sent


def test_a_length_over_the_limit_is_refused() -> None:
    with pytest.raises(BadMessage, match="over the limit"):
        FrameReader().feed(HEADER.pack(MAX_FRAME + 1, 1, 1))


@given(st.binary(max_size=200))
def test_rubbish_raises_nothing_else(data: bytes) -> None:
    reader = FrameReader()
    try:
        for at in range(0, len(data), 7):
            reader.feed(data[at : at + 7])
    except BadMessage:
        pass
