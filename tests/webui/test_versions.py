"""What a save does to a project, and what stands between two versions."""

from __future__ import annotations

import pytest

from crawlkit.libs.rows import ProjectRow
from crawlkit.webui.versions import counts, diff_lines, status_after_save, syntax_of, unified


@pytest.mark.parametrize(
    ("status", "pin", "keep", "after"),
    [
        ("RUNNING", "", False, "CHECKING"),
        ("DEBUG", "", False, "CHECKING"),
        ("RUNNING", "", True, "RUNNING"),
        ("RUNNING", "0" * 32, False, "RUNNING"),
        ("STOP", "", False, "STOP"),
        ("TODO", "", False, "TODO"),
    ],
)
def test_W46_a_save_stops_what_would_run_it_unless_told(status: str, pin: str, keep: bool, after: str) -> None:
    assert status_after_save(ProjectRow("p", status=status, pin=pin), keep) == after


def test_syntax() -> None:
    assert syntax_of("x = 1") == []
    (spot,) = syntax_of("x = 1\ny = (")
    assert spot.line == 2
    assert syntax_of("x\0")
    assert syntax_of("(" * 100_000)


def test_a_difference_with_numbers_on_both_sides() -> None:
    old, new = "a\nb\nc\n", "a\nx\nc\nd"
    text = unified(old, new, "one", "two")
    assert text.startswith("--- one\n+++ two\n@@ -1,3 +1,4 @@\n")
    assert [(line.kind, line.old, line.new, line.text) for line in diff_lines(text)[1:]] == [
        (" ", 1, 1, "a"), ("-", 2, None, "b"), ("+", None, 2, "x"), (" ", 3, 3, "c"), ("+", None, 4, "d"),
    ]  # fmt: skip
    assert counts(old, new) == (2, 1)
    assert unified(old, old, "one", "two") == ""
    assert diff_lines("") == []
    assert [(line.kind, line.new) for line in diff_lines(unified("", "a", "one", "two"))] == [("@", None), ("+", 1)]
