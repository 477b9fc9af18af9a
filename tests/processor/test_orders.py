"""Deaths in words."""

from __future__ import annotations

import pytest

from crawlkit.processor.orders import how_it_died, where_it_was


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


def test_only_the_handlers_own_lines_are_shown() -> None:
    dump = (
        "Fatal Python error: Segmentation fault\n\nCurrent thread 0x00007f (most recent call first):\n"
        '  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at\n'
        '  File "one.py", line 9 in crash\n'
        '  File "/x/crawlkit/processor/runner.py", line 1 in run\n  File "/x/other.py", line 1 in main\n'
    )
    assert (where_it_was(dump) or "").splitlines()[1:] == [
        '  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at',
        '  File "one.py", line 9 in crash',
    ]
    assert where_it_was("") is None
