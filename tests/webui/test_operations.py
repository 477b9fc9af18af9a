"""The pages about logs, processes and queues, in real Chromium."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from crawlkit.database.base import LogLine, NodeRow, Writes
from tests.webui.rows import services
from tests.webui.servers import Running, until


def log(running: Running, *texts: str, level: int = 20, **fields: Any) -> int:
    now = time.time()
    last: int = services(running).logdb.append_many([LogLine(now, level, text, **fields) for text in texts])
    return last


def shown(page: Any) -> list[str]:
    found: list[str] = page.locator(".logline .logtext").all_inner_texts()
    return found


def open_logs(page: Any, running: Running, query: str = "") -> None:
    page.goto(f"{running.url}/logs{query}")
    page.wait_for_selector("#logs:not([aria-busy])")


@pytest.fixture
def quiet(server: Running) -> Running:
    """A web UI whose log store is empty."""
    services(server).logdb.prune(1e12, 0)
    return server


def test_new_lines_appear_and_can_be_held_back(quiet: Running, page: Any) -> None:
    log(quiet, "first", node="n", role="fetcher")
    open_logs(page, quiet)
    assert shown(page)[0] == "first"
    log(quiet, "second")
    page.wait_for_selector(".logline >> text=second")
    assert shown(page)[:2] == ["second", "first"]
    page.get_by_role("button", name="Pause").click()
    page.wait_for_selector("#lograte >> text=paused")
    log(quiet, "third", "fourth")
    page.wait_for_selector("#lograte >> text=2 new lines")
    assert shown(page)[0] == "second"
    page.keyboard.press("f")
    page.wait_for_selector(".logline >> text=fourth")
    until(lambda: shown(page)[:3] == ["fourth", "third", "second"])
    page.wait_for_selector("#lograte >> text=live")


def test_filters_are_in_the_address(quiet: Running, page: Any) -> None:
    mine = {"project": "shop", "taskid": "t1", "callback": "item_page", "node": "n-p", "role": "processor"}
    log(quiet, "price found", **mine)
    log(quiet, "no price", level=30, **mine)
    log(quiet, "ready", node="n-f", role="fetcher", logger="crawlkit")
    open_logs(page, quiet)
    assert shown(page) == ["ready", "no price", "price found"]
    page.keyboard.press("/")
    page.keyboard.type("PRICE")
    page.wait_for_url("**/logs?text=PRICE")
    page.wait_for_function("() => document.querySelectorAll('.logline').length === 2")
    page.get_by_label("Level").select_option("warning")
    page.wait_for_function("() => document.querySelectorAll('.logline').length === 1")
    log(quiet, "prices everywhere")  # is followed, and not of this level
    log(quiet, "another price is missing", level=40)
    page.wait_for_selector(".logline >> text=another price")
    assert shown(page) == ["another price is missing", "no price"]
    page.reload()
    page.wait_for_selector(".logline")
    assert shown(page) == ["another price is missing", "no price"]
    open_logs(page, quiet, "?node=n-f")
    assert shown(page) == ["ready"]
    open_logs(page, quiet, "?project=nobody")
    page.get_by_text("No line matches these filters.").wait_for()
    page.get_by_role("button", name="Clear the filters").click()
    page.wait_for_selector(".logline >> text=ready")


def test_a_line_tells_more_and_leads_on(quiet: Running, page: Any) -> None:
    trace = "Traceback (most recent call last):\n" + "\n".join(f"  frame {n}" for n in range(20)) + "\nValueError: no"
    log(quiet, trace, level=40, project="shop", taskid="abc123", url="http://shop.test/1", node="n-p", role="processor")
    log(quiet, "other", project="other")
    open_logs(page, quiet)
    line = page.locator(".logline.is-error")
    assert "ValueError" not in line.inner_text()
    assert line.get_by_role("link", name="shop").get_attribute("href") == "/projects/shop"
    assert line.get_by_role("link", name="Task abc123").get_attribute("href") == "/task/shop:abc123"
    line.get_by_role("button", name="Details").focus()
    page.keyboard.press("Enter")
    assert "ValueError: no" in line.inner_text()
    assert "http://shop.test/1" in line.inner_text()
    line.get_by_role("button", name="only these").first.click()
    page.wait_for_url("**/logs?project=shop")
    page.wait_for_function("() => document.querySelectorAll('.logline').length === 1")


def test_hostile_lines_are_only_text(quiet: Running, page: Any) -> None:
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}"
    log(
        quiet,
        evil,
        project=evil[:60],
        taskid="<b>",
        callback='"><i>',
        url="javascript:alert(3)",
        node=evil,
        logger=evil,
    )
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    open_logs(page, quiet)
    assert shown(page)[0] == evil
    page.locator(".logtoggle").first.click()
    assert page.locator(".logline img, .logline b, .logline script").count() == 0
    assert page.locator(".logline a[href^='javascript']").count() == 0


def test_thousands_of_lines_stay_quick(quiet: Running, page: Any) -> None:
    for start in range(0, 10_000, 500):
        log(quiet, *(f"line {number} of many" for number in range(start, start + 500)), project="p")
    open_logs(page, quiet)
    assert shown(page)[0] == "line 9999 of many"
    page.keyboard.press("End")
    page.wait_for_function("() => document.querySelectorAll('.logline').length >= 400")
    page.wait_for_selector("#lograte >> text=paused")  # who reads further down is not disturbed
    log(quiet, "new while reading")
    page.wait_for_selector("#lograte >> text=1 new lines")
    page.get_by_role("button", name="To the newest line").click()
    page.wait_for_selector(".logline >> text=new while reading")
    for start in range(0, 6_000, 500):  # more than a page shows
        log(quiet, *(f"burst {number}" for number in range(start, start + 500)))
    page.wait_for_selector(".logline >> text=burst 5999")
    assert page.locator(".logline").count() <= 3_000
    slowest = page.evaluate(
        """async () => { let last = performance.now(), worst = 0;
        for (let n = 0; n < 40; n += 1) { scrollTo(0, n * 500); await new Promise(requestAnimationFrame);
          const now = performance.now(); worst = Math.max(worst, now - last); last = now; } return worst; }"""
    )
    assert slowest < 500


def node(name: str, role: str, seen: float, alive: bool = True, **stats: float) -> NodeRow:
    return NodeRow(name, role, "host1", 4711, "1.2", seen - 3700, seen, json.dumps(stats), alive)


def test_processes_and_what_they_do(server: Running, page: Any) -> None:
    now = time.time()
    taskdb = services(server).taskdb
    taskdb.commit(Writes(nodes=[
        node("n-f", "fetcher", now, fetched=1234, inflight=3, errors=0, cpu=12.5, rss=100 * 2**20),
        node("n-p", "processor", now, processed=1200, workers=4, cpu=50, rss=300 * 2**20),
        node("n-old", "fetcher", now - 600, alive=False, fetched=5),
    ]))  # fmt: skip
    page.goto(f"{server.url}/nodes")
    fetcher = page.locator("tr[data-key='n-f']")
    fetcher.wait_for()
    for word in ("host1", "4711", "1.2", "1 h", "1,234 fetched", "3 under way", "13 %", "100 MiB"):
        assert word in fetcher.inner_text()
    assert "errors" not in fetcher.inner_text()
    old = page.locator("tr[data-key='n-old']")
    assert "gone" in (old.get_attribute("class") or "")
    assert "400 MiB" in page.locator("#summary").inner_text()
    later = node("n-f", "fetcher", now + 10, fetched=1734, cpu=1, rss=2.0**20)
    later.started = now - 3700
    taskdb.commit(Writes(nodes=[later]))
    page.wait_for_function("() => document.querySelector(\"tr[data-key='n-f']\").innerText.includes('1,734')")
    assert "50/s" in fetcher.inner_text()
    page.get_by_label("Show those that are gone").uncheck()
    old.wait_for(state="detached")
    fetcher.get_by_role("link", name="Logs").click()
    page.wait_for_url("**/logs?node=n-f")


def test_W30_queues_that_are_not_known(server: Running, page: Any) -> None:
    page.goto(f"{server.url}/queues")
    page.get_by_text("The queues cannot be seen").wait_for()
    assert page.locator(".qd-count").all_inner_texts() == ["???"] * 5


@pytest.mark.timeout(120)
def test_W30_queues_of_a_running_crawler(whole: Running, new_page: Any) -> None:
    page = new_page(whole)
    page.goto(f"{whole.url}/queues")
    status = page.locator("tr[data-key='status_queue']")
    status.wait_for()
    until(lambda: re.search(r"[1-9]\d*(\.\d)?/s", status.inner_text()), 30, "heartbeats on their way")
    assert page.locator(".qd-count").all_inner_texts()[1] == "0"
    assert "of 100" in page.locator("#diagram").inner_text()
    page.goto(f"{whole.url}/nodes")
    for role in ("scheduler", "fetcher", "processor", "result_worker", "webui"):
        page.locator(f"tr:not(.gone) td >> text={role}").first.wait_for()
    page.goto(f"{whole.url}/logs?role=fetcher")
    page.get_by_text("fetcher is ready").wait_for()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_readable_by_everybody(quiet: Running, new_page: Any, width: int, dark: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    now = time.time()
    services(quiet).taskdb.commit(Writes(nodes=[
        node("n-f", "fetcher", now, fetched=3, cpu=99, rss=2.0**20), node("n-o", "fetcher", now - 99, alive=False),
    ]))  # fmt: skip
    for level in (10, 20, 30, 40, 50):
        log(
            quiet, f"level {level}", level=level, project="shop", taskid="t1", callback="page", node="n", role="fetcher"
        )
    page = new_page(quiet, width=width, dark=dark)
    for place, ready in (("/logs", ".logline"), ("/nodes", "tr[data-key='n-f']"), ("/queues", ".qd-count")):
        page.goto(quiet.url + place)
        page.wait_for_selector(ready)
        if place == "/logs":
            page.locator(".logtoggle").first.click()
        if place == "/queues":
            page.get_by_text("The queues cannot be seen").wait_for()
        found = [one for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]
        assert not found, [(one["id"], [n["html"][:200] for n in one["nodes"]]) for one in found]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
