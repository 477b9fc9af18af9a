"""Brings a store to the schema of this version when it is opened: made, migrated, or refused in words.

One query tells whether there is anything to do; Alembic is imported only for a store of an older version.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from crawlkit.database.sqlalchemy.engine import Database, version_table
from crawlkit.database.sqlalchemy.tables import HEADS, METADATA
from crawlkit.libs.errors import StoreMismatch, StoreUnavailable

MIGRATIONS = Path(__file__).parent.parent / "migrations"
MIGRATION_WAIT = 120.0  # seconds to wait for another process that migrates
MAKING = "0"  # the version while the tables are made, where each is made in a transaction of its own
_DONE_BEFORE = (1050, 1060, 1061, 1091)  # MariaDB: the table, the column, the index is there, or is gone, already


def prepare(database: Database) -> None:
    """Makes or migrates the schema, once, whoever comes first.

    Raises :class:`StoreMismatch` for a foreign store or one of a newer version, and, when the store was opened for
    reading only, for one of an older version.
    """
    found = _read_version(database)
    head = HEADS[database.what]
    if found == head:
        return
    if database.read_only:
        _refuse_read_only(database, found)
    with database.migration(MIGRATION_WAIT) as connection:
        found = _stored_version(connection, database.what)  # somebody else may have been faster
        if found == head:
            return
        if found in (None, MAKING):
            if found is None:
                _check_empty(connection, database)
                _stamp(connection, database.what, MAKING)
            METADATA[database.what].create_all(connection)
            _stamp(connection, database.what, head)
        else:
            _upgrade(connection, database, found)


def _read_version(database: Database) -> str | None:
    with database.translated(), database.engine.connect() as connection:
        return _stored_version(connection, database.what)


def _stored_version(connection: Connection, what: str) -> str | None:
    table = version_table(what)
    if connection.dialect.name == "sqlite":
        try:
            found = connection.exec_driver_sql(f"SELECT version_num FROM {table}").scalar()
        except exc.OperationalError as error:
            if "no such table" not in str(error.orig):
                raise
            return None
    else:
        if not sa.inspect(connection).has_table(table):
            return None
        found = connection.execute(sa.text(f"SELECT version_num FROM {table}")).scalar()
    return None if found is None else str(found)


def _refuse_read_only(database: Database, found: str | None) -> None:
    where = f"{database.what} {database.where}"
    if found in (None, MAKING):
        raise StoreMismatch(f"{where} is not a crawlkit {database.what}, or was never written to")
    if found is not None and found in _known_versions(database.what):
        raise StoreMismatch(f"{where} has the older schema {found}: start crawlkit on it once, which migrates it")
    raise _newer(database, found)


def _newer(database: Database, found: str | None) -> StoreMismatch:
    return StoreMismatch(
        f"{database.what} {database.where} has schema {found}, which this version does not know: it was written by a"
        " newer crawlkit; use that one, or restore a backup made before the upgrade"
    )


def _check_empty(connection: Connection, database: Database) -> None:
    """A database that already holds tables, but no crawlkit store, belongs to somebody else."""
    existing = set(sa.inspect(connection).get_table_names())
    ours = any(name.startswith("crawlkit_") and name.endswith("_version") for name in existing)
    clash = existing & set(METADATA[database.what].tables)
    if clash or (existing and database.is_sqlite and not ours):
        names = ", ".join(sorted(clash or existing)[:5])
        raise StoreMismatch(
            f"{database.what} {database.where} is not a crawlkit store, it holds other tables ({names}):"
            " give another file or database"
        )


def _stamp(connection: Connection, what: str, version: str) -> None:
    table = sa.Table(version_table(what), sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))
    table.create(connection, checkfirst=True)
    connection.execute(table.delete())
    connection.execute(table.insert().values(version_num=version))


def _known_versions(what: str) -> set[str]:
    return {path.name.split("_")[0] for path in (MIGRATIONS / what / "versions").glob("[0-9]*.py")}


def _upgrade(connection: Connection, database: Database, found: str) -> None:
    if found not in _known_versions(database.what):
        raise _newer(database, found)
    # Imported here: it takes longer than opening a store that is up to date.
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    scripts = ScriptDirectory(str(MIGRATIONS / database.what))
    head = HEADS[database.what]
    context = MigrationContext.configure(
        connection,
        opts={
            "version_table": version_table(database.what),
            "fn": lambda revision, _: scripts._upgrade_revs(head, revision),
        },
    )
    if connection.dialect.name not in ("sqlite", "postgresql"):
        _pass_over_what_is_done(context.impl)
    try:
        with Operations.context(context):
            context.run_migrations()
    except CommandError as error:
        where = f"{database.what} {database.where}"
        raise StoreUnavailable(f"{where}: the migration from {found} failed: {error}") from error


def _pass_over_what_is_done(impl: Any) -> None:
    """Lets a migration that was cut short begin anew: what it made is there already."""
    execute = impl._exec

    def execute_unless_done(*args: Any, **kwargs: Any) -> Any:
        try:
            return execute(*args, **kwargs)
        except exc.DBAPIError as error:
            if error.orig is None or error.orig.args[0] not in _DONE_BEFORE:
                raise
            return None

    impl._exec = execute_unless_done
