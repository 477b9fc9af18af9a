"""When a node takes no more work, and when it does again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs.clock import ManualClock
from crawlkit.libs.load import BELOW, MIB, NO_LIMITS, Gate, Limits, Load


def play(gate: Gate, *loads: Load, every: float = 1.0) -> list[bool]:
    """Whether it is closed after each."""
    clock = ManualClock(0.0)
    closed = []
    for load in loads:
        clock.advance(every)
        gate.look(clock.now, load)
        closed.append(bool(gate.reason))
    return closed


@pytest.mark.parametrize(
    ("limits", "over", "words"),
    [
        (Limits(cpu=200), Load(cpu=400), "over its limit of 200 %"),
        (Limits(memory=100 * MIB), Load(memory=101 * MIB), "memory 101 MiB, over its limit of 100 MiB"),
        (Limits(bandwidth=2 * MIB), Load(bandwidth=9 * MIB), "MiB/s, over its limit of 2 MiB/s"),
        (Limits(inflight=MIB), Load(inflight=1.5 * MIB), "1.5 MiB in flight, over its limit of 1 MiB"),
    ],
)
def test_each_limit_closes_and_opens(limits: Limits, over: Load, words: str) -> None:
    gate = Gate(limits)
    assert play(gate, *[over] * 10)[-1]
    assert words in gate.reason
    assert not play(gate, *[Load()] * 40)[-1]
    assert gate.reason == ""


def test_without_limits_it_never_closes() -> None:
    assert play(Gate(NO_LIMITS), *[Load(1e9, 1e15, 1e15, 1e15)] * 5) == [False] * 5
    assert not NO_LIMITS.any
    assert Limits(cpu=1).any


def test_a_moment_of_work_is_no_load_but_memory_counts_at_once() -> None:
    assert play(Gate(Limits(cpu=100)), Load(), Load(cpu=300), Load(), Load()) == [False] * 4
    assert play(Gate(Limits(memory=10)), Load(), Load(memory=11)) == [False, True]


def test_it_opens_only_well_below_the_limit() -> None:
    gate = Gate(Limits(memory=100))
    used = [50, 101, 100, 95, 91, 89, 95, 100, 101]
    assert play(gate, *(Load(memory=n) for n in used)) == [False, True, True, True, True, False, False, False, True]


def test_it_says_that_it_turned_once() -> None:
    gate, clock = Gate(Limits(memory=100)), ManualClock(0.0)
    turned = [gate.look(clock.now, Load(memory=n)) for n in (10, 200, 300, 200, 10, 10)]
    assert turned == [False, True, False, False, True, False]


loads = st.builds(
    Load, st.floats(0, 400), st.floats(0, 400), st.floats(0, 400), st.floats(0, 400)
)  # fmt: skip


@given(st.lists(st.tuples(st.floats(0.01, 10), loads), max_size=60))
def test_what_always_holds(steps: list[tuple[float, Load]]) -> None:
    gate, now, was = Gate(Limits(200, 200, 200, 200)), 0.0, False
    for passed, load in steps:
        now += passed
        changed = gate.look(now, load)
        closed = bool(gate.reason)
        assert changed == (closed != was)
        if max(load.memory, load.inflight) > 200:
            assert closed
        if closed and not was:  # it never closes for nothing
            assert max(load.memory, load.inflight, load.cpu, load.bandwidth) > 200 * BELOW or steps
        if was and not closed:
            assert max(load.memory, load.inflight) <= 200 * BELOW
        was = closed
    for _ in range(200):  # and an idle node always takes work again
        now += 1.0
        gate.look(now, Load())
    assert gate.reason == ""
