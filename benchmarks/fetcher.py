"""CPU of the fetcher alone: warm GETs of a small page through FetcherService, queues in memory, the site elsewhere.

    python -m benchmarks.fetcher [--pages 20000] [--size 10240] [--poolsize 100] [--profile]

Prints microseconds of CPU per page: of the whole service, and of libcurl alone over the same pages beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import cProfile
import pstats
import tempfile
import time
from pathlib import Path

import click
import pycurl

from crawlkit.fetcher.curl_loop import MultiLoop
from crawlkit.fetcher.service import FetcherService
from crawlkit.fetcher.settings import FetcherSettings
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.messages import NIL, TASK, Dispatch, encode
from crawlkit.libs.task import Fetch, Schedule, taskid_of
from crawlkit.message_queue.memory import MemoryQueue
from crawlkit.message_queue.status_queues import StatusQueues
from crawlkit.proving.serving import free_port, serving

PUT = 500  # tasks on their way at once
WARM = 500  # pages before the clock starts


def dispatch(url: str) -> bytes:
    """A task as the scheduler sends it."""
    return encode(
        Dispatch("bench", taskid_of(url), 1, 1, url, "0" * 32, "index_page", 0, TASK, Schedule(), Fetch(), NIL, 0)
    )


async def through_service(urls: list[str], poolsize: int, profile: cProfile.Profile | None) -> tuple[float, float]:
    """(CPU, wall) seconds for these pages, after a warm-up over the first of them."""
    queues = [MemoryQueue(name, 10_000) for name in ("in", "out", "status")]
    inqueue, outqueue, status = queues
    service = FetcherService(
        inqueue=inqueue,
        outqueue=outqueue,
        status_queues=StatusQueues(lambda _: status),
        settings=FetcherSettings(poolsize=poolsize),
        clock=SystemClock(),
        node="bench",
    )
    running = asyncio.create_task(service.run())

    async def drain_status() -> None:
        while True:
            await status.ack([one.id for one in await status.get_many(1000, 60)])

    async def go(messages: list[bytes]) -> None:
        done = 0
        for start in range(0, len(messages), PUT):
            await inqueue.put_many(messages[start : start + PUT])
            while done < min(start + PUT // 2, len(messages)) or (
                start + PUT >= len(messages) and done < len(messages)
            ):
                found = await outqueue.get_many(100, 10)
                done += len(found)
                await outqueue.ack([one.id for one in found])

    draining = asyncio.create_task(drain_status())
    messages = [dispatch(url) for url in urls]
    await go(messages[:WARM])
    if profile is not None:
        profile.enable()
    cpu, wall = time.process_time(), time.perf_counter()
    await go(messages)
    cost = time.process_time() - cpu, time.perf_counter() - wall
    if profile is not None:
        profile.disable()
    assert service.stats["errors"] == 0, service.stats
    await service.stop()
    await running
    draining.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await draining
    return cost


async def bare(urls: list[str], poolsize: int) -> float:
    """CPU seconds of libcurl on our loop alone: reused handles, bodies thrown away, nothing else."""
    loop = MultiLoop(2 * poolsize)
    todo, left, finished = iter(urls), len(urls), asyncio.Event()

    def begin(handle: pycurl.Curl) -> None:
        if (url := next(todo, None)) is not None:
            body: list[bytes] = []
            handle.setopt(pycurl.URL, url)
            handle.setopt(pycurl.WRITEFUNCTION, body.append)
            loop.add(handle, lambda code, text: ended(handle, code))

    def ended(handle: pycurl.Curl, code: int) -> None:
        nonlocal left
        assert not code
        left -= 1
        if left:
            begin(handle)
        else:
            finished.set()

    cpu = time.process_time()
    for _ in range(poolsize):
        begin(pycurl.Curl())
    await finished.wait()
    cost = time.process_time() - cpu
    loop.close()
    return cost


@click.command()
@click.option("--pages", default=20_000)
@click.option("--size", default=10_240, help="bytes of a page")
@click.option("--poolsize", default=100)
@click.option("--profile", "profiled", is_flag=True)
def main(pages: int, size: int, poolsize: int, profiled: bool) -> None:
    """Measures, and prints one line for each way."""
    profile = cProfile.Profile() if profiled else None
    with tempfile.TemporaryDirectory() as folder:
        for number in range(100):
            (Path(folder) / f"{number}.html").write_bytes(b"x" * size)
        port = free_port()
        with serving(Path(folder), port):
            urls = [f"http://127.0.0.1:{port}/{number % 100}.html?{number}" for number in range(pages)]
            raw = asyncio.run(bare(urls, poolsize))
            cpu, wall = asyncio.run(through_service(urls, poolsize, profile))
    click.echo(f"service   {cpu / pages * 1e6:6.1f} us CPU per page, {pages / wall:7.0f} pages/s")
    click.echo(f"bare curl {raw / pages * 1e6:6.1f} us CPU per page")
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main()
