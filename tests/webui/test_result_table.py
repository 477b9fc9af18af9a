"""Cells, columns and sorting of the table of results."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs.rows import ResultRow
from crawlkit.webui import result_table
from crawlkit.webui.result_table import columns_seen, result_item, sort_key, sorted_part


def row(value: object, n: int = 1) -> ResultRow:
    return ResultRow("p", f"t{n}", 1, 0, "http://joe:pw@x/", json.dumps(value), 1.5, n)


def test_a_row_of_chosen_columns() -> None:
    item = result_item(row({"a": None, "b": [1, "ü"], "c": "x" * 400, "d": True}), ["b", "c", "a", "e"])
    assert item.values == {"b": '[1,"ü"]', "c": "x" * 300, "a": ""}
    assert (item.cut, item.rest) == (["c"], 2)  # d, and the url
    assert item.url == "http://joe:***@x/"


@pytest.mark.parametrize("value", ["text", 5, None, [1], {}])
def test_whatever_the_result_is(value: object) -> None:
    assert set(result_item(row(value), None).values) <= {"url", "result"}


def test_a_result_with_very_many_fields_is_cut() -> None:
    item = result_item(row({f"k{n}": n for n in range(1000)}), None)
    assert len(item.values) == result_table.MAX_COLUMNS
    assert item.rest == 1001 - result_table.MAX_COLUMNS


def test_the_commonest_columns_come_first() -> None:
    assert columns_seen([row({"rare": 1, "a": 1}), row({"a": 1, "b": 1}), row({"b": 1, "a": 2})]) == ["a", "b", "rare"]
    assert columns_seen([]) == []


def ordered(values: list[object], down: bool) -> list[object]:
    rows = [row({"v": value} if value != "missing" else {}, n) for n, value in enumerate(values)]
    found, count = sorted_part(rows, "v", down, 0, len(rows))
    assert count == len(rows)
    return [json.loads(one.result).get("v", "missing") for one in found]


def test_numbers_then_text_and_what_is_missing_last() -> None:
    values = ["b", None, 10, "9", "missing", "A", -1.5, "", [1]]
    assert ordered(values, down=False) == [-1.5, "9", 10, [1], "A", "b", None, "missing", ""]
    assert ordered(values, down=True) == ["b", "A", [1], 10, "9", -1.5, None, "missing", ""]


@given(
    st.lists(st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5), max_size=30), st.booleans()
)
def test_pages_are_cuts_of_one_order(values: list[object], down: bool) -> None:
    rows = [row({"v": value}, n) for n, value in enumerate(values)]
    whole, _ = sorted_part(rows, "v", down, 0, len(rows))
    pages = [sorted_part(rows, "v", down, skip, 4)[0] for skip in range(0, len(rows), 4)]
    assert [one.seq for page in pages for one in page] == [one.seq for one in whole]
    for one, other in pairwise(whole):
        assert sort_key(one, "v", down)[:2] <= sort_key(other, "v", down)[:2]
