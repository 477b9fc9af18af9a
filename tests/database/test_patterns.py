"""Patterns with stars: what they mean, and that a hostile one ends."""

from __future__ import annotations

import itertools

import pytest

from crawlkit.database.rules import url_matcher
from crawlkit.database.searching import result_fits
from crawlkit.libs.rows import ResultRow
from crawlkit.libs.searches import ResultSearch


def truth(pattern: str, text: str) -> bool:
    """What a star means, by the book: row by row, no cleverness."""
    reach = {0}
    for sign in pattern:
        if sign == "*":
            reach = set(range(min(reach), len(text) + 1)) if reach else set()
        else:
            reach = {at + 1 for at in reach if at < len(text) and text[at] == sign}
    return len(text) in reach


def test_every_small_pattern_means_what_the_book_says() -> None:
    texts = ["".join(signs) for size in range(6) for signs in itertools.product("ab", repeat=size)]
    for size in range(1, 6):
        for signs in itertools.product("ab*", repeat=size):
            pattern = "".join(signs)
            if "*" not in pattern:
                continue
            matches = url_matcher(pattern)
            for text in texts:
                assert matches(text) == truth(pattern, text), (pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("ab", "xabx", True),
        ("AB", "xabx", False),
        ("a.b*", "axbc", False),
        ("a*\n*b", "a\n\nb", True),
        ("h*/a?b=[1]*", "http://x/a?b=[1]&c", True),
        ("*é*", "café!", True),
    ],
)
def test_signs_mean_themselves_and_case_counts(pattern: str, text: str, fits: bool) -> None:
    assert url_matcher(pattern)(text) is fits


@pytest.mark.parametrize("pattern", ["*" * 25 + "TTP*", "*a" * 25 + "*b", "a*" * 2_000 + "b", "*" * 4_000 + "b"])
def test_a_hostile_pattern_ends(pattern: str) -> None:
    """With a regular expression this test would not end in the life of its machine."""
    assert url_matcher(pattern)("a" * 100_000) is False


def test_a_hostile_value_of_a_field_ends() -> None:
    fits = result_fits(ResultSearch("p", field="aaaa", value="*a*a*a*a*a*b*a" * 20))
    row = ResultRow("p", "t", 1, 0, "http://x/", '{"aaaa": "' + "A" * 100_000 + '"}', 0.0, 1)
    assert fits is not None
    assert not fits(row)
    same = result_fits(ResultSearch("p", field="aaaa", value="*A*a*"))
    assert same is not None
    assert same(row)
