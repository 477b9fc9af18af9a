"""Large bodies in SQL, in a database of their own so that they never hold up the taskdb.

A power cut may take the newest blobs: a task whose body is gone is fetched again, so this store
need not wait for the disk.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa

from crawlkit.database.base import KeptPage
from crawlkit.database.carrying import Carrier
from crawlkit.database.rules import CHUNK, pieces
from crawlkit.database.sqlalchemy.engine import Database
from crawlkit.database.sqlalchemy.keptpages import SqlKeptPages
from crawlkit.database.sqlalchemy.schema import prepare
from crawlkit.database.sqlalchemy.statements import Prepared
from crawlkit.database.sqlalchemy.tables import blobs, chunks
from crawlkit.libs.clock import Clock, SystemClock

BATCH = 16  # chunks per transaction: 4 MiB, so that nobody waits long for the lock


class SqlBlobStore:
    """A :class:`~crawlkit.database.base.BlobStore`."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        prepare(database)
        self._database = database
        self._clock = clock or SystemClock()
        self._kept = SqlKeptPages(database)
        self._insert = Prepared(lambda: sa.insert(chunks).inline(), database.engine.dialect, chunks.columns.keys())

    def create(self, chunks: Iterable[bytes], key: str) -> str:
        blob = uuid.uuid4().hex
        with self._database.write(shared=True) as connection:
            # Before its pieces, without their number: a blob that is never finished is swept by its age.
            values = {"blob": blob, "key": key, "created": self._clock.time(), "chunks": None}
            connection.execute(sa.insert(blobs).values(values))
        batch: list[tuple[str, int, bytes]] = []
        n = 0
        for piece in pieces(chunks, CHUNK):
            batch.append((blob, n, piece))
            n += 1
            if len(batch) == BATCH:
                with self._database.write(shared=True) as connection:
                    connection.exec_driver_sql(self._insert.sql, batch)
                batch = []
        with self._database.write(shared=True) as connection:
            if batch:
                connection.exec_driver_sql(self._insert.sql, batch)
            connection.execute(sa.update(blobs).where(blobs.c.blob == blob).values(chunks=n))
        return blob

    def read(self, blob: str) -> Iterator[bytes]:
        with self._database.read() as connection:
            n = connection.execute(sa.select(blobs.c.chunks).where(blobs.c.blob == blob)).scalar()
        if n is None:
            raise KeyError(blob)
        return self._pieces(blob, n)

    def _pieces(self, blob: str, n: int) -> Iterator[bytes]:
        for number in range(n):
            query = sa.select(chunks.c.data).where(chunks.c.blob == blob, chunks.c.n == number)
            with self._database.read() as connection:
                data = connection.execute(query).scalar()
            if data is None:
                raise KeyError(blob)
            yield data

    def remove(self, blobs: Sequence[str]) -> None:
        for blob in blobs:
            self._remove(blob)

    def _remove(self, blob: str) -> None:
        with self._database.write(shared=True) as connection:
            connection.execute(sa.delete(blobs).where(blobs.c.blob == blob))
            connection.execute(sa.delete(chunks).where(chunks.c.blob == blob))

    def sweep(self, before: float) -> int:
        query = sa.select(blobs.c.blob).where(blobs.c.created < before).order_by(blobs.c.created)
        with self._database.read() as connection:
            old = list(connection.execute(query).scalars())
        for blob in old:
            self._remove(blob)
        return len(old)

    def keep_pages(self, pages: Sequence[KeptPage], per_callback: int, most_bytes: int) -> None:
        self._kept.keep(pages, per_callback, most_bytes)

    def kept_pages(self, project: str, callback: str | None = None, limit: int = 1000) -> list[KeptPage]:
        return self._kept.list(project, callback, limit)

    def kept_page(self, page: str) -> KeptPage | None:
        return self._kept.get(page)

    def drop_kept(self, project: str) -> int:
        return self._kept.drop(project)

    def carrier(self) -> Carrier:
        """Reads and writes its rows as they are."""
        from crawlkit.database.sqlalchemy.carrier import SqlCarrier

        return SqlCarrier(self._database, "blobdb")

    def close(self) -> None:
        self._database.close()
