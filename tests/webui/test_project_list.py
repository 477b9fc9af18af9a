"""Which projects a page of the dashboard shows, and what of each. T71 for the list: filters and sorts that are none."""

from __future__ import annotations

from typing import Any

import pytest

from crawlkit.libs.rows import ProjectRow
from crawlkit.webui.api.projects import ProjectQuery, seen_page
from crawlkit.webui.board import Seen
from crawlkit.webui.project_list import ProjectItem, chosen, item_of, totals_of
from tests.webui.servers import Client, Running


def item(name: str, **fields: Any) -> ProjectItem:
    return ProjectItem(name=name, **({"group": "", "status": "STOP"} | fields))


ITEMS = [
    item("b", group="x", status="RUNNING", waiting=5, windows={"1h": [0, 0, 0, 2]}, speed=1.5),
    item("a", group="x", status="RUNNING", leased=1, paused="held", eta=[50.0, None]),
    item("c", group="", status="TODO", done=9),
    item("d", group="Y", status="DEBUG", error="does not load", eta=[10.0, 20.0]),
]
FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "cabd"),  # by group, those without one first, then name
    ({"sort": "name"}, "abcd"),
    ({"sort": "-name"}, "dcba"),
    ({"sort": "-waiting"}, "bacd"),
    ({"sort": "-speed"}, "bacd"),
    ({"sort": "-done"}, "cabd"),
    ({"sort": "eta"}, "dabc"),
    ({"sort": "status", "q": ""}, "dabc"),
    ({"q": "X"}, "ab"),
    ({"q": "x b"}, "b"),
    ({"group": "x", "sort": "name"}, "ab"),
    ({"group": ""}, "c"),
    ({"status": "RUNNING"}, "ab"),
    ({"status": "active"}, "abd"),
    ({"status": "paused"}, "a"),
    ({"status": "failing"}, "bd"),
    ({"status": "busy"}, "ab"),
]


@pytest.mark.parametrize(("asked", "names"), FILTERS)
def test_filters_and_sorts(asked: dict[str, Any], names: str) -> None:
    assert "".join(one.name for one in chosen(ITEMS, **asked)) == names


def test_pages() -> None:
    items = [item(f"p{number:03}") for number in range(120)]
    seen = Seen(items, totals_of(items), [""], True, 0.0)
    first = seen_page(seen, ProjectQuery(sort="name", limit=50))
    assert (len(first.items), first.total, first.next) == (50, 120, "50")
    last = seen_page(seen, ProjectQuery(sort="name", limit=50, cursor="100"))
    assert (last.items[0].name, len(last.items), last.next) == ("p100", 20, None)
    assert seen_page(seen, ProjectQuery(cursor="999999999")).items == []
    assert seen_page(seen, ProjectQuery(group="-")).total == 120


def test_totals() -> None:
    sums = totals_of(ITEMS)
    assert (sums.projects, sums.active, sums.waiting, sums.leased, sums.speed) == (4, 3, 5, 1, 1.5)


def test_what_the_scheduler_says_becomes_an_item() -> None:
    seen: dict[str, Any] = {
        "group": "g", "status": "RUNNING", "paused": "running", "rate": None, "burst": 3.0, "rate_set": True,
        "updated": 5.0, "waiting": 7, "leased": 2, "done": 30, "failed": 1, "windows": {"5m": [40, 30, 0, 1]},
        "all": [40, 30, 2, 1], "fetch_ms": 12.5, "process_ms": 1.0, "spark": [0] * 23 + [6] * 7,
        "eta": (1234.5, None), "action": {"kind": "clear", "touched": 3}, "error": None,
    }  # fmt: skip
    one = item_of("p", seen)
    assert one.all == [9, 30, 2, 1]
    assert one.speed == 0.6  # the last whole minute, without the ten seconds that are not over
    assert one.eta == [1200.0, None]
    assert one.action is not None
    assert one.action.touched == 3


def test_T71_a_query_that_is_none_is_refused_in_words(server: Running, client: Client) -> None:
    assert server.server is not None
    server.server.services.projectdb.put(ProjectRow("p", script="#"))
    page = client.api("GET", "/projects")
    assert ([one["name"] for one in page["items"]], page["total"], page["scheduler"]) == (["p"], 1, False)
    for asked, word in (
        ("sort=size", "sort"),
        ("limit=0", "limit"),
        ("status=PAUSED", "status"),
        ("colour=1", "colour"),
    ):
        answer = client.get(f"/api/v1/projects?{asked}")
        assert answer.status == 400, asked
        assert word in answer.text
    assert client.request("DELETE", "/api/v1/projects/p").status == 503  # in words, and it is still there
    assert client.api("GET", "/projects/p")["status"] == "TODO"


def test_metrics_of_the_api(server: Running, client: Client) -> None:
    from crawlkit.libs.metrics import MetricRow
    from crawlkit.libs.rows import Writes

    assert server.server is not None
    services = server.server.services
    services.projectdb.put(ProjectRow("p", script="#"))
    row = MetricRow("p", 60, 1_700_000_040, done=3, codes={"200": 3}, hosts={"h": (10, 3)})
    services.taskdb.commit(Writes(metrics=[row]))
    found = client.api("GET", "/projects/p/metrics?since=1700000000&until=1700000600&step=600")
    assert found["step"] == 600
    assert [(one["start"], one["done"], one["hosts"]) for one in found["rows"]] == [(1_699_999_800, 3, {"h": [10, 3]})]
    for asked in ("step=61", "step=60&since=1&until=1700000000", "step=0"):
        assert client.get(f"/api/v1/projects/p/metrics?{asked}").status == 400
    assert client.get("/api/v1/projects/nobody/metrics").status == 404
    assert client.api("GET", "/projects/p/ticks") == {"items": []}
    assert client.api("GET", "/projects/p/hosts") == {"items": []}
    assert client.get("/api/v1/projects/nobody/hosts").status == 404


def test_a_setting_that_is_no_secret_is_shown(server: Running, client: Client) -> None:
    assert server.server is not None
    server.server.services.projectdb.put(ProjectRow("p", script="#"))
    client.api("PUT", "/projects/p/settings/user", {"value": "ann", "secret": False})
    client.api("PUT", "/projects/p/settings/key", {"value": "s3cret"})
    found = {one["name"]: one["value"] for one in client.api("GET", "/projects/p/settings")["items"]}
    assert found == {"user": "ann", "key": None}
    assert client.request("PUT", "/api/v1/projects/p/settings/a%20b", {"value": "x"}).status == 400
    assert client.request("DELETE", "/api/v1/projects/p/settings/none").status == 404
    log = str(client.api("GET", "/audit"))
    assert "s3cret" not in log
