"""The page that worker and service share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from crawlkit.processor.board import Board, create_memory


@pytest.fixture
def boards() -> Iterator[tuple[Board, Board]]:
    fd = create_memory()
    worker, service = Board(fd), Board(fd)
    os.close(fd)
    yield worker, service
    worker.close()
    service.close()


def test_own_time_leaves_out_what_the_service_kept_waiting(boards: tuple[Board, Board]) -> None:
    worker, service = boards
    assert service.own_time(100.0) == 0
    worker.start(7, 100.0)
    assert service.running == 7
    assert service.own_time(101.0) == 1
    worker.hold(101.0)
    assert service.own_time(105.0) == 1
    worker.release(105.0)
    assert service.own_time(106.0) == 2
    worker.end(106.0)
    assert (service.running, service.done, service.busy) == (0, 1, 2)
    assert service.own_time(110.0) == 0


def test_what_was_taken_back_does_not_start(boards: tuple[Board, Board]) -> None:
    worker, service = boards
    assert not worker.taken_back(0)
    service.take_back(5, 7)
    assert [number for number in range(10) if worker.taken_back(number)] == [5, 6, 7]
    worker.start(5, 1.0)
    worker.drop()
    assert service.running == service.done == 0


def test_processes_are_counted_for_each_task(boards: tuple[Board, Board]) -> None:
    worker, _ = boards
    worker.start(1, 0.0)
    assert [worker.count_process() for _ in range(3)] == [1, 2, 3]
    worker.start(2, 0.0)
    assert worker.count_process() == 1
