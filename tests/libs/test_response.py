from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs.errors import FETCH_ERROR_KINDS
from crawlkit.libs.headers import Headers
from crawlkit.libs.messages import NIL, TASK, Dispatch, Fetched
from crawlkit.libs.response import HTTPError, Response
from crawlkit.libs.task import Fetch, Schedule

URL = "http://a.com/dir/page.html"
PAGE = b"""<!DOCTYPE html><html><head><title> A  page </title></head><body>
<a href="x.html#top">one</a> <a href="/y?a=1">two</a> <a href="http://b.com/z">three</a> <a href="x.html">again</a>
<a href="mailto:a@b.c">mail</a> <a href="javascript:void(0)">js</a> <a>none</a> <a href="">self</a>
<img src="i.png"><form action="go"></form><p class="price">12.50</p></body></html>"""


def page(content: bytes = PAGE, content_type: str = "text/html", url: str = URL, **kwargs: Any) -> Response:
    return Response(url, content=content, headers={"Content-Type": content_type}, **kwargs)


def test_from_a_fetchers_answer() -> None:
    dispatch = Dispatch("p", "t", 1, 1, "http://a.com/", "v", "x", 0, TASK, Schedule(), Fetch(save={"a": 1}), NIL, 0)
    headers = [("A", "1"), ("a", "2")]
    fetched = Fetched(dispatch, 200, URL, "http://a.com/", headers, {"c": "d"}, 0.5, content=b"x")
    fetched.history = [(302, "http://a.com/")]
    response = Response.of(fetched)
    assert (response.status_code, response.url, response.orig_url, response.time) == (200, URL, "http://a.com/", 0.5)
    assert (response.content, response.cookies, response.save) == (b"x", {"c": "d"}, {"a": 1})
    assert response.history == [(302, "http://a.com/")]
    assert response.headers["a"] == "1,2"
    assert response.headers.getlist("A") == ["1", "2"]
    assert (response.error, response.error_kind, response.traceback, response.js_script_result) == (None,) * 4
    assert repr(response) == "<Response [200]>"
    fetched.js_script_result = {"rows": 3}
    assert Response.of(fetched).js_script_result == {"rows": 3}


@pytest.mark.parametrize(
    ("status", "error", "kind", "problem"),
    [
        (200, None, None, None),
        (204, None, None, None),
        (302, "HTTP 302: Found", None, None),  # 3xx is good
        (304, "HTTP 304: Not Modified", None, None),
        (404, None, None, "HTTP 404: Not Found"),
        (418, "HTTP 418: x", None, "HTTP 418: I'm a Teapot"),
        (499, None, None, "HTTP 499: Client Error"),
        (500, None, None, "HTTP 500: Internal Server Error"),
        (599, None, None, "HTTP 599: no response"),
        (599, "could not resolve", "dns", "could not resolve"),
        (599, None, "dns", "HTTP 599: dns"),
        (600, None, None, None),
        (600, "odd", None, "odd"),
        (403, "Disallowed by robots.txt", "robots", "Disallowed by robots.txt"),
        (501, "no browser", "no_browser", "no browser"),
        (200, "cut off", "reset", "cut off"),
        (200, "cut off", None, "cut off"),
    ],
)
def test_good_or_not(status: int, error: str | None, kind: str | None, problem: str | None) -> None:  # H91, H92
    assert kind is None or kind in FETCH_ERROR_KINDS
    response = Response(URL, status_code=status, error=error, error_kind=kind)
    assert response.ok is response.isok() is bool(response) is (problem is None)
    if problem is None:
        response.raise_for_status()
        return
    with pytest.raises(HTTPError) as caught:
        response.raise_for_status()
    assert str(caught.value) == problem
    assert caught.value.response is response
    assert caught.value.kind == kind


def test_redirects_raise_when_told_to() -> None:
    with pytest.raises(HTTPError, match="HTTP 302"):
        Response(URL, status_code=302).raise_for_status(allow_redirects=False)
    Response(URL, status_code=304).raise_for_status(allow_redirects=False)


def test_text_and_encoding() -> None:  # H93, H94
    response = page("Füße".encode("latin-1"), "text/html; charset=latin-1")
    assert (response.encoding, response.text) == ("cp1252", "Füße")
    response.encoding = "utf-8"
    assert response.text == "F\ufffd\ufffde"
    response.encoding = "klingon"
    assert response.encoding == "utf-8"
    assert Response(URL, content="é").text == "é"
    assert page(b"\xef\xbb\xbfx").text == "x"
    assert page("中".encode("gb18030"), "text/html; charset=gb2312").text == "中"


def test_setting_the_encoding_reads_the_document_anew() -> None:
    response = page("<h1>中文</h1>".encode("gbk"), "text/html; charset=latin-1")
    assert response.css("h1::text").get() != "中文"
    response.encoding = "gbk"
    assert response.css("h1::text").get() == "中文"
    assert response.doc("h1").text() == "中文"
    assert response.etree.findtext(".//h1") == "中文"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b"\xef\xbb\xbf[1]", [1]),
        ('{"a": "é"}'.encode("latin-1"), {"a": "é"}),
        (b"[NaN]", "nan"),
        (b"<html>", None),
        (b"", None),
        (b"[" * 100_000, None),
    ],
)
def test_json_or_none(content: bytes, expected: Any) -> None:
    found = page(content, "application/json; charset=latin-1" if b"\xe9" in content else "application/json").json
    assert str(found[0]) == "nan" if expected == "nan" else found == expected


def test_doc_reads_links_as_absolute() -> None:  # what pyspider scripts do
    response = page()
    assert [each.attr.href for each in response.doc('a[href^="http"]').items()] == [
        "http://a.com/dir/x.html#top",
        "http://a.com/y?a=1",
        "http://b.com/z",
        "http://a.com/dir/x.html",
        URL,
    ]
    assert response.doc("img").attr("src") == "http://a.com/dir/i.png"
    assert response.doc("img").attr["src"] == "http://a.com/dir/i.png"
    assert response.doc("form").attr.action == "http://a.com/dir/go"
    assert response.doc("a[href^=mailto]").attr.href == "mailto:a@b.c"
    assert response.doc("title").text() == "A page"


def test_css_reads_links_as_they_are_written_also_after_doc() -> None:
    response = page()
    response.doc("a")
    assert response.css("a::attr(href)").get() == "x.html#top"
    assert response.etree.xpath("//a/@href")[0] == "x.html#top"


def test_css_and_xpath() -> None:
    response = page()
    assert response.css("p.price::text").get() == "12.50"
    assert response.xpath("//p/text()").getall() == ["12.50"]
    assert response.css("body").css("p").attrib == {"class": "price"}
    assert response.css("p").get() == '<p class="price">12.50</p>'
    assert response.css("p::text").re_first(r"\d+") == "12"
    assert response.css("none::text").get() is None
    assert response.xpath("count(//a)").get() == "8.0"
    assert response.xpath("//a[@href=$h]/text()", h="x.html").get() == "again"
    assert response.xpath("//a[re:test(@href, '^/y')]/text()").get() == "two"
    with pytest.raises(ValueError, match="XPath error"):
        response.xpath("//a[")


def test_links() -> None:
    expected = ["http://a.com/dir/x.html", "http://a.com/y?a=1", "http://b.com/z"]
    assert page().links() == expected
    assert page().links("a[href^='/']") == ["http://a.com/y?a=1"]
    assert page(b"").links() == []


def test_base_is_honoured() -> None:
    response = page(b'<head><base target=x><BASE HREF="//b.com/q/"></head><a href="x">')
    assert response.base_url == "http://b.com/q/"
    assert response.urljoin("x") == "http://b.com/q/x"
    assert response.doc("a").attr.href == "http://b.com/q/x"
    assert response.links() == ["http://b.com/q/x"]


def test_urljoin_keeps_what_makes_no_url() -> None:
    assert page().urljoin("http://[") == "http://["
    assert page().urljoin("../x") == "http://a.com/x"


@pytest.mark.parametrize(
    "content",
    [
        *[
            b"",
            b" \n",
            b"\0",
            b"\0" * 100,
            b"<",
            b"</",
            b"<!--",
            b"<!-- x -->",
            b"<?xml?>",
            b"<!DOCTYPE html>",
            b"plain",
        ],
        *[
            b"{}",
            b"\xff\xfe",
            b"\xfe\xff\0",
            b"<html><body><p>" * 500,
            b"<a " + b"x=1 " * 5000,
            b"<svg:a xmlns:svg='x'>",
        ],
        *[b"<title>", b"<base href>", b"<a href>", b"<script>", b"&#0;&#xd800;&#x110000;", b"GIF89a\x01\0\x01\0"],
    ],
)
def test_empty_and_broken_documents_are_empty_documents(content: bytes) -> None:
    for content_type in ("text/html", "text/html; charset=utf-16", "text/html; charset=gbk", "application/xml"):
        response = page(content, content_type)
        assert response.doc("h1").text() == ""
        assert response.css("h1::text").get() is None
        assert response.xpath("//h1").getall() == []
        assert response.etree.findtext(".//h1") is None
        assert response.links() == []
        assert response.urljoin("x") == "http://a.com/dir/x"
        assert isinstance(response.text, str)


@given(
    st.binary(max_size=300),
    st.sampled_from(["", "utf-8", "utf-16", "gb2312", "big5", "shift_jis", "utf-7", "cp437", "hz", "iso-2022-jp"]),
)
def test_any_body_can_be_read(content: bytes, charset: str) -> None:
    response = page(content, f"text/html; charset={charset}")
    response.doc("a").text()
    response.css("a::attr(href)").getall()
    response.links()
    response.json  # noqa: B018


def test_text_after_a_nul_is_not_lost() -> None:
    assert page(b"<h1>a\0b</h1><p>c").css("p::text").get() == "c"


def test_a_document_in_an_encoding_libxml2_does_not_know() -> None:
    response = page("<h1>ﾃｽﾄ</h1>".encode("cp932"), "text/html; charset=cp932")
    assert response.css("h1::text").get() == "ﾃｽﾄ"


def test_xml_is_read_as_xml() -> None:
    feed = b'<?xml version="1.0"?><rss><item><link>http://a.com/1</link></item></rss>'
    assert page(feed, "application/rss+xml").xpath("//item/link/text()").get() == "http://a.com/1"
    assert page(feed, "text/xml; charset=utf-8").css("item > link::text").get() == "http://a.com/1"


def test_documents_deeper_than_any_page() -> None:
    assert page(b"<div>" * 1000 + b"<h1>x</h1>").css("h1::text").get() == "x"


def test_headers_do_not_mind_about_case() -> None:
    headers = Headers([("Content-Type", "x"), ("Set-Cookie", "a=1"), ("set-cookie", "b=2")])
    assert headers["CONTENT-type"] == "x"
    assert headers["Set-Cookie"] == "a=1,b=2"
    assert headers.getlist("SET-COOKIE") == ["a=1", "b=2"]
    assert headers.get("none", "y") == "y"
    assert "content-TYPE" in headers
    assert 5 not in headers
    assert dict(headers) == {"Content-Type": "x", "Set-Cookie": "a=1,b=2"}
    headers["CONTENT-TYPE"] = "z"
    del headers["set-cookie"]
    assert list(headers.items()) == [("CONTENT-TYPE", "z")]
    assert len(headers) == 1
    assert repr(headers) == "Headers({'CONTENT-TYPE': 'z'})"
    with pytest.raises(KeyError):
        headers["none"]
