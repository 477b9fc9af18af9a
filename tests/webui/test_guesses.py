"""R-63: how often passwords may be guessed."""

from __future__ import annotations

import pytest

from crawlkit.webui.guesses import A_MINUTE, LONGEST, GuessLimits


def test_r63_the_delay_grows() -> None:
    limits, now, waits = GuessLimits(a_minute=1000), 0.0, []
    for _ in range(12):
        wait = limits.take(now, "ada", "192.0.2.1")
        waits.append(wait)
        now += wait
        assert wait == 0 or limits.take(now, "ada", "192.0.2.1") == 0
    assert waits[:4] == [0, 0, 0, 1]
    assert waits[4:] == [2, 4, 8, 16, 32, 64, 128, 256]
    assert limits.take(now, "ada", "192.0.2.9") == LONGEST


@pytest.mark.parametrize("spread", ["one account", "an account each"])
def test_r63_ten_thousand_guesses_from_a_hundred_addresses(spread: str) -> None:
    limits, tried = GuessLimits(), []
    for number in range(10_000):
        now = number * 0.06  # in ten minutes
        account = "ada" if spread == "one account" else f"user{number}"
        if limits.take(now, account, f"192.0.2.{number % 100}") == 0:
            tried.append(now)
    assert tried
    for start in tried:
        assert sum(start <= one < start + 60 for one in tried) <= A_MINUTE == 20


def test_r63_who_logged_in_before_is_not_locked_out() -> None:
    limits = GuessLimits()
    for number in range(1000):
        limits.take(number * 0.01, "ada", f"192.0.2.{number % 100}")
    assert limits.take(10.0, "ada", "192.0.2.200") > 0
    assert limits.take(10.0, "ada", "192.0.2.200", device="browser") == 0
    for _ in range(2):
        limits.take(10.0, "ada", "192.0.2.200", device="browser")
    assert limits.take(10.0, "ada", "192.0.2.200", device="browser") > 0


def test_what_was_right_is_no_failure() -> None:
    limits = GuessLimits()
    for _ in range(100):
        assert limits.take(0.0, "ada", "192.0.2.1") == 0
        limits.right("ada", "192.0.2.1")


def test_names_differ_by_more_than_case() -> None:
    limits = GuessLimits()
    for name in ("ada", "ADA", "Ada"):
        assert limits.take(0.0, name, f"192.0.2.{len(name)}{name[0]}") == 0
    assert limits.take(0.0, "aDa", "198.51.100.1") > 0


def test_it_forgets_and_is_bounded() -> None:
    limits = GuessLimits(a_minute=10**9, remembered=100)
    for _ in range(3):
        limits.take(0.0, "ada", "192.0.2.1")
    assert limits.take(0.5, "ada", "192.0.2.2") > 0
    assert limits.take(3601.0, "ada", "192.0.2.2") == 0
    for number in range(10_000):
        limits.take(4000.0, f"user{number}", f"address{number}")
    assert len(limits._failures) <= 100
