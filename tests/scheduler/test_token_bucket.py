"""The bucket of a project's rate."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlkit.scheduler.token_bucket import TokenBucket

NOW = 1_700_000_000.0


def test_T02_starts_full_and_refills_with_time() -> None:
    bucket = TokenBucket(100, 1000, NOW)
    assert bucket.available(NOW) == 1000
    assert bucket.take(NOW, 100)
    assert bucket.available(NOW) == 900
    assert bucket.available(NOW + 0.1) == pytest.approx(910, abs=0.01)
    assert bucket.available(NOW + 0.2) == pytest.approx(920, abs=0.01)
    assert bucket.available(NOW + 100) == 1000


def test_burst_then_the_rate() -> None:
    bucket = TokenBucket(1, 3, NOW)
    assert [bucket.take(NOW) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait(NOW) == pytest.approx(1, abs=1e-5)
    assert not bucket.take(NOW + 0.9)
    assert bucket.take(NOW + 1)
    assert not bucket.take(NOW + 1)


@pytest.mark.parametrize("rate", [0.001, 0.1, 1 / 3, 1, 7, 1e6])
def test_any_positive_rate_works(rate: float) -> None:
    bucket = TokenBucket(rate, 1, NOW)
    now = NOW
    assert bucket.take(now)
    for _ in range(50):
        now += bucket.wait(now)
        assert bucket.wait(now) == 0
        assert bucket.take(now)
    assert now - NOW == pytest.approx(50 / rate, rel=1e-3, abs=1e-3)


def test_small_steps_lose_nothing() -> None:
    bucket = TokenBucket(1, 3, NOW)
    bucket.take(NOW, 3)
    for step in range(1, 1001):
        bucket.available(NOW + step / 1000)
    assert bucket.available(NOW + 1) == 1
    assert bucket.take(NOW + 1)


def test_unlimited_and_nothing() -> None:
    unlimited = TokenBucket(None, 1, NOW)
    assert unlimited.available(NOW) == math.inf
    assert unlimited.take(NOW, 10**9)
    assert unlimited.wait(NOW, 10**9) == 0
    nothing = TokenBucket(0, 5, NOW)
    assert nothing.available(NOW + 1e9) == 0
    assert not nothing.take(NOW + 1e9)
    assert nothing.wait(NOW) == math.inf


def test_more_than_the_burst_never_comes() -> None:
    bucket = TokenBucket(1, 3, NOW)
    assert bucket.wait(NOW, 4) == math.inf
    assert not bucket.take(NOW + 1e6, 4)


@pytest.mark.parametrize("burst", [0.99, 0, -1, math.nan, math.inf])
def test_a_burst_without_room_for_a_task_is_refused(burst: float) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        TokenBucket(1, burst, NOW)
    with pytest.raises(ValueError, match="at least 1"):
        TokenBucket(1, 1, NOW).change(1, burst, NOW)


@pytest.mark.parametrize("rate", [-1, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="tasks per second"):
        TokenBucket(rate, 1, NOW)


def test_change_keeps_tokens_up_to_the_new_burst() -> None:
    bucket = TokenBucket(1, 10, NOW)
    bucket.take(NOW, 4)
    bucket.change(2, 20, NOW + 1)
    assert bucket.available(NOW + 1) == 7
    bucket.change(2, 5, NOW + 1)
    assert bucket.available(NOW + 1) == 5
    bucket.change(0, 5, NOW + 1)
    assert bucket.available(NOW + 100) == 0
    bucket.change(1, 5, NOW + 100)
    assert bucket.available(NOW + 100) == 5
    bucket.change(None, 5, NOW + 100)
    assert bucket.take(NOW + 100, 1000)


def test_kept_over_a_restart_on_another_clock() -> None:
    bucket = TokenBucket(0.5, 4, 1000.0)
    bucket.take(1000.0, 4)
    text = bucket.dump(1002.0, NOW)
    again = TokenBucket(0.5, 4, 1.0)
    again.load(text, 7.0, NOW + 2)
    assert again.available(7.0) == 2
    assert again.available(9.0) == 3
    again.load(text, 9.0, NOW - 500)  # the date was set back
    assert again.available(9.0) == 1
    again.load(text, 9.0, NOW + 500)
    assert again.available(9.0) == 4


@pytest.mark.parametrize("text", ["", "x y", "1", "1 2 3", "nan 1", "1 inf"])
def test_an_unreadable_text_changes_nothing(text: str) -> None:
    bucket = TokenBucket(1, 3, NOW)
    bucket.take(NOW)
    bucket.load(text, NOW, NOW)
    assert bucket.available(NOW) == 2


def test_give_back_never_overfills() -> None:
    bucket = TokenBucket(1, 3, NOW)
    bucket.take(NOW, 2)
    bucket.give_back(1)
    assert bucket.available(NOW) == 2
    bucket.give_back(5)
    assert bucket.available(NOW) == 3


def test_a_clock_set_back_neither_fills_nor_starves() -> None:
    bucket = TokenBucket(1, 10, NOW)
    bucket.take(NOW, 10)
    assert bucket.available(NOW - 86_400) == 0
    assert bucket.available(NOW - 86_400 + 2) == pytest.approx(2, abs=1e-6)
    assert bucket.available(NOW) == 10


def test_jitter_makes_no_tokens() -> None:
    bucket = TokenBucket(100, 100, NOW)
    bucket.take(NOW, 100)
    bucket.available(NOW - 1.5)
    assert bucket.available(NOW - 1.4) == pytest.approx(10, abs=0.01)
    bucket = TokenBucket(100, 100, NOW)
    bucket.take(NOW, 100)
    for _ in range(1000):
        assert bucket.available(NOW - 0.5) == 0
        assert bucket.available(NOW) == 0
    assert bucket.wait(NOW - 0.5) == pytest.approx(0.51, abs=1e-3)


steps = st.lists(
    st.tuples(st.floats(0, 100, allow_subnormal=False), st.integers(1, 5), st.booleans()), min_size=1, max_size=60
)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    rate=st.one_of(st.floats(1e-3, 1e4), st.just(0.0)),
    burst=st.floats(1, 1000),
    steps=steps,
)
def test_never_more_than_burst_and_rate_in_any_window(
    rate: float, burst: float, steps: list[tuple[float, int, bool]]
) -> None:
    now = NOW
    bucket = TokenBucket(rate, burst, now)
    taken: list[tuple[float, int]] = []
    for pause, n, greedy in steps:
        now += pause
        for _ in range(int(burst) + 2 if greedy and burst < 50 else 1):
            if bucket.take(now, n):
                taken.append((now, n))
    for i, (start, _) in enumerate(taken):
        total = 0
        for end, n in taken[i:]:
            total += n
            assert total <= burst + rate * (end - start) + 2e-6 + rate * 1e-6


@settings(deadline=None, derandomize=True, max_examples=100)
@given(rate=st.floats(1e-3, 1e5), burst=st.floats(1, 1e5), n=st.integers(1, 20), used=st.floats(0, 1))
def test_waiting_is_enough_and_not_too_long(rate: float, burst: float, n: int, used: float) -> None:
    bucket = TokenBucket(rate, burst, NOW)
    bucket.take(NOW, burst * used)
    wait = bucket.wait(NOW, n)
    if n > burst:
        assert wait == math.inf
        return
    if wait > 1e-3:
        other = TokenBucket(rate, burst, NOW)
        other.take(NOW, burst * used)
        assert not other.take(NOW + wait - 1e-4 - 1e-5 / rate, n)
    assert bucket.take(NOW + wait, n)
