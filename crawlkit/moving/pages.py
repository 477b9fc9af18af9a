"""Reads a table in pages of about the same number of bytes, whether its rows are links or whole pages."""

from __future__ import annotations

from collections.abc import Iterator

from crawlkit.database.carrying import Carrier, Row, Shape

PAGE_BYTES = 2 * 2**20
FIRST, FIRST_LARGE = 100, 8  # rows of the first page; of a table of bodies
MOST = 5_000


def pages(source: Carrier, shape: Shape, after: Row | None = None) -> Iterator[list[Row]]:
    """All rows behind the key ``after``, in the order of the key."""
    limit = FIRST_LARGE if shape.large else FIRST
    while rows := source.page(shape.name, after, limit):
        yield rows
        if len(rows) < limit:
            return
        after = shape.key_of(rows[-1])
        fitting = limit * PAGE_BYTES // max(1, size_of(rows))
        limit = max(1, min(fitting, limit * 4, MOST))


def size_of(rows: list[Row]) -> int:
    """Bytes of what is in the rows, about."""
    return sum(len(value) if isinstance(value, str | bytes) else 8 for row in rows for value in row)
