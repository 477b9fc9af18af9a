"""What onlookers are told of all projects, several times a second: only those to which something happened are new."""

from __future__ import annotations

from typing import Any

import msgspec

from crawlkit.scheduler import overview, sending
from crawlkit.scheduler.state import ProjectState, State
from crawlkit.scheduler.turn import Turn

LOOK_AGAIN = 5.0  # seconds after which onlookers hear anew of projects to which nothing happened


class Summary:
    """``mono``: when its memory begins."""

    def __init__(self, mono: float) -> None:
        self._looked = mono
        self._seen: dict[str, dict[str, Any]] = {}  # what was told of projects that nothing happened to

    def look(self, state: State, turn: Turn) -> dict[str, Any]:
        """How everything stands at the end of a turn."""
        if turn.mono - self._looked >= LOOK_AGAIN:
            self._looked = turn.mono
            self._seen = {}
        for name in state.stirred | state.lively.keys():
            self._seen.pop(name, None)
        state.stirred.clear()
        known, self._seen = self._seen, {}
        for name, project in state.projects.items():
            self._seen[name] = known.get(name) or _look_at(state, project, turn.now)
        seen = dict(self._seen)
        drained = not state.leases and all(entry["drained"] for entry in seen.values())
        there = [msgspec.structs.asdict(one.beat) | {"held": len(one.beat.held)} for one in state.nodes.values()]
        limit = state.settings.max_pages
        if limit is not None and state.sent >= limit and not state.leases:
            drained = True
        return {"projects": seen, "leased": len(state.leases), "idle": drained, "nodes": there, "sent": state.sent,
                "drained": state.said_drained if state.shared else drained, "time": turn.now}  # fmt: skip


def _look_at(state: State, project: ProjectState, now: float) -> dict[str, Any]:
    row, info = project.row, project.info
    retrying = project.retrying
    broken = info is not None and info.error is not None
    quiet = project.leased == 0 and retrying == 0 and len(project.ready) == 0 and project.ready.complete
    quiet |= project.active_tasks == 0  # what was cleared is not read before its host may be asked
    quiet |= project.spent and project.leased == 0 and not sending.may_send(state, project)  # the rest waits for more
    answered = info is not None and project.info_script == row.runs
    pending_finish = project.active_tasks == 0 and project.accepted > project.finished_at and not broken
    pending_finish &= state.has(row.name)
    return {
        "status": row.status,
        "paused": overview.paused(project, now),
        "pages": project.pages,
        "max_pages": row.max_pages,
        "waiting": project.waiting,
        "ready": len(project.ready),
        "delayed": len(project.time),
        "retrying": retrying,
        "leased": project.leased,
        "totals": dict(project.totals),
        **{event: project.totals.get(event, 0) for event in ("accepted", "done", "failed", "cancelled", "retried")},
        "rate": row.rate,
        "burst": row.burst,
        "rate_set": row.rate_set,
        "info_error": info.error if info is not None else None,
        "answered": answered,
        "drained": not project.active or (answered and quiet and not pending_finish),
    }
