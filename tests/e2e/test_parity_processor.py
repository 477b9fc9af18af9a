"""What a callback may do and what is kept of it, by pyspider's test ids T40 to T56, over real processes and sockets.

One script plays most parts, written as for pyspider. It is crawled twice on one data path, so that the second crawl
shows what the first has left behind.
"""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawlkit import wiring
from crawlkit.settings import Settings
from tests.e2e.commands import Crawl, environment, run, until
from tests.e2e.parity_runs import Cases, Crawled, crawl
from tests.e2e.parity_site import ETAG, MODIFIED, Site, nobody_answers

ACTS = """
from pyspider.libs.base_handler import *
import os
import time

SITE = os.environ["PARITY_SITE"]
ETAG, MODIFIED = os.environ["PARITY_ETAG"], os.environ["PARITY_MODIFIED"]


class Handler(BaseHandler):
    crawl_config = {"headers": {"X-Project": "acts"}, "retries": 0, "age": 0}
    retry_delay = {0: 0.2, "": -1}

    def on_start(self):
        for taskid, path, callback, arguments in [
            ("T40", "/page/silent", self.silent, {}),
            ("T41", "/page/five", self.five, {}),
            ("T42-plain", "/status/418", self.title, {}),
            ("T42-418", "/status/418?", self.code, {}),
            ("T42-400", "/status/400", self.code, {}),
            ("T42-500", "/status/500", self.code, {}),
            ("T42-302", "/hops/2", self.code, {"allow_redirects": False}),
            ("T44-etag", "/tagged/etag", self.title, {"etag": ETAG}),
            ("T44-modified", "/tagged/modified", self.title, {"last_modified": MODIFIED}),
            ("T44-saved", "/tagged/saved", self.title, {}),
            ("T44-off", "/tagged/off", self.title, {"etag": False, "last_modified": False}),
            ("T44-broken", "/tagged/broken", self.broken, {}),
            ("T45-save", "/page/save", self.visits, {"save": {"from": "on_start", "deep": [1, {"x": None}]}}),
            ("T45-links", "/links/nine", self.links, {}),
            ("T45-unknown", "/page/unknown", self.unknown, {}),
            ("T50-none", "/page/none", self.takes_none, {}),
            ("T50-one", "/page/one", self.takes_one, {"save": "carried"}),
            ("T50-two", "/page/two", self.takes_two, {}),
            ("T50-403", "/status/403", self.code, {}),
            ("T50-logs", "/page/logs", self.talks, {}),
            ("T50-message", "/page/message", self.sends, {}),
            ("T52", "/status/500?", self.title, {"retries": 5}),
            ("T53", "/page/sleep", self.sleeps, {}),
            ("T55", "/index", self.index, {"etag": False}),
            ("T56", "/status/598", self.index, {}),
        ]:
            self.crawl(SITE + path, callback=callback, taskid=taskid, **arguments)

    def title(self, response):
        return {"title": response.doc("title").text(), "html": response.text}

    @not_send_status
    def silent(self, response):
        self.crawl(SITE + "/page/child-of-silent", callback=self.title)
        return "said all the same"

    def five(self, response):
        for path in ("/page/a", "/page/b", "/page/a", "/page/a", "/page/b"):
            asked = self.crawl(SITE + path, callback=self.title)
        assert asked["taskid"] == md5string(asked["url"])
        return asked

    @catch_status_code_error
    def code(self, response):
        self.crawl(SITE + "/page/after-%d" % response.status_code, callback=self.title)
        return response.status_code

    def broken(self, response):
        raise ValueError("no validators from me")

    def visits(self, response):
        self.save["visits"] = self.save.get("visits", 0) + 1
        return {"visits": self.save["visits"], "save": response.save, "taskid": self.task["taskid"]}

    def links(self, response):
        for each in response.doc('a[href^="http"]').items():
            self.crawl(each.attr.href, callback=self.title)

    def unknown(self, response):
        try:
            self.crawl(SITE + "/never", callback=self.title, speed=9)
        except TypeError as error:
            return str(error)

    def takes_none(self):
        return "nothing"

    def takes_one(self, response):
        return response.save

    def takes_two(self, response, task):
        return [response.status_code, task["taskid"], task["project"], task["process"]["callback"]]

    def talks(self, response):
        print("a print")
        logger.info("an info")
        logger.warning("a warning")
        logger.error("an error")
        raise KeyError("the end")

    def sends(self, response):
        self.crawl(SITE + "/page/with-message", callback=self.title)
        self.send_message("hears", {"hello": "ü"})

    @config(process_time_limit=0.5)
    def sleeps(self, response):
        time.sleep(2)
        return "slept"

    def index(self, response):
        for each in response.doc("a").items():
            self.crawl(each.attr.href, callback=self.title)
"""

HEARS = """
from crawlkit import BaseHandler


class Handler(BaseHandler):
    def on_start(self):
        pass

    def on_message(self, project, msg):
        return [project, msg]
"""

TOOLS = """
from crawlkit import BaseHandler

ANSWER = 42


def double(number):
    return 2 * number


class Handler(BaseHandler):
    def on_start(self):
        pass
"""

IMPORTS = """
import projects.tools
from crawlkit import BaseHandler
from projects import tools
from projects.tools import double


class Handler(BaseHandler):
    def on_start(self):
        return [tools.ANSWER, double(4), projects.tools.double(5)]
"""

TICKS = """
import time
from crawlkit import BaseHandler, every


class Handler(BaseHandler):
    retry_delay = {"": 7}

    def on_start(self):
        pass

    @every(seconds=1)
    def often(self, response):
        return ["often", response.save, time.time()]

    @every(seconds=2)
    def seldom(self, response):
        return ["seldom", response.save, time.time()]

    @every(days=300)
    def never(self, response):
        return ["never", response.save, time.time()]
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    served = Site()
    yield served
    served.close()


def cases(site: Site, silent: str) -> Cases:
    """T43: (url, arguments) by name."""
    echo = f"{site.base}/echo/"
    return {
        "method": (f"{echo}method", {"method": "PUT"}),
        "delete": (f"{echo}delete", {"method": "delete"}),
        "params": (f"{echo}params?k=0", {"params": {"q": "ä 中", "n": [1, 2]}}),
        "data": (f"{echo}data", {"data": {"roße": "grün", "n": 1}}),
        "bytes": (f"{echo}bytes", {"data": b"\xff\x00raw", "headers": {"Content-Type": "application/x-own"}}),
        "headers": (f"{echo}headers", {"headers": {"X-Own": "ü", "Accept": "text/own"}}),
        "agent": (f"{echo}agent", {"user_agent": "Tester/1"}),
        "cookies": (f"{echo}cookies", {"cookies": {"c": "3"}, "headers": {"Cookie": "a=1"}}),
        "set": (f"{site.base}/set", {}),
        "redirect": (f"{site.base}/biscuit", {}),
        "timeout": (f"{site.base}/slow/43", {"timeout": 1}),
        "connect": (f"http://{silent}/", {"connect_timeout": 1, "timeout": 9}),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acts")
    for name, text in {"acts": ACTS, "hears": HEARS, "tools": TOOLS, "imports": IMPORTS}.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def acts_of(site: Site) -> dict[str, str]:
    return {"PARITY_SITE": site.base, "PARITY_ETAG": ETAG, "PARITY_MODIFIED": MODIFIED}


@pytest.fixture(scope="module")
def first(site: Site, folder: Path) -> Crawled:
    """The first crawl of all scripts."""
    with nobody_answers() as silent:
        return crawl(folder, acts_of(site), "acts.py", "hears.py", "tools.py", "imports.py", cases=cases(site, silent))


@pytest.fixture(scope="module")
def second(first: Crawled, site: Site, folder: Path) -> tuple[Crawled, list[tuple[str, str, dict[str, str]]]]:
    """The second crawl of the same data path, and what it asked of the site."""
    before = len(site.requests)
    crawled = crawl(folder, acts_of(site), "acts.py", "hears.py", "tools.py", "imports.py", number=2)
    return crawled, site.requests[before:]


def test_T40_without_a_status_the_rest_still_goes_out(first: Crawled) -> None:
    assert first.result("T40", "acts") == "said all the same"
    assert any(url.endswith("/page/child-of-silent") for url in first.urls("acts"))


def test_T41_the_same_page_twice_is_one_follow_up(site: Site, first: Crawled) -> None:
    """Also H15 and H16: what crawl gives back is the task, with the id of its URL; it is no result."""
    fetch, process = first.track("acts", "T41")
    assert (process["ok"], process["follows"]) == (True, 2), (fetch, process)
    assert first.results("T41") == []


def test_T42_what_is_no_page_fails_unless_the_callback_wants_it(first: Crawled) -> None:
    fetch, process = first.track("acts", "T42-plain")
    assert (fetch.get("ok", False), process.get("ok", False)) == (False, False)
    assert "HTTP 418" in fetch["error"]
    assert "HTTP 418" in process["exception"]
    assert "HTTP 418" in process["logs"]
    assert fetch["content"] == "a teapot's words"
    assert fetch["headers"]["X-Kept"] == "yes"
    for code in (418, 400, 500, 302):
        assert first.result(f"T42-{code}", "acts") == code
        assert any(url.endswith(f"/page/after-{code}") for url in first.urls("acts"))


def test_T43_the_arguments_of_crawl_reach_the_server(first: Crawled) -> None:
    said = {name: first.result(name, "pages") for name in cases_with_json}
    assert said["method"]["json"]["method"] == "PUT"
    assert said["delete"]["json"]["method"] == "DELETE"
    assert said["params"]["json"]["query"] == [["k", "0"], ["q", "ä 中"], ["n", "1"], ["n", "2"]]
    assert said["data"]["json"]["method"] == "POST"
    assert said["data"]["json"]["form"] == [["roße", "grün"], ["n", "1"]]
    assert said["bytes"]["json"]["body"] == "\\xff\x00raw"
    assert said["bytes"]["json"]["headers"]["content-type"] == "application/x-own"
    assert said["headers"]["json"]["headers"]["accept"] == "text/own"
    assert said["agent"]["json"]["headers"]["user-agent"] == "Tester/1"
    assert said["cookies"]["json"]["cookies"] == {"a": "1", "c": "3"}
    assert said["set"]["cookies"] == {"a": "1", "b": "2"}
    assert said["redirect"]["json"]["cookies"] == {"hop": "1"}
    assert said["timeout"]["status"] == said["connect"]["status"] == 599
    assert 0.8 < said["timeout"]["time"] < 3
    assert 0.8 < said["connect"]["time"] < 4


cases_with_json = ("method", "delete", "params", "data", "bytes", "headers", "agent", "cookies", "set", "redirect",
                   "timeout", "connect")  # fmt: skip


def test_T44_conditional_requests(
    first: Crawled, second: tuple[Crawled, list[tuple[str, str, dict[str, str]]]]
) -> None:
    for name in ("T44-etag", "T44-modified"):
        fetch, process = first.track("acts", name)
        assert (fetch["status_code"], fetch["ok"], process["ok"]) == (304, True, True)
        assert first.results(name) == []
    _, asked = second
    headers = {path: said for _, path, said in asked}
    assert headers["/tagged/saved"]["if-none-match"] == ETAG
    assert headers["/tagged/saved"]["if-modified-since"] == MODIFIED
    for path in ("/tagged/off", "/tagged/broken"):
        assert not {"if-none-match", "if-modified-since"} & set(headers[path]), path


def test_T45_what_is_saved_comes_back(
    first: Crawled, second: tuple[Crawled, list[tuple[str, str, dict[str, str]]]]
) -> None:
    save = {"from": "on_start", "deep": [1, {"x": None}]}
    assert first.result("T45-save") == {"visits": 1, "save": save, "taskid": "T45-save"}
    assert second[0].result("T45-save")["visits"] == 2
    assert first.track("acts", "T45-links")[1]["follows"] == 9
    assert "<title>/tagged/saved</title>" not in str(first.results("T44-saved"))
    assert first.result("T44-saved")["html"] == "<title>tagged</title>"
    assert "speed" in first.result("T45-unknown")


UPLOADS = """
import os
from crawlkit import BaseHandler

SITE = os.environ["PARITY_SITE"]


class Handler(BaseHandler):
    def on_start(self):
        self.crawl(SITE + "/echo/files", callback=self.said, taskid="files", files={"file": ("f.bin", b"\\xff\\x00")})
        self.crawl(SITE + "/echo/both", callback=self.said, taskid="both", data={"a": "ü"}, files={"file": "text"})

    def said(self, response):
        return response.json
"""

CURL = """
import os
from crawlkit import BaseHandler

SITE = os.environ["PARITY_SITE"]


class Handler(BaseHandler):
    def on_start(self):
        self.crawl("curl '%s/echo/get' -H 'X-A: 1' --compressed" % SITE, callback=self.said, taskid="get")
        self.crawl("curl %s/echo/post -d a=1 --data-raw 'b=2' -b 'c=3'" % SITE, callback=self.said, taskid="post")
        self.crawl("curl -X PUT %s/echo/put -F 'k=v'" % SITE, callback=self.said, taskid="put")
        for wrong in ("curl -X PUT -v", "curl %s/ --nonsense" % SITE):
            try:
                self.crawl(wrong, callback=self.said)
            except Exception as error:
                print(wrong, "is refused:", error)
                yield str(error)

    def said(self, response):
        return response.json
"""


def test_T43_uploads(site: Site, tmp_path: Path) -> None:
    (tmp_path / "uploads.py").write_text(UPLOADS)
    crawled = crawl(tmp_path, {"PARITY_SITE": site.base}, "uploads.py")
    assert crawled.result("files")["files"] == {"file": ["f.bin", base64.b64encode(b"\xff\x00").decode()]}
    both = crawled.result("both")
    assert (both["fields"], base64.b64decode(both["files"]["file"][1])) == ({"a": "ü"}, b"text")


def test_T45_curl_commands(site: Site, tmp_path: Path) -> None:
    (tmp_path / "copied.py").write_text(CURL)
    crawled = crawl(tmp_path, {"PARITY_SITE": site.base}, "copied.py")
    assert crawled.result("get")["headers"]["x-a"] == "1"
    assert crawled.result("post")["form"] == [["a", "1"], ["b", "2"]]
    assert crawled.result("post")["cookies"] == {"c": "3"}
    assert (crawled.result("put")["method"], crawled.result("put")["fields"]) == ("PUT", {"k": "v"})
    refused = [line["result"] for line in crawled.lines if isinstance(line["result"], str)]
    assert len(refused) == 2
    assert "--nonsense" in refused[1]


def test_T50_what_callbacks_get(first: Crawled) -> None:
    assert first.result("T50-none") == "nothing"
    assert first.result("T50-one") == "carried"
    assert first.result("T50-two") == [200, "T50-two", "acts", "takes_two"]
    assert first.result("T50-403") == 403
    _, process = first.track("acts", "T50-logs")
    positions = [process["logs"].index(word) for word in ("a print", "an info", "a warning", "an error", "the end")]
    assert positions == sorted(positions)
    assert process["exception"] == "KeyError: 'the end'"
    assert first.track("acts", "T50-message")[1]["follows"] == 1
    assert first.of("hears") == [["acts", {"hello": "ü"}]]


def test_T51_crons_run_at_their_instants_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "ticks.py").write_text(TICKS)
    with Crawl(["one", "ticks.py", "--forever", "--data-path", "d"], tmp_path, environment("")) as running:
        until(lambda: running.said.count('"seldom"') >= 2, 20, "the two-second job ran twice")
        running.process.send_signal(signal.SIGTERM)
        running.wait(10)
        said = [json.loads(line)["result"] for line in running.said.splitlines() if line.startswith('{"taskid"')]
    often = [save["tick"] for name, save, _ in said if name == "often"]
    seldom = [save["tick"] for name, save, _ in said if name == "seldom"]
    assert len(often) >= 3
    for ticks, interval in ((often, 1), (seldom, 2)):
        assert ticks == sorted(set(ticks)), "each instant once, in order"
        assert [tick % interval for tick in ticks] == [0] * len(ticks)
    assert all(0 <= at - save["tick"] < 5 for _, save, at in said)
    assert not [name for name, _, _ in said if name == "never"]


def test_T52_what_a_handler_says_of_itself_holds(site: Site, first: Crawled) -> None:
    with_project = [headers for _, path, headers in site.requests if path == "/page/silent"]
    assert with_project[0]["x-project"] == "acts"
    tries = first.tracks("acts", "T52")
    assert [fetch["status_code"] for fetch, _ in tries] == [500, 500]  # again after 0.2 s, then no more


def test_T53_a_callback_over_its_time_ends(first: Crawled) -> None:
    _, process = first.track("acts", "T53")
    assert process.get("ok", False) is False
    assert process["reason"] == "time_limit"
    assert 0.4 < process["time"] < 2
    assert first.results("T53") == []


def test_T54_three_ways_to_import_a_project(first: Crawled) -> None:
    assert first.of("imports") == [[42, 8, 10]]


def test_T54_scripts_that_are_unknown_broken_and_mended(tmp_path: Path) -> None:
    """Under ``crawlkit all``, whose processors run on while scripts change."""
    env = environment("", {"CRAWLKIT_SCHEDULER_XMLRPC_PORT": "0"})
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "imports.py").write_text(IMPORTS)
    (tmp_path / "broken.py").write_text("from crawlkit import BaseHandler\nraise OSError('not today')\n")

    def say(*command: str, code: int = 0) -> str:
        done = run(["--data-path", "d", *command], tmp_path, env)
        assert done.returncode == code, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def found(project: str) -> list[Any]:
        with wiring.open_stores(Settings(data_path=tmp_path / "d"), ("resultdb",)) as stores:
            return [json.loads(row.result) for row in stores.resultdb.select(project)]

    with Crawl(["--data-path", "d", "all", "--no-webui"], tmp_path, env) as running:
        until(lambda: "ready:" in running.said, 30, "everything runs")
        assert "nobody" in say("project", "run", "nobody", code=2)
        for name in ("tools", "imports", "broken"):
            # a script that does not load is only saved when somebody insists
            force = ["--force"] if name == "broken" else []
            say("project", "put", f"{name}.py", "--status", "RUNNING", *force)
        say("project", "run", "imports")
        until(lambda: found("imports") == [[42, 8, 10]], 20, "the first answer")
        say("project", "run", "broken")
        until(lambda: attempts(tmp_path, "broken"), 20, "the broken script has an attempt")
        assert "OSError: not today" in attempts(tmp_path, "broken")[0]["exception"]
        assert "broken.py" in attempts(tmp_path, "broken")[0]["logs"]

        (tmp_path / "broken.py").write_text(IMPORTS)
        (tmp_path / "tools.py").write_text(TOOLS.replace("42", "43"))
        for name in ("tools", "broken"):
            say("project", "put", f"{name}.py")
        say("project", "run", "broken")
        until(lambda: found("broken") == [[43, 8, 10]], 20, "the mended script runs")

        def seen() -> bool:  # a worker that imported the old one goes with the next heartbeat
            say("project", "run", "imports")
            return found("imports") == [[43, 8, 10]]

        until(seen, 20, "who imports sees the change")
        running.process.send_signal(signal.SIGTERM)
        assert running.wait(10) == 0


def attempts(folder: Path, project: str) -> list[dict[str, Any]]:
    """The tracks of all attempts of a project's tasks."""
    with wiring.open_stores(Settings(data_path=folder / "d"), ("taskdb",)) as stores:
        tasks = stores.taskdb.select(project)
        return [json.loads(row.process) for task in tasks for row in stores.taskdb.attempts(project, task.taskid)]


def test_T55_an_index_page(site: Site, first: Crawled) -> None:
    fetch, process = first.track("acts", "T55")
    assert process["follows"] == 3
    assert f"{site.base}/p%C3%A1ge/%E4%B8%AD" in first.urls("acts")
    assert fetch["headers"] == {"etag": ETAG}
    assert fetch.get("content") is None
    assert process.get("logs") in (None, "")


def test_T56_a_failed_fetch_keeps_what_came(first: Crawled) -> None:
    fetch, process = first.track("acts", "T56")
    assert (fetch.get("ok", False), process.get("ok", False), process.get("follows", 0)) == (False, False, 0)
    assert (fetch["status_code"], fetch["content"]) == (598, "a teapot's words")
    assert fetch["headers"]["X-Kept"] == "yes"
