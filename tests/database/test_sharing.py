"""The contract of a taskdb with several schedulers, over every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crawlkit.contract.test_sharing import *  # noqa: F403
from crawlkit.database.base import TaskStore
from crawlkit.database.memory import MemoryTaskStore
from crawlkit.database.registry import connect_taskdb

from .stores import BACKENDS, url_of


@pytest.fixture(params=BACKENDS)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], TaskStore]]:
    url = url_of(request.param, tmp_path)
    made: list[TaskStore] = []

    def open_store() -> TaskStore:
        first = made[0] if made else None
        made.append(first.beside() if isinstance(first, MemoryTaskStore) else connect_taskdb(url))
        return made[-1]

    yield open_store
    for store in made:
        store.close()
