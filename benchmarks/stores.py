"""What a row costs in the stores: microseconds per page's row operations, and bytes per row on disk.

    python -m benchmarks.stores [--tasks 100000] [--batch 100] [--url sqlite:////tmp/x/{type}.db]

Prints figures, judges nothing. One page is: its task inserted, leased, unleased, its progress and attempt written,
counters raised, its result stored.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from crawlkit.database.base import AttemptRow, Lease, Progress, Queue, ResultSet, TaskRow, TaskStore, Writes
from crawlkit.database.registry import connect_resultdb, connect_taskdb
from crawlkit.libs.task import Process, Status

PROJECT = "bench"
NOW = 1_700_000_000.0
FETCH = '{"ok":true,"time":0.0213,"status_code":200,"encoding":"utf-8","size":10240}'
PROCESS = '{"ok":true,"time":0.0021,"follows":20,"results":1,"result":"{\\"url\\": \\"http://127.0.0.1:8000/\\"}"}'


def taskid(number: int) -> str:
    return hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()


def add(writes: Writes, number: int) -> None:
    url = f"http://127.0.0.1:8000/section/{number % 97}/page-{number}.html"
    writes.insert.append(
        TaskRow(
            project=PROJECT,
            taskid=taskid(number),
            url=url,
            host="127.0.0.1:8000",
            queue=Queue.READY,
            seq=number + 1,
            process=Process(callback="detail_page"),
            updatetime=NOW + number,
        )
    )
    writes.count(PROJECT, "accepted")


def lease(writes: Writes, number: int) -> None:
    writes.lease.append(Lease(PROJECT, taskid(number), 1, 1, "", NOW + 60, NOW + number / 1000))


def finish(writes: Writes, number: int) -> None:
    now = NOW + number / 1000
    key = (PROJECT, taskid(number))
    writes.unlease.append(key)
    writes.progress.append(
        Progress(*key, Status.SUCCESS, None, 0, number + 1, 1, 1, 0, 0, None, '"5f3c-1a2b"', None, 1, now, now)
    )
    writes.attempts.append(
        AttemptRow(*key, 1, 1, now, now + 0.02, True, "fetcher-1", "0" * 32, "", FETCH, PROCESS)
    )  # fmt: skip
    writes.count(PROJECT, "done")


def turns(tasks: int, batch: int) -> Iterator[Writes]:
    """A crawl in the steady state: each turn takes in a batch, leases the one before, ends the one before that."""
    for start in range(0, tasks + 2 * batch, batch):
        writes = Writes()
        for number in range(start, min(start + batch, tasks)):
            add(writes, number)
        for number in range(max(0, start - batch), min(start, tasks)):
            lease(writes, number)
        for number in range(max(0, start - 2 * batch), min(start - batch, tasks)):
            finish(writes, number)
        yield writes


def fill(store: TaskStore, tasks: int) -> float:
    began = time.perf_counter()
    for start in range(0, tasks, 1000):
        writes = Writes()
        for number in range(start, min(start + 1000, tasks)):
            add(writes, number)
        store.commit(writes)
    return time.perf_counter() - began


def size(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).iterdir())


def measure(url: str, folder: str, tasks: int, batch: int) -> dict[str, float]:
    figures: dict[str, float] = {}

    store = connect_taskdb(url.format(type="plain"))
    figures["fill: us per task, by 1,000"] = fill(store, tasks) / tasks * 1e6
    began = time.perf_counter()
    window = store.window(PROJECT, Queue.READY, (0, tasks // 2), 1000)
    figures["window of 1,000 from the middle: ms"] = (time.perf_counter() - began) * 1e3
    began = time.perf_counter()
    found = store.get_many([(PROJECT, taskid(number * 7 % tasks)) for number in range(1000)])
    figures["get_many of 1,000: us per key"] = (time.perf_counter() - began) / 1000 * 1e6
    began = time.perf_counter()
    store.get_many([(PROJECT, taskid(tasks + number)) for number in range(1000)])
    figures["get_many of 1,000 unknown: us per key"] = (time.perf_counter() - began) / 1000 * 1e6
    assert len(window) == len(found) == 1000
    store.close()
    figures["bytes on disk per waiting plain GET"] = size(folder) / tasks
    if not url.startswith("memory"):
        began = time.perf_counter()
        store = connect_taskdb(url.format(type="plain"))
        figures["opening it: ms"] = (time.perf_counter() - began) * 1e3
        began = time.perf_counter()
        store.window(PROJECT, Queue.READY, None, 1000)
        figures["its first window of 1,000: ms"] = (time.perf_counter() - began) * 1e3
        store.close()

    before = size(folder)
    store = connect_taskdb(url.format(type="crawl"))
    all_turns = list(turns(tasks, batch))
    began, cpu = time.perf_counter(), time.process_time()
    for writes in all_turns:
        store.commit(writes)
    figures[f"taskdb: us per page, by {batch}"] = (time.perf_counter() - began) / tasks * 1e6
    figures[f"taskdb: CPU us per page, by {batch}"] = (time.process_time() - cpu) / tasks * 1e6
    store.close()
    figures["taskdb bytes per crawled page, its attempt included"] = (size(folder) - before) / tasks

    before = size(folder)
    results = connect_resultdb(url.format(type="result"))
    text = json.dumps({"url": "http://127.0.0.1:8000/", "title": "A page", "price": "12.34", "name": "x" * 40})
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, tasks, batch):
        numbers = range(start, min(start + batch, tasks))
        results.save(
            [ResultSet(PROJECT, taskid(n), 1, 1, f"http://127.0.0.1:8000/{n}", 0, [text], True, NOW) for n in numbers]
        )
    figures[f"resultdb: us per result, by {batch}"] = (time.perf_counter() - began) / tasks * 1e6
    figures[f"resultdb: CPU us per result, by {batch}"] = (time.process_time() - cpu) / tasks * 1e6
    results.close()
    figures["resultdb bytes per result of 120 bytes"] = (size(folder) - before) / tasks
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--url", help="with {type} in it; default: SQLite in a temporary folder")
    parser.add_argument("--folder", help="where the temporary folder is made")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        url = options.url or f"sqlite:///{folder}/{{type}}.db"
        figures = measure(url, folder, options.tasks, options.batch)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for what, figure in figures.items():
        print(f"{what:55s} {figure:10.1f}")


if __name__ == "__main__":
    main()
