from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs.auto import NO_SCRIPTS, OTHER, Known, KnownKind, Seen, pattern_of
from crawlkit.processor import auto_judge
from crawlkit.processor.auto_judge import (
    Findings,
    compare,
    is_empty,
    judge,
    kind_of_page,
    looks_like_a_default,
    mark,
    same,
    values_of,
    volatile_in,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


def found(*results: Any, follows: int = 0, messages: int = 0) -> Findings:
    findings = Findings()
    for value in results:
        findings.result(value)
    for number in range(follows):
        findings.follow(f"{number:08d}rest")
    findings.messages = messages
    return findings


def verdict(findings: Findings, kind: str = "k", known: Known | None = None, ending: str = "", check: bool = False):  # type: ignore[no-untyped-def]
    return judge(findings, findings.seen(ending), kind, known or Known(), check)


@pytest.mark.parametrize("value", [None, "", " \n\t", [], {}, [None, " "], {"a": "", "b": [None]}, b""])
def test_what_says_nothing_is_empty(value: Any) -> None:
    assert is_empty(value)
    assert mark(value) == ""


@pytest.mark.parametrize("value", [0, 0.0, False, "0", "x", [0], {"a": 0}])
def test_nought_is_no_gap(value: Any) -> None:
    assert not is_empty(value)
    assert mark(value)


@pytest.mark.parametrize(
    "text",
    ["0", "0.00", "$0.00", "0,00 €", "0.00 EUR", "Loading", "Loading...", "loading…", "{{ price }}", "{{price}}",
     "<%= price %>", "${price}", "-", "—", "...", "N/A", "n/a", "null", "undefined", "NaN", "[object Object]",
     "Please wait", "Please enable JavaScript to view this page", "JavaScript is required", 0, 0.0],
)  # fmt: skip
def test_what_may_stand_there_until_a_script_has_filled_it_is_looked_into(text: Any) -> None:
    assert looks_like_a_default(text)


@pytest.mark.parametrize(
    "text",
    ["10.00", "1", "$0.50", "100", "yes", "Loaded", "Null Island", "A {single} brace", "nan bread", "Nan", "2024-00-00",
     "The loadings of a bridge", True, False, 7, -1, "x" * 500 + " loading"],
)  # fmt: skip
def test_ordinary_values_are_not_suspected(text: Any) -> None:
    assert looks_like_a_default(text) == (text == "Nan")


def test_fields_have_paths_and_several_results_count_together() -> None:
    seen = found({"offer": {"price": 3, "was": None}, "items": [{"n": 1}, {"n": ""}]}, {"offer": {"price": 4}}).seen()
    assert set(seen.fields) == {"offer.price", "offer.was", "items[].n", "!results"}
    assert seen.fields["offer.was"] == ""
    assert seen.fields["items[].n"]
    again = found({"offer": {"price": 4}}, {"offer": {"price": 3, "was": ""}, "items": [{"n": ""}, {"n": 1}]}).seen()
    assert again == seen  # in whatever order


def test_a_value_keeps_its_mark_whatever_its_spaces() -> None:
    assert mark("a  b\n") == mark(" a b") != mark("a b c")
    assert mark({"a": 1, "b": 2}) == mark({"b": 2, "a": 1})


WORDS = [f"word{n}" for n in range(400)]


def test_a_long_text_is_compared_by_its_words() -> None:
    html = "<div>" + " ".join(f"<p class='c'>{word}</p>" for word in WORDS) + "</div>"
    rendered = f"<div data-ready='1'>{''.join(f'<p class=c>{word}</p> ' for word in WORDS)}<script>x()</script></div>"
    assert same(mark(html), mark(rendered))
    assert not same(mark(html), mark(" ".join(WORDS + [f"more{n}" for n in range(60)])))
    assert not same(mark(html), mark(" ".join(f"other{n}" for n in range(400))))
    assert not same(mark(html), mark("short"))


@given(JSON)
def test_any_value_of_a_result_has_a_mark_and_is_like_itself(value: Any) -> None:
    assert same(mark(value), mark(value))
    assert (mark(value) == "") == is_empty(value)
    one, other = found({"x": value}).seen(), found({"x": value}).seen()
    assert compare(one, other, [], []).differs == []
    assert volatile_in(one, other) == []
    assert all("=" in token for token in values_of(one))


@pytest.mark.parametrize(
    ("html", "content_type"),
    [
        (b"<p>text</p>", "text/html"),
        (b'{"a": "<script>"}', "application/json"),
        (b'<p>x</p><script type="application/ld+json">{}</script>', "text/html"),
        (b"", "text/html"),
        (b"<title>no script in here</title>", ""),
    ],
)
def test_a_page_without_scripts_is_the_same_in_a_browser(html: bytes, content_type: str) -> None:
    assert kind_of_page(html, content_type) == NO_SCRIPTS
    assert not verdict(found({"price": ""}), NO_SCRIPTS, check=True).asks


@pytest.mark.parametrize(
    "html",
    [b"<script>x()</script>", b"<script src=/a.js></script>", b"<body onload='x()'>",
     b'<meta http-equiv="refresh" content="0;url=/x">', b"<SCRIPT SRC='a.js'></SCRIPT>"],
)  # fmt: skip
def test_a_page_that_acts_is_not(html: bytes) -> None:
    assert kind_of_page(html, "text/html; charset=utf-8") != NO_SCRIPTS


def test_pages_are_of_a_kind_by_the_scripts_they_load() -> None:
    text = b"word " * 100
    page = b'<script src="/app.js?v=%d"></script><p>%d ' + text
    one, two = (kind_of_page(page % (n, n), "text/html") for n in (1, 2))
    assert one == two
    assert kind_of_page(b'<script src="/other.js"></script>' + text, "text/html") != one
    assert kind_of_page(page % (1, 1) + b"<script>inline()</script>", "text/html") != one
    assert kind_of_page(b'<script src="/app.js"></script><div id="root"></div>', "text/html") != one  # a shell


def test_gaps_are_doubts_with_words() -> None:
    said = verdict(found({"title": "x", "price": "", "rating": 0, "stock": None}))
    assert said.asks
    assert said.tokens[0] == "price="
    assert said.tokens[1].startswith("rating=")
    assert said.tokens[2] == "stock="
    assert said.why.startswith("price was empty in the plain page; rating was '0' in the plain page; stock was empty")


@pytest.mark.parametrize(
    ("findings", "ending", "token"),
    [
        (found(), "", "!nothing="),
        (found({"a": None}), "", "!nothing="),
        (found(), "!error=KeyError", "!error=KeyError"),
        (found({"a": 1}), "!drop=", "!drop="),
        (found(), "!retry=", "!retry="),
        (found(), "!http=403", "!http=403"),
    ],
)
def test_a_callback_that_came_to_nothing_is_a_doubt(findings: Findings, ending: str, token: str) -> None:
    said = verdict(findings, ending=ending)
    assert said.asks
    assert said.tokens == [token]


@pytest.mark.parametrize("findings", [found(follows=3), found(messages=1), found({"a": 1}), found("text"), found([1])])
def test_follow_ups_and_messages_are_something(findings: Findings) -> None:
    assert verdict(findings).tokens == []


def test_what_is_known_settles_or_doubts() -> None:
    gap = found({"title": "x", "price": ""})
    plain = found({"title": "x", "price": "3"})
    value = values_of(plain.seen())[1]
    fine = Known({"k": KnownKind(fine=["price=", ""])})
    assert not verdict(gap, known=fine).asks
    assert not verdict(plain, known=fine).asks
    assert verdict(plain, known=fine, check=True).asks
    assert verdict(plain, known=Known({"k": KnownKind(fine=[""], watch=[value])})).tokens == [value]
    assert not verdict(gap, known=Known({"k": KnownKind(fine=[""], ignore=["price="])})).asks
    assert verdict(plain).asks  # such pages are not known yet


def test_when_there_are_too_many_kinds_the_rest_is_one() -> None:
    known = Known({"k": KnownKind(), OTHER: KnownKind(fine=[""])}, full=True)
    said = verdict(found({"a": 1}), "new", known)
    assert (said.kind, said.asks) == (OTHER, False)


def test_a_browser_that_gives_more_is_told_by_field() -> None:
    plain = found({"title": "x", "price": "0.00", "rating": "", "views": "17"}).seen()
    rendered = found({"title": "x", "price": "3.99", "rating": "4", "views": "18", "more": "!"}).seen()
    found_now = compare(plain, rendered, [], ["views"])
    assert found_now.differs == sorted(["more=", f"price={plain.fields['price']}", "rating="])
    assert found_now.lost == []


def test_a_browser_that_gives_less_loses_fields() -> None:
    found_now = compare(found({"a": 1, "b": 2}).seen(), found({"a": 1, "b": ""}).seen(), [], [])
    assert (found_now.differs, found_now.lost) == ([], ["b"])
    assert compare(found({"a": 1}).seen(), Seen(ending="!error=X"), [], []).lost == ["!ending"]


def test_endings_are_compared() -> None:
    ok, bad = found({"a": 1}).seen(), Seen(ending="!error=X")
    assert compare(bad, ok, ["!error=X"], []).differs == ["!error=X"]
    assert compare(bad, bad, ["!error=X"], []).differs == []
    assert compare(found().seen(), ok, ["!nothing="], []).differs == ["!nothing=", "a="]


@pytest.mark.parametrize(
    ("before", "after", "volatile", "more"),
    [(0, 1, False, True), (40, 41, False, False), (40, 50, False, True), (10, 10, False, False), (10, 5, False, False),
     (40, 44, True, False), (40, 80, True, True)],
)  # fmt: skip
def test_further_links_count_when_there_are_some(before: int, after: int, volatile: bool, more: bool) -> None:
    names = [auto_judge.FOLLOWS] if volatile else []
    differs = compare(found(follows=before).seen(), found(follows=after).seen(), [], names).differs
    assert differs == (["!follows="] if more else [])


def test_what_differs_between_two_plain_fetches_is_volatile() -> None:
    one = found({"t": 1, "title": "x", "gap": ""}, follows=2).seen()
    two = found({"t": 2, "title": "x", "gap": "y"}, follows=3).seen()
    assert volatile_in(one, two) == ["!follows", "t"]


def test_a_page_with_endless_fields_and_results_stays_small() -> None:
    findings = found(*({f"f{n}_{m}": "v" for m in range(50)} for n in range(300)), follows=5000)
    seen = findings.seen()
    assert len(seen.fields) <= auto_judge.MAX_FIELDS + 1
    assert (len(seen.follows), seen.more) == (auto_judge.MAX_FOLLOWS, True)
    assert len(verdict(found({f"f{n}": "" for n in range(300)} | {"a": 1})).tokens) <= auto_judge.MAX_TOKENS


def test_patterns_are_the_same_in_any_order() -> None:
    assert pattern_of(["b=", "a="]) == pattern_of(["a=", "b="]) != pattern_of(["a="])


def test_names_that_a_page_made_up_are_short_and_whole() -> None:
    findings = Findings()
    findings.result({"n" * 1_000_000: 1, "a\nb": 2, "a\ud800": 3, "price": 4, "Größe": 5})
    findings.result({"n" * 1_000_000 + "m": 1})
    names = [name for name in findings.seen().fields if not name.startswith("!")]
    assert len(names) == 6
    assert {"price", "Größe"} < set(names)
    assert all(len(name.encode()) <= 120 and "\n" not in name for name in names)
