"""The row that says who alone may commit to a taskdb, and the check of it within each transaction."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.base import Owner
from crawlkit.database.sqlalchemy.engine import Database
from crawlkit.database.sqlalchemy.statements import Prepared, upsert
from crawlkit.database.sqlalchemy.tables import owners, writers
from crawlkit.libs.errors import NotOwner

PARTITION = 0  # there is one
_OWNER = sa.select(*(owners.c[name] for name in Owner.__struct_fields__)).where(owners.c.partition == PARTITION)
_HOLDER = sa.select(owners.c.holder).where(owners.c.partition == PARTITION)


class Ownership:
    """Of one open store. ``holder`` names its row in ``writers``."""

    def __init__(self, database: Database, holder: str) -> None:
        self._database = database
        self._holder = holder
        self.taken = False
        dialect = database.engine.dialect
        self._put = upsert(owners, dialect)
        self._enter = upsert(writers, dialect, greatest=("seq",))
        larger = sa.func.max if dialect.name == "sqlite" else sa.func.greatest
        seq = sa.bindparam("seq", type_=writers.c.seq.type)
        mine = sa.exists().where(
            owners.c.partition == sa.literal_column(str(PARTITION)), owners.c.holder == sa.bindparam("holder")
        )
        signed = sa.update(writers).where(writers.c.writer == sa.bindparam("mine"), mine)
        signed = signed.values(n=sa.bindparam("number", type_=writers.c.n.type), seq=larger(writers.c.seq, seq))
        self._sign = Prepared(lambda: signed, dialect)

    def take(self, node: str, ttl: float, over: Owner | None) -> Owner | None:
        """See :meth:`TaskStore.own`."""

        def work(connection: Connection) -> Owner | None:
            now = self._database.now(connection)
            row = connection.execute(_OWNER).one_or_none()
            found = None if row is None else Owner(*row)
            theirs = found is not None and found.holder != self._holder
            if found is not None and theirs and (self.taken or (now < found.until and found != over)):
                return found
            if found is None or theirs:
                connection.exec_driver_sql(self._enter.sql, (self._holder, 0, 0))
            connection.exec_driver_sql(self._put.sql, (PARTITION, self._holder, node, now + ttl))
            return None

        found = self._database.transact(work)
        self.taken = self.taken or found is None
        return found

    def sign(self, connection: Connection, number: int, seq: int) -> bool:
        """Signs a commit and checks, in one statement, that it is the owner's; ``False``: nobody asked to own it."""
        if not self.taken:
            return False
        values = {"number": number, "seq": seq, "mine": self._holder, "holder": self._holder}
        signed = connection.exec_driver_sql(self._sign.sql, tuple(values[name] for name in self._sign.names))
        if signed.rowcount != 1:
            raise self._lost(connection)
        return True

    def check(self, connection: Connection) -> None:
        """Raises :class:`NotOwner` in the transaction of one who had it and lost it; others may do what they like."""
        if self.taken and connection.execute(_HOLDER).scalar() != self._holder:
            raise self._lost(connection)

    def _lost(self, connection: Connection) -> NotOwner:
        row = connection.execute(_OWNER).one_or_none()
        who = "nobody" if row is None else row.node
        return NotOwner(f"{self._database.here}: {who} has it now; this scheduler stops and leaves everything to it")

    def give_back(self, connection: Connection) -> None:
        """Lets others have it at once."""
        mine = sa.and_(owners.c.partition == PARTITION, owners.c.holder == self._holder)
        connection.execute(sa.delete(owners).where(mine))
