"""Pausing of projects that only fail."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlkit.scheduler.pause import TRANSITIONS, PauseState

NOW = 1_700_000_000.0


def fail(pause: PauseState, times: int, now: float = NOW) -> str:
    for _ in range(times):
        pause.record(False, now)
    return pause.state(now)


def paused() -> PauseState:
    pause = PauseState()
    assert fail(pause, 10) == "paused"
    return pause


def checking() -> PauseState:
    pause = paused()
    assert pause.state(NOW + 300) == "checking"
    return pause


def test_T20_fewer_than_ten_failures_do_not_pause() -> None:
    assert fail(PauseState(), 9) == "running"


def test_T20_a_success_between_does_not_pause() -> None:
    pause = PauseState()
    for _ in range(5):
        fail(pause, 9)
        pause.record(True, NOW)
    assert pause.state(NOW) == "running"


def test_T20_ten_failures_pause() -> None:
    pause = paused()
    assert pause.state(NOW + 299) == "paused"
    assert pause.wake_at(NOW + 1) == NOW + 300
    assert pause.allowance(NOW + 1, 0) == 0


def test_T20_after_the_pause_it_is_checked() -> None:
    pause = checking()
    assert pause.wake_at(NOW + 300) is None
    assert pause.state(NOW + 10_000) == "checking"


def test_T20_three_failures_pause_again() -> None:
    pause = checking()
    assert fail(pause, 2, NOW + 301) == "checking"
    assert fail(pause, 1, NOW + 302) == "paused"
    assert pause.wake_at(NOW + 302) == NOW + 602
    assert pause.state(NOW + 602) == "checking"
    assert fail(pause, 3, NOW + 603) == "paused"


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_T20_one_success_runs_again(failures: int) -> None:
    pause = checking()
    fail(pause, failures, NOW + 301)
    pause.record(True, NOW + 301)
    assert pause.state(NOW + 301) == "running"
    assert fail(pause, 9, NOW + 302) == "running"
    assert fail(pause, 1, NOW + 302) == "paused"


def test_T20_no_limit_no_pause() -> None:
    pause = PauseState(fail_pause_num=0)
    assert fail(pause, 1000) == "running"
    assert pause.wake_at(NOW) is None


def test_results_of_before_the_pause_say_nothing() -> None:
    pause = paused()
    pause.record(True, NOW + 1)
    assert fail(pause, 50, NOW + 2) == "paused"
    assert pause.state(NOW + 300) == "checking"
    assert pause.allowance(NOW + 300, 0) == 3


def test_only_a_few_tasks_are_out_while_checking() -> None:
    pause = checking()
    assert [pause.allowance(NOW + 300, out) for out in range(5)] == [3, 2, 1, 0, 0]
    fail(pause, 1, NOW + 301)
    assert [pause.allowance(NOW + 301, out) for out in range(3)] == [2, 1, 0]
    pause.record(True, NOW + 301)
    assert pause.allowance(NOW + 301, 100) == math.inf


def test_clear() -> None:
    for pause in (paused(), checking()):
        pause.clear()
        assert pause.state(NOW + 300) == "running"
        assert fail(pause, 9, NOW + 300) == "running"


def test_a_clock_set_back_does_not_prolong_the_pause() -> None:
    pause = paused()
    assert pause.state(NOW - 86_400) == "paused"
    assert pause.wake_at(NOW - 86_400) == NOW - 86_400 + 300
    assert pause.state(NOW - 86_400 + 300) == "checking"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"state":"asleep"}', '{"since":"x"}', "null"])
def test_an_unreadable_state_is_running(text: str) -> None:
    assert PauseState.from_json(text).state(NOW) == "running"


def test_kept_over_a_restart() -> None:
    again = PauseState.from_json(paused().to_json())
    assert again.wake_at(NOW + 1) == NOW + 300
    half = checking()
    fail(half, 2, NOW + 301)
    again = PauseState.from_json(half.to_json())
    assert again.state(NOW + 301) == "checking"
    assert fail(again, 1, NOW + 302) == "paused"


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([0.0, 1.0, 40.0, 100.0, 400.0]), st.sampled_from(["ok", "bad", "bad", "bad", "keep"])
        ),
        max_size=80,
    ),
    fails=st.integers(1, 4),
    checks=st.integers(1, 3),
)
def test_histories(steps: list[tuple[float, str]], fails: int, checks: int) -> None:
    limits = (fails, 100.0, checks)
    pause, now = PauseState(*limits), NOW
    row = 0
    before = "running"
    for wait, what in steps:
        now += wait
        state = pause.state(now)
        if state != before:
            assert (before, "time") in TRANSITIONS
            row = 0
        if what == "keep":
            pause = PauseState.from_json(pause.to_json(), *limits)
            assert pause.state(now) == state
        else:
            row = 0 if what == "ok" or state == "paused" else row + 1
            pause.record(what == "ok", now)
            after = pause.state(now)
            if state == "paused":
                assert after == "paused"
            elif what == "ok":
                assert after == "running"
            else:
                limit = fails if state == "running" else checks
                assert after == ("paused" if row == limit else state)
            if after != state:
                row = 0
        before = pause.state(now)
        wake = pause.wake_at(now)
        assert (wake is None) == (before != "paused")
        assert wake is None or now < wake <= now + 100
        assert (pause.allowance(now, 0) > 0) == (before != "paused")
