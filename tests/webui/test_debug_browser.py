"""The debugger on a page that a browser renders: what it brings along has a tab of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawlkit.database.base import ProjectRow
from tests.e2e import rendered_site
from tests.e2e.browser_service import browser_service
from tests.e2e.rendered_site import RenderedSite
from tests.webui.servers import Running, in_thread, until

SCRIPT = """from crawlkit import BaseHandler


class Handler(BaseHandler):
    def on_start(self):
        self.crawl("{url}/world", callback=self.page, fetch_type="browser", screenshot=True, pdf=True, capture_xhr=True,
                   wait_for="networkidle")

    def page(self, response):
        return {{"screenshot": response.screenshot["bytes"], "console": response.console}}
"""


@pytest.fixture(scope="module")
def site() -> Iterator[RenderedSite]:
    made = RenderedSite()
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with (
        browser_service() as endpoint,
        in_thread(tmp_path_factory.mktemp("debug") / "data", fetcher={"browser_endpoint": endpoint}) as running,
    ):
        yield running


FILLED = """from crawlkit import BaseHandler


class Handler(BaseHandler):
    def on_start(self):
        self.crawl("{url}/menu", callback=self.page, fetch_type="browser")

    def page(self, response):
        return {{"title": response.css("#title::text").get(), "maker": response.css("#maker::text").get()}}  # both


def helper():
    return 1
"""
MENU = """<h1 id="title"></h1><b id="maker"></b><script>fetch('/menu.json').then(async (r) => {
  const it = (await r.json()).tea;
  document.getElementById('title').textContent = it.name;
  document.getElementById('maker').textContent = it.maker;
})</script>"""


@pytest.fixture
def menu(monkeypatch: pytest.MonkeyPatch) -> None:
    tea = {"tea": {"name": "Green tea", "maker": "Mrs Green"}}
    monkeypatch.setitem(rendered_site.PAGES, "/menu", MENU)
    monkeypatch.setitem(rendered_site.FILES, "/menu.json", ("application/json", json.dumps(tea).encode()))


def test_the_proposed_method_goes_to_the_end_of_the_class(
    new_page: Any, server: Running, site: RenderedSite, menu: None
) -> None:
    assert server.server is not None
    text = FILLED.format(url=site.url)
    server.server.services.projectdb.put(ProjectRow("menu", status="RUNNING", script=text))
    page = new_page(server)
    page.goto(f"{server.url}/debug/menu")
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator(".follow-open").first.click()
    page.locator("[data-tab=browser]").wait_for(state="visible", timeout=40_000)
    page.locator("#stop[disabled]").wait_for(state="attached")
    page.locator("#run").click()  # on the page that is there: the proposal stays
    page.locator(".summary", has_text="page fetched before").wait_for()
    page.locator("[data-tab=browser]").click()
    add = page.get_by_role("button", name="Add the method to the script")
    add.click()
    method = f'''
    def page_json(self, response):
        # self.crawl("{site.url}/menu.json", callback=self.page_json)
        it = response.json["tea"]
        return {{
            "title": it["name"],
            "maker": it["maker"],
        }}
'''
    want = text.replace("  # both\n", "  # both\n" + method)
    page.keyboard.press("Control+s")
    saved = server.server.services.projectdb
    until(lambda: (row := saved.get("menu")) is not None and row.script != text)
    row = saved.get("menu")
    assert row is not None
    assert row.script == want
    add.click()  # it is there already, and shown
    assert page.locator(".cursor").inner_text().startswith(f"{want[: want.index('def page_json')].count(chr(10)) + 1}:")


def test_a_method_finds_its_place_in_any_script(new_page: Any, server: Running) -> None:
    before = [
        "x = 1\n",
        "class A: pass\n",
        "class Handler(B):\n  def page(self, r):\n    pass",
        'class Handler(B):\n\tdef a(self):\n\t\treturn """\nclass X:\n"""\n\nprint(1)\n',
        "class One(B):\n    def page(self):\n        pass\n\n\nclass Handler(B):\n    x = 1\n",
        "class Handler(B):\n    @every\n    def page_json(self):\n        pass\n",
    ]
    page = new_page(server)
    found = page.evaluate(
        """async (scripts) => {
          const { placeOf } = await import("/static/js/debug/methods.js");
          return scripts.map((text) => {
            const place = placeOf(text, ["def page_json(self, response):", "    pass"], "page");
            return place && (place.line ?? text.slice(0, place.from) + place.text + text.slice(place.from));
          });
        }""",
        before,
    )
    assert found[:2] == [None, None]
    assert found[2] == before[2] + "\n\n  def page_json(self, response):\n      pass"
    assert found[3] == before[3].replace('"""\n\nprint', '"""\n\n\tdef page_json(self, response):\n\t    pass\n\nprint')
    assert found[4] == before[4].replace("pass\n", "pass\n\n    def page_json(self, response):\n        pass\n")
    assert found[5] == 3


def test_the_tab_of_the_browser(new_page: Any, server: Running, site: RenderedSite, tmp_path: Path) -> None:
    assert server.server is not None
    server.server.services.projectdb.put(ProjectRow("shop", status="RUNNING", script=SCRIPT.format(url=site.url)))
    page = new_page(server)
    page.goto(f"{server.url}/debug/shop")
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator(".follow-open").first.click()
    page.locator("[data-tab=browser]").wait_for(state="visible", timeout=40_000)
    page.locator("[data-tab=browser]").click()
    page.wait_for_function("() => document.querySelector('.answer-panel img')?.naturalWidth === 1024")
    panel = page.locator(".answer-panel").inner_text()
    assert "log: hello from /world" in panel
    assert "Requests: " in panel
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download the PDF").click()
    waiting.value.save_as(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF-")
    page.keyboard.press("Alt+ArrowLeft")  # a step without a page has no such tab, and its key does nothing
    page.locator("#tab-browser").wait_for(state="hidden")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("8")
    assert page.locator("#tab-browser").get_attribute("aria-selected") == "false"
