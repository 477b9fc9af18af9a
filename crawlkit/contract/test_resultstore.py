"""The contract of the resultdb, over every backend. T60 is here for results."""

from __future__ import annotations

import itertools

import pytest

from crawlkit.contract.rows import results
from crawlkit.database.base import ResultStore


@pytest.fixture
def store(crawlkit_resultdb: ResultStore) -> ResultStore:
    """From the options of pytest, unless a test module says otherwise."""
    return crawlkit_resultdb


def texts(store: ResultStore, taskid: str = "a", project: str = "p") -> list[str]:
    return [row.result for row in store.get(project, taskid)]


class TestSave:
    def test_a_result_comes_back(self, store: ResultStore) -> None:
        store.save([results("a", '{"ü":"😀"}', project="имя", run=3, updatetime=12.5)])
        (row,) = store.get("имя", "a")
        assert (row.project, row.taskid, row.run, row.n, row.url) == ("имя", "a", 3, 0, "http://x/a")
        assert (row.result, row.updatetime, row.seq) == ('{"ü":"😀"}', 12.5, 1)
        assert store.get("имя", "b") == []
        assert store.get("p", "a") == []

    def test_a_later_run_replaces_the_set(self, store: ResultStore) -> None:
        """T60: overwrite."""
        store.save([results("a", "1", "2", "3"), results("b", "9")])
        store.save([results("a", "4", "5", run=2)])
        assert texts(store) == ["4", "5"]
        assert texts(store, "b") == ["9"]
        assert store.count("p") == 3

    def test_many_sets_in_one_call(self, store: ResultStore) -> None:
        odd = ["", "NULL", "{}", '"', "\\", '\\"', "a,b", '{a,"b"}', "tab\tand\nline", "\u2028\U0001f600", "%s"]
        store.save([results(f"t{n}", text, "and", policy="replace") for n, text in enumerate(odd)])
        rows = [row for n in range(len(odd)) for row in store.get("p", f"t{n}") if row.result != "and"]
        assert [row.result for row in rows] == odd
        store.save([results(f"t{n}", text + text, run=2) for n, text in enumerate(odd)])
        assert [texts(store, f"t{n}") for n in range(len(odd))] == [[text + text] for text in odd]
        assert store.count("p") == len(odd)

    def test_the_same_run_never_becomes_visible_twice(self, store: ResultStore) -> None:
        store.save([results("a", "1")])
        store.save([results("a", "other", attempt=2)])
        store.save([results("a", "1")])
        assert texts(store) == ["1"]
        assert [row.seq for row in store.since(0, 10)] == [1]

    def test_an_earlier_run_is_ignored(self, store: ResultStore) -> None:
        store.save([results("a", "new", run=5)])
        store.save([results("a", "old", run=4), results("a", "old", run=4, last=False)])
        assert texts(store) == ["new"]

    def test_nothing_removes_the_results_of_earlier_runs(self, store: ResultStore) -> None:
        store.save([results("a", "1"), results("b", "2")])
        store.save([results("a", run=2)])
        assert texts(store) == []
        assert store.count("p") == 1
        store.save([results("a", "late", run=1), results("a", "late", run=2)])
        assert texts(store) == []
        assert store.counts_by_task("p", ["a", "b", "c"]) == {"a": (2, 0), "b": (1, 1)}

    def test_several_runs_in_one_call(self, store: ResultStore) -> None:
        store.save([results("a", "1"), results("b", "2"), results("a", "3", "4", run=2), results("a", "5", run=3)])
        assert texts(store) == ["5"]
        assert [row.result for row in store.since(0, 10)] == ["2", "5"]

    def test_nothing_at_all(self, store: ResultStore) -> None:
        store.save([])
        assert store.projects() == []


class TestParts:
    def test_invisible_until_the_last_part(self, store: ResultStore) -> None:
        store.save([results("a", "1", "2", last=False)])
        store.save([results("a", "3", first=2, last=False), results("b", "x")])
        assert texts(store) == []
        assert [row.result for row in store.since(0, 10)] == ["x"]
        assert store.count("p") == 1
        store.save([results("a", "4", first=3)])
        assert texts(store) == ["1", "2", "3", "4"]
        assert [(row.n, row.seq) for row in store.get("p", "a")] == [(0, 2), (1, 3), (2, 4), (3, 5)]

    def test_a_last_part_without_results(self, store: ResultStore) -> None:
        store.save([results("a", "1", last=False)])
        store.save([results("a", first=1, last=False)])
        store.save([results("a", first=1)])
        assert texts(store) == ["1"]

    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
    def test_in_any_order(self, store: ResultStore, order: tuple[int, ...]) -> None:
        parts = [results("a", "1", last=False), results("a", "2", "3", first=1, last=False), results("a", "4", first=3)]
        for number, index in enumerate(order):
            assert texts(store) == []
            store.save([parts[index], parts[index]] if number < 2 else [parts[index]])
        assert texts(store) == ["1", "2", "3", "4"]
        store.save(parts)
        assert store.count("p") == 4

    def test_parts_of_an_older_attempt_are_dropped(self, store: ResultStore) -> None:
        store.save([results("a", "old1", "old2", last=False)])
        store.save([results("a", "new1", attempt=2, last=False)])
        store.save([results("a", "old3", first=2)])  # too late
        assert texts(store) == []
        store.save([results("a", "new2", attempt=2, first=1)])
        assert texts(store) == ["new1", "new2"]

    def test_parts_of_an_older_run_are_dropped(self, store: ResultStore) -> None:
        store.save([results("a", "1", last=False), results("a", "2", run=2, last=False)])
        store.save([results("a", "x", first=1)])
        store.save([results("a", "3", run=2, first=1)])
        assert texts(store) == ["2", "3"]

    def test_the_earlier_run_stays_until_the_set_is_whole(self, store: ResultStore) -> None:
        store.save([results("a", "old")])
        store.save([results("a", "1", run=2, last=False)])
        assert texts(store) == ["old"]
        store.save([results("a", "2", run=2, first=1)])
        assert texts(store) == ["1", "2"]

    def test_parts_and_whole_sets_in_one_call(self, store: ResultStore) -> None:
        store.save([results("a", "1", last=False), results("b", "2"), results("a", "3", first=1), results("c", "4")])
        assert [row.result for row in store.since(0, 10)] == ["2", "1", "3", "4"]
        assert [row.seq for row in store.since(0, 10)] == [1, 2, 3, 4]


class TestReading:
    def test_newest_first(self, store: ResultStore) -> None:
        """T60: select with limit and offset, also without; count."""
        for n in range(7):
            store.save([results(f"t{n}", str(n)), results(f"t{n}", "x", project="q")])
        assert [row.result for row in store.select("p")] == list("6543210")
        assert [row.result for row in store.select("p", limit=2)] == list("65")
        assert [row.result for row in store.select("p", offset=2, limit=3)] == list("432")
        assert [row.result for row in store.select("p", offset=5, limit=None)] == list("10")
        assert list(store.select("p", offset=7)) == []
        assert list(store.select("p", limit=0)) == []
        assert list(store.select("none")) == []
        assert store.count("p") == 7
        assert store.count("none") == 0
        assert store.projects() == ["p", "q"]

    def test_streaming_survives_writes(self, store: ResultStore) -> None:
        """T60: partial iteration is safe."""
        store.save([results(f"t{n:04}", str(n)) for n in range(1700)])
        stream = store.select("p")
        seen = [next(stream).result for _ in range(10)]
        store.save([results("new", "new"), results("t0005", "again", run=2)])
        seen += [row.result for row in stream]
        assert seen == [str(n) for n in range(1699, -1, -1) if n != 5]
        assert len(list(store.select("p", offset=600, limit=1000))) == 1000

    def test_a_follower_misses_none(self, store: ResultStore) -> None:
        for n in range(25):
            store.save([results(f"t{n}", str(n), project="pqr"[n % 3])])
        seen, after = [], 0
        while page := store.since(after, 4):
            seen += page
            after = page[-1].seq
        assert [row.seq for row in seen] == list(range(1, 26))
        seen, after = [], 0
        while page := store.since(after, 4, ["p", "r", "none", "p"]):
            assert len(page) <= 4
            seen += page
            after = page[-1].seq
        assert [row.result for row in seen] == [str(n) for n in range(25) if n % 3 != 1]
        assert store.since(0, 10, []) == []
        assert store.since(0, 0) == []

    def test_positions(self, store: ResultStore) -> None:
        assert store.position("file:/x") == (0, 0)
        store.set_position("file:/x", 5, 2**40)
        store.set_position("file:/y", 6, 1)
        store.set_position("file:/x", 7, 2**40 + 1)
        assert store.position("file:/x") == (7, 2**40 + 1)

    def test_counts_of_many_tasks(self, store: ResultStore) -> None:
        store.save([results(f"t{n}", *map(str, range(n % 4))) for n in range(1500)])
        counts = store.counts_by_task("p", [f"t{n}" for n in range(2000)])
        assert counts == {f"t{n}": (1, n % 4) for n in range(1500)}

    def test_drop(self, store: ResultStore) -> None:
        """T60: drop."""
        store.save([results("a", "1", "2"), results("b", "part", last=False), results("a", "9", project="q")])
        assert store.drop("p") == 2
        assert store.drop("p") == 0
        assert store.projects() == ["q"]
        assert texts(store) == []
        store.save([results("b", "rest", first=1), results("a", "again")])
        assert texts(store, "b") == []
        assert texts(store, "a") == ["again"]
        assert store.get("p", "a")[0].seq == 4  # numbers are not given twice
