"""500 projects, 400 of them with a cron each minute, all at the same second: how late ticks are, and what idling costs.

    python -m benchmarks.projects [--projects 500] [--crons 400] [--minutes 2] [--json]

A real scheduler works in a process of its own, and this process plays the ring: see benchmarks/frontier_ring.py. How
late a tick is: from its instant until its task came out of the queue to the fetchers. Half of the crons are lines, half
are intervals. CPU is that of the scheduler's process, over whole minutes with their ticks, and while none was due.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from benchmarks.frontier_ring import Ring, Scheduler, playing
from crawlkit.database.registry import connect_projectdb
from crawlkit.libs.messages import CronSpec, Dispatch, DispatchHead, ProjectInfo, decode
from crawlkit.libs.rows import ProjectRow
from crawlkit.scheduler.kinds import TICK_URL

MINUTE = 60.0
CALM = (20.0, 55.0)  # seconds of a minute while nothing is due
SETTLE = 10.0


def info_of(project: str, crons: int) -> ProjectInfo:
    """What the handler of a project says of itself."""
    number = int(project.rpartition("_")[2])
    if number >= crons:
        return ProjectInfo()
    spec = CronSpec("tick", cron="* * * * *") if number % 2 else CronSpec("tick", seconds=60.0)
    return ProjectInfo(crons=[spec])


async def work(folder: Path, projects: int, crons: int, minutes: int) -> dict[str, float]:
    projectdb = connect_projectdb(f"sqlite:///{folder}/project.db")
    for number in range(projects):
        projectdb.put(ProjectRow(f"project_{number:03}", status="RUNNING", script="#", rate=1.0, rate_set=True))
    projectdb.close()
    late: dict[tuple[str, float], float] = {}

    def note(head: DispatchHead, body: bytes) -> None:
        if head.url == TICK_URL:
            instant = (decode(body, Dispatch).fetch.save or {})["tick"]
            late.setdefault((head.project, instant), time.time() - instant)

    ring = Ring(folder, 100, None, lambda project: info_of(project, crons))
    ring.on_task = note
    scheduler = Scheduler(folder, f"sqlite:///{folder}/task.db", 100)
    async with playing(ring, scheduler):
        began = time.monotonic()
        scheduler.start()
        await asyncio.sleep(SETTLE)
        begin = (time.time() // MINUTE + 1) * MINUTE
        await asyncio.sleep(begin - 2.0 - time.time())
        whole, since = scheduler.cpu(), time.monotonic()
        calm = calm_seconds = 0.0
        for minute in range(minutes):
            await asyncio.sleep(begin + minute * MINUTE + CALM[0] - time.time())
            used, at = scheduler.cpu(), time.monotonic()
            await asyncio.sleep(begin + minute * MINUTE + CALM[1] - time.time())
            calm, calm_seconds = calm + scheduler.cpu() - used, calm_seconds + time.monotonic() - at
        await asyncio.sleep(begin + minutes * MINUTE - 2.0 - time.time())
        whole, seconds = scheduler.cpu() - whole, time.monotonic() - since
        rss = scheduler.rss()
    mine = sorted(seen for (_, instant), seen in late.items() if begin <= instant < begin + minutes * MINUTE)
    return {
        "projects": projects,
        "crons": crons,
        "minutes": minutes,
        "ticks": len(mine),
        "missed": crons * minutes - len(mine),
        "late_p50_s": mine[len(mine) // 2] if mine else 0.0,
        "late_p99_s": mine[int(len(mine) * 0.99)] if mine else 0.0,
        "late_max_s": mine[-1] if mine else 0.0,
        "cpu_percent": 100 * whole / seconds,
        "idle_cpu_percent": 100 * calm / calm_seconds,
        "rss_mb": rss / 1e6,
        "wall_s": time.monotonic() - began,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--projects", type=int, default=500)
    parser.add_argument("--crons", type=int, default=400, help="projects with a cron each minute")
    parser.add_argument("--minutes", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures = asyncio.run(work(Path(folder), options.projects, options.crons, options.minutes))
    if options.json:
        print(json.dumps(figures, indent=1))
        return
    for name, figure in figures.items():
        print(f"{name:20} {figure:10,.3f}")


if __name__ == "__main__":
    main()
