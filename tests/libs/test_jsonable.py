from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.libs.jsonable import NotJSON, jsonable, to_json


@dataclasses.dataclass
class Item:
    sku: str
    sizes: tuple[int, ...]


class Model:  # what Pydantic's models look like from outside
    def model_dump(self, mode: str) -> dict[str, Any]:
        return {"mode": mode}


class Text(str):
    def __str__(self) -> str:
        raise RuntimeError


class Colour(enum.IntEnum):
    RED = 1


circle: list[Any] = []
circle.append(circle)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, 2.5, True, None, "é"]}, '{"a":[1,2.5,true,null,"é"]}'),
        ((1, 2), "[1,2]"),
        (Item("x", (1,)), '{"sku":"x","sizes":[1]}'),
        ({"item": Item("x", ())}, '{"item":{"sku":"x","sizes":[]}}'),
        (Model(), '{"mode":"json"}'),
        ({1: "a", None: "b", False: "c", 1.5: "d"}, '{"1":"a","null":"b","false":"c","1.5":"d"}'),
        (Text("x"), '"x"'),
        (Colour.RED, "1"),
        ({"n": 2**70}, f'{{"n":{2**70}}}'),
        ("\0", '"\\u0000"'),
    ],
)
def test_what_is_json(value: Any, expected: str) -> None:
    assert json.loads(to_json(value)) == json.loads(expected)
    assert to_json(value).decode() == expected


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ({"a": [1, float("nan")]}, "result.a[1]", "nan"),
        ({"a b": float("inf")}, "result['a b']", "inf"),
        (b"x", "result", "bytes"),
        ({"a": {1, 2}}, "result.a", "list"),
        ([datetime.date(2020, 1, 1)], "result[0]", "isoformat"),
        ({"a": object()}, "result.a", "object"),
        ({(1, 2): 3}, "result", "key"),
        ({"a": ["x", "\ud800"]}, "result.a[1]", "surrogate"),
        ({"\ud800": 1}, "result", "surrogate"),
        ({"a": (n for n in [1])}, "result.a", "generator"),
        (Item, "result", "type"),
    ],
)
def test_what_is_not_json_is_named_by_its_path(value: Any, path: str, words: str) -> None:
    with pytest.raises(NotJSON) as caught:
        to_json(value)
    assert caught.value.path == path
    assert words in caught.value.problem


def test_what_holds_itself_is_refused() -> None:
    with pytest.raises(NotJSON, match="holds itself") as caught:
        to_json({"a": circle})
    assert len(str(caught.value)) < 200


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_every_json_value_comes_back_as_it_was(value: Any) -> None:
    try:
        text = to_json(value)
    except NotJSON as error:
        assert "surrogate" in error.problem  # noqa: PT017 - hypothesis makes none of these by default
        return
    assert json.loads(text) == value


@given(values)
def test_a_copy_shares_nothing(value: Any) -> None:
    copy = jsonable(value)
    assert copy == value
    if isinstance(value, list | dict):
        assert copy is not value
