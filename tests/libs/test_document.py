from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyquery import PyQuery

from crawlkit.libs import crowded_tags, document
from crawlkit.libs.document import Doc, base_of, make_links_absolute, parse_html
from crawlkit.libs.selector import PageSelector, html_selector
from crawlkit.libs.url import Joiner

HTML = """<html><body id="b"><div class="a"><p>one <b>two</b></p><p class="x y">three</p></div>
<div class="c"><input name="q" value="v" checked><a href="/l" class="z">link</a><textarea>t</textarea>
</div></body></html>"""


def both() -> tuple[Any, Any]:
    return Doc(parse_html(HTML.encode(), "utf-8")), PyQuery(HTML)


@pytest.mark.parametrize(
    "read",
    [
        lambda d: d("p").text(),
        lambda d: d("p").eq(1).text(),
        lambda d: d("p:first").text(),
        lambda d: d("p:last").text(),
        lambda d: d("p:eq(1)").text(),
        lambda d: d("div p").length,
        lambda d: [each.text() for each in d("p").items()],
        lambda d: [each.text() for each in d("div").items("p")],
        lambda d: [each("b").text() for each in d.items("div")],
        lambda d: d("div").find("b").text(),
        lambda d: d("b").parent().html(),
        lambda d: d("b").parents("div").attr("class"),
        lambda d: d("b").closest("div").attr.class_,
        lambda d: d("p").filter(".x").text(),
        lambda d: d("p").not_(".x").text(),
        lambda d: d("p").hasClass("x"),
        lambda d: d("div").children().length,
        lambda d: d("p.x").siblings().text(),
        lambda d: d("p").next().text(),
        lambda d: d("input").val(),
        lambda d: d("textarea").text(),
        lambda d: d("a").attr("href"),
        lambda d: d("a").attr.href,
        lambda d: d("a").attr["class"],
        lambda d: d("none").attr.href,
        lambda d: d("none").attr("href"),
        lambda d: d("none").text(),
        lambda d: d("p").map(lambda i, e: i),
        lambda d: d("a").outerHtml(),
        lambda d: d("p").remove("b").text(),
        lambda d: d("a").attr("href", "/m").attr.href,
        lambda d: d("a").attr(href="/n").attr.href,
        lambda d: d("p").add_class("n").attr("class"),
        lambda d: d("div.c").make_links_absolute("http://a.com/").find("a").attr.href,
        lambda d: (d("p") + d("a")).text(),
        lambda d: d("").length,
        lambda d: d("a, b").length,
        lambda d: d("p").end().length,
        lambda d: str(d("p.x")),
        lambda d: repr(d("p")),
        lambda d: d("a[@href]").length,
        lambda d: d("<i>new</i>").text(),
        lambda d: d("p").each(lambda i, e: None).length,
        lambda d: d("b", d("p")).length,
    ],
)
def test_doc_does_what_pyquery_does(read: Any) -> None:
    ours, theirs = both()
    assert read(ours) == read(theirs)


def test_attributes_can_be_set_and_deleted() -> None:
    doc, _ = both()
    doc("a").attr.href = "/new"
    assert doc("a").attr.href == "/new"
    doc("a").attr["href"] = "/newer"
    assert doc("a").attr("href") == "/newer"
    del doc("a").attr.href
    assert doc("a").attr.href is None
    del doc("a").attr["class"]
    assert doc("a").attr.class_ is None
    assert "attr" not in doc("a").attr.__class__.__name__.lower() or doc("a").attr is not None


def test_links_made_absolute_in_place() -> None:
    root = parse_html(
        b'<a href=" x ">1</a><a href="#f">2</a><a href="tel:1">3</a><a href="http://[">4</a><area href=y>'
        b"<link href=/c.css>"
        b"<script src=s.js></script><iframe src=//b.com/i></iframe><form action=?q></form><a>5</a>",
        "utf-8",
    )
    make_links_absolute(root, Joiner("http://a.com/d/p?x#y"))
    found = [value for element in root.iter() for value in element.attrib.values()]
    assert found == [
        *["http://a.com/d/x", "http://a.com/d/p?x#f", "tel:1", "http://[", "http://a.com/d/y", "http://a.com/c.css"],
        *["http://a.com/d/s.js", "http://b.com/i", "http://a.com/d/p?q"],
    ]


def test_base_of() -> None:
    assert base_of(parse_html(b"<base><base href=' /x '><base href=/y>", "utf-8")) == "/x"
    assert base_of(parse_html(b"<p>", "utf-8")) == ""


def test_selectors_stay_ours_and_take_namespaces() -> None:
    selector = html_selector(parse_html(HTML.encode(), "utf-8"))
    found = selector.css("p")[0].xpath("./b/text()")[0]
    assert isinstance(found, PageSelector)
    assert found.get() == found.extract() == "two"
    assert found.getall() == ["two"]
    assert found.css("b") == []
    assert str(selector.css("p")[0:1].get()).startswith("<p>")
    selector.register_namespace("html", "http://www.w3.org/1999/xhtml")
    assert selector.xpath("//p").getall() == selector.css("p").getall()
    assert "html" not in html_selector(parse_html(b"", "utf-8")).namespaces
    assert selector.css("p").xpath("string(.)").getall() == ["one two", "three"]
    assert selector.xpath("//p/@class").re("[xy]") == ["x", "y"]


def crowd(count: int, between: bytes = b" ", value: bytes = b"") -> bytes:
    return b"<p>before<a " + between.join(b"a%d%s" % (number, value) for number in range(count)) + b">x</a><i>after"


@pytest.mark.parametrize(
    "content",
    [
        crowd(60_000),
        crowd(60_000, value=b"='>'"),
        crowd(60_000, b"", b'=""'),
        crowd(60_000, b"/"),
        crowd(60_000).decode().encode("utf-16"),
        crowd(1000) * 100,
        b"<div>" * 300_000 + b"<i>after",
        b"<b><i></b></i>" * 50_000 + b"<i>after",
        b"<i>after</i><p title='" + b"x" * 5_000_000 + b"'>",
        b"<!--" * 100_000 + b"--><i>after",
        b"<!DOCTYPE html [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;'>]><p>"
        + b"&b;" * 50_000
        + b"<i>after",
    ],
    ids=["bare", "quoted", "glued", "slashes", "utf-16", "many", "deep", "crossed", "long", "comments", "entities"],
)
def test_documents_that_are_made_to_take_long(content: bytes) -> None:
    began = time.process_time()
    root = parse_html(content, "utf-16" if content.startswith(b"\xff\xfe") else "utf-8")
    assert time.process_time() - began < 2
    assert root.findtext(".//i") in ("after", None, "")  # of a deep one libxml2 keeps the top
    assert all(len(element.attrib) <= 256 for element in root.iter("a"))


HTML_PIECES = [b"<p>", b"</p>", b"<a href='x' b>", b"t&amp;x", b"<br/>", b"<!-- c -->", b"<table><td>", b"</html>",
               b"<script>a<b</script>", b"<svg:a x:y=z>", b"<?pi?>", b"<title>", b"<p a=1 a=2>", b"&#0;", b"\xff",
               b"<select>", b"</b>", b"<li>"]  # fmt: skip


@given(st.lists(st.sampled_from(HTML_PIECES), min_size=1, max_size=12))
def test_what_is_read_by_way_of_python_is_the_same_tree(pieces: list[bytes]) -> None:
    def shown(root: Any) -> list[tuple[Any, ...]]:
        return [(type(one), one.tag, dict(one.attrib), one.text, one.tail) for one in root.iter()]

    text = b"".join(pieces)
    plain = shown(parse_html(text, "utf-8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "LARGE", 0)
        patch.setattr(document, "has_crowd", lambda _: True)
        assert shown(parse_html(text, "utf-8")) == plain


def test_tags_that_are_long_and_no_crowd() -> None:
    for tag in (b"<img src='data:x," + b"Ab0/ " * 50_000 + b"'>", b"<path d='" + b"M 1 2 " * 50_000 + b"'/>"):
        assert not crowded_tags.has_crowd(tag)
    assert crowded_tags.has_crowd(crowd(1000))
