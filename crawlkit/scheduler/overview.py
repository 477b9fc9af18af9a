"""How all projects stand, for a dashboard: one look over what is in memory, without a query."""

from __future__ import annotations

from typing import Any

from crawlkit.libs.counters import Counters
from crawlkit.scheduler.eta import Span, eta
from crawlkit.scheduler.state import ProjectState, State

MANY_DELAYED = 500  # tasks that wait for their time; among more of them the last one is not looked for
FINISHED = ("success", "failed")


def overview(state: State, now: float) -> dict[str, dict[str, Any]]:
    """Every project by its name. Counts are tasks; ``windows`` and ``all`` are [new, success, retry, failed].

    ``spark``: tasks that ended in each of the last 30 times 10 s, oldest first; empty for none. ``eta``: seconds at
    the earliest and the latest, see :mod:`crawlkit.scheduler.eta`. Times are means of 5 minutes, in milliseconds.
    """
    return {name: _look_at(state, name, project, now) for name, project in state.projects.items()}


def _look_at(state: State, name: str, project: ProjectState, now: float) -> dict[str, Any]:
    row, totals, counters = project.row, project.totals, state.counters
    windows = counters.windows(name, now)
    spark = counters.spark(name, FINISHED, now)
    means = counters.means(name, now)
    action = state.action_of(name)
    return {
        "group": row.group,
        "status": row.status,
        "rate": row.rate,
        "burst": row.burst,
        "rate_set": row.rate_set,
        "updated": row.updatetime,
        "paused": paused(project, now),
        "pages": project.pages,
        "max_pages": row.max_pages,
        "waiting": project.waiting,
        "leased": project.leased,
        "done": totals.get("done", 0),
        "failed": totals.get("failed", 0),
        "windows": windows,
        "all": [totals.get(event, 0) for event in ("accepted", "done", "retried", "failed")],
        "fetch_ms": _milliseconds(means.get("fetch_time")),
        "process_ms": _milliseconds(means.get("process_time")),
        "spark": spark,
        "eta": _eta(counters, project, windows, spark, now),
        "action": None if action is None else {"kind": action.kind, "touched": action.touched},
        "auto": dict(project.fetched_by) or None,
        "refused": dict(project.refused) or None,
        "limits": row.limits,
        "error": project.info.error if project.info is not None else None,
    }


def paused(project: ProjectState, now: float) -> str:
    """running, paused, checking or held; budget: its page budget is reached."""
    state = project.pause.state(now)
    return "budget" if state == "running" and project.spent and project.active else state


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _eta(
    counters: Counters, project: ProjectState, windows: dict[str, list[int]], spark: list[int], now: float
) -> tuple[float, float | None] | None:
    """Only for a project that sends."""
    if not spark or not project.active or paused(project, now) != "running":
        return None
    spans = []
    for window in ("5m", "1h"):
        new, success, _, failed = windows.get(window, (0, 0, 0, 0))
        spans.append(Span(counters.busy(project.row.name, FINISHED, window, now), success + failed, new))
    wait = 0.0
    if len(project.time) <= MANY_DELAYED:
        wait = max((row.rank - now for row in project.time.rows()), default=0.0)
    return eta(project.active_tasks, spans, project.row.rate if project.row.rate_set else None, wait)
