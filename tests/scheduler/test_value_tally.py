from __future__ import annotations

import random

from crawlkit.scheduler.value_tally import MOST_FIELDS, MOST_VALUES, OFTEN, ValueTally


def test_a_value_that_comes_again_among_different_ones_is_suspected() -> None:
    tally = ValueTally()
    rng = random.Random(1)
    for number in range(60):
        tally.add([f"price={number}" if rng.random() < 0.7 else "price=same"])
    assert tally.suspects == {"price=same"}


def test_values_of_a_field_with_few_are_not() -> None:
    tally = ValueTally()
    rng = random.Random(2)
    for number in range(2000):
        brand, stock = rng.choice("abcdefghijkl"), rng.choice(["yes"] * 19 + ["no"])
        tally.add([f"title={number}", f"brand={brand}", f"stock={stock}", "currency=EUR"])
    assert tally.suspects == set()


def test_it_says_when_there_is_a_new_one_and_only_then() -> None:
    tally = ValueTally()
    assert not any(tally.add([f"p={number}"]) for number in range(20))
    assert [tally.add(["p=x"]) for _ in range(OFTEN + 3)].count(True) == 1


def test_it_stays_small() -> None:
    tally = ValueTally()
    for number in range(5000):
        tally.add([f"f{number % 100}={number}", "!nothing=", "empty=", "text=~"])
    assert len(tally._fields) <= MOST_FIELDS
    assert all(len(counts) <= MOST_VALUES for counts in tally._fields.values())
    assert "empty" not in tally._fields
    assert "text" not in tally._fields
