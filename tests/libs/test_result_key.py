"""Keys of results: equal as JSON is equal."""

from __future__ import annotations

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from crawlkit.libs.jsonable import NotJSON
from crawlkit.libs.result_key import ResultKey, digest_of, result_key

SKU = ResultKey(("sku",), "replace")


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ('{"sku": 1}', '{"name": "x", "sku":1}', True),
        ('{"sku": 1}', '{"sku": 1.0}', True),
        ('{"sku": 0}', '{"sku": -0.0}', True),
        ('{"sku": 1e3}', '{"sku": 1000}', True),
        ('{"sku": 1}', '{"sku": "1"}', False),
        ('{"sku": 1}', '{"sku": true}', False),
        ('{"sku": 0}', '{"sku": false}', False),
        ('{"sku": null}', '{"sku": ""}', False),
        ('{"sku": {"a": 1, "b": [2.0]}}', '{"sku": {"b": [2], "a": 1}}', True),
        ('{"sku": [1, 2]}', '{"sku": [2, 1]}', False),
        ('{"sku": "\\u00fc"}', '{"sku": "ü"}', True),
        ('{"sku": "a"}', '{"sku": "A"}', False),
        ('{"sku": 9007199254740993}', '{"sku": 9007199254740992}', False),
    ],
)
def test_what_is_equal(one: str, two: str, same: bool) -> None:
    assert (SKU.of(one) == SKU.of(two)) is same
    assert (digest_of(SKU.of(one)) == digest_of(SKU.of(two))) is same


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-3, 3, width=16) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=1), inner, max_size=2),
    max_leaves=4,
)


def typed(value: object) -> object:
    """The value in a form in which Python's equality is JSON's: true is not 1."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    return value


@settings(max_examples=200)
@given(one=values, two=values)
def test_keys_are_equal_when_the_values_are(one: object, two: object) -> None:
    keys = [SKU.of(json.dumps({"sku": value, "n": 1})) for value in (one, two)]
    assert (keys[0] == keys[1]) is (typed(one) == typed(two))


def test_the_order_of_the_fields_counts_and_several_are_one_key() -> None:
    key = ResultKey(("shop", "sku"), "replace")
    assert key.of('{"sku": 1, "shop": "a"}') == '["a",1]'
    assert key.of('{"sku": "a", "shop": 1}') != key.of('{"sku": 1, "shop": "a"}')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"name": 1}', "result.sku: is missing, and result_key names it"),
        ("[1]", "result: is no dict, so it has no field 'sku', which result_key names"),
        ('"text"', "result: is no dict"),
    ],
)
def test_a_result_without_the_field(text: str, words: str) -> None:
    with pytest.raises(NotJSON) as caught:
        SKU.of(text)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("fields", "policy", "found"),
    [
        ((), "replace", None),
        ("", "stop", None),
        ("sku", "replace", ("sku",)),
        (["a", "b"], "keep_first", ("a", "b")),
        (("a",), "stop", ("a",)),
    ],
)
def test_what_a_handler_may_say(fields: object, policy: str, found: object) -> None:
    key = result_key(fields, policy)
    assert (key.fields if key else None) == found
    assert key is None or key.policy == policy


@pytest.mark.parametrize(
    ("fields", "policy", "words"),
    [
        (("sku",), "newest", "result_key_policy: use one of replace, keep_first, stop, not 'newest'"),
        (("sku",), None, "result_key_policy: use one of"),
        (5, "replace", "result_key: a tuple of field names, not 5"),
        (("a", 1), "replace", "result_key: a tuple of different field names"),
        (("a", "a"), "replace", "result_key: a tuple of different field names"),
    ],
)
def test_what_a_handler_may_not_say(fields: object, policy: object, words: str) -> None:
    with pytest.raises(TypeError) as caught:
        result_key(fields, policy)
    assert str(caught.value).startswith(words)
