from __future__ import annotations

from typing import Any

import pytest

from crawlkit.libs.collector import MAX_FOLLOW, MAX_RESULT, PART_BYTES, REMEMBERED, Collector
from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.jsonable import NotJSON
from crawlkit.libs.messages import FOLLOWS_PER_PART
from crawlkit.libs.result_key import ResultKey
from crawlkit.libs.task import Fetch, Task

Part = tuple[list[str], int, list[Any], list[Any], list[str], list[int]]


def collecting() -> tuple[Collector, list[Part]]:
    parts: list[Part] = []
    return Collector(lambda *part: parts.append(part)), parts


def test_parts_are_handed_on_by_number() -> None:
    collector, parts = collecting()
    for n in range(2 * FOLLOWS_PER_PART + 5):
        collector.follow(str(n), Task("p", str(n), "http://a.com/"), True)
    assert [len(part[2]) for part in parts] == [FOLLOWS_PER_PART] * 2
    assert len(collector.follows) == 5
    assert collector.follow_count == 2 * FOLLOWS_PER_PART


def test_parts_are_handed_on_by_size() -> None:
    collector, parts = collecting()
    for n in range(40):
        collector.follow(str(n), Task("p", str(n), "http://a.com/" + "x" * 60_000), True)
    assert len(parts) == 2
    assert all(sum(len(bytes(f.task)) for f in part[2]) < PART_BYTES + 70_000 for part in parts)


def test_results_are_numbered_over_all_parts() -> None:
    collector, parts = collecting()
    for n in range(5):
        collector.result({"n": n, "text": "x" * 400_000})
    numbers = [n for results, first, *_ in parts for n in range(first, first + len(results))]
    numbers += range(collector.result_count - len(collector.results), collector.result_count)
    assert numbers == list(range(5))
    assert all(sum(map(len, part[0])) <= PART_BYTES for part in parts)
    assert collector.result_head is not None
    assert len(collector.result_head) == 100


def test_one_large_result_goes_alone() -> None:
    collector, parts = collecting()
    collector.follow("1", Task("p", "1", "http://a.com/"), True)
    collector.result("x" * (MAX_RESULT - 2))
    assert [(len(part[0]), len(part[2])) for part in parts] == [(0, 1), (1, 0)]


def test_a_result_over_the_limit_is_named() -> None:
    collector, parts = collecting()
    with pytest.raises(NotJSON, match="over the limit of 4,194,304"):
        collector.result("x" * MAX_RESULT)
    assert not parts
    assert collector.result_count == 0


def test_of_several_results_the_wrong_one_is_named() -> None:
    collector, _ = collecting()
    collector.result(1)
    collector.result(2)
    with pytest.raises(NotJSON, match=r"^result 3\.a: is bytes"):
        collector.result({"a": b"x"})


def test_a_task_that_is_too_large_is_named() -> None:
    collector, parts = collecting()
    with pytest.raises(InvalidTask, match="over the limit of 2,097,152"):
        collector.follow("1", Task("p", "1", "http://a.com/", fetch=Fetch(data=b"x" * MAX_FOLLOW)), True)
    assert collector.follow("2", Task("p", "2", "http://a.com/", fetch=Fetch(data=b"x" * (MAX_FOLLOW - 200))), True)
    assert [len(part[2]) for part in parts] == [1]


def test_messages_are_bounded() -> None:
    collector, parts = collecting()
    with pytest.raises(NotJSON, match="over the limit"):
        collector.message("p", "x" * MAX_RESULT)
    for _ in range(3):
        collector.message("p", "x" * 900_000)
    assert len(parts) == 2


def test_a_known_taskid_is_not_taken_again_over_parts() -> None:
    collector, _ = collecting()
    task = Task("p", "1", "http://a.com/")
    assert collector.follow("1", task, True)
    collector.flush()
    assert not collector.follow("1", task, True)


def test_taskids_are_remembered_for_long_but_not_for_ever() -> None:
    collector, _ = collecting()
    task = Task("p", "1", "http://a.com/")
    for n in range(3 * REMEMBERED):
        assert collector.follow(str(n), task, True)
    assert len(collector._seen) + len(collector._seen_before) <= 2 * REMEMBERED
    assert not any(collector.follow(str(n), task, True) for n in range(2 * REMEMBERED, 3 * REMEMBERED, 997))


def test_without_somebody_to_hand_to_everything_is_kept() -> None:
    collector = Collector()
    for n in range(FOLLOWS_PER_PART + 1):
        collector.follow(str(n), Task("p", str(n), "http://a.com/"), True)
    assert len(collector.follows) == FOLLOWS_PER_PART + 1


def test_keys_and_places_go_with_their_results() -> None:
    parts: list[Part] = []
    collector = Collector(lambda *part: parts.append(part), ResultKey(("sku",), "stop"))
    collector.result({"sku": 1})
    collector.follow("1", Task("p", "1", "http://a.com/"), True)
    collector.result({"sku": 2, "text": "x" * (PART_BYTES - 1000)})
    collector.result({"sku": 3, "text": "x" * 2000})
    assert [(part[4], part[5]) for part in parts] == [(["[1]", "[2]"], [0, 1])]
    assert (collector.keys, collector.places) == (["[3]"], [0])
    with pytest.raises(NotJSON, match=r"result 4\.sku: is missing, and result_key names it"):
        collector.result({"name": "x"})
    assert len(collector.keys) == len(collector.results) == 1


def test_numbers_that_no_message_holds_are_named() -> None:
    collector = Collector()
    with pytest.raises(NotJSON, match=r"message: cannot be sent: .*ints"):
        collector.message("q", {"n": 10**30})
    with pytest.raises(InvalidTask, match=r"task: cannot be sent: .*ints"):
        collector.follow("1", Task("p", "1", "http://a.com/", fetch=Fetch(save=10**30)), True)
    assert (collector.messages, collector.follows) == ([], [])
