"""Steps with real processes and a real site: what comes back, what is sent, what is not."""

from __future__ import annotations

import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import psutil
import pytest

from crawlkit.database.base import BlobStore, ProjectRow, ProjectStore, SettingRow, TaskRow
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.libs.task import Process
from crawlkit.webui.debug.engine import Debugger
from crawlkit.webui.debug.stand_ins import StandIns
from crawlkit.webui.debug.tasks import Mistake
from crawlkit.webui.gate import Identity
from crawlkit.webui.problem import Problem

from .conftest import HEAD, ME, OTHER, Site, new_debugger, until


def script(body: str) -> str:
    return HEAD + textwrap.indent(textwrap.dedent(body).strip("\n") + "\n", "    ")


def task(url: str, callback: str = "page", **fetch: Any) -> dict[str, Any]:
    return {"url": url, "fetch": fetch, "process": {"callback": callback}}


def step(debugger: Debugger, text: str, what: Any, **options: Any) -> dict[str, Any]:
    options.setdefault("wait", 20.0)
    who, project = options.pop("who", ME), options.pop("project", "shop")
    state = debugger.step(who, project, what, script=text, **options)
    until(lambda: debugger.look(who, project, state["run"], wait=5)["state"] == "done", 30)
    answer: dict[str, Any] = debugger.look(who, project, state["run"])["answer"]
    return answer


def test_W43_a_step_fetches_runs_and_keeps_nothing(debugger: Debugger, site: Site) -> None:
    url = site.put("/list", "<h1>Näme</h1><a href='/item/1'>one</a><a href='/item/2'>two</a>", X_Own="yes")
    text = script(
        """
        def page(self, response):
            print("hello")
            for link in response.css("a::attr(href)").getall():
                self.crawl(link, callback=self.item, save={"n": 1})
            self.send_message("other", {"a": 1})
            self.save["seen"] = True
            return {"title": response.css("h1::text").get(), "debugger": self.is_debugger()}

        def item(self, response):
            return {"url": response.url, "save": response.save}
        """
    )
    answer = step(debugger, text, task(url, headers={"X-Asked": "1"}))
    assert answer["ok"]
    assert answer["error"] is None
    assert answer["results"] == [{"title": "Näme", "debugger": True}]
    assert answer["logs"] == "hello\n"
    assert answer["save"] == {"seen": True}
    assert [one["url"] for one in answer["follows"]] == [site.url + "/item/1", site.url + "/item/2"]
    assert answer["follow_count"] == 2
    assert answer["messages"][0]["project"] == "other"
    assert answer["messages"][0]["body"] == {"a": 1}
    assert ["X-Asked", "1"] in answer["request"]["headers"]
    assert answer["request"]["method"] == "GET"
    response = answer["response"]
    assert (response["status"], response["encoding"], response["truncated"]) == (200, "utf-8", False)
    assert "Näme" in response["text"]
    assert ["X-Own", "yes"] in response["headers"]
    assert response["timing"]["total"] > 0
    assert answer["time"]["fetch"] > 0
    assert site.count("/list") == 1

    site.put("/item/1", "x")
    second = step(debugger, text, answer["follows"][0])  # a follow-up is stepped into as it is
    assert second["results"] == [{"url": site.url + "/item/1", "save": {"n": 1}}]


def test_a_changed_script_runs_on_the_page_already_fetched(debugger: Debugger, site: Site) -> None:
    url = site.put("/p", "<b>1</b><i>2</i>")
    first = step(
        debugger, script("def page(self, response):\n    return {'b': response.css('b::text').get()}"), task(url)
    )
    page = first["page"]
    assert first["fetched"]
    assert page
    for tag in ("b", "i"):
        text = script(f"def page(self, response):\n    return {{'x': response.css('{tag}::text').get()}}")
        again = step(debugger, text, task(url), page=page)
        assert not again["fetched"]
        assert again["request"] is None
        assert again["response"]["status"] == 200
        assert again["results"] == [{"x": "1" if tag == "b" else "2"}]
    assert site.count("/p") == 1
    shown = debugger.page(ME, page)
    assert (shown.body, shown.url, shown.encoding) == (b"<b>1</b><i>2</i>", url, "utf-8")
    with pytest.raises(Problem, match="fetch it again"):
        debugger.page(OTHER, page)
    with pytest.raises(Problem, match="fetch it again"):
        debugger.step(ME, "another", task(url), script="", page=page)


def test_the_first_task_needs_no_fetch(debugger: Debugger) -> None:
    text = script("@every(minutes=1)\ndef on_start(self):\n    self.crawl('http://a.example/', callback=self.on_start)")
    answer = step(debugger, text, task("data:,on_start", "on_start"))
    assert answer["ok"]
    assert answer["response"] is None
    assert answer["request"] is None
    assert answer["page"] is None
    assert answer["follows"][0]["process"] == {"callback": "on_start"}


def test_redirects_are_shown_hop_by_hop(debugger: Debugger, site: Site) -> None:
    start = site.put("/old", "", 302, Location="/new", Set_Cookie="a=b")
    site.put("/new", "here")
    answer = step(debugger, script("def page(self, response):\n    return response.text"), task(start))
    assert [(hop["url"], hop["status"]) for hop in answer["request"]["hops"]] == [
        (start, 302), (site.url + "/new", 200),
    ]  # fmt: skip
    assert answer["response"]["history"] == [[302, start]]
    assert answer["response"]["url"] == site.url + "/new"
    assert answer["response"]["cookies"] == {"a": "b"}


@pytest.mark.parametrize(
    ("given", "says", "line"),
    [
        ("{bad", "not JSON", 1),
        ('{"url": "http://a/",\n "fetch": 3}', "task.fetch: is an object", None),
        ({"fetch": {}}, "task.url: is missing", None),
        ({"url": "http://a/", "fetch": {"timeout": "soon"}}, "task.fetch.timeout", None),
        ({"url": "http://a/", "fetch": {"tmeout": 1}}, "tmeout", None),
        ({"url": "http://a/", "project": "another"}, "another", None),
        ({"url": "http://a/", "fetsch": {}}, "fetsch", None),
        ({"url": "http://a/", "fetch": {"data": {"base64": "?"}}}, "base64", None),
        ("[" * 100_000, "nested too deeply", None),
    ],
)
def test_T70_a_bad_task_is_an_answer(debugger: Debugger, given: Any, says: str, line: int | None) -> None:
    answer = step(debugger, script("def page(self, response): pass"), given)
    assert not answer["ok"]
    assert answer["error"]["kind"] == "task"
    assert says in answer["error"]["message"]
    assert answer["error"]["line"] == line
    assert answer["follows"] == []


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("x = (\n1 +", 1, "SyntaxError"),
        ("import os\nraise ValueError('no')", 2, "ValueError: no"),
        ("x = 1", None, "no class"),
        (script("crawl_config = {'headers': 3}\ndef page(self, response): pass"), None, "fetch.headers"),
        ("while True: pass", 1, "limit"),
    ],
)
def test_T70_a_bad_script_is_an_answer_with_its_place(
    debugger: Debugger, text: str, line: int | None, says: str
) -> None:
    answer = step(debugger, text, task("data:,on_start"))
    assert not answer["ok"]
    assert says in answer["error"]["message"]
    assert answer["error"]["line"] == line
    assert answer["follows"] == []
    assert answer["results"] == []


def test_an_exception_names_the_lines_of_the_script(debugger: Debugger, site: Site) -> None:
    url = site.put("/p", "x")
    text = script(
        "def page(self, response):\n    logger.info('before')\n    return self.help(1)\n"
        "def help(self, n):\n    return n / 0"
    )
    answer = step(debugger, text, task(url))
    error = answer["error"]
    assert (error["kind"], error["message"], error["line"]) == ("exception", "ZeroDivisionError: division by zero", 9)
    assert [frame["function"] for frame in error["frames"]] == ["page", "help"]
    assert "crawlkit" not in answer["logs"]  # the framework's own frames are hidden
    assert {line["line"] for line in answer["log_lines"]} >= {6, 7, 9}


def test_errors_of_the_server_and_the_way(debugger: Debugger, site: Site) -> None:
    text = script(
        """
        def page(self, response):
            return 1
        @catch_status_code_error
        def caught(self, response):
            return {"status": response.status_code, "kind": response.error_kind}
        """
    )
    answer = step(debugger, text, task(site.url + "/missing"))
    assert answer["error"]["kind"] == "http"
    assert answer["response"]["status"] == 404
    assert answer["page"]
    assert answer["response"]["text"] == "nothing here"
    answer = step(debugger, text, task(site.url + "/missing", "caught"))
    assert answer["results"] == [{"status": 404, "kind": None}]
    answer = step(debugger, text, task("http://127.0.0.1:1/", "caught"))
    assert answer["results"] == [{"status": 599, "kind": "connect"}]
    assert answer["page"] is None
    answer = step(debugger, text, task("http://127.0.0.1:1/"))
    assert answer["error"]["kind"] == "fetch"


def test_settings_of_the_handler_hold(debugger: Debugger, site: Site) -> None:
    url = site.put("/p", "body")
    text = script(
        """
        crawl_config = {"headers": {"X-Config": "c"}, "user_agent": "mine"}
        def before_request(self, task):
            task["fetch"].setdefault("headers", {})["X-Before"] = "b"
        def after_response(self, response):
            from crawlkit.libs.response import Response
            return Response(response.url, content="changed")
        def page(self, response):
            return response.text
        """
    )
    answer = step(debugger, text, task(url))
    sent = site.requests[-1][1]
    assert (sent["X-Config"], sent["X-Before"], sent["User-Agent"]) == ("c", "b", "mine")
    assert answer["results"] == ["changed"]


def test_a_named_session_is_the_users_own(debugger: Debugger, site: Site) -> None:
    login, inside = site.put("/login", "in", Set_Cookie="sid=1"), site.put("/inside", "x")
    text = script("def page(self, response):\n    return 1")
    step(debugger, text, task(login, session="s"))
    step(debugger, text, task(inside, session="s"))
    assert site.requests[-1][1].get("Cookie") == "sid=1"
    step(debugger, text, task(inside, session="s"), who=OTHER)
    assert "Cookie" not in site.requests[-1][1]


def test_awaited_pages_are_fetched_and_the_callback_goes_on(debugger: Debugger, site: Site) -> None:
    url, site_ = (
        site.put(
            "/p",
            "<p>",
        ),
        site,
    )
    for n in range(3):
        site.put(f"/part/{n}", f"{n}" * (1 if n else 2_000_000))
    text = script(
        f"""
        async def page(self, response):
            import asyncio
            first = await self.fetch("{site_.url}/part/0")
            rest = await asyncio.gather(*(self.fetch(f"{site_.url}/part/{{n}}") for n in (1, 2)))
            return {{"first": len(first.text), "rest": [one.text for one in rest], "own": response.text}}
        """
    )
    answer = step(debugger, text, task(url))
    assert answer["results"] == [{"first": 2_000_000, "rest": ["1", "2"], "own": "<p>"}]
    assert [(one["number"], one["status"], one["line"]) for one in answer["awaits"]] == [
        (1, 200, 7), (2, 200, 8), (3, 200, 8),
    ]  # fmt: skip
    assert site.count("/part/0") == 1
    assert site.count("/p") == 1


def test_a_large_page_travels_whole_and_is_shown_in_part(debugger: Debugger, site: Site) -> None:
    url = site.put("/big", "a" * 20_000_000)
    answer = step(debugger, script("def page(self, response):\n    return len(response.text)"), task(url))
    assert answer["results"] == [20_000_000]
    assert len(answer["response"]["text"]) == 1_000_000
    assert answer["response"]["truncated"]
    assert answer["response"]["size"] == 20_000_000


def test_images_and_other_bytes(debugger: Debugger, site: Site) -> None:
    text = script("def page(self, response):\n    return len(response.content)")
    image = step(debugger, text, task(site.put("/i.png", b"\x89PNG\0", Content_Type="image/png")))["response"]
    assert image["data_url"] == "data:image/png;base64,iVBORwA="
    assert image["text"] is None
    other = step(debugger, text, task(site.put("/z", b"PK\0\1", Content_Type="application/zip")))["response"]
    assert other["text"] is None
    assert other["data_url"] is None


def test_requests_with_bodies(debugger: Debugger, site: Site) -> None:
    text = script("def page(self, response):\n    return response.text")
    answer = step(debugger, text, task(site.url + "/form", method="POST", data="a=1"))
    assert answer["results"] == ["a=1"]
    assert answer["request"]["body"] == "a=1"
    answer = step(debugger, text, task(site.url + "/form", method="POST", data={"base64": "/w=="}))
    assert answer["request"]["body"] == {"base64": "/w=="}
    assert answer["response"]["size"] == 1


def test_self_save_and_messages_can_be_given(debugger: Debugger) -> None:
    text = script(
        """
        def page(self, response):
            self.save["n"] = self.save.get("n", 0) + 1
            return self.save["n"]
        def on_message(self, project, msg):
            return {"from": project, "msg": msg}
        """
    )
    answer = step(debugger, text, {**task("data:,x"), "track": {"save": {"n": 41}}})
    assert answer["results"] == [42]
    assert answer["save"] == {"n": 42}
    row = msgspec.to_builtins(TaskRow("shop", "t", "data:,x", save='{"n": 1}', process=Process(callback="page")))
    assert step(debugger, text, row)["results"] == [2]  # a stored task as it is
    sender = step(debugger, script("def page(self, response):\n    self.send_message('shop', [1])"), task("data:,x"))
    answer = step(debugger, text, sender["messages"][0]["task"])
    assert answer["results"] == [{"from": "shop", "msg": [1]}]


def test_drop_and_retry(debugger: Debugger) -> None:
    text = script(
        "def page(self, response):\n    self.drop('old')\ndef again(self, response):\n    response.retry('later')"
    )
    assert step(debugger, text, task("data:,x"))["drop"] == "old"
    answer = step(debugger, text, task("data:,x", "again"))
    assert answer["error"]["kind"] == "retry"
    assert "later" in answer["error"]["message"]


def test_much_is_counted_and_shown_in_part(debugger: Debugger) -> None:
    text = script(
        "def page(self, response):\n    for n in range(30_000):\n"
        "        self.crawl(f'http://a/{n}', callback='page')\n        yield {'n': n}"
    )
    answer = step(debugger, text, task("data:,x"), time_limit=20)
    assert (answer["follow_count"], len(answer["follows"])) == (30_000, 1_000)
    assert (answer["result_count"], len(answer["results"])) == (30_000, 1_000)


def test_R_70_secrets_of_the_project_are_used_and_masked(
    debugger: Debugger, projectdb: ProjectStore, site: Site
) -> None:
    projectdb.put(ProjectRow("secretive", script="x", group="g"))
    projectdb.put_setting("secretive", SettingRow("key", "sealed:hunter2hunter2"))
    url = site.put("/p", "x")
    text = script(
        """
        def before_request(self, task):
            key = self.settings["key"]
            task["fetch"]["headers"] = {"X-Key": key, "Authorization": "Bearer " + key}
        def page(self, response):
            print(self.settings["key"], self.project["group"])
            raise ValueError(self.settings["key"])
        """
    )
    answer = step(debugger, text, task(url), project="secretive")
    assert site.requests[-1][1]["X-Key"] == "hunter2hunter2"
    assert "hunter2" not in str(answer)
    assert ["X-Key", "***"] in answer["request"]["headers"]
    assert "*** g" in answer["logs"]
    assert ["Authorization", "Bearer ***"] in answer["request"]["headers"]
    stolen = step(debugger, text, task(url), project="shop")  # another project's run has no such setting
    assert "no setting" in stolen["error"]["message"]


def test_R_70_tasks_are_shown_with_stand_ins_and_run_with_what_they_stand_for(
    debugger: Debugger, projectdb: ProjectStore, site: Site
) -> None:
    projectdb.put(ProjectRow("secretive", script="x", group="g"))
    projectdb.put_setting("secretive", SettingRow("key", "sealed:hunter2 & co"))
    text = script(
        """
        def page(self, response):
            key = self.settings["key"]
            self.crawl(response.url + "?k=" + quote(key), callback=self.end, headers={"X-Key": key}, save={"key": key})
            self.crawl("http://login.test/", callback=self.end, fetch_type="js", js_actions=[
                {"fill": "#user", "text": "ann"}, {"fill": "#key", "text": key}, {"click": "#in"}])
            self.send_message("other", {"key": key})
            self.save["key"] = key
        def end(self, response):
            return [response.save["key"] == self.settings["key"], len(response.save["key"])]
        """
    )
    text = "from urllib.parse import quote\n" + text
    answer = step(debugger, text, task(site.put("/p", "x")), project="secretive")
    assert answer["error"] is None
    shown, login = answer["follows"]
    assert "hunter2" not in str(answer)
    assert "ann" not in str(login["fetch"])
    actions = login["fetch"]["browser"]["actions"]
    assert [[*one] for one in actions] == [["fill", "text"], ["fill", "text"], ["click"]]

    site.put("/p?k=hunter2%20%26%20co", "y")
    shown["fetch"]["headers"]["X-More"] = "1"  # edited, and run
    second = step(debugger, text, shown, project="secretive")
    assert second["results"] == [[True, len("hunter2 & co")]]
    path, headers = site.requests[-1]
    assert (path, headers["X-Key"], headers["X-More"]) == ("/p?k=hunter2%20%26%20co", "hunter2 & co", "1")
    assert second["task"]["fetch"]["headers"]["X-Key"] == shown["fetch"]["headers"]["X-Key"]
    assert "hunter2" not in str(second)

    stranger = step(debugger, text, shown, project="secretive", who=OTHER)
    assert stranger["error"]["kind"] == "task"
    assert "stands for a masked text that is not known here any more" in stranger["error"]["message"]


def test_R_70_a_stored_task_is_shown_with_stand_ins(debugger: Debugger, site: Site) -> None:
    actions = [{"fill": "#key", "text": "hunter2"}]
    stored = {"url": "data:,x", "fetch": {"browser": {"actions": actions}}, "process": {"callback": "page"}}
    shown = debugger.task_to_show(ME, "shop", stored)
    assert "hunter2" not in str(shown)
    assert stored["fetch"]["browser"]["actions"] is actions  # the task itself stays as it was
    assert actions == [{"fill": "#key", "text": "hunter2"}]
    text = script(
        """
        def page(self, response):
            return self.task["fetch"]["browser"]["actions"][0]["text"] == "hunter2"
        """
    )
    assert step(debugger, text, shown)["results"] == [True]


def test_stand_ins_are_bounded_and_the_same_for_the_same_text() -> None:
    stand_ins = StandIns(most=2, most_characters=10)
    first = stand_ins.for_text("me", "aa")
    assert stand_ins.for_text("me", "aa") == first
    assert stand_ins.for_text("me", first) == first
    assert stand_ins.for_text("other", "aa") != first
    assert stand_ins.filled("me", {"a": [f"x{first}y", 1]}) == {"a": ["xaay", 1]}
    stand_ins.for_text("me", "bb")
    with pytest.raises(Mistake, match="not known here"):
        stand_ins.filled("me", first)
    long = stand_ins.for_text("me", "b" * 11)
    assert stand_ins.filled("me", long) == "b" * 11


def test_the_environment_holds_no_secrets(debugger: Debugger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAWLKIT_TASKDB", "postgresql://u:p@h/db")
    text = script("def page(self, response):\n    import os\n    return sorted(os.environ)")
    names = step(debugger, text, task("data:,x"))["results"][0]
    assert not [name for name in names if "CRAWLKIT" in name or "TOKEN" in name]


def test_scripts_of_other_projects_can_be_imported(debugger: Debugger, projectdb: ProjectStore) -> None:
    projectdb.put(ProjectRow("library", script="N = 7\n"))
    text = "from projects.library import N\n" + script("def page(self, response):\n    return N")
    assert step(debugger, text, task("data:,x"))["results"] == [7]


def test_R_68_the_address_guard_holds(projectdb: ProjectStore, blobdb: BlobStore, site: Site) -> None:
    guarded = new_debugger(projectdb, blobdb, fetcher=FetcherSettings(allow_private=False))
    try:
        text = script(
            f"""
            @catch_status_code_error
            def page(self, response):
                return response.error_kind
            @catch_status_code_error
            async def awaits(self, response):
                return await self.fetch("{site.url}/x")
            """
        )
        for url in (site.url + "/x", "http://[::1]/", "http://169.254.169.254/latest/", "http://0x7f.1/"):
            answer = step(guarded, text, task(url))
            assert answer["results"] == ["address"] or answer["error"]["kind"] in ("fetch", "address"), answer["error"]
            assert answer["response"]["error_kind"] == "address"
        step(guarded, text, task("data:,x", "awaits"))
        assert site.requests == []
    finally:
        guarded.close()


def test_a_stored_script_or_a_version_of_it(debugger: Debugger, projectdb: ProjectStore) -> None:
    old = projectdb.put(ProjectRow("stored", script=script("def page(self, response):\n    return 'old'")))
    projectdb.put(ProjectRow("stored", script=script("def page(self, response):\n    return 'new'")))
    assert debugger.step(ME, "stored", task("data:,x"), wait=20)["answer"]["results"] == ["new"]
    state = debugger.step(ME, "stored", task("data:,x"), version=old.version, wait=20)
    assert state["answer"]["results"] == ["old"]
    for options in ({"version": "0" * 32}, {"page": "no"}):
        with pytest.raises(Problem, match=r"no version|not kept"):
            debugger.step(ME, "stored", task("data:,x"), **options)
    with pytest.raises(Problem, match="no project"):
        debugger.step(ME, "unknown", task("data:,x"))


def test_stop_ends_a_callback_and_all_it_started_at_once(debugger: Debugger) -> None:
    text = script(
        """
        def page(self, response):
            import subprocess, time
            subprocess.Popen(["sleep", "1000"])
            while True:
                try: time.sleep(100)
                except BaseException: pass
        """
    )
    before = set(debugger.pids())
    state = debugger.step(ME, "shop", task("data:,x"), script=text, time_limit=100)
    until(lambda: [pid for pid in debugger.pids() if pid not in before])
    mine = [psutil.Process(pid) for pid in debugger.pids() if pid not in before]
    until(lambda: any(one.children() for one in mine))
    mine += [child for one in mine for child in one.children(recursive=True)]
    began = time.monotonic()
    state = debugger.stop(ME, "shop", state["run"])
    assert time.monotonic() - began < 0.5
    assert state["state"] == "stopped"
    assert state["answer"]["error"]["kind"] == "stopped"
    until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in mine))
    assert debugger.stop(ME, "shop", state["run"])["state"] == "stopped"  # a second time does nothing


def test_a_run_is_stopped_before_it_began(debugger: Debugger) -> None:
    text = script("def page(self, response):\n    while True: pass")
    for _ in range(20):
        state = debugger.step(ME, "shop", task("data:,x"), script=text)
        stopped = debugger.stop(ME, "shop", state["run"])
        assert (stopped["state"], stopped["answer"]["error"]["kind"]) == ("stopped", "stopped")


def test_results_as_deep_as_they_may_be(debugger: Debugger) -> None:
    text = script("def page(self, response):\n    x = 1\n    for _ in range(150): x = [x]\n    return {'x': x}")
    answer = step(debugger, text, task("data:,x"))
    assert answer["ok"] or "deep" in answer["error"]["message"], answer["error"]


def test_a_fetch_is_stopped_and_shows_what_it_waits_for(debugger: Debugger, site: Site) -> None:
    site.hold.clear()
    url = site.put("/slow", "x")
    state = debugger.step(ME, "shop", task(url), script=script("def page(self, response): pass"))
    seen = state["step"]
    while state["state"] != "fetching":
        state = debugger.look(ME, "shop", state["run"], wait=5, seen=seen)
        seen = state["step"]
    assert state["message"] == f"fetching {url}"
    with pytest.raises(Problem, match="no debug run"):
        debugger.look(OTHER, "shop", state["run"])
    with pytest.raises(Problem, match="no debug run"):
        debugger.stop(OTHER, "shop", state["run"])
    assert debugger.stop(ME, "shop", state["run"])["state"] == "stopped"


def test_a_long_fetch_tells_how_much_has_come(debugger: Debugger, site: Site) -> None:
    """The head and the first half come at once, the rest when the page is let go."""
    url = site.put("/halves", "x" * 600_000)
    site.hold.clear()
    text = script("def page(self, response):\n    return len(response.content)")
    state = debugger.step(ME, "shop", task(url), script=text)
    until(lambda: debugger.look(ME, "shop", state["run"])["progress"]["bytes"] >= 300_000)
    told = debugger.look(ME, "shop", state["run"])
    assert told["state"] == "fetching"
    assert "KiB" in told["message"]
    site.hold.set()
    assert debugger.look(ME, "shop", state["run"], wait=10)["answer"]["results"] == [600_000]


def test_others_wait_in_turn_and_are_told(projectdb: ProjectStore, blobdb: BlobStore, site: Site) -> None:
    crowded = new_debugger(projectdb, blobdb, processes=1, waiting_per_user=3)
    try:
        site.hold.clear()
        url = site.put("/slow", "x")
        text = script("def page(self, response):\n    return 1")
        first = crowded.step(ME, "shop", task(url), script=text)
        until(lambda: crowded.look(ME, "shop", first["run"])["state"] == "fetching")
        second = crowded.step(ME, "shop", task("data:,x"), script=text)
        third = crowded.step(OTHER, "shop", task("data:,x"), script=text)
        until(lambda: "1 before" in crowded.look(OTHER, "shop", third["run"])["message"])
        assert "waits for its turn" in crowded.look(ME, "shop", second["run"])["message"]
        crowded.step(ME, "shop", task("data:,x"), script=text)
        with pytest.raises(Problem, match="3 debug runs of yours"):
            crowded.step(ME, "shop", task("data:,x"), script=text)
        crowded.stop(ME, "shop", second["run"])
        site.hold.set()
        assert crowded.look(OTHER, "shop", third["run"], wait=10)["answer"]["results"] == [1]
    finally:
        crowded.close()


def test_several_users_at_once_each_get_their_own(debugger: Debugger, site: Site) -> None:
    url = site.put("/p", "x")

    def work(n: int) -> list[Any]:
        who = Identity(f"user{n % 3}", "editor", "password")
        found: list[Any] = []
        for turn in range(4):
            text = script(f"def page(self, response):\n    return [{n}, {turn}, response.text, self.project_name]")
            answer = step(debugger, text, task(url), who=who, project=f"p{n}")
            found += answer["results"]
            page = debugger.page(who, answer["page"])
            assert (page.project, page.body) == (f"p{n}", b"x")
        return found

    with ThreadPoolExecutor(9) as pool:
        for n, found in enumerate(pool.map(work, range(9))):
            assert found == [[n, turn, "x", f"p{n}"] for turn in range(4)]


def test_a_warm_debugger_answers_in_under_100_ms(debugger: Debugger) -> None:
    text = script("def page(self, response):\n    return 1")
    step(debugger, text, task("data:,x"))
    took = []
    for _ in range(10):
        began = time.monotonic()
        step(debugger, text, task("data:,x"))
        took.append(time.monotonic() - began)
    assert sorted(took)[5] < 0.1, took


def test_a_download_is_tried_and_leaves_nothing(debugger: Debugger, site: Site) -> None:
    url = site.put("/f.bin", b"12345", Content_Type="application/octet-stream")
    text = script("def page(self, response):\n    return response.file")
    answer = step(debugger, text, task(url, download={"to": "x.bin"}))
    assert answer["results"][0]["bytes"] == 5


def test_R_68_from_the_first_user_on_private_addresses_are_closed(
    projectdb: ProjectStore, blobdb: BlobStore, site: Site
) -> None:
    users: list[str] = []
    made = new_debugger(projectdb, blobdb, private=lambda: not users)
    text = script("@catch_status_code_error\ndef page(self, response):\n    return response.error_kind")
    try:
        answer = step(made, text, task(site.put("/x", "inner")))
        assert answer["response"]["error_kind"] is None, answer
        users.append("ada")
        answer = step(made, text, task(site.url + "/x"))
        assert answer["response"]["error_kind"] == "address", answer
        assert answer["results"] == ["address"], answer
    finally:
        made.close()
