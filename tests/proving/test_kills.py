"""The schedule of kills: the same for the same seed, all parts alike, and within the crawl."""

from __future__ import annotations

from collections import Counter

import pytest

from crawlkit.proving.kills import PARTS, Kill, schedule


def test_the_same_seed_makes_the_same_schedule_and_another_another() -> None:
    assert schedule(7, 50, 1_000) == schedule(7, 50, 1_000)
    assert schedule(7, 50, 1_000) != schedule(8, 50, 1_000)
    assert schedule(4, 2, 100) == [Kill(15, "fetcher", 51_912), Kill(40, "scheduler", 62_767)]  # on every Python


def test_each_part_as_often_as_the_others_in_order_of_requests_within_the_crawl() -> None:
    found = schedule(1, 100, 1_000)
    assert Counter(kill.part for kill in found) == dict.fromkeys(PARTS, 20)
    requests = [kill.request for kill in found]
    assert requests == sorted(set(requests))
    assert requests[0] >= 20
    assert requests[-1] < 950
    assert [kill.part for kill in found[:10]] != [kill.part for kill in found[10:20]]  # in no fixed order


def test_more_kills_than_places_for_them() -> None:
    with pytest.raises(ValueError, match="94 kills need a site of more than 100 pages"):
        schedule(1, 94, 100)
