"""The projectdb in SQL: projects and every version of their scripts."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crawlkit.database.base import ProjectRow, SettingRow, VersionRow
from crawlkit.database.carrying import Carrier
from crawlkit.database.rules import check_project, check_setting, later, version_of
from crawlkit.database.sqlalchemy.engine import Database
from crawlkit.database.sqlalchemy.schema import prepare
from crawlkit.database.sqlalchemy.statements import upsert
from crawlkit.database.sqlalchemy.tables import project_marks, projects, settings, versions
from crawlkit.libs.clock import Clock, SystemClock
from crawlkit.libs.errors import InvalidProject

_COLUMNS = ProjectRow.__struct_fields__
_QUERY = sa.select(*(projects.c[name] for name in _COLUMNS))
_SETTING_COLUMNS = [settings.c[name] for name in SettingRow.__struct_fields__]
_VERSION_COLUMNS = [versions.c[name] for name in VersionRow.__struct_fields__]


class SqlProjectStore:
    """A :class:`~crawlkit.database.base.ProjectStore`."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        prepare(database)
        self._database = database
        self._clock = clock or SystemClock()
        dialect = database.engine.dialect
        self._put = upsert(projects, dialect)
        self._mark = upsert(project_marks, dialect)
        self._put_setting = upsert(settings, dialect)

    def put(self, row: ProjectRow, author: str = "", message: str = "") -> ProjectRow:
        check_project(row)
        new = ProjectRow(**msgspec.structs.asdict(row))
        new.version = version_of(row.script)
        with self._database.write() as connection:
            now = self._clock.time()
            new.updatetime = self._next_updatetime(connection, now)
            query = sa.select(projects.c.version).where(projects.c.name == row.name)
            if connection.execute(query).scalar() != new.version:
                version = VersionRow(row.name, new.version, row.script, now, author, message)
                connection.execute(sa.insert(versions).values(msgspec.structs.asdict(version)))
            values = tuple(getattr(new, name) for name in self._put.names)
            connection.exec_driver_sql(self._put.sql, values)
        return new

    def _next_updatetime(self, connection: Connection, now: float) -> float:
        query = sa.select(project_marks.c.value).where(project_marks.c.name == "updatetime").with_for_update()
        updatetime = later(now, connection.execute(query).scalar() or 0.0)
        connection.exec_driver_sql(self._mark.sql, ("updatetime", updatetime))
        return updatetime

    def get(self, name: str) -> ProjectRow | None:
        with self._database.read() as connection:
            row = connection.execute(_QUERY.where(projects.c.name == name)).one_or_none()
        return ProjectRow(*row) if row is not None else None

    def all(self) -> list[ProjectRow]:
        return self._rows(_QUERY.order_by(projects.c.name))

    def changed_since(self, updatetime: float) -> list[ProjectRow]:
        return self._rows(_QUERY.where(projects.c.updatetime > updatetime).order_by(projects.c.updatetime))

    def _rows(self, query: sa.Select[Any]) -> list[ProjectRow]:
        with self._database.read() as connection:
            return [ProjectRow(*row) for row in connection.execute(query)]

    def names(self) -> list[str]:
        with self._database.read() as connection:
            return list(connection.execute(sa.select(projects.c.name).order_by(projects.c.name)).scalars())

    def drop(self, name: str) -> bool:
        with self._database.write() as connection:
            connection.execute(sa.delete(versions).where(versions.c.project == name))
            connection.execute(sa.delete(settings).where(settings.c.project == name))
            return connection.execute(sa.delete(projects).where(projects.c.name == name)).rowcount > 0

    def versions(self, name: str) -> list[VersionRow]:
        query = sa.select(*_VERSION_COLUMNS).where(versions.c.project == name).order_by(versions.c.n.desc())
        with self._database.read() as connection:
            return [VersionRow(*row) for row in connection.execute(query)]

    def script(self, name: str, version: str) -> str | None:
        query = sa.select(versions.c.script).where(versions.c.project == name, versions.c.version == version).limit(1)
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def settings(self, name: str) -> dict[str, SettingRow]:
        query = sa.select(*_SETTING_COLUMNS).where(settings.c.project == name).order_by(settings.c.name)
        with self._database.read() as connection:
            return {row[0]: SettingRow(*row) for row in connection.execute(query)}

    def put_setting(self, name: str, setting: SettingRow) -> None:
        check_setting(name, setting)
        with self._database.write() as connection:
            updatetime = self._touch(connection, name)
            if updatetime is None:
                raise InvalidProject(f"no project {name!r}")
            values = {**msgspec.structs.asdict(setting), "updatetime": updatetime, "project": name}
            connection.exec_driver_sql(
                self._put_setting.sql, tuple(values[column] for column in self._put_setting.names)
            )

    def remove_setting(self, name: str, setting: str) -> bool:
        mine = sa.and_(settings.c.project == name, settings.c.name == setting)
        with self._database.write() as connection:
            removed = connection.execute(sa.delete(settings).where(mine)).rowcount > 0
            if removed:
                self._touch(connection, name)
        return removed

    def _touch(self, connection: Connection, name: str) -> float | None:
        """The project's new updatetime; ``None`` when there is no such project."""
        updatetime = self._next_updatetime(connection, self._clock.time())
        change = sa.update(projects).where(projects.c.name == name).values(updatetime=updatetime)
        return updatetime if connection.execute(change).rowcount else None

    def carrier(self) -> Carrier:
        """Reads and writes its rows as they are."""
        from crawlkit.database.sqlalchemy.carrier import SqlCarrier

        return SqlCarrier(self._database, "projectdb")

    def close(self) -> None:
        self._database.close()
