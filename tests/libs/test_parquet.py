"""Parquet: types, values, hostile rows, flat memory."""

from __future__ import annotations

import builtins
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from crawlkit.libs import parquet
from crawlkit.libs.errors import UsageError
from crawlkit.libs.rows import ResultRow

pq = pytest.importorskip("pyarrow.parquet")


def row(result: object, n: int = 1, *, raw: str | None = None) -> ResultRow:
    return ResultRow("p", f"t{n}", 1, 0, "http://x/ü", json.dumps(result) if raw is None else raw, 1.5, n)


def table_of(*rows: ResultRow) -> Any:
    return pq.read_table(io.BytesIO(b"".join(parquet.parquet_chunks(lambda: rows))))


def test_each_column_has_the_type_of_its_values() -> None:
    table = table_of(
        row({"int": 1, "float": 1.5, "both": 2, "bool": True, "text": "ü", "mixed": 1, "deep": [1, {"a": None}]}, 1),
        row({"int": None, "float": 2.5, "both": 0.5, "bool": False, "text": "", "mixed": "x", "late": 7}, 2),
    )
    assert {field.name: str(field.type) for field in table.schema} == {
        "url": "string", "int": "int64", "float": "double", "both": "double", "bool": "bool", "text": "string",
        "mixed": "string", "deep": "string", "late": "int64",
    }  # fmt: skip
    assert table.to_pylist() == [
        {"url": "http://x/ü", "int": 1, "float": 1.5, "both": 2.0, "bool": True, "text": "ü", "mixed": "1",
         "deep": '[1,{"a":null}]', "late": None},
        {"url": "http://x/ü", "int": None, "float": 2.5, "both": 0.5, "bool": False, "text": "", "mixed": "x",
         "deep": None, "late": 7},
    ]  # fmt: skip


def test_no_number_loses_a_digit() -> None:
    table = table_of(row({"a": 2**53 + 1, "b": 2**63 - 1, "c": 2**64}, 1), row({"a": 0.5, "b": 1, "c": 1}, 2))
    assert table.column("a").to_pylist() == ["9007199254740993", "0.5"]
    assert table.column("b").to_pylist() == [2**63 - 1, 1]
    assert table.column("c").to_pylist() == [str(2**64), "1"]


@pytest.mark.parametrize("raw", ['{"a": NaN}', '{"a": "\\ud800"}', "not json", "null", "[" * 100_000, "{}"])
def test_strange_texts_end_nothing(raw: str) -> None:
    assert table_of(row(None, raw=raw), row({"b": 1}, 2)).num_rows == 2


def test_nothing_is_a_table_without_rows() -> None:
    assert table_of().num_rows == 0


def test_too_many_keys() -> None:
    table = table_of(*(row({f"k{n}": n}, n + 1) for n in range(1_200)))
    assert table.num_columns == parquet.MAX_COLUMNS + 1
    assert table.column("...").to_pylist()[-1] == '{"k1199":1199}'


def test_rows_that_come_in_between_are_left_out() -> None:
    calls = []

    def rows() -> Iterator[ResultRow]:
        calls.append(1)
        yield from [row({"a": n, **({"new": 1} if n > 2 else {})}, n) for n in range(1, 2 + len(calls))]

    table = pq.read_table(io.BytesIO(b"".join(parquet.parquet_chunks(rows))))
    assert table.column("a").to_pylist() == [1, 2]  # not the third, which came with the second pass


def test_it_comes_in_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_ROWS", 10)
    chunks = list(parquet.parquet_chunks(lambda: (row({"n": n}, n + 1) for n in range(35))))
    assert len(chunks) >= 4
    file = pq.ParquetFile(io.BytesIO(b"".join(chunks)))
    assert file.num_row_groups == 4
    monkeypatch.setattr(parquet, "GROUP_SIZE", 100)
    large = b"".join(parquet.parquet_chunks(lambda: (row({"n": "x" * 60}, n + 1) for n in range(6))))
    assert pq.ParquetFile(io.BytesIO(large)).num_row_groups == 3


def test_without_pyarrow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pip install -e \S+\[parquet\]"):
        parquet.parquet_chunks(list)
