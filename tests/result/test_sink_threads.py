"""The threads of sinks: errors end none of them, a stop waits for none too long."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from crawlkit.database.memory import MemoryResultStore
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.result import sink_follower, sink_threads
from crawlkit.result.sink_threads import SinkThreads, WithSinks
from tests.cli.site import until
from tests.result.sink_tools import Kept, follower, save


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_threads, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(sink_follower, "LOOK", 0.01)


def test_a_resultdb_that_is_away_is_said_once_and_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The crawl goes on, and so do the sinks, when it is back."""
    caplog.set_level("INFO", logger="crawlkit.sinks")
    store, kept = MemoryResultStore(), Kept()
    real, calls = store.newest, [0]

    def away() -> int:
        calls[0] += 1
        if calls[0] < 4:
            raise StoreUnavailable("the resultdb\nis away")
        return real()

    monkeypatch.setattr(store, "newest", away)
    save(store, 1)
    threads = SinkThreads([follower(store, "jsonl:///x?age=0", sink=kept)])
    threads.start()
    until(lambda: kept.numbers() == [1], "the result in the sink")
    threads.stop()
    said = [(record.levelname, record.message) for record in caplog.records if record.levelname != "DEBUG"]
    assert said == [
        ("WARNING", "sink jsonl:///x waits: the resultdb is away"),
        ("INFO", "sink jsonl:///x: the resultdb answers again"),
    ]


def test_a_mistake_of_ours_ends_no_thread(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    store, kept = MemoryResultStore(), Kept()
    one = follower(store, "jsonl:///x?age=0", sink=kept)
    real, calls = one.look, [0]

    def look(**how: Any) -> float:
        calls[0] += 1
        return 1 / 0 if calls[0] == 1 else real(**how)

    monkeypatch.setattr(one, "look", look)
    save(store, 1)
    threads = SinkThreads([one])
    threads.start()
    until(lambda: kept.numbers() == [1], "the result in the sink")
    threads.stop()
    assert "ZeroDivisionError: division by zero" in caplog.text


def test_a_stop_writes_what_waits_and_lets_go() -> None:
    store, kept, other = MemoryResultStore(), Kept(), Kept()
    threads = SinkThreads([follower(store, "jsonl:///x?age=1h", sink=kept), follower(store, "csv:///y", sink=other)])
    threads.start()
    until(lambda: len(store.sinks()) == 2, "both served")
    save(store, *range(10), at=time.time())
    threads.stop()
    assert kept.numbers() == other.numbers() == list(range(10))
    assert [row.until for row in store.sinks()] == [0, 0]


def test_a_sink_that_hangs_holds_up_neither_the_others_nor_the_stop() -> None:
    class Hangs(Kept):
        release = threading.Event()

        def write(self, batch: Any) -> None:
            self.release.wait(60)

    store, kept, hangs = MemoryResultStore(), Kept(), Hangs()
    one = follower(store, "jsonl:///x?age=0", sink=hangs)
    threads = SinkThreads([one, follower(store, "csv:///y?age=0", sink=kept)])
    save(store, 1)
    threads.start()
    try:
        until(lambda: kept.numbers() == [1], "the result in the other sink")
        began = time.monotonic()
        threads.stop(0.2)
        assert time.monotonic() - began < 2
        assert one.held  # its lease runs out, or its death is seen
    finally:
        Hangs.release.set()


def test_a_long_write_keeps_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_threads, "LEASE", 0.3)
    monkeypatch.setattr(sink_follower, "LEASE", 0.3)

    class Slow(Kept):
        started, release = threading.Event(), threading.Event()

        def write(self, batch: Any) -> None:
            self.started.set()
            self.release.wait(60)
            super().write(batch)

    store, slow = MemoryResultStore(), Slow()
    save(store, 1)
    threads = SinkThreads([follower(store, "jsonl:///x?age=0", sink=slow)])
    threads.start()
    assert Slow.started.wait(10)
    first = store.sinks()[0].until
    until(lambda: store.sinks()[0].until > first + 0.6, "three renewals")
    Slow.release.set()
    until(lambda: slow.numbers() == [1], "the result in the sink")
    threads.stop()
    assert store.sinks()[0].fence == 1


def test_beside_a_service_they_end_after_it() -> None:
    store, kept = MemoryResultStore(), Kept()

    class Service:
        def __init__(self) -> None:
            self.ended = asyncio.Event()

        async def run(self) -> None:
            await self.ended.wait()
            save(store, 7, at=time.time())  # its last batch

        async def stop(self) -> None:
            self.ended.set()

    async def play() -> None:
        both = WithSinks(Service(), SinkThreads([follower(store, "jsonl:///x?age=1h", sink=kept)]))
        work = asyncio.create_task(both.run())
        async with asyncio.timeout(10):
            while not store.sinks():  # noqa: ASYNC110 - a thread makes it
                await asyncio.sleep(0.01)
        await both.stop()
        await work

    asyncio.run(play())
    assert kept.numbers() == [7]
