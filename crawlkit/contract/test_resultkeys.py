"""Results with keys: the contract over every backend, and histories against a model of a few lines."""

from __future__ import annotations

import pytest

from crawlkit.contract.rows import results
from crawlkit.database.base import ResultStore


@pytest.fixture
def store(crawlkit_resultdb: ResultStore) -> ResultStore:
    """From the options of pytest, unless a test module says otherwise."""
    return crawlkit_resultdb


def shown(store: ResultStore, project: str = "p") -> list[str]:
    """taskid:text of everything visible, oldest first."""
    return [f"{row.taskid}:{row.result}" for row in store.since(0, 100, [project])]


def test_replace_keeps_the_newer_under_a_new_number(store: ResultStore) -> None:
    assert store.save([results("a", "1", "2", keys="x y", policy="replace")]) == [0]
    assert store.save([results("b", "3", "4", keys="y z", policy="replace")]) == [0]
    assert shown(store) == ["a:1", "b:3", "b:4"]
    assert [row.seq for row in store.since(0, 100)] == [1, 3, 4]
    assert [row.result for row in store.get("p", "a")] == ["1"]
    assert [row.result for row in store.since(2, 10)] == ["3", "4"]  # a follower misses nothing
    assert store.count("p") == 3
    assert store.counts_by_task("p", ["a", "b"]) == {"a": (1, 2), "b": (1, 2)}  # what they gave


def test_keep_first_ignores_and_counts_the_later(store: ResultStore) -> None:
    assert store.save([results("a", "1", "2", keys="x y", policy="keep_first")]) == [0]
    later = results("b", "3", "4", keys="y z", policy="keep_first")
    assert store.save([later]) == [1]
    assert shown(store) == ["a:1", "a:2", "b:4"]
    assert [(row.n, row.seq) for row in store.get("p", "b")] == [(1, 4)]
    assert store.counts_by_task("p", ["b"]) == {"b": (1, 2)}
    assert store.save([later]) == [1]  # it came twice: the same answer, no other row
    assert shown(store) == ["a:1", "a:2", "b:4"]


@pytest.mark.parametrize(("policy", "kept", "known"), [("replace", "3", 0), ("keep_first", "1", 2), ("stop", "1", 2)])
def test_equal_keys_within_one_set(store: ResultStore, policy: str, kept: str, known: int) -> None:
    assert store.save([results("a", "1", "2", "3", keys="x x x", policy=policy)]) == [known]
    assert shown(store) == [f"a:{kept}"]


@pytest.mark.parametrize(("policy", "kept"), [("replace", ["b:2"]), ("keep_first", ["a:1"])])
def test_equal_keys_within_one_transaction(store: ResultStore, policy: str, kept: list[str]) -> None:
    store.save([results(taskid, text, keys="x", policy=policy) for taskid, text in (("a", "1"), ("b", "2"))])
    assert shown(store) == kept


def test_a_result_stays_when_its_task_comes_again_without_it(store: ResultStore) -> None:
    for policy in ("replace", "keep_first"):
        store.save([results("a", "1", "2", keys="x y", policy=policy, project=policy)])
        store.save([results("a", "3", "4", keys="z x", policy=policy, run=2, project=policy)])
    assert shown(store, "replace") == ["a:2", "a:3", "a:4"]
    assert shown(store, "keep_first") == ["a:1", "a:2", "a:3"]
    assert [(row.result, row.run) for row in store.get("keep_first", "a")] == [("1", 1), ("2", 1), ("3", 2)]
    store.save([results("a", run=3, policy="replace", project="replace")])
    assert shown(store, "replace") == ["a:2", "a:3", "a:4"]


def test_a_set_without_keys_replaces_all_that_its_task_has(store: ResultStore) -> None:
    store.save([results("a", "1", "2", keys="x y", policy="replace"), results("b", "3", keys="z", policy="replace")])
    store.save([results("a", "4", keys="w", policy="replace", run=2)])
    store.save([results("a", "5", run=3)])
    assert shown(store) == ["b:3", "a:5"]
    store.save([results("c", "6", "7", keys="x z", policy="keep_first")])
    assert shown(store) == ["b:3", "a:5", "c:6"]  # x is free again
    store.save([results("a", "8", "9", keys="- v", policy="replace", run=4)])
    assert shown(store) == ["b:3", "c:6", "a:8", "a:9"]
    store.save([results("a", "10", keys="-", policy="replace", run=5)])
    assert shown(store) == ["b:3", "c:6", "a:9", "a:10"]  # one without a key goes with its run


def test_projects_do_not_share_keys(store: ResultStore) -> None:
    store.save(
        [results("a", "1", keys="x", policy="replace"), results("a", "2", keys="x", policy="replace", project="q")]
    )
    assert shown(store) == ["a:1"]
    assert shown(store, "q") == ["a:2"]
    store.drop("p")
    store.save([results("b", "3", keys="x", policy="keep_first")])
    assert shown(store) == ["b:3"]
    assert shown(store, "q") == ["a:2"]


def test_parts_become_visible_as_one(store: ResultStore) -> None:
    store.save([results("b", "0", keys="y", policy="keep_first")])
    first = results("a", "1", "2", keys="x y", policy="keep_first", last=False)
    assert store.save([first]) == [0]
    assert shown(store) == ["b:0"]
    store.save([results("c", "5", keys="x", policy="keep_first")])  # meanwhile somebody else is faster
    last = results("a", "3", keys="z", policy="keep_first", first=2)
    assert store.save([last]) == [2]
    assert shown(store) == ["b:0", "c:5", "a:3"]
    assert store.save([first, last]) == [0, 2]
    store.save([results("d", "6", keys="w", policy="replace", last=False)])
    store.save([results("d", first=1, policy="replace")])
    assert shown(store) == ["b:0", "c:5", "a:3", "d:6"]


def test_known_keys_are_those_of_others_and_of_earlier_runs(store: ResultStore) -> None:
    store.save([results("a", "1", "2", keys="x y", policy="stop")])
    assert store.known_keys("p", "b", 1, ["x", "z", ""]) == {"x"}
    assert store.known_keys("p", "a", 2, ["x", "y"]) == {"x", "y"}
    assert store.known_keys("p", "a", 1, ["x", "y"]) == set()  # it came twice
    assert store.known_keys("q", "b", 1, ["x"]) == set()
    assert store.known_keys("p", "b", 1, []) == set()


def test_many_keys_at_once(store: ResultStore) -> None:
    texts = [str(n) for n in range(1200)]
    store.save([results("a", *texts, policy="keep_first")])
    assert store.save([results("b", *texts[100:], "new", policy="keep_first")]) == [1100]
    assert store.count("p") == 1201
