"""Reads pyspider's databases: SQLite files [R20], and its tables in MySQL and PostgreSQL [R21]. Writes nothing.

In SQLite the tables are called ``taskdb_<project>``, ``resultdb_<project>`` and ``projectdb``; on the servers
``<project>`` in a database of tasks and in one of results, and ``projectdb`` in one of projects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from crawlkit.database.registry import StoreURL, parse
from crawlkit.database.serverurl import SERVERS, parse_server
from crawlkit.libs.errors import UsageError
from crawlkit.libs.url_masking import masked

if TYPE_CHECKING:
    from crawlkit.database.sqlalchemy.engine import Database

TYPES = ("taskdb", "projectdb", "resultdb")
FILES = {"taskdb": "task.db", "projectdb": "project.db", "resultdb": "result.db"}
TASK = ("taskid", "project", "url", "status", "schedule", "fetch", "process", "track", "lastcrawltime", "updatetime")
RESULT = ("taskid", "url", "result", "updatetime")
PROJECT = ("name", "group", "status", "script", "comments", "rate", "burst", "updatetime")
AT_ONCE = 500

RawRow = dict[str, Any]
Mark = tuple[float, str]  # (updatetime, taskid) of the last row that was seen


class PyspiderStore:
    """One of pyspider's three databases."""

    def __init__(self, database: Database, kind: str) -> None:
        self.kind = kind
        self.where = database.where
        self._database = database
        self._prefix = f"{kind}_" if database.is_sqlite else ""
        with database.read() as connection:
            self._tables = set(sa.inspect(connection).get_table_names())

    def projects(self) -> list[str]:
        """The projects that have a table here."""
        wanted = set(TASK if self.kind == "taskdb" else RESULT)
        names = [name for name in self._tables if name.startswith(self._prefix) and name not in TYPES]
        with self._database.read() as connection:
            inspector = sa.inspect(connection)
            return sorted(
                name.removeprefix(self._prefix)
                for name in names
                if wanted <= {column["name"] for column in inspector.get_columns(name)}
            )

    def scripts(self) -> list[RawRow]:
        """The rows of the projectdb."""
        if "projectdb" not in self._tables:
            raise UsageError(f"{self.where}: holds no table projectdb, so it is not pyspider's")
        table = sa.table("projectdb", *map(sa.column, PROJECT))
        with self._database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(sa.select(table).order_by(table.c.name))]

    def count(self, project: str) -> int:
        """Its rows."""
        with self._database.read() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(self._table(project))).scalar() or 0)

    def rows(self, project: str, after: Mark | None = None, size: int = AT_ONCE) -> Iterator[list[RawRow]]:
        """All rows behind ``after``, those that changed last at the end, streamed."""
        table = self._table(project)
        time: sa.ColumnElement[Any] = sa.func.coalesce(table.c.updatetime, 0)
        if self._database.is_sqlite:  # where a column holds whatever was put there; what is no number has no place
            time = sa.case((sa.func.typeof(table.c.updatetime).in_(("integer", "real")), table.c.updatetime), else_=0)
        query = sa.select(table).order_by(time, table.c.taskid)
        if after is not None:
            query = query.where(sa.or_(time > after[0], sa.and_(time == after[0], table.c.taskid > after[1])))
        with self._database.read(snapshot=True) as connection:
            found = connection.execution_options(stream_results=True, yield_per=size).execute(query)
            for part in found.partitions(size):
                yield [dict(row._mapping) for row in part]

    def some(self, project: str, taskids: Sequence[str]) -> dict[str, RawRow]:
        """The rows with those ids, by id."""
        table, found = self._table(project), {}
        with self._database.read() as connection:
            for start in range(0, len(taskids), AT_ONCE):
                query = sa.select(table).where(table.c.taskid.in_(taskids[start : start + AT_ONCE]))
                found.update({row.taskid: dict(row._mapping) for row in connection.execute(query)})
        return found

    def _table(self, project: str) -> sa.TableClause:
        names = TASK if self.kind == "taskdb" else RESULT
        return sa.table(f"{self._prefix}{project}", *map(sa.column, names))

    def close(self) -> None:
        self._database.close()


def open_folder(folder: Path) -> dict[str, PyspiderStore]:
    """The SQLite files of a data folder; raises :class:`UsageError` when they are not there."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder")
    files = {kind: folder / name for kind, name in FILES.items()}
    if not files["projectdb"].is_file():
        raise UsageError(f"{folder}: there is no {FILES['projectdb']} in it: name the folder with pyspider's databases")
    urls = [f"sqlite+{kind}:///{file.absolute()}" for kind, file in files.items() if file.is_file()]
    return open_urls(urls)


def open_urls(urls: Sequence[str]) -> dict[str, PyspiderStore]:
    """The databases at URLs in pyspider's form, by their types; raises :class:`UsageError` or ``StoreUnavailable``."""
    opened: dict[str, PyspiderStore] = {}
    try:
        for url in urls:
            parts = parse(url)
            if parts.type not in TYPES:
                raise UsageError(f"{masked(url)}: say which database it is: {parts.engine}+taskdb://, +projectdb, ...")
            if parts.type in opened:
                raise UsageError(f"{masked(url)}: there is a {parts.type} already")
            opened[parts.type] = PyspiderStore(_open(parts), parts.type)
        if "projectdb" not in opened:
            raise UsageError("pyspider's projectdb is missing: the scripts are in it; name it as well")
    except BaseException:
        for store in opened.values():
            store.close()
        raise
    return opened


def _open(url: StoreURL) -> Database:
    if url.engine == "sqlite":
        from crawlkit.database.sqlalchemy.sqlite import open_sqlite

        return open_sqlite(url.rest.partition("?")[0][1:], url.type, read_only=True)
    if url.engine not in SERVERS:
        raise UsageError(f"{masked(url.url)}: pyspider's databases are read from SQLite, MySQL and PostgreSQL")
    from crawlkit.database.sqlalchemy.servers import open_server

    place = url.rest if url.rest.partition("?")[0].rpartition("@")[2].partition("/")[2] else f"{url.rest}/{url.type}"
    return open_server(parse_server(url.engine, url.driver, place, url.url), url.type, read_only=True)
