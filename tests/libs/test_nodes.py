"""The processes that take part, as people see them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crawlkit.libs.nodes import SHOWN, STALE, Watch, matching, nodes_of
from crawlkit.libs.rows import NodeRow

NOW = 1_700_000_000.0


def row(
    node: str, seen: float = NOW, role: str = "fetcher", alive: bool = True, host: str = "h", **stats: Any
) -> NodeRow:
    return NodeRow(node, role, host, 42, "1.0", NOW - 100, seen, json.dumps(stats), alive)


def test_who_lives_comes_first_and_who_is_long_gone_not_at_all() -> None:
    found = nodes_of([
        row("gone", NOW - 500, alive=False, state="stopped"), row("silent", NOW - STALE - 1),
        row("b", role="scheduler"), row("a"), row("forgotten", NOW - SHOWN - 1, alive=False),
        row("killed", NOW - 99, alive=False, state="dead"),
    ])  # fmt: skip
    assert [(node.node, node.alive, node.state) for node in found] == [
        ("a", True, "alive"), ("b", True, "alive"), ("silent", False, "dead"), ("killed", False, "dead"),
        ("gone", False, "stopped"),
    ]  # fmt: skip


def test_what_a_process_uses() -> None:
    alive, gone, old = nodes_of([
        row("a", cpu=12.5, rss=2.0**20, net_in=5.5, net_out=0, held=3, fetched=7, state="paused", reason="too hot"),
        row("b", NOW - 100, alive=False, cpu=1.0, rss=5.0), row("c", NOW - 200, alive=False, fetched=1),
    ])  # fmt: skip
    assert (alive.cpu, alive.rss, alive.net_in, alive.net_out, alive.inflight) == (12.5, 2**20, 5.5, 0, 3)
    assert (alive.state, alive.reason, alive.stats) == ("paused", "too hot", {"fetched": 7})
    assert (gone.cpu, gone.rss) == (None, None)
    assert old.rss is None


def test_without_a_scheduler_nobody_is_known_to_be_there() -> None:
    (node,) = nodes_of([row("a")], silence=STALE + 1)
    assert (node.alive, node.state) == (False, "unknown")
    assert "nobody has been heard for 21 s" in node.reason


@pytest.mark.parametrize("skew", [-86_400.0, 0.0, 86_400.0])
def test_the_clock_of_the_reader_does_not_matter(skew: float) -> None:
    watch, silences = Watch(), []
    for mono in range(0, 60, 2):
        seen = NOW + mono - mono % 5  # a scheduler that writes every five seconds
        silences.append(watch.silence([row("a", seen)], NOW + mono + skew, 1000.0 + mono))
    assert max(silences[4:]) <= 6  # the first look has only the date to go by
    last = NOW + 55
    assert watch.silence([row("a", last)], NOW + 100 + skew, 1100.0) >= 40


def test_no_rows_at_all() -> None:
    assert nodes_of([], Watch().silence([], NOW, 5.0)) == []


def test_filters_and_order() -> None:
    nodes = nodes_of([
        row("a", host="h1", cpu=5, rss=1), row("b", host="h2", cpu=50, rss=1), row("c", role="webui", host="h1"),
        row("d", alive=False, state="dead"),
    ])  # fmt: skip

    def names(**wanted: Any) -> str:
        return "".join(node.node for node in matching(nodes, **wanted))

    assert names() == "abcd"
    assert names(role="webui") == "c"
    assert names(host="h1") == "ac"
    assert names(state="dead") == "d"
    assert names(alive=True) == "abc"
    assert names(text="B") == "b"
    assert names(sort="-cpu") == "bacd"  # what is unknown comes last either way
    assert names(sort="cpu") == "abcd"
    assert names(sort="-name") == "dcba"
    assert names(sort="nonsense") == "abcd"
