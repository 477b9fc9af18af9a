"""How long it takes to store, find and remove log lines: a million lines of 20 projects.

    python -m benchmarks.logs [--lines 1000000] [--folder DIR]

A line in fifty is the scheduler's, a line in a thousand an error, one text stands in a single line. A page holds 100
lines; a search is timed from an open store, five times, and the worst is shown too. ``looked`` says that a search gave
up in time and how much of the store it had seen.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from crawlkit.database.base import LogFilter, LogLine, LogStore
from crawlkit.database.registry import connect_logdb

NOW = 1_700_000_000.0
BATCH = 500
WORDS = ("price", "parsed", "item", "found", "next", "page", "missing", "selector", "timeout", "title", "of", "EUR")
SEARCHES = {
    "newest": LogFilter(),
    "of a project": LogFilter(project="p3"),
    "project + text in many": LogFilter(project="p3", text="price"),
    "project + text in one": LogFilter(project="p3", text="needle in it"),
    "project + text in none": LogFilter(project="p3", text="qqqqqq"),
    "project + 2 characters": LogFilter(project="p3", text="zz"),
    "project + common parts, rare whole": LogFilter(project="p3", text="EUR EUR EUR EUR EUR"),
    "text in many": LogFilter(text="price"),
    "text in one": LogFilter(text="needle in it"),
    "2 characters, in none": LogFilter(text="zz"),
    "errors": LogFilter(level=40),
    "errors + text in none": LogFilter(level=40, text="qqqqqq"),
    "of the scheduler + text": LogFilter(role="scheduler", text="title"),
    "of a task": LogFilter(taskid=f"{12345 * 7919:032x}"),
    "an hour, some days ago": LogFilter(since=NOW + 40_000, until=NOW + 43_600, text="price"),
}


def lines(count: int) -> Iterator[list[LogLine]]:
    chance = random.Random(1)
    for start in range(0, count, BATCH):
        batch = []
        for n in range(start, min(start + BATCH, count)):
            project, scheduler = f"p{n % 20}", n % 50 == 0
            text = f"{' '.join(chance.choice(WORDS) for _ in range(8))} https://shop.example/item/{n}"
            if n == count // 3 // 20 * 20 + 3:
                text += " needle in it"
            batch.append(
                LogLine(
                    NOW + n / 10, 20 if n % 1000 else 40, text, "host-s-1" if scheduler else "host-p-1",
                    "scheduler" if scheduler else "processor", project, f"{n * 7919:032x}", "detail_page",
                    f"https://shop.example/item/{n}", f"{project}:12",
                )
            )  # fmt: skip
        yield batch


def fill(store: LogStore, count: int) -> float:
    """Microseconds a line, without making it."""
    spent = 0.0
    for batch in lines(count):
        began = time.perf_counter()
        store.append_many(batch)
        spent += time.perf_counter() - began
    return spent / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    said = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=said.folder) as folder:
        store = connect_logdb(f"sqlite:///{folder}/log.db")
        each = fill(store, said.lines)
        count, size = store.size()
        print(f"{count:,} lines stored, {each:.0f} us and {size / count:.0f} bytes each, {size / 2**20:.0f} MiB")
        for name, wanted in SEARCHES.items():
            times = []
            for _ in range(5):
                began = time.perf_counter()
                page = store.search(wanted)
                times.append(time.perf_counter() - began)
            looked = "" if page.looked is None else f"  looked at {(store.last() - (page.next or 0)) / count:.0%}"
            times.sort()
            print(f"{name:36} {times[2] * 1000:7.1f} ms  worst {times[-1] * 1000:7.1f} ms  {len(page.lines):4}{looked}")
        began = time.perf_counter()
        gone = store.prune(0, size * 9 // 10)
        spent = time.perf_counter() - began
        print(f"{gone:,} lines removed, {spent / gone * 1e6:.0f} us each; {store.size()[1] / 2**20:.0f} MiB are left")
        store.close()


if __name__ == "__main__":
    main()
