"""CPU of the scheduler alone: lease, dispatch, hear of the fetch, commit an outcome, admit 20 follow-ups of which 19
are known. No queues, no thread, no pauses.

python -m benchmarks.scheduler [--pages 20000] [--batch 40] [--store sqlite|memory]
"""

from __future__ import annotations

import gc
import random
import statistics
import tempfile
import time
from pathlib import Path

import click

from crawlkit.cli.alone import COLLECT
from crawlkit.libs.messages import (
    INFO,
    FetchEnded,
    Follow,
    Outcome,
    ProjectInfo,
    TrackFetch,
    TrackProcess,
    decode_status,
    encode,
    pack,
)
from crawlkit.libs.rows import ProjectRow
from crawlkit.libs.task import Process, Task, taskid_of
from crawlkit.scheduler.engine import Engine
from crawlkit.scheduler.kinds import command
from crawlkit.scheduler.turn import Inbox, Submission

AHEAD = 500  # pages that wait
FEW = 400  # pages to which all link


@click.command()
@click.option("--pages", default=20_000)
@click.option("--batch", default=40, help="outcomes per turn")
@click.option("--store", default="sqlite", type=click.Choice(["sqlite", "memory"]))
@click.option("--profile", is_flag=True)
def main(pages: int, batch: int, store: str, profile: bool) -> None:
    """Plays a crawl of a made-up site against the engine."""
    from crawlkit.database.registry import connect_projectdb, connect_taskdb

    with tempfile.TemporaryDirectory() as folder:
        taskdb = connect_taskdb(f"sqlite:///{Path(folder) / 'task.db'}" if store == "sqlite" else "memory://")
        projectdb = connect_projectdb("memory://")
        projectdb.put(ProjectRow("shop", status="RUNNING", script="#", rate=None, rate_set=True))
        engine = Engine(taskdb, projectdb)
        choice = random.Random(7)
        urls = [f"http://127.0.0.1:8081/p/{n}.html" for n in range(pages)]
        ids = {url: taskid_of(url) for url in urls}
        numbers = {url: n for n, url in enumerate(urls)}
        bodies = {url: pack(Task("shop", ids[url], url, process=Process(callback="index_page"))) for url in urls}

        def ended(dispatch) -> bytes:  # type: ignore[no-untyped-def]
            return encode(
                FetchEnded(
                    dispatch.project, dispatch.taskid, dispatch.run, dispatch.attempt, "127.0.0.1:8081", 200, None,
                    0.01, None,
                )
            )  # fmt: skip

        def answer(dispatch) -> bytes:  # type: ignore[no-untyped-def]
            follows: list[Follow] = []
            if dispatch.kind != INFO and dispatch.url in numbers:
                new = numbers[dispatch.url] + AHEAD
                links = [choice.randrange(min(new, FEW)) for _ in range(19)]
                links += [new] if new < pages else links[:1]
                follows = [Follow(ids[urls[c]], True, bodies[urls[c]]) for c in links]
            elif dispatch.url == "data:,on_start":
                follows = [Follow(ids[url], True, bodies[url]) for url in urls[:AHEAD]]
            return encode(
                Outcome(
                    dispatch.project, dispatch.taskid, dispatch.run, dispatch.attempt, dispatch.kind, 0, True, [], 0,
                    dispatch.url, "n", True, follows, [], fetch=TrackFetch(True, 0.01, 200),
                    process=TrackProcess(True, 0.001, 20), result_count=1,
                    info=pack(ProjectInfo()),
                )
            )  # fmt: skip

        gc.freeze()
        gc.set_threshold(*COLLECT)  # as in its process
        prof = None
        if profile:
            import cProfile

            prof = cProfile.Profile()
        pending: list[bytes] = []
        heard: list[bytes] = []
        spent = turns = 0
        each: list[float] = []  # seconds a task, of turns that took a batch and sent one
        first = [Submission(command("shop", "on_start"), "on_start")]
        while True:
            taken, pending = pending[:batch], pending[batch:]
            taken += heard
            start = time.process_time()
            if prof:
                prof.enable()
            outbox = engine.turn(
                time.time(), Inbox([decode_status(body) for body in taken], first, room=200), time.monotonic()
            )
            for dispatch in outbox.dispatches:
                encode(dispatch)
            if prof:
                prof.disable()
            took = time.process_time() - start
            spent += took
            if len(outbox.dispatches) == batch:
                each.append(took / batch)
            first = []
            turns += 1
            heard = [ended(dispatch) for dispatch in outbox.dispatches if dispatch.url in numbers]
            pending += [answer(dispatch) for dispatch in outbox.dispatches]
            if not pending and not outbox.dispatches:
                break
        done = sum(n for (_, event, _), n in taskdb.ledger("shop").items() if event == "done")
        tenth, *_ = statistics.quantiles(each, n=10)
        print(
            f"{store}: {done} tasks done in {turns} turns, {spent / done * 1e6:.0f} us CPU a task; the fastest tenth of"
            f" the turns took {tenth * 1e6:.1f} us at most"
        )
        if prof:
            import pstats

            pstats.Stats(prof).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    main()
