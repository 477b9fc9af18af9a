"""Results as JSON lines, a JSON array, URLs with JSON, or CSV. Streams: holds one row, or a small block, at a time.

Opens nothing: rows come from an iterable; bytes are yielded in blocks, or go to something with ``write``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import msgspec

from crawlkit.libs.result_values import fields_of, text_of
from crawlkit.libs.rows import ResultRow

FORMATS = ("jsonl", "json", "csv")
MAX_COLUMNS = 1_000  # of a CSV file; the keys behind them go into one column "..." as JSON
REST = "..."
_BLOCK = 64 * 1024  # bytes, or characters of CSV, of a block
# What a spreadsheet may take for the beginning of a formula (OWASP, "CSV injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_MARKUP = re.compile(rb"<(?=[/!sS])")  # </script>, <!-- and <script, which mean something to HTML also in a string


class Writable(Protocol):
    """What bytes are written to: a file, a pipe, a response."""

    def write(self, data: bytes, /) -> object: ...


Rows = Callable[[], Iterable[ResultRow]]
Fields = Callable[[ResultRow], dict[str, Any]]


def _json_text(row: ResultRow) -> bytes:
    # The result is JSON text already. A line break in it can only stand between its tokens.
    result = row.result
    if "\n" in result or "\r" in result:
        result = result.replace("\n", " ").replace("\r", " ")
    return result.encode("utf-8", "replace")


def _json_object(row: ResultRow) -> bytes:
    head = msgspec.json.encode({"taskid": row.taskid, "project": row.project, "url": row.url})
    time = msgspec.json.encode(row.updatetime)
    return b'%b,"result":%b,"updatetime":%b}' % (head[:-1], _json_text(row), time)


def jsonl_line(row: ResultRow) -> bytes:
    """``{"taskid", "project", "url", "result", "updatetime"}`` on one line, with its line break."""
    return _json_object(row) + b"\n"


def txt_line(row: ResultRow) -> bytes:
    """The page's URL, a tab, the result's JSON, a line break [W17]."""
    url = re.sub(r"[\t\r\n]", " ", row.url)
    return b"%b\t%b\n" % (url.encode("utf-8", "replace"), _json_text(row))


def embeddable(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same JSON, safe to stand inside a script of an HTML page: what would end it is escaped."""
    for chunk in chunks:
        yield _MARKUP.sub(rb"\\u003c", chunk)


def jsonl_chunks(rows: Rows) -> Iterator[bytes]:
    """One line a result."""
    return _blocks(map(jsonl_line, rows()))


def txt_chunks(rows: Rows) -> Iterator[bytes]:
    """One line a result, for tools that cut columns."""
    return _blocks(map(txt_line, rows()))


def json_chunks(rows: Rows) -> Iterator[bytes]:
    """One JSON array of the same objects as :func:`jsonl_chunks`, one a line."""
    return _blocks(_array(rows()))


def _array(rows: Iterable[ResultRow]) -> Iterator[bytes]:
    before = b"[\n"
    for row in rows:
        yield before + _json_object(row)
        before = b",\n"
    yield b"[]\n" if before == b"[\n" else b"\n]\n"


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces. No piece is cut."""
    block = bytearray()
    for piece in pieces:
        block += piece
        if len(block) >= _BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def csv_chunks(rows: Rows, fields: Fields = fields_of) -> Iterator[bytes]:
    """CSV (RFC 4180, UTF-8) with the columns ``url`` and the results' keys in order of first appearance.

    ``rows`` is called twice and must give the same rows again: the first pass finds the columns. Rows with a ``seq``
    behind those of the first pass are left out. A result that is no object stands in a column ``result``; a ``url``
    of the result's own wins over the page's. Values that are no text are JSON, None is empty. A text that a
    spreadsheet would take for a formula gets a ``'`` in front. ``fields``: the values of a row by their columns.
    """
    columns, newest = columns_of(rows(), fields)
    return _table(list(columns), (row for row in rows() if row.seq <= newest), fields)


def _table(names: list[str], rows: Iterable[ResultRow], fields: Fields = fields_of) -> Iterator[bytes]:
    known = frozenset(names[:MAX_COLUMNS])
    header = names if len(names) <= MAX_COLUMNS else [*names[:MAX_COLUMNS], REST]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([_cell(name) for name in header])
    for row in rows:
        values = fields(row)
        if len(header) > MAX_COLUMNS:
            rest_apart(values, known)
        writer.writerow([_cell(values.get(name)) for name in header])
        if buffer.tell() >= _BLOCK:
            yield _taken(buffer)
    yield _taken(buffer)


def rest_apart(values: dict[str, Any], known: frozenset[str]) -> None:
    """Moves the values without a column of their own into the column :data:`REST`."""
    rest = {key: values.pop(key) for key in list(values) if key not in known}
    if rest:
        values[REST] = rest


def columns_of(rows: Iterable[ResultRow], fields: Fields = fields_of) -> tuple[dict[str, None], int]:
    """``url`` and the results' keys in order of first appearance, one more than fits at most; the largest seq."""
    columns = {"url": None}
    newest = 0
    for row in rows:
        newest = max(newest, row.seq)
        if len(columns) <= MAX_COLUMNS:  # one more than fits says that there is a rest
            for key in fields(row):
                columns[key] = None
                if len(columns) > MAX_COLUMNS:
                    break
    return columns, newest


#: Every text format by its name, and its media type.
CHUNKS: dict[str, tuple[Callable[[Rows], Iterator[bytes]], str]] = {
    "jsonl": (jsonl_chunks, "application/x-ndjson"),
    "json": (json_chunks, "application/json"),
    "csv": (csv_chunks, "text/csv; charset=utf-8"),
    "txt": (txt_chunks, "text/plain; charset=utf-8"),
}


class _Counted:
    """Counts the rows that pass."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, rows: Iterable[ResultRow]) -> Iterator[ResultRow]:
        for row in rows:
            self.count += 1
            yield row

    def write(self, chunks: Iterable[bytes], out: Writable) -> int:
        for chunk in chunks:
            out.write(chunk)
        return self.count


def write_jsonl(rows: Iterable[ResultRow], out: Writable) -> int:
    """One line a result; returns how many."""
    counted = _Counted()
    return counted.write(jsonl_chunks(lambda: counted(rows)), out)


def write_json(rows: Iterable[ResultRow], out: Writable) -> int:
    """One JSON array; returns how many."""
    counted = _Counted()
    return counted.write(json_chunks(lambda: counted(rows)), out)


def write_csv(rows: Rows, out: Writable) -> int:
    """See :func:`csv_chunks`; returns how many rows were written."""
    counted = _Counted()
    columns, newest = columns_of(rows())
    return counted.write(_table(list(columns), counted(row for row in rows() if row.seq <= newest)), out)


WRITERS: dict[str, Callable[[Rows, Writable], int]] = {
    "jsonl": lambda rows, out: write_jsonl(rows(), out),
    "json": lambda rows, out: write_json(rows(), out),
    "csv": write_csv,
}


def _cell(value: Any) -> str:
    text = text_of(value)
    return "'" + text if isinstance(value, str) and text.startswith(_FORMULA) else text


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
