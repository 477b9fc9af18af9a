"""The contract of the taskdb, over every backend. T60 is here for tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlkit.contract.test_taskstore import *  # noqa: F403
from crawlkit.database.base import TaskStore
from crawlkit.database.registry import connect_taskdb

from .stores import BACKENDS, url_of


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TaskStore]:
    made = connect_taskdb(url_of(request.param, tmp_path))
    yield made
    made.close()
