"""The contract of the taskdb, over every backend. T60 is here for tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from crawlkit.contract.rows import task, waiting, writes
from crawlkit.contract.test_taskstore import *  # noqa: F403
from crawlkit.database.base import Letter, Queue, TaskStore
from crawlkit.database.registry import connect_taskdb
from crawlkit.database.sqlalchemy.engine import version_table

from .stores import BACKENDS, SQL, url_of


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TaskStore]:
    made = connect_taskdb(url_of(request.param, tmp_path))
    yield made
    made.close()


def put_back(url: str, version: str) -> None:
    """Undoes migration 0007 in a store that is closed, and says that it has that version."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        _without_partitions(connection)
        connection.exec_driver_sql(f"UPDATE {version_table('taskdb')} SET version_num = '{version}'")
    engine.dispose()


def _without_partitions(connection: sa.Connection) -> None:
    for table in ("members", "mail", "allowances"):
        connection.exec_driver_sql(f"DROP TABLE {table}")
    on = " ON tasks" if connection.dialect.name in ("mysql", "mariadb") else ""
    connection.exec_driver_sql("DROP INDEX tasks_frontier" + on)
    rank = "`rank`" if on else "rank"
    some = "" if on else " WHERE queue IS NOT NULL"
    connection.exec_driver_sql(f"CREATE INDEX tasks_frontier ON tasks (project, queue, {rank}, seq){some}")


@pytest.mark.parametrize("cut_short", [False, True])
@pytest.mark.parametrize("backend", SQL)
def test_a_taskdb_without_partitions_is_brought_to_them(backend: str, cut_short: bool, tmp_path: Path) -> None:
    """Migration 0007; on MariaDB also one that was killed behind any of its statements: here behind the last."""
    if cut_short and backend != "mariadb":
        pytest.skip("there a migration is one transaction")
    url = url_of(backend, tmp_path, "partitions")
    store = connect_taskdb(url)
    store.commit(writes(insert=[waiting("b", 2), waiting("a", 1), waiting("c", 3, 2.5, Queue.TIME)]))
    if cut_short:
        with store._database.write() as connection:
            connection.exec_driver_sql(f"UPDATE {version_table('taskdb')} SET version_num = '0006'")
        store.close()
    else:
        store.close()
        put_back(url, "0006")
    store = connect_taskdb(url)
    assert [row.taskid for row in store.window("p", Queue.READY, None, 9)] == ["a", "b"]
    assert [row.taskid for row in store.window("p", Queue.TIME, None, 9, partitions=[0, 1])] == ["c"]
    found = {index["name"]: index["column_names"] for index in sa.inspect(store._database.engine).get_indexes("tasks")}
    assert found["tasks_frontier"] == ["project", "partition", "queue", "rank", "seq"]
    assert store.own("n", 60, partition=3) is None
    assert store.draw("p", 5, 1.0, 3.0)[0] == 3
    store.commit(writes(mail=[Letter(3, "p", "task", "{}")]))
    assert store.mail([3], 9) == [Letter(3, "p", "task", "{}", 1)]
    store.close()


@pytest.mark.parametrize("backend", SQL)
def test_a_taskdb_without_the_index_over_hosts_is_brought_to_it(backend: str, tmp_path: Path) -> None:
    """Migration 0006: hosts that no index could hold are cut, what waits is found by its host."""
    url = url_of(backend, tmp_path, "hosts")
    long = "ü" * 300
    store = connect_taskdb(url)
    with store._database.write() as connection:
        connection.exec_driver_sql("DROP INDEX tasks_hosts" + (" ON tasks" if backend == "mariadb" else ""))
        if backend == "mariadb":
            connection.exec_driver_sql("ALTER TABLE tasks MODIFY host TEXT COLLATE utf8mb4_bin NOT NULL")
    store.commit(writes(insert=[waiting("a", 1), task("b", host=long, queue=Queue.READY, seq=2)]))
    store.close()
    put_back(url, "0005")
    store = connect_taskdb(url)
    assert [row.taskid for row in store.window("p", Queue.READY, None, 9, long[:255])] == ["b"]
    assert store.hosts("p", Queue.READY, None, 9) == sorted([store.get("p", "a").host, long[:255]])
    assert "tasks_hosts" in {index["name"] for index in sa.inspect(store._database.engine).get_indexes("tasks")}
    store.close()
