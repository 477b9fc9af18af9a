"""Reads that fail quickly are repeated; slow ones and writes are not (R-10)."""

from __future__ import annotations

from typing import Any

import pytest

from crawlkit.database.base import ProjectStore, TaskStore
from crawlkit.database.memory import MemoryTaskStore
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.libs.rows import Writes
from crawlkit.scheduler.patient import QUICK, READS, TRIES, patient


class Failing(MemoryTaskStore):
    """Fails some times, in its own time."""

    def __init__(self, clock: ManualClock, fails: int, seconds: float = 0.0) -> None:
        super().__init__()
        self.clock, self.fails, self.seconds = clock, fails, seconds
        self.asked = 0

    def _fail(self) -> None:
        self.asked += 1
        if self.asked <= self.fails:
            self.clock.advance(self.seconds)
            raise StoreUnavailable("a hiccup")

    def max_seq(self) -> int:
        self._fail()
        return super().max_seq()

    def commit(self, writes: Writes) -> None:
        self._fail()
        super().commit(writes)


def made(fails: int, seconds: float = 0.0) -> tuple[Any, Failing]:
    clock = ManualClock(0.0)
    store = Failing(clock, fails, seconds)
    return patient(store, clock), store


def test_a_read_that_fails_a_few_times_is_answered() -> None:
    asked, store = made(TRIES - 1)
    assert asked.max_seq() == 0
    assert store.asked == TRIES


@pytest.mark.parametrize(("fails", "seconds", "times"), [(99, 0.0, TRIES), (1, 2 * QUICK, 1)])
def test_a_store_that_is_away_says_so(fails: int, seconds: float, times: int) -> None:
    asked, store = made(fails, seconds)
    with pytest.raises(StoreUnavailable, match="a hiccup"):
        asked.max_seq()
    assert store.asked == times


def test_a_write_is_not_repeated() -> None:
    asked, store = made(1)
    with pytest.raises(StoreUnavailable):
        asked.commit(Writes())
    assert store.asked == 1


def test_only_methods_that_stores_have_are_named() -> None:
    assert set(READS) <= set(dir(TaskStore)) | set(dir(ProjectStore))
