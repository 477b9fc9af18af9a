"""Makes stores of each backend, and rows to put in them."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from crawlkit.database.base import AttemptRow, Lease, Progress, Queue, ResultSet, TaskRow, TickRow, Writes
from crawlkit.libs.task import Status
from tests.servers import fresh_database

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


def task(taskid: str, project: str = "p", **fields: Any) -> TaskRow:
    fields.setdefault("url", f"http://example.com/{taskid}")
    return TaskRow(project=project, taskid=taskid, **fields)


def waiting(taskid: str, seq: int, rank: float = 0, queue: Queue = Queue.READY, **fields: Any) -> TaskRow:
    return task(taskid, seq=seq, rank=rank, queue=queue, **fields)


def progress(row: TaskRow, **fields: Any) -> Progress:
    values = {name: getattr(row, name) for name in Progress.__struct_fields__}
    return Progress(**(values | fields))


def attempt(taskid: str, run: int = 1, number: int = 1, project: str = "p", **fields: Any) -> AttemptRow:
    values: dict[str, Any] = {
        "started": 1.0, "ended": 2.0, "ok": True, "node": "n", "script": "s", "reason": "", "fetch": "{}",
        "process": "{}",
    } | fields  # fmt: skip
    return AttemptRow(project=project, taskid=taskid, run=run, attempt=number, **values)


def lease(taskid: str, project: str = "p", **fields: Any) -> Lease:
    return Lease(**({"project": project, "taskid": taskid, "run": 1, "attempt": 1, "node": "", "until": 9.0} | fields))


def tick(method: str, instant: float, project: str = "p", taskid: str = "t", reason: str = "") -> TickRow:
    return TickRow(project, method, instant, taskid, reason)


def writes(**lists: Any) -> Writes:
    return Writes(**lists)


def results(
    taskid: str,
    *texts: str,
    project: str = "p",
    run: int = 1,
    attempt: int = 1,
    first: int = 0,
    last: bool = True,
    updatetime: float = 1.0,
    keys: str = "",
    policy: str = "",
) -> ResultSet:
    """``keys``: the keys of the results, blank-separated, ``-`` for none; or those are the texts when only a policy is
    given."""
    key_texts = [key.replace("-", "") for key in keys.split()] if keys else list(texts) if policy else []
    place = (project, taskid, run, attempt, f"http://x/{taskid}", first)
    return ResultSet(*place, list(texts), last, updatetime, key_texts, policy)


DONE = {"status": Status.SUCCESS, "queue": None}
