"""Deaths in words."""

from __future__ import annotations

import pytest

from crawlkit.processor.orders import how_it_died


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (9, "killed by signal 9 (SIGKILL)"),
        (134, "killed by signal 6 (SIGABRT)"),
        (3 << 8, "exit code 3"),
        (0, "exit code 0"),
        (50, "killed by signal 50"),
        (None, "it is gone"),
    ],
)
def test_a_status_is_said_in_words(status: int | None, words: str) -> None:
    assert how_it_died(status) == words
