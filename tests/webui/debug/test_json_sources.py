from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.webui.debug.json_sources import fields_of, forms, propose, shown_path, telling

URL = "http://shop.test/api/7.json"


def xhr(data: Any, url: str = URL, **more: Any) -> dict[str, Any]:
    body = data if isinstance(data, str) else json.dumps(data)
    return {"url": url, "method": "GET", "status": 200, "content_type": "application/json", "body": body, **more}


def paths(proposal: dict[str, Any]) -> dict[str, str]:
    return {one["field"]: one["path"] for one in proposal["fields"]}


@pytest.mark.parametrize(
    ("shown", "stored"),
    [
        ("$1,299.00", 1299), ("1.299,00 \u20ac", 1299.0), ("EUR 1 299,00", 1299), ("1'299.00 CHF", 1299),
        ("1,299", 1299), ("1.299", 1299), ("12.50", 12.5), ("12,50", "12.5"), ("4.5/5", "4.5/5"), ("-3.20", -3.2),
        ("Tea & cake", "Tea &amp; cake"), ("tea  AND\ncake", "Tea and cake"), ("bold", "<b>bold</b>"),
        ("http://a.b/c/d?x=1", "/c/d?x=1"), ("/c/d/", "https://a.b/c/d"), ("1299 km", 1299), (True, True),
    ],
)  # fmt: skip
def test_values_mean_the_same_however_they_are_written(shown: Any, stored: Any) -> None:
    assert forms(shown) & forms(stored)


@pytest.mark.parametrize(
    ("one", "other"),
    [("12.50", 1250), ("1,299", "1299 things of which"), ("tea", "cake"), (True, 1), ("2024-01-31", 2024), ("", 0)],
)
def test_what_is_not_the_same_is_not(one: Any, other: Any) -> None:
    assert not forms(one) & forms(other)


@pytest.mark.parametrize(("value", "yes"), [("Thing", True), (1299, True), ("12.50", True), (0, False), ("no", False),
                                            (1, False), (True, False), (100, False), ([], False)])  # fmt: skip
def test_some_values_are_the_same_by_accident(value: Any, yes: bool) -> None:
    assert telling(value) is yes


def test_an_answer_with_the_fields_is_proposed_with_paths_and_code() -> None:
    data = {
        "ok": True,
        "data": {"product": {"name": "Green tea", "price": {"amount": 1299.5}, "tags": ["hot", "loose"]}},
    }
    result = {"title": "Green tea", "price": "$1,299.50", "tags": ["hot", "loose"], "seen": "just now"}
    (proposal,) = propose([result], [xhr(data)], "detail")
    assert proposal["url"] == URL
    assert paths(proposal) == {
        "title": '["data"]["product"]["name"]',
        "price": '["data"]["product"]["price"]["amount"]',
        "tags": '["data"]["product"]["tags"]',
    }
    assert proposal["missing"] == ["seen"]
    assert proposal["code"].splitlines() == [
        f'self.crawl("{URL}", callback=self.detail_json)',
        "",
        "def detail_json(self, response):",
        '    it = response.json["data"]["product"]',
        "    return {",
        '        "title": it["name"],',
        '        "price": it["price"]["amount"],',
        '        "tags": it["tags"],',
        "        # not in there: seen",
        "    }",
    ]


def run_code(code: str, data: Any) -> Any:
    """What the proposed callback gives."""
    space: dict[str, Any] = {}
    exec(code.split("\n", 2)[2], space)
    (function,) = [value for name, value in space.items() if name.endswith("_json")]
    response = type("R", (), {"json": data})()
    given_back = function(None, response)
    return list(given_back) if not isinstance(given_back, dict) else given_back


def test_the_code_of_many_results_goes_through_the_list() -> None:
    items = [{"attrs": {"name": f"Thing {n}", "cents": 1999 + n}, "id": 5000 + n} for n in range(12)]
    results = [{"title": f"Thing {n}", "price": f"{(1999 + n) / 100}", "number": 5000 + n} for n in range(12)]
    data = {"page": {"items": items}, "total": 12}
    (proposal,) = propose(results, [xhr(data)], "listing")
    assert (proposal["results"], proposal["of"]) == (12, 12)
    assert run_code(proposal["code"], data) == [
        {"title": one["title"], "price": float(one["price"]), "number": one["number"]} for one in results
    ]


def test_the_code_of_a_plain_list_has_one_name_for_its_items() -> None:
    items = [{"name": f"Thing {n}", "cents": 1999 + n} for n in range(3)]
    (proposal,) = propose([{"title": one["name"]} for one in items], [xhr({"items": items})], "listing")
    assert '    for it in response.json["items"]:' in proposal["code"].splitlines()
    assert "each" not in proposal["code"]
    assert run_code(proposal["code"], {"items": items}) == [{"title": one["name"]} for one in items]


def test_the_best_answer_comes_first_and_each_address_once() -> None:
    result = {"title": "Green tea", "price": 12.5, "maker": "Mrs Green"}
    some, more = {"name": "Green tea", "maker": "Mrs Green"}, {"n": "Green tea", "p": "12.50", "m": "Mrs Green"}
    found = propose([result], [xhr(some, URL + "?1"), xhr(more), xhr(more)], None)
    assert [one["url"] for one in found] == [URL, URL + "?1"]
    assert "page_json" not in found[0]["code"]
    assert "__call___json" in found[0]["code"]


@pytest.mark.parametrize(
    "answer",
    [xhr("<html>Green tea</html>"), xhr({"x": "Green tea", "y": 12.5}, status=404), xhr('{"x": '),
     xhr({"x": "Green tea", "y": 12.5}, truncated=True), xhr({"a": "other", "b": 1}), xhr({"x": "Green tea"}),
     xhr([]), {"url": URL, "status": 200, "body": None}],
)  # fmt: skip
def test_other_answers_are_not(answer: dict[str, Any]) -> None:
    assert propose([{"title": "Green tea", "price": 12.5}], [answer], "c") == []


def test_a_single_field_is_enough_when_there_is_no_other() -> None:
    assert propose([{"title": "Green tea", "n": 1}], [xhr({"name": "Green tea"})], "c")
    assert propose(["Green tea"], [xhr({"name": "Green tea"})], "c")
    assert propose([{"n": 1, "yes": True}], [xhr({"n": 1, "yes": True})], "c") == []  # by accident
    assert propose([], [xhr({"a": 1})], "c") == []


def test_json_behind_a_guard_is_read() -> None:
    assert propose([{"title": "Green tea"}], [xhr(")]}',\n" + json.dumps({"name": "Green tea"}))], "c")


def test_a_value_that_is_in_two_places_is_taken_from_where_the_others_are() -> None:
    data = {"menu": [{"label": "Green tea"}], "product": {"name": "Green tea", "price": 12.5, "sku": "GT-77"}}
    (proposal,) = propose([{"title": "Green tea", "price": "12.50", "sku": "GT-77"}], [xhr(data)], "c")
    assert paths(proposal)["title"] == '["product"]["name"]'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=25,
)


@given(JSON, JSON)
def test_anything_may_come(result: Any, data: Any) -> None:
    for proposal in propose([result, result], [xhr(data)], "c"):
        assert proposal["fields"]
    forms(result)
    fields_of(result)


@given(
    st.dictionaries(
        st.sampled_from(["title", "maker", "code"]), st.text("abcdefgh", min_size=5, max_size=12), min_size=1
    )
)
def test_what_an_answer_holds_is_found_in_it(record: dict[str, str]) -> None:
    data = {"rows": [{"id": 1}, {"wrap": record}]}
    (proposal,) = propose([record], [xhr(data)], "c")
    assert run_code(proposal["code"], data) == record


@given(st.decimals(min_value=0, max_value=10**7, places=2))
def test_any_price_is_found_however_it_is_written(price: Decimal) -> None:
    for text in (f"${price:,.2f}", f"{price:,.2f}".replace(",", " ").replace(".", ",") + " \u20ac", f"{price:.2f}"):
        assert forms(text) & forms(float(price))


def test_paths_are_python() -> None:
    assert shown_path(("a", 0, 'b"c')) == '["a"][0]["b\\"c"]'
