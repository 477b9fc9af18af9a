"""The contract of the taskdb, over every backend. T60 is here for tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from crawlkit.contract.rows import task, waiting, writes
from crawlkit.contract.test_taskstore import *  # noqa: F403
from crawlkit.database.base import Queue, TaskStore
from crawlkit.database.registry import connect_taskdb
from crawlkit.database.sqlalchemy.engine import version_table

from .stores import BACKENDS, SQL, url_of


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TaskStore]:
    made = connect_taskdb(url_of(request.param, tmp_path))
    yield made
    made.close()


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
    with store._database.write() as connection:
        connection.exec_driver_sql(f"UPDATE {version_table('taskdb')} SET version_num = '0005'")
    store.close()
    store = connect_taskdb(url)
    assert [row.taskid for row in store.window("p", Queue.READY, None, 9, long[:255])] == ["b"]
    assert store.hosts("p", Queue.READY, None, 9) == sorted([store.get("p", "a").host, long[:255]])
    assert "tasks_hosts" in {index["name"] for index in sa.inspect(store._database.engine).get_indexes("tasks")}
    store.close()
