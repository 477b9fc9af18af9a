"""Tasks, one task, failures and results in real Chromium: W12-W16, W50-W52, R-70, and without a scheduler T72."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawlkit.libs.rows import Queue
from crawlkit.libs.task import Process, Status
from tests.webui.access import add_users
from tests.webui.rows import (
    NOW,
    SECRETS,
    attempt,
    failed,
    picture,
    put_project,
    put_results,
    put_tasks,
    rendered_task,
    secret_task,
    services,
    task,
)
from tests.webui.servers import Client, Running, in_thread

TRACEBACK = "Traceback (most recent call last):\n  File shop.py, line 3\nTypeError: no price <b>here</b>\n"
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A web UI on stores with 130 tasks and results; there is no scheduler."""
    with in_thread(tmp_path_factory.mktemp("tasks") / "data") as running:
        add_users(running)
        put_project(running, "shop")
        put_project(running, "other")
        put_tasks(running, *(task(n, url=f"http://shop.test/list/{n}") for n in range(120)))
        put_tasks(running, *(attempt(n) for n in range(120)))
        for n in range(200, 206):
            put_tasks(running, *failed(n, "timeout" if n % 2 else "dns"))
        put_tasks(running, *failed(300, "timeout", "other"), *secret_task())
        put_tasks(
            running,
            task(400, status=Status.ACTIVE, queue=Queue.TIME, rank=NOW * 2, process=Process(callback="later")),
            task(401, status=Status.FAILED, url=f"http://shop.test/{EVIL}"),
            attempt(401, ok=False, reason="exception", track={"headers": {"X-Evil": EVIL}, "content": EVIL},
                    callback={"ok": False, "exception": TRACEBACK, "logs": EVIL}),
            attempt(401, attempt=2, ok=False, reason="timeout", process="{}"),
        )  # fmt: skip
        put_tasks(running, *rendered_task(running, 500), attempt(500, attempt=2, started=NOW - 9, ended=NOW - 8))
        put_results(running, *({"title": f"Thing {n:03}", "price": n / 4, "tags": ["a"], "sku": n, "more": "x" * 500,
                                "colour": "red", "size": 3, "last": None} for n in range(130)))  # fmt: skip
        put_results(running, {"title": EVIL, "=1+1": "=cmd()"}, "just a text", first=401)
        yield running


@pytest.fixture(scope="module")
def api(site: Running) -> Client:
    return site.client()


@pytest.fixture
def open_page(new_page: Any, site: Running, api: Client) -> Any:
    """``open_page(path, width=, dark=)``: a page of the site, its list drawn."""

    def go(path: str, **options: Any) -> Any:
        page = new_page(site, enter=False, **options)
        name, _, value = api.cookie.partition("=")
        page.context.add_cookies([{"name": name, "value": value, "url": site.url}])
        page.goto(site.url + path)
        page.wait_for_selector("#room *")
        ready(page)
        return page

    return go


def ready(page: Any) -> None:
    page.wait_for_function("() => !document.querySelector('[aria-busy=true]')")
    page.wait_for_function("() => !/Loading/.test(document.querySelector('.tablestatus')?.textContent ?? '')")


def rows(page: Any) -> list[str]:
    ready(page)
    return [one.inner_text() for one in page.locator("#room tbody tr").all()]


def wait_rows(page: Any, count: int) -> list[str]:
    page.wait_for_function(f"() => document.querySelectorAll('#room tbody tr').length === {count}")
    return rows(page)


def query_of(page: Any) -> str:
    return str(page.evaluate("location.search"))


# -- the search ------------------------------------------------------------------------------------------------------


def test_filters_stay_in_the_address(open_page: Any) -> None:
    page = open_page("/tasks")
    assert len(rows(page)) == 50
    page.locator("[name=status]").select_option("failed")
    page.locator("[name=reason]").fill("dns")
    wait_rows(page, 3)
    page.locator("[name=url]").fill("page/204")
    (row,) = wait_rows(page, 1)
    assert "failed" in row
    assert "dns" in row
    page.wait_for_function("() => location.search.includes('204')")
    assert query_of(page) == "?status=failed&reason=dns&url=page%2F204"
    page.reload()
    wait_rows(page, 1)
    assert page.locator("[name=reason]").input_value() == "dns"
    page.locator("[name=url]").fill("nowhere")
    page.get_by_role("button", name="Clear the filters").click()
    wait_rows(page, 50)
    assert query_of(page) == ""


def test_callback_project_time_and_order(open_page: Any) -> None:
    page = open_page("/tasks?callback=later")
    (row,) = rows(page)
    assert "waiting" in row
    assert "due in" in row
    page = open_page("/tasks?project=other")
    assert len(rows(page)) == 1
    page = open_page("/tasks?project=shop&order=url&url=list")
    assert rows(page)[0].split("\t")[1].strip() == "shop.test/list/0"
    page = open_page("/tasks?before=2001-01-01T00:00")
    assert rows(page) == []
    assert "Nothing matches" in page.locator(".tablestatus").inner_text()


def test_pages_by_cursor(open_page: Any) -> None:
    page = open_page("/tasks?project=shop")
    first = rows(page)
    page.get_by_role("button", name="Next").click()
    page.wait_for_function("() => location.search.includes('cursor')")
    second = rows(page)
    assert not set(first) & set(second)
    page.reload()
    assert wait_rows(page, len(second)) == second
    page.keyboard.press("[")
    page.wait_for_function("() => !location.search.includes('cursor')")
    assert rows(page) == first


def test_keyboard_alone_from_the_list_to_a_task(open_page: Any) -> None:
    page = open_page("/tasks")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "url"
    page.keyboard.type("page/204")
    wait_rows(page, 1)
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/task/shop:t204")
    page.wait_for_selector("#room h2")


def test_T72_without_a_scheduler_recent_says_so(open_page: Any) -> None:
    page = open_page("/tasks?view=recent", watch=False)
    page.wait_for_selector(".banner:not([hidden])")
    assert "no scheduler runs on" in page.locator(".banner").inner_text()


# -- one task --------------------------------------------------------------------------------------------------------


def test_why_a_url_was_crawled_or_not(open_page: Any) -> None:
    page = open_page("/tasks?view=why&project=shop")
    page.locator("[name=url]").fill("http://shop.test/list/7")
    page.locator("form.filters button").click()
    page.wait_for_selector("#why .card")
    assert "known" in page.locator("#why h2").inner_text()
    assert "No scheduler runs" in page.locator("#why .banner").inner_text()
    assert page.locator("#why .card a").get_attribute("href").endswith("/task/shop:t007")


def test_W50_a_task_with_its_whole_history(open_page: Any) -> None:
    page = open_page("/task/shop:t401", watch=False)
    page.wait_for_selector("#room h2")
    attempts = page.locator("#room section").nth(1)
    assert attempts.locator("> details").count() == 2
    assert "timeout" in attempts.locator("> details").first.inner_text()
    attempts.locator("> details").nth(1).locator("> summary").click()
    text = attempts.locator("> details").nth(1).inner_text()
    assert "TypeError: no price <b>here</b>" in text
    assert text.count(EVIL) >= 2  # the log and the begin of the page, as text
    attempts.get_by_text("Headers (1)").nth(1).click()
    assert "X-Evil" in attempts.inner_text()
    assert EVIL in page.locator("#room section").nth(2).inner_text()
    assert page.locator("#room img").count() == 0
    page.wait_for_timeout(1500)  # two pushes later what was opened is still open
    assert attempts.locator("> details").nth(1).evaluate("one => one.open")


def test_r70_a_task_shows_no_secrets(open_page: Any) -> None:
    page = open_page("/task/shop:t900")
    page.wait_for_selector("#room h2")
    page.locator("#room details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    whole = page.content() + page.locator("main").inner_text()
    assert "Authorization" in whole
    assert not [secret for secret in SECRETS if secret in whole]


def test_what_a_browser_made_of_a_page_is_shown_and_nothing_of_it_runs(open_page: Any, api: Client) -> None:
    page = open_page("/task/shop:t500")
    page.locator("details.part", has_text="attempt 1").first.evaluate("one => one.open = true")
    room = page.locator("#room")
    page.wait_for_function("() => document.querySelector('.shot img')?.naturalWidth === 900")
    text = room.inner_text()
    assert "Requests: 37 · blocked: 12 · refused: 1 · 640 KiB loaded" in text
    assert "<img src=x onerror=alert(1)>" in text
    assert "What the page asked for (7)" in text
    assert "and 5 more" in text
    assert "s3cr3t" not in text
    assert "f1lled-in" not in page.content()
    assert room.locator("img").count() == 1
    assert room.locator("[href^='javascript']").count() == 0
    with page.expect_download() as waiting:
        room.get_by_role("link", name="Download the PDF").click()
    assert waiting.value.suggested_filename == "t500.pdf"
    opened = api.get("/task-file/screenshot.png/shop:t500")
    assert (opened.status, opened.headers["Content-Type"]) == (200, "image/png")
    for name in ("screenshot.png", "page.pdf"):
        headers = api.get(f"/task-file/{name}/shop:t500").headers
        assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Disposition"] == 'attachment; filename="t500.pdf"'


@pytest.mark.parametrize(
    "path",
    [
        "/task-file/screenshot.jpg/shop:t500",  # there is none of this kind
        "/task-file/screenshot.svg/shop:t500",
        "/task-file/page.pdf/shop:t502",  # what is there is no PDF
        "/task-file/screenshot.png/other:t500",  # another project's task of this name
        "/task-file/screenshot.png/shop:t300",
        "/task-file/screenshot.png/shop:../../x",
        "/task-file/screenshot.png/shop:t501",  # a link that leads out
        "/task-file/screenshot.png/shop",
    ],
)
def test_no_other_file_is_given_away(site: Running, api: Client, path: str, tmp_path: Path) -> None:
    area = services(site).extra["files"]("shop")
    outside = tmp_path / "outside.png"
    outside.write_bytes(picture(2, 2))
    link = Path(area.name_of("rendered/t501.png"))
    link.unlink(missing_ok=True)
    link.symlink_to(outside)
    put_tasks(site, task(501)) if services(site).taskdb.get("shop", "t501") is None else None
    if services(site).taskdb.get("shop", "t502") is None:
        put_tasks(site, *rendered_task(site, 502, b"<html><script>alert(1)</script>"))
    assert api.get(path).status == 404


def test_a_task_that_is_not_there(open_page: Any, api: Client) -> None:
    answer = api.get("/task/shop:nothing", Accept="text/html")
    assert (answer.status, "project shop has no task nothing" in answer.text) == (404, True)
    assert api.get("/task/nonsense", Accept="text/html").status == 404
    assert api.get("/task/shop:t401.json").json["task"]["taskid"] == "t401"


def test_orders_without_a_scheduler_say_what_is_missing(open_page: Any) -> None:
    page = open_page("/task/shop:t401", watch=False)
    page.get_by_role("button", name="Run again").click()
    page.wait_for_selector(".toast.bad")
    assert "no scheduler runs" in page.locator(".toast.bad").inner_text()
    assert page.get_by_role("button", name="Cancel").is_disabled()
    assert page.get_by_role("link", name="Open in the debugger").get_attribute("href") == "/debug/shop?taskid=t401"
    logs = page.locator("#tools").get_by_role("link", name="Logs")
    assert logs.get_attribute("href") == "/logs?project=shop&task=t401"


# -- failures --------------------------------------------------------------------------------------------------------


def test_failures_by_reason_lead_to_their_tasks(open_page: Any) -> None:
    page = open_page("/failures")
    found = [re.split(r"\s+", one) for one in rows(page)]
    assert [(one[0], one[1], one[2]) for one in found] == [
        ("timeout", "shop", "4"), ("dns", "shop", "3"), ("timeout", "other", "1"),
    ]  # fmt: skip
    page.locator("[name=project]").select_option("other")
    wait_rows(page, 1)
    assert query_of(page) == "?project=other"
    page.locator("tbody a").first.click()
    page.wait_for_url("**/tasks?project=other&status=failed&reason=timeout")
    wait_rows(page, 1)


def test_a_group_is_tried_again_after_a_question(open_page: Any) -> None:
    page = open_page("/failures?text=dns", watch=False)
    page.get_by_role("button", name="Retry all tasks of shop that failed with dns").click()
    dialog = page.locator("dialog")
    assert "Run 3 tasks of shop again" in dialog.inner_text()
    dialog.get_by_role("button", name="Retry all").click()
    page.wait_for_selector(".toast.bad")  # there is no scheduler


# -- results ---------------------------------------------------------------------------------------------------------


def heads(page: Any) -> list[str]:
    return [one.inner_text().strip(" ↑↓") for one in page.locator("thead th").all()]


def test_W52_columns_are_chosen_and_kept_by_project(open_page: Any) -> None:
    page = open_page("/results?project=shop")
    assert heads(page) == ["Page", "title", "price", "tags", "sku", "more", "colour", "Open", "Stored"]
    page.keyboard.press("c")
    for name in ("tags", "more", "colour", "sku"):
        page.locator("dialog").get_by_label(name).uncheck()
    page.locator("dialog").get_by_label("size").check()
    page.locator("dialog").get_by_role("button", name="Show").click()
    page.wait_for_function("() => document.querySelectorAll('thead th').length === 6")
    assert heads(page) == ["Page", "title", "price", "size", "Open", "Stored"]
    page.reload()
    page.wait_for_selector("tbody tr")
    assert heads(page) == ["Page", "title", "price", "size", "Open", "Stored"]
    page.keyboard.press("c")
    page.locator("dialog").get_by_role("button", name="The usual ones").click()
    page.wait_for_function("() => document.querySelectorAll('thead th').length === 9")


def test_values_are_text_only(open_page: Any) -> None:
    page = open_page("/results?project=shop")
    first = rows(page)[1]
    assert EVIL in first
    assert page.locator("#room img").count() == 0
    page.locator("tbody tr").nth(1).locator(".pageurl").click()
    page.wait_for_selector("dialog pre")
    assert EVIL in page.locator("dialog pre").inner_text()
    assert page.locator("dialog img").count() == 0


def test_filter_sort_and_pages(open_page: Any) -> None:
    page = open_page("/results?project=shop&text=thing")
    assert len(rows(page)) == 50
    page.get_by_role("button", name="price").click()
    page.wait_for_function("() => location.search.includes('sort=price')")
    page.wait_for_function("() => /Thing 000/.test(document.querySelector('tbody tr').textContent)")
    assert page.locator("thead th[aria-sort=ascending]").inner_text().startswith("price")
    page.get_by_role("button", name="price").click()
    page.wait_for_function("() => /Thing 129/.test(document.querySelector('tbody tr').textContent)")
    page.get_by_role("button", name="Next").click()
    page.wait_for_function("() => /Thing 079/.test(document.querySelector('tbody tr').textContent)")
    page = open_page("/results?project=shop&field=price&value=2.5")
    (row,) = rows(page)
    assert "Thing 010" in row
    assert page.locator("tbody").get_by_role("link", name="task").get_attribute("href") == "/task/shop:t010"
    out = page.locator("tbody").get_by_role("link", name="page")
    assert (out.get_attribute("href"), out.get_attribute("rel")) == ("http://shop.test/page/10", "noopener noreferrer")


def test_a_project_must_be_chosen(open_page: Any) -> None:
    page = open_page("/results")
    assert "Choose a project" in page.locator(".tablestatus").inner_text()
    page.locator("[name=project]").select_option("shop")
    wait_rows(page, 50)
    assert query_of(page) == "?project=shop"


def test_what_is_filtered_is_downloaded(open_page: Any, tmp_path: Path) -> None:
    page = open_page("/results?project=shop&field=price&value=2.5")
    page.locator("#tools summary").click()
    with page.expect_download() as waiting:
        page.locator("#tools").get_by_role("link", name="CSV", exact=True).click()
    waiting.value.save_as(tmp_path / "shop.csv")
    assert waiting.value.suggested_filename == "shop.csv"
    with (tmp_path / "shop.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["title"], row["price"]) for row in table] == [("Thing 010", "2.5")]


# -- all of them -----------------------------------------------------------------------------------------------------

PAGES = [
    "/tasks?url=list/11",
    "/tasks?url=nowhere",
    "/tasks?view=recent",
    "/task/shop:t401",
    "/task/shop:t500",
    "/failures",
    "/results?project=shop&text=Thing 12",
]


LOOKS = [(path, dark, 390 if dark else 1280) for path in PAGES for dark in (False, True)]
# Every page in one look, and in the other one with the long tests.
ONE_EACH = [pytest.param(*look, marks=pytest.mark.slow if n % 4 in (1, 2) else ()) for n, look in enumerate(LOOKS)]


@pytest.mark.parametrize(("path", "dark", "width"), ONE_EACH)
def test_axe_finds_nothing_serious(path: str, dark: bool, width: int, open_page: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(path, width=width, dark=dark, watch=False)
    page.wait_for_selector("#room tbody tr, #room h2, .banner:not([hidden]), .tablestatus:not(:empty)")
    check_axe(Axe().run(page))
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_axe_finds_nothing_serious_in_dialogs(open_page: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = open_page("/results?project=shop")
    page.keyboard.press("c")
    page.wait_for_selector("dialog")
    check_axe(Axe().run(page))
    page.keyboard.press("Escape")
    page.locator("#tools summary").click()
    check_axe(Axe().run(page))
    page.keyboard.press("Escape")
    assert page.locator("#tools details[open]").count() == 0
    page.locator(".pageurl").first.click()
    page.wait_for_selector("dialog")
    check_axe(Axe().run(page))


def check_axe(results: Any) -> None:
    found = [one for one in results.response["violations"] if one["impact"] in ("serious", "critical")]
    assert not found, json.dumps(found, indent=1)[:3000]


def test_a_viewer_is_offered_no_orders(site: Running, api: Client, new_page: Any) -> None:
    """R-72."""
    page = new_page(site, enter=False, watch=False)
    page.goto(site.url + "/login")
    page.locator('[name="name"]').fill("eve")
    page.locator('[name="password"]').fill("password of eve")
    page.keyboard.press("Enter")
    page.wait_for_selector(".mainnav")
    page.goto(f"{site.url}/task/shop:t401")
    page.wait_for_selector("#room h2")
    assert page.get_by_role("button", name="Run again").count() == 0
    page.goto(f"{site.url}/failures")
    page.wait_for_selector("tbody tr")
    assert page.get_by_role("button", name=re.compile("Retry all")).count() == 0
    token = page.locator('meta[name="csrf"]').get_attribute("content")
    for path, body in (("tasks/shop/t401/rerun", {}), ("failures/shop/retry", {"reason": "dns"})):
        refused = page.request.post(f"{site.url}/api/v1/{path}", data=body, headers={"X-CSRF-Token": token})
        assert refused.status == 403, path
