"""The processes that take part, over the API."""

from __future__ import annotations

import json
import time
from typing import Any

from crawlkit.database.base import NodeRow, Writes
from tests.webui.rows import services
from tests.webui.servers import Client, Running


def row(node: str, seen: float, role: str = "fetcher", alive: bool = True, **stats: Any) -> NodeRow:
    return NodeRow(node, role, "host1", 42, "1.0", seen - 100, seen, json.dumps(stats), alive)


def test_list(client: Client, server: Running) -> None:
    now = time.time()
    services(server).taskdb.commit(Writes(nodes=[
        row("f", now, cpu=3, rss=5), row("g", now, cpu=40, rss=1, state="paused", reason="hot"),
        row("s", now, "scheduler"), row("old", now - 900, alive=False),
    ]))  # fmt: skip

    def names(query: str) -> list[str]:
        return [one["node"] for one in client.api("GET", f"/nodes?{query}")["items"]]

    assert names("") == ["f", "g", "s", "old"]
    assert names("alive=true") == ["f", "g", "s"]
    assert names("role=scheduler") == ["s"]
    assert names("state=paused") == ["g"]
    assert names("host=host2") == []
    assert names("text=OL") == ["old"]
    assert names("sort=-cpu&alive=true") == ["g", "f", "s"]
    page = client.api("GET", "/nodes?limit=3")
    assert ([one["node"] for one in page["items"]], page["total"], page["next"]) == (["f", "g", "s"], 4, "3")
    assert names(f"limit=3&cursor={page['next']}") == ["old"]
    (paused,) = client.api("GET", "/nodes?state=paused")["items"]
    assert (paused["reason"], paused["cpu"], paused["alive"]) == ("hot", 40, True)
    for wrong in ("alive=perhaps", "state=ill", "sort=beauty", "limit=0", "cursor=x"):
        assert client.request("GET", f"/api/v1/nodes?{wrong}").status == 400
