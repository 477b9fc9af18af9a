"""Tasks and failures over the API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crawlkit.libs.rows import Lease, Queue, Writes
from crawlkit.libs.task import Process, Status
from tests.webui.rows import (
    NOW,
    SECRETS,
    attempt,
    empty,
    failed,
    put_project,
    put_results,
    put_tasks,
    secret_task,
    services,
    task,
)
from tests.webui.servers import Client, Running, in_thread


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One web UI for all tests here; each begins with empty stores."""
    with in_thread(tmp_path_factory.mktemp("webui") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Running) -> Client:
    return server.client()


@pytest.fixture(autouse=True)
def shop(server: Running) -> None:
    empty(server)
    put_project(server)
    put_tasks(
        server,
        task(1),
        attempt(1),
        task(2, process=Process(callback="list_page"), url="http://shop.test/list/2"),
        *failed(3, "timeout"),
        *failed(4, "http"),
        *failed(5, "timeout"),
        task(6, "other", status=Status.ACTIVE, queue=Queue.TIME, rank=NOW + 500, attempt=0),
    )


def ids(client: Client, query: str) -> list[str]:
    return [one["taskid"] for one in client.api("GET", f"/tasks?{query}")["items"]]


def test_newest_first_and_every_filter(client: Client) -> None:
    assert ids(client, "") == ["t006", "t005", "t004", "t003", "t002", "t001"]
    assert ids(client, "project=shop&status=failed") == ["t005", "t004", "t003"]
    assert ids(client, "status=failed&reason=timeout") == ["t005", "t003"]
    assert ids(client, "url=/list/") == ["t002"]
    assert ids(client, "url=http://*/1") == ["t001"]
    assert ids(client, "callback=list_page") == ["t002"]
    assert ids(client, f"since={NOW + 2}&before={NOW + 4}") == ["t003", "t002"]
    assert ids(client, "project=nobody") == []
    assert ids(client, "order=url&project=shop") == ["t002", "t001", "t003", "t004", "t005"]


@pytest.mark.parametrize("order", ["newest", "url"])
def test_pages(order: str, client: Client) -> None:
    found, cursor = [], ""
    for _ in range(10):
        page = client.api("GET", f"/tasks?limit=2&order={order}&cursor={cursor}")
        found += [one["taskid"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(found) == [f"t00{n}" for n in range(1, 7)]
    assert len(found) == 6


@pytest.mark.parametrize(
    "query", ["cursor=AAAA", "status=odd", "limit=0", "limit=501", "since=x", "project=a-b", "what=1", "order=seq"]
)
def test_what_is_wrong_is_said(query: str, client: Client) -> None:
    answer = client.get(f"/api/v1/tasks?{query}")
    assert answer.status == 400
    assert answer.json["detail"]
    newest = client.api("GET", "/tasks?limit=2")["next"]
    assert client.get(f"/api/v1/tasks?order=url&cursor={newest}").status == 400


def test_an_item_says_what_came_of_it(client: Client) -> None:
    items = {one["taskid"]: one for one in client.api("GET", "/tasks")["items"]}
    last = {"ok": True, "reason": "", "ended": NOW + 1, "fetch_time": 0.25, "process_time": 0.5, "status_code": 200,
            "follows": 3}  # fmt: skip
    assert items["t001"]["last"] == last
    assert (items["t003"]["last"]["reason"], items["t003"]["last"]["process_time"]) == ("timeout", None)
    assert items["t002"]["last"] is None
    assert (items["t006"]["due"], items["t006"]["status"]) == (NOW + 500, "active")


def test_one_task_with_everything(server: Running, client: Client) -> None:
    more = [attempt(1, run=run, attempt=number, ok=False, reason="dns") for run in (2, 3) for number in (1, 2)]
    services(server).taskdb.commit(
        Writes(attempts=more, lease=[Lease("shop", "t001", 3, 3, "fetcher-9", NOW + 60, NOW)])
    )
    put_results(server, {"old": 1}, {"title": "ü", "n": float("nan")})
    found = client.api("GET", "/tasks/shop/t001")
    assert [(one["run"], one["attempt"]) for one in found["attempts"]] == [(3, 2), (3, 1), (2, 2), (2, 1), (1, 1)]
    assert found["attempts"][4]["process"]["logs"] == "[I] fetched\n"
    assert found["attempts"][0]["fetch"]["headers"] == {"Content-Type": "text/html"}
    assert found["lease"] == {"node": "fetcher-9", "since": NOW, "until": NOW + 60, "attempt": 3}
    assert found["process"] == {"callback": "detail_page"}
    assert [one["result"] for one in found["results"]] == [{"title": "ü", "n": "NaN"}]
    answer = client.get("/api/v1/tasks/shop/missing")
    assert (answer.status, answer.json["detail"]) == (404, "project shop has no task missing")


def test_r70_no_secret_of_a_task_is_shown(server: Running, client: Client) -> None:
    put_tasks(server, *secret_task())
    texts = [client.get(f"/api/v1/tasks{path}").text for path in ("/shop/t900", "?url=private")]
    texts += [client.get("/task/shop:t900.json").text, client.get("/task/shop:t900", Accept="text/html").text]
    for text in texts:
        assert "joe" in text or "t900" in text
        assert not [secret for secret in SECRETS if secret in text]
    fetch = client.api("GET", "/tasks/shop/t900")["fetch"]
    assert fetch["headers"] == {"Authorization": "***", "X-Api-Key": "***", "Accept": "text/html"}
    assert fetch["data"] == "user=joe&password=***&page=2"
    assert fetch["proxy"] == "http://joe:***@proxy.test:3128"


def test_taskids_may_be_any_text(server: Running, client: Client) -> None:
    row = task(7)
    row.taskid = "on start: 'ü' %2"
    put_tasks(server, row)
    assert client.api("GET", "/tasks/shop/on%20start%3A%20%27%C3%BC%27%20%252")["task"]["taskid"] == row.taskid


def test_without_a_scheduler_it_says_so(client: Client) -> None:
    """T72."""
    for method, path, body in (
        ("GET", "/recent", None), ("POST", "/tasks/shop/t003/rerun", {}), ("POST", "/tasks/shop/t003/cancel", {}),
        ("POST", "/failures/shop/retry", {"reason": "timeout"}),
    ):  # fmt: skip
        answer = client.request(method, f"/api/v1{path}", body)
        assert (answer.status, "no scheduler" in answer.json["detail"]) == (503, True), path
    assert client.request("POST", "/api/v1/tasks/shop/missing/rerun").status == 404
    assert client.request("POST", "/api/v1/failures/nobody/retry", {"reason": "x"}).status == 404


def test_failures_by_reason(client: Client) -> None:
    page = client.api("GET", "/failures")
    assert [(one["project"], one["reason"], one["tasks"]) for one in page["items"]] == [
        ("shop", "timeout", 2),
        ("shop", "http", 1),
    ]
    first = page["items"][0]
    assert (first["first"], first["last"]) == (NOW + 3, NOW + 5)
    assert [one["taskid"] for one in first["examples"]] == ["t005", "t003"]
    assert (page["total"], page["failed"], page["counted"], page["next"]) == (2, 3, 3, None)
    assert client.api("GET", "/failures?project=other")["items"] == []
    assert [one["reason"] for one in client.api("GET", "/failures?text=HTT")["items"]] == ["http"]
    page = client.api("GET", "/failures?limit=1")
    rest = client.api("GET", f"/failures?limit=1&cursor={page['next']}")
    assert ([one["reason"] for one in rest["items"]], rest["next"]) == (["http"], None)


def test_why_is_answered_from_the_stores_when_no_scheduler_runs(client: Client) -> None:
    put = client.api("GET", "/why?url=http://shop.test/list/2&project=shop")
    assert (put["scheduler"], put["total"]) == (False, 1)
    (one,) = put["items"]
    assert (one["project"], one["code"], one["taskid"]) == ("shop", "known", "t002")
    (late,) = client.api("GET", "/why?url=t006&project=other")["items"]
    assert (late["project"], late["code"], late["next"]) == ("other", "no_project", None)
    (never,) = client.api("GET", "/why?url=http://shop.test/never")["items"]
    assert (never["code"], never["taskid"]) == ("never_submitted", "")
    assert client.request("GET", "/api/v1/why?url=").status == 400
