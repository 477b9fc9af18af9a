"""Every argument of a rendered fetch, in real Chromium, through a whole `crawlkit one` [H51, T39]."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import Crawl, environment
from tests.e2e.rendered_site import REPORT, RenderedSite
from tests.needs import binary

SCRIPT = """
from crawlkit import BaseHandler, catch_status_code_error, config

SITE = "{site}"
JS = {{"fetch_type": "browser"}}
DO = [
    {{"click": "#more"}}, {{"wait_for": "#did li"}}, {{"fill": "#q", "text": "gr\u00fcn"}},
    {{"press": "Enter", "on": "#q"}}, {{"select": "#n", "value": "nine"}}, {{"hover": "#menu"}}, {{"scroll": "end"}},
]
PAGES = {{
    "selector": ("/wait", dict(wait_for="#list li:nth-child(3)", fetch_type="js")),
    "function": ("/wait", dict(wait_for="() => window.done", fetch_type="phantomjs")),
    "idle": ("/wait", dict(wait_for={{"network_idle": 2}}, fetch_type="puppeteer")),
    "seconds": ("/late", dict(wait_for=[{{"selector": "#clock"}}, 2], **JS)),
    "gone": ("/wait", dict(wait_for={{"selector": "#never"}}, timeout=4, **JS)),
    "xhr": ("/wait", dict(wait_for=".ready", capture_xhr="*/api/*", **JS)),
    "no_xhr": ("/wait", dict(wait_for=".ready", capture_xhr="*/nothing/*", **JS)),
    "actions": ("/act", dict(js_actions=DO, js_viewport_height=800, **JS)),
    "bad_action": ("/act", dict(js_actions=[{{"click": "#nowhere"}}], timeout=3, **JS)),
    "heavy": ("/heavy", dict(load_images=True, wait_for="load", **JS)),
    "blocked": ("/heavy", dict(load_images=True, block=["images", "styles", "fonts", "media", "*/ads/*"], **JS)),
    "shot": ("/picture", dict(screenshot=True, js_viewport_width=640, js_viewport_height=480, **JS)),
    "full": ("/picture", dict(screenshot="full", js_viewport_width=640, js_viewport_height=480, **JS)),
    "element": ("/picture", dict(screenshot={{"of": "#chart", "type": "jpeg", "quality": 80}}, **JS)),
    "pdf": ("/picture", dict(pdf={{"format": "A5", "landscape": True}}, **JS)),
    "world": ("/world", dict(locale="de-DE", timezone="Asia/Tokyo", geolocation=(52.5, 13.4, 30), user_agent="me/1",
                             js_viewport_width=700, js_viewport_height=500, wait_for="() => said.textContent", **JS)),
    "plain_world": ("/world", dict(wait_for="() => said.textContent", **JS)),
    "headers": ("/headers", dict(first_headers={{"X-First": "mine"}}, wait_for="() => second.textContent", **JS)),
    "start": ("/scripted", dict(js_script="function() {{ window.early = 7; return document.readyState }}",
                                js_run_at="document-start", **JS)),
    "end": ("/scripted", dict(js_script="function() {{ n.textContent = '2'; return [1, {{}}] }}", **JS)),
    "dialog": ("/dialog", dict(**JS)),
    "missing": ("/nothing", dict(**JS)),
    "hang": ("/hang", dict(timeout=2, **JS)),
}}


class Handler(BaseHandler):
    crawl_config = {{"retries": 0}}

    def on_start(self):
        for case, (path, args) in PAGES.items():
            self.crawl(SITE + path + "?" + case, callback=self.page, save=case, **args)
        self.crawl(SITE + "/session?1", callback=self.visit, session="s", save=1, **JS)
        self.download(SITE + "/get?click", "files/{{name}}", self.saved, js_actions=[{{"click": "#get"}}], save="click",
                      **JS)
        self.download(SITE + "/get?made", "made/", self.saved, js_actions=[{{"click": "#late"}}], save="made",
                      size={size}, sha256="{sha256}", **JS)
        self.download(SITE + "/get?blob", "{{name}}", self.saved, js_actions=[{{"click": "#blob"}}], save="blob", **JS)
        self.download(SITE + "/get?none", "none", self.saved, save="none", timeout=20, **JS)
        try:
            self.crawl(SITE + "/wait", wait_for="#list")
        except ValueError as error:
            self.send_message(self.project_name, str(error), url="data:,refused")

    @catch_status_code_error
    def page(self, response):
        return {{
            "status": response.status_code, "kind": response.error_kind, "error": response.error,
            "list": response.css("li::text").getall(),
            "text": response.css("#clock::text, #said::text, i::text, #n::text").get(),
            "first": response.css("#first::text").get(), "second": response.css("#second::text").get(),
            "xhr": [[x.url, x.status, x.json, x.content_type] for x in response.xhr], "screenshot": response.screenshot,
            "pdf": response.pdf, "console": response.console, "js": response.js_script_result,
            "title": response.css("title::text").get(), "case": response.save,
        }}

    def visit(self, response):
        if response.save == 1:
            self.crawl(SITE + "/session?2", callback=self.visit, session="s", save=2, **JS)
        elif response.save == 2:
            self.crawl(SITE + "/cookies?3", callback=self.visit, session="s", save=3)
        said = response.css("#said::text").get() or response.text
        return {{"case": "visit %s" % response.save, "said": said, "cookies": response.cookies}}

    @catch_status_code_error
    def saved(self, response):
        return {{"case": "file " + response.save, "file": response.file, "error": response.error}}

    def on_message(self, project, message):
        return {{"case": "refused", "error": message}}
"""


class Crawled:
    """What came of the crawl: results by case, the site, the folder of the project's files."""

    def __init__(self, results: dict[str, dict[str, Any]], site: RenderedSite, files: Path) -> None:
        self.results, self.site, self.files = results, site, files

    def __getitem__(self, case: str) -> dict[str, Any]:
        return self.results[case]


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawled]:
    """One crawl for all that is asked here: Chromium starts once."""
    binary("chromium")
    folder = tmp_path_factory.mktemp("browser")
    site = RenderedSite()
    (folder / "pages.py").write_text(
        SCRIPT.format(site=site.url, size=len(REPORT), sha256=hashlib.sha256(REPORT).hexdigest())
    )
    try:
        with Crawl(["one", "pages.py", "--data-path", "d", "-o", "out.jsonl"], folder, environment("")) as crawl:
            crawl.wait(110)
            said = crawl.said
        lines = [json.loads(line)["result"] for line in (folder / "out.jsonl").read_text().splitlines()]
        yield Crawled({line["case"]: line for line in lines}, site, folder / "d" / "files" / "pages")
        assert "Traceback" not in said
    finally:
        site.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("case", ["selector", "function", "idle", "xhr"])
def test_waits_for_what_comes_late(crawled: Crawled, case: str) -> None:  # T39: the ajax page shows what was fetched
    assert crawled[case]["list"] == ["tea", "cake", "milk"]


def test_waits_by_time(crawled: Crawled) -> None:
    assert crawled["seconds"]["text"] == "late"


def test_what_never_comes_is_an_error_that_names_it(crawled: Crawled) -> None:
    assert (crawled["gone"]["status"], crawled["gone"]["kind"]) == (599, "timeout")
    assert "#never" in crawled["gone"]["error"]
    assert "#nowhere" in crawled["bad_action"]["error"]


def test_actions_in_their_order(crawled: Crawled) -> None:
    did = crawled["actions"]["list"]
    assert did[:4] == ["clicked", "asked for grün", "chose nine", "hovered"]
    assert did[4:] == ["page 1", "page 2", "page 3", "page 4"]


def test_what_is_blocked_is_not_loaded(crawled: Crawled) -> None:
    every = {"/style.css", "/picture.png", "/film.mp4", "/font.woff2", "/ads/banner.js", "/good.js"}
    assert set(crawled.site.asked_by("heavy")) >= every - {"/font.woff2"}
    assert set(crawled.site.asked_by("blocked")) == {"/good.js"}
    assert (crawled["heavy"]["text"], crawled["blocked"]["text"]) == ("BUY good", "none good")


def size_of(png: bytes) -> tuple[int, ...]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def test_screenshots_of_window_page_and_element(crawled: Crawled) -> None:
    window, full, element = ((Path(crawled[case]["screenshot"]["path"])) for case in ("shot", "full", "element"))
    assert size_of(window.read_bytes()) == (640, 480)
    assert size_of(full.read_bytes()) == (640, 4000)
    assert element.read_bytes().startswith(b"\xff\xd8\xff")
    assert element.suffix == ".jpg"
    assert window.parent == crawled.files / "rendered"
    content = window.read_bytes()
    said = crawled["shot"]["screenshot"]
    assert (said["bytes"], said["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_pdf_in_its_format(crawled: Crawled) -> None:
    content = Path(crawled["pdf"]["pdf"]["path"]).read_bytes()
    assert content.startswith(b"%PDF-")
    assert crawled["pdf"]["screenshot"] is None


def test_captured_answers(crawled: Crawled) -> None:
    url = f"{crawled.site.url}/api/things"
    assert crawled["xhr"]["xhr"] == [[url, 200, ["tea", "cake", "milk"], "application/json"]]
    assert crawled["no_xhr"]["xhr"] == []


def test_how_the_browser_looks_from_outside(crawled: Crawled) -> None:
    said = json.loads(crawled["world"]["text"])
    assert said == {
        "language": "de-DE", "zone": "Asia/Tokyo", "place": [52.5, 13.4, 30], "width": 700, "height": 500,
        "agent": "me/1",
    }  # fmt: skip
    plain = json.loads(crawled["plain_world"]["text"])
    assert (plain["width"], plain["height"]) == (1024, 2304)  # H51
    assert "denied" in plain["place"]
    assert "hello from /world" in crawled["world"]["console"][0]


def test_headers_for_the_page_alone(crawled: Crawled) -> None:
    assert (crawled["headers"]["first"], crawled["headers"]["second"]) == ("mine", "none")


def test_scripts_at_start_and_end(crawled: Crawled) -> None:  # T39: a script's effect is seen, and its value comes back
    assert crawled["start"]["js"] == "loading"
    assert (crawled["end"]["js"], crawled["end"]["text"]) == ([1, {}], "2")


def test_dialogs_errors_and_limits(crawled: Crawled) -> None:
    assert crawled["dialog"]["status"] == 200
    assert crawled["dialog"]["console"][:2] == ["alert: stop", "confirm: really?"]
    assert (crawled["missing"]["status"], crawled["missing"]["kind"]) == (404, None)
    assert (crawled["hang"]["status"], crawled["hang"]["kind"]) == (599, "timeout")  # T39


def test_a_session_keeps_cookies_and_storage_for_browser_and_plain_fetches(crawled: Crawled) -> None:
    assert [crawled[f"visit {n}"]["said"] for n in (1, 2)] == ["1", "2"]
    plain = dict(pair.split("=") for pair in crawled["visit 3"]["said"].split("; "))
    assert plain == {"server": "yes", "script": "s2"}


def test_downloads_that_a_page_starts(crawled: Crawled) -> None:
    digest = hashlib.sha256(REPORT).hexdigest()
    for case, place in (("click", "files/bare"), ("made", "made/béricht.csv")):
        file = crawled[f"file {case}"]["file"]
        assert file == {"path": str(crawled.files / place), "bytes": len(REPORT), "sha256": digest}, case
        assert (crawled.files / place).read_bytes() == REPORT
    blob = crawled["file blob"]["file"]
    assert Path(blob["path"]).name == "made here.txt"  # the server knows nothing of it
    assert Path(blob["path"]).read_text() == "made of nothing"
    assert crawled["file none"]["file"] is None
    assert "download" in crawled["file none"]["error"]


def test_what_only_a_browser_does_is_refused_without_one(crawled: Crawled) -> None:
    assert crawled["refused"]["error"].startswith("fetch.wait_for: only a browser can do this")
