"""``fetch_type="auto"`` in the debugger: a plain page first, the browser when that is not enough, and JSON instead."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from crawlkit import wiring
from crawlkit.database.base import BlobStore, ProjectStore
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.webui.debug.engine import Debugger
from tests.needs import binary
from tests.webui.debug.conftest import HEAD, ME, Site, new_debugger

SCRIPT = (
    HEAD
    + """
    def page(self, response):
        print("ran with", len(response.xhr))
        self.crawl("http://next.test/", callback=self.page)
        return {"title": response.css("#title::text").get(), "price": response.css("#price::text").get()}
"""
)
JSON = {"data": {"name": "Green tea", "price": 1299.5}}
FILLED = """<h1 id="title">%s</h1><b id="price"></b><script>fetch('/api/7?v=1').then(async (r) => {
  const it = (await r.json()).data;
  document.getElementById('title').textContent = it.name;
  document.getElementById('price').textContent = '$' + it.price.toLocaleString('en-US', {minimumFractionDigits: 2});
})</script>"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A browser service in a thread."""
    binary("chromium")
    sockets = wiring.listen("127.0.0.1", 0)
    service = wiring.build_browser({"poolsize": 2}, sockets, token="")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(service.run(),))
    thread.start()
    yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}/render"
    asyncio.run_coroutine_threadsafe(service.stop(), loop).result(20)
    thread.join(20)
    loop.close()


@pytest.fixture(scope="module")
def browsing(endpoint: str, projectdb: ProjectStore, blobdb: BlobStore) -> Iterator[Debugger]:
    fetcher = FetcherSettings(timeout=60, connect_timeout=5, browser_endpoint=endpoint)
    made = new_debugger(projectdb, blobdb, fetcher=fetcher)
    yield made
    made.close()


def step(debugger: Debugger, url: str, fetch_type: str = "auto") -> dict[str, Any]:
    task = {"url": url, "fetch": {"fetch_type": fetch_type}, "process": {"callback": "page"}}
    answer: dict[str, Any] = debugger.step(ME, "shop", task, script=SCRIPT, wait=60)["answer"]
    return answer


def test_a_page_that_is_enough_stays_plain(browsing: Debugger, site: Site) -> None:
    url = site.put("/plain", '<h1 id="title">Tea</h1><b id="price">3.20</b>')
    answer = step(browsing, url)
    assert answer["results"] == [{"title": "Tea", "price": "3.20"}]
    assert (answer["auto"], answer["json_sources"]) == ("plain", [])
    assert answer["response"]["rendered"] is None


def test_a_page_that_is_not_comes_by_the_browser_and_its_json_is_proposed(browsing: Debugger, site: Site) -> None:
    """LESSONS 3.11: nobody else proposes the endpoint."""
    site.put("/api/7?v=1", json.dumps(JSON), Content_Type="application/json")
    url = site.put("/filled", FILLED % "Loading...")
    answer = step(browsing, url)
    assert answer["error"] is None, answer["error"]
    assert answer["results"] == [{"title": "Green tea", "price": "$1,299.50"}]
    assert answer["auto"].startswith("browser: title was 'Loading...' in the plain page; price was empty")
    assert answer["follow_count"] == 1  # once, not for each run
    assert answer["logs"].count("ran with 0") == 1  # as in a crawl that asked for no answers
    (source,) = answer["json_sources"]
    assert source["url"] == site.url + "/api/7?v=1"
    assert {one["field"]: one["path"] for one in source["fields"]} == {
        "title": '["data"]["name"]',
        "price": '["data"]["price"]',
    }
    assert source["code"].startswith(f'self.crawl("{source["url"]}", callback=self.page_json)')


def test_a_rendered_page_has_proposals_too(browsing: Debugger, site: Site) -> None:
    site.put("/api/7?v=1", json.dumps(JSON), Content_Type="application/json")
    answer = step(browsing, site.put("/js", FILLED % ""), "js")
    assert answer["auto"] == ""
    assert len(answer["json_sources"]) == 1


def test_without_a_browser_the_plain_page_is_taken(debugger: Debugger, site: Site) -> None:
    url = site.put("/filled", FILLED % "Loading...")
    answer = step(debugger, url)
    assert answer["results"] == [{"title": "Loading...", "price": None}]
    assert answer["auto"] == "plain: there is no browser service"
    assert answer["follow_count"] == 1


def test_a_page_that_is_kept_is_run_as_it_is(browsing: Debugger, site: Site) -> None:
    site.put("/api/7?v=1", json.dumps(JSON), Content_Type="application/json")
    url = site.put("/filled", FILLED % "Loading...")
    before = step(browsing, url)
    task = {"url": url, "fetch": {"fetch_type": "auto"}, "process": {"callback": "page"}}
    again = browsing.step(ME, "shop", task, script=SCRIPT, page=before["page"], wait=60)["answer"]
    assert again["results"] == before["results"]
    assert not again["fetched"]
    assert len(again["json_sources"]) == 1  # what the page asked its server for is kept with it
    assert again["json_sources"] == before["json_sources"]
