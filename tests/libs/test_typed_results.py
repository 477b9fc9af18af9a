"""Results that are objects of typed classes, of whichever library."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

import msgspec
import pytest

from crawlkit.libs.jsonable import NotJSON, to_json


@dataclass
class Shop:
    name: str
    tags: list[str] = field(default_factory=list)


class Page(msgspec.Struct):
    url: str
    shop: Shop | None = None


def test_dataclasses_and_structs_inside_each_other() -> None:
    assert to_json(Page("u", Shop("s", ["a"]))) == b'{"url":"u","shop":{"name":"s","tags":["a"]}}'
    assert to_json([Shop("s")]) == b'[{"name":"s","tags":[]}]'


def test_what_is_wrong_inside_is_named_by_its_path() -> None:
    tags: Any = [b"x"]
    with pytest.raises(NotJSON, match=r"result.shop.tags\[0\]: is bytes"):
        to_json(Page("u", Shop("s", tags)))


def test_attrs() -> None:
    attrs = pytest.importorskip("attrs")

    @attrs.define
    class Item:
        sku: str
        shop: Shop

    assert to_json(Item("1", Shop("s"))) == b'{"sku":"1","shop":{"name":"s","tags":[]}}'


def test_pydantic() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Item(pydantic.BaseModel):  # type: ignore[misc,name-defined]
        sku: str
        when: date
        price: float | None = None

    assert to_json(Item(sku="1", when=date(2024, 2, 29))) == b'{"sku":"1","when":"2024-02-29","price":null}'
    assert to_json({"item": Item(sku="1", when=date(2024, 2, 29), price=2)}).endswith(b'"price":2.0}}')
