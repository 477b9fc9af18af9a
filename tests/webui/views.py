"""Every page and state of the web UI by name, and how to get there in the scene; for pictures and accessibility."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from tests.webui.scene import Scene


def settle(page: Any) -> None:
    """Until nothing loads and nothing is busy. (Functions that wait in the page would need what the CSP forbids.)"""
    page.wait_for_load_state("load")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


def at(path: str, ready: str) -> Callable[[Scene, Any], None]:
    """A page that is there when ``ready`` is."""

    def show(scene: Scene, page: Any) -> None:
        page.goto(scene.running.url + path.format(task=failed_task(scene, page) if "{task}" in path else ""))
        page.wait_for_selector(ready)

    return show


def failed_task(scene: Scene, page: Any) -> str:
    """The id of a task that failed."""
    found = page.request.get(f"{scene.running.url}/api/v1/tasks?project=discounts&status=failed&limit=1").json()
    return f"discounts:{found['items'][0]['taskid']}"


def step(scene: Scene, page: Any) -> None:
    """The debugger with a product's page, an element of which is picked."""
    at("/debug/corner_shop", ".debug:not([aria-busy])")(scene, page)
    if page.locator("#tab-pane-step").is_visible():  # narrow: one pane at a time
        page.locator("#tab-pane-step").click()
    page.locator("#run").click()
    page.locator(".follow-open").first.click()
    expect(page.locator(".crumb[aria-current]")).to_have_text("list_page")
    page.locator(".follow-open").first.click()
    expect(page.locator(".crumb[aria-current]")).to_have_text("product_page")
    page.get_by_role("tab", name="Page").click()
    pick = page.get_by_role("button", name="Pick an element")
    pick.click()
    page.frame_locator(".selector-frame").locator("h1.name").click()
    expect(page.locator(".selector-count")).to_contain_text("1")
    page.mouse.move(5, 5)


def versions(scene: Scene, page: Any) -> None:
    """The list of versions over the editor."""
    at("/debug/corner_shop", ".debug:not([aria-busy])")(scene, page)
    page.get_by_role("button", name="Versions").click()
    page.wait_for_selector("dialog")


def create(scene: Scene, page: Any) -> None:
    """The dialog for a new project."""
    at("/", "tbody tr")(scene, page)
    page.get_by_role("button", name="New project").click()
    page.wait_for_selector("dialog")


def menu(scene: Scene, page: Any) -> None:
    """What can be done with a project."""
    at("/", "tbody tr")(scene, page)
    page.locator("tr", has_text="corner_shop").get_by_role("button", name="More for corner_shop").click()
    page.wait_for_selector(".menu")


VIEWS: dict[str, Callable[[Scene, Any], None]] = {
    "dashboard": at("/", "tbody tr"),
    "create": create,
    "menu": menu,
    "project": at("/projects/corner_shop", "h1"),
    "editor": at("/debug/corner_shop", ".debug:not([aria-busy])"),
    "step": step,
    "versions": versions,
    "tasks": at("/tasks", "tbody tr"),
    "task": at("/task/{task}", "h1"),
    "failures": at("/failures", "tbody tr"),
    "results": at("/results?project=corner_shop", "tbody tr"),
    "logs": at("/logs", "h1"),
    "queues": at("/queues", "h1"),
    "nodes": at("/nodes", "tbody tr"),
    "users": at("/admin", "h1"),
    "tokens": at("/admin/tokens", "h1"),
    "audit": at("/admin/audit", "h1"),
    "account": at("/account", "h1"),
    "problem": at("/nothing", "h1"),
}
