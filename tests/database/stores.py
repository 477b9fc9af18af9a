"""Makes stores of each backend, and rows to put in them."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from crawlkit.contract.rows import DONE, attempt, lease, progress, results, task, tick, waiting, writes
from tests.servers import fresh_database

__all__ = [
    "BACKENDS",
    "DONE",
    "SQL",
    "attempt",
    "lease",
    "progress",
    "results",
    "task",
    "tick",
    "url_of",
    "waiting",
    "writes",
]
BACKENDS = ("memory", "sqlite", "postgresql", "mariadb")
SQL = BACKENDS[1:]
_SERVER = {"postgresql": "postgres", "mariadb": "mariadb"}  # backend -> its name among the servers of tests
_last: dict[sa.Engine, Path] = {}


def url_of(backend: str, folder: Path, name: str = "store") -> str:
    """The URL of an empty store; the same for the same ``folder``, which is the test's own."""
    if backend == "memory":
        return "memory://"
    if backend == "sqlite":
        return f"sqlite:///{folder}/{name}.db"
    url, engine = _database(backend, name)
    if _last.get(engine) != folder:
        _last[engine] = folder
        _empty(engine)
    return url


@cache
def _database(backend: str, name: str) -> tuple[str, sa.Engine]:
    """A database of this process, made once: making all tables anew for each test would take long."""
    stack = ExitStack()
    url = stack.enter_context(fresh_database(_SERVER[backend]))
    atexit.register(stack.close)
    return url, sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)


_EMPTY_POSTGRESQL = """
DO $$
DECLARE name text; used boolean; used_tables text[] := '{}';
BEGIN
    SET LOCAL synchronous_commit = off;
    FOR name IN SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE 'SELECT EXISTS (SELECT FROM ' || name || ')' INTO used;
        IF used AND name NOT LIKE 'crawlkit_%_version' THEN
            used_tables := used_tables || name;
        END IF;
    END LOOP;
    IF used_tables <> '{}' THEN
        EXECUTE 'TRUNCATE ' || array_to_string(used_tables, ', ') || ' RESTART IDENTITY';
    END IF;
END $$
"""


def _empty(engine: sa.Engine) -> None:
    """Removes all rows, and lets numbers begin at 1."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(_EMPTY_POSTGRESQL.replace("%", "%%"))
            return
        names = [name for name in sa.inspect(connection).get_table_names() if not name.endswith("_version")]
        if not names:
            return
        used = " UNION ALL ".join(f"(SELECT '{name}' FROM `{name}` LIMIT 1)" for name in names)
        connection.exec_driver_sql("BEGIN")
        for (name,) in connection.exec_driver_sql(used).all():
            connection.exec_driver_sql(f"DELETE FROM `{name}`")
        connection.exec_driver_sql("COMMIT")
        counting = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
        for (name,) in connection.exec_driver_sql(f"{counting} AND auto_increment > 1").all():
            connection.exec_driver_sql(f"ALTER TABLE `{name}` AUTO_INCREMENT = 1")
