"""How long a look at the taskdb takes for people: 1,000 projects, a million tasks.

    python -m benchmarks.task_search [--tasks 1000000] [--projects 1000] [--folder DIR]

One project has a third of all tasks, ten have a third together, the others share the rest. One task in fifty failed.
Every page holds 50 tasks; a search is timed from an open store, five times, and the worst is shown too.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from crawlkit.database.base import AttemptRow, TaskRow, TaskStore, Writes
from crawlkit.database.registry import connect_taskdb
from crawlkit.libs.searches import TaskSearch
from crawlkit.libs.task import Process, Status

NOW = 1_700_000_000.0
REASONS = ("http", "timeout", "dns", "exception", "time_limit", "robots")
FETCH = '{"ok":true,"time":0.0213,"status_code":200,"encoding":"utf-8","size":10240}'
PROCESS = '{"ok":true,"time":0.0021,"follows":20,"results":1,"result":"{\\"url\\": \\"http://127.0.0.1:8000/\\"}"}'
CALLBACKS = ("index_page", "list_page", "detail_page")


def project_of(number: int, projects: int) -> str:
    share = number % 3
    if share == 0:
        return "big"
    if share == 1:
        return f"middle{number // 3 % 10}"
    return f"small{number // 3 % (projects - 11):03}"


def rows(tasks: int, projects: int) -> Iterator[Writes]:
    chance = random.Random(1)
    for start in range(0, tasks, 1_000):
        writes = Writes()
        for number in range(start, min(start + 1_000, tasks)):
            taskid = hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()
            project = project_of(number, projects)
            failed = chance.random() < 0.02
            status = Status.FAILED if failed else Status.SUCCESS if chance.random() < 0.7 else Status.ACTIVE
            url = f"http://host{number % 500}.example/section/{number % 97}/page-{number}.html"
            process = Process(callback=CALLBACKS[number // 7 % 3])
            updated = NOW + number / 100
            writes.insert.append(
                TaskRow(project, taskid, url, status=status, process=process, seq=number + 1, updatetime=updated)
            )
            if failed or number % 10 == 0:
                reason = chance.choice(REASONS) if failed else ""
                node = ("fetcher-1", "0" * 32, reason, FETCH, PROCESS)
                writes.attempts.append(
                    AttemptRow(project, taskid, 1, 1, updated - 1, updated, not failed, *node)
                )  # fmt: skip
        yield writes


def searches(tasks: int) -> dict[str, TaskSearch]:
    back = NOW + tasks / 200
    return {
        "all": TaskSearch(),
        "all, failed": TaskSearch(status=Status.FAILED),
        "all, failed for dns": TaskSearch(status=Status.FAILED, reason="dns"),
        "all, active": TaskSearch(status=Status.ACTIVE),
        "all, callback": TaskSearch(callback="detail_page"),
        "all, part of a URL": TaskSearch(url="section/42/"),
        "all, a URL that is nowhere": TaskSearch(url="nowhere.example"),
        "all, one URL, old": TaskSearch(url="/page-77.html"),
        "all, half of the time ago": TaskSearch(before=back),
        "all, by URL": TaskSearch(by_url=True),
        "all, part of a URL, by URL": TaskSearch(url="section/42/", by_url=True),
        "big": TaskSearch("big"),
        "big, active": TaskSearch("big", Status.ACTIVE),
        "big, failed for http": TaskSearch("big", Status.FAILED, reason="http"),
        "big, a URL that is nowhere": TaskSearch("big", url="nowhere.example"),
        "big, by URL": TaskSearch("big", by_url=True),
        "middle": TaskSearch("middle3"),
        "middle, callback": TaskSearch("middle3", callback="detail_page"),
        "middle, a URL that is nowhere": TaskSearch("middle3", url="nowhere.example"),
        "middle, by URL": TaskSearch("middle3", by_url=True),
        "small": TaskSearch("small042"),
        "small, part of a URL": TaskSearch("small042", url="section/42/"),
        "small, by URL": TaskSearch("small042", by_url=True),
    }


def timed(work: Callable[[], object]) -> tuple[float, float, object]:
    """Milliseconds, the median and the longest of five; and what the last one gave."""
    took = []
    for _ in range(5):
        began = time.perf_counter()
        answer = work()
        took.append((time.perf_counter() - began) * 1e3)
    return sorted(took)[2], max(took), answer


def show(store: TaskStore, tasks: int) -> float:
    slowest = 0.0
    print(f"{'':32} {'median ms':>10} {'worst ms':>10} {'found':>6}  looked")
    for name, search in searches(tasks).items():
        median, worst, page = timed(lambda search=search: store.search(search, None, 50))  # type: ignore[misc]
        far = "at all" if page.looked_back_to is None else f"back to {page.looked_back_to - NOW:,.0f} s"  # type: ignore[attr-defined]
        print(f"{name:32} {median:10.1f} {worst:10.1f} {len(page.rows):6}  {far}")  # type: ignore[attr-defined]
        slowest = max(slowest, worst)
    for name, project in (("failures of all", None), ("failures of big", "big"), ("failures of small", "small042")):
        median, worst, groups = timed(lambda project=project: store.failure_groups(project))  # type: ignore[misc]
        print(f"{name:32} {median:10.1f} {worst:10.1f} {groups.counted:6,}")  # type: ignore[attr-defined]
    return slowest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--projects", type=int, default=1_000)
    parser.add_argument("--folder", type=Path, help="where the temporary store is made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        began = time.perf_counter()
        store = connect_taskdb(f"sqlite:///{folder}/task.db")
        for writes in rows(options.tasks, options.projects):
            store.commit(writes)
        print(f"{options.tasks:,} tasks written in {time.perf_counter() - began:.0f} s")
        slowest = show(store, options.tasks)
        store.close()
    print(f"the slowest search took {slowest:.0f} ms")


if __name__ == "__main__":
    main()
