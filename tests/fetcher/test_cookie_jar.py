"""The session's jar as lines: read, joined, cut. What libcurl does with it is in test_sessions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.fetcher import cookie_jar
from crawlkit.fetcher import url as urls
from crawlkit.fetcher.cookie_jar import MAX_COOKIES, MAX_LINE, Cookie, read, write

HERE = urls.parse("http://www.a.example/x/y?q=/z/")
SAFE = urls.parse("https://www.a.example/x/y")


def line(name: str = "n", value: str = "v", host: str = "www.a.example", **fields: object) -> str:
    return write(Cookie(host, name=name, value=value, **{"subdomains": False, "path": "/", "secure": False, "expires": 0, **fields}))  # type: ignore[arg-type] # fmt: skip  # noqa: E501


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ALL",
        "SESS",
        "FLUSH",
        "RELOAD",
        "Set-Cookie: a=b",
        "# a comment\tFALSE\t/\tFALSE\t0\ta\tb",
        "a\tFALSE\t/\tFALSE\t0\ta",
        "a\tfalse\t/\tFALSE\t0\ta\tb",
        "a\tFALSE\tx\tFALSE\t0\ta\tb",
        "a\tFALSE\t/\tFALSE\t-1\ta\tb",
        "a\tFALSE\t/\tFALSE\t٣\ta\tb",
        "\tFALSE\t/\tFALSE\t0\ta\tb",
        "a\tFALSE\t/\tFALSE\t0\t\tb",
        "a\tFALSE\t/\tFALSE\t0\ta\tb\r\n",
        "a\tFALSE\t/\tFALSE\t0\ta\t\0",
    ],
)
def test_what_is_no_cookie(text: str) -> None:
    assert read(text) is None
    assert cookie_jar.clean([text], 0) == []


word = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)
names = st.from_regex(r"[a-z]{1,5}(\.[a-z]{1,5}){0,2}", fullmatch=True)
cookies = st.builds(
    Cookie,
    names,
    st.booleans(),
    word.map("/".__add__),
    st.booleans(),
    st.integers(0, 2**40),
    word.filter(bool),
    word,
    st.booleans(),
)


@given(cookies)
def test_what_is_written_can_be_read(cookie: Cookie) -> None:
    assert read(write(cookie)) == cookie


@given(st.text(max_size=100))
def test_reading_never_fails(text: str) -> None:
    cookie = read(text)
    assert cookie is None or read(write(cookie)) == cookie


def test_the_expired_go_and_bounds_hold() -> None:
    lines = [line(str(number)) for number in range(300)]
    assert cookie_jar.clean(lines, 5) == lines[-MAX_COOKIES:]
    assert cookie_jar.clean([line("old", expires=5), line("new", expires=6), line("ever")], 5) == [
        line("new", expires=6),
        line("ever"),
    ]
    assert cookie_jar.clean([line(value="x" * MAX_LINE)], 0) == []


def test_the_tasks_own_take_the_place_of_what_the_host_could_see() -> None:
    jar = [
        line("a", "old", "a.example", subdomains=True),
        line("a", "old", path="/deep"),
        line("a", "other", "b.example"),
        line("b"),
    ]
    joined, left = cookie_jar.join(jar, {"a": "new", "ü": "é", "tab": "a\tb", "": "nameless"}, SAFE)
    assert left == {"tab": "a\tb", "": "nameless"}
    assert joined[:2] == [line("a", "other", "b.example"), line("b")]
    assert joined[2] == line("a", "new", secure=True)
    assert cookie_jar.values(joined, {"www.a.example"}) == {"a": "new", "b": "v", "ü": "é"}
    assert cookie_jar.join([], {"a": "1"}, urls.parse("http://[::1]:81/"))[0] == [line("a", "1", "::1")]


def test_an_unchanged_jar_stays_equal() -> None:
    before = [line(name) for name in "abc"]
    assert cookie_jar.settle(before, reversed(before), 0) == before
    assert cookie_jar.settle(before, [line("d"), line("c"), line("b", "new"), line("a")], 0) == [
        line("a"), line("c"), line("d"), line("b", "new")
    ]  # fmt: skip
    many = [line(str(number)) for number in range(MAX_COOKIES)]
    assert cookie_jar.settle(many, [line("fresh"), *many], 0) == [*many[1:], line("fresh")]


@pytest.mark.parametrize(
    ("cookie", "here", "safe"),
    [
        ({}, True, True),
        ({"secure": True}, False, True),
        ({"path": "/x"}, True, True),
        ({"path": "/x/y"}, True, True),
        ({"path": "/x/y/"}, False, False),
        ({"path": "/x/y?q="}, False, False),
        ({"path": "/z"}, False, False),
        ({"host": "a.example"}, False, False),
        ({"host": "a.example", "subdomains": True}, True, True),
        ({"host": "A.Example", "subdomains": True}, True, True),
        ({"host": ".example", "subdomains": True}, False, False),
        ({"host": "w.a.example", "subdomains": True}, False, False),
        ({"host": "ww.a.example"}, False, False),
    ],
)
def test_who_gets_it(cookie: dict[str, object], here: bool, safe: bool) -> None:
    jar = [line(**cookie)]  # type: ignore[arg-type]
    assert cookie_jar.sent_to(jar, HERE) == ({"n": "v"} if here else {})
    assert cookie_jar.sent_to(jar, SAFE) == ({"n": "v"} if safe else {})
