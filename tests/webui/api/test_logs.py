"""Logs over the API: filters, pages, the tail, and how far was looked."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest

from crawlkit.database.base import LogLine
from tests.webui.rows import NOW, services
from tests.webui.servers import Client, Running


@pytest.fixture(autouse=True)
def lines(server: Running) -> None:
    logdb = services(server).logdb
    logdb.prune(1e12, 0)  # what the server itself said
    logdb.append_many([
        LogLine(NOW, 20, "item found", "n-p", "processor", "shop", "t1", "item_page", "http://shop.test/1", "print"),
        LogLine(NOW + 1, 30, "no price", "n-p", "processor", "shop", "t2", "item_page", "http://shop.test/2", "shop:7"),
        LogLine(NOW + 2, 40, "failed for good (http)", "n-s", "scheduler", "shop", "t2", url="http://shop.test/2"),
        LogLine(NOW + 3, 20, "fetcher is ready", "n-f", "fetcher", logger="crawlkit"),
        LogLine(NOW + 4, 20, "item found", "n-p", "processor", "other", "t9", "item_page", "http://other.test/"),
    ])  # fmt: skip


def texts(client: Client, query: str) -> list[str]:
    return [one["text"] for one in client.api("GET", f"/logs?{query}")["items"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("project=shop", ["failed for good (http)", "no price", "item found"]),
        ("role=fetcher", ["fetcher is ready"]),
        ("node=n-s", ["failed for good (http)"]),
        ("task=t2", ["failed for good (http)", "no price"]),
        ("level=warning", ["failed for good (http)", "no price"]),
        ("level=error&project=other", []),
        (f"since={NOW + 1}&until={NOW + 3}", ["fetcher is ready", "failed for good (http)", "no price"]),
        ("text=ITEM&project=other", ["item found"]),
    ],
)
def test_filters(client: Client, query: str, found: list[str]) -> None:
    assert texts(client, query) == found


def test_pages_into_the_past(client: Client) -> None:
    found, cursor = [], ""
    while True:
        page = client.api("GET", f"/logs?limit=2&cursor={cursor}")
        found += [one["text"] for one in page["items"]]
        assert page["looked"] is None
        if page["next"] is None:
            break
        cursor = page["next"]
    assert found[:3] == ["item found", "fetcher is ready", "failed for good (http)"]
    assert len(found) == 5


def test_the_tail_goes_on_where_it_was(client: Client, server: Running) -> None:
    last = client.api("GET", "/logs?limit=1")["last"]
    page = client.api("GET", f"/logs?after={last}")
    assert (page["items"], page["next"]) == ([], str(last))
    services(server).logdb.append_many([LogLine(NOW, 20, "a", project="p"), LogLine(NOW, 20, "b", project="q")])
    page = client.api("GET", f"/logs?after={last}&project=p")
    assert [one["text"] for one in page["items"]] == ["a"]
    assert page["next"] == str(last + 2)  # what does not match is behind us, too


def test_what_there_is_to_search(client: Client) -> None:
    state = client.api("GET", "/logs/nodes")
    assert {"node": "n-f", "role": "fetcher"} in state["nodes"]
    assert state["lines"] >= 5
    assert state["bytes"] > 0


@pytest.mark.parametrize(
    "query", ["level=loud", "limit=501", "cursor=x", "since=soon", "colour=red", "text=" + "a" * 201]
)
def test_bad_questions(client: Client, query: str) -> None:
    answer = client.request("GET", f"/api/v1/logs?{query}")
    assert answer.status == 400
    assert answer.json["detail"]


def test_the_newest_number_is_pushed(client: Client, server: Running) -> None:
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    connection.request("GET", "/api/v1/live/logs", headers={"Cookie": client.cookie})
    stream = connection.getresponse()

    def pushed() -> int:
        while True:
            line = stream.readline()
            if line.startswith(b"data:") and b"last" in line:
                return int(json.loads(line[5:])["set"]["last"])

    first = pushed()
    last = services(server).logdb.append_many([LogLine(NOW, 20, "new")])
    assert pushed() == last > first
    connection.close()
