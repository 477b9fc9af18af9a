"""Searching results, over every backend, and by which index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlkit.contract import test_resultsearch as contract
from crawlkit.contract.test_resultsearch import *  # noqa: F403
from crawlkit.contract.test_resultsearch import add
from crawlkit.database.base import ResultSearch, ResultStore
from crawlkit.database.memory import resultstore as memory
from crawlkit.database.registry import connect_resultdb
from crawlkit.database.sqlalchemy import resultsearch

from .stores import BACKENDS, url_of
from .test_plans import plans_of


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResultStore]:
    monkeypatch.setattr(resultsearch, "STRETCH", 3)
    monkeypatch.setattr(memory, "PAGE", 3)
    monkeypatch.setattr(contract, "LOOKS", 5)
    made = connect_resultdb(url_of(request.param, tmp_path))
    yield made
    made.close()


def test_it_goes_by_index(tmp_path: Path) -> None:
    store = connect_resultdb(f"sqlite:///{tmp_path}/r.db")
    add(store, *range(5))
    steps = plans_of(store, lambda: store.find(ResultSearch("p", text="1"), 4))
    assert all("results_project" in step for step in steps), steps
    store.close()
