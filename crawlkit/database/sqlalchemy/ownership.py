"""The rows that say who alone may commit to which partition, and the check of it within each transaction."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.base import Owner
from crawlkit.database.rules import NOBODY, not_owner
from crawlkit.database.sqlalchemy.engine import Database, Sender, Unsigned
from crawlkit.database.sqlalchemy.statements import Prepared, upsert
from crawlkit.database.sqlalchemy.tables import members, owners, writers
from crawlkit.libs.errors import NotOwner

_OWNER = [owners.c[name] for name in Owner.__struct_fields__]
_MEMBER = [members.c[name] for name in Owner.__struct_fields__]
SETS = 64  # of partitions whose statement is kept


class Ownership:
    """Of one open store. ``holder`` names its row in ``writers``, in ``owners`` and in ``members``."""

    def __init__(self, database: Database, holder: str) -> None:
        self._database = database
        self._holder = holder
        self.taken: frozenset[int] = frozenset()  # partitions that were not given back
        self.announced = False
        dialect = database.engine.dialect
        self._put = upsert(owners, dialect)
        self._put_member = upsert(members, dialect)
        self._enter = upsert(writers, dialect, greatest=("seq",))
        self._signs: dict[frozenset[int], Prepared] = {}
        self._by_place = dialect.name == "postgresql"
        self._place: str | None = None  # where its row of writers is

    def take(self, node: str, ttl: float, over: Owner | None, partition: int) -> Owner | None:
        """See :meth:`TaskStore.own`."""

        def work(connection: Connection) -> Owner | None:
            now = self._database.now(connection)
            found = _owner(connection, partition)
            mine = found is not None and found.holder == self._holder
            if not mine and partition in self.taken:
                return found or NOBODY
            if not mine and found is not None and now < found.until and found != over:
                return found
            if not mine:
                connection.exec_driver_sql(self._enter.sql, (self._holder, 0, 0))
            connection.exec_driver_sql(self._put.sql, (partition, self._holder, node, now + ttl))
            return None

        found = self._database.transact(work)
        if found is None:
            self.taken |= {partition}
        return found

    def renew(self, node: str, ttl: float) -> dict[int, Owner | None]:
        """See :meth:`TaskStore.renew`."""
        taken = self.taken
        if not taken:
            return {}

        def work(connection: Connection) -> dict[int, Owner | None]:
            lost = self._lost(connection, taken)
            until = self._database.now(connection) + ttl
            rows = [(partition, self._holder, node, until) for partition in sorted(taken - set(lost))]
            self._put.many(connection, rows)
            return lost

        return self._database.transact(work)

    def sign(self, sender: Sender, number: int, seq: int) -> Any:
        """Signs a commit and checks, in one statement, that it is the owner's; ``None``: it owns nothing.

        Raises :class:`Unsigned`, or the transaction does. When it was kept the answer is for :meth:`signed`.
        """
        taken = self.taken
        if not taken:
            return None
        if self._by_place:
            values = (number, seq, self._holder, self._place, self._holder, self._holder)
            return sender.exec_driver_sql(_signed_by_place(taken), values)
        statement = self._sign_of(taken)
        given = {"number": number, "seq": seq, "mine": self._holder, "holder": self._holder}
        answer = statement.send(sender, tuple(given[name] for name in statement.names))
        if answer.rowcount != 1:
            raise Unsigned
        return answer

    def signed(self, answer: Any) -> None:
        """The commit was kept."""
        if self._by_place:
            self._place = answer.fetchone()[0]

    def look_again(self) -> bool:
        """Whether a commit was perhaps refused only because the row has been moved: the next one looks it up."""
        moved, self._place = self._place is not None, None
        return moved

    def _sign_of(self, taken: frozenset[int]) -> Prepared:
        statement = self._signs.get(taken)
        if statement is None:
            if len(self._signs) >= SETS:
                self._signs.clear()
            statement = Prepared(lambda: _sign(self._database.engine.dialect, taken), self._database.engine.dialect)
            self._signs[taken] = statement
        return statement

    def refused(self) -> NotOwner:
        """Why a commit was."""
        with self._database.read() as connection:
            return self._refused(connection, self.taken)

    def check(self, connection: Connection) -> None:
        """Raises :class:`NotOwner` in the transaction of one who lost a partition; others may do what they like."""
        taken = self.taken
        if taken and self._lost(connection, taken):
            raise self._refused(connection, taken)

    def _lost(self, connection: Connection, taken: Collection[int]) -> dict[int, Owner | None]:
        rows = connection.execute(sa.select(owners.c.partition, *_OWNER).where(owners.c.partition.in_(sorted(taken))))
        found = {partition: Owner(*row) for partition, *row in rows}
        lost = {partition: found.get(partition) for partition in sorted(taken)}
        return {partition: owner for partition, owner in lost.items() if owner is None or owner.holder != self._holder}

    def _refused(self, connection: Connection, taken: Collection[int]) -> NotOwner:
        # Without a lost one its own row of writers is gone, which says that somebody removed it.
        partition, owner = next(iter(self._lost(connection, taken).items()), (min(taken), None))
        return NotOwner(not_owner(self._database.here, taken, partition, owner))

    def disown(self, partition: int | None) -> None:
        """See :meth:`TaskStore.disown`."""
        self.taken = frozenset() if partition is None else self.taken - {partition}
        with self._database.write() as connection:
            self._give_back(connection, partition)

    def _give_back(self, connection: Connection, partition: int | None) -> None:
        mine = owners.c.holder == self._holder
        if partition is not None:
            mine &= owners.c.partition == partition
        connection.execute(sa.delete(owners).where(mine))

    def owners(self) -> dict[int, Owner]:
        """See :meth:`TaskStore.owners`."""
        query = sa.select(owners.c.partition, *_OWNER).order_by(owners.c.partition)
        with self._database.read() as connection:
            return {partition: Owner(*row) for partition, *row in connection.execute(query)}

    def announce(self, node: str, ttl: float) -> Owner:
        """See :meth:`TaskStore.announce`."""
        with self._database.write(shared=True) as connection:
            member = Owner(self._holder, node, self._database.now(connection) + ttl)
            connection.exec_driver_sql(self._put_member.sql, (member.holder, member.node, member.until))
        self.announced = True
        return member

    def members(self) -> list[Owner]:
        """See :meth:`TaskStore.members`."""
        with self._database.read() as connection:
            return [Owner(*row) for row in connection.execute(sa.select(*_MEMBER).order_by(members.c.holder))]

    def dismiss(self, holder: str) -> bool:
        """See :meth:`TaskStore.dismiss`."""
        with self._database.write(shared=True) as connection:
            return connection.execute(sa.delete(members).where(members.c.holder == holder)).rowcount > 0

    def leave(self, connection: Connection) -> None:
        """Lets others have all of it at once."""
        self._give_back(connection, None)
        connection.execute(sa.delete(members).where(members.c.holder == self._holder))


def _owner(connection: Connection, partition: int) -> Owner | None:
    row = connection.execute(sa.select(*_OWNER).where(owners.c.partition == partition)).one_or_none()
    return None if row is None else Owner(*row)


@lru_cache(maxsize=SETS)
def _signed_by_place(taken: frozenset[int]) -> str:
    """For PostgreSQL, see :mod:`.hotrows`: by the row's place, if that is known, and it tells the new one.

    Nobody waits for the answer before COMMIT is sent: so a commit that nobody may sign divides by zero.
    """
    numbers = ", ".join(map(str, sorted(taken)))
    owned = f"SELECT count(*) FROM owners WHERE partition IN ({numbers}) AND holder = %s"
    return (
        "WITH signed AS (UPDATE writers SET n = %s, seq = greatest(seq, %s) WHERE writer || '' = %s AND"
        " ctid = coalesce(%s::tid, (SELECT known.ctid FROM writers AS known WHERE known.writer = %s))"
        f" AND ({owned}) = {len(taken)} RETURNING ctid)"
        " SELECT (SELECT ctid FROM signed), 1 / (SELECT count(*) FROM signed)"
    )


def _sign(dialect: sa.Dialect, taken: frozenset[int]) -> sa.Update:
    holder = owners.c.holder == sa.bindparam("holder")
    mine: sa.ColumnElement[bool]
    if len(taken) == 1:
        mine = sa.exists().where(owners.c.partition == sa.literal_column(str(*taken)), holder)
    else:
        numbers: list[sa.ColumnClause[int]] = [sa.literal_column(str(partition)) for partition in sorted(taken)]
        held = sa.select(sa.func.count()).select_from(owners).where(owners.c.partition.in_(numbers), holder)
        mine = held.scalar_subquery() == sa.literal_column(str(len(taken)))
    larger = sa.func.max if dialect.name == "sqlite" else sa.func.greatest
    seq = sa.bindparam("seq", type_=writers.c.seq.type)
    signed = sa.update(writers).where(writers.c.writer == sa.bindparam("mine"), mine)
    return signed.values(n=sa.bindparam("number", type_=writers.c.n.type), seq=larger(writers.c.seq, seq))
