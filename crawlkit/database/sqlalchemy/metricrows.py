"""The table of what projects did: how a row becomes a tuple of columns and back, and the queries over it."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.sqlalchemy.statements import Prepared
from crawlkit.database.sqlalchemy.tables import metrics
from crawlkit.libs.metrics import MetricRow, in_steps, width_for

_PLAIN = 9  # columns before those in JSON
_plain = attrgetter(*[column.name for column in metrics.columns][:_PLAIN])
_json = msgspec.json.Encoder().encode
_counts = msgspec.json.Decoder(dict[str, int]).decode
_hosts = msgspec.json.Decoder(dict[str, tuple[int, int]]).decode


def values(row: MetricRow) -> tuple[Any, ...]:
    """A row's values in the order of the table's columns."""
    return (*_plain(row), _json(row.codes).decode(), _json(row.reasons).decode(), _json(row.hosts).decode())


def read(connection: Connection, project: str, since: float, until: float, step: int) -> list[MetricRow]:
    """Rows of ``step`` seconds, oldest first."""
    mine = sa.and_(metrics.c.project == project, metrics.c.width == width_for(step))
    query = sa.select(metrics).where(mine, metrics.c.start >= since, metrics.c.start < until)
    rows = connection.execute(query.order_by(metrics.c.start))
    return in_steps((_row(row) for row in rows), step)


def _row(row: sa.Row[Any]) -> MetricRow:
    values: list[Any] = [*row[:_PLAIN], _counts(row[_PLAIN]), _counts(row[_PLAIN + 1]), _hosts(row[_PLAIN + 2])]
    return MetricRow(*values)


def prune(connection: Connection, delete: Prepared, width: int, before: float, limit: int) -> int:
    """Removes the oldest rows of a width. ``delete`` takes the primary key."""
    old = sa.select(*metrics.primary_key).where(metrics.c.width == width, metrics.c.start < before)
    keys = [tuple(row) for row in connection.execute(old.order_by(metrics.c.start).limit(limit))]
    if keys:
        delete.many(connection, keys)
    return len(keys)
