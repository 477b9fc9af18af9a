import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs.robots import MAX_SIZE, Rules, product, rules_of

SIMPLE = b"""
User-agent: *
Disallow: /private
Allow: /private/open

User-agent: crawlkit
Disallow: /not-for-us
Crawl-delay: 2

Sitemap: http://x/s.xml
"""


@pytest.mark.parametrize(
    ("agent", "path", "allowed"),
    [
        ("other/1.0", "/", True),
        ("other/1.0", "/private/a", False),
        ("other/1.0", "/private/open/a", True),
        ("crawlkit/0.1", "/private/a", True),
        ("crawlkit/0.1", "/not-for-us", False),
        ("Mozilla/5.0 (crawlkit)", "/not-for-us", True),
    ],
)
def test_rules(agent: str, path: str, allowed: bool) -> None:
    assert Rules.parse(SIMPLE).allows("http://x" + path, agent) is allowed


def test_extras() -> None:
    rules = Rules.parse(SIMPLE)
    assert rules.crawl_delay("crawlkit/1") == 2
    assert rules.crawl_delay("other") is None
    assert rules.sitemaps == ["http://x/s.xml"]
    assert Rules.allow_all().sitemaps == []


@pytest.mark.parametrize(
    ("agent", "token"), [("crawlkit/1.0 (+http://x)", "crawlkit"), ("My-Bot_x", "My-Bot_x"), ("123", "*"), ("", "*")]
)
def test_product(agent: str, token: str) -> None:
    assert product(agent) == token


@pytest.mark.parametrize(
    ("status", "allowed"),
    [
        (200, False),
        (204, False),
        (301, True),
        (304, True),
        (400, True),
        (401, True),
        (403, True),
        (404, True),
        (410, True),
        (429, True),
        (500, False),
        (503, False),
        (599, False),
    ],
)
def test_statuses_by_rfc_9309(status: int, allowed: bool) -> None:
    assert rules_of(status, b"User-agent: *\nDisallow: /").allows("http://x/a", "crawlkit") is allowed


def test_only_so_much_is_read() -> None:
    filler = b"User-agent: *\nDisallow: /a\n" + b"# filler\n" * (MAX_SIZE // 9 + 1)
    rules = Rules.parse(filler + b"Disallow: /b\n")
    assert not rules.allows("http://x/a", "crawlkit")
    assert rules.allows("http://x/b", "crawlkit")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0",
        b"<html><body>Not found</body></html>",
        b"\xff\xfe\x00",
        b"\xef\xbb\xbfUser-agent: *\r\nDisallow: /x\r\n",
    ],
)
def test_odd_bodies(body: bytes) -> None:
    rules = Rules.parse(body)
    assert rules.allows("http://h/y", "crawlkit")
    assert rules.allows("http://h/x", "crawlkit") is (b"Disallow" not in body)


@given(st.binary(max_size=2000))
def test_never_raises(body: bytes) -> None:
    assert Rules.parse(body).allows("http://x/a?b=c", "crawlkit") in (True, False)


MANY = b"""User-agent: *
Disallow: /a   # a comment
Allow: /a/open

User-agent: other
User-agent: crawlkit
Disallow: /b
DISALLOW:/c/*.pdf$
Disallow: /twice
Disallow: /twice
"""


@pytest.mark.parametrize(
    ("agent", "path", "line"),
    [
        ("x", "/a/1", (2, "Disallow: /a   # a comment")),
        ("x", "/a/open/1", None),
        ("x", "/b", None),
        ("crawlkit/1", "/a/1", None),
        ("crawlkit/1", "/b/1", (7, "Disallow: /b")),
        ("crawlkit/1", "/c/1.pdf", (8, "DISALLOW:/c/*.pdf$")),
        ("crawlkit/1", "/twice", None),  # either would do
    ],
)
def test_the_line_that_forbids_is_named(agent: str, path: str, line: tuple[int, str] | None) -> None:
    rules = Rules.parse(MANY)
    assert rules.refused_by("http://x" + path, agent) == line
    assert line is None or not rules.allows("http://x" + path, agent)


def test_no_line_of_rules_that_are_not_there_or_too_many() -> None:
    assert Rules.refuse_all().refused_by("http://x/", "a") is None
    assert Rules.allow_all().refused_by("http://x/", "a") is None
    large = Rules.parse(b"User-agent: *\nDisallow: /a\n" + b"# more\n" * 3_000)
    assert not large.allows("http://x/a", "x")
    assert large.refused_by("http://x/a", "x") is None


@pytest.mark.parametrize("more", ["Disallow: /x\n", "Disallow: /x\n" * 19, "Disallow: /*x*\nAllow: /y\n"])
def test_to_name_a_line_costs_little_each_time(more: str) -> None:
    rules = Rules.parse(("User-agent: *\n" + "".join(f"Disallow: /p{n}/\n" for n in range(800)) + more).encode())
    began = time.process_time()
    lines = [rules.refused_by(f"http://h/x/{n}", "crawlkit") for n in range(50)]
    assert time.process_time() - began < 0.25  # looking at each line by itself takes 10 s
    assert set(lines) == ({None} if more.count("Disallow") > 1 else {(802, more.splitlines()[0])})


LINES = ["User-agent: *", "User-agent: crawlkit", "User-agent: bot", "Disallow: /a", "Disallow: /a/b", "Allow: /a/b",
         "Disallow: /*b$", "Disallow: /%61/", "Allow: /", "Disallow:", "Crawl-delay: 2"]  # fmt: skip


@given(st.lists(st.sampled_from(LINES), max_size=12), st.sampled_from(["/a", "/a/b", "/a/b/c", "/b", "/%61/x"]))
def test_the_line_that_is_named_is_the_one_without_which_it_is_allowed(lines: list[str], path: str) -> None:
    found = Rules.parse("\n".join(lines).encode()).refused_by("http://h" + path, "crawlkit")
    if found is not None:
        number, text = found
        assert lines[number - 1] == text
        lines[number - 1] = "Disallow:"
        assert Rules.parse("\n".join(lines).encode()).allows("http://h" + path, "crawlkit")
