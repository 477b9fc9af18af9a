"""Turns the crons of the handlers into tasks: one row per (project, method, instant), so one instant is one run."""

from __future__ import annotations

import hashlib
import heapq
from collections import deque

from crawlkit.libs.messages import CronSpec
from crawlkit.libs.rows import QUEUED, TickRow
from crawlkit.libs.task import Fetch, Process, Schedule, Task
from crawlkit.scheduler import cron
from crawlkit.scheduler.kinds import TICK_PRIORITY, TICK_URL
from crawlkit.scheduler.state import ProjectState, State
from crawlkit.scheduler.turn import Submission, Turn


def plan(state: State, turn: Turn, project: ProjectState) -> None:
    """(Re)reads a project's crons after it answered: missed instants first, then the next one of each."""
    project.tick_generation += 1
    project.tick_last.clear()
    if project.info is None or not project.active:
        return
    for method in project.tick_wait:  # what they waited for may have ended while nobody looked
        _run_waiting(turn, project, method)
    bases: dict[str, float] = {}
    for number, spec in enumerate(project.info.crons):
        key = (project.row.name, spec.method)
        if key not in state.last_ticks:
            # remembered, so that an outage right after the first start is an outage
            state.last_ticks[key] = turn.now
            turn.writes.state[(key[0], "cron_since:" + key[1])] = repr(turn.now)
        base = bases.setdefault(spec.method, state.last_ticks[key])
        project.tick_last[number] = base
        _fire_due(state, turn, project, number, base)


def run_due(state: State, turn: Turn) -> None:
    """Fires what has come; of each cron so much that the turn ends soon, and the next one goes on behind it."""
    due = []
    while state.ticks and state.ticks[0][0] <= turn.now:
        due.append(heapq.heappop(state.ticks))
    for instant, name, number, generation in due:
        project = state.projects.get(name)
        if project is None or not project.active or project.info is None or generation != project.tick_generation:
            continue
        _fire_due(state, turn, project, number, max(project.tick_last[number], instant - 0.5))


def _fire_due(state: State, turn: Turn, project: ProjectState, number: int, last: float) -> None:
    """Fires what one cron owes since ``last``, and notes when to look again."""
    if project.info is None:
        return
    spec = project.info.crons[number]
    due = cron.due_instants(spec, last, turn.now)
    for instant in due:
        fire(state, turn, project, spec, instant)
    # a clock that was set back does not fire an instant again
    after = due[-1] if len(due) == cron.MAX_DUE else max(turn.now, last, *due)
    project.tick_last[number] = max(project.tick_last[number], *due, last) if due else project.tick_last[number]
    for instant in cron.next_instants(spec, after, 1):
        state.push_tick(instant, project.row.name, number, project.tick_generation)


def fire(state: State, turn: Turn, project: ProjectState, spec: CronSpec, instant: float) -> None:
    """One instant: a task, or a row that says why there is none."""
    name = project.row.name
    key = (name, spec.method)
    state.last_ticks[key] = max(instant, state.last_ticks.get(key, 0.0))
    taskid = tick_id(name, spec.method, instant)
    busy = project.tick_busy.setdefault(spec.method, set())
    waiting = project.tick_wait.setdefault(spec.method, deque())
    verdict = cron.overlap_allows(spec.overlap, running=bool(busy), queued=bool(waiting))
    if taskid in busy:
        return  # another cron of the method has the same instant
    if verdict == "run":
        busy.add(taskid)
        turn.writes.ticks.append(TickRow(name, spec.method, instant, taskid))
        turn.submissions.append(Submission(tick_task(name, spec.method, instant, taskid), "tick"))
    elif verdict == "queue":
        waiting.append(instant)
        turn.writes.ticks.append(TickRow(name, spec.method, instant, "", QUEUED))
    else:
        turn.writes.ticks.append(TickRow(name, spec.method, instant, "", "overlap"))
        turn.writes.count(name, "skipped", "tick_overlap")


def end(state: State, turn: Turn) -> None:
    """Ticks whose task is over in this turn: the next one that waited for it may run."""
    for name, method, taskid in turn.ended_ticks:
        project = state.projects.get(name)
        if project is None:
            continue
        project.tick_busy.get(method, set()).discard(taskid)
        _run_waiting(turn, project, method)


def _run_waiting(turn: Turn, project: ProjectState, method: str) -> None:
    """With overlap="queue": when no run of the method is left, the oldest instant that waits has its turn."""
    busy = project.tick_busy.setdefault(method, set())
    waiting = project.tick_wait.get(method)
    if waiting and not busy:
        instant, name = waiting.popleft(), project.row.name
        following = tick_id(name, method, instant)
        busy.add(following)
        turn.writes.ticks.append(TickRow(name, method, instant, following))
        turn.submissions.append(Submission(tick_task(name, method, instant, following), "tick"))


def tick_id(project: str, method: str, instant: float) -> str:
    """The identity of a tick's task."""
    return hashlib.md5(f"{project}\0{method}\0{instant!r}".encode(), usedforsecurity=False).hexdigest()


def tick_task(project: str, method: str, instant: float, taskid: str) -> Task:
    """The task that runs ``method`` for one instant. The instant arrives as response.save["tick"]."""
    return Task(
        project=project,
        taskid=taskid,
        url=TICK_URL,
        schedule=Schedule(priority=TICK_PRIORITY, age=0),
        fetch=Fetch(save={"tick": instant}),
        process=Process(callback=method),
    )
