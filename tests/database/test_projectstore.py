"""The contract of the projectdb, over every backend. T60 is here for projects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlkit.contract.test_projectstore import *  # noqa: F403
from crawlkit.database.base import ProjectStore
from crawlkit.database.registry import connect_projectdb
from crawlkit.libs.clock import ManualClock

from .stores import BACKENDS, url_of


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[ProjectStore]:
    made = connect_projectdb(url_of(request.param, tmp_path), clock=clock)
    yield made
    made.close()
