"""Sitemaps of every kind, the hostile ones too, and what self.crawl_sitemap asks for."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit import BaseHandler, Response
from crawlkit.libs import sitemap
from crawlkit.libs.collector import Collector
from crawlkit.libs.crawler import Crawler
from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.sitemap import BadSitemap, Entry, entries, is_newer, moment
from crawlkit.libs.task import Schedule, Task

NS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
PAGES = f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- made by hand -->
<urlset {NS} xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
  <url><loc> http://a.com/1?x=1&amp;y=2 </loc><lastmod>2024-01-02</lastmod><image:image><image:loc>http://i/</image:loc>
  </image:image></url>
  <url><loc>http://a.com/2</loc></url><url><loc></loc></url><url/>
</urlset>""".encode()
INDEX = (
    f"<sitemapindex {NS}><sitemap><loc>http://a.com/s1.xml.gz</loc><lastmod>2024-05</lastmod></sitemap></sitemapindex>"
)


@pytest.mark.parametrize(
    "body", [PAGES, gzip.compress(PAGES), b"\xef\xbb\xbf\n" + PAGES, PAGES.replace(NS.encode(), b"")]
)
def test_pages(body: bytes) -> None:
    assert list(entries(body)) == [Entry("http://a.com/1?x=1&y=2", "2024-01-02"), Entry("http://a.com/2")]


def test_indexes_text_and_robots() -> None:
    assert list(entries(INDEX.encode())) == [Entry("http://a.com/s1.xml.gz", "2024-05", True)]
    assert list(entries(b"http://a.com/1\r\n\r\n https://a.com/2 \nnothing\n")) == [
        Entry("http://a.com/1"),
        Entry("https://a.com/2"),
    ]
    robots = b"User-agent: *\nDisallow: /x\nSitemap: http://a.com/s.xml\nsitemap:http://a.com/t.xml # more\n"
    assert list(entries(robots)) == [Entry("http://a.com/s.xml", None, True), Entry("http://a.com/t.xml", None, True)]
    assert list(entries(b"")) == []


def test_broken_xml_gives_what_can_be_read() -> None:
    body = PAGES.replace(b"</urlset>", b"<url><loc>http://a.com/3</loc></url><url><loc>http://a.c")
    assert [entry.url for entry in entries(body)][:3] == ["http://a.com/1?x=1&y=2", "http://a.com/2", "http://a.com/3"]


@pytest.mark.parametrize(
    "entity",
    [
        '<!ENTITY x SYSTEM "file:///etc/passwd">',
        '<!ENTITY x SYSTEM "http://127.0.0.1:1/">',
        '<!ENTITY % y SYSTEM "http://127.0.0.1:1/"> %y;',
        "".join(f'<!ENTITY {a} "{("&" + b + ";") * 10}">' for a, b in zip("xbcdefghij", "bcdefghijk", strict=True))
        + '<!ENTITY k "k">',
    ],
)
def test_entities_are_neither_expanded_nor_loaded(entity: str) -> None:
    body = f"<!DOCTYPE urlset [{entity}]><urlset><url><loc>http://a.com/&x;</loc></url></urlset>".encode()
    assert all(len(entry.url) < 100 and "root:" not in entry.url for entry in entries(body))


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(b"\0" * (sitemap.MAX_BYTES + 1000))
    with pytest.raises(BadSitemap, match="over 67,108,864 bytes when it is decompressed"):
        list(entries(bomb))
    with pytest.raises(BadSitemap, match="broken gzip"):
        list(entries(b"\x1f\x8bnothing"))
    monkeypatch.setattr(sitemap, "MAX_ENTRIES", 2)
    assert len(list(entries(b"http://a.com/\n" * 5))) == 2


def test_a_large_sitemap_takes_little_more_than_its_text() -> None:
    body = b"<urlset>" + b"<url><loc>http://a.com/some/page.html</loc></url>" * 60_000 + b"</urlset>"
    tracemalloc.start()
    assert sum(1 for _ in entries(body)) == 60_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


@given(st.binary(max_size=300))
def test_any_bytes_end_in_entries_or_words(body: bytes) -> None:
    for content in (body, b"<urlset>" + body, b"\x1f\x8b" + body):
        with contextlib.suppress(BadSitemap):
            assert all(isinstance(entry.url, str) for entry in entries(content))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC)),
        ("2024", datetime(2024, 1, 1, tzinfo=UTC)),
        ("2024-03", datetime(2024, 3, 1, tzinfo=UTC)),
        ("2024-03-01T10:20:30Z", datetime(2024, 3, 1, 10, 20, 30, tzinfo=UTC)),
        (" 2024-03-01T10:20:30.5+02:00 ", datetime(2024, 3, 1, 8, 20, 30, 500_000, tzinfo=UTC)),
        (date(2024, 1, 2), datetime(2024, 1, 2, tzinfo=UTC)),
        (datetime(2024, 1, 2, 3), datetime(2024, 1, 2, 3, tzinfo=UTC)),
        (datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=2))), datetime(2024, 1, 1, 22, tzinfo=UTC)),
        ("yesterday", None),
        ("2024-13", None),
        ("", None),
    ],
)
def test_times(said: Any, expected: datetime | None) -> None:
    assert moment(said) == expected


def test_what_has_no_usable_lastmod_may_be_new() -> None:
    since = datetime(2024, 1, 1, tzinfo=UTC)
    assert [is_newer(text, since) for text in ("2023-12-31", "2024-01-01", None, "lately")] == [False, True, True, True]


class Shop(BaseHandler):
    def page(self, response: Response) -> None: ...


def play(response: Response, *args: Any, **kwargs: Any) -> list[Task]:
    """The tasks of one call of crawl_sitemap, or without arguments, of the callback that gets the sitemap."""
    handler, collector = Shop(), Collector()
    handler.project_name = "shop"
    Crawler(handler).begin(collector, response, {}, {})
    if args:
        handler.crawl_sitemap(*args, **kwargs)
    else:
        handler._on_sitemap(response)
    return [msgspec.msgpack.decode(follow.task, type=Task) for follow in collector.follows]


def fetched(task: Task, body: bytes) -> Response:
    assert task.fetch is not None
    return Response(task.url, content=body, save=task.fetch.save)


def test_a_sitemap_leads_to_its_pages() -> None:
    (asked,) = play(
        Response("http://a.com/"), "/sitemap.xml", Shop.page, follow=r"/1|\.gz$", since="2024-01-01", age=60,
        headers={"A": "b"}, save={"n": 1},
    )  # fmt: skip
    assert asked.url == "http://a.com/sitemap.xml"
    assert asked.schedule == Schedule(age=0)
    assert asked.fetch is not None
    assert asked.fetch.headers == {"A": "b"}
    assert asked.process is not None
    assert asked.process.callback == "_on_sitemap"
    (page,) = play(fetched(asked, PAGES))
    assert page.url == "http://a.com/1?x=1&y=2"
    assert page.schedule == Schedule(age=60)
    assert page.fetch is not None
    assert (page.fetch.headers, page.fetch.save) == ({"A": "b"}, {"n": 1})
    assert page.process is not None
    assert page.process.callback == "page"


def test_indexes_lead_on_but_not_for_ever() -> None:
    (task,) = play(Response("http://a.com/"), "http://a.com/sitemap.xml", "page")
    depths = []
    for _ in range(10):
        found = play(fetched(task, INDEX.encode()))
        if not found:
            break
        (task,) = found
        assert task.fetch is not None
        depths.append(task.fetch.save["depth"])
    assert depths == [1, 2, 3]
    (page, *_) = play(fetched(task, gzip.compress(PAGES)))
    assert page.process is not None
    assert page.process.callback == "page"


def test_since_leaves_out_what_is_older() -> None:
    (task,) = play(Response("http://a.com/"), "http://a.com/s.xml", "page", since=date(2024, 6, 1))
    assert play(fetched(task, INDEX.encode())) == []
    assert [page.url for page in play(fetched(task, PAGES))] == ["http://a.com/2"]


def test_several_sitemaps_and_their_identities() -> None:
    one, two = play(Response("http://a.com/"), ["http://a.com/s.xml", "http://a.com/t.xml"], "page")
    (again,) = play(Response("http://a.com/"), "http://a.com/s.xml", "page")
    (other,) = play(Response("http://a.com/"), "http://a.com/s.xml", "page", follow="x")
    assert again.taskid == one.taskid
    assert len({one.taskid, two.taskid, other.taskid}) == 3


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        ({"follow": "("}, ValueError, "no regular expression"),
        ({"since": "soon"}, ValueError, "is no date"),
        ({"colour": 1}, TypeError, r"crawl_sitemap\(\) got unexpected arguments: colour"),
        ({"age": "x"}, InvalidTask, "schedule.age"),
        ({"callback": "nothing"}, NotImplementedError, "not implemented"),
    ],
)
def test_wrong_arguments_are_told_at_once(kwargs: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        play(Response("http://a.com/"), "http://a.com/s.xml", **{"callback": "page", **kwargs})
