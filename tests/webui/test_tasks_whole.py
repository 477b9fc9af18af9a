"""Orders for tasks and what just happened, over a real ``crawlkit all``: W13, W51, and another try for a group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from crawlkit import wiring
from crawlkit.libs.rows import ProjectRow
from crawlkit.settings import Settings
from tests.webui.servers import Client, Running, everything, until

SCRIPT = """
from crawlkit import BaseHandler

class Handler(BaseHandler):
    retry_delay = {"": -1}

    def page(self, response):
        print("looking at", response.text)
        if "bad" in response.text:
            raise ValueError("as asked")
        return {"text": response.text}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    without_browser = {"CRAWLKIT_BROWSER_CHROMIUM": "/no/such/chromium"}
    with everything(tmp_path_factory.mktemp("whole") / "data", env=without_browser) as running:
        settings = Settings(data_path=running.data_path)
        with wiring.open_stores(settings, ("projectdb",)) as stores:
            stores.projectdb.put(ProjectRow("shop", status="RUNNING", script=SCRIPT, rate=None, rate_set=True))
        scheduler = wiring.control_client(settings)
        scheduler.update_project()
        until(lambda: "shop" in scheduler.summary()["projects"])
        scheduler.submit([task(f"good{n}") for n in range(3)] + [task(f"bad{n}") for n in range(3)])
        scheduler.submit([task("later", exetime=4e9)])
        until(lambda: scheduler.summary()["projects"]["shop"]["failed"] == 3, 30)
        until(lambda: scheduler.summary()["projects"]["shop"]["done"] >= 3, 30)
        yield running


def task(name: str, **schedule: Any) -> dict[str, Any]:
    parts = {"process": {"callback": "page"}, "schedule": schedule}
    return {"project": "shop", "taskid": name, "url": f"data:,{name}", **parts}


@pytest.fixture(scope="module")
def api(site: Running) -> Client:
    return site.client()


@pytest.fixture
def page(new_page: Any, site: Running, api: Client) -> Any:
    page = new_page(site, enter=False)
    name, _, value = api.cookie.partition("=")
    page.context.add_cookies([{"name": name, "value": value, "url": site.url}])
    return page


def runs_of(api: Client, taskid: str) -> int:
    return int(api.api("GET", f"/tasks/shop/{taskid}")["task"]["run"])


def test_a_task_tells_all_of_its_attempt(api: Client) -> None:
    found = api.api("GET", "/tasks/shop/bad1")
    (attempt,) = found["attempts"]
    assert found["task"]["status"] == "failed"
    assert attempt["reason"] == "exception"
    assert "ValueError: as asked" in attempt["process"]["exception"]
    assert "looking at bad1" in attempt["process"]["logs"]
    assert api.api("GET", "/tasks/shop/good1")["results"][0]["result"] == {"text": "good1"}


def test_W51_what_just_happened_is_pushed(page: Any, site: Running, api: Client) -> None:
    page.goto(f"{site.url}/tasks?view=recent&project=shop")
    page.wait_for_selector("tbody tr")
    page.wait_for_function(
        "() => [...document.querySelectorAll('tbody tr')].some((row) => /callback failed/.test(row.textContent))"
    )
    api.api("POST", "/tasks/shop/good2/rerun")
    page.wait_for_function("() => /good2/.test(document.querySelector('tbody tr').textContent)")
    until(lambda: runs_of(api, "good2") == 2)
    found = api.api("GET", "/recent?project=shop")["items"]
    assert found[0]["taskid"] == "good2"
    assert len({one["taskid"] for one in found}) == len(found)
    assert api.get("/active_tasks?project=shop").json[0]["taskid"] == "good2"


def test_a_page_that_misses_its_browser_says_so_in_a_line(page: Any, site: Running, api: Client) -> None:
    wants_one = task("drawn", retries=0) | {"url": "http://127.0.0.1:9/", "fetch": {"fetch_type": "js"}}
    wiring.control_client(Settings(data_path=site.data_path)).submit([wants_one, task("plain")])
    until(lambda: [api.api("GET", f"/tasks/shop/{one}")["task"]["status"] for one in ("drawn", "plain")]
          == ["failed", "success"], 30)  # fmt: skip
    page.goto(f"{site.url}/task/shop:drawn")
    page.wait_for_selector("text=--chromium /no/such/chromium: there is no such program")
    assert page.get_by_text("no_browser").count()


def test_run_again_and_cancel(page: Any, site: Running, api: Client) -> None:
    page.goto(f"{site.url}/task/shop:good0")
    page.get_by_role("button", name="Run again").click()
    page.wait_for_selector(".toast.good")
    until(lambda: api.api("GET", "/tasks/shop/good0")["task"]["run"] == 2)
    page.wait_for_function("() => /Attempts \\(2\\)/.test(document.querySelector('#room').textContent)")
    page.goto(f"{site.url}/task/shop:later")
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_selector(".toast.good")
    page.wait_for_selector(".badge:has-text('cancelled')")
    assert page.get_by_role("button", name="Cancel").is_disabled()
    entries = api.api("GET", "/audit?project=shop")["items"]
    assert {"tasks.rerun_task", "tasks.cancel_task"} <= {one["action"] for one in entries}


def test_a_whole_group_is_tried_again(page: Any, site: Running, api: Client) -> None:
    page.goto(f"{site.url}/failures?project=shop")
    page.get_by_role("button", name="Retry all tasks of shop that failed with exception").click()
    page.locator("dialog").get_by_role("button", name="Retry all").click()
    page.wait_for_selector(".toast.good")
    assert "3 tasks of shop run again" in page.locator(".toast.good").inner_text()
    until(lambda: all(runs_of(api, f"bad{n}") == 2 for n in range(3)))


def test_r72_in_a_locked_project_only_admins_give_orders(site: Running, api: Client) -> None:
    with wiring.open_stores(Settings(data_path=site.data_path), ("projectdb",)) as stores:
        stores.projectdb.put(ProjectRow("kept", group="lock", status="RUNNING", script=SCRIPT))
    token = api.api("POST", "/account/tokens", {"name": "t", "role": "editor"})["token"]
    editor = Client(site.url, headers={"Authorization": f"Bearer {token}"})
    answer = editor.request("POST", "/api/v1/failures/kept/retry", {"reason": "x"})
    assert (answer.status, "lock" in answer.json["detail"]) == (403, True)
    assert editor.request("POST", "/api/v1/tasks/shop/good1/rerun").status == 200
