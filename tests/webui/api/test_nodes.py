"""The processes that take part, over the API."""

from __future__ import annotations

import json
import time
from typing import Any

from crawlkit.database.base import NodeRow, Writes
from crawlkit.webui.api.nodes import SHOWN, SILENT, nodes_of
from tests.webui.rows import services
from tests.webui.servers import Client, Running

NOW = 1_700_000_000.0


def row(node: str, seen: float = NOW, role: str = "fetcher", alive: bool = True, **stats: Any) -> NodeRow:
    return NodeRow(node, role, "host1", 42, "1.0", NOW - 100, seen, json.dumps(stats), alive)


def test_who_lives_comes_first_and_who_is_long_gone_not_at_all() -> None:
    found = nodes_of(
        [
            row("gone", NOW - 500, alive=False), row("silent", NOW - SILENT - 1), row("b", role="scheduler"), row("a"),
            row("forgotten", NOW - SHOWN - 1, alive=False),
        ],
        NOW,
    )  # fmt: skip
    assert [(node.node, node.alive) for node in found] == [
        ("a", True), ("b", True), ("silent", False), ("gone", False),
    ]  # fmt: skip


def test_what_a_process_uses() -> None:
    alive, gone, old = nodes_of(
        [
            row("a", cpu=12.5, rss=2.0**20, fetched=7), row("b", NOW - 100, cpu=1.0, rss=5.0),
            row("c", NOW - 200, fetched=1),
        ],
        NOW,
    )  # fmt: skip
    assert (alive.cpu, alive.rss, alive.stats) == (12.5, 2**20, {"fetched": 7})
    assert (gone.cpu, gone.rss) == (None, None)
    assert old.rss is None


def test_list(client: Client, server: Running) -> None:
    services(server).taskdb.commit(
        Writes(nodes=[row("f", time.time()), row("s", time.time(), "scheduler"), row("old")])
    )
    assert [one["node"] for one in client.api("GET", "/nodes?alive=true")["items"]] == ["f", "s"]
    assert [one["node"] for one in client.api("GET", "/nodes?role=scheduler")["items"]] == ["s"]
    assert client.request("GET", "/api/v1/nodes?alive=perhaps").status == 400
