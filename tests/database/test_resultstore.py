"""The contract of the resultdb, over every backend. T60 is here for results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlkit.contract.test_resultstore import *  # noqa: F403
from crawlkit.database.base import ResultStore
from crawlkit.database.registry import connect_resultdb

from .stores import BACKENDS, url_of


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResultStore]:
    made = connect_resultdb(url_of(request.param, tmp_path))
    yield made
    made.close()
