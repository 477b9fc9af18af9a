"""The debugger over HTTP: shapes, roles, waiting, stopping, pages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawlkit.libs.messages import NIL, TASK, Dispatch, Fetched, encode
from crawlkit.libs.task import Fetch, Schedule
from crawlkit.processor.keeper import kept_page
from tests.fetcher.test_guarded_fetches import PRIVATE
from tests.webui.debug.conftest import HEAD, Site
from tests.webui.servers import Client, Running, in_thread, until

SCRIPT = HEAD + "    def page(self, response):\n        return {'title': response.css('h1::text').get()}\n"
LOOP = HEAD + "    def page(self, response):\n        while True: pass\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One web UI for all of these tests; each finds no project."""
    with in_thread(tmp_path_factory.mktemp("webui") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def signed_in(server: Running) -> Client:
    return server.client()


@pytest.fixture
def client(server: Running, signed_in: Client) -> Client:
    assert server.server is not None
    server.server.services.projectdb.drop("shop")
    server.server.services.blobdb.drop_kept("shop")
    return signed_in


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


def task(url: str) -> dict[str, Any]:
    return {"url": url, "process": {"callback": "page"}}


def test_a_step_its_page_and_a_second_script_on_it(client: Client, site: Site) -> None:
    url = site.put("/p", "<h1>Ünï</h1><b>x</b>")
    state = client.api("POST", "/projects/shop/debug", {"script": SCRIPT, "task": task(url)})
    assert (state["state"], state["kind"], state["project"]) == ("done", "step", "shop")
    assert state["answer"]["results"] == [{"title": "Ünï"}]
    page = state["answer"]["page"]
    second = SCRIPT.replace("h1", "b")
    state = client.api("POST", "/projects/shop/debug", {"script": second, "task": task(url), "page": page})
    assert state["answer"]["results"] == [{"title": "x"}]
    assert site.count("/p") == 1

    row = client.api("GET", "/projects/shop/debug/pages")["items"][0]
    assert (row["page"], row["url"], row["status"], row["size"]) == (page, url, 200, 22)
    info = client.api("GET", f"/projects/shop/debug/pages/{page}")
    assert (info["encoding"], info["content_type"]) == ("utf-8", "text/html; charset=utf-8")
    part = client.api("GET", f"/projects/shop/debug/pages/{page}/text?offset=4&limit=3")
    assert part == {"text": "Ünï", "offset": 4, "total": 20, "next": 7}
    body = client.get(f"/api/v1/projects/shop/debug/pages/{page}/body")
    assert (body.status, body.body) == (200, "<h1>Ünï</h1><b>x</b>".encode())
    assert body.headers["Content-Type"] == "application/octet-stream"
    assert "attachment" in body.headers["Content-Disposition"]


def test_T70_errors_of_task_and_script_are_answers(client: Client) -> None:
    bad_task = client.api("POST", "/projects/shop/debug", {"script": SCRIPT, "task": "{bad"})
    assert bad_task["answer"]["error"]["kind"] == "task"
    bad_script = client.api("POST", "/projects/shop/debug", {"script": "x = (", "task": task("data:,on_start")})
    assert (bad_script["answer"]["error"]["kind"], bad_script["answer"]["error"]["line"]) == ("script", 1)
    assert "SyntaxError" in bad_script["answer"]["logs"]
    assert bad_script["answer"]["follows"] == []


def test_a_long_run_is_followed_and_stopped_and_blocks_no_other_page(client: Client) -> None:
    """W49: a slow run leaves the rest of the UI alone."""
    body = {"script": LOOP, "task": task("data:,x"), "wait": 0, "time_limit": 60}
    state = client.api("POST", "/projects/shop/debug", body)
    path = f"/projects/shop/debug/{state['run']}"
    until(lambda: client.api("GET", path)["state"] == "running")
    began = time.monotonic()
    assert client.get("/").status == 200
    assert time.monotonic() - began < 1
    step = client.api("GET", path)["step"]
    assert client.api("GET", f"{path}?wait=0.2&seen={step}")["state"] == "running"
    began = time.monotonic()
    stopped = client.api("POST", f"{path}/stop")
    assert time.monotonic() - began < 1
    assert stopped["state"] == "stopped"
    assert stopped["answer"]["error"]["kind"] == "stopped"


def test_R_68_the_debugger_reaches_no_more_than_the_fetchers(tmp_path: Path, site: Site) -> None:
    """Every spelling of R-36, by the task, by a redirect of nobody's, and by `self.fetch`."""
    port = site.url.rpartition(":")[2]
    text = HEAD + (
        "    @catch_status_code_error\n    def page(self, response):\n        return response.error_kind\n\n"
        "    async def ask(self, response):\n        await self.fetch(response.save)\n"
    )
    with in_thread(tmp_path / "data", fetcher={"allow_private": False}) as running:
        client = running.client()
        for url in PRIVATE:
            url = url.format(port=port)
            answer = client.api("POST", "/projects/shop/debug", {"script": text, "task": task(url)})["answer"]
            assert answer["response"]["error_kind"] == "address", url
            assert answer["results"] == ["address"]
        for url in PRIVATE[::10]:
            asked = {"url": "data:,x", "process": {"callback": "ask"}, "fetch": {"save": url.format(port=port)}}
            answer = client.api("POST", "/projects/shop/debug", {"script": text, "task": asked})["answer"]
            assert not answer["awaits"] or answer["awaits"][0]["status"] == 599
            proxied = task("http://example.com/") | {"fetch": {"proxy": f"127.0.0.1:{port}"}}
            answer = client.api("POST", "/projects/shop/debug", {"script": text, "task": proxied})["answer"]
            assert answer["response"]["error_kind"] == "address"
    assert site.requests == []


def test_kept_pages_are_listed_and_a_save_is_checked_on_them(client: Client, server: Running) -> None:
    assert server.server is not None
    client.api("PUT", "/projects/shop/script", {"script": SCRIPT})
    for n in range(3):
        task_ = Dispatch("shop", f"t{n}", 1, 1, "http://a/", "v", "page", 0, TASK, Schedule(), Fetch(), NIL, 0)
        fetched = Fetched(task_, 200, "http://a/", "http://a/", [], {}, 0.1, content=b"<h1>x</h1>")
        kept = kept_page(encode(fetched), float(n))
        assert kept is not None
        server.server.services.blobdb.keep_pages([kept], 20, 10**9)
    listed = client.api("GET", "/projects/shop/kept-pages?limit=2&callback=page")
    assert (listed["total"], listed["next"], [row["taskid"] for row in listed["items"]]) == (3, "2", ["t2", "t1"])
    of_task = client.api("GET", "/projects/shop/kept-pages?taskid=t0")
    assert (of_task["total"], of_task["next"]) == (1, None)
    page = listed["items"][0]["page"]
    assert client.api("GET", f"/projects/shop/debug/pages/{page}/text")["text"] == "<h1>x</h1>"
    state = client.api("POST", "/projects/shop/check", {"script": SCRIPT.replace("h1", "h2")})
    assert (state["kind"], state["state"], state["answer"]["ok"]) == ("check", "done", False)
    assert state["answer"]["summary"] == ["page: title: 3 of 3 -> 0 of 3"]
    assert client.api("GET", f"/projects/shop/debug/{state['run']}")["answer"] == state["answer"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/projects/none/check", {"script": ""}, 404),
        ("POST", "/projects/none/check", {"script": "", "budget": 0}, 400),
        ("GET", "/projects/none/kept-pages", None, 404),
        ("GET", "/projects/none/debug/pages/kept-no", None, 404),
        ("POST", "/projects/shop/debug", {"task": {"url": "data:,x"}}, 404),  # there is no such project
        ("POST", "/projects/shop/debug", {"task": {"url": "x"}, "script": "", "page": "no"}, 404),
        ("POST", "/projects/shop/debug", {"task": 3}, 400),
        ("POST", "/projects/shop/debug", {"task": {"url": "x"}, "scrpt": ""}, 400),
        ("POST", "/projects/shop/debug", {"task": {"url": "x"}, "wait": 1000}, 400),
        ("GET", "/projects/shop/debug/no", None, 404),
        ("POST", "/projects/shop/debug/no/stop", None, 404),
        ("GET", "/projects/shop/debug/pages/no", None, 404),
        ("GET", "/projects/shop/debug/pages/no/text", None, 404),
        ("GET", "/projects/shop/debug/pages/no/body", None, 404),
    ],
)
def test_T71_what_is_not_there_is_refused_in_words(
    client: Client, method: str, path: str, body: Any, status: int
) -> None:
    answer = client.request(method, "/api/v1" + path, body)
    assert answer.status == status, answer.text
    assert answer.json["detail"]
