"""How long turns take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.scheduler.turn_times import FIRST, SPAN, TurnTimes

times = st.floats(min_value=1e-4, max_value=100.0)


def filled(*seconds: float, at: float = 0.0) -> TurnTimes:
    found = TurnTimes()
    for one in seconds:
        found.add(one, at)
    return found


def test_nothing_took_no_time() -> None:
    assert TurnTimes().quantiles(0.5, 0.99) == [0.0, 0.0]


def test_what_is_very_short_or_very_long_has_a_place() -> None:
    assert filled(0.0).quantiles(1.0) == [FIRST]
    assert 250 < filled(1e9).quantiles(1.0)[0] < 400


def test_one_slow_turn_of_a_hundred_is_the_longest_and_not_the_p99() -> None:
    found = filled(*[0.010] * 99, 0.5)
    median, slow, longest = found.quantiles(0.5, 0.99, 1.0)
    assert (median, slow, longest) == (pytest.approx(0.010, rel=0.1), median, pytest.approx(0.5, rel=0.1))


@given(st.lists(times, min_size=1, max_size=60), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_right_to_a_tenth_and_never_too_small(seconds: list[float], part: float) -> None:
    exact = sorted(seconds)[max(0, -int(-len(seconds) * part // 1) - 1)]
    (found,) = filled(*seconds).quantiles(part)
    assert exact * (1 - 1e-9) <= found <= exact * 1.1


@pytest.mark.parametrize(
    ("later", "longest"), [(SPAN - 1, 5.0), (SPAN + 1, 5.0), (2 * SPAN + 1, 0.001)], ids=["new", "older", "forgotten"]
)
def test_old_turns_are_forgotten(later: float, longest: float) -> None:
    found = filled(5.0)
    found.add(0.001, later)
    assert found.quantiles(1.0) == [pytest.approx(longest, rel=0.1)]


def test_the_younger_half_becomes_the_older_one() -> None:
    found = filled(5.0)
    found.add(0.001, SPAN + 1)
    found.add(0.001, 2 * SPAN + 2)
    assert found.quantiles(1.0) == [pytest.approx(0.001, rel=0.1)]
