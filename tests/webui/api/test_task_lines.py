"""All tasks of a project as a stream of lines."""

from __future__ import annotations

import json

import pytest

from tests.webui.rows import SECRETS, attempt, failed, put_project, put_tasks, secret_task, task
from tests.webui.servers import Client, Running

PATH = "/api/v1/projects/shop/tasks"


@pytest.fixture(autouse=True)
def shop(server: Running) -> None:
    put_project(server)
    put_tasks(server, task(1), attempt(1), *failed(2, "timeout"), task(3, "other"), *secret_task())


def test_lines_in_order_of_ids(client: Client) -> None:
    answer = client.get(f"{PATH}.jsonl")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["taskid"] for line in lines] == ["t001", "t002", "t900"]
    assert (lines[1]["status"], lines[1]["reason"], lines[1]["exception"]) == ("FAILED", "timeout", "it was timeout")
    assert "reason" not in lines[0]
    assert lines[0]["process"] == {"callback": "detail_page"}
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert 'filename="shop-tasks.jsonl"' in answer.headers["Content-Disposition"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?status=failed", ["page/2"]),
        ("?url=page/1", ["page/1"]),
        ("?url=http://shop.test/page/*", ["page/1", "page/2"]),
    ],
)
def test_filters_and_urls_alone(client: Client, query: str, found: list[str]) -> None:
    lines = client.get(f"{PATH}.url{query}").text.splitlines()
    assert [line.removeprefix("http://shop.test/") for line in lines] == found


def test_R70_no_secret_is_shown(client: Client) -> None:
    for form in ("jsonl", "url"):
        text = client.get(f"{PATH}.{form}").text
        assert "private" in text
        assert not [secret for secret in SECRETS if secret in text]


def test_what_is_not_there_is_refused_in_words(client: Client) -> None:
    answer = client.get(f"{PATH}.csv")
    assert (answer.status, "there are: jsonl, url" in answer.json["detail"]) == (404, True)
    answer = client.get("/api/v1/projects/zzz/tasks.jsonl")
    assert (answer.status, "no project 'zzz'" in answer.json["detail"]) == (404, True)
    assert client.get(f"{PATH}.jsonl?status=odd").status == 400


def test_a_project_that_is_gone_but_for_its_tasks(server: Running, client: Client) -> None:
    assert client.get("/api/v1/projects/other/tasks.url").text == "http://shop.test/page/3\n"
