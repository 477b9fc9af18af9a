"""What holds for every backend: the tokens that schedulers share, and what a store is told that lost a partition."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from crawlkit.database.rules import SKEW, draw, not_owner
from crawlkit.libs.rows import Allowance, Owner

steps = st.lists(
    st.tuples(st.floats(0, 5), st.sampled_from([0.0, 2.0, -2.0, 0.3]), st.integers(0, 6)), min_size=1, max_size=60
)


@given(steps, st.sampled_from([0.1, 1.0, 5.0, 7.3]), st.sampled_from([1.0, 3.0, 10.5]))
def test_all_together_get_no_more_also_with_clocks_that_differ(
    steps: list[tuple[float, float, int]], rate: float, burst: float
) -> None:
    """Of clocks that differ by some seconds the one that is ahead counts."""
    held, now, total = None, 1_700_000_000.0, 0
    readings: list[float] = []
    for passed, shift, want in steps:
        now += passed
        readings.append(now + shift)
        left, granted, wait = draw(held, now + shift, want, rate, burst)
        assert left is not None
        assert 0 <= granted <= want
        assert left.tokens <= burst
        assert left.tokens > -1e-5
        if granted < want:
            assert wait > 0
        held, total = left, total + granted
        assert total <= burst + rate * (max(readings) - readings[0]) + 1e-4


@given(st.floats(0.01, 100), st.integers(1, 20))
def test_a_token_is_there_after_the_wait_and_not_before(rate: float, burst: int) -> None:
    now = 1_700_000_000.0
    held, granted, wait = draw(None, now, burst, rate, burst)
    assert granted == burst
    assert wait == pytest.approx(1 / rate)
    assert draw(held, now + wait * 0.98, 1, rate, burst)[1] == 0
    assert draw(held, now + wait + 1e-5, 1, rate, burst)[1] == 1
    assert draw(held, now - 2, 1, rate, burst)[2] == pytest.approx(2 + 1 / rate)


@pytest.mark.parametrize(
    ("held", "now", "want", "left", "granted"),
    [
        (Allowance(0.0, 100.0), 103.0, 9, Allowance(0.0, 103.0), 3),
        (Allowance(0.5, 100.0), 100.0, 1, Allowance(0.5, 100.0), 0),
        (Allowance(2.0, 100.0), 9_999.0, 1, Allowance(3.0, 9_999.0), 1),  # never more than the bucket holds
        (Allowance(9.0, 100.0), 100.0, 9, Allowance(0.0, 100.0), 4),  # a burst that was larger
        (Allowance(2.0, 100.0), 99.0, 1, Allowance(1.0, 100.0), 1),
        (Allowance(0.0, 1e6), 1e6 - 2 * SKEW, 1, Allowance(0.0, 1e6 - 2 * SKEW), 0),  # a clock that was set back
        (Allowance(0.5, 100.0), 200.0, -3, Allowance(4.0, 200.0), 0),
    ],
)
def test_what_is_left(held: Allowance, now: float, want: int, left: Allowance, granted: int) -> None:
    assert draw(held, now, want, 1.0, 4.0)[:2] == (left, granted)


def test_no_rate_gives_nothing_and_changes_nothing() -> None:
    assert draw(Allowance(3.0, 1.0), 99.0, 1, 0.0, 3.0) == (None, 0, math.inf)


def test_who_lost_something_is_told_what() -> None:
    owner = Owner("x", "host pid 3 boot/pid:[1]", 9.0)
    assert not_owner("taskdb x", {0}, 0, owner).endswith("host, pid 3 has it now; this scheduler stops and leaves"
                                                         " everything to it")  # fmt: skip
    assert not_owner("taskdb x", {0, 4}, 4, owner) == (
        "taskdb x: the scheduler on host, pid 3 has partition 4 now; nothing of this was kept"
    )
    assert "nobody has partition 1" in not_owner("taskdb x", {1}, 1, None)
