"""Many rows for one statement of PostgreSQL: a column is an array, and ``unnest`` makes rows of them again.

An array goes as its text, whose type the statement says: the driver would look at each value by itself. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

FEW = 4  # rows up to which a statement for each is no slower
MOST, CHARACTERS = 1_000, 1_000_000  # rows of one statement, and characters of the texts in them

# the first that fits; a BIGINT is an INTEGER, too
_KINDS: list[tuple[type[sa.types.TypeEngine[Any]], str]] = [
    (sa.String, "text"),
    (sa.Boolean, "boolean"),
    (sa.BigInteger, "bigint"),
    (sa.Integer, "integer"),
    (sa.Float, "double precision"),
]


class Columns:
    """Some columns of a table, none of which holds bytes; with ``place`` also where a row is, ``None`` if not known."""

    def __init__(self, table: sa.Table, names: Sequence[str], *, place: bool = False) -> None:
        kinds = [kind_of(table.c[name].type) for name in names]
        if place:
            kinds, names = [*kinds, "tid"], [*names, "place"]
        self._arrays = [text_array if kind in ("text", "tid") else plain_array for kind in kinds]
        arrays = ", ".join(f"%s::{kind}[]" for kind in kinds)
        self.unnest = f"unnest({arrays}) AS new ({', '.join(map(quoted, names))})"

    def values(self, rows: Sequence[tuple[Any, ...]]) -> tuple[str, ...]:
        """The parameters of :attr:`unnest`."""
        columns = zip(*rows, strict=True)
        return tuple(array(column) for array, column in zip(self._arrays, columns, strict=True))


def kind_of(column: sa.types.TypeEngine[Any]) -> str:
    """What PostgreSQL calls a type; raises :class:`TypeError` for one that goes in no array here."""
    for kind, name in _KINDS:
        if isinstance(column, kind):
            return name
    raise TypeError(f"{column!r} goes in no array")


def quoted(name: str) -> str:
    """A name as PostgreSQL takes it whatever words it keeps to itself."""
    return f'"{name}"'


def text_array(values: Sequence[str | None]) -> str:
    """An array of texts as PostgreSQL writes it. A NUL stays in it, for the driver to refuse."""
    if None not in values:
        joined: str = "\0".join(values)  # type: ignore[arg-type]
        if joined.count("\0") == len(values) - 1:
            between = joined.replace("\\", "\\\\").replace('"', '\\"').replace("\0", '","')
            return f'{{"{between}"}}'
    return f"{{{','.join(map(_text, values))}}}"


def _text(value: str | None) -> str:
    if value is None:
        return "NULL"
    between = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{between}"'


def plain_array(values: Sequence[float | bool | None]) -> str:
    """An array of numbers or truth values."""
    if None in values:
        return f"{{{','.join(['NULL' if value is None else str(value) for value in values])}}}"
    return f"{{{','.join(map(str, values))}}}"


def chunks(
    rows: Sequence[tuple[Any, ...]], most: int = MOST, characters: int = CHARACTERS
) -> Iterator[list[tuple[Any, ...]]]:
    """Some rows at a time, so that a statement is no larger than what any server takes."""
    chunk: list[tuple[Any, ...]] = []
    size = 0
    for row in rows:
        length = sum(len(value) for value in row if isinstance(value, str))
        if chunk and (len(chunk) == most or size + length > characters):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += length
    if chunk:
        yield chunk
