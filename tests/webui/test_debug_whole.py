"""The debugger beside a whole crawl: pages of real runs are kept, a save is checked on them, a pin is what runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from crawlkit import wiring
from crawlkit.settings import Settings
from tests.webui.debug.conftest import HEAD, Site
from tests.webui.servers import Client, Running, until

SCRIPT = HEAD + (
    "    def on_start(self):\n"
    "        for n in range(3):\n"
    "            self.crawl(f'SITE/{n}', callback=self.page, age=0, itag=VERSION)\n\n"
    "    def page(self, response):\n"
    "        return {'title': response.css('h1::text').get(), 'price': response.css('b::text').get(), 'v': VERSION}\n"
)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    for n in range(3):
        made.put(f"/{n}", f"<h1>t{n}</h1><b>{n}</b>")
    yield made
    made.close()


def test_what_a_crawl_fetched_is_what_a_save_is_checked_on(whole: Running, site: Site) -> None:
    client = whole.client()
    one = SCRIPT.replace("SITE", site.url).replace("VERSION", "1")
    first = save(client, one)
    start(whole)
    until(lambda: versions_of(whole) == {1}, 30, "the results")
    until(lambda: client.api("GET", "/projects/shop/kept-pages")["total"] > 0, 20, "a kept page")

    broken = one.replace("b::text", "b.price::text")
    state = client.api("POST", "/projects/shop/check", {"script": broken})
    kept = state["answer"]["pages"]
    assert state["answer"]["summary"] == [f"page: price: {kept} of {kept} -> 0 of {kept}"]

    # nothing of that was stored, sent or counted
    before = client.api("GET", "/projects/shop/versions")["total"], len(site.requests)
    task = {"url": "data:,on_start", "process": {"callback": "on_start"}}
    step = client.api("POST", "/projects/shop/debug", {"script": broken, "task": task})
    assert step["answer"]["follow_count"] == 3
    client.api("POST", "/projects/shop/debug", {"script": broken, "task": step["answer"]["follows"][0]})
    assert (client.api("GET", "/projects/shop/versions")["total"], len(site.requests) - 1) == before
    assert versions_of(whole) == {1}

    # pinned to the first version, the project runs it whatever is saved
    client.api("PUT", "/projects/shop/pin", {"version": first["version"]})
    saved = save(
        client, one.replace("return {", "return {'new': 1, ").replace("itag=1", "itag=2").replace("'v': 1", "'v': 2")
    )
    assert saved["status"] == "RUNNING"
    count = len(site.requests)
    run(whole)
    until(lambda: len(site.requests) >= count + 3, 20, "another crawl")
    assert versions_of(whole) == {1}
    client.api("PUT", "/projects/shop/pin", {"version": None})
    until(lambda: run(whole) and versions_of(whole) == {2}, 30, "results of the newest version")


def save(client: Client, script: str) -> Any:
    saved = client.api("PUT", "/projects/shop/script", {"script": script})
    assert saved["scheduler"] == "told"
    return saved


def start(whole: Running) -> None:
    settings = Settings(data_path=whole.data_path)
    with wiring.open_stores(settings, ("projectdb",)) as stores:
        row = stores.projectdb.get("shop")
        assert row is not None
        row.status = "RUNNING"
        stores.projectdb.put(row)
    client = wiring.control_client(settings)
    client.update_project()
    client.run("shop")
    client.close()


def run(whole: Running) -> bool:
    client = wiring.control_client(Settings(data_path=whole.data_path))
    client.run("shop")
    client.close()
    return True


def versions_of(whole: Running) -> set[int]:
    with wiring.open_stores(Settings(data_path=whole.data_path), ("resultdb",)) as stores:
        rows = [msgspec.json.decode(row.result) for row in stores.resultdb.select("shop")]
    return {row["v"] for row in rows} if len(rows) == 3 else set()
