"""The dashboard in real Chromium, over a real ``crawlkit all``: W01, W04, W05, W30-W35."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from crawlkit import wiring
from crawlkit.cli import cli
from crawlkit.libs.rows import ProjectRow
from crawlkit.settings import Settings
from tests.e2e.limited_site import LimitedSite
from tests.webui.access import add_users
from tests.webui.servers import Client, Running, everything, until

SCRIPT = """
from crawlkit import BaseHandler

class Handler(BaseHandler):
    retry_delay = {"": -1}

    def on_start(self):
        for number in range(%d):
            self.crawl("data:,page%%d" %% number, callback=self.page)

    def page(self, response):
        if "bad" in response.text:
            raise ValueError("as asked")
        return {"text": response.text}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A crawler with a few projects, and one that was paused with 40 tasks waiting."""
    with everything(tmp_path_factory.mktemp("dashboard") / "data") as running:
        with wiring.open_stores(Settings(data_path=running.data_path), ("projectdb",)) as stores:
            put = stores.projectdb.put
            put(ProjectRow("first", group="alpha", status="RUNNING", script=SCRIPT % 5, rate=None, rate_set=True))
            put(ProjectRow("held", group="beta", status="RUNNING", script=SCRIPT % 1, rate=5, burst=9, rate_set=True))
            put(ProjectRow("plain", group="", status="TODO", script=SCRIPT % 1))
            put(ProjectRow("doomed", group="beta", status="STOP", script=SCRIPT % 1))
        add_users(running)
        scheduler = wiring.control_client(Settings(data_path=running.data_path))
        scheduler.update_project()
        until(lambda: len(scheduler.dashboard()["projects"]) == 4)
        scheduler.order("held", "pause")
        scheduler.submit([task("held", f"http://127.0.0.1:9/{number}") for number in range(40)])
        scheduler.submit([task("first", f"data:,bad{number}", process={"callback": "page"}) for number in range(3)])
        until(lambda: scheduler.summary()["projects"]["first"]["failed"] == 3)
        yield running


def task(project: str, url: str, **parts: Any) -> dict[str, Any]:
    return {"project": project, "taskid": url[-40:].replace("/", "_"), "url": url, **parts}


@pytest.fixture(scope="module")
def api(site: Running) -> Client:
    return site.client()


@pytest.fixture
def board(new_page: Any, site: Running, api: Client) -> Any:
    """The dashboard, signed in."""
    page = new_page(site, enter=False)
    name, _, value = api.cookie.partition("=")
    page.context.add_cookies([{"name": name, "value": value, "url": site.url}])
    page.goto(site.url + "/")
    page.wait_for_selector("#projects tbody tr")
    return page


def row(page: Any, name: str) -> Any:
    return page.locator(f'#projects tr[data-key="{name}"]')


def cell(page: Any, name: str, title: str) -> Any:
    return row(page, name).locator(f'td[data-label="{title}"]')


def of(api: Client, name: str) -> dict[str, Any]:
    found: dict[str, Any] = api.api("GET", f"/projects/{name}")
    return found


def expect_text(locator: Any, text: str) -> None:
    until(lambda: text in locator.inner_text(), what=f"{text!r}")


def test_W31_the_list_shows_each_project_with_its_numbers(board: Any, site: Running) -> None:
    heads = [text.split("↑")[0].strip() for text in board.locator("#projects thead th").all_inner_texts()]
    assert heads == ["Group", "Project", "Status", "Rate / burst", "Avg time", "5m", "1h", "1d", "All", "Pages/s",
                     "Ends in", "Actions"]  # fmt: skip
    assert board.locator("#projects tbody tr").count() == 4
    names = [line.get_attribute("data-key") for line in board.locator("#projects tbody tr").all()]
    assert names == ["plain", "first", "doomed", "held"]  # by group, then name
    expect_text(cell(board, "held", "Rate / burst"), "5 / 9")
    expect_text(cell(board, "held", "Status"), "PAUSED")
    expect_text(cell(board, "held", "All"), "40")
    expect_text(cell(board, "plain", "Status"), "TODO")
    link = row(board, "first").locator("a.name")
    assert link.get_attribute("href").endswith("/debug/first")
    assert "4 projects, 2 active" in board.locator("#sums").inner_text()


def test_W33_bars_have_words(board: Any) -> None:
    bar = cell(board, "first", "5m").locator(".progress")
    until(lambda: "Failed 3" in (bar.get_attribute("title") or ""))
    assert bar.get_attribute("role") == "img"
    assert re.search(r"Done \d+ \(\d+ %\)", bar.get_attribute("title"))
    assert cell(board, "first", "5m").locator(".bar .bad").count() == 1


def test_W30_the_queues_are_drawn(board: Any) -> None:
    expect_text(board.locator("#queue-diagram"), "scheduler2fetcher")


def test_W32_rate_is_edited_where_it_stands_checked_and_undone(board: Any, api: Client) -> None:
    cell(board, "held", "Rate / burst").locator("button").click()
    field = cell(board, "held", "Rate / burst").locator("input")
    field.fill("fast")
    field.press("Enter")
    expect_text(cell(board, "held", "Rate / burst").locator(".error"), "pages per second")
    assert of(api, "held")["rate"] == 5
    field.fill("2.5/7")
    field.press("Enter")
    until(lambda: of(api, "held")["rate"] == 2.5)
    expect_text(cell(board, "held", "Rate / burst"), "2.5 / 7")
    board.locator(".toast", has_text="2.5/7").get_by_role("button", name="Undo").click()
    until(lambda: (of(api, "held")["rate"], of(api, "held")["burst"]) == (5, 9))
    expect_text(cell(board, "held", "Rate / burst"), "5 / 9")


def test_W32_group_and_status_are_edited_where_they_stand(board: Any, api: Client) -> None:
    cell(board, "plain", "Group").locator("button").click()
    board.keyboard.type("gamma")
    board.keyboard.press("Enter")
    until(lambda: of(api, "plain")["group"] == "gamma")
    expect_text(cell(board, "plain", "Group"), "gamma")
    until(lambda: "gamma" in board.locator('[data-filter="group"]').inner_text())
    cell(board, "plain", "Status").locator("button").click()
    cell(board, "plain", "Status").locator("select").select_option("CHECKING")
    until(lambda: of(api, "plain")["status"] == "CHECKING")
    expect_text(cell(board, "plain", "Status").locator(".badge"), "CHECKING")
    cell(board, "plain", "Group").locator("button").click()
    board.keyboard.type("nothing")
    board.keyboard.press("Escape")
    expect_text(cell(board, "plain", "Group").locator("button"), "gamma")
    assert board.evaluate("document.activeElement.getAttribute('aria-label')") == "Group of plain: press to change"
    assert of(api, "plain")["group"] == "gamma"


def menu(page: Any, name: str, item: str) -> None:
    row(page, name).get_by_role("button", name=f"More for {name}").click()
    page.get_by_role("menuitem", name=item, exact=True).click()


def test_W34_run_and_the_list_follows_by_itself(board: Any, api: Client) -> None:
    before = of(api, "first")["done"]
    row(board, "first").get_by_role("button", name="Run on_start of first").click()
    expect_text(board.locator("#toasts"), "on_start is on its way")
    until(lambda: of(api, "first")["done"] >= before + 6)
    until(
        lambda: (
            f"Done {of(api, 'first')['done']}"
            in cell(board, "first", "All").locator(".progress").get_attribute("title")
        )
    )


def test_retry_failed_says_how_many_and_does_it(board: Any, api: Client) -> None:
    menu(board, "first", "Retry failed tasks…")
    expect_text(board.locator("dialog"), "Retry 3 failed tasks of first?")
    board.get_by_role("button", name="Retry 3 tasks").click()
    until(lambda: of(api, "first")["failed"] == 6)  # counted again: they fail again
    menu(board, "doomed", "Retry failed tasks…")
    expect_text(board.locator("#toasts"), "doomed has no failed tasks")


def test_pause_and_resume_with_undo(board: Any, api: Client) -> None:
    menu(board, "first", "Pause")
    expect_text(board.locator("#toasts"), "first is paused")
    until(lambda: of(api, "first")["paused"] == "held")
    expect_text(cell(board, "first", "Status"), "PAUSED")
    board.locator(".toast", has_text="first is paused").get_by_role("button", name="Undo").click()
    until(lambda: of(api, "first")["paused"] == "running")
    expect_text(cell(board, "first", "Status"), "RUNNING")


def test_clear_counts_first_and_can_be_left(board: Any, api: Client) -> None:
    menu(board, "held", "Clear waiting tasks…")
    expect_text(board.locator("dialog"), "Clear 40 waiting tasks of held?")
    board.get_by_role("button", name="Cancel").click()
    assert of(api, "held")["waiting"] == 40
    menu(board, "held", "Clear waiting tasks…")
    board.get_by_role("button", name="Clear 40 tasks").click()
    until(lambda: of(api, "held")["waiting"] == 0)
    expect_text(cell(board, "held", "All"), "–")


def test_restart_runs_on_start_again(board: Any, api: Client) -> None:
    done = of(api, "first")["done"]
    menu(board, "first", "Restart…")
    expect_text(board.locator("dialog"), "Crawl first from the beginning?")
    board.get_by_role("button", name="Restart", exact=True).click()
    until(lambda: of(api, "first")["done"] >= done + 6)


def test_delete_wants_the_name(board: Any, api: Client) -> None:
    menu(board, "doomed", "Delete…")
    button = board.locator("dialog").get_by_role("button", name="Delete the project")
    assert button.is_disabled()
    board.locator("dialog input").fill("doome")
    assert button.is_disabled()
    board.locator("dialog input").fill("doomed")
    button.click()
    until(lambda: row(board, "doomed").count() == 0)
    assert api.request("GET", "/api/v1/projects/doomed").status == 404


def test_filter_sort_and_address(board: Any, site: Running) -> None:
    board.locator("[data-search]").fill("alph")
    until(lambda: board.locator("#projects tbody tr").count() == 1)
    assert "q=alph" in board.url
    board.locator("[data-search]").fill("nothing like it")
    expect_text(board.locator("#projects"), "Nothing matches these filters.")
    board.get_by_role("button", name="Clear the filters").click()
    until(lambda: board.locator("#projects tbody tr").count() >= 3)
    board.locator("#projects thead").get_by_role("button", name="Project").click()
    board.locator("#projects thead").get_by_role("button", name="Project").click()
    until(lambda: "sort=-name" in board.url)
    until(lambda: board.locator("#projects tbody tr").first.get_attribute("data-key") == "plain")
    board.locator('[data-filter="status"]').select_option("paused")
    until(lambda: board.locator("#projects tbody tr").count() == 1)


def test_W35_a_new_project_opens_the_editor(board: Any, site: Running) -> None:
    board.get_by_role("button", name="New project").click()
    board.locator("dialog input").fill("not a name")
    board.get_by_role("button", name="Open the editor").click()
    expect_text(board.locator("dialog"), "letters, digits and _ only")
    board.locator("dialog input").fill("brand_new")
    board.locator("dialog textarea").fill("http://127.0.0.1:9/a\nhttp://127.0.0.1:9/b")
    board.get_by_role("button", name="Open the editor").click()
    board.wait_for_url("**/debug/brand_new?**")
    assert "start-urls=" in board.url
    board.locator(".cm-content", has_text="http://127.0.0.1:9/b").first.wait_for()


def test_the_keyboard_is_enough(board: Any) -> None:
    board.locator("body").press("j")
    assert row(board, "first").evaluate("row => row.classList.contains('selected')")
    more = row(board, "first").get_by_role("button", name="More for first")
    more.focus()
    board.keyboard.press("Enter")
    board.wait_for_selector(".menu")
    board.keyboard.press("ArrowDown")
    assert board.evaluate("document.activeElement.textContent") == "Pause"
    board.keyboard.press("Escape")
    until(lambda: board.locator(".menu").count() == 0)
    assert board.evaluate("document.activeElement.getAttribute('aria-label')") == "More for first"


def test_a_projects_page(board: Any, site: Running, api: Client) -> None:
    board.goto(site.url + "/projects/first")
    expect_text(board.locator("#facts"), "RUNNING")
    expect_text(board.locator("#charts"), "Nothing ended in this time.")
    board.get_by_role("button", name="7d").click()
    until(lambda: "range=7d" in board.url)
    board.locator('[name="setting"]').fill("api_key")
    board.locator('[name="value"]').fill("s3cret")
    board.get_by_role("button", name="Set", exact=True).click()
    expect_text(board.locator("#settings"), "api_key")
    assert "s3cret" not in board.content()
    (setting,) = api.api("GET", "/projects/first/settings")["items"]
    assert (setting["name"], setting["secret"], setting["value"]) == ("api_key", True, None)
    board.get_by_role("button", name="Remove api_key").click()
    board.locator("dialog").get_by_role("button", name="Remove").click()
    expect_text(board.locator("#settings"), "No settings yet.")


TIMED = """
from crawlkit import BaseHandler, every

class Handler(BaseHandler):
    @every(hours=3)
    def thrice(self):
        pass
"""


def test_the_next_crons_are_told(board: Any, site: Running, api: Client) -> None:
    settings = Settings(data_path=site.data_path)
    with wiring.open_stores(settings, ("projectdb",)) as stores:
        stores.projectdb.put(ProjectRow("timed", status="RUNNING", script=TIMED))
    wiring.control_client(settings).update_project()
    until(lambda: api.api("GET", "/projects/timed/ticks")["items"])
    board.goto(site.url + "/projects/timed")
    expect_text(board.locator("#crons"), "thrice")
    shown = CliRunner().invoke(cli, ["--data-path", str(site.data_path), "project", "show", "timed"])
    assert re.search(r"next +20\d\d-\S+ \S+ thrice", shown.output), shown.output


REFUSED = """
from crawlkit import BaseHandler

class Handler(BaseHandler):
    def on_start(self):
        self.crawl("{url}", callback=self.page)

    def page(self, response):
        pass
"""


def test_a_host_that_asked_to_be_left_alone_is_shown(board: Any, site: Running, api: Client) -> None:
    settings = Settings(data_path=site.data_path)
    with contextlib.closing(LimitedSite(0, "Retry-After: 500\r\n")) as busy:
        with wiring.open_stores(settings, ("projectdb",)) as stores:
            script = REFUSED.replace("{url}", busy.base)
            stores.projectdb.put(ProjectRow("refused", status="RUNNING", script=script))
        wiring.control_client(settings).run("refused")
        until(lambda: api.api("GET", "/projects/refused/hosts")["items"])
        (host,) = api.api("GET", "/projects/refused/hosts")["items"]
        assert (host["host"], host["why"]) == (f"127.0.0.1:{busy.port}", "retry_after")
        assert 300 < host["until"] - time.time() < 501
        board.goto(site.url + "/projects/refused")
        expect_text(board.locator("#hosts"), f"127.0.0.1:{busy.port}")
        expect_text(board.locator("#hosts"), "it answered 429 with Retry-After")


@pytest.mark.parametrize("path", ["/", "/projects/first"])
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(new_page: Any, site: Running, api: Client, path: str, dark: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = new_page(site, enter=False, dark=dark, width=390 if dark else 1280)
    name, _, value = api.cookie.partition("=")
    page.context.add_cookies([{"name": name, "value": value, "url": site.url}])
    page.goto(site.url + path)
    page.wait_for_selector("#projects tbody tr, #facts dd")
    page.wait_for_function("() => !document.querySelector('[aria-busy=true]')")
    found = Axe().run(page).response["violations"]
    assert not [one for one in found if one["impact"] in ("serious", "critical")], json.dumps(found, indent=1)[:4000]


def test_a_viewer_sees_and_changes_nothing(site: Running, api: Client, new_page: Any) -> None:
    page = new_page(site, enter=False, watch=False)
    page.goto(site.url + "/login")
    page.locator('[name="name"]').fill("eve")
    page.locator('[name="password"]').fill("password of eve")
    page.keyboard.press("Enter")
    page.wait_for_selector("#projects tbody tr")
    assert page.locator(".editable").count() == 0
    assert page.get_by_role("button", name="New project").count() == 0
    token = page.locator('meta[name="csrf"]').get_attribute("content")
    refused = page.request.post(
        f"{site.url}/api/v1/projects/first/orders/clear", data={}, headers={"X-CSRF-Token": token}
    )
    assert refused.status == 403


def test_without_a_scheduler_it_says_so(server: Running, page: Any) -> None:
    assert server.server is not None
    server.server.services.projectdb.put(ProjectRow("lonely", script="#"))
    page.goto(server.url + "/")
    expect_text(page.locator("#projects"), "lonely")
    expect_text(page.locator("#no-scheduler"), "No scheduler answers")


def test_W04_bad_values_are_refused_in_words(api: Client) -> None:
    for body, words in (
        ({"status": "PAUSED"}, "status"),
        ({"rate": -1}, "rate"),
        ({"rate": "a/b"}, "rate"),
        ({"burst": 0}, "burst"),
        ({"group": "x" * 65}, "group"),
        ({"colour": 1}, "colour"),
    ):
        answer = api.request("PATCH", "/api/v1/projects/first", body)
        assert answer.status == 400, (body, answer.text)
        assert words in answer.json["detail"]
    assert api.request("PATCH", "/api/v1/projects/nobody", {"rate": 1}).status == 404
    assert api.request("POST", "/api/v1/projects/first/orders/explode", {}).status == 404
    assert api.request("GET", "/api/v1/projects/first/orders/clear").json == {"tasks": 0, "leased": 0}
