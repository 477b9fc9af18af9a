"""What a stored result says: its fields by name, and each value as people see it. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from crawlkit.libs.rows import ResultRow


def load_result(text: str) -> Any:
    """A stored result; text that nobody can read as JSON is itself."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass
    try:
        return json.loads(text)  # knows NaN and lone surrogates, which are no JSON
    except (ValueError, RecursionError):
        return text


def text_of(value: Any) -> str:
    """A value as people see it: text as it is, nothing for None, JSON for the rest."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def fields_of(row: ResultRow) -> dict[str, Any]:
    """The fields of a row by name: ``url``, and the result's keys, or ``result`` when it is no object.

    A ``url`` of the result's own wins over the page's.
    """
    value = load_result(row.result)
    if isinstance(value, dict):
        return {"url": row.url, **value}
    return {"url": row.url, "result": value}


def narrowed(row: ResultRow, fields: Sequence[str]) -> ResultRow:
    """The row with those keys of its result only, in that order; a result that is no object stays as it is."""
    value = load_result(row.result)
    if not isinstance(value, dict):
        return row
    kept = {name: value[name] for name in fields if name in value}
    return ResultRow(
        row.project, row.taskid, row.run, row.n, row.url, json.dumps(kept, ensure_ascii=False), row.updatetime, row.seq
    )
