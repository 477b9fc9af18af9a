"""What people ask of a running scheduler beside its turns: a cached overview, and counts before an order is given."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import msgspec

from crawlkit.database.base import ProjectStore, TaskStore
from crawlkit.libs.clock import Clock
from crawlkit.libs.protocol import PARTITIONS, partitions_in
from crawlkit.libs.searches import TaskSearch
from crawlkit.libs.task import MAX_TASKID, JSONDict, Status, taskid_of
from crawlkit.libs.url import task_url
from crawlkit.scheduler.actions import AT_ONCE, BULK, DROP
from crawlkit.scheduler.engine import Engine
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.why import MAX_ANSWERS, Answer, Moment, Question

FRESH = 1.0  # seconds that an overview is good for
MAX_REASONS = 100_000
LOOK = 1_000  # tasks of all queues that are read where no scheduler runs


class OverviewCache:
    """The newest overview as JSON, made once a second however many ask. ``thread``: where the engine may be read."""

    def __init__(self, engine: Engine, clock: Clock, thread: Executor) -> None:
        self._engine, self._clock, self._thread = engine, clock, thread
        self._lock = asyncio.Lock()
        self._made: msgspec.Raw | None = None
        self._at = float("-inf")

    async def get(self) -> msgspec.Raw:
        """See :meth:`Engine.overview`. While the store is away, what was seen last."""
        async with self._lock:
            if self._made is None or self._clock.monotonic() - self._at >= FRESH:
                loop = asyncio.get_running_loop()
                found = await loop.run_in_executor(self._thread, self._engine.overview, self._clock.time())
                text = msgspec.Raw(msgspec.json.encode(found))
                if not found["loaded"]:
                    return self._made or text
                self._made, self._at = text, self._clock.monotonic()
            return self._made

    def forget(self) -> None:
        """Something was ordered: whoever looks now wants to see it."""
        self._at = float("-inf")


async def count_order(
    taskdb: TaskStore, seen: Mapping[str, Any], project: str, kind: str, reason: str | None = None
) -> JSONDict:
    """How many tasks an order would touch, ``{"tasks": n, "leased": n}``; leased ones are let come to their end.

    ``seen``: the project in the engine's snapshot. Asks the store beside the thread of the turns: it may take a while.
    """
    if kind == "retry_failed" and reason is not None:
        groups = await asyncio.to_thread(taskdb.failures, project, MAX_REASONS)
        tasks = sum(n for why, n, _ in groups if why == reason)
        late = await asyncio.to_thread(taskdb.failure_groups, project, 0, retrying=True)
        tasks += sum(group.tasks for group in late.groups if group.reason == reason)
    elif kind == "retry_failed":
        tasks = await asyncio.to_thread(taskdb.count, project, Status.FAILED)
        tasks += (await asyncio.to_thread(taskdb.failure_groups, project, 0, retrying=True)).counted
    elif kind in ("restart", DROP):
        tasks = await asyncio.to_thread(taskdb.count, project)
    elif kind in ("clear", "pause", "resume"):
        tasks = max(0, seen.get("waiting", 0))
    else:
        raise ValueError(f"action {kind!r}: use one of {', '.join((*BULK, *AT_ONCE, DROP))}")
    return {"tasks": tasks, "leased": seen.get("leased", 0)}


def questions(taskdb: TaskStore, projects: Sequence[str], which: str) -> list[Question]:
    """What is to be asked of these projects about ``which``, a URL or a taskid: rows and last attempts looked up.

    Tasks with a taskid of their own (a POST, ``get_taskid``) are looked for by their URL, for a fifth of a second.
    """
    taskids = list(dict.fromkeys([which[:MAX_TASKID], taskid_of(which), taskid_of(task_url(which))]))
    found = taskdb.get_many([(project, taskid) for project in projects for taskid in taskids])
    rows = {project: row for (project, _), row in found.items()}
    if not rows and "://" in which:
        search = TaskSearch(projects[0] if len(projects) == 1 else None, url=which)
        rows = {row.project: row for row in taskdb.search(search, limit=MAX_ANSWERS).rows if row.url == which}
    known = [project for project in projects if project in rows][:MAX_ANSWERS]
    asked = []
    for project in known or projects:
        row = rows.get(project)
        attempts = taskdb.attempts(project, row.taskid, 3) if row is not None else []
        ids = taskids if row is None else [row.taskid]
        asked.append(Question(project, which, ids, row, attempts))
    return asked


def shown(answers: Sequence[Answer]) -> list[Answer]:
    """Those of the projects that know the task; of all that were asked when none does."""
    return [one for one in answers if one.taskid] or list(answers)


def explain(taskdb: TaskStore, projectdb: ProjectStore, project: str | None, which: str, clock: Clock) -> list[Answer]:
    """The same from the stores alone, where no scheduler runs."""
    partitions = partitions_in(taskdb.state_of(*PARTITIONS))
    engine = Engine(taskdb, projectdb, EngineSettings(window=LOOK, refill=LOOK, partitions=partitions))
    if partitions > 1:
        engine.own(frozenset(range(partitions)))
    names = [project] if project is not None else projectdb.names()
    asked = questions(taskdb, names, which)[:MAX_ANSWERS]  # without a scheduler nobody remembers refusals
    engine.look(clock.time(), clock.monotonic(), {one.project for one in asked})
    moment = Moment(clock.time(), clock.monotonic(), running=False)
    return shown(engine.why(asked, moment))
