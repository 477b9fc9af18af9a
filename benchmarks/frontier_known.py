"""What 20 follow-ups cost of which 19 are known: by the scheduler's memory, and by the store alone.

The engine works in this process, on a store that is there; an outcome without follow-ups is taken off. Microseconds.
"""

from __future__ import annotations

import random
import statistics
import time

from benchmarks.frontier_load import PROJECT
from benchmarks.frontier_ring import FETCH, PROCESS, follow
from crawlkit.database.registry import connect_projectdb, connect_taskdb
from crawlkit.libs.messages import INFO, Dispatch, Follow, Outcome, ProjectInfo, decode_status, encode, pack
from crawlkit.libs.rows import ProjectRow
from crawlkit.scheduler.engine import Engine
from crawlkit.scheduler.turn import Inbox

LINKS, BATCH, TURNS = 20, 40, 60
FEW = 1_000  # tasks that everybody links to


def known_cost(url: str, tasks: int) -> dict[str, float]:
    """For a store with tasks of the numbers from 0 to before ``tasks``."""
    taskdb, projectdb = connect_taskdb(url), connect_projectdb("memory://")
    try:
        projectdb.put(ProjectRow(PROJECT, status="RUNNING", script="#", rate=None, rate_set=True))
        return _measure(Engine(taskdb, projectdb), taskdb.max_seq(), tasks)
    finally:
        taskdb.close()


def _measure(engine: Engine, new: int, tasks: int) -> dict[str, float]:
    chance = random.Random(7)
    few = [chance.randrange(tasks) for _ in range(FEW)]
    spent: dict[str, list[tuple[float, float]]] = {"none": [], "memory": [], "store": []}
    kinds = ["warm", *list(spent) * TURNS]
    pending = _turn(engine, []).copy()
    pending = _turn(engine, [_answer(one, []) for one in pending])
    for kind in kinds:
        answers = []
        for dispatch in pending:
            links: list[Follow] = []
            if kind == "warm":
                links = [follow(number) for number in few]  # from here on the memory holds them
            elif kind != "none":
                numbers = few if kind == "memory" else range(tasks)
                links = [follow(number) for number in (*chance.choices(numbers, k=LINKS - 1), new)]
                new += 1
            answers.append(_answer(dispatch, links))
        wall, cpu = time.perf_counter(), time.process_time()
        dispatches = _turn(engine, answers)
        if kind in spent and pending:
            took = (time.perf_counter() - wall, time.process_time() - cpu)
            spent[kind].append((took[0] / len(pending) * 1e6, took[1] / len(pending) * 1e6))
        pending = dispatches
    figures = {}
    for n, what in enumerate(("wall", "cpu")):
        median = {kind: statistics.median(one[n] for one in turns) for kind, turns in spent.items()}
        for kind in ("memory", "store"):
            figures[f"{kind}_{what}_us"] = median[kind] - median["none"]
    return figures


def _turn(engine: Engine, answers: list[bytes]) -> list[Dispatch]:
    messages = [decode_status(body) for body in answers]
    return engine.turn(time.time(), Inbox(messages, room=BATCH), time.monotonic()).dispatches


def _answer(dispatch: Dispatch, follows: list[Follow]) -> bytes:
    info = pack(ProjectInfo()) if dispatch.kind == INFO else pack(None)
    return encode(
        Outcome(
            dispatch.project, dispatch.taskid, dispatch.run, dispatch.attempt, dispatch.kind, 0, True, [], 0,
            dispatch.url, "ring", True, follows, [], fetch=FETCH, process=PROCESS, result_count=1, info=info,
        )
    )  # fmt: skip
