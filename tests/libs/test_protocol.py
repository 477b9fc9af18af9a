"""Which crawlkits work together, in words."""

from __future__ import annotations

import json

import msgspec
import pytest

from crawlkit import __version__
from crawlkit.libs.errors import BadMessage, OtherVersion, UsageError
from crawlkit.libs.messages import VERSION, Dispatch, Heartbeat, decode, decode_status, encode
from crawlkit.libs.protocol import check_component, check_scheduler
from crawlkit.libs.rows import NodeRow

OTHER = json.dumps({"version": VERSION + 1, "crawlkit": "99.1"})
NOW = 1_700_000_000.0


def row(node: str, protocol: int, seen: float = NOW, alive: bool = True) -> NodeRow:
    return NodeRow(node, "fetcher", "h", 1, "99.1", NOW, seen, json.dumps({"protocol": protocol}), alive)


def test_the_same_messages_work_together_whatever_the_package() -> None:
    check_component(None, "fetcher")
    check_component(json.dumps({"version": VERSION, "crawlkit": "0.0.1"}), "fetcher")


def test_a_component_with_other_messages_is_refused_in_one_line_that_names_both() -> None:
    with pytest.raises(UsageError) as refused:
        check_component(OTHER, "fetcher")
    words = str(refused.value)
    for word in (__version__, "99.1", f"version {VERSION},", f"version {VERSION + 1}", "docs/upgrades.md"):
        assert word in words
    assert "\n" not in words


def test_a_scheduler_with_other_messages_waits_for_the_old_nodes_to_go() -> None:
    check_scheduler(OTHER, [], NOW)
    check_scheduler(OTHER, [row("gone", VERSION + 1, alive=False), row("old", VERSION + 1, NOW - 300)], NOW)
    check_scheduler(OTHER, [row("ready", VERSION)], NOW)
    with pytest.raises(UsageError, match=r"2 nodes of crawlkit 99\.1 .* still run \(a, b\): stop them first"):
        check_scheduler(OTHER, [row("a", VERSION + 1), row("b", VERSION + 1), row("c", VERSION)], NOW)


def test_a_message_of_another_version_says_so_and_one_with_more_or_fewer_fields_is_read() -> None:
    said = encode(Heartbeat("n", "fetcher", "h", 1, "1", 0.0))
    with pytest.raises(OtherVersion, match=f"message version {VERSION + 1}, this is version {VERSION}"):
        decode(bytes([VERSION + 1]) + said[1:], Dispatch)
    with pytest.raises(BadMessage, match="empty"):
        decode(b"", Dispatch)
    fields = msgspec.msgpack.decode(said[1:])
    longer = decode_status(said[:1] + msgspec.msgpack.encode([*fields, "a field of the next version"]))
    shorter = decode_status(said[:1] + msgspec.msgpack.encode(fields[:7]))  # of a version before
    assert isinstance(longer, Heartbeat)
    assert isinstance(shorter, Heartbeat)
    assert (longer.node, shorter.node, shorter.paused) == ("n", "n", "")
