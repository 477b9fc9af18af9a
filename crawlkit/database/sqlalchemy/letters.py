"""Letters for the owners of partitions, and the tokens that all schedulers of a project share."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.base import Letter
from crawlkit.database.rules import draw
from crawlkit.database.sqlalchemy.engine import Database
from crawlkit.database.sqlalchemy.statements import Prepared, merged, upsert
from crawlkit.database.sqlalchemy.tables import allowances, mail
from crawlkit.libs.rows import TASK_LETTER, Allowance

COLUMNS = ("partition", "project", "kind", "text")
_LETTER = [mail.c[name] for name in Letter.__struct_fields__]


def posting(dialect: sa.Dialect) -> Prepared:
    """INSERT of a letter; a tuple gives :data:`COLUMNS`."""
    return Prepared(lambda: sa.insert(mail).inline(), dialect, COLUMNS)


def read(connection: Connection, partitions: Collection[int], limit: int) -> list[Letter]:
    """The oldest letters for any of the partitions, oldest first: of each so many at most are looked at."""
    if not partitions:
        return []
    # MariaDB would walk over the letters of all to spare itself a look-up for each.
    letters = sa.select(*_LETTER).with_hint(mail, "FORCE INDEX (mail_partition)", "mysql")
    boxes = [letters.where(mail.c.partition == partition) for partition in sorted(set(partitions))]
    query = merged(boxes, [mail.c.id], sa.literal(max(0, limit)), connection.dialect)
    return [Letter(*row) for row in connection.execute(query)]


def waiting(connection: Connection, project: str) -> int:
    """Letters of kind task."""
    query = sa.select(sa.func.count()).select_from(mail).where(mail.c.project == project, mail.c.kind == TASK_LETTER)
    return int(connection.execute(query).scalar() or 0)


def drop_some(connection: Connection, project: str, limit: int) -> int:
    """Removes up to ``limit`` letters of kind task; returns how many."""
    mine = sa.select(mail.c.id).where(mail.c.project == project, mail.c.kind == TASK_LETTER)
    ids = list(connection.execute(mine.order_by(mail.c.id).limit(limit)).scalars())
    if ids:
        last = mail.c.id <= ids[-1]
        connection.execute(sa.delete(mail).where(mail.c.project == project, mail.c.kind == TASK_LETTER, last))
    return len(ids)


class Allowances:
    """Of one open store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = database.engine.dialect
        self._put = upsert(allowances, dialect)
        self._begin = upsert(allowances, dialect, keep=True)
        held = sa.select(allowances.c.tokens, allowances.c.at).where(allowances.c.project == sa.bindparam("project"))
        self._held = Prepared(lambda: held.with_for_update(), dialect)  # SQLite holds the whole store anyway

    def draw(self, project: str, want: int, rate: float, burst: float) -> tuple[int, float]:
        """See :meth:`TaskStore.draw`."""

        def work(connection: Connection) -> tuple[int, float]:
            row = connection.exec_driver_sql(self._held.sql, (project,)).first()
            if row is None:  # whoever comes first fills it
                now = self._database.now(connection)
                connection.exec_driver_sql(self._begin.sql, (project, burst, now))
                row = connection.exec_driver_sql(self._held.sql, (project,)).one()
            now = self._database.now(connection)  # behind the lock: it waited for whoever drew before
            left, granted, wait = draw(Allowance(*row), now, want, rate, burst)
            if left is not None:
                connection.exec_driver_sql(self._put.sql, (project, left.tokens, left.at))
            return granted, wait

        return self._database.transact(work, shared=True)
