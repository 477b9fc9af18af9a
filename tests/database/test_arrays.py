"""Arrays as PostgreSQL reads them, and the plans of the statements that take them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlkit.contract.rows import DONE, attempt, lease, progress, waiting, writes
from crawlkit.database.base import TaskStore
from crawlkit.database.registry import connect_taskdb
from crawlkit.database.sqlalchemy import arrays, tables
from crawlkit.database.sqlalchemy.pipeline import Pipeline
from tests.servers import postgres_url

from .stores import url_of


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (["a"], '{"a"}'),
        (["a", "b"], '{"a","b"}'),
        (["", "NULL", "x,y", "{}"], '{"","NULL","x,y","{}"}'),
        (['"\\'], '{"\\"\\\\"}'),
        ([None, "a", None], '{NULL,"a",NULL}'),
        (["a\0", "b"], '{"a\0","b"}'),
    ],
)
def test_texts(values: list[str | None], text: str) -> None:
    assert arrays.text_array(values) == text


def test_numbers_and_truth_values() -> None:
    assert arrays.plain_array([1, 2.5, None, 1e300]) == "{1,2.5,NULL,1e+300}"
    assert arrays.plain_array([True, False]) == "{True,False}"


def test_the_types_of_columns() -> None:
    kinds = {name: arrays.kind_of(column.type) for name, column in tables.tasks.columns.items()}
    assert kinds["taskid"] == kinds["url"] == kinds["host"] == kinds["etag"] == "text"
    assert kinds["rank"] == kinds["updatetime"] == "double precision"
    assert (kinds["seq"], kinds["status"]) == ("bigint", "integer")
    assert arrays.kind_of(tables.attempts.c.ok.type) == "boolean"
    with pytest.raises(TypeError, match="goes in no array"):
        arrays.kind_of(tables.chunks.c.data.type)


@given(st.lists(st.tuples(st.integers(0, 9), st.text(max_size=5)), max_size=30), st.integers(1, 5), st.integers(1, 20))
def test_chunks_are_all_rows_in_their_order_and_no_larger_than_asked(
    rows: list[tuple[int, str]], most: int, characters: int
) -> None:
    found = list(arrays.chunks(rows, most, characters))
    assert [row for chunk in found for row in chunk] == rows
    assert all(0 < len(chunk) <= most for chunk in found)
    assert all(len(chunk) == 1 or sum(len(text) for _, text in chunk) <= characters for chunk in found)


@pytest.fixture(scope="module")
def server() -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_url().replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.text('"\\,{} Nn')


@given(values=st.lists(st.none() | TEXT, min_size=1))
def test_the_server_reads_the_same_texts(server: psycopg.Connection, values: list[str | None]) -> None:
    assert server.execute("SELECT %s::text[]", (arrays.text_array(values),)).fetchone() == (values,)


@given(values=st.lists(st.none() | st.floats(allow_nan=False), min_size=1))
def test_the_server_reads_the_same_numbers(server: psycopg.Connection, values: list[float | None]) -> None:
    row = server.execute("SELECT %s::double precision[]", (arrays.plain_array(values),)).fetchone()
    assert row == (values,)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TaskStore]:
    made = connect_taskdb(url_of("postgresql", tmp_path))
    yield made
    made.close()


def work(store: TaskStore, rows: int) -> None:
    """Tasks come, are leased, and end, so many a commit."""
    some = [waiting(f"t{n}", n + 1) for n in range(rows)]
    keys = [(row.project, row.taskid) for row in some]
    store.commit(writes(insert=some, lease=[lease(row.taskid) for row in some]))
    ended = [progress(row, **DONE) for row in some]
    store.commit(writes(progress=ended, unlease=keys, attempts=[attempt(row.taskid) for row in some]))


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("kept", ["nothing", "counted nothing", "counted few", "counted few, then dead rows", "many"])
def test_every_row_is_looked_up_by_its_key_however_the_table_was_counted(
    store: TaskStore, mode: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = store._database.engine  # type: ignore[attr-defined]
    seen: list[tuple[str, tuple[str, ...]]] = []
    send = Pipeline.exec_driver_sql

    def note(self: Pipeline, sql: str, values: tuple[str, ...] | None = None, /) -> object:
        if "unnest" in sql and sql.startswith(("UPDATE", "DELETE")):
            assert values is not None
            seen.append((sql, values))
        return send(self, sql, values)

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "exec_driver_sql", note)
        work(store, 30)
        store.commit(
            writes(replace=[waiting(f"t{n}", n + 1) for n in range(30)], remove=[("p", f"t{n}") for n in range(9)])
        )
    assert len(seen) == 4
    with engine.connect() as connection:
        if kept.startswith(("nothing", "counted nothing")):
            connection.exec_driver_sql("TRUNCATE tasks, leases")
        if kept.startswith("counted"):
            connection.exec_driver_sql("VACUUM ANALYZE tasks, leases")
        if kept.endswith("dead rows"):
            work(store, 1_000)
        if kept == "many":
            work(store, 3_000)
        connection.exec_driver_sql("BEGIN")
        store._database.by_key(connection)  # type: ignore[attr-defined]
        connection.exec_driver_sql(f"SET LOCAL plan_cache_mode = {mode}")
        for sql, values in seen:
            numbers = itertools.count(1)
            numbered = re.sub("%s", lambda _: f"${next(numbers)}", sql)  # noqa: B023
            connection.exec_driver_sql(f"PREPARE asked AS {numbered}")
            given = ", ".join(psycopg.sql.Literal(value).as_string() for value in values)
            plan = [row[0].strip() for row in connection.exec_driver_sql(f"EXPLAIN EXECUTE asked({given})")]
            connection.exec_driver_sql("DEALLOCATE asked")
            told = "\n".join(plan)
            assert "TID Cond: (ctid = found.place)" in plan, told
            assert re.search(r"Index (Only )?Scan using (tasks|leases)_pkey on (tasks|leases) known", told), told
            assert any(step.startswith("Index Cond: (((project)") and "taskid" in step for step in plan), told
            assert "Seq Scan" not in told, told
        connection.exec_driver_sql("ROLLBACK")
