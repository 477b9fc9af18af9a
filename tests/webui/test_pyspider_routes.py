"""pyspider's own addresses, as its users' scripts call them: T70, T71 and T72 over real servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.webui.debug.conftest import Site
from tests.webui.servers import Answer, Client, Running, until

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Program:
    """What pyspider's users have: a program that posts forms, with a token, and asks for no HTML."""

    def __init__(self, running: Running, role: str = "editor") -> None:
        made = running.client().api("POST", "/account/tokens", {"name": f"a program of {role}", "role": role})
        self.client = Client(running.url, headers={"Authorization": f"Bearer {made['token']}", "Accept": "*/*"})

    def post(self, path: str, **form: str) -> Answer:
        return self.client.request("POST", path, raw=urlencode(form).encode(), headers=FORM)

    def get(self, path: str) -> Answer:
        return self.client.get(path)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


def script(url: str) -> str:
    return (
        "from pyspider.libs.base_handler import *\n\n\nclass Handler(BaseHandler):\n"
        f"    def on_start(self):\n        self.crawl({url!r}, callback=self.page)\n\n"
        "    def page(self, response):\n        print('hello from the page')\n"
        "        return {'title': response.doc('h1').text()}\n"
    )


def test_T70_the_whole_story(whole: Running, site: Site) -> None:
    program = Program(whole)
    url = site.put("/p", "<h1>A title</h1>")
    # created by a form with start URLs; nothing is stored yet
    answer = program.post("/debug/story", **{"project-name": "story", "start-urls": url})
    assert (answer.status, answer.headers["Location"]) == (303, "/debug/story?" + urlencode({"start-urls": url}))
    shown = program.client.request("GET", answer.headers["Location"], headers={"Accept": "text/html"})
    assert (shown.status, url in shown.text) == (200, True)
    assert program.get("/debug/story/get").status == 404
    # steps
    text = script(url)
    start = json.dumps({"taskid": "data:,on_start", "project": "story", "url": "data:,on_start",
                        "process": {"callback": "on_start"}})  # fmt: skip
    step = program.post("/debug/story/run", task=start, script=text).json
    (follow,) = step["follows"]
    assert (follow["url"], follow["process"]["callback"]) == (url, "page")
    step = program.post("/debug/story/run", task=json.dumps(follow), script=text).json
    assert step["result"] == {"title": "A title"}
    assert (step["fetch_result"]["status_code"], step["fetch_result"]["content"]) == (200, "<h1>A title</h1>")
    assert "hello from the page" in step["logs"]
    for bad in ({"task": "{bad", "script": text}, {"task": start, "script": "x = ("}):
        step = program.post("/debug/story/run", **bad).json
        assert (step["follows"], step["result"], bool(step["logs"])) == ([], None, True)
    # saved, read, run as it is stored
    assert program.post("/debug/story/save", script=text).text == "ok"
    stored = program.get("/debug/story/get").json
    assert (stored["script"], stored["status"]) == (text, "TODO")
    assert program.post("/debug/story/run", task=start, webdav_mode="true").json["follows"][0]["url"] == url
    # on the dashboard
    assert program.post("/update", pk="story", name="status", value="RUNNING").text == "ok"
    assert program.post("/debug/story/save", script=text + "# more\n").text == "ok"
    assert program.get("/debug/story/get").json["status"] == "CHECKING"
    for name, value in (("status", "RUNNING"), ("rate", "5/7"), ("group", "g")):
        assert program.post("/update", pk="story", name=name, value=value).text == "ok"
    row = program.get("/debug/story/get").json
    assert [row[name] for name in ("status", "rate", "burst", "group")] == ["RUNNING", 5, 7, "g"]
    assert program.post("/run", project="story").json == {"result": True}
    counts = until(lambda: _counted(program), 30, "both tasks are counted")
    assert set(counts["story"]) >= {"5m", "1h", "1d", "all", "5m_time", "paused"}
    assert counts["story"]["paused"] is False
    assert set(counts["story"]["5m_time"]) == {"fetch_time", "process_time"}
    sizes = program.get("/queues").json
    assert len(sizes) == 5
    assert {type(size) for size in sizes.values()} <= {int, str}
    # results
    whole_file = until(lambda: program.client.get("/api/v1/results/story.json").json, 20, "the result")
    assert [one["result"] for one in whole_file] == [{"title": "A title"}]
    for form, holds in (("json", '"title"'), ("txt", url + "\t"), ("csv", "A title")):
        place = program.get(f"/results/dump/story.{form}?limit=1").headers["Location"]
        assert holds in program.get(place).text
    # who may only look
    viewer = Program(whole, "viewer")
    assert viewer.post("/update", pk="story", name="rate", value="1").status == 403
    assert viewer.get("/counter").json["story"]["all"]["success"] == 2
    assert program.get("/blank.html").text == ""
    assert "Disallow" in program.get("/robots.txt").text


def _counted(program: Program) -> Any:
    found = program.get("/counter").json
    return found if found.get("story", {}).get("all", {}).get("success", 0) >= 2 else None


@pytest.fixture
def project(server: Running) -> str:
    Program(server).post("/debug/shop/save", script="x = 1\n")
    return "shop"


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"pk": "nothing", "name": "rate", "value": "1"}, 404, "nothing"),
        ({"pk": "", "name": "rate", "value": "1"}, 404, ""),
        ({"pk": "shop", "name": "script", "value": "1"}, 400, "there are: group, status, rate"),
        ({"pk": "shop", "name": "rate", "value": "a/b"}, 400, "rate 'a'"),
        ({"pk": "shop", "name": "rate", "value": "nan"}, 400, "rate 'nan'"),
        ({"pk": "shop", "name": "rate", "value": "1/0"}, 400, "burst '0'"),
        ({"pk": "shop", "name": "status", "value": "GOING"}, 400, "RUNNING"),
        ({"pk": "shop", "name": "group", "value": "g" * 65}, 400, "64"),
    ],
)
def test_T71_what_is_wrong_is_refused_in_words(
    form: dict[str, str], status: int, words: str, server: Running, project: str
) -> None:
    program = Program(server)
    before = program.get("/debug/shop/get").json
    answer = program.post("/update", **form)
    assert (answer.status, words in answer.text) == (status, True), answer.text
    assert program.get("/debug/shop/get").json == before


def test_T71_who_may_do_what(server: Running, project: str) -> None:
    calls: list[tuple[str, dict[str, str]]] = [
        ("/update", {"pk": "shop", "name": "rate", "value": "1"}),
        ("/run", {"project": "shop"}),
        ("/debug/shop/save", {"script": "x = 2\n"}),
        ("/debug/shop/run", {"task": "{}", "script": "x = 2\n"}),
    ]
    stranger = Client(server.url, headers={"Accept": "*/*"})
    for path, form in calls:
        assert stranger.request("POST", path, raw=urlencode(form).encode(), headers=FORM).status == 401
    for path in ("/counter", "/queues", "/debug/shop/get"):
        assert stranger.get(path).status == 401
    garbage = Client(server.url, headers={"Accept": "*/*", "Authorization": "Basic !"})
    assert garbage.get("/counter").status == 401
    viewer, editor, admin = (Program(server, role) for role in ("viewer", "editor", "admin"))
    assert {viewer.post(path, **form).status for path, form in calls} == {403}
    assert {editor.post(path, **form).status for path, form in calls} == {200}
    assert admin.post("/update", pk="shop", name="group", value="lock").status == 200
    assert {editor.post(path, **form).status for path, form in calls} == {403}
    assert {admin.post(path, **form).status for path, form in calls} == {200}
    browser = server.client()
    browser.csrf = ""
    for path, form in calls:  # a form of another page has no token of this one
        assert browser.request("POST", path, raw=urlencode(form).encode(), headers=FORM).status == 403


def test_T72_without_a_scheduler(server: Running, project: str) -> None:
    program = Program(server)
    assert program.post("/update", pk="shop", name="rate", value="2").text == "rpc error"
    assert program.get("/debug/shop/get").json["rate"] == 2  # it holds all the same
    assert program.get("/counter").json == {}
    assert program.post("/run", project="shop").json == {"result": False}
    assert set(program.get("/queues").json.values()) == {"???"}
    assert program.get("/active_tasks").status >= 500
