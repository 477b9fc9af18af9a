"""What is done to many rows at once, over every backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlkit.contract.test_taskbulk import *  # noqa: F403
from crawlkit.database.base import ResultStore, TaskStore
from crawlkit.database.registry import connect_resultdb, connect_taskdb

from .stores import BACKENDS, url_of


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TaskStore]:
    made = connect_taskdb(url_of(request.param, tmp_path))
    yield made
    made.close()


@pytest.fixture(params=BACKENDS)
def resultdb(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResultStore]:
    made = connect_resultdb(url_of(request.param, tmp_path))
    yield made
    made.close()
