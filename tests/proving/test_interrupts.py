"""The first signal ends what runs, none ends what takes away."""

from __future__ import annotations

import os
import signal

import pytest

from crawlkit.proving.interrupts import SIGNALS, Interrupts


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_raises_and_the_others_are_not_heard(number: int) -> None:
    before = [signal.getsignal(one) for one in SIGNALS]
    told: list[str] = []
    with Interrupts(lambda: told.append("ending")):
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGINT)
    assert told == ["ending"]
    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_what_comes_while_something_is_taken_away_is_raised_behind_all_of_it() -> None:
    done: list[str] = []

    def take_away(interrupts: Interrupts) -> None:
        with interrupts.held():
            with interrupts.held():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("inner")
            done.append("outer")

    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            take_away(interrupts)
        take_away(interrupts)
    assert done == ["inner", "outer"] * 2


def test_without_a_signal_nothing_happens() -> None:
    with Interrupts() as interrupts, interrupts.held():
        pass
