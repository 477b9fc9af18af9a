"""Results are right when they are those of the site, once each."""

from __future__ import annotations

from crawlkit.proving.site import Page
from crawlkit.proving.truth import wrong

TRUTH = {"a": Page("t", "h", "1"), "b": Page("t", "h", "2"), "c": Page("t", "h", "3")}


def line(price: str) -> dict[str, str]:
    return {"title": "t", "h1": "h", "price": price, "more": "is not asked for"}


def test_nothing_is_wrong_with_what_is_right() -> None:
    assert wrong([("b", line("2")), ("a", line("1")), ("c", line("3"))], TRUTH) == []


def test_it_names_what_is_missing_twice_wrong_or_from_elsewhere() -> None:
    found = wrong([("a", line("1")), ("a", line("1")), ("b", line("9")), ("d", {"title": "t"})], TRUTH)
    assert found == [
        "twice: a",
        "missing: c",
        "wrong: b: Page(title='t', h1='h', price='9')",
        "wrong: d: Page(title='t', h1=None, price=None)",
    ]
