"""How a handler ends a callback itself, and what it may do before a request and after a response."""

from __future__ import annotations

import textwrap
from typing import Any

import msgspec
import pytest

from crawlkit.libs.browse import Browse
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.messages import NIL, PREPARE, TASK, Dispatch, Fetched, Outcome, ProjectInfo, decode_status, encode
from crawlkit.libs.task import Fetch, Schedule
from crawlkit.processor.outcome import failure
from crawlkit.processor.project_loader import load_project
from crawlkit.processor.runner import Runner, RunnerSettings

HEAD = "from crawlkit import *\nimport asyncio\nclass Handler(BaseHandler):\n"


def runner(body: str) -> Runner:
    project = load_project("shop", HEAD + textwrap.indent(textwrap.dedent(body), "    "))
    return Runner(project, node="n1", settings=RunnerSettings(), clock=ManualClock())


def answer(
    status: int = 200, kind: int = TASK, fetch: Fetch | None = None, url: str = "http://a.com/", **more: Any
) -> Fetched:
    dispatch = Dispatch("shop", "t1", 1, 1, url, "v", "page", 30, kind, Schedule(), fetch or Fetch(), NIL, 0)
    return Fetched(dispatch, status, url, url, [], {}, 0.5, content=b"<h1>x</h1>", **more)


def ran(body: str, fetched: Fetched | None = None) -> Outcome:
    parts: list[bytes] = []
    runner(body).run(fetched or answer(), lambda part: parts.append(encode(part)))
    (outcome,) = [decode_status(part) for part in parts]
    assert isinstance(outcome, Outcome)
    return outcome


ENDS = [
    "def page(self, response):\n    self.crawl('/1')\n    self.on_result(1)\n    try:\n        {end}\n"
    "    except Exception:\n        self.crawl('/2')\n",
    "def page(self, response):\n    self.crawl('/1')\n    yield 1\n    {end}\n",
    "async def page(self, response):\n    self.crawl('/1')\n    self.on_result(1)\n    {end}\n",
    "async def page(self, response):\n    self.crawl('/1')\n    yield 1\n    {end}\n",
    "async def one(self, response):\n    {end}\n"
    "async def page(self, response):\n    self.crawl('/1')\n    yield 1\n"
    "    await asyncio.gather(self.one(response))\n",
    "async def one(self, response):\n    {end}\nasync def page(self, response):\n    self.crawl('/1')\n    yield 1\n"
    "    async with asyncio.TaskGroup() as group:\n        group.create_task(self.one(response))\n",
]


@pytest.mark.parametrize("body", ENDS)
def test_retry_ends_the_callback(body: str) -> None:
    outcome = ran(body.replace("{end}", "response.retry('too early')"))
    assert (outcome.ok, outcome.drop, outcome.results, outcome.result_count) == (False, None, [], 0)
    assert len(outcome.follows) == 1
    assert outcome.process is not None
    assert (outcome.process.reason, outcome.process.exception) == ("retry", "retry: too early")
    assert outcome.process.logs == "retry: too early\n"


@pytest.mark.parametrize("body", ENDS)
def test_drop_ends_the_task(body: str) -> None:
    outcome = ran(body.replace("{end}", "self.drop('sold out')"))
    assert (outcome.ok, outcome.drop, outcome.results, outcome.result_count) == (True, "sold out", [], 0)
    assert len(outcome.follows) == 1
    assert outcome.process is not None
    assert (outcome.process.reason, outcome.process.exception, outcome.process.results) == (None, None, 0)


def test_without_a_reason() -> None:
    assert ran("def page(self):\n    self.drop()").drop == ""
    track = ran("def page(self, response):\n    response.retry()").process
    assert track is not None
    assert track.exception == "retry"


# after_response


def test_after_response_may_give_another_response() -> None:
    outcome = ran(
        """
        def after_response(self, response):
            if response.status_code == 403:
                return Response(response.url + "mended", content=b"<h1>good</h1>", save=response.save)
        def page(self, response):
            assert response is self.response
            self.crawl("next")
            return {"h1": response.css("h1::text").get(), "url": response.url}
        """,
        answer(403),
    )
    assert outcome.results == ['{"h1":"good","url":"http://a.com/mended"}']
    assert outcome.ok
    assert outcome.fetch is not None


def test_after_response_is_called_for_errors_and_may_raise_retry_or_drop() -> None:
    body = """
        def after_response(self, response):
            if response.status_code == 500:
                self.drop("broken")
            if b"x" in response.content:
                response.retry("captcha")
        def page(self, response):
            return 1
        """
    assert ran(body, answer(500)).drop == "broken"
    track = ran(body, answer()).process
    assert track is not None
    assert track.reason == "retry"


def test_after_response_that_returns_something_else_is_told_so() -> None:
    outcome = ran("def after_response(self, response):\n    return 5\ndef page(self):\n    return 1")
    assert outcome.process is not None
    assert outcome.process.exception == "TypeError: after_response() returns a Response or None, not int"


@pytest.mark.parametrize("url", ["data:,on_start", "data:,_on_cronjob", "data:,on_message"])
def test_after_response_is_not_called_where_nothing_was_fetched(url: str) -> None:
    body = "def after_response(self, response):\n    self.drop()\ndef page(self):\n    return 1"
    assert ran(body, answer(url=url)).results == ["1"]


# before_request


def prepared(body: str, fetch: Fetch | None = None) -> Outcome:
    return ran(body, answer(0, PREPARE, fetch))


def test_before_request_changes_the_request() -> None:
    outcome = prepared(
        """
        def before_request(self, task):
            fetch = task["fetch"]
            fetch.setdefault("headers", {})["X-Signature"] = str(len(task["url"]))
            fetch["cookies"] = {"a": "b"}
            fetch["data"] = {"k": fetch["data"]}
            print("signed", task["taskid"])
        """,
        Fetch(method="PUT", data=b"x", headers={"A": "1"}, save={"n": 1}, session="s"),
    )
    assert (outcome.kind, outcome.ok, outcome.last) == (PREPARE, True, True)
    assert msgspec.msgpack.decode(outcome.prepared, type=Fetch) == Fetch(
        method="PUT",
        data=b"k=x",
        headers={"A": "1", "X-Signature": "13", "Content-Type": "application/x-www-form-urlencoded"},
        cookies={"a": "b"},
        save={"n": 1},
        session="s",
    )
    assert outcome.process is not None
    assert outcome.process.logs == "signed t1\n"


def test_before_request_may_say_what_a_browser_does_as_self_crawl_has_it() -> None:
    outcome = prepared(
        """
        def before_request(self, task):
            assert task["fetch"]["browser"] == {"block": ["images"]}
            task["fetch"]["wait_for"] = "#list"
        """,
        Fetch(fetch_type="js", browser=Browse(block=["images"])),
    )
    assert outcome.ok, outcome.process
    assert msgspec.msgpack.decode(outcome.prepared, type=Fetch).browser == Browse(
        block=["images"], wait_for=[{"selector": "#list", "state": "visible"}]
    )


def test_before_request_that_changes_nothing() -> None:
    fetch = Fetch(method="POST", data=b"\xff\0", save=[1], timeout=3, proxy=False)
    outcome = prepared("def before_request(self, task):\n    self.task is task", fetch)
    assert msgspec.msgpack.decode(outcome.prepared, type=Fetch) == fetch


@pytest.mark.parametrize(
    ("line", "reason", "words"),
    [
        ("raise ValueError('no key')", "exception", "ValueError: no key"),
        ("task['fetch'] = 5", "before_request", "InvalidTask: fetch: is the dict"),
        ("task['fetch']['colour'] = 5", "before_request", "InvalidTask: fetch.colour: is no part of a request"),
        ("task['fetch']['timeout'] = 'x'", "before_request", "InvalidTask: fetch.timeout"),
        ("self.crawl('http://a.com/')", "exception", "RuntimeError: this works only inside a callback"),
        ("self.response.retry('later')", "exception", "AttributeError"),
        ("raise SystemExit", "exception", "SystemExit"),
    ],
)
def test_before_request_that_goes_wrong_fails_the_task(line: str, reason: str, words: str) -> None:
    outcome = prepared(f"def before_request(self, task):\n    {line}")
    assert (outcome.kind, outcome.ok, outcome.prepared, outcome.fetch) == (PREPARE, False, NIL, None)
    assert outcome.process is not None
    assert outcome.process.reason == reason
    assert (outcome.process.exception or "").startswith(words)


def test_before_request_may_drop_the_task() -> None:
    outcome = prepared("def before_request(self, task):\n    self.drop('not today')")
    assert (outcome.ok, outcome.drop, outcome.prepared) == (True, "not today", NIL)


@pytest.mark.parametrize(("body", "has"), [("def before_request(self, task): ...", True), ("x = 1", False)])
def test_the_scheduler_is_told_of_before_request(body: str, has: bool) -> None:
    info: ProjectInfo = runner(body).project.handler.project_info()
    assert info.has_before_request is has


# sessions


@pytest.mark.parametrize("body", ["def page(self):\n    return 1", "def page(self):\n    1 / 0", "x = 1"])
def test_the_cookies_of_a_session_come_back_whatever_the_callback_does(body: str) -> None:
    outcome = ran(body, answer(fetch=Fetch(session="login"), jar=["cookie line"]))
    assert (outcome.session, outcome.jar) == ("login", ["cookie line"])


def test_a_killed_callback_keeps_the_cookies_too() -> None:
    outcome = failure(answer(fetch=Fetch(session="s"), jar=["c"]), node="n", reason="worker_died", exception="")
    assert (outcome.session, outcome.jar) == ("s", ["c"])


def test_without_a_session_there_is_no_jar() -> None:
    outcome = ran("def page(self):\n    return 1")
    assert (outcome.session, outcome.jar) == (None, None)
