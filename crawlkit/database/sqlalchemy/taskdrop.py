"""Removes what a project has in the taskdb, some rows at a time, so that nobody waits long for the lock.

What goes is entered in the ledger, in the same transaction: whoever audits meanwhile finds the books balanced.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.sqlalchemy import letters
from crawlkit.database.sqlalchemy.statements import Prepared
from crawlkit.database.sqlalchemy.tables import (
    allowances,
    attempts,
    counts,
    leases,
    ledger,
    metrics,
    state,
    tasks,
    ticks,
)
from crawlkit.libs.task import Status

KEPT = "action"  # the entry of state that says that the project is being removed


def drop_some(connection: Connection, count: Prepared, project: str, limit: int) -> int:
    """About ``limit`` rows; returns how many, 0 when nothing was left. ``count`` adds up in the ledger."""
    connection.execute(sa.delete(leases).where(leases.c.project == project))
    removed = letters.drop_some(connection, project, limit)
    if removed < limit:
        removed += _drop_tasks(connection, count, project, limit - removed)
    if removed < limit:
        removed += connection.execute(sa.delete(attempts).where(_page(connection, attempts, project, limit))).rowcount
    if removed:
        return removed
    for table in (ticks, state, ledger, metrics, counts, allowances):
        mine = table.c.project == project
        if table is state:
            mine &= state.c.name != KEPT
        removed += connection.execute(sa.delete(table).where(mine)).rowcount
    return removed


def _drop_tasks(connection: Connection, count: Prepared, project: str, limit: int) -> int:
    mine = _page(connection, tasks, project, limit)
    active = sa.func.sum(sa.case((tasks.c.status == int(Status.ACTIVE), 1), else_=0))
    sums = sa.select(sa.func.count(), sa.func.sum(tasks.c.run), active).where(mine)
    rows, runs, waiting = connection.execute(sums).one()
    if not rows:
        return 0
    connection.execute(sa.delete(tasks).where(mine))
    entries = [(project, "cleared", "drop", int(waiting)), (project, "removed", "drop", int(runs))]
    connection.exec_driver_sql(count.sql, [entry for entry in entries if entry[3]])
    return int(rows)


def _page(connection: Connection, table: sa.Table, project: str, limit: int) -> sa.ColumnElement[bool]:
    """The first ``limit`` rows of a project, or more: all rows of one task go together."""
    mine: sa.ColumnElement[bool] = table.c.project == project
    last = sa.select(table.c.taskid).where(mine).order_by(table.c.taskid).limit(1).offset(max(1, limit) - 1)
    boundary = connection.execute(last).scalar()
    return mine if boundary is None else mine & (table.c.taskid <= boundary)
