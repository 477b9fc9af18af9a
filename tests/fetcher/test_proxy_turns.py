"""Turns among proxies, played without a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.fetcher import proxy_turns
from crawlkit.fetcher.proxy import parse
from crawlkit.fetcher.proxy_turns import FIRST_PAUSE, LONGEST_PAUSE, ProxyTurns
from crawlkit.libs.proxy import Proxy

A, B, C = [parse(f"{name}.example:1") for name in "abc"]


def hosts(turns: ProxyTurns, pool: list[Proxy], now: float, count: int) -> str:
    return "".join(turns.choose(pool, now).host[0] for _ in range(count))


def test_everyone_has_a_turn() -> None:
    turns = ProxyTurns()
    assert hosts(turns, [A, B, C], 0, 7) == "abcabca"
    assert hosts(turns, [C, A], 0, 3) == "cac"  # another list has turns of its own
    assert hosts(turns, [A, B, C], 0, 2) == "bc"


@pytest.mark.parametrize("kind", ["connect", "connect_timeout", "proxy"])
def test_a_failed_one_cools_off(kind: str) -> None:
    turns = ProxyTurns()
    turns.ended(B, 599, kind, 99, 100)
    assert hosts(turns, [A, B, C], 100, 4) == "acac"
    assert hosts(turns, [B, A], 129.9, 2) == "aa"  # in every list
    assert hosts(turns, [A, B, C], 130, 3) == "abc"


def test_a_refusal_of_the_proxy_itself_counts() -> None:
    turns = ProxyTurns()
    turns.ended(A, 407, None, 0, 0)
    assert hosts(turns, [A, B], 1, 2) == "bb"


@pytest.mark.parametrize(
    ("status", "kind"), [(599, "timeout"), (599, "too_large"), (599, "dns"), (404, None), (503, None)]
)
def test_what_is_not_the_proxys_fault(status: int, kind: str | None) -> None:
    turns = ProxyTurns()
    turns.ended(A, status, kind, 0, 0)
    assert hosts(turns, [A, B], 1, 2) == "ab"


def test_the_pause_doubles_up_to_ten_minutes() -> None:
    turns, now, pauses = ProxyTurns(), 0.0, []
    for _ in range(8):
        turns.ended(A, 599, "connect", now, now)
        low, high = 0.0, 2000.0
        while high - low > 0.001:
            middle = (low + high) / 2
            low, high = (low, middle) if turns.choose([A, B], now + middle) is A else (middle, high)
            turns._next.clear()
        pauses.append(round(high))
        now += high
    assert pauses == [30, 60, 120, 240, 480, 600, 600, 600]
    turns.ended(A, 200, None, now, now)
    turns.ended(A, 599, "proxy", now, now)
    assert turns.choose([A, B], now + FIRST_PAUSE) is A  # a success forgives everything


def test_many_that_fail_together_are_one_failure() -> None:
    turns = ProxyTurns()
    for number in range(100):
        turns.ended(A, 599, "connect", 0, 20 + number / 100)
    assert turns.choose([A, B], 50.1) is A


def test_the_least_bad_when_all_are_cooling() -> None:
    turns = ProxyTurns()
    for proxy, times in ((A, 3), (B, 1), (C, 2)):
        for time in range(times):
            turns.ended(proxy, 599, "connect", time, time)
    assert hosts(turns, [A, B, C], 5, 2) == "bb"
    turns.ended(B, 599, "connect", 6, 6)
    assert hosts(turns, [A, B, C], 7, 1) == "c"  # as often as B, and ready earlier
    turns.ended(C, 200, None, 7, 7)
    assert hosts(turns, [A, B, C], 8, 3) == "ccc"


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_turns, "MOST_LISTS", 3)
    monkeypatch.setattr(proxy_turns, "MOST_PROXIES", 3)
    turns = ProxyTurns()
    for number in range(50):
        proxy = parse(f"p{number}.example:1")
        turns.choose([proxy, A], 0)
        turns.ended(proxy, 599, "connect", 0, 0)
    assert len(turns._next) == len(turns._bad) == 3


events = st.lists(
    st.tuples(st.sampled_from([A, B, C]), st.sampled_from([None, "connect", "timeout"]), st.floats(0, 400))
)


@given(events)
def test_whatever_happened_there_is_one_and_never_a_cooling_one_beside_a_fresh_one(
    history: list[tuple[Proxy, str | None, float]],
) -> None:
    turns, now = ProxyTurns(), 0.0
    for proxy, kind, pause in history:
        turns.ended(proxy, 200 if kind is None else 599, kind, now, now)
        now += pause
    cooling = {proxy for proxy in (A, B, C) if proxy in turns._bad and turns._bad[proxy].until > now}
    for _ in range(4):
        chosen = turns.choose([A, B, C], now)
        assert len(cooling) == 3 or chosen not in cooling
    pauses = [bad.until - bad.since for bad in turns._bad.values()]
    assert all(FIRST_PAUSE - 0.001 <= pause <= LONGEST_PAUSE + 0.001 for pause in pauses)
