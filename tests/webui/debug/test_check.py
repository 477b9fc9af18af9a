"""Changed scripts on kept pages, with real processes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from crawlkit.database.base import BlobStore, ProjectRow, ProjectStore
from crawlkit.libs.messages import NIL, TASK, Dispatch, Fetched, encode
from crawlkit.libs.task import Fetch, Schedule, taskid_of
from crawlkit.processor.keeper import kept_page
from crawlkit.webui.debug.engine import Debugger
from crawlkit.webui.problem import Problem

from .conftest import HEAD, ME

FIVE = """
    def index_page(self, response):
        for link in response.css("a::attr(href)").getall():
            self.crawl(link, callback=self.detail_page)

    def detail_page(self, response):
        return {
            "title": response.css("h1::text").get(),
            "price": response.css("span.price::text").get(),
            "stock": response.css("span.stock::text").get(),
            "brand": response.css("span.brand::text").get(),
            "text": response.css("p::text").get(),
        }
"""
SCRIPT = HEAD + FIVE.lstrip("\n")


def page(n: int, callback: str, html: str) -> Fetched:
    url = f"http://shop.example/{callback}/{n}"
    task = Dispatch("shop", taskid_of(url), 1, 1, url, "old", callback, 0, TASK, Schedule(), Fetch(), NIL, 0)
    return Fetched(task, 200, url, url, [("Content-Type", "text/html")], {}, 0.1, content=html.encode())


def product(n: int) -> str:
    old = "price" if n < 3 else "price amount"
    return (
        f"<h1>Thing {n}</h1><span class='{old}'>{n}.50</span><span class='stock'>{n}</span>"
        f"<span class='brand'>B</span><p>About {n}</p>"
    )


@pytest.fixture
def shop(projectdb: ProjectStore, blobdb: BlobStore) -> Iterator[str]:
    """A project that runs SCRIPT, with 20 product pages and 3 lists kept."""
    row = projectdb.put(ProjectRow("shop", status="RUNNING", script=SCRIPT))
    pages = [page(n, "detail_page", product(n)) for n in range(20)]
    pages += [page(n, "index_page", "".join(f"<a href='/d/{i}'>x</a>" for i in range(20))) for n in range(3)]
    kept = [one for number, fetched in enumerate(pages) if (one := kept_page(encode(fetched), float(number)))]
    blobdb.keep_pages(kept, 20, 10**9)
    yield row.version
    blobdb.drop_kept("shop")
    projectdb.drop("shop")


def check(debugger: Debugger, script: str, **said: Any) -> dict[str, Any]:
    state = debugger.check(ME, "shop", script, wait=20, **said)
    assert state["state"] == "done", state
    answer: dict[str, Any] = state["answer"]
    return answer


def test_shows_9_a_save_that_breaks_one_selector_is_flagged_with_the_fields_name(debugger: Debugger, shop: str) -> None:
    broken = SCRIPT.replace("span.price::text", "span[class=price]::text")
    answer = check(debugger, broken)
    assert not answer["ok"]
    assert answer["summary"] == ["detail_page: price: 20 of 20 -> 3 of 20"]
    assert (answer["pages"], answer["checked"], answer["complete"], answer["error"]) == (23, 23, True, None)
    worst, other = answer["callbacks"]
    assert (worst["callback"], worst["verdict"], worst["pages"]) == ("detail_page", "worse", 20)
    assert [field["verdict"] for field in worst["fields"]] == ["fewer", "same", "same", "same", "same"]
    assert worst["fields"][0]["field"] == "price"
    example = worst["fields"][0]["examples"][0]
    assert (example["old"], example["new"]) == ("19.50", None)
    assert debugger.page(ME, example["page"]).url == example["url"]
    assert (other["callback"], other["verdict"], other["follows"]) == ("index_page", "same", {"old": 60, "new": 60})


def test_a_change_that_loses_nothing_is_good(debugger: Debugger, shop: str) -> None:
    better = SCRIPT.replace('"text": ', '"url": response.url,\n            "text": ')
    answer = check(debugger, better)
    assert answer["ok"]
    assert answer["summary"] == ["detail_page: url: 0 of 20 -> 20 of 20"]


def test_a_callback_that_is_gone_and_fewer_links(debugger: Debugger, shop: str) -> None:
    text = SCRIPT.replace("def detail_page", "def product_page").replace("self.detail_page", "'index_page'")
    answer = check(debugger, text.replace('"a::attr(href)"', '"a:first-child::attr(href)"'))
    assert not answer["ok"]
    assert answer["summary"][0] == "detail_page: there is no such callback any more"
    assert "index_page: follow-ups: 60 -> 3" in answer["summary"]


def test_new_exceptions_are_named_with_their_line(debugger: Debugger, shop: str) -> None:
    answer = check(
        debugger, SCRIPT.replace('"price": ', '"price": 1 / (int(response.css("h1::text").get()[6:]) - 5) and ')
    )
    assert answer["summary"][0] == "detail_page: fails on 1 of 20 pages: ZeroDivisionError: division by zero (line 12)"


def test_scripts_that_do_not_load(debugger: Debugger, shop: str, projectdb: ProjectStore) -> None:
    answer = check(debugger, "x = (")
    assert not answer["ok"]
    assert (answer["error"]["kind"], answer["error"]["line"]) == ("script", 1)
    projectdb.put(ProjectRow("shop", script="x = ("))
    answer = check(debugger, SCRIPT)
    assert answer["ok"]
    assert "nothing to compare" in answer["reason"]
    answer = check(debugger, "x = (")
    assert "the one that runs now" in answer["reason"]


def test_the_pinned_version_or_a_named_one_is_the_old_one(
    debugger: Debugger, shop: str, projectdb: ProjectStore
) -> None:
    broken = SCRIPT.replace("h1::text", "h2::text")
    newest = projectdb.put(ProjectRow("shop", script=broken, pin=shop))
    assert check(debugger, broken)["summary"] == ["detail_page: title: 20 of 20 -> 0 of 20"]
    assert "the one that runs now" in check(debugger, broken, old=newest.version)["reason"]


def test_callbacks_that_await_are_left_out(debugger: Debugger, shop: str) -> None:
    waits = "async def detail_page(self, response):\n        await self.fetch('http://a/')"
    text = SCRIPT.replace("def detail_page(self, response):", waits)
    answer = check(debugger, text)
    detail = next(one for one in answer["callbacks"] if one["callback"] == "detail_page")
    assert (detail["skipped"], detail["pages"]) == (20, 0)


def test_hostile_scripts_end_within_the_budget(debugger: Debugger, shop: str) -> None:
    for body in ("while True: pass", "import os; os._exit(1)", "return 'x' * 10**9"):
        text = HEAD + textwrap.indent(f"def detail_page(self, response):\n    {body}\n", "    ")
        answer = check(debugger, text, budget=2)
        assert not answer["ok"]
        assert answer["seconds"] < 6


def test_nothing_kept_and_nothing_there(
    debugger: Debugger, projectdb: ProjectStore, shop: str, blobdb: BlobStore
) -> None:
    blobdb.drop_kept("shop")
    answer = check(debugger, SCRIPT + "\n")
    assert answer["ok"]
    assert answer["reason"] == "no pages are kept yet"
    with pytest.raises(Problem, match="no project"):
        debugger.check(ME, "nowhere", SCRIPT)


def test_a_kept_page_is_debugged_without_a_fetch(debugger: Debugger, shop: str) -> None:
    (kept, *_) = debugger.kept_pages("shop", "detail_page")
    task = {"url": kept.url, "process": {"callback": "detail_page"}}
    answer = debugger.step(ME, "shop", task, page=f"kept-{kept.page}", wait=20)["answer"]
    assert answer["results"][0]["title"] == "Thing 19"
    assert answer["request"] is None
    with pytest.raises(Problem, match="no page"):
        debugger.page(ME, f"kept-{kept.page}", "another")
