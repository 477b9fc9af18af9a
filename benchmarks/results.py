"""CPU of the result worker alone: outcomes of the benchmark's shop that come one by one at a steady rate, into SQLite.

    python -m benchmarks.results [--outcomes 6000] [--rate 1500] [--runs 3] [--profile]

Prints microseconds of CPU per outcome, of the whole process without its feeder, and how many a transaction held.
Queues are in memory: what the hops cost is not in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import cProfile
import pstats
import statistics
import tempfile
import time
from pathlib import Path

import click

from crawlkit.database.registry import connect_resultdb
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.messages import TASK, Follow, Outcome, TrackFetch, TrackProcess, encode, pack
from crawlkit.libs.task import Process, Task, taskid_of
from crawlkit.message_queue.memory import MemoryQueue
from crawlkit.message_queue.status_queues import StatusQueues
from crawlkit.result.service import ResultService

BASE = "http://127.0.0.1:8000"
RESULT = '{"title":"Amber Basket Cedar - item 1","h1":"Amber Basket Cedar 1","price":"1234.56"}'
TICK = 0.002  # seconds between looks of the feeder
WARM = 500


def outcome(number: int) -> bytes:
    """What a worker sends for a page of the shop."""
    url = f"{BASE}/p/{number}.html"
    links = [f"{BASE}/p/{(number * 37 + n * 101) % 20_000}.html" for n in range(20)]
    follows = [
        Follow(taskid_of(link), True, pack(Task("shop", taskid_of(link), link, process=Process(callback="item"))))
        for link in links
    ]
    return encode(
        Outcome(
            "shop", taskid_of(url), 1, 1, TASK, 0, True, [RESULT], 0, url, "bench", True, follows, [],
            fetch=TrackFetch(ok=True, time=0.002, status_code=200, encoding="utf-8", size=10_240),
            process=TrackProcess(ok=True, time=0.0005, follows=20, results=1, result=RESULT[:100]),
            result_count=1, lastcrawltime=1_760_000_000.0,
        )
    )  # fmt: skip


async def crawl(path: Path, bodies: list[bytes], rate: float, profile: cProfile.Profile | None) -> tuple[float, float]:
    """(CPU seconds, outcomes a transaction) for these, after a warm-up over the first of them."""
    inqueue, status = MemoryQueue("in", 100_000), MemoryQueue("status", 100_000)
    store = connect_resultdb(f"sqlite:///{path}")
    saves, save = 0, store.save

    def counted(sets):  # type: ignore[no-untyped-def]
        nonlocal saves
        saves += 1
        return save(sets)

    store.save = counted  # type: ignore[method-assign]
    service = ResultService(
        inqueue=inqueue, status_queues=StatusQueues(lambda _: status), resultdb=store, clock=SystemClock(), node="bench"
    )  # fmt: skip
    running = asyncio.create_task(service.run())

    async def feed(some: list[bytes]) -> None:
        began, put, goal = time.monotonic(), 0, service.counts.outcomes + len(some)
        while put < len(some):
            due = min(len(some), int((time.monotonic() - began) * rate) + 1)
            if due > put:
                await inqueue.put_many(some[put:due])
                put = due
            found = status.take_now(1_000)
            status.ack_now([one.id for one in found])
            await asyncio.sleep(TICK)
        while service.counts.outcomes < goal:
            await idle(10 * TICK)

    async def idle(seconds: float) -> float:
        began = time.process_time()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status.ack_now([one.id for one in status.take_now(1_000)])
            await asyncio.sleep(TICK)
        return time.process_time() - began

    await feed(bodies[:WARM])
    nothing = await idle(1.0)
    if profile is not None:
        profile.enable()
    cpu, wall, saves = time.process_time(), time.monotonic(), 0
    await feed(bodies[WARM:])
    spent = time.process_time() - cpu - nothing * (time.monotonic() - wall)
    if profile is not None:
        profile.disable()
    count = len(bodies) - WARM
    await service.stop()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    store.close()
    return spent / count, count / saves


@click.command()
@click.option("--outcomes", default=6_000)
@click.option("--rate", default=1_500.0, help="a second")
@click.option("--runs", default=3)
@click.option("--profile", "profiled", is_flag=True)
def main(outcomes: int, rate: float, runs: int, profiled: bool) -> None:
    """Measures, and prints a line for each run and their median."""
    bodies = [outcome(number) for number in range(WARM + outcomes)]
    profile = cProfile.Profile() if profiled else None
    costs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs):
            cost, size = asyncio.run(crawl(Path(folder) / f"{run}.db", bodies, rate, profile))
            costs.append(cost * 1e6)
            click.echo(f"{costs[-1]:6.1f} us CPU per outcome, {size:5.1f} a transaction")
    click.echo(f"{statistics.median(costs):6.1f} us CPU per outcome: the median")
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main()
