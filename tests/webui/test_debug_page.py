"""The debugger's page in a real Chromium: the loop of fetching, running, stepping, changing and saving."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from crawlkit.database.base import ProjectRow, TaskRow, Writes
from crawlkit.libs import passwords
from crawlkit.libs.messages import NIL, TASK, Dispatch, Fetched, encode
from crawlkit.libs.task import Fetch, Process, Schedule, Status, taskid_of
from crawlkit.processor.keeper import kept_page
from tests.webui.access import ME, accounts_of, add_users
from tests.webui.servers import Client, Running, in_thread, until
from tests.webui.shop import Shop, shop

SCRIPT = """from crawlkit import BaseHandler


class Handler(BaseHandler):
    def on_start(self):
        self.crawl("{url}/", callback=self.index_page)

    def index_page(self, response):
        for link in response.css("a.product-link::attr(href)").getall():
            self.crawl(link, callback=self.detail_page)

    def detail_page(self, response):
        print("looking at", response.url)
        return {{"name": response.css("h1::text").get()}}
"""
ENDLESS = "    def index_page(self, response):\n        while True:\n            pass\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One web UI for all tests here; each has a project of its own."""
    with in_thread(tmp_path_factory.mktemp("debug") / "data") as running:
        yield running


@pytest.fixture
def site() -> Iterator[Shop]:
    with shop(pages=3) as running:
        yield running


_numbers = itertools.count(1)


@pytest.fixture
def name() -> str:
    """A project that there is not yet."""
    return f"shop{next(_numbers)}"


@pytest.fixture
def project(server: Running, site: Shop, name: str) -> str:
    """A stored project that crawls ``site``."""
    put(server, name, SCRIPT.format(url=site.url), "begun")
    return name


def put(running: Running, project: str, script: str, message: str = "") -> str:
    """Stores a version as somebody else would; its md5."""
    assert running.server is not None
    row = running.server.services.projectdb.put(ProjectRow(project, script=script), "ann", message)
    return row.version


def stored(running: Running, project: str) -> ProjectRow | None:
    assert running.server is not None
    return running.server.services.projectdb.get(project)


class Debugger:
    """The page as a user sees it."""

    def __init__(self, page: Any, running: Running, project: str) -> None:
        self.page, self.running, self.project = page, running, project

    def open(self, query: str = "") -> Debugger:
        self.page.goto(f"{self.running.url}/debug/{self.project}{query}")
        expect(self.page.locator(".debug:not([aria-busy])")).to_be_visible()
        return self

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    @property
    def script(self) -> str:
        return "\n".join(line.strip("\n") for line in self.page.locator("#script .cm-line").all_inner_texts())

    def write(self, text: str) -> None:
        """Replaces the whole script, as by pasting."""
        self.press("Alt+1", "Control+a", "Delete")
        self.page.keyboard.insert_text(text)

    def write_task(self, task: Any) -> None:
        self.press("Alt+2", "Control+a", "Delete")
        self.page.keyboard.insert_text(task if isinstance(task, str) else json.dumps(task))

    def replace(self, old: str, new: str) -> None:
        """Finds text in the script and types over it."""
        self.press("Alt+1", "Control+Home", "Control+f")
        self.page.keyboard.type(old)
        self.press("Enter", "Escape")
        self.page.keyboard.insert_text(new)

    def accept(self, option: str) -> None:
        """Takes the proposal that is chosen. The editor takes no key for it in the first 75 ms that it is shown."""
        expect(self.page.locator(".cm-tooltip-autocomplete li[aria-selected]")).to_contain_text(option)
        self.page.wait_for_timeout(100)
        self.press("Enter")

    def expect_step(self, callback: str, number: int) -> None:
        expect(self.page.locator(".crumb")).to_have_count(number)
        expect(self.page.locator(".crumb[aria-current]")).to_have_text(callback)
        self.expect_idle()

    def expect_idle(self) -> None:
        expect(self.page.locator("#stop")).to_be_disabled()

    def expect_follows(self, number: int) -> None:
        expect(self.page.locator(".follow-open")).to_have_count(number)


def assert_accessible(page: Any, state: str) -> None:
    """Nothing serious or critical by axe-core."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    bad = [
        (one["id"], [node["html"][:200] for node in one["nodes"]][:3])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert not bad, (state, bad)


@pytest.fixture
def open_debugger(new_page: Callable[..., Any], server: Running, name: str) -> Iterator[Callable[..., Debugger]]:
    """``open_debugger(width=390, dark=True)``: closed before the server is, so that nothing is asked in vain."""
    opened: list[Debugger] = []

    def make(**options: Any) -> Debugger:
        opened.append(Debugger(new_page(server, **options), server, name))
        return opened[-1]

    yield make
    for one in opened:
        one.page.close()


@pytest.fixture
def debugger(open_debugger: Callable[..., Debugger]) -> Debugger:
    return open_debugger()


def test_a_new_project_runs_before_it_is_saved(debugger: Debugger, server: Running, site: Shop, name: str) -> None:
    """W07, W43, W46: from a name and an address to a stored project."""
    debugger.open(f"?start-urls={site.url}/")
    assert f"self.crawl('{site.url}/', callback=self.index_page)" in debugger.script
    debugger.press("Control+Enter")
    debugger.expect_follows(1)
    assert site.asked.total() == 0  # on_start fetches nothing
    assert stored(server, name) is None
    debugger.press("Control+s")
    expect(debugger.page.locator(".toast")).to_contain_text("created")
    row = stored(server, name)
    assert row is not None
    assert (row.status, row.rate, row.burst) == ("TODO", 1, 3)
    assert row.script.startswith(f'"""Project {name}')
    expect(debugger.page.locator(".unsaved")).to_be_hidden()


def test_shows_3_the_whole_loop_by_the_keyboard_alone(debugger: Debugger, project: str, site: Shop) -> None:
    page = debugger.open().page
    debugger.press("Control+Enter")
    debugger.expect_follows(1)
    debugger.press("Alt+3", "Enter")  # into the list of products
    debugger.expect_step("index_page", 2)
    debugger.expect_follows(12)
    debugger.press("j", "j", "Enter")  # into the third product
    debugger.expect_step("detail_page", 3)
    expect(page.locator(".resultbox")).to_contain_text("name")
    assert site.asked == {"/": 1, "/product/3": 1}

    debugger.replace('{"name": ', '{"price": response.css(".price::text").get(), "name": ')
    debugger.press("Control+Enter")
    expect(page.locator(".resultbox")).to_contain_text("price")
    expect(page.locator(".summary")).to_contain_text("page fetched before")
    assert site.asked["/product/3"] == 1  # the changed script ran on the page that was there

    debugger.press("Control+Shift+Enter")
    expect(page.locator(".summary")).to_contain_text("fetched in")
    assert site.asked["/product/3"] == 2

    debugger.press("Alt+ArrowLeft")
    debugger.expect_step("index_page", 3)
    debugger.expect_follows(12)
    debugger.press("Alt+ArrowRight")
    debugger.expect_step("detail_page", 3)
    expect(page.locator(".resultbox")).to_contain_text("price")
    debugger.press("Alt+3", "7")
    expect(page.locator(".loglines")).to_contain_text(f"looking at {site.url}/product/3")
    debugger.press("3")
    expect(page.locator("#answer-panel")).to_contain_text("Content-Type")
    for _ in range(2):  # the way begins once, however often one goes there
        page.locator("#first").click()
        debugger.expect_step("on_start", 3)

    debugger.press("Alt+1", "Control+s")
    expect(page.locator(".unsaved")).to_be_hidden()
    row = stored(debugger.running, project)
    assert row is not None
    assert '"price": response.css' in row.script


def test_an_endless_callback_is_stopped(debugger: Debugger, project: str, site: Shop) -> None:
    debugger.open()
    debugger.press("Control+Enter")
    debugger.expect_follows(1)
    body = SCRIPT.format(url=site.url)
    debugger.write(body[: body.index("    def index_page")] + ENDLESS)
    debugger.press("Alt+3", "Enter")
    expect(debugger.page.locator(".progress-words")).to_contain_text("callback running")
    debugger.press("Control+.")
    debugger.expect_idle()
    expect(debugger.page.locator(".errorbox")).to_contain_text("stopped")


def test_a_changed_task_is_fetched_and_a_changed_callback_is_not(debugger: Debugger, project: str, site: Shop) -> None:
    page = debugger.open().page
    task = {"url": f"{site.url}/product/1", "process": {"callback": "detail_page"}}
    for url, callback, counts in (
        (task["url"], "detail_page", (1, 0)),
        (task["url"], "index_page", (1, 0)),
        (f"{site.url}/product/2", "detail_page", (1, 1)),
    ):
        debugger.write_task({"url": url, "process": {"callback": callback}})
        debugger.press("Control+Enter")
        expect(page.locator(".summary")).to_contain_text(callback)
        debugger.expect_idle()
        until(lambda want=counts: (site.asked["/product/1"], site.asked["/product/2"]) == want)


def test_lines_in_errors_and_logs_lead_into_the_script(debugger: Debugger, project: str, site: Shop) -> None:
    page = debugger.open().page
    debugger.replace('print("looking at", response.url)', "price = int(response.url)")
    debugger.write_task({"url": f"{site.url}/product/1", "process": {"callback": "detail_page"}})
    debugger.press("Control+Enter")
    expect(page.locator(".errorbox")).to_contain_text("ValueError")
    page.locator(".errorbox .lineno").last.click()
    line = debugger.script.split("\n").index("        price = int(response.url)") + 1
    expect(page.locator(".cursor")).to_have_text(f"{line}:1")
    expect(page.locator("#script .cm-content")).to_be_focused()
    page.locator(".loglines .lineno").last.click()
    expect(page.locator(".cursor")).to_have_text(f"{line}:1")


def test_marks_come_as_one_types(debugger: Debugger, project: str) -> None:
    page = debugger.open().page
    expect(page.locator(".marks-count")).to_have_text("No mistakes found")
    debugger.replace("callback=self.index_page", "calback=self.index_page")
    expect(page.locator(".marks-count")).to_have_text("1 mistake")
    expect(page.locator("#script .cm-lintRange-error")).to_have_text("calback=self.index_page")
    page.locator(".marks-count button").click()
    debugger.press("F8")
    expect(page.locator(".cm-tooltip .cm-diagnostic")).to_contain_text("did you mean 'callback'?")
    debugger.press("Escape")
    debugger.replace("calback=self.index_page", "callback=self.index_page")
    expect(page.locator(".marks-count")).to_have_text("No mistakes found")


def test_a_mistake_in_the_task_is_marked(debugger: Debugger, project: str) -> None:
    page = debugger.open().page
    debugger.write_task('{"url": "http://x/", "fetch": {"timeout": "soon"}}')
    expect(page.locator("#task .cm-lintRange-error")).to_have_text('"soon"')


def test_completion_knows_the_handler_api(debugger: Debugger, project: str) -> None:
    page = debugger.open().page
    options = page.locator(".cm-tooltip-autocomplete li")
    debugger.press("Alt+1", "Control+End", "Enter")
    page.keyboard.type("    def more(self, response):\n")
    page.keyboard.type("self.")
    expect(options.first).to_contain_text("crawl")
    expect(page.locator(".cm-completionInfo")).to_contain_text("Asks for url to be crawled")
    page.keyboard.type("cra")
    debugger.accept("crawl(url")
    page.keyboard.type('"http://x/", pri')
    expect(page.locator(".cm-completionInfo")).to_contain_text("Higher first")
    debugger.accept("priority")
    page.keyboard.type("5, callb")
    debugger.accept("callbackCallback")
    expect(options).to_have_text(["detail_page(response)", "index_page(response)", "more(response)", "on_start()"])
    page.keyboard.type("det")
    debugger.accept("detail_page")
    assert debugger.script.rstrip().endswith('self.crawl("http://x/", priority=5, callback=self.detail_page)')
    debugger.press("End", "Enter")
    page.keyboard.type("response.cs")
    expect(options.first).to_contain_text("css")
    debugger.press("Escape", "Control+End", "Enter", "Shift+Tab")
    page.keyboard.type("@ev")
    expect(options.first).to_contain_text("every")


def test_unsaved_changes_are_guarded(debugger: Debugger, project: str) -> None:
    page = debugger.open().page
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.reload()
    expect(page.locator(".debug:not([aria-busy])")).to_be_visible()
    assert asked == []
    debugger.replace("looking at", "seeing")
    expect(page.locator(".unsaved")).to_be_visible()
    page.reload()
    until(lambda: asked == ["beforeunload"])


def test_w40_the_divider_is_kept_and_stays_on_the_page(debugger: Debugger, project: str) -> None:
    page = debugger.open().page
    divider = page.get_by_role("separator")
    box = divider.bounding_box()
    page.mouse.move(box["x"] + 4, box["y"] + 300)
    page.mouse.down()
    page.mouse.move(-200, 300, steps=4)
    page.mouse.up()
    expect(divider).to_have_attribute("aria-valuenow", "22")
    divider.press("ArrowRight")
    expect(divider).to_have_attribute("aria-valuenow", "24")
    debugger.open()
    expect(divider).to_have_attribute("aria-valuenow", "24")
    assert divider.bounding_box()["x"] > 200


def test_on_a_narrow_screen_the_panes_are_tabs(
    open_debugger: Callable[..., Debugger], server: Running, project: str
) -> None:
    debugger = open_debugger(width=390).open()
    page = debugger.page
    expect(page.locator("#script")).to_be_visible()
    expect(page.locator("#task")).to_be_hidden()
    page.get_by_role("tab", name="Step").click()
    expect(page.locator("#script")).to_be_hidden()
    page.locator("#run").click()
    debugger.expect_follows(1)
    page.get_by_role("tab", name="Script").click()
    expect(page.locator("#script")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_w48_a_stored_task_is_opened(debugger: Debugger, server: Running, project: str, site: Shop) -> None:
    fetch = Fetch(headers={"Authorization": "Basic c2VjcmV0"})
    row = TaskRow(project, "abc", f"{site.url}/product/2", status=Status.FAILED, fetch=fetch, save='{"seen": 3}')
    row.process = Process(callback="detail_page")
    assert server.server is not None
    server.server.services.taskdb.commit(Writes(insert=[row]))
    page = debugger.open("?taskid=abc").page
    debugger.expect_step("detail_page", 1)
    expect(page.locator(".stored")).to_have_text("stored task: failed")
    expect(page.locator("#task .cm-content")).to_contain_text("Basic c2VjcmV0")
    debugger.press("Control+Enter")
    expect(page.locator("#answer-panel")).to_contain_text("self.save")
    expect(page.locator("#answer-panel")).to_contain_text('"seen": 3')
    assert site.asked == {"/product/2": 1}


def test_w47_what_is_edited_elsewhere_runs_as_it_is_stored(
    debugger: Debugger, server: Running, project: str, site: Shop
) -> None:
    page = debugger.open().page
    switch = page.get_by_role("button", name="Edited elsewhere")
    switch.click()
    expect(page.locator("#script")).to_be_hidden()
    put(server, project, SCRIPT.format(url="http://elsewhere"))
    debugger.press("Control+Enter")
    expect(page.locator(".follow-open")).to_contain_text("http://elsewhere/")
    switch.click()
    expect(page.locator("#script")).to_be_visible()
    assert "http://elsewhere/" in debugger.script
    expect(page.locator(".unsaved")).to_be_hidden()


def test_a_conflict_is_shown_and_solved(open_debugger: Callable[..., Debugger], server: Running, project: str) -> None:
    debugger = open_debugger(watch=False).open()  # a 409 is an error to the console
    page = debugger.page
    other = SCRIPT.format(url="http://other")
    put(server, project, other, "their change")
    debugger.replace("looking at", "seeing")
    debugger.press("Control+s")
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("ann saved")
    expect(dialog).to_contain_text("their change")
    expect(dialog.locator(".cm-merge-a")).to_contain_text("http://other/")
    expect(dialog.locator(".cm-merge-b")).to_contain_text("seeing")
    assert_accessible(page, "conflict")
    row = stored(server, project)
    assert row is not None
    assert row.script == other  # nothing is overwritten before somebody says so
    page.keyboard.press("Enter")
    expect(page.locator(".unsaved")).to_be_hidden()
    row = stored(server, project)
    assert row is not None
    assert "seeing" in row.script


def test_a_conflict_can_end_with_what_is_stored(
    open_debugger: Callable[..., Debugger], server: Running, project: str
) -> None:
    debugger = open_debugger(watch=False).open()
    put(server, project, SCRIPT.format(url="http://other"))
    debugger.replace("looking at", "seeing")
    debugger.press("Control+s")
    debugger.page.get_by_role("button", name="Take what is stored").click()
    expect(debugger.page.locator(".unsaved")).to_be_hidden()
    assert "http://other/" in debugger.script


FIVE = """from crawlkit import BaseHandler


class Handler(BaseHandler):
    def page(self, response):
        return {
            "name": response.css("h1::text").get(),
            "price": response.css(".price::text").get(),
            "stock": response.css(".stock::text").get(),
            "brand": response.css(".brand::text").get(),
            "text": response.css("p::text").get(),
        }
"""
PRODUCT = "<h1>Thing</h1><b class='price {more}'>3.50</b><i class=stock>4</i><i class=brand>B</i><p>About</p>"


@pytest.fixture
def kept(server: Running, name: str) -> str:
    """A project with five fields, and twenty of its pages."""
    put(server, name, FIVE)
    pages = []
    for number in range(20):
        url = f"http://shop.example/{number}"
        task = Dispatch(name, taskid_of(url), 1, 1, url, "", "page", 0, TASK, Schedule(), Fetch(), NIL, 0)
        html = PRODUCT.format(more="" if number < 3 else "old").encode()
        answer = Fetched(task, 200, url, url, [("Content-Type", "text/html")], {}, 0.1, content=html)
        pages += [one for one in [kept_page(encode(answer), float(number))] if one is not None]
    assert server.server is not None
    server.server.services.blobdb.keep_pages(pages, 20, 10**9)
    return name


def test_shows_9_a_lost_field_is_named_before_it_goes_live(debugger: Debugger, server: Running, kept: str) -> None:
    page = debugger.open().page
    debugger.replace('".price::text"', "\"[class='price ']::text\"")
    debugger.press("Control+s")
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("price: 20 of 20 -> 3 of 20")
    expect(dialog.locator(".fields li")).to_have_count(1)
    assert_accessible(page, "findings of a check")
    row = stored(server, kept)
    assert row is not None
    assert row.script == FIVE
    debugger.press("Escape")
    expect(page.locator("#script .cm-content")).to_be_focused()
    expect(page.locator(".unsaved")).to_be_visible()
    debugger.press("Control+s")
    expect(dialog).to_be_visible()
    debugger.press("Enter")  # save anyway
    expect(page.locator(".unsaved")).to_be_hidden()
    row = stored(server, kept)
    assert row is not None
    assert "[class=" in row.script


def test_a_second_save_does_not_wait_for_the_check(debugger: Debugger, server: Running, kept: str) -> None:
    page = debugger.open().page
    slow = "\n\nimport time\ntime.sleep(30)\n"
    debugger.press("Alt+1", "Control+End")
    page.keyboard.insert_text(slow)
    debugger.press("Control+s")
    expect(page.locator("#save-label")).to_contain_text("Checking")
    debugger.press("Control+s")
    expect(page.locator(".unsaved")).to_be_hidden()
    row = stored(server, kept)
    assert row is not None
    assert "sleep(30)" in row.script


def test_a_save_that_loses_nothing_asks_nothing(debugger: Debugger, server: Running, kept: str) -> None:
    debugger.open().replace('"text": response.css("p::text")', '"text": response.css("body > p::text")')
    debugger.page.locator("#message").fill("a stricter text")
    debugger.press("Enter")
    expect(debugger.page.locator(".unsaved")).to_be_hidden()
    assert server.server is not None
    assert server.server.services.projectdb.versions(kept)[0].message == "a stricter text"


def test_a_script_that_does_not_load_is_shown_before_it_is_saved(
    debugger: Debugger, server: Running, kept: str
) -> None:
    page = debugger.open().page
    debugger.replace("return {", "return {{")
    debugger.press("Control+s")
    expect(page.locator("dialog")).to_contain_text("The new script does not load")
    page.locator("dialog button.link").click()
    expect(page.locator("#script .cm-content")).to_be_focused()
    row = stored(server, kept)
    assert row is not None
    assert row.script == FIVE


def test_versions_are_listed_compared_restored_and_pinned(debugger: Debugger, server: Running, project: str) -> None:
    first = stored(server, project)
    assert first is not None
    put(server, project, SCRIPT.format(url="http://second"), "another site")
    page = debugger.open().page
    debugger.press("Alt+3", "v")
    rows = page.locator("button.version")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("another site")
    expect(rows.first).to_contain_text("newest")
    expect(rows.last).to_contain_text("ann")
    debugger.press("j", "Enter")
    expect(page.locator(".cm-merge-a")).to_contain_text("127.0.0.1")
    expect(page.locator(".cm-merge-b")).to_contain_text("http://second")
    page.get_by_role("button", name="Pin", exact=True).click()
    expect(rows.last).to_contain_text("pinned")
    row = stored(server, project)
    assert row is not None
    assert row.pin == first.version
    page.get_by_role("button", name="Unpin").click()
    expect(page.locator(".version .badge.warn")).to_have_count(0)
    page.get_by_role("button", name="Restore").click()
    expect(page.locator("dialog")).to_have_count(0)
    row = stored(server, project)
    assert row is not None
    assert row.script == first.script
    assert "127.0.0.1" in debugger.script
    expect(page.locator(".unsaved")).to_be_hidden()


def test_w45_what_is_picked_on_the_page_goes_to_the_cursor(debugger: Debugger, project: str, site: Shop) -> None:
    page = debugger.open().page
    debugger.write_task({"url": f"{site.url}/product/1", "process": {"callback": "detail_page"}})
    debugger.press("Control+Enter")
    expect(page.locator(".resultbox")).to_be_visible()
    debugger.press("Alt+1", "Control+Home", "Control+f")
    page.keyboard.type('response.css("h1::text").get()')
    debugger.press("Enter", "Escape", "Delete")
    debugger.press("Alt+4")
    page.frame_locator(".pagebox iframe").locator(".price").click()
    page.get_by_role("button", name="Insert").click()
    expect(page.locator("#script .cm-content")).to_be_focused()
    assert re.search(r'"name": response\.css\(.*price.*::text.*\)', debugger.script)


def test_w44_source_is_shown_indented(debugger: Debugger, project: str, site: Shop) -> None:
    page = debugger.open().page
    debugger.write_task({"url": f"{site.url}/product/1", "process": {"callback": "detail_page"}})
    debugger.press("Control+Enter")
    expect(page.locator(".resultbox")).to_be_visible()
    page.get_by_role("tab", name="HTML").click()
    lines = page.locator(".sourcebox .cm-line")
    expect(lines.first).to_contain_text("<!doctype html><html")
    page.get_by_role("button", name="Indented").click()
    expect(lines.first).to_have_text("<!doctype html>")
    expect(lines.filter(has_text="<title>")).to_have_text(re.compile(r"^    <title>.* 1 - Corner Shop</title>$"))
    expect(lines.filter(has_text='class="rating"')).to_have_text(re.compile(r'^ +<td class="rating">[\d.]+</td>$'))
    page.get_by_role("button", name="Indented").click()
    expect(lines.first).to_contain_text("<!doctype html><html")


def test_a_page_that_is_kept_no_longer_is_fetched_again(
    open_debugger: Callable[..., Debugger], project: str, site: Shop
) -> None:
    debugger = open_debugger(watch=False).open()
    page = debugger.page
    debugger.write_task({"url": f"{site.url}/product/1", "process": {"callback": "detail_page"}})
    debugger.press("Control+Enter")
    expect(page.locator(".resultbox")).to_be_visible()

    def forget(route: Any) -> None:
        asked = route.request.post_data_json
        if asked["page"]:
            route.continue_(post_data=json.dumps({**asked, "page": "gone"}))
        else:
            route.continue_()

    page.route(re.compile(r"/debug$"), forget)
    debugger.press("Control+Enter")
    expect(page.locator(".toast")).to_contain_text("no longer kept")
    until(lambda: site.asked["/product/1"] == 2)
    debugger.expect_idle()
    expect(page.locator(".summary")).to_contain_text("fetched in")


def test_a_message_is_stepped_into_in_the_debugger_of_its_project(
    debugger: Debugger, server: Running, name: str
) -> None:
    body = "from crawlkit import BaseHandler\n\n\nclass Handler(BaseHandler):\n    def on_start(self):\n"
    put(server, name, body + f"        self.send_message('{name}b', {{'n': 5}})\n")
    receiver = "from crawlkit import BaseHandler\n\n\nclass Handler(BaseHandler):\n"
    put(server, f"{name}b", receiver + "    def on_message(self, project, msg):\n        return [project, msg['n']]\n")
    page = debugger.open().page
    debugger.press("Alt+3", "Control+Enter")
    page.locator(".follow-open").click()
    with page.expect_popup() as popup:
        page.locator(".toast").get_by_role("button", name="Open").click()
    other = popup.value
    expect(other.locator(".crumb[aria-current]")).to_have_text("_on_message")
    other.keyboard.press("Control+Enter")
    expect(other.locator(".resultbox")).to_contain_text(f'["{name}",5]')
    other.close()


NAUGHTY = """<img src=x onerror=alert(1)>"><script>alert(2)</script>\u202e{{7*7}}"""


def test_r59_what_scripts_and_pages_say_is_text(debugger: Debugger, server: Running, name: str, site: Shop) -> None:
    body = f"""from crawlkit import BaseHandler


class Handler(BaseHandler):
    def on_start(self):
        text = {NAUGHTY!r}
        print(text)
        self.crawl("javascript:alert(3)//" + text, callback=self.on_start)
        self.send_message("other", text)
        return {{text: text, "link": "javascript:alert(4)", "nested": {{text: [text]}}}}
"""
    put(server, name, body, NAUGHTY)
    page = debugger.open().page
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    debugger.press("Alt+3", "Control+Enter")
    expect(page.locator(".resultbox")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator(".resultbox a").count() == 0
    for tab, shown in (("4", ".follow-url"), ("5", ".follow-url"), ("7", ".loglines")):
        page.locator(".answer-tabs [aria-selected=true]").focus()
        debugger.press(tab)
        expect(page.locator(shown)).to_contain_text("<script>alert(2)</script>")
    debugger.press("v")
    expect(page.locator("button.version")).to_contain_text("<img src=x")
    assert dialogs == []


def test_keys_are_explained(debugger: Debugger, project: str) -> None:
    page = debugger.open().page
    debugger.press("F1")
    expect(page.locator("dialog dl.keys")).to_contain_text("Fetch again and run")
    debugger.press("Escape")
    debugger.press("Alt+3", "?")
    expect(page.locator("dialog dl.keys")).to_contain_text("Ctrl+s")


def test_r72_a_viewer_has_no_debugger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "COST", (4, 8, 1))
    with in_thread(tmp_path / "own") as running:
        add_users(running)
        put(running, "shop", "pass")
        statuses = {}
        for name, role in (("eve", "viewer"), ("bob", "editor")):
            _, token = accounts_of(running).add_token(ME, name, "x", role)
            client = Client(running.url, headers={"Authorization": f"Bearer {token}"})
            asked = ("/debug/shop", "/debug/no-name", "/api/v1/projects/shop/debug-task/x")
            statuses[name] = [client.get(path).status for path in asked]
    assert statuses == {"eve": [403, 403, 403], "bob": [200, 400, 404]}


@pytest.mark.parametrize(("width", "dark"), [(1280, True), (390, False)], ids=["wide and dark", "narrow and light"])
def test_axe_finds_nothing_serious(
    open_debugger: Callable[..., Debugger], server: Running, project: str, site: Shop, dark: bool, width: int
) -> None:
    debugger = open_debugger(width=width, dark=dark).open()
    page = debugger.page

    def check(state: str) -> None:
        assert_accessible(page, state)

    check("begun")
    debugger.press("Alt+3", "Control+Enter")
    debugger.expect_follows(1)
    check("follow-ups")
    debugger.press("Alt+3", "Enter")
    debugger.expect_step("index_page", 2)
    debugger.press("Alt+3", "j", "Enter")
    debugger.expect_step("detail_page", 3)
    check("results")
    for key in "2347":
        page.locator("#answer-panel").evaluate("node => node.focus()")
        page.locator(".answer-tabs [aria-selected=true]").focus()
        debugger.press(key)
        check(f"tab {key}")
    debugger.press("v")
    expect(page.locator("button.version")).to_have_count(1)
    check("versions")


@pytest.mark.parametrize("name", ["en", "zh"])
def test_every_text_of_the_page_is_there(name: str) -> None:
    folder = Path(__file__).parents[2] / "crawlkit" / "webui"
    texts = json.loads((folder / "texts" / name / "debug.json").read_text())
    sources = [*(folder / "static" / "js" / "debug").glob("*.js"), folder / "templates" / "debug" / "debug.html"]
    wanted = {key for file in sources for key in re.findall(r"\bt\([\"'](debug\.[\w.]+)[\"']", file.read_text())}
    assert len(wanted) > 80
    assert wanted <= texts.keys()
