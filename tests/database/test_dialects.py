"""One set of tables and statements for every dialect: what each makes of them, without a server."""

from __future__ import annotations

from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from crawlkit.database.base import AttemptRow, Lease, NodeRow, ProjectRow, TaskRow, TickRow
from crawlkit.database.sqlalchemy import tables, taskrows
from crawlkit.database.sqlalchemy.statements import Prepared, key_is, upsert

DIALECTS: dict[str, sa.Dialect] = {
    "sqlite": sqlite.dialect(),
    "postgresql": postgresql.dialect(paramstyle="format"),
    "mysql": mysql.dialect(paramstyle="format"),
}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_every_dialect_can_make_the_tables(dialect: sa.Dialect) -> None:
    for metadata in tables.METADATA.values():
        for table in metadata.sorted_tables:
            assert str(CreateTable(table).compile(dialect=dialect))
            for index in table.indexes:
                assert str(CreateIndex(index).compile(dialect=dialect))


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize("table", [tables.tasks, tables.leases, tables.ledger, tables.writers, tables.projects])
def test_upserts_take_the_columns_in_order(dialect: sa.Dialect, table: sa.Table) -> None:
    for statement in (upsert(table, dialect), upsert(table, dialect, keep=True)):
        assert list(statement.names) == table.columns.keys()
        assert statement.sql.startswith("INSERT INTO")


def test_the_three_ways_to_meet_a_known_key() -> None:
    add = {name: upsert(tables.ledger, dialect, add=("n",)).sql for name, dialect in DIALECTS.items()}
    assert add["sqlite"].endswith("DO UPDATE SET n = (ledger.n + excluded.n)")
    assert add["postgresql"].endswith("DO UPDATE SET n = (ledger.n + excluded.n)")
    assert "ON DUPLICATE KEY UPDATE n = (ledger.n + " in add["mysql"].replace("`", "")
    larger = {name: upsert(tables.writers, dialect, greatest=("seq",)).sql for name, dialect in DIALECTS.items()}
    assert "seq = max(writers.seq, excluded.seq)" in larger["sqlite"]
    assert "seq = greatest(writers.seq, excluded.seq)" in larger["postgresql"]
    assert "greatest(" in larger["mysql"]
    assert upsert(tables.tasks, DIALECTS["postgresql"], keep=True).sql.endswith(
        "ON CONFLICT (project, taskid) DO NOTHING"
    )


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_statements_take_their_values_in_order(dialect: sa.Dialect) -> None:
    progress = taskrows.progress_statement(dialect)
    assert progress.names[:2] == ("b_status", "b_queue")
    assert progress.names[-2:] == ("b_project", "b_taskid")
    replace = taskrows.replace_statement(dialect)
    assert [name.removeprefix("b_") for name in replace.names] == [*taskrows.COLUMNS[2:], "project", "taskid"]
    for table in (tables.leases, tables.state, tables.attempts):
        names = Prepared(lambda table=table: sa.delete(table).where(key_is(table)), dialect).names
        assert names == tuple(f"b_{column.name}" for column in table.primary_key)
    for behind in (False, True):
        names = Prepared(partial(taskrows.window_statement, dialect, behind, False, 1), dialect).names
        assert names[:2] == ("project", "queue")
        assert "partition0" in names
        assert "limit" in names


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        (tables.tasks, TaskRow),
        (tables.leases, Lease),
        (tables.attempts, AttemptRow),
        (tables.ticks, TickRow),
        (tables.nodes, NodeRow),
    ],
)
def test_columns_are_the_fields_in_their_order(table: sa.Table, kind: type) -> None:
    assert tuple(table.columns.keys()) == kind.__struct_fields__


def test_every_field_of_a_project_has_its_column() -> None:
    assert set(ProjectRow.__struct_fields__) == set(tables.projects.columns.keys())
