"""Results as JSON lines, a JSON array or CSV. Streams: holds one row, or a small block of them, at a time.

Opens nothing: rows come from an iterable, bytes go to something with ``write``.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import msgspec

from crawlkit.libs.rows import ResultRow

FORMATS = ("jsonl", "json", "csv")
MAX_COLUMNS = 1_000  # of a CSV file; the keys behind them go into one column "..." as JSON
REST = "..."
_BLOCK = 64 * 1024  # characters of CSV between two writes
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Writable(Protocol):
    """What bytes are written to: a file, a pipe, a response."""

    def write(self, data: bytes, /) -> object: ...


def _json_object(row: ResultRow) -> bytes:
    # The result is JSON text already. A line break in it can only stand between its tokens.
    result = row.result
    if "\n" in result or "\r" in result:
        result = result.replace("\n", " ").replace("\r", " ")
    head = msgspec.json.encode({"taskid": row.taskid, "project": row.project, "url": row.url})
    time = msgspec.json.encode(row.updatetime)
    return b'%b,"result":%b,"updatetime":%b}' % (head[:-1], result.encode("utf-8", "replace"), time)


def jsonl_line(row: ResultRow) -> bytes:
    """``{"taskid", "project", "url", "result", "updatetime"}`` on one line, with its line break."""
    return _json_object(row) + b"\n"


def write_jsonl(rows: Iterable[ResultRow], out: Writable) -> int:
    """One line a result; returns how many."""
    count = 0
    for row in rows:
        out.write(jsonl_line(row))
        count += 1
    return count


def write_json(rows: Iterable[ResultRow], out: Writable) -> int:
    """One JSON array of the same objects, one a line; returns how many."""
    count = 0
    out.write(b"[")
    for row in rows:
        out.write((b",\n" if count else b"\n") + _json_object(row))
        count += 1
    out.write(b"\n]\n" if count else b"]\n")
    return count


def write_csv(rows: Callable[[], Iterable[ResultRow]], out: Writable) -> int:
    """CSV (RFC 4180, UTF-8) with the columns ``url`` and the results' keys in order of first appearance.

    ``rows`` is called twice and must give the same rows again: the first pass finds the columns. Rows with a ``seq``
    behind those of the first pass are left out. A result that is no object stands in a column ``result``; a ``url``
    of the result's own wins over the page's. Values that are no text are JSON, None is empty. A text that a
    spreadsheet would take for a formula gets a ``'`` in front. Returns how many rows were written.
    """
    columns, newest = _columns(rows())
    names = list(columns)
    known = frozenset(names[:MAX_COLUMNS])
    header = names if len(names) <= MAX_COLUMNS else [*names[:MAX_COLUMNS], REST]
    count = 0
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([_cell(name) for name in header])
    for row in rows():
        if row.seq > newest:
            continue
        values = _fields(row)
        if len(header) > MAX_COLUMNS:
            rest = {key: values.pop(key) for key in list(values) if key not in known}
            if rest:
                values[REST] = rest
        writer.writerow([_cell(values.get(name)) for name in header])
        count += 1
        if buffer.tell() >= _BLOCK:
            out.write(_taken(buffer))
    out.write(_taken(buffer))
    return count


WRITERS: dict[str, Callable[[Callable[[], Iterable[ResultRow]], Writable], int]] = {
    "jsonl": lambda rows, out: write_jsonl(rows(), out),
    "json": lambda rows, out: write_json(rows(), out),
    "csv": write_csv,
}


def _columns(rows: Iterable[ResultRow]) -> tuple[dict[str, None], int]:
    columns = {"url": None}
    newest = 0
    for row in rows:
        newest = max(newest, row.seq)
        if len(columns) <= MAX_COLUMNS:  # one more than fits says that there is a rest
            for key in _fields(row):
                columns[key] = None
                if len(columns) > MAX_COLUMNS:
                    break
    return columns, newest


def _fields(row: ResultRow) -> dict[str, Any]:
    value = _loads(row.result)
    if isinstance(value, dict):
        return {"url": row.url, **value}
    return {"url": row.url, "result": value}


def _loads(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass
    try:
        return json.loads(text)  # knows NaN and lone surrogates, which are no JSON
    except (ValueError, RecursionError):
        return text


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return "'" + value if value.startswith(_FORMULA) else value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode("utf-8", "replace")


def in_order(page: Callable[[int], list[ResultRow]], after: int = 0) -> Iterator[ResultRow]:
    """All rows behind the number ``after``, fetched a page at a time by ``page(seq)``."""
    while rows := page(after):
        yield from rows
        after = rows[-1].seq
