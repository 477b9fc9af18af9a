"""The last fetched pages of each callback in SQL, in the database of the bodies.

Like these it need not wait for the disk: a power cut may take the newest.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.base import KeptPage
from crawlkit.database.rules import fits_kept
from crawlkit.database.sqlalchemy.engine import Database
from crawlkit.database.sqlalchemy.tables import kept_pages

AT_ONCE = 200  # pages removed by one statement
_LISTED = [kept_pages.c[name] for name in KeptPage.__struct_fields__ if name != "data"]
_WHOLE = [kept_pages.c[name] for name in KeptPage.__struct_fields__]


class SqlKeptPages:
    """That part of a :class:`~crawlkit.database.base.BlobStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, pages: Sequence[KeptPage], per_callback: int, most_bytes: int) -> None:
        pages = [page for page in pages if fits_kept(page)]
        if not pages:
            return
        with self._database.write() as connection:
            connection.execute(sa.insert(kept_pages), [msgspec.structs.asdict(page) for page in pages])
            for project, callback in sorted({(page.project, page.callback) for page in pages}):
                self._trim_callback(connection, project, callback, per_callback)
            self._trim_all(connection, most_bytes)

    def _trim_callback(self, connection: Connection, project: str, callback: str, most: int) -> None:
        mine = sa.and_(kept_pages.c.project == project, kept_pages.c.callback == callback)
        query = sa.select(kept_pages.c.page).where(mine).order_by(kept_pages.c.kept.desc(), kept_pages.c.page)
        self._remove(connection, list(connection.execute(query).scalars())[most:])

    def _trim_all(self, connection: Connection, most_bytes: int) -> None:
        total = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(kept_pages.c.stored), 0))).scalar() or 0
        while total > most_bytes:
            query = sa.select(kept_pages.c.page, kept_pages.c.stored).order_by(kept_pages.c.kept).limit(AT_ONCE)
            old = []
            for page, stored in connection.execute(query).all():
                if total <= most_bytes:
                    break
                total -= stored
                old.append(page)
            if not old:
                return
            self._remove(connection, old)

    def _remove(self, connection: Connection, pages: Sequence[str]) -> None:
        for at in range(0, len(pages), AT_ONCE):
            connection.execute(sa.delete(kept_pages).where(kept_pages.c.page.in_(pages[at : at + AT_ONCE])))

    def list(self, project: str, callback: str | None, limit: int) -> list[KeptPage]:
        query = sa.select(*_LISTED).where(kept_pages.c.project == project)
        if callback is not None:
            query = query.where(kept_pages.c.callback == callback)
        query = query.order_by(kept_pages.c.kept.desc(), kept_pages.c.page).limit(limit)
        with self._database.read() as connection:
            return [KeptPage(*row) for row in connection.execute(query)]

    def get(self, page: str) -> KeptPage | None:
        with self._database.read() as connection:
            row = connection.execute(sa.select(*_WHOLE).where(kept_pages.c.page == page)).one_or_none()
        return None if row is None else KeptPage(*row)

    def drop(self, project: str) -> int:
        with self._database.write() as connection:
            return connection.execute(sa.delete(kept_pages).where(kept_pages.c.project == project)).rowcount
