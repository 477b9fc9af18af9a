from __future__ import annotations

import ada_url
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crawlkit.libs.url import (
    Joiner,
    _origin_of,
    encode_params,
    has_scheme,
    is_url,
    quote_non_ascii,
    task_url,
    urljoin,
    with_params,
)


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        ("http://a.com/b", "http://a.com/b"),
        ("http://a.com", "http://a.com/"),
        ("  http://a.com/b \n", "http://a.com/b"),
        ("http://a.com?x=1", "http://a.com/?x=1"),
        ("http://a.com#f", "http://a.com/#f"),
        ("http://a.com/b#f", "http://a.com/b#f"),  # the fragment is part of the identity
        ("http://a.com/b?", "http://a.com/b"),
        ("http://a.com/b#", "http://a.com/b"),
        ("HTTP://A.com/B", "http://A.com/B"),
        ("http://中文.com/", "http://xn--fiq228c.com/"),
        ("http://bücher.example:81/é?q=ü#ß", "http://xn--bcher-kva.example:81/%C3%A9?q=%C3%BC#%C3%9F"),
        ("http://me:pw@bücher.example/", "http://me:pw@xn--bcher-kva.example/"),
        ("http://a.com/a b", "http://a.com/a b"),  # blanks inside stay
        ("http://a.com/%E4%b8", "http://a.com/%E4%b8"),
        ("http://a.com/a;b", "http://a.com/a;b"),
        ("data:,on_start", "data:,on_start"),
        ("data:,é", "data:,%C3%A9"),
        ("ftp://é/", "ftp://%C3%A9/"),
        ("http://[::1", "http://[::1"),
        ("http://..é/", "http://..%C3%A9/"),  # no IDNA of an empty label
        ("x.html", "x.html"),
        ("", ""),
    ],
)
def test_task_url_is_in_pyspiders_form(given_url: str, expected: str) -> None:
    assert task_url(given_url) == expected


@given(st.text(max_size=40), st.sampled_from(["", "http://a.com", "https://a.com/", "HTTP://É.com:8/", "data:,"]))
def test_task_url_is_ascii_and_settles_at_once(tail: str, head: str) -> None:
    once = task_url(head + tail)
    assert once.isascii()
    assert task_url(once) == task_url(task_url(once))


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=30))
def test_the_fast_path_says_what_the_slow_one_says(path: str) -> None:
    url = "http://a.com/" + path
    blank_kept = task_url(url + "\u00e9")  # never on the fast path
    assert blank_kept in (task_url(url) + "%C3%A9", url + "%C3%A9")


BASES = [
    "http://127.0.0.1:8081/p/1.html",
    "http://example.com",
    "http://example.com/a/b/?q=1#f",
    "https://www.my-shop.example:8443/dir/",
    "http://example.com/a/../b/./c",
    "https://example.com:443/x",
    "http://EXAMPLE.com/%7Efoo/x",
    "http://user:pw@example.com/a/b",
    "http://[::1]/x/y",
    "http://0x7f.1/x",
    "http://example.com/a b/c",
    "http://bücher.example/ü/x",
    "http://example.com/a?",
    "http://example.com/a/?x=/y/z",
    "http://example.com/a#/b/c",
    "http://example.com/a/?#",
    "http://example.com/..",
    "http://example.com/a/%2e/",
    "http://example.com/a//",
    "http:/example.com/x",
    "HTTP://example.com/x/y",
    "data:,x",
]
REFERENCES = [
    *[
        "?q=1#x",
        "?",
        "#",
        "?a'b",
        "? ",
        "a.html",
        "/a.html",
        "./a",
        "../a",
        "../../../a",
        "//other.example/x",
        "?q=2",
        "#top",
        "",
        " a ",
        "a b",
        "a\tb",
    ],
    *["http://example.com/x", "HTTP://EXAMPLE.com/x", "http:x", "javascript:void(0)", "mailto:x@y", "data:,x"],
    *["a:b", "a/b:c", "/a/%2e%2e/b", "%2E%2e/b", "/.a/..b/c", "a/.", "/a//b", "\\a\\b", "/a?x='y'", "/a?x=ü&y=%zz"],
    *["http://127.0.0.1:80/", "http://127.1/", "http://1.2.3/", "https://a.example:443/x", "https://a.example:8/x"],
    *["http://a-b.example/x?y#z", "http://xn--fiq228c.com/", "http://a..b/", "http://a.example:99999/", "http://"],
    *["http://a.example:65535/x", "https://a.example:65536/x", "http://a.example:6553/x", "http://a.example:43211/x"],
    *["/a`b", "/a^b", "/a{b}|c", "/a#b`c", "/a?`", '/a"b', "/a<b>", "http://x/[", "/a?b#c d", "http://300.1.1.1/x"],
    *["http://example.com./x", "http://a_b.example/", "/é", "\ud800", "http://a.example:0/", "http://a.example:080/"],
]


def by_standard(base: str, reference: str) -> str | None:
    def scalar(text: str) -> str:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    try:
        return str(ada_url.join_url(scalar(base), scalar(reference)))
    except ValueError:
        return None


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("reference", REFERENCES)
def test_join_is_what_the_standard_says(base: str, reference: str) -> None:
    assert Joiner(base).join(reference) == by_standard(base, reference)


def test_without_a_usable_base_an_absolute_url_stands_for_itself() -> None:
    joiner = Joiner("not a url")
    assert joiner.join("http://example.com/x") == "http://example.com/x"
    assert joiner.join("HTTP://Example.com") == "http://example.com/"
    assert joiner.join("x.html") is None


_pieces = st.lists(
    st.one_of(
        st.sampled_from(
            ["/", "//", ".", "..", "%2e", "%2E", "?", "#", ":", "@", "&", "=", "http://", "https://", "a", "b-c"]
        ),
        st.sampled_from(
            ["example.com", "127.0.0.1", "0x7f", "08", ":80", ":443", ":8080", "xn--", "\\", " ", "é", "'"]
        ),
        st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=3),
        st.text(max_size=2),
    ),
    max_size=8,
).map("".join)


@given(st.sampled_from(BASES), _pieces)
@example("http://example.com", "a/%2e")
def test_any_reference_is_joined_as_the_standard_says(base: str, reference: str) -> None:
    assert Joiner(base).join(reference) == by_standard(base, reference)


@given(_pieces, st.sampled_from(["a", "/a", "#a", "?a", "?a#b", "../a", ""]))
def test_any_base_is_read_as_the_standard_says(base: str, reference: str) -> None:
    if by_standard("http://" + base, "") is not None:
        assert urljoin("http://" + base, reference) == by_standard("http://" + base, reference)


@pytest.mark.parametrize(
    ("url", "params", "expected"),
    [
        ("http://a.com/", {"a": 1}, "http://a.com/?a=1"),
        ("http://a.com", {"a": 1}, "http://a.com/?a=1"),
        ("http://a.com/?x=y", {"a": "b c"}, "http://a.com/?x=y&a=b+c"),
        ("http://a.com/#f", {"a": [1, 2]}, "http://a.com/?a=1&a=2#f"),
        ("http://a.com/?", [("ü", "é")], "http://a.com/?%C3%BC=%C3%A9"),
        ("http://a.com/", {"a": None}, "http://a.com/"),
        ("http://a.com/", {}, "http://a.com/"),
        ("http://a.com/", "raw=1", "http://a.com/?raw=1"),
        ("http://a.com/", {"a": b"\xff"}, "http://a.com/?a=%FF"),
    ],
)
def test_params_are_appended_to_the_query(url: str, params: object, expected: str) -> None:
    assert with_params(url, params) == expected  # type: ignore[arg-type]


def test_params_given_as_bytes_are_taken_as_they_are() -> None:
    assert encode_params(b"a=1") == "a=1"


def test_scheme() -> None:
    assert [is_url(text) for text in ("http://x/ä", " http://x", "data:,x", "x/y", "http://no host", "\ud800")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    assert has_scheme("http://x")
    assert has_scheme("data:,x")
    assert not has_scheme("//x/y")
    assert not has_scheme("x.html")


@given(st.text())
def test_quoting_never_fails(text: str) -> None:
    assert quote_non_ascii(text + "\ud800").isascii()


@pytest.mark.parametrize("port", [1, 79, 8080, 43211, 65535])
def test_a_plain_base_is_not_parsed_whatever_its_port(port: int) -> None:
    assert _origin_of(f"http://127.0.0.1:{port}/p/") == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("port", [0, 80, 65536, 99999, 100000])
def test_a_port_that_a_url_does_not_keep_makes_no_plain_base(port: int) -> None:
    assert _origin_of(f"http://127.0.0.1:{port}/p/") is None
