"""Counters that nearly every commit adds to.

PostgreSQL keeps each version of a row until no transaction may look at it any more. While somebody holds one open, a
look-up by key passes all versions since. So there a commit finds these rows by the places that the one before was told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from crawlkit.database.sqlalchemy import arrays
from crawlkit.database.sqlalchemy.engine import Sender
from crawlkit.database.sqlalchemy.statements import upsert

PLACES = 10_000  # rows whose places are remembered


class Counters:
    """The rows of a table whose last column is a number ``n``; the others are its key."""

    def __init__(self, table: sa.Table, dialect: sa.Dialect) -> None:
        self._upsert = upsert(table, dialect, add=("n",))
        self._placed = dialect.name == "postgresql"
        self._places: dict[tuple[str, ...], str] = {}  # key -> where its newest version is
        if self._placed:
            self._columns = arrays.Columns(table, table.columns.keys(), place=True)
            self._sql = _by_place(table, self._columns)

    def add(self, sender: Sender, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Adds to known rows, makes new ones. When that is committed its answers are for :meth:`kept`."""
        if not self._placed:
            if rows:
                self._upsert.many(sender, rows)
            return []
        placed = [(*row, self._places.get(row[:-1])) for row in rows]
        return [
            sender.exec_driver_sql(self._sql, self._columns.values(chunk)) for chunk in arrays.chunks(placed)
        ]  # fmt: skip

    def kept(self, answers: Sequence[Any]) -> None:
        """The commit was kept."""
        if len(self._places) > PLACES:
            self._places.clear()
        for answer in answers:
            self._places.update((tuple(key), place) for *key, place in answer.fetchall())


def _by_place(table: sa.Table, columns: arrays.Columns) -> str:
    """Each row by its place; what is not there any more, or has none, by its key. A place holds one row's versions,
    or another row's, which the key tells."""
    keys = [arrays.quoted(column.name) for column in table.primary_key]
    own, given = (", ".join(f"{name}.{key}" for key in keys) for name in ("known", "new"))
    plain = ", ".join(keys)
    same = " AND ".join(f"known.{key} || '' = new.{key}" for key in keys)  # || '': not to be looked up by
    return (
        f"WITH new AS MATERIALIZED (SELECT * FROM {columns.unnest}),"
        f" placed AS (UPDATE {table.name} AS known SET n = known.n + new.n FROM new"
        f" WHERE known.ctid = new.place AND {same} RETURNING {own}, known.ctid),"
        f" others AS (INSERT INTO {table.name} AS known ({plain}, n) SELECT {given}, new.n FROM new"
        f" WHERE ({given}) NOT IN (SELECT {plain} FROM placed)"
        f" ON CONFLICT ({plain}) DO UPDATE SET n = known.n + excluded.n RETURNING {own}, known.ctid)"
        " SELECT * FROM placed UNION ALL SELECT * FROM others"
    )
