"""What a resultdb remembers of its sinks, in its own database."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.base import SinkProgress, SinkRow
from crawlkit.database.sqlalchemy.engine import Database
from crawlkit.database.sqlalchemy.statements import upsert
from crawlkit.database.sqlalchemy.tables import result_marks, results, sink_progress, sinks


class SqlSinkBook:
    """A :class:`~crawlkit.database.base.SinkBook`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = database.engine.dialect
        self._make_sink = upsert(sinks, dialect, keep=True)
        self._set_progress = upsert(sink_progress, dialect)

    def sinks(self) -> list[SinkRow]:
        with self._database.read() as connection:
            return [SinkRow(*row) for row in connection.execute(sa.select(sinks).order_by(sinks.c.made, sinks.c.sink))]

    def take_sink(self, row: SinkRow) -> SinkRow | None:
        taken = {"url": row.url, "holder": row.holder, "fence": row.fence + 1, "until": row.until}
        with self._database.write() as connection:
            if not row.fence:
                values = (row.sink, row.url, row.series, "", 0, 0.0, "", row.made)
                connection.exec_driver_sql(self._make_sink.sql, values)
            if _fence(connection, row.sink) != row.fence:
                return None
            connection.execute(sa.update(sinks).where(sinks.c.sink == row.sink).values(taken))
            return SinkRow(*connection.execute(sa.select(sinks).where(sinks.c.sink == row.sink)).one())

    def hold_sink(self, sink: str, fence: int, until: float, error: str) -> bool:
        with self._database.write() as connection:
            if _fence(connection, sink) != fence:
                return False
            connection.execute(sa.update(sinks).where(sinks.c.sink == sink).values(until=until, error=error))
            return True

    def move_sink(self, fence: int, progress: SinkProgress) -> bool:
        row = tuple(getattr(progress, column.name) for column in sink_progress.columns)
        with self._database.write() as connection:
            if _fence(connection, progress.sink) != fence:
                return False
            connection.exec_driver_sql(self._set_progress.sql, row)
            return True

    def sink_progress(self, sink: str) -> list[SinkProgress]:
        query = sa.select(sink_progress).where(sink_progress.c.sink == sink).order_by(sink_progress.c.project)
        with self._database.read() as connection:
            return [SinkProgress(*row) for row in connection.execute(query)]

    def drop_sink(self, sink: str) -> bool:
        with self._database.write() as connection:
            connection.execute(sa.delete(sink_progress).where(sink_progress.c.sink == sink))
            return bool(connection.execute(sa.delete(sinks).where(sinks.c.sink == sink)).rowcount)

    def newest(self) -> int:
        query = sa.select(result_marks.c.value).where(result_marks.c.name == "seq")
        with self._database.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    def behind(self, project: str, seq: int) -> int:
        mine = sa.and_(results.c.project == project, results.c.seq > seq)
        with self._database.read() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(results).where(mine)).scalar() or 0)


def _fence(connection: Connection, sink: str) -> int | None:
    """The newest fence; nobody else takes the sink before this transaction ends."""
    query = sa.select(sinks.c.fence).where(sinks.c.sink == sink).with_for_update()
    return connection.execute(query).scalar()
