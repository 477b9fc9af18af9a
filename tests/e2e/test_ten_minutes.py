"""The first ten minutes in the web UI, in one go: from ``crawlkit`` in an empty folder to a downloaded CSV."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.webui.conftest import browser, new_page
from tests.webui.servers import LINK, ROOT, Running, until
from tests.webui.shop import Shop, product, shop

__all__ = ["browser", "new_page"]  # fixtures


@dataclass
class Started(Running):
    """``printed``: the link as the terminal shows it."""

    printed: str = ""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    """``crawlkit``, without a word more, in an empty folder."""
    folder, said = tmp_path / "empty", tmp_path / "said.txt"
    folder.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith("CRAWLKIT_")}
    with said.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "crawlkit"], cwd=folder, stdout=stream, stderr=stream, text=True,
            env={**env, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    try:
        link = until(lambda: LINK.search(said.read_text()), 60, "the link")
        until(lambda: "ready:" in said.read_text(), 60, "everything")
        yield Started(link[1], folder / "data", process=process, printed=link[0])
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            process.kill()


@pytest.fixture
def site() -> Iterator[Shop]:
    with shop(pages=2) as running:
        yield running


@pytest.mark.timeout(240)
def test_the_ten_minutes(started: Started, site: Shop, new_page: Any) -> None:
    from playwright.sync_api import expect

    expect.set_options(timeout=20_000)
    page = new_page(started, enter=False)
    page.goto(started.printed)
    write_and_debug(page, site)
    run_it(page, site.products)
    rows = download(page, site.products)
    assert sorted(rows) == sorted(
        (f"{site.url}/product/{number}", product(number).name, product(number).price)
        for number in range(1, site.products + 1)
    )
    page.close()


def write_and_debug(page: Any, site: Shop) -> None:
    from playwright.sync_api import expect

    page.get_by_role("button", name="New project").click()
    page.locator("[name=project]").fill("corner_shop")
    page.locator("[name=start-urls]").fill(f"{site.url}/")
    page.get_by_role("button", name="Open the editor").click()
    page.wait_for_selector("#script .cm-content")

    # the first step: on_start; into the list of products, and into a product
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator(".follow-open").first.click()
    expect(page.locator(".crumb[aria-current]")).to_have_text("index_page")
    page.locator(".follow", has_text="/product/1").locator(".follow-open").first.click()
    expect(page.locator(".crumb[aria-current]")).to_have_text("detail_page")
    expect(page.locator(".resultbox")).to_contain_text("Corner Shop")

    # what is wanted is clicked on the page, and its selector goes into the script
    insert(page, 'response.css("title::text").get()', "h1.name")
    type_over(page, '"title":', '"name":')
    type_over(page, '"url": response.url,', '"url": response.url, "price": None,')
    insert(page, "None", "p.price")
    page.locator("#run").click()
    page.get_by_role("tab", name="Results").click()
    expect(page.locator(".resultbox")).to_contain_text(product(1).name)
    expect(page.locator(".resultbox")).to_contain_text(product(1).price)
    assert site.asked["/product/1"] == 1, "a changed script runs on the page that was fetched"

    # only products are results: the next list is followed, not stored
    type_over(page, "response.doc('a[href^=\"http\"]').items()", "response.doc('a.product-link').items()")
    type_over(
        page,
        "self.crawl(link.attr.href, callback=self.detail_page)",
        "self.crawl(link.attr.href, callback=self.detail_page)\n"
        "        for link in response.doc('a.next').items():\n"
        "            self.crawl(link.attr.href, callback=self.index_page)",
    )


def insert(page: Any, old: str, element: str) -> None:
    """Selects ``old`` in the script, clicks ``element`` on the page, and inserts its selector there."""
    from playwright.sync_api import expect

    find(page, old)
    page.keyboard.press("Delete")
    page.get_by_role("tab", name="Page").click()
    page.get_by_role("button", name="Pick an element").click()
    page.frame_locator(".selector-frame").locator(element).click()
    expect(page.locator(".selector-count")).to_contain_text("1")
    page.get_by_role("button", name="Insert").click()
    expect(page.locator("#script .cm-content")).to_be_focused()


def find(page: Any, text: str) -> None:
    page.locator("#script .cm-content").focus()
    for key in ("Control+Home", "Control+f"):
        page.keyboard.press(key)
    page.keyboard.type(text)
    for key in ("Enter", "Escape"):
        page.keyboard.press(key)


def type_over(page: Any, old: str, new: str) -> None:
    find(page, old)
    page.keyboard.insert_text(new)


def run_it(page: Any, products: int) -> None:
    """Saves, starts the project from the dashboard, and watches it fill without a reload."""
    from playwright.sync_api import expect

    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast")).to_contain_text("created")
    page.get_by_role("link", name="Projects").click()
    row = page.locator("tr", has_text="corner_shop")
    row.get_by_role("button", name="Run").click()
    page.get_by_role("button", name="Set RUNNING and run").click()
    pages = products + 3  # the two lists, and on_start
    expect(row).to_contain_text(str(pages))
    expect(row.locator(".bar .good").first).to_be_visible()


def download(page: Any, products: int) -> list[tuple[str, ...]]:
    """What the downloaded CSV says."""
    from playwright.sync_api import expect

    page.get_by_role("link", name="Results").click()
    page.locator("[name=project]").select_option("corner_shop")
    expect(page.locator(".pager")).to_contain_text(f"of {products}")
    page.get_by_text("Download", exact=True).click()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV", exact=True).click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8-sig")
    return [(row["url"], row["name"], row["price"]) for row in csv.DictReader(io.StringIO(text))]
