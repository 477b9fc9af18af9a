"""The limit a callback can see."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator

import pytest

from crawlkit.processor.soft_limit import SoftLimit, TimeLimit


@pytest.fixture
def limit() -> Iterator[SoftLimit]:
    before = signal.getsignal(signal.SIGALRM)
    it = SoftLimit()
    yield it
    it.stop()
    signal.signal(signal.SIGALRM, before)


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_it_rings_in_the_line_that_runs(limit: SoftLimit) -> None:
    limit.start(0.05)
    with pytest.raises(TimeLimit) as caught:
        spin(2)
    assert "spin" in [entry.name for entry in caught.traceback]
    assert limit.rang


def test_a_stopped_one_does_not_ring(limit: SoftLimit) -> None:
    limit.start(0.05)
    limit.stop()
    spin(0.1)
    assert not limit.rang


def test_behind_the_shield_it_waits_and_rings_after(limit: SoftLimit) -> None:
    limit.start(0.05)
    limit.shield()
    spin(0.1)
    with pytest.raises(TimeLimit):  # noqa: PT012 - the ring may come in either line
        limit.lift()
        spin(0.5)


def test_paused_time_does_not_count(limit: SoftLimit) -> None:
    limit.start(0.2)
    limit.shield()
    limit.pause()
    spin(0.3)
    limit.lift()
    spin(0.05)
    assert not limit.rang
    with pytest.raises(TimeLimit):
        spin(2)


async def inner() -> None:
    await asyncio.sleep(9)


async def outer() -> None:
    await inner()


def test_a_coroutine_that_waits_is_named(limit: SoftLimit) -> None:
    loop = asyncio.new_event_loop()
    limit.start(0.05)
    with pytest.raises(TimeLimit, match=r"it awaited in .*test_soft_limit\.py line \d+"):
        loop.run_until_complete(outer())
    limit.stop()
    for task in asyncio.all_tasks(loop):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
    loop.close()
