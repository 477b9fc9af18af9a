"""Results as a table: which columns there are, what stands in a cell, and sorting by a column. Pure."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from crawlkit.libs.result_values import fields_of, text_of
from crawlkit.libs.rows import ResultRow
from crawlkit.webui.masks import masked_url

MAX_CELL = 300  # characters of a value in a table
MAX_COLUMNS = 200  # that are offered

SortKey = tuple[int, float, str, int]


class ResultItem(Struct):
    """A row of the table."""

    seq: int
    project: str
    taskid: str
    run: int
    n: int
    url: str
    """Of the page behind it."""
    updatetime: float
    values: dict[str, str]
    """Text by column; JSON for what is no text."""
    cut: list[str]
    """Columns whose text is longer than what is here."""
    rest: int
    """How many fields of the result are in no column."""


def result_item(row: ResultRow, columns: Sequence[str] | None) -> ResultItem:
    """The row with the values of ``columns``; of all its fields for None."""
    fields = fields_of(row)
    wanted = [name for name in (fields if columns is None else columns) if name in fields]
    if columns is None:
        wanted = wanted[:MAX_COLUMNS]
    texts = {name: text_of(fields[name]).encode("utf-8", "replace").decode() for name in wanted}
    if "url" in texts:
        texts["url"] = masked_url(texts["url"])
    return ResultItem(
        seq=row.seq,
        project=row.project,
        taskid=row.taskid,
        run=row.run,
        n=row.n,
        url=masked_url(row.url),
        updatetime=row.updatetime,
        values={name: text[:MAX_CELL] for name, text in texts.items()},
        cut=[name for name, text in texts.items() if len(text) > MAX_CELL],
        rest=len(fields) - len(wanted),
    )


def columns_seen(rows: Iterable[ResultRow]) -> list[str]:
    """The fields of the rows: those in more rows first, then by first appearance; the page's ``url`` is not counted."""
    seen: dict[str, int] = {}
    for row in rows:
        for name in fields_of(row):
            seen[name] = seen.get(name, 0) + 1
    ordered = sorted(seen, key=lambda name: -seen[name])
    return [name for name in ordered if name != "url"][:MAX_COLUMNS]


def sort_key(row: ResultRow, column: str, down: bool) -> SortKey:
    """Numbers, also those in text, before other text; what is missing comes last, both up and down."""
    value = fields_of(row).get(column)
    number = _number(value)
    if value is None or value == "":
        return (2, 0.0, "", row.seq)
    if number is not None:
        return (1 if down else 0, -number if down else number, "", row.seq)
    return (0 if down else 1, 0.0, text_of(value)[:MAX_CELL].lower(), row.seq)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float | str):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None
    return None


def sorted_part(
    rows: Iterable[ResultRow], column: str, down: bool, skip: int, limit: int
) -> tuple[list[ResultRow], int]:  # fmt: skip
    """The ``limit`` rows behind the first ``skip`` when all are sorted by ``column``, and how many there are."""
    keyed = []
    count = 0
    for row in rows:
        count += 1
        keyed.append((sort_key(row, column, down), row))
    text_down = _TextDown if down else _as_it_is
    first = heapq.nsmallest(skip + limit, keyed, key=lambda pair: text_down(pair[0]))
    return [row for _, row in first[skip:]], count


def _as_it_is(key: SortKey) -> Any:
    return key


class _TextDown:
    """A key whose text sorts from Z to A; the rest is turned round already."""

    __slots__ = ("key",)

    def __init__(self, key: SortKey) -> None:
        self.key = key

    def __lt__(self, other: _TextDown) -> bool:
        (group, number, text, seq), (group2, number2, text2, seq2) = self.key, other.key
        if (group, number) != (group2, number2):
            return (group, number) < (group2, number2)
        return text > text2 if text != text2 else seq < seq2
