"""The preview's document: the page's own elements with their numbers, and nothing that acts or asks."""

from __future__ import annotations

import re
import time

import lxml.html
import pytest

from crawlkit.webui.page_tree import MAX_ELEMENTS, PageTree, kind_of
from crawlkit.webui.preview import MAX_SHOWN, Preview, headers, policy, render
from crawlkit.webui.preview_rules import harmless_css, shown_as

VECTORS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><script>alert(1)</script><animate onbegin=alert(1)></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></table></mtext></math>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<style></style><img src=x onerror=alert(1)>",
    "<textarea></textarea><img src=x onerror=alert(1)>",
    "<title></title><img src=x onerror=alert(1)>",
    "<xmp><img src=x onerror=alert(1)></xmp>",
    "<plaintext><img src=x onerror=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>' src=javascript:alert(1)></iframe>",
    "<object data=javascript:alert(1)><embed src=javascript:alert(1)></object>",
    "<a href=javascript:alert(1) target=_top ping=//evil.test>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<form action=//evil.test><button formaction=javascript:alert(1)>x</button><input type=image src=//evil.test>",
    "<base href=//evil.test><link rel=stylesheet href=//evil.test><meta http-equiv=refresh content='0;//evil.test'>",
    "<div style='background:url(//evil.test/x)' onclick=alert(1)>x</div>",
    "<style>@import '//evil.test/a'; div{background:u\\72l(//evil.test/b)} i{mask:image-set('//evil.test')}</style>",
    "<body onload=alert(1)><table background=//evil.test><td background=//evil.test>",
    "<video src=//evil.test onerror=alert(1)><source src=//evil.test><track src=//evil.test></video>",
    "<svg><use href=//evil.test#x /><image href=//evil.test /><a xlink:href=javascript:alert(1)>x</a></svg>",
    "<svg><rect fill='url(//evil.test#x)' /><foreignObject><iframe src=//evil.test></iframe></foreignObject></svg>",
    "<img src=x srcset='//evil.test 1x' lowsrc=//evil.test name=querySelectorAll><img name=body>",
    "<details open ontoggle=alert(1)><marquee onstart=alert(1)>x</marquee>",
    "<input autofocus onfocus=alert(1)><div contenteditable tabindex=0 autofocus onfocus=alert(1)>",
    "<template><script>alert(1)</script></template><slot onslotchange=alert(1)>",
    "<p data-ck='0' data-ck-tag=x data-ck-match>own marks</p>",
    "<x-card onclick=alert(1)>custom</x-card><ck-overlay>o</ck-overlay><a:b>odd</a:b>",
    "<!--[if IE]><script>alert(1)</script><![endif]--><!-- --!><script>alert(1)</script>",
]
SAFE_URL = re.compile(r"#|data:image/")


def shown(html: str, content_type: str = "text/html; charset=utf-8", **options: bool) -> Preview:
    return render(PageTree(html.encode(), content_type, "http://site.test/dir/page"), "nonce", "channel" * 3, **options)


def body_of(preview: Preview) -> str:
    """Without the picker and the frame's own style."""
    text = re.sub(r"<script nonce=.*</script>", "", preview.html, flags=re.S)
    return re.sub(r"<style>/\* In the frame.*?</style>", "", text, flags=re.S)


@pytest.mark.parametrize("vector", VECTORS)
def test_R62_nothing_that_acts_or_fetches_is_written(vector: str) -> None:
    """Jupyter, CVE-2018-8768 and CVE-2021-32798: what came from elsewhere ran as script when it was looked at."""
    for html in (vector, f"<html><head></head><body><p>a</p>{vector}<p>b</p></body></html>"):
        text = body_of(shown(html))
        text = re.sub(r"ck-none\([^)]*\)", "", text)  # no function of CSS: what it stands in means nothing
        assert "evil.test" not in text
        # as a browser reads it anew: markup that comes out of texts and attributes would be seen here
        for element in lxml.html.document_fromstring(text).iter():
            if not isinstance(element.tag, str):
                continue
            assert element.tag not in ("script", "iframe", "object", "embed", "base", "form", "link", "animate")
            assert element.tag != "meta" or set(element.attrib) <= {"charset", "name", "content"}
            for name, value in element.items():
                assert not name.startswith("on"), (name, value)
                assert name not in (
                    "srcset",
                    "action",
                    "formaction",
                    "ping",
                    "srcdoc",
                    "target",
                    "background",
                    "name",
                ) or (element.tag == "meta")
                if name in ("href", "src", "xlink:href"):
                    assert SAFE_URL.match(value), value


def test_W44_every_shown_element_has_its_number_in_the_callbacks_tree() -> None:
    html = (
        "<!doctype html><html class=x><body><ul><li>a<li><b>c</b> d</ul><form><p>e</form><pre>\n\nf</pre></body></html>"
    )
    tree = PageTree(html.encode(), "text/html")
    parsed = lxml.html.document_fromstring(render(tree, "n", "c" * 16).html)
    marked = {int(element.get("data-ck")): element for element in parsed.iter() if element.get("data-ck")}
    assert sorted(marked) == list(range(len(tree.elements)))
    for number, element in enumerate(tree.elements):
        assert marked[number].get("data-ck-tag", marked[number].tag) == element.tag
        if element.tag not in ("html", "body", "pre"):
            assert marked[number].text_content() == element.text_content()
    assert parsed.cssselect("html.x")
    assert parsed.cssselect("ck-block[data-ck-tag=form] > p")


def test_the_pages_own_styles_are_kept_without_what_they_fetch() -> None:
    text = body_of(
        shown("<style>.a{color:red;background:url('x.png')} @import 'y.css'; .b{top:0}</style><p style='color:blue'>")
    )
    assert ".a{color:red" in text
    assert ".b{top:0}" in text
    assert "color:blue" in text
    assert "x.png" not in text.replace("ck-none('x.png')", "")
    assert "@import" not in text
    assert (
        harmless_css("a{background:url(data:image/png;base64,AA)}", False)
        == "a{background:url(data:image/png;base64,AA)}"
    )
    assert "<" not in harmless_css("</style><script>", True)
    assert harmless_css("u\\72l(//x)", False) == "ck-none(//x)"
    assert harmless_css(".a\\:b::after{content:'\\201c'}", False) == ".a\\:b::after{content:'\\201c'}"


def test_images_and_styles_come_from_the_site_only_when_asked_for_and_from_public_places() -> None:
    page = (
        "<link rel=stylesheet href=/s.css><img src=/a.png><img src=//cdn.example.com/b.png><img src=http://192.168.0.1/c.png>"
        "<img src=http://router/d.png><img src='javascript:alert(1)'><img src=http://localhost:1/e><img src='http://x.test;y/f'>"
    )
    assert "src=" not in body_of(shown(page))
    preview = shown(page, loads=True)
    assert preview.sites == ["http://site.test", "http://cdn.example.com"]
    text = body_of(preview)
    assert 'href="http://site.test/s.css"' in text
    assert 'src="http://cdn.example.com/b.png"' in text
    for never in ("192.168", "router", "javascript:", "localhost", "x.test"):
        assert never not in text
    assert "http://site.test http://cdn.example.com" in policy("n", preview.sites)


def test_R62_the_frames_policy_is_a_sandbox_without_network_and_without_our_origin() -> None:
    said = headers("abc")
    rules = {rule.split()[0]: rule.split()[1:] for rule in said["Content-Security-Policy"].split("; ")}
    assert rules["sandbox"] == ["allow-scripts"]
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == ["'nonce-abc'"]
    assert rules["img-src"] == ["data:"]
    assert rules["form-action"] == rules["base-uri"] == ["'none'"]
    assert rules["frame-ancestors"] == ["'self'"]
    assert said["Cache-Control"] == "no-store"
    assert said["Cross-Origin-Resource-Policy"] == "same-origin"
    assert said["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("body", "content_type", "kind"),
    [
        (b"<html>", "text/html", "html"),
        (b"<!DOCTYPE html><p>", "text/plain", "html"),
        (b"<p>x", "", "html"),
        (b"a b", "text/plain", "text"),
        (b'{"a": 1}', "application/json", "json"),
        (b'{"a": 1}', "application/ld+json", "json"),
        (b"[1]", "", "json"),
        (b"<rss/>", "application/rss+xml", "xml"),
        (b"<x/>", "application/xhtml+xml", "html"),
        (b"\x89PNG", "image/png", "image"),
        (b"\0\1\2", "application/octet-stream", "binary"),
        (b"PK\3\4\0", "", "binary"),
        (b" \n", "text/html", "empty"),
        (b"var a", "application/javascript", "text"),
    ],
)
def test_W44_kinds_of_pages(body: bytes, content_type: str, kind: str) -> None:
    assert kind_of(body, content_type) == kind
    preview = render(PageTree(body, content_type), "n", "c" * 16)
    assert preview.kind == kind
    assert "<script nonce=" in preview.html


def test_W44_json_is_indented_text_is_text_and_an_image_is_an_image() -> None:
    assert '<pre>{\n  "a": [\n    "&lt;b&gt;"\n  ]\n}</pre>' in shown('{"a":["<b>"]}', "application/json").html
    assert "<pre>{oops &lt;script&gt;</pre>" in shown("{oops <script>", "application/json").html
    assert "<pre>a &lt;script&gt; b</pre>" in shown("a <script> b", "text/plain").html
    image = render(PageTree(b"\x89PNG\r\n", "image/png"), "n", "c" * 16)
    assert 'src="data:image/png;base64,iVBORw0K"' in image.html
    assert "binary" not in image.notes
    assert "no text" in render(PageTree(b"\0" * 9, "application/zip"), "n", "c" * 16).notes[0]
    strange = render(PageTree(b"x", 'image/x" onerror="alert(1)'), "n", "c" * 16)
    assert "onerror" not in body_of(strange)


def test_xml_is_an_outline_whose_elements_can_be_picked() -> None:
    preview = shown("<rss><channel><title>A &amp; B</title></channel></rss>", "application/rss+xml")
    assert '<div data-ck="2"><code>&lt;title&gt;</code> A &amp; B</div></div></div>' in preview.html
    assert preview.elements == 3


def test_R62_a_page_of_50_MB_is_cut_in_time_and_says_so() -> None:
    flat, deep = "<div class=a>text</div>", "<p><table><tr><td>"
    for piece, size in ((flat, 50_000_000), ("x" * 1000, 4_000_000), ("<b>", 4_000_000), (deep, 4_000_000)):
        page = (piece * (size // len(piece))).encode()
        start = time.process_time()
        preview = render(PageTree(page, "text/html"), "n", "c" * 16)
        seconds = time.process_time() - start
        assert seconds < 15, (piece, seconds)
        assert len(preview.html) < 2.2 * MAX_SHOWN + 2_000_000
        assert preview.elements <= MAX_ELEMENTS
        # of elements in elements the parser reads some two thousand levels, for a callback too
        assert ("large" in " ".join(preview.notes)) is ("<b>" not in piece and "<td>" not in piece)
    text = render(PageTree(b"y" * 50_000_000, "text/plain"), "n", "c" * 16)
    assert "characters" in text.notes[0]
    assert len(text.html) < MAX_SHOWN + 100_000


def test_names_of_elements() -> None:
    assert shown_as("form") == "ck-block"
    assert shown_as("iframe") == "ck-box"
    assert shown_as("my-card") == "my-card"
    assert shown_as("ck-overlay") == shown_as("a:b") == shown_as("foreignobject") == "ck-other"
