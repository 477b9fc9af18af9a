"""Counters over sliding windows."""

from __future__ import annotations

import time
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlkit.libs.counters import WINDOWS, Counters

NOW = 1_700_000_000.0 - 1_700_000_000.0 % 600  # a slot of every window begins here


def test_S65_every_window_and_all() -> None:
    counters = Counters()
    counters.add("p", "pending", 3, NOW)
    counters.add("p", "success", 2, NOW + 1)
    counters.add("q", "failed", 1, NOW + 2)
    for window in ("5m", "1h", "1d", "all"):
        assert counters.sum(window, NOW + 5) == {"p": {"pending": 3, "success": 2}, "q": {"failed": 1}}


def test_S65_retries_are_not_in_all() -> None:
    counters = Counters()
    counters.add("p", "retry", 4, NOW)
    assert counters.sum("5m", NOW) == {"p": {"retry": 4}}
    assert counters.sum("all", NOW) == {}


@pytest.mark.parametrize(("window", "span"), [("5m", 300), ("1h", 3600), ("1d", 86_400)])
def test_S65_what_is_older_than_the_window_is_gone(window: str, span: int) -> None:
    counters = Counters()
    counters.add("p", "success", 1, NOW)
    assert counters.sum(window, NOW + span - 1) == {"p": {"success": 1}}
    assert counters.sum(window, NOW + span) == {}
    assert counters.sum("all", NOW + 10 * span) == {"p": {"success": 1}}


def test_an_unknown_window_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="5m, 1h, 1d, all"):
        Counters().sum("1w", NOW)


def test_averages_of_five_minutes() -> None:
    counters = Counters()
    counters.observe("p", "fetch_time", 1.0, NOW)
    counters.observe("p", "fetch_time", 2.0, NOW + 200)
    counters.observe("p", "process_time", 0.5, NOW + 200)
    assert counters.avg(NOW + 201) == {"p": {"fetch_time": 1.5, "process_time": 0.5}}
    assert counters.avg(NOW + 310) == {"p": {"fetch_time": 2.0, "process_time": 0.5}}
    assert counters.avg(NOW + 1000) == {}


def test_values_that_were_added_up_count_as_many() -> None:
    counters = Counters()
    counters.observe("p", "fetch_time", 1.0, NOW)
    counters.observe("p", "fetch_time", 5.0, NOW, 2)
    assert counters.avg(NOW + 1) == {"p": {"fetch_time": 2.0}}


def test_totals_from_the_rows() -> None:
    counters = Counters()
    counters.add("p", "success", 5, NOW)
    counters.set_total("p", "success", 700)
    counters.add("p", "success", 1, NOW)
    assert counters.sum("all", NOW) == {"p": {"success": 701}}
    assert counters.sum("5m", NOW) == {"p": {"success": 6}}


def test_drop() -> None:
    counters = Counters()
    counters.add("p", "success", 1, NOW)
    counters.observe("p", "fetch_time", 1, NOW)
    counters.drop("p")
    counters.drop("never seen")
    assert counters.sum("all", NOW) == counters.sum("5m", NOW) == counters.avg(NOW) == {}


def test_S66_kept_over_a_restart_less_what_is_too_old() -> None:
    counters = Counters()
    counters.add("p", "success", 1, NOW)
    counters.add("p", "success", 10, NOW + 250)
    counters.observe("p", "fetch_time", 3, NOW + 250)
    again = Counters()
    again.add("old", "success", 1, NOW)
    again.load(counters.dump(), NOW + 305)
    assert again.sum("5m", NOW + 305) == {"p": {"success": 10}}
    assert again.sum("1h", NOW + 305) == {"p": {"success": 11}}
    assert again.avg(NOW + 305) == {"p": {"fetch_time": 3}}
    later = Counters()
    later.load(counters.dump(), NOW + 7 * 86_400)
    assert later.sum("1d", NOW + 7 * 86_400) == {}
    assert later.sum("all", NOW + 7 * 86_400) == {"p": {"success": 11}}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"p":1}', '{"p":{"events":{"success":{"5m":"x"}}}}', "\x00"])
def test_an_unreadable_dump_counts_from_nothing(text: str) -> None:
    counters = Counters()
    counters.load(text, NOW)
    assert counters.sum("all", NOW) == {}


def test_a_window_that_is_no_longer_known_is_passed_over() -> None:
    counters = Counters()
    counters.load('{"p":{"totals":{"success":2},"events":{"success":{"9y":[[1,2]]}}}}', NOW)
    assert counters.sum("all", NOW) == {"p": {"success": 2}}


def test_a_clock_set_back_a_little_loses_nothing_and_by_much_starts_anew() -> None:
    counters = Counters()
    counters.add("p", "success", 1, NOW)
    counters.add("p", "success", 1, NOW - 100)
    assert counters.sum("5m", NOW - 100) == {"p": {"success": 2}}
    counters.add("p", "success", 1, NOW - 86_400 * 30)
    assert counters.sum("5m", NOW - 86_400 * 30) == {"p": {"success": 1}}
    assert counters.sum("all", NOW) == {"p": {"success": 3}}


def test_memory_does_not_grow_with_what_is_counted() -> None:
    counters = Counters()
    for second in range(0, 90_000, 5):
        counters.add("p", "success", 1, NOW + second)
        counters.observe("p", "fetch_time", 1, NOW + second)
    size = len(counters.dump())
    for second in range(90_000, 200_000, 5):
        counters.add("p", "success", 1, NOW + second)
        counters.observe("p", "fetch_time", 1, NOW + second)
    assert len(counters.dump()) < size * 1.1
    assert counters.sum("1d", NOW + 200_000)["p"]["success"] == pytest.approx(17_280, abs=120)


def test_an_add_takes_a_few_microseconds() -> None:
    counters = Counters()
    started = time.process_time()
    for n in range(20_000):
        counters.add("p", "success", 1, NOW + n / 100)
    assert (time.process_time() - started) / 20_000 < 50e-6  # generous: a loaded machine must not fail it


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    steps=st.lists(
        st.tuples(
            st.floats(0, 2000), st.sampled_from(["p", "q"]), st.sampled_from(["pending", "failed"]), st.integers(1, 9)
        ),
        max_size=40,
    ),
    restart=st.integers(0, 40),
)
def test_sums_are_those_of_a_plain_list(steps: list[tuple[float, str, str, int]], restart: int) -> None:
    counters, now = Counters(), NOW
    history: list[tuple[float, str, str, int]] = []
    for number, (pause, project, event, n) in enumerate(steps):
        now += pause
        counters.add(project, event, n, now)
        history.append((now, project, event, n))
        if number == restart:
            text = counters.dump()
            counters = Counters()
            counters.load(text, now)
        for window, (size, width) in WINDOWS.items():
            expected: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
            for when, p, e, k in history:
                if when // width > now // width - size:
                    expected[p][e] += k
            assert counters.sum(window, now) == expected
