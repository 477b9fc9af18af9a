"""Results, children and logs that are too large, or no JSON: bounded, named, nothing half-written (R-51)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest

from crawlkit.database.memory import MemoryResultStore
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.messages import Outcome, TrackProcess
from crawlkit.message_queue.status_queues import StatusQueues
from crawlkit.processor.orders import MAX_LOGS
from crawlkit.result.service import ResultService
from tests.processor.helpers import Bench, bench, fetched, script

MIB = 2**20
#: what a callback gives -> (why it fails, a word of the message)
ODD = {
    "return 'x' * 10**9": (("result", "memory_limit"), ""),
    "return ['x' * 10**6] * 1000": (("result", "memory_limit", "worker_died"), ""),  # msgspec may not survive it
    "return object()": (("result",), "result: is a object"),
    "return {'a': [1, float('nan')]}": (("result",), "result.a[1]: is nan"),
    "return -float('inf')": (("result",), "inf"),
    "return {'a': b'x'}": (("result",), "result.a: is bytes"),
    "return {b'a': 1}": (("result",), "key"),
    "return '\\ud800'": (("result",), "surrogate"),
    "return {'\\udfff': 1}": (("result",), "surrogate"),
    "x = []\nx.append(x)\nreturn x": (("result",), "holds itself"),
    "x = {}\nx['a'] = {'b': [x]}\nreturn x": (("result",), "holds itself"),
    "x = 1\nfor i in range(100_000): x = [x]\nreturn x": (("result",), ""),
    "return {1, 2}": (("result",), "set"),
    "return 10**5000": (("result",), "result: holds a whole number that is too long"),
    "return {'a': [{10**5000: 1}]}": (("result",), "result.a[0]: holds a whole number that is too long"),
    # what was given before goes out in parts, and is not to be seen either
    "for i in range(9_000): yield {'i': i, 'x': 'y' * 1000}\nyield object()": (("result",), "is a object"),
    "for i in range(9_000): yield {'i': i, 'x': 'y' * 1000}\nyield float('nan')": (("result",), "nan"),
    "for i in range(9_000): yield {'i': i, 'x': 'y' * 1000}\nraise ValueError": (("exception",), "ValueError"),
    "for i in range(9_000): yield {'i': i, 'x': 'y' * 1000}\nos._exit(1)": (("worker_died",), "exit code 1"),
}


def page(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return script(f"def page(self, response):\n{lines}", "import os\n")


def process(outcome: Outcome) -> TrackProcess:
    assert outcome.process is not None
    return outcome.process


@asynccontextmanager
async def stored(**settings: Any) -> AsyncIterator[tuple[Bench, MemoryResultStore]]:
    """A processor and a result worker behind it."""
    async with bench(read=False, memory_limit=256 * MIB, **settings) as it:
        store = MemoryResultStore()
        queues = StatusQueues(it.broker.queue)
        worker = ResultService(inqueue=it.results, status_queues=queues, resultdb=store, clock=SystemClock(), node="r1")
        running = asyncio.create_task(worker.run())
        reading = asyncio.create_task(it._read(it.status))
        try:
            yield it, store
        finally:
            reading.cancel()
            await worker.stop()
            await running


@pytest.mark.parametrize("body", ODD)
def test_R51_a_result_that_cannot_be_kept_is_named_and_nothing_of_it_is_stored(body: str) -> None:
    reasons, words = ODD[body]

    async def scene() -> None:
        async with stored(process_time_limit=15) as (it, store):
            (outcome,) = await it.run(fetched("p", it.projects.save("p", page(body))))
            assert not outcome.ok
            assert process(outcome).reason in reasons
            assert words in (process(outcome).exception or "")
            assert len(process(outcome).exception or "") < 3_000
            assert store.count("p") == 0
            assert list(store.select("p")) == []
            calm = it.projects.save("p", page("yield 1\nyield 2"))
            (again,) = await it.run(fetched("p", calm, attempt=2))
            assert again.ok
            assert [row.result for row in store.get("p", outcome.taskid)] == ["1", "2"]

    asyncio.run(scene())


LOGS = {
    "print('a' * 10**7 + 'the end')": True,
    "for i in range(20_000): print('a' * 100)\nprint('the end')": True,
    "self.logger.warning('a' * 10**7 + 'the end')": True,
    "while True: print('a' * 100, 'the end')": False,
    "while True: self.logger.info('a' * 100 + 'the end')": False,
}


@pytest.mark.parametrize("body", LOGS)
def test_R51_of_a_log_without_bounds_the_end_is_kept(body: str) -> None:
    async def scene() -> None:
        async with stored(process_time_limit=1) as (it, _):
            me, largest = psutil.Process(), 0
            before = me.memory_info().rss
            run = asyncio.create_task(it.run(fetched("p", it.projects.save("p", page(body)))))
            while not run.done():
                largest = max(largest, me.memory_info().rss)
                await asyncio.sleep(0.02)
            (outcome,) = run.result()
            logs = process(outcome).logs or ""
            assert outcome.ok is LOGS[body], process(outcome)
            assert "the end" in logs[-200:] or not LOGS[body]
            assert len(logs) <= MAX_LOGS + 2_000  # and what is said of the time limit
            assert largest - before < 64 * MIB

    asyncio.run(scene())


@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_R51_a_million_children_go_out_in_parts(count: int) -> None:
    async def scene() -> None:
        async with stored(process_time_limit=100, out_messages=20) as (it, _):
            body = f"for i in range({count}): self.crawl('http://example.com/%d' % i, callback=self.page)"
            message = fetched("p", it.projects.save("p", page(body)))
            me, largest, total = psutil.Process(), 0, 0
            before = me.memory_info().rss
            await it.put(message)
            while not it.outcome(message):
                await asyncio.sleep(0.02)
                for part in next(iter(it.parts.values()), [])[:-1]:
                    total += len(part.follows)
                    part.follows = []
                largest = max(largest, me.memory_info().rss)
            assert (it.outcome(message) or [])[-1].ok
            assert total + sum(len(part.follows) for part in it.outcome(message) or []) == count
            assert largest - before < 64 * MIB

    asyncio.run(scene())
