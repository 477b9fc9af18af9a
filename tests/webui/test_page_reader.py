"""The reader process: what it answers, and that a hostile page or selector costs nobody else anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from crawlkit.webui import page_reader
from crawlkit.webui.page_reader import PageReader
from crawlkit.webui.page_worker import Source
from crawlkit.webui.problem import Problem
from tests.webui.crawled import Site, fetch, site
from tests.webui.servers import Client, Running, until

SHELF = Source(
    b"<html><body><ul><li>a</li><li>b</li><li>c</li></ul></body></html>", "text/html", "http://x.test/", None
)
SLOW = "//*[count(//*[count(//*[count(//*) > 1]) > 1]) > 1]"


@pytest.fixture
def reader() -> Iterator[PageReader]:
    made = PageReader(1)
    yield made
    made.close()


def pages_of(reader: PageReader) -> list[psutil.Process]:
    """The processes that it has."""
    return [psutil.Process(line._process.pid) for line in reader._lines if line._process is not None]


def test_it_shows_proposes_and_evaluates(reader: PageReader) -> None:
    preview = reader.preview("k", SHELF, "nonce", "channel-0123456789", False)
    assert preview.kind == "html"
    assert '<li data-ck="3">a</li>' in preview.html
    proposal = reader.propose("k", SHELF, [3, 4])
    assert (proposal.css, proposal.count, proposal.values) == ("li", 3, ["a", "b", "c"])
    assert reader.evaluate("k", SHELF, css="li:first-child", ending="text").values == ["a"]
    composed = reader.evaluate("k", SHELF, features=[[["tag", "ul"]], [["tag", "li"]]], ending="text")
    assert (composed.css, composed.xpath, composed.count) == ("ul li", "//ul//li", 3)
    assert composed.insert_xpath == 'response.xpath("//ul//li/text()").getall()'
    assert "not a CSS selector" in reader.evaluate("k", SHELF, css="li >").problem
    with pytest.raises(Problem, match="no element 99") as refused:
        reader.propose("k", SHELF, [99])
    assert refused.value.status == 422


def test_a_page_is_sent_once_and_again_to_a_new_process(reader: PageReader) -> None:
    reader.propose("k", SHELF, [3])
    gone = Source(b"", "text/html", "", None)  # were it sent again, it would have no elements
    assert reader.propose("k", gone, [3]).count == 1
    pages_of(reader)[0].kill()
    until(lambda: reader._lines[0]._process.poll() is not None)  # type: ignore[union-attr]
    assert reader.propose("k", SHELF, [3]).count == 1
    for number in range(9):  # more than are kept
        reader.propose(str(number), SHELF, [3])
    assert reader.propose("k", SHELF, [3]).count == 1


def test_a_hostile_selector_is_ended_in_time_and_the_next_is_answered(
    reader: PageReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_reader, "EVALUATE_WITHIN", 0.5)
    big = Source(b"<html><body>" + b"<p><b>x</b></p>" * 3_000, "text/html", "", None)
    reader.propose("big", big, [3])
    process = pages_of(reader)[0]
    start = time.monotonic()
    with pytest.raises(Problem, match="given up after") as refused:
        reader.evaluate("big", big, xpath=SLOW)
    assert refused.value.status == 422
    assert time.monotonic() - start < 5
    assert not process.is_running()
    assert reader.evaluate("k", SHELF, css="li").count == 3


def test_a_page_that_takes_too_much_memory_is_refused_or_said_and_the_next_is_answered() -> None:
    reader = PageReader(1, memory=400 << 20)
    # a tree of tiny elements takes some fifty times what its text takes
    large = Source(b"<html><body>" + b"<b>x</b>" * 2_000_000, "text/html", "", None)
    assert "Nothing could be read" in reader.preview("large", large, "n", "channel-0123456789", False).notes[0]
    larger = Source(b"<html><body>" + b"<b>x</b>" * 30_000_000, "text/html", "", None)
    with pytest.raises(Problem, match="more memory than there is") as refused:
        reader.preview("larger", larger, "n", "channel-0123456789", False)
    assert refused.value.status == 422
    assert reader.evaluate("k", SHELF, css="li").count == 3
    reader.close()


def test_it_ends_with_its_owner() -> None:
    made: list[PageReader] = [PageReader(1)]
    made[0].evaluate("k", SHELF, css="li")
    process = pages_of(made[0])[0]
    assert process.is_running()
    made.clear()
    until(lambda: not process.is_running(), what="the end of the reader process")


def test_many_at_once_are_answered(reader: PageReader) -> None:
    found: list[Any] = []
    ask = [
        threading.Thread(target=lambda n=n: found.append(reader.evaluate(str(n % 3), SHELF, css="li").count))
        for n in range(20)
    ]
    for thread in ask:
        thread.start()
    for thread in ask:
        thread.join()
    assert found == [3] * 20


@pytest.fixture
def crawled() -> Iterator[Site]:
    with site() as made:
        yield made


def test_the_api_proposes_and_evaluates_on_a_page_of_the_debugger(
    server: Running, client: Client, crawled: Site
) -> None:
    page = fetch(client, crawled.put("/", SHELF.body))
    proposal = client.api("POST", "/projects/shop/selector/propose", {"page": page, "picked": [3, 5]})
    assert (proposal["css"], proposal["count"]) == ("li", 3)
    assert proposal["endings"][0] == {"name": "text", "css": "::text", "xpath": "/text()"}
    found = client.api("POST", "/projects/shop/selector/evaluate", {"page": page, "xpath": "//li[2]/text()"})
    assert (found["values"], found["insert_xpath"]) == (["b"], 'response.xpath("//li[2]/text()").get()')
    assert client.api("POST", "/projects/shop/selector/evaluate", {"page": page, "css": "["})["problem"]
    for body, status in (
        ({"page": "nosuch", "picked": [3]}, 404),
        ({"page": page, "picked": []}, 400),
        ({"page": page, "picked": [99]}, 422),
        ({"page": page, "picked": [-1]}, 400),
    ):
        assert client.request("POST", "/api/v1/projects/shop/selector/propose", body).status == status, body
    for body in ({"page": page}, {"page": page, "css": "a", "xpath": "//a"}, {"page": page, "css": ""}):
        assert client.request("POST", "/api/v1/projects/shop/selector/evaluate", body).status == 400, body
    other = {"page": page, "picked": [3]}
    assert client.request("POST", "/api/v1/projects/other/selector/propose", other).status == 404
