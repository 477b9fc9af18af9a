"""The estimate: a range where something can be said, nothing where not."""

from __future__ import annotations

import pytest

from crawlkit.scheduler.eta import Span, eta

CASES: list[tuple[int, list[Span], float | None, tuple[float, float | None] | None]] = [
    (100, [Span(100, 100, 0)], None, (100, 100)),
    (100, [Span(100, 100, 0), Span(1000, 500, 0)], None, (100, 200)),
    (100, [Span(100, 100, 50)], None, (100, 200)),  # each two bring one more
    (100, [Span(100, 100, 50)], 0.5, (200, 400)),  # no faster than it may
    (100, [Span(100, 100, 100)], None, (100, None)),  # it grows as fast as it shrinks
    (100, [Span(100, 100, 300)], None, (100, None)),
    (0, [Span(100, 100, 0)], None, None),
    (100, [], None, None),
    (100, [Span(0, 0, 0), Span(3600, 100, 0)], None, None),  # nothing lately
    (100, [Span(100, 100, 0)], 0.0, None),
    (10**12, [Span(100, 1, 0)], None, None),
    (1000, [Span(100, 100, 0), Span(3600, 0, 0)], None, (1000, 1000)),
]


@pytest.mark.parametrize(("todo", "spans", "rate", "expected"), CASES)
def test_eta(todo: int, spans: list[Span], rate: float | None, expected: tuple[float, float | None] | None) -> None:
    assert eta(todo, spans, rate) == expected


def test_nothing_ends_before_what_waits_for_its_time() -> None:
    assert eta(10, [Span(100, 100, 0)], wait=300) == (300, 300)
    assert eta(10, [Span(100, 100, 0)], wait=5) == (10, 10)
