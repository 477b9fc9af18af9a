"""POST /lint, GET /completion and GET /starter."""

from __future__ import annotations

import pytest

from crawlkit.webui.api import script as script_api
from tests.webui.servers import Client


def test_lint_says_where_a_mistake_is(client: Client) -> None:
    script = "from crawlkit import *\n\n\nclass Handler(BaseHandler):\n"
    script += "    def on_start(self):\n        self.crawl('x', calback=1)\n"
    (mark,) = client.api("POST", "/lint", {"script": script})["marks"]
    assert mark == {
        "line": 6,
        "column": 24,
        "end_line": 6,
        "end_column": 33,
        "severity": "error",
        "code": "unknown-argument",
        "message": "crawl() has no argument 'calback'; did you mean 'callback'?",
    }


@pytest.mark.parametrize("body", [{}, {"script": 5}, {"script": "x" * 1_000_001}, {"script": "", "more": 1}])
def test_lint_refuses_what_is_no_script(client: Client, body: dict[str, object]) -> None:
    assert client.request("POST", "/api/v1/lint", body).status == 400


def test_completion_is_one_document(client: Client) -> None:
    found = client.api("GET", "/completion")
    assert {entry["name"] for entry in found["decorators"]} == {
        "every",
        "config",
        "catch_status_code_error",
        "not_send_status",
    }
    words = {entry["name"]: entry["doc"] for entry in found["arguments"]["crawl"]}
    assert words["age"].startswith("Seconds")


def test_starter_holds_name_and_url(client: Client) -> None:
    script = client.api("GET", "/starter?project=shop&url=http%3A%2F%2F127.0.0.1%2F%3Fa%3D'b'")["script"]
    assert "Project shop" in script
    assert "self.crawl(\"http://127.0.0.1/?a='b'\", callback=self.index_page)" in script
    compile(script, "shop.py", "exec")
    assert client.request("GET", "/api/v1/starter?project=a-b").status == 400


@pytest.mark.parametrize(
    ("task", "path", "line", "message"),
    [
        ('{"url": "http://x/"', [], 1, "not JSON"),
        ('{"url": "http://x/", "fetch": {"timeout": "soon"}}', ["fetch", "timeout"], None, "float"),
        ('{"url": "http://x/", "fetch": {"heders": {}}}', ["fetch"], None, "heders"),
        ('{"process": {"callback": "page"}}', ["url"], None, "missing"),
        ('{"url": "http://x/", "proces": {}}', ["proces"], None, "there is no such part"),
    ],
)
def test_a_mistake_in_a_task_has_its_place(
    client: Client, task: str, path: list[str], line: int | None, message: str
) -> None:
    mistake = client.api("POST", "/projects/shop/lint-task", {"task": task})["mistake"]
    assert message in mistake["message"]
    assert mistake["line"] == line
    if line is None:
        assert mistake["path"] == path


def test_a_right_task_has_no_mistake(client: Client) -> None:
    task = '{"url": "http://x/", "fetch": {"method": "POST", "data": "a"}, "process": {"callback": "page"}}'
    assert client.api("POST", "/projects/shop/lint-task", {"task": task}) == {"mistake": None}


def test_starter_takes_several_urls(client: Client) -> None:
    script = client.api("GET", "/starter?project=shop&url=http%3A%2F%2Fa%2F%20http%3A%2F%2Fb%2F")["script"]
    assert "self.crawl(['http://a/', 'http://b/'], callback=self.index_page)" in script


def test_lint_takes_one_script_at_a_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script_api, "PATIENCE", 0.01)
    with script_api._reading:
        answer = client.request("POST", "/api/v1/lint", {"script": ""})
    assert answer.status == 429
    assert "another script" in answer.json["detail"]
    assert client.api("POST", "/lint", {"script": "a ="})["marks"]


def test_lint_refuses_a_script_that_is_too_large(client: Client) -> None:
    answer = client.request("POST", "/api/v1/lint", {"script": "a=b\n" * 50_001})
    assert answer.status == 413
    assert "200,000" in answer.json["detail"]
    assert client.request("POST", "/api/v1/lint", {"script": "é" * 100_001}).status == 413


@pytest.mark.parametrize("number", ["9" * 5_000, "-" + "9" * 5_000])
def test_a_number_that_nobody_reads_is_a_mistake(client: Client, number: str) -> None:
    task = '{"url": "http://x/", "schedule": {"priority": ' + number + "}}"
    mistake = client.api("POST", "/projects/shop/lint-task", {"task": task})["mistake"]
    assert "more than 4,300 digits" in mistake["message"]


@pytest.mark.parametrize("task", ['{"url": "\\ud800"}', '{"url": "x", "fetch": {"method": "\\ud800"}}',
                                  '{"url": "x", "save": "9"}', '{"url": "x", "schedule": {"age": NaN}}',
                                  "[" * 50_000, '{"url": "x", "taskid": "\\u0000"}',
                                  '{"url": "x", "taskid": 5}'])  # fmt: skip
def test_no_task_is_too_odd_to_be_looked_at(client: Client, task: str) -> None:
    assert client.request("POST", "/api/v1/projects/shop/lint-task", {"task": task}).status == 200
