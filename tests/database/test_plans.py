"""Nothing on the hot path reads more rows than it returns: every query goes by an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crawlkit.contract.rows import attempt, lease, progress, results, task, waiting, writes
from crawlkit.database.base import Queue, ResultStore, TaskStore, Writes
from crawlkit.database.registry import connect_resultdb, connect_taskdb
from crawlkit.database.sqlalchemy import statements, tables
from crawlkit.libs.task import Status

from .stores import url_of


class Plans:
    """Explains every statement that a store sends."""

    def __init__(self, engine: sa.Engine) -> None:
        self.steps: list[str] = []
        self.busy = False
        sa.event.listen(engine, "before_cursor_execute", self._before)

    def _before(
        self, connection: sa.Connection, cursor: object, sql: str, values: object, _: object, many: bool
    ) -> None:
        self._explain(connection, sql, values[0] if many else values)  # type: ignore[index]

    def _explain(self, connection: sa.Connection, sql: str, one: object) -> None:
        if sql.startswith(("SELECT", "UPDATE", "DELETE")):
            raw = connection.connection.dbapi_connection
            rows = raw.execute("EXPLAIN QUERY PLAN " + sql, one).fetchall()  # type: ignore[union-attr]
            self.steps += [row[3] for row in rows]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """What goes to the driver past SQLAlchemy is seen, too."""
        many, send = statements.Prepared.many, statements.Prepared.send

        def seen(statement: Any, connection: sa.Connection, rows: Any) -> None:
            if rows:
                self._explain(connection, statement.sql, rows[0])
            many(statement, connection, rows)

        def seen_one(statement: Any, connection: sa.Connection, values: Any) -> Any:
            self._explain(connection, statement.sql, values)
            return send(statement, connection, values)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(statements.Prepared, "many", seen)
            patch.setattr(statements.Prepared, "send", seen_one)
            yield


@pytest.fixture
def taskdb(tmp_path: Path) -> Iterator[TaskStore]:
    store = connect_taskdb(f"sqlite:///{tmp_path}/t.db")
    rows = [waiting(f"t{n:04}", n + 1) for n in range(500)]
    rows += [task(f"f{n:04}", status=Status.FAILED) for n in range(50)]
    store.commit(writes(insert=rows, lease=[lease("t0001")], attempts=[attempt("t0001"), attempt("f0001", ok=False)]))
    yield store
    store.close()


@pytest.fixture
def resultdb(tmp_path: Path) -> Iterator[ResultStore]:
    store = connect_resultdb(f"sqlite:///{tmp_path}/r.db")
    store.save([results(f"t{n}", "1", project="pq"[n % 2]) for n in range(500)])
    yield store
    store.close()


def plans_of(store: object, work: Callable[[], object]) -> list[str]:
    plans = Plans(store._database.engine)  # type: ignore[attr-defined]
    with plans.watching():
        work()
    assert plans.steps
    return plans.steps


TASK_QUERIES: dict[str, Callable[[TaskStore], object]] = {
    "get": lambda store: store.get("p", "t0001"),
    "get_many": lambda store: store.get_many([("p", f"t{n:04}") for n in range(100)]),
    "known": lambda store: store.known("p", [f"t{n:04}" for n in range(100)]),
    "known, not cleared": lambda store: store.known("p", [f"t{n:04}" for n in range(100)], -1),
    "window": lambda store: store.window("p", Queue.READY, None, 10),
    "window behind": lambda store: store.window("p", Queue.READY, (0.0, 100), 10),
    "host's window": lambda store: store.window("p", Queue.READY, None, 10, "h"),
    "host's window behind": lambda store: store.window("p", Queue.READY, (0.0, 100), 10, "h"),
    "window of a partition": lambda store: store.window("p", Queue.READY, None, 10, partitions=[0]),
    "window of partitions": lambda store: store.window("p", Queue.READY, None, 10, partitions=[0, 1, 7]),
    "window of partitions behind": lambda store: store.window("p", Queue.READY, (0.0, 100), 10, partitions=[0, 1]),
    "host's window of a partition": lambda store: store.window("p", Queue.READY, None, 10, "h", [0]),
    "host's window of partitions": lambda store: store.window("p", Queue.READY, None, 10, "h", [0, 1]),
    "mail": lambda store: store.mail([0], 10),
    "mail of partitions": lambda store: store.mail([0, 1, 7], 10),
    "mail_waiting": lambda store: store.mail_waiting("p"),
    "whole": lambda store: store.whole("p"),
    "draw": lambda store: store.draw("p", 1, 1.0, 3.0),
    "own": lambda store: store.own("n", 60, partition=3),
    "hosts": lambda store: store.hosts("p", Queue.READY, None, 10),
    "hosts behind": lambda store: store.hosts("p", Queue.READY, "a", 10),
    "attempts": lambda store: store.attempts("p", "t0001"),
    "prune_attempts": lambda store: store.prune_attempts(10.0),
    "projects": lambda store: store.projects(),
    "select": lambda store: store.select("p", after="t0100", limit=10),
    "select failed": lambda store: store.select("p", Status.FAILED, after="f0010", limit=10),
    "ledger": lambda store: store.ledger("p"),
    "finished": lambda store: store.finished(0.0, 1e12, 100),
    "counts": lambda store: store.counts("p", ["*", "h"]),
    "ticks": lambda store: store.ticks("p", "m"),
    "commit": lambda store: store.commit(
        writes(
            progress=[progress(waiting("t0001", 1), rank=5.0)],
            replace=[waiting("t0002", 2)],
            remove=[("p", "t0003")],
            unlease=[("p", "t0001")],
            state={("p", "x"): None},
        )
    ),
}


@pytest.mark.parametrize("name", TASK_QUERIES)
def test_the_taskdb_goes_by_index(taskdb: TaskStore, name: str) -> None:
    steps = plans_of(taskdb, lambda: TASK_QUERIES[name](taskdb))
    beside = ("SCAN CONSTANT ROW", "SCAN asked VIRTUAL TABLE")  # what is asked for, which is no table
    assert not [step for step in steps if step.startswith("SCAN") and not step.startswith(beside)], steps
    if not name.startswith(("ticks", "prune")):
        assert not [step for step in steps if "TEMP B-TREE" in step], steps
    if name.startswith("window"):
        assert any("tasks_frontier (project=? AND partition=? AND queue=?" in step for step in steps), steps
    if name.startswith("host's"):
        assert any("tasks_hosts (project=? AND queue=? AND host=?" in step for step in steps), steps
    if name.startswith("hosts"):
        assert any("COVERING INDEX tasks_hosts (project=? AND queue=?" in step for step in steps), steps
    if name.endswith(("window behind", "partitions behind")):
        assert any("(rank,seq)>(?,?)" in step for step in steps), steps
    if name == "select failed":
        assert any("tasks_failed (project=? AND status=? AND taskid>?" in step for step in steps), steps


def test_the_commit_of_an_owner_looks_at_the_rows_of_its_partitions_only(taskdb: TaskStore) -> None:
    """In the one statement that signs it."""
    for taken in (1, 3):
        assert taskdb.own("n", 60, partition=taken - 1) is None
        assert taskdb.own("n", 60, partition=taken) is None
        steps = plans_of(taskdb, lambda: taskdb.commit(Writes()))
        assert steps == [
            "SEARCH writers USING PRIMARY KEY (writer=?)",
            "SCALAR SUBQUERY 1",
            "SEARCH owners USING PRIMARY KEY (partition=?)",
        ]


def test_tasks_that_wait_for_another_try_are_found_by_index(taskdb: TaskStore) -> None:
    taskdb.commit(writes(insert=[waiting(f"l{n}", 900 + n, 5.0, Queue.TIME, retried=1, partition=n) for n in range(5)]))
    steps = plans_of(taskdb, lambda: taskdb.failure_groups("p", retrying=True))
    assert any("tasks_frontier (project=? AND partition=? AND queue=?)" in step for step in steps), steps
    assert not [step for step in steps if "TEMP B-TREE" in step or "SCAN tasks" in step], steps


def test_failures_read_only_failed_tasks(taskdb: TaskStore) -> None:
    steps = plans_of(taskdb, lambda: taskdb.failures("p"))
    assert any("tasks_failed (project=? AND status=?)" in step for step in steps), steps


RESULT_QUERIES: dict[str, Callable[[ResultStore], object]] = {
    "get": lambda store: store.get("p", "t0"),
    "select": lambda store: list(store.select("p", limit=10)),
    "since": lambda store: store.since(100, 10),
    "since of projects": lambda store: store.since(100, 10, ["p", "q"]),
    "count": lambda store: store.count("p"),
    "counts_by_task": lambda store: store.counts_by_task("p", ["t0", "t1"]),
    "projects": lambda store: store.projects(),
    "save": lambda store: store.save([results("t0", "2", run=2), results("t1", "x", run=2, last=False)]),
    "save with keys": lambda store: [
        store.save([results("t0", "2", run=run, policy="replace"), results("t1", "2", run=run, policy="keep_first")])
        for run in (2, 3)
    ],
    "known_keys": lambda store: store.known_keys("p", "t0", 1, ["a", "b"]),
}


@pytest.mark.parametrize("name", RESULT_QUERIES)
def test_the_resultdb_goes_by_index(resultdb: ResultStore, name: str) -> None:
    steps = plans_of(resultdb, lambda: RESULT_QUERIES[name](resultdb))
    scans = [step for step in steps if step.startswith("SCAN") and step != "SCAN result_parts USING COVERING INDEX"]
    assert not [step for step in scans if "result_parts" not in step], steps
    assert not [step for step in steps if "TEMP B-TREE" in step], steps


def test_opening_asks_for_the_version_only(tmp_path: Path, taskdb: TaskStore) -> None:
    """No look at the rows when a store is opened: ten million open as fast as ten."""
    from crawlkit.database.sqlalchemy.sqlite import open_sqlite
    from crawlkit.database.sqlalchemy.taskstore import SqlTaskStore

    taskdb.commit(Writes())
    database = open_sqlite(str(tmp_path / "t.db"), "taskdb")
    seen: list[str] = []
    sa.event.listen(database.engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    SqlTaskStore(database).close()
    assert seen == ["SELECT version_num FROM crawlkit_taskdb_version"]


def test_postgresql_looks_up_each_key_also_in_a_table_it_has_not_counted(tmp_path: Path) -> None:
    store = connect_taskdb(url_of("postgresql", tmp_path))
    store.commit(writes(insert=[waiting(f"t{n:05}", n + 1) for n in range(3_000)]))
    with store._database.read() as connection:  # type: ignore[attr-defined]
        query = statements._by_array(tables.tasks, "taskid", connection.dialect)
        values = ([f"t{n:05}" for n in range(100)], "p")
        plan = [row[0].strip() for row in connection.exec_driver_sql("EXPLAIN ANALYZE " + query.sql, values)]
    assert any(step.startswith("Index Cond: (((project)") and "taskid" in step for step in plan), plan
    assert not any("Removed by" in step for step in plan), plan
    store.close()


@pytest.mark.parametrize("backend", ["postgresql", "mariadb"])
@pytest.mark.parametrize("asked", [None, [0], [0, 1, 2]])
def test_servers_read_what_waits_by_partition_also_in_a_table_they_have_not_counted(
    backend: str, asked: list[int] | None, tmp_path: Path
) -> None:
    store = connect_taskdb(url_of(backend, tmp_path))
    rows = [waiting(f"t{n:05}", n + 1, host=f"h{n % 9}", partition=n % 3) for n in range(3_000)]
    store.commit(writes(insert=rows))
    seen: list[tuple[str, object]] = []
    engine = store._database.engine  # type: ignore[attr-defined]

    def note(connection: object, cursor: object, sql: str, values: object, context: object, many: bool) -> None:
        seen.append((sql, values))

    sa.event.listen(engine, "before_cursor_execute", note)
    assert len(store.window("p", Queue.READY, None, 50, partitions=asked)) == 50
    assert len(store.window("p", Queue.READY, (0.0, 1_000), 50, partitions=asked)) == 50
    sa.event.remove(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        for sql, values in seen:
            plan = connection.exec_driver_sql("EXPLAIN " + sql, values).mappings().all()
            if backend == "mariadb":  # sorts a page of each partition, and no more
                by_row = [step for step in plan if step["table"] == "tasks"]
                assert {step["key"] for step in by_row} <= {"tasks_frontier", "PRIMARY"}, plan
                assert "tasks_frontier" in {step["key"] for step in by_row}, plan
                assert not [step for step in by_row if "filesort" in step["Extra"]], plan
            else:
                told = "\n".join(step["QUERY PLAN"] for step in plan)
                assert "tasks_frontier" in told, told
                assert "tasks_hosts" not in told, told
                assert "Sort  (" not in told, told
    store.close()
