"""What the dashboard costs with 1,000 projects and a million tasks: first paint, live update, the scheduler's CPU.

    python -m benchmarks.dashboard [--projects 1000] [--tasks 1000000] [--busy 200] [--seconds 15]

A scheduler with a made-up ring runs in a process of its own, some hundred tasks a second in ``--busy`` projects; the
web UI in another. First paint is taken in Chromium, when the first row of the list is drawn. Then the largest project,
with a tenth of the tasks, is cleared, retried and removed, and it is said how long other projects had to wait at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from crawlkit import wiring
from crawlkit.libs.messages import (
    INFO,
    SCHEDULER2FETCHER,
    STATUS_QUEUE,
    Dispatch,
    Outcome,
    ProjectInfo,
    TrackFetch,
    TrackProcess,
    decode,
    encode,
    pack,
)
from crawlkit.libs.rows import ProjectRow, Queue, TaskRow, Writes
from crawlkit.libs.task import Status
from crawlkit.settings import Settings

ROOT = Path(__file__).parents[1]
CHUNK = 20_000
PER_SECOND = 400  # tasks that the ring answers


def name_of(number: int) -> str:
    return f"project_{number:04}"


def fill(path: Path, projects: int, tasks: int, busy: int) -> None:
    """Half of the tasks wait, one in twenty failed, the rest is done. A tenth of all is in the last project."""
    with wiring.open_stores(Settings(data_path=path), create=True) as stores:
        writes, seq = Writes(), 0
        for number in range(projects):
            name = name_of(number)
            status = "RUNNING" if number < busy else ("STOP", "TODO")[number % 2]
            row = ProjectRow(name, f"group {number % 20}", status, "# nothing", rate=None, rate_set=True)
            stores.projectdb.put(row)
            for place in range(tasks // 10 if number == projects - 1 else tasks * 9 // 10 // projects):
                seq += 1
                row = task_of(name, number, place, seq)
                writes.insert.append(row)
                writes.count(name, "accepted", "submit")
                if row.status is not Status.ACTIVE:
                    writes.count(name, "done" if row.status is Status.SUCCESS else "failed")
            if len(writes.insert) >= CHUNK or number == projects - 1:
                stores.taskdb.commit(writes)
                writes = Writes()


def task_of(project: str, number: int, place: int, seq: int) -> TaskRow:
    status = Status.ACTIVE if place % 2 else Status.FAILED if place % 20 == 0 else Status.SUCCESS
    queue = Queue.READY if status is Status.ACTIVE else None
    url = f"http://site{number % 50}.example/item/{place}"
    return TaskRow(project, f"{place:032x}", url, f"site{number % 50}.example", 0, status, queue, 0.0, seq)


async def schedule(path: Path) -> None:
    """A scheduler on that data path, and a ring that answers; until its input ends. Says its CPU and longest turn."""
    from crawlkit.message_queue.memory import MemoryBroker
    from crawlkit.scheduler.control import ControlServer
    from crawlkit.scheduler.settings import EngineSettings

    with wiring.open_stores(Settings(data_path=path)) as stores:
        broker = MemoryBroker()
        service = wiring.build_scheduler(stores, broker, EngineSettings())
        longest = [0.0]
        turn, look = service.engine.turn, service.engine.overview
        looks: list[float] = []

        def timed(*args: Any) -> Any:
            started = time.perf_counter()
            outbox = turn(*args)
            longest[0] = max(longest[0], time.perf_counter() - started)
            return outbox

        def timed_look(now: float) -> Any:
            started = time.thread_time()
            found = look(now)
            looks.append(time.thread_time() - started)
            return found

        service.engine.turn, service.engine.overview = timed, timed_look  # type: ignore[method-assign]
        server = ControlServer(service)
        running = asyncio.create_task(service.run())
        ring = asyncio.create_task(_ring(broker))
        await service.turned()
        server.start()
        server.publish(path)
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line == "mark\n":
                longest[0], looks[:] = 0.0, []
            looks_ms = sorted(looks)[len(looks) // 2] * 1e3 if looks else 0.0  # the median
            print(f"{longest[0] * 1e3:.0f} {looks_ms:.1f} {len(looks)} {time.process_time():.2f}", flush=True)
        ring.cancel()
        await server.stop()
        await service.stop()
        await running


async def _ring(broker: Any) -> None:
    out, status = broker.queue(SCHEDULER2FETCHER), broker.queue(STATUS_QUEUE)
    while True:
        deliveries = await out.get_many(PER_SECOND // 10)
        answers = []
        for delivery in deliveries:
            dispatch = decode(delivery.body, Dispatch)
            info = pack(ProjectInfo()) if dispatch.kind == INFO else pack(None)
            answers.append(
                encode(
                    Outcome(
                        dispatch.project, dispatch.taskid, dispatch.run, dispatch.attempt, dispatch.kind, 0, True, [],
                        0, dispatch.url, "n", True, [], [], fetch=TrackFetch(True, 0.05, 200, size=10_000),
                        process=TrackProcess(True, 0.01), info=info,
                    )
                )
            )  # fmt: skip
        await status.put_many(answers)
        await out.ack([delivery.id for delivery in deliveries])
        await asyncio.sleep(0.1)


@contextlib.contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=ROOT,
    )  # fmt: skip
    try:
        yield started
    finally:
        started.terminate()
        started.wait(20)


def ask(scheduler: subprocess.Popen[str], word: str = "say") -> list[float]:
    """[longest turn ms, look ms, looks, CPU s]"""
    assert scheduler.stdin is not None
    assert scheduler.stdout is not None
    scheduler.stdin.write(f"{word}\n")
    scheduler.stdin.flush()
    return [float(one) for one in scheduler.stdout.readline().split()]


def first_line(started: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    assert started.stdout is not None
    for line in started.stdout:
        if found := re.search(pattern, line):
            return found
    raise RuntimeError("it ended early")


def first_paint(link: str) -> tuple[list[float], str]:
    """Milliseconds until the first row is drawn, of three visits; and the session's cookie."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.add_init_script(
            "new MutationObserver((_, me) => { if (document.querySelector('#projects tbody tr')) {"
            " requestAnimationFrame(() => { window.painted = performance.now(); }); me.disconnect(); } })"
            ".observe(document, { childList: true, subtree: true });"
        )
        times = []
        page.goto(link)
        for _ in range(4):
            page.goto(link.partition("?")[0])
            page.wait_for_function("() => window.painted")
            times.append(page.evaluate("() => window.painted"))
        (cookie,) = [one for one in page.context.cookies() if "session" in one["name"]]
        browser.close()
        return times[1:], f"{cookie['name']}={cookie['value']}"


def live_bytes(url: str, cookie: str, seconds: float) -> tuple[int, float]:
    """(bytes of the first event, bytes a second after it)."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request("GET", "/api/v1/live/dashboard?sort=-speed&limit=50", headers={"Cookie": cookie})
    stream = connection.getresponse()
    first = 0
    while b"\n\n" not in (chunk := stream.read1(1 << 20)):
        first += len(chunk)
    first += len(chunk)
    end, size = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        size += len(stream.read1(1 << 20))
    connection.close()
    return first, size / seconds


@click.command()
@click.option("--projects", default=1_000)
@click.option("--tasks", default=1_000_000)
@click.option("--busy", default=200, help="projects that run")
@click.option("--seconds", default=15.0, help="how long the live view is watched")
@click.option("--keep", type=click.Path(path_type=Path), help="Fill this data path, or use it when it is there.")
@click.option("--scheduler", "as_scheduler", type=click.Path(path_type=Path), hidden=True)
def main(projects: int, tasks: int, busy: int, seconds: float, keep: Path | None, as_scheduler: Path | None) -> None:
    """Measures and prints."""
    if as_scheduler is not None:
        asyncio.run(schedule(as_scheduler))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = keep or Path(folder) / "data"
        if not path.exists():
            started = time.monotonic()
            fill(path, projects, tasks, busy)
            print(f"filled in {time.monotonic() - started:.0f} s")
        with (
            process("-m", "benchmarks.dashboard", "--scheduler", str(path)) as scheduler,
            process("run.py", "--data-path", str(path), "webui", "--port", "0") as web,
        ):
            first_line(scheduler, "ready")
            link = first_line(web, r"http://\S+\?token=\S+")[0]
            times, cookie = first_paint(link)
            print("first paint: " + ", ".join(f"{one:.0f} ms" for one in times))
            ask(scheduler, "mark")
            first, rate = live_bytes(link, cookie, seconds)
            _, look, looks, _ = ask(scheduler)
            print(f"live view of 50 projects: {first / 1e3:.1f} KB at first, then {rate / 1e3:.1f} KB a second")
            print(f"the scheduler's look: {look:.1f} ms of CPU, {looks / seconds:.2f} a second")
            rss = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{web.pid}/status").read_text())[1])  # type: ignore[index]
            print(f"web UI: {rss / 1024:.0f} MiB resident")
            orders(path, scheduler, name_of(projects - 1))


def orders(path: Path, scheduler: subprocess.Popen[str], name: str) -> None:
    """Clears, retries and removes the largest project."""
    client = wiring.control_client(Settings(data_path=path))
    for order in ("clear", "retry_failed", "drop"):
        count = client.count_action(name, order)["tasks"]
        ask(scheduler, "mark")
        started = time.monotonic()
        if order == "drop":
            client.drop_project(name)
            with wiring.open_stores(Settings(data_path=path), ("taskdb",)) as stores:
                while stores.taskdb.count(name):
                    time.sleep(0.2)
        else:
            client.order(name, order)
            while client.dashboard()["projects"][name]["action"] is not None:
                time.sleep(0.2)
        took = time.monotonic() - started
        print(f"{order}: {count:,} tasks in {took:.1f} s; the longest turn meanwhile was {ask(scheduler)[0]:.0f} ms")


if __name__ == "__main__":
    main()
