"""Searches of the resultdb for people: back (or on) along the numbers of a project's results, a stretch at a time."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.base import ResultPage, ResultRow, ResultSearch
from crawlkit.database.searching import result_fits, stored_part
from crawlkit.database.sqlalchemy.engine import Database
from crawlkit.database.sqlalchemy.statements import holds
from crawlkit.database.sqlalchemy.tables import results
from crawlkit.libs.clock import SystemClock

STRETCH = 2_000  # rows between two looks at the clock
_QUERY = sa.select(*(results.c[name] for name in ResultRow.__struct_fields__))


def find(
    database: Database, search: ResultSearch, after: int | None, limit: int, budget: float
) -> ResultPage:  # fmt: skip
    """A page of the rows that fit, in order of seq, behind ``after``; what was found when the time is up."""
    deadline = SystemClock.monotonic() + budget
    fits = result_fits(search)
    found: list[ResultRow] = []
    looked = 0
    with database.read() as connection:
        while True:
            end = _number_behind(connection, search, after, STRETCH if fits is not None else limit)
            stretch = _between(search, after, end)
            query = _QUERY.where(stretch, *_sieve(search)).order_by(_order(search))
            for row in connection.execute(query):
                looked += 1
                result = ResultRow(*row)
                if fits is None or fits(result):
                    found.append(result)
                    if len(found) == limit:
                        return ResultPage(found, _rest(connection, search, result.seq), looked)
            if end is None:
                return ResultPage(found, None, looked)
            after = end
            if SystemClock.monotonic() > deadline:
                return ResultPage(found, after, looked)


def _order(search: ResultSearch) -> sa.ColumnElement[Any]:
    return results.c.seq if search.oldest_first else results.c.seq.desc()


def _between(search: ResultSearch, after: int | None, end: int | None) -> sa.ColumnElement[bool]:
    """The project's rows behind ``after`` as far as ``end``, that one included."""
    seq = results.c.seq
    conditions = [results.c.project == search.project]
    if after is not None:
        conditions.append(seq > after if search.oldest_first else seq < after)
    if end is not None:
        conditions.append(seq <= end if search.oldest_first else seq >= end)
    return sa.and_(*conditions)


def _sieve(search: ResultSearch) -> list[sa.ColumnElement[bool]]:
    """What can be told of the stored text before it is read; lets too many rows through rather than too few."""
    parts = [search.text, search.value if search.field is not None else None]
    conditions = [_in_either(part) for part in map(stored_part, filter(None, parts)) if part is not None]
    name = stored_part(search.field) if search.field not in (None, "url", "result") else None
    if name is not None:
        conditions.append(holds(sa.func.lower(results.c.result), name))
    return conditions


def _in_either(part: str) -> sa.ColumnElement[bool]:
    return sa.or_(*(holds(sa.func.lower(column), part) for column in (results.c.result, results.c.url)))


def _number_behind(connection: Connection, search: ResultSearch, after: int | None, rows: int) -> int | None:
    """The seq of the row that stands so many rows further on; None: there are not so many."""
    query = sa.select(results.c.seq).where(_between(search, after, None))
    found = connection.execute(query.order_by(_order(search)).limit(1).offset(rows - 1)).scalar()
    return None if found is None else int(found)


def _rest(connection: Connection, search: ResultSearch, seq: int) -> int | None:
    """``seq``, when there are rows behind it."""
    return seq if _number_behind(connection, search, seq, 1) is not None else None
