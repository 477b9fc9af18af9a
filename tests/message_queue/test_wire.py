from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs.errors import BadMessage
from crawlkit.message_queue import wire

bodies = st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 6000).map(bytes)), max_size=8)


@given(st.integers(0, 2**40), st.text(max_size=10), st.none() | st.floats(0, 100), bodies)
def test_a_put_in_pieces_is_a_put(rid, queue, timeout, sent):
    data = b"".join(wire.put_frame(rid, queue, timeout, sent))
    assert wire.length_of(data) == len(data) - 4
    read = wire.read_to_server(data[4:])
    assert isinstance(read, wire.Put)
    assert (read.rid, read.queue, read.timeout) == (rid, queue, timeout)
    assert [bytes(body) for body in read.bodies] == sent


@given(st.integers(0, 2**40), st.integers(0, 9), bodies)
def test_deliveries_in_pieces_are_deliveries(rid, room, sent):
    ids = list(range(len(sent)))
    data = b"".join(wire.deliveries_frame(rid, room, ids, [], sent))
    assert wire.read_to_client(data[4:]) == wire.Deliveries(rid, room, ids, [], sent)


def test_no_piece_is_empty():
    assert all(len(piece) for piece in wire.put_frame(1, "q", None, [b"", b"x" * 5000, b"", b"y" * 5000]))


def test_what_was_read_keeps_no_view_of_the_buffer():
    data = bytearray(wire.frame(wire.Put(1, "q", None, [b"x" * 5000])))[4:]
    read = wire.read_to_server(data)
    data.clear()  # raises while somebody has a view
    assert isinstance(read, wire.Put)
    assert read.bodies == [b"x" * 5000]


@given(st.lists(st.integers(0, 2 * wire.CHUNK).map(bytes), min_size=1, max_size=6))
def test_chunks_keep_all_in_order_and_are_small(sent):
    runs = wire.chunks(sent)
    assert [body for run in runs for body in run] == sent
    for run in runs:
        assert len(run) == 1 or sum(map(len, run)) <= wire.CHUNK


@given(st.binary(max_size=200))
def test_garbage_is_a_bad_message(data):
    for read in (wire.read_to_server, wire.read_to_client):
        with contextlib.suppress(BadMessage):
            assert isinstance(read(data), msgspec.Struct)


def test_a_long_frame_is_refused():
    with pytest.raises(BadMessage, match="over the limit"):
        wire.length_of(b"GET / HTTP/1.1")


def test_the_proof_needs_the_key_and_both_nonces_and_the_role():
    shown = wire.proof(b"key", b"client", b"s" * 32, b"c" * 32)
    assert wire.proven(b"key", b"client", b"s" * 32, b"c" * 32, shown)
    assert not wire.proven(b"other", b"client", b"s" * 32, b"c" * 32, shown)
    assert not wire.proven(b"key", b"server", b"s" * 32, b"c" * 32, shown)
    assert not wire.proven(b"key", b"client", b"t" * 32, b"c" * 32, shown)
    assert not wire.proven(b"key", b"client", b"s" * 32, b"d" * 32, shown)
