"""What a browser keeps, as lines and back. What Chromium does with it is in the tests of the browser service."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crawlkit.fetcher import browser_jar, cookie_jar
from crawlkit.fetcher.browser_jar import MAX_ORIGIN, MAX_STORAGE, cookies_of, lines_of, origins_of

SITE = "https://a.example"


def cookie(**fields: Any) -> dict[str, Any]:
    said = {"name": "n", "value": "v", "domain": "a.example", "path": "/", "expires": -1}
    return {**said, "httpOnly": False, "secure": True, **fields}


def stored(origin: str = SITE, **pairs: str) -> dict[str, Any]:
    return {"origin": origin, "localStorage": [{"name": name, "value": value} for name, value in pairs.items()]}


def there_and_back(*cookies: dict[str, Any]) -> list[dict[str, Any]]:
    lines, problems = lines_of(cookies, [], [])
    assert not problems
    return cookies_of(cookie_jar.clean(lines, 0))


def test_cookies_come_back_with_all_attributes() -> None:
    every = [
        cookie(),
        cookie(domain=".a.example", sameSite="None"),
        cookie(name="strict", sameSite="Strict", httpOnly=True, expires=2_000_000_000, path="/x"),
        cookie(name="parts", sameSite="None", partitionKey="https://b.example"),
        cookie(name="ü", value="é", domain="[::1]", secure=False),
    ]
    assert there_and_back(*every) == every


def test_what_a_browser_assumes_anyway_needs_no_line() -> None:
    assert there_and_back(cookie(sameSite="Lax")) == [cookie()]
    assert there_and_back(cookie(expires=1.5)) == [cookie(expires=2)]


def test_a_cookie_that_no_browser_would_take_back_loses_what_is_wrong() -> None:
    lines, _ = lines_of([cookie(sameSite="None", secure=False)], [], [])
    assert cookies_of(lines) == [cookie(secure=False)]


def test_a_cookie_that_no_jar_holds_is_told() -> None:
    lines, problems = lines_of([cookie(value="a\tb"), cookie(name=""), cookie(path="x")], [], [])
    assert lines == []
    assert len(problems) == 3
    assert problems[0] == "session: the cookie 'n' is not kept, no jar can hold it"


def test_storage_comes_back() -> None:
    origins = [stored(k="ü\t\n\0", l=""), stored("http://b.example:81", m="1")]
    lines, problems = lines_of([], origins, [])
    assert not problems
    assert all(line.replace("\t", "").isprintable() and line.isascii() for line in lines)
    assert origins_of(cookie_jar.clean(lines, 0)) == origins
    assert cookie_jar.for_curl(lines) == []


def test_storage_of_others_stays_and_that_of_the_page_may_go() -> None:
    before, _ = lines_of([], [stored(k="1"), stored("http://b.example", m="1")], [])
    after, _ = lines_of([], [stored("http://c.example", n="1")], before, SITE)
    assert [each["origin"] for each in origins_of(after)] == ["http://b.example", "http://c.example"]
    unchanged, _ = lines_of([], [stored(k="1")], before, "http://b.example")
    assert origins_of(unchanged) == [stored(k="1")]


def test_storage_is_bounded_and_says_what_it_loses() -> None:
    lines, problems = lines_of([], [stored(k="x" * MAX_ORIGIN), stored("http://b.example", m="1")], [])
    assert [each["origin"] for each in origins_of(lines)] == ["http://b.example"]
    assert problems == [f"session: localStorage of {SITE} is {MAX_ORIGIN + 47:,} bytes, over {MAX_ORIGIN:,}: not kept"]
    half = "x" * (MAX_ORIGIN - 100)
    before, problems = lines_of([], [stored(k=half), stored("http://b.example", m=half)], [])
    assert (len(before), problems) == (2, [])
    after, problems = lines_of([], [stored("http://c.example", n=half)], before)
    assert [each["origin"] for each in origins_of(after)] == ["http://b.example", "http://c.example"]
    assert problems == [f"session: localStorage is over {MAX_STORAGE:,} bytes in all: that of {SITE} is not kept"]


@given(st.lists(st.text(max_size=40) | st.text(max_size=40).map(lambda text: browser_jar._STORAGE + "\t" + text)))
def test_lines_that_are_nothing_do_no_harm(lines: list[str]) -> None:
    assert isinstance(cookies_of(lines), list)
    kept, _ = lines_of([], origins_of(lines), lines)
    assert sum(map(len, kept)) <= MAX_STORAGE
