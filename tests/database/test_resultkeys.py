"""Results with keys, over every backend, against a model, and after an upgrade."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis.strategies as st
import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from hypothesis import given, settings

from crawlkit.contract.rows import results
from crawlkit.contract.test_resultkeys import *  # noqa: F403
from crawlkit.contract.test_resultkeys import shown
from crawlkit.database.base import ResultSet, ResultStore
from crawlkit.database.memory import MemoryResultStore
from crawlkit.database.registry import connect_resultdb
from crawlkit.database.sqlalchemy import schema

from .stores import BACKENDS, url_of


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResultStore]:
    made = connect_resultdb(url_of(request.param, tmp_path))
    yield made
    made.close()


def test_a_store_that_was_opened_again_knows_its_keys(tmp_path: Path) -> None:
    for text, known in (("1", 0), ("2", 1)):
        store = connect_resultdb(url_of("sqlite", tmp_path))
        assert store.save([results(text, text, keys="x" * 10_000, policy="keep_first")]) == [known]
        assert shown(store) == ["1:1"]
        store.close()


def test_a_store_of_the_first_version_takes_keys(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("first", schema.MIGRATIONS / "resultdb/versions/0001_first.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    engine = sa.create_engine(f"sqlite:///{tmp_path}/store.db")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        module.upgrade()
        for statement in (
            "CREATE TABLE crawlkit_resultdb_version (version_num VARCHAR(32) PRIMARY KEY)",
            "INSERT INTO crawlkit_resultdb_version VALUES ('0001')",
            "INSERT INTO results VALUES (1, 'p', 'a', 1, 0, 'u', '\"old\"', 1.0)",
            "INSERT INTO result_runs VALUES ('p', 'a', 1, 1, 1)",
            "INSERT INTO result_marks VALUES ('seq', 1)",
            "INSERT INTO result_parts VALUES ('p', 'b', 1, 1, 0, 1, 0, 'u', '[\"1\"]', 1.0)",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()
    store = connect_resultdb(url_of("sqlite", tmp_path))
    assert shown(store) == ['a:"old"']
    store.save([results("b", "2", first=1)])
    assert shown(store) == ['a:"old"', "b:1", "b:2"]
    store.save([results("a", "3", "4", keys="x x", policy="replace", run=2)])
    assert shown(store) == ["b:1", "b:2", "a:4"]
    store.close()


class Row(NamedTuple):
    taskid: str
    key: str
    text: str


class Model:
    """The rule, said as simply as can be."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.runs: dict[str, int] = {}

    def save(self, given: ResultSet) -> None:
        if self.runs.get(given.taskid, 0) >= given.run:
            return
        self.runs[given.taskid] = given.run
        keyed = bool(given.key_policy)
        self.rows = [row for row in self.rows if row.taskid != given.taskid or (keyed and row.key)]
        for n, text in enumerate(given.results):
            key = given.keys[n] if keyed else ""
            same = [row for row in self.rows if key and row.key == key]
            if same and given.key_policy != "replace":
                continue
            self.rows = [row for row in self.rows if row not in same] + [Row(given.taskid, key, text)]


@st.composite
def histories(draw: Any) -> list[list[ResultSet]]:
    count = 0
    batches = []
    for _ in range(draw(st.integers(1, 6))):
        batch = []
        for _ in range(draw(st.integers(1, 4))):
            policy = draw(st.sampled_from(["", "replace", "keep_first", "stop"]))
            keys = draw(st.lists(st.sampled_from(["x", "y", "z", ""]), max_size=4))
            texts = [str(count := count + 1) for _ in keys]
            run = draw(st.integers(1, 6))
            place = ("p", draw(st.sampled_from("abc")), run, 1, "u", 0)
            batch.append(ResultSet(*place, texts, True, 1.0, keys if policy else [], policy))
        batches.append(batch)
    return batches


@settings(max_examples=60, deadline=None)
@given(batches=histories())
def test_every_backend_does_what_the_model_says(batches: list[list[ResultSet]], tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("model")
    model = Model()
    stores = [MemoryResultStore(), connect_resultdb(url_of("sqlite", folder))]
    try:
        for batch in batches:
            answers = [store.save(batch) for store in stores]
            assert answers[0] == answers[1]
            for given_set in batch:
                model.save(given_set)
            expected = [f"{row.taskid}:{row.text}" for row in model.rows]
            for store in stores:
                assert shown(store) == expected
                assert store.count("p") == len(expected)
                for taskid in "abc":
                    mine = [row.text for row in model.rows if row.taskid == taskid]
                    assert [row.result for row in store.get("p", taskid)] == mine
    finally:
        stores[1].close()
