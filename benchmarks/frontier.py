"""A frontier of 10 thousand to 10 million waiting tasks: the scheduler's memory, start-up, speed and turns.

    python -m benchmarks.frontier [--tasks 10000,100000,1000000,10000000] [--store URL] [--json]
    python -m benchmarks.frontier --store postgres --out FILE.json --plot docs/img/frontier.svg --doc docs/scale.md
    python -m benchmarks.frontier --out FILE.json --show --plot docs/img/frontier.svg --doc docs/scale.md

For each size a taskdb is loaded (that is not measured), then a real scheduler works on it in a process of its own, and
this process plays the rest of the ring. Each task that ends brings a new one, so that the backlog stays as large. After
``--seconds`` of work the scheduler is killed with SIGKILL in the middle of it and started again. Where the backlog is
long enough, it then works for as long without new tasks. At the end the engine takes outcomes in this process, to say
what 20 follow-ups cost of which 19 are known.

``--store``: SQLite in a temporary folder by default (``--folder`` says where), or
``postgresql+psycopg://user@host/database``, where each size gets a database of its own, which is dropped at the end;
``postgres`` starts a server for that, with its own settings, and ends it.
``--hold``: another session keeps a transaction open on PostgreSQL, from so many seconds before the work begins.
With ``--out`` the figures of several runs come together in a file, the newest of each size and store, from which
``--plot`` draws a picture and ``--doc`` writes the tables between two marks in a page; ``--show`` runs nothing before.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil

from benchmarks.frontier_known import known_cost
from benchmarks.frontier_load import PROJECT, bytes_on_disk, load
from benchmarks.frontier_ring import Ring, Scheduler, playing
from benchmarks.pairs import database_url
from benchmarks.plot import Chart, svg
from crawlkit.database.registry import connect_projectdb, connect_taskdb
from crawlkit.libs.rows import ProjectRow
from crawlkit.proving.processes import cpu, server_at

SIZES = "10000,100000,1000000,10000000"
WARM = 5.0  # seconds of work before the figures are taken
AGAIN = 5.0  # seconds of work after the kill
FINISHED = 200_000  # tasks in the table that says how large a finished one is
BEGIN, END = "<!-- figures of benchmarks.frontier -->", "<!-- end of figures -->"
FASTEST = 10_000  # tasks a second that nobody reaches: so many are needed to let the backlog shrink for a while
PATIENCE = 120.0  # seconds for the first task
LOOK = 0.5  # seconds between two looks at the memory

#: key -> (head of its column, format)
FIGURES = {
    "first_s": ("first task s", "{:.2f}"),
    "again_s": ("after SIGKILL s", "{:.2f}"),
    "selected": ("selected/s", "{:,.0f}"),
    "completed": ("completed/s", "{:,.0f}"),
    "drained": ("without new ones/s", "{:,.0f}"),
    "turn_p50_ms": ("turn p50 ms", "{:.1f}"),
    "turn_p99_ms": ("turn p99 ms", "{:.1f}"),
    "cpu_us": ("CPU us/task", "{:.0f}"),
    "server_us": ("server us/task", "{:.0f}"),
    "ring_us": ("ring us/task", "{:.0f}"),
    "memory_cpu_us": ("20 links us", "{:.0f}"),
    "store_cpu_us": ("... asked of the store us", "{:.0f}"),
    "rss_mb": ("RSS MB", "{:.0f}"),
    "peak_mb": ("peak MB", "{:.0f}"),
    "bytes": ("bytes/row", "{:.0f}"),
    "done_bytes": ("... finished", "{:.0f}"),
    "load_s": ("load s", "{:.0f}"),
}


@contextlib.contextmanager
def filled(store: str, folder: Path | None, tasks: int, keep: Path | None) -> Iterator[str]:
    """The URL of a taskdb with so many waiting tasks; it is gone at the end, unless ``keep`` says where it stays."""
    with contextlib.ExitStack() as stack:
        if keep is not None:
            url, there = kept_store(store, keep, tasks)
            if there:
                read_through(url)
                yield url
                return
        elif store == "sqlite":
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory(dir=folder))}/task.db"
        else:
            url = stack.enter_context(database_url("postgres", store))
        began = time.monotonic()
        load(url, tasks)
        note(f"{tasks:,} tasks loaded in {time.monotonic() - began:.0f} s")
        yield url


def read_through(url: str) -> None:
    """A store from before is as much in the system's memory as one that was loaded just now."""
    if url.startswith("sqlite"):
        with Path(url.partition("///")[2]).open("rb", buffering=0) as file:
            while file.read(2**20):
                pass
        return
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("SELECT sum(length(url)) FROM tasks")
        connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        connection.execute("SELECT count(*) FROM tasks WHERE taskid > ''")


def kept_store(store: str, keep: Path, tasks: int) -> tuple[str, bool]:
    """The URL of a store that stays, and whether it is there already: a file in ``keep``, or a database."""
    if store == "sqlite":
        file = keep.absolute() / f"frontier-{tasks}.db"
        return f"sqlite:///{file}", file.exists()
    import psycopg

    name = f"frontier_{tasks}"
    with psycopg.connect(store.replace("+psycopg", ""), autocommit=True) as connection:
        there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None
        if not there:
            connection.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")  # type: ignore[call-overload]
    return urlunsplit(urlsplit(store)._replace(path=f"/{name}")), there


@functools.cache
def finished_bytes(store: str, folder: Path | None) -> float:
    """Of the database, for a finished task: what is in the table of tasks and its indices."""
    with contextlib.ExitStack() as stack:
        if store == "sqlite":
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory(dir=folder))}/task.db"
        else:
            url = stack.enter_context(database_url("postgres", store))
        load(url, FINISHED, done=True)
        return bytes_on_disk(url) / FINISHED


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def held_open(url: str, seconds: float | None) -> Iterator[None]:
    """Another session with an open transaction that has a snapshot, on PostgreSQL."""
    if seconds is None:
        yield
        return
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM ledger")
        time.sleep(seconds)
        yield
        connection.rollback()


def turn_times(url: str) -> dict[str, float]:
    """What the scheduler says of its turns of the last minute or so, in milliseconds."""
    taskdb = connect_taskdb(url, read_only=True)
    try:
        newest = max((row for row in taskdb.nodes() if row.role == "scheduler"), key=lambda row: row.seen)
    finally:
        taskdb.close()
    stats = json.loads(newest.stats)
    return {f"turn_{name}_ms": stats[f"turn_{name}"] * 1e3 for name in ("p50", "p99", "max")}


async def work(url: str, folder: Path, tasks: int, seconds: float, queue_maxsize: int) -> dict[str, float]:
    """One size."""
    data = Path(tempfile.mkdtemp(dir=folder))
    projectdb = connect_projectdb(f"sqlite:///{data}/project.db")
    projectdb.put(ProjectRow(PROJECT, status="RUNNING", script="#", rate=None, rate_set=True))
    projectdb.close()
    taskdb = connect_taskdb(url, read_only=True)
    ring, scheduler = Ring(data, queue_maxsize, taskdb.max_seq()), Scheduler(data, url, queue_maxsize)
    taskdb.close()
    servers = [] if url.startswith("sqlite") else server_at(url)
    figures: dict[str, float] = {"tasks": tasks, "load": os.getloadavg()[0]}
    async with playing(ring, scheduler):
        ring.begin()
        scheduler.start()
        figures["first_s"] = await ring.first(PATIENCE)
        await asyncio.sleep(WARM)
        began, used, served = time.monotonic(), scheduler.cpu(), cpu(servers)
        played = time.process_time()
        selected, completed, sizes = ring.seen.selected, ring.completed(), []
        others = psutil.cpu_times()
        while (passed := time.monotonic() - began) < seconds:
            sizes.append(scheduler.rss())
            await asyncio.sleep(LOOK)
        selected, completed = ring.seen.selected - selected, ring.completed() - completed
        figures |= {
            "seconds": passed,
            "selected": selected / passed,
            "completed": completed / passed,
            "cpu_us": (scheduler.cpu() - used) / completed * 1e6,
            "ring_us": (time.process_time() - played) / completed * 1e6,
            "rss_mb": statistics.median(sizes) / 1e6,
            "idle": _idle(others, psutil.cpu_times()),
        }
        if servers:
            figures["server_us"] = (cpu(servers) - served) / completed * 1e6
        figures |= await asyncio.to_thread(turn_times, url)
        figures["peak_mb"] = _peak(scheduler.process.pid) / 1e6
        scheduler.kill()
        ring.begin()
        scheduler.start()
        figures["again_s"] = await ring.first(PATIENCE)
        await asyncio.sleep(AGAIN)
        if tasks >= FASTEST * seconds:
            ring.new, began, completed = None, time.monotonic(), ring.completed()
            await asyncio.sleep(seconds)
            figures["drained"] = (ring.completed() - completed) / (time.monotonic() - began)
            figures["drain_p99_ms"] = (await asyncio.to_thread(turn_times, url))["turn_p99_ms"]
        figures["peak_mb"] = max(figures["peak_mb"], _peak(scheduler.process.pid) / 1e6)
    return figures


def _peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc: this benchmark needs Linux")


def _idle(before: Any, after: Any) -> float:
    """Percent of all cores that nobody used."""
    spent = [b - a for a, b in zip(before, after, strict=True)]
    return 100 * (after.idle - before.idle) / sum(spent)


def measure(options: argparse.Namespace, tasks: int) -> dict[str, float]:
    """One size, from a taskdb that is not there yet to the figures."""
    began = time.monotonic()
    with filled(options.store, options.folder, tasks, options.keep) as url:
        loaded, size = time.monotonic() - began, bytes_on_disk(url) / tasks
        with held_open(url, options.hold):
            figures = asyncio.run(work(url, options.folder, tasks, options.seconds, options.queue_maxsize))
        figures |= known_cost(url, tasks)
    done = finished_bytes(options.store, options.folder)
    return figures | {"bytes": size, "done_bytes": done, "load_s": loaded, "hold": options.hold or 0.0}


def plot(found: dict[str, list[dict[str, float]]]) -> str:
    """The figures of some stores as a picture."""

    def lines(key: str) -> dict[str, list[tuple[float, float]]]:
        return {name: [(row["tasks"], row[key]) for row in rows] for name, rows in found.items()}

    return svg(
        [
            Chart("Tasks selected and completed a second", lines("completed"), (5_000, "at least 5,000")),
            Chart("99 of 100 turns of the scheduler take at most, ms", lines("turn_p99_ms"), (50, "at most 50")),
            Chart("CPU of the scheduler for a task, us", lines("cpu_us")),
            Chart(
                "What 20 follow-ups cost of which only the store knows 19, us",
                lines("store_cpu_us"),
                (100, "at most 100"),
            ),
            Chart("Memory of the scheduler, MB", lines("peak_mb"), (300, "at most 300")),
            Chart("From SIGKILL and a new start to the first task, s", lines("again_s"), (3, "at most 3")),
            Chart("Bytes of the database for a waiting task", lines("bytes")),
            Chart("... for a finished one", lines("done_bytes"), (400, "at most 400")),
        ],
        2,
        "waiting tasks",
    )


def kept(file: Path | None) -> dict[str, list[dict[str, float]]]:
    """What earlier runs wrote: store -> its rows by their size."""
    return json.loads(file.read_text()) if file is not None and file.exists() else {}


def keep(file: Path, store: str, row: dict[str, float]) -> None:
    """The newest figures of a size take the place of older ones."""
    found = kept(file)
    rows = [one for one in found.get(store, []) if one["tasks"] != row["tasks"]]
    found[store] = sorted([*rows, row], key=lambda one: one["tasks"])
    file.write_text(json.dumps(found, indent=1) + "\n")


def table(rows: list[dict[str, float]]) -> str:
    """Markdown."""
    keys = [key for key in FIGURES if any(key in row for row in rows)]
    lines = ["| tasks | " + " | ".join(FIGURES[key][0] for key in keys) + " |", "|---:" * (len(keys) + 1) + "|"]
    for row in rows:
        cells = [FIGURES[key][1].format(row[key]) if key in row else "" for key in keys]
        lines.append(f"| {row['tasks']:,.0f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def growth(rows: list[dict[str, float]]) -> str:
    """How the cost of a task grows from the smallest backlog to the largest."""
    if len(rows) < 2:
        return ""
    first, last = rows[0], rows[-1]
    return (
        f"From {first['tasks']:,.0f} to {last['tasks']:,.0f} waiting tasks the CPU for a task grows"
        f" {last['cpu_us'] / first['cpu_us']:.2f} times, the time for one {first['completed'] / last['completed']:.2f}"
        " times."
    )


def tables(found: dict[str, list[dict[str, float]]]) -> str:
    """All that was measured, in Markdown."""
    return "\n".join(f"**{name}**\n\n{table(rows)}\n\n{growth(rows)}\n" for name, rows in found.items())


def written(page: str, found: dict[str, list[dict[str, float]]]) -> str:
    """The page with these figures between its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, behind = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"the page has no lines {BEGIN} and {END}")
    return f"{before}{begin}\n\n{tables(found)}\n{end}{behind}"


def tell(options: argparse.Namespace) -> None:
    """Draws and writes what is in ``--out``."""
    if options.plot:
        options.plot.write_text(plot(kept(options.out)))
    if options.doc:
        options.doc.write_text(written(options.doc.read_text(), kept(options.out)))


@contextlib.contextmanager
def server(store: str) -> Iterator[str]:
    """The store, or the URL of a server that was started for it."""
    if store != "postgres":
        yield store
        return
    from tests.own_databases import own_postgres

    with own_postgres() as own:
        yield urlunsplit(urlsplit(own.url)._replace(path="/postgres"))  # a database that is there


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default=SIZES, help=f"sizes with commas between them [{SIZES}]")
    parser.add_argument("--store", default="sqlite", help="sqlite, postgres (starts one), or the URL of one")
    parser.add_argument("--seconds", type=float, default=30.0, help="of work that is measured")
    parser.add_argument("--queue-maxsize", type=int, default=300)
    parser.add_argument("--folder", type=Path, help="where the temporary folders are made")
    parser.add_argument(
        "--keep", type=Path, help="a folder whose stores stay and are used again (of PostgreSQL: databases)"
    )
    parser.add_argument("--hold", type=float, help="an open transaction of another session, so many seconds before")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, help="a JSON file in which figures come together")
    parser.add_argument("--show", action="store_true", help="run nothing: print what is in --out")
    parser.add_argument("--plot", type=Path, help="an SVG file to draw what is in --out")
    parser.add_argument("--doc", type=Path, help="a Markdown page that gets what is in --out between its marks")
    options = parser.parse_args()
    if (options.plot or options.doc) and not options.out:
        parser.error("--plot and --doc take their figures from --out")
    if options.show:
        print(tables(kept(options.out)))
    else:
        with server(options.store) as options.store:
            measure_all(options)
    tell(options)


def measure_all(options: argparse.Namespace) -> None:
    """Each size, one after the other."""
    rows = []
    for tasks in [int(one) for one in options.tasks.replace("_", "").split(",")]:
        rows.append(measure(options, tasks))
        note(table(rows[-1:]))
        if options.out:
            name = "SQLite" if options.store == "sqlite" else "PostgreSQL"
            keep(options.out, name + (" with an open transaction" if options.hold else ""), rows[-1])
    print(json.dumps(rows, indent=1) if options.json else f"{table(rows)}\n\n{growth(rows)}")


if __name__ == "__main__":
    main()
