"""The contract of searches of the resultdb, over every backend."""

from __future__ import annotations

import json

import pytest

from crawlkit.contract.rows import results
from crawlkit.database.base import ResultSearch, ResultStore

LOOKS = 1  # at least, where a search of 20 rows has no time; more where a module makes stretches short


@pytest.fixture
def store(crawlkit_resultdb: ResultStore) -> ResultStore:
    """From the options of pytest, unless a test module says otherwise."""
    return crawlkit_resultdb


def add(store: ResultStore, *values: object, project: str = "p") -> None:
    for value in values:
        taskid = f"t{store.count(project)}"
        store.save([results(taskid, json.dumps(value, ensure_ascii=False), project=project)])


def found(store: ResultStore, limit: int = 2, **search: object) -> list[object]:
    rows, after = [], None
    while True:
        page = store.find(ResultSearch("p", **search), after, limit, budget=60)  # type: ignore[arg-type]
        rows += page.rows
        if page.next is None:
            return [json.loads(row.result) for row in rows]
        after = page.next


def test_newest_or_oldest_first_by_pages(store: ResultStore) -> None:
    add(store, *range(7))
    add(store, "other", project="q")
    for limit in (1, 2, 3, 4, 7, 8):
        assert found(store, limit) == [6, 5, 4, 3, 2, 1, 0]
        assert found(store, limit, oldest_first=True) == [0, 1, 2, 3, 4, 5, 6]


def test_a_full_last_page_has_none_behind_it(store: ResultStore) -> None:
    add(store, 1, 2)
    assert store.find(ResultSearch("p"), None, 2).next is None
    assert store.find(ResultSearch("p", text="2"), None, 1).next is not None
    assert store.find(ResultSearch("nobody"), None, 2).rows == []


def test_text_in_any_field(store: ResultStore) -> None:
    rows = [{"title": "Straße", "n": 1.5}, {"title": 'say "no"\n', "tags": ["Blue", {"k": "v%_"}]}, "plain", None, -2.5]
    add(store, *rows)
    for text, wanted in {
        "straß": [rows[0]], "STRAß": [rows[0]], "stra": [rows[0]], "1.5": [rows[0]], '"no"': [rows[1]], "no": [rows[1]],
        "bLUE": [rows[1]], "v%": [rows[1]], "%": [rows[1]], "PLAIN": [rows[2]], "-2": [rows[4]], "nothing": [],
        "title": [], "\n": [rows[1]],
    }.items():  # fmt: skip
        assert found(store, text=text) == wanted, text
    assert found(store, text="http://x/t1") == [rows[1]]


def test_a_field_and_its_value(store: ResultStore) -> None:
    rows = [{"a": "X", "b": None}, {"a": "xy"}, {"a": 20}, {"a": [1, 2], "url": "own"}, "a"]
    add(store, *rows)
    assert found(store, field="a", value="x") == [rows[0]]
    assert found(store, field="a", value="x*") == [rows[1], rows[0]]
    assert found(store, field="a", value="20") == [rows[2]]
    assert found(store, field="a", value="[1,2]") == [rows[3]]
    assert found(store, field="b", value="") == [rows[0]]
    assert found(store, field="b") == [rows[0]]
    assert found(store, field="url", value="OWN") == [rows[3]]
    assert found(store, field="url", value="http://x/t1") == [rows[1]]
    assert found(store, field="result", value="a") == [rows[4]]
    assert found(store, field="missing", value="x") == []
    assert found(store, field="a", value="x", text="xy") == []


def test_a_look_ends_with_its_time_and_the_next_goes_on(store: ResultStore) -> None:
    add(store, *[{"n": n} for n in range(20)])
    looks, after, rows = 0, None, []
    while True:
        page = store.find(ResultSearch("p", field="n", value="1"), after, 5, budget=0)
        looks += 1
        rows += page.rows
        if page.next is None:
            break
        after = page.next
    assert looks >= LOOKS
    assert [row.result for row in rows] == ['{"n": 1}']
