"""The wire forms: what only routes reads all of them, and peers of another day read each other."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs.errors import BadMessage
from crawlkit.libs.messages import (
    NIL,
    QUEUE_NAMES,
    VERSION,
    Dispatch,
    DispatchHead,
    Fetched,
    FetchedHead,
    FetchEnded,
    Outcome,
    OutcomeForStore,
    OutcomeHead,
    decode,
    decode_status,
    encode,
    queue_names,
    status_partition,
    status_queue_name,
)
from crawlkit.libs.task import MAX_PARTITIONS, Fetch, Schedule

PARTITIONS = (0, 1, 7, 127, 128, MAX_PARTITIONS - 1)


def dispatch(partition: int) -> Dispatch:
    return Dispatch(
        "p", "t", 1, 2, "http://h/", "v", "page", 0, 0, Schedule(priority=3), Fetch(headers={"a": "b"}), NIL, 1.5, "g",
        "etag", None, ["jar"], partition=partition,
    )  # fmt: skip


def outcome(partition: int) -> Outcome:
    return Outcome(
        "p", "t", 1, 2, 0, 0, True, ["1"], 0, "http://h/", "n", True, [], [], etag="e", jar=["c"], partition=partition
    )


def ended(partition: int) -> FetchEnded:
    return FetchEnded("p", "t", 1, 2, "h", 200, None, 0.5, None, 3.0, partition)


def older(message: msgspec.Struct, fields: int) -> bytes:
    """``message`` as a peer wrote it that knew only its first fields, the tag not counted."""
    tag = message.__struct_config__.tag
    values = [getattr(message, name) for name in message.__struct_fields__[:fields]]
    return bytes([VERSION]) + msgspec.msgpack.encode([tag, *values] if tag else values)


def test_heads_have_the_fields_of_what_they_are_of() -> None:
    assert DispatchHead.__struct_fields__ == Dispatch.__struct_fields__
    assert OutcomeHead.__struct_fields__ == Outcome.__struct_fields__
    assert OutcomeForStore.__struct_fields__ == Outcome.__struct_fields__


@pytest.mark.parametrize("partition", PARTITIONS)
def test_the_partition_is_read_from_whatever_part_is_decoded(partition: int) -> None:
    fetched = Fetched(dispatch(partition), 200, "http://h/", "http://h/", [], {}, 0.1, content=b"x" * 100)
    assert decode(encode(fetched), Fetched) == fetched
    assert decode(encode(fetched), FetchedHead).task.partition == partition
    sent = outcome(partition)
    assert decode_status(encode(sent)) == sent
    assert decode(encode(sent), OutcomeHead).partition == partition
    passed: OutcomeForStore = decode(encode(sent), OutcomeForStore)
    assert decode_status(encode(passed)) == sent
    assert decode_status(encode(ended(partition))) == ended(partition)


def test_an_older_peer_says_no_partition_and_leaves_ours_out() -> None:
    last = len(Dispatch.__struct_fields__) - 1
    assert decode(older(dispatch(5), last), Dispatch) == dispatch(0)
    assert decode(older(outcome(5), len(Outcome.__struct_fields__) - 1), Outcome) == outcome(0)
    assert decode_status(older(ended(5), len(FetchEnded.__struct_fields__) - 1)) == ended(0)

    class OldEnded(msgspec.Struct, array_like=True, tag="fetch_ended"):
        project: str
        taskid: str
        run: int

    assert decode(encode(ended(5)), OldEnded) == OldEnded("p", "t", 1)


@pytest.mark.parametrize("partition", [-1, MAX_PARTITIONS])
def test_a_partition_that_cannot_be_is_refused(partition: int) -> None:
    with pytest.raises(BadMessage, match="int"):
        decode(encode(dispatch(partition)), Dispatch)
    for message in (outcome(partition), ended(partition)):
        with pytest.raises(BadMessage, match="int"):
            decode_status(encode(message))


@given(st.integers(0, MAX_PARTITIONS - 1))
def test_each_partition_has_a_status_queue(partition: int) -> None:
    name = status_queue_name(partition)
    assert status_partition(name) == partition
    assert (name in QUEUE_NAMES) == (partition == 0)


@pytest.mark.parametrize(
    "name", ["newtask_queue", "status_queue_", "status_queue_0", "status_queue_07", "status_queue_x"]
)
def test_other_queues_are_nobodys_status_queue(name: str) -> None:
    assert status_partition(name) is None


def test_the_queues_of_the_ring_are_shown_with_the_status_queues_that_are_used() -> None:
    assert queue_names() == list(QUEUE_NAMES)
    used = ["status_queue_11", "epoch", "status_queue", "status_queue_2", "status_queue_2x"]
    assert queue_names(used) == [*QUEUE_NAMES, "status_queue_2", "status_queue_11"]
