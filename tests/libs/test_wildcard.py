"""What a pattern fits, and that none is slow."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs.wildcard import Wildcard


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_as_a_shell_reads_it(pattern: str, text: str) -> None:
    assert Wildcard(pattern).fits(text) == fnmatchcase(text, pattern)


@pytest.mark.parametrize(("pattern", "text", "fits"), [("a*a", "a", False), ("a.b", "axb", False), ("", "", True)])
def test_edges(pattern: str, text: str, fits: bool) -> None:
    assert Wildcard(pattern).fits(text) is fits


def test_no_pattern_is_slow() -> None:
    began = time.process_time()
    assert not Wildcard("*" + "a*" * 120 + "b").fits("a" * 250 + ".x")
    assert not Wildcard("*a" * 100 + "*b*c").fits("a" * 60_000)
    assert time.process_time() - began < 0.5


def test_equal_by_their_text() -> None:
    assert Wildcard("*.a") == Wildcard("*.a") != Wildcard("*.b")
    assert len({Wildcard("*.a"), Wildcard("*.a")}) == 1
