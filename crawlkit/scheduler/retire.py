"""Removes finished tasks whose time is up, some rows at a time. Results stay, and attempts have a time of their own.

The taskdb's tasks are gone through once in the order in which they changed last, for each length of time that projects
keep theirs; how far that came is kept, so that nothing is read twice. Where there are several schedulers each goes
through them, and removes those that nobody else would crawl again; how far it came is kept of each of its partitions.
"""

from __future__ import annotations

from typing import Any

import msgspec

from crawlkit.libs.rows import TaskRow
from crawlkit.libs.task import Status, host_of
from crawlkit.scheduler import intake
from crawlkit.scheduler.state import ProjectState, State
from crawlkit.scheduler.turn import Turn

CHUNK = 500  # rows looked at a time, which is all that a turn pays
PAUSE = 0.1  # seconds between two chunks, of whatever lengths
IDLE = 60.0  # seconds until a length of time is looked at again when nothing was due
ENTRY, RUN_BASE = "retired_to", "run_base"  # of the taskdb's state
WORDS = {Status.SUCCESS: "done", Status.FAILED: "failed", Status.BAD: "cancelled"}


def load(state: State, stored: dict[tuple[str, str], str]) -> None:
    """Reads what was kept, after a start or with other partitions."""
    texts = [stored.get(("", _of(state, ENTRY, part))) for part in state.reads]
    entries = [msgspec.json.decode(text, type=dict[str, Any]) for text in texts if text is not None]
    if not entries or len(entries) < len(texts):
        return  # one of them was never looked at: from the beginning
    reached = [{float(keep): float(mark) for keep, mark in entry["to"].items()} for entry in entries]
    state.retired_to = {
        keep: min(one[keep] for one in reached) for keep in reached[0] if all(keep in one for one in reached)
    }
    if all(entry["keeps"] == entries[0]["keeps"] for entry in entries):
        state.keeps = {str(name): keep for name, keep in entries[0]["keeps"].items()}


def load_run_base(project: ProjectState, entry: str, text: str) -> None:
    """The highest that any scheduler knows."""
    if entry == RUN_BASE or entry.startswith(RUN_BASE + ":"):
        project.run_base = max(project.run_base, int(text))


def _of(state: State, entry: str, part: int) -> str:
    return f"{entry}:{part}" if state.shared else entry


def some(state: State, turn: Turn) -> None:
    """The next chunk of one length of time, when it is time for that. Behind everything that changes rows."""
    if turn.mono < state.retire_at or not state.reads:
        return
    before = (dict(state.retired_to), dict(state.keeps))
    lengths = _by_time(state)
    due = state.retire_due = {keep: state.retire_due.get(keep, turn.mono) for keep in lengths}
    state.retire_at = turn.mono + IDLE
    if due:
        keep = min(due, key=due.__getitem__)  # of those that are due as long as others the first: it goes to the end
        if due[keep] <= turn.mono:
            more = _chunk(state, turn, keep, lengths[keep])
            due[keep] = turn.mono + (PAUSE if more else IDLE)
        state.retire_at = max(turn.mono + PAUSE, min(due.values()))
    if (state.retired_to, state.keeps) != before:
        to = {str(keep): mark for keep, mark in state.retired_to.items()}
        text = msgspec.json.encode({"to": to, "keeps": state.keeps}).decode()
        for part in state.reads:
            turn.writes.state["", _of(state, ENTRY, part)] = text


def _chunk(state: State, turn: Turn, keep: float, projects: dict[str, ProjectState]) -> bool:
    """Whether there was anything to look at."""
    mark = state.retired_to.get(keep, 0.0)
    rows, reached = state.taskdb.finished(mark, turn.now - keep, CHUNK)
    for row in rows:
        project = projects.get(row.project)
        if project is None or (row.project, row.taskid) in turn.rows:
            continue
        if state.has(row.project, host_of(row.url)):  # else another scheduler may crawl it again at this moment
            _retire(state, turn, project, row)
    if reached > mark:
        state.retired_to[keep] = reached
    return reached > mark


def _by_time(state: State) -> dict[float, dict[str, ProjectState]]:
    """How long -> the projects that keep their tasks so long. A project whose time was changed is gone through anew."""
    found: dict[float, dict[str, ProjectState]] = {}
    keeps: dict[str, float | None] = {}
    for name, project in state.projects.items():
        if project.keep is not None:
            found.setdefault(project.keep, {})[name] = project
        if project.keep != state.settings.keep_tasks:
            keeps[name] = project.keep
    for name in {**keeps, **state.keeps}:
        if name in state.projects and keeps.get(name, "") != state.keeps.get(name, ""):
            keep = state.projects[name].keep or 0.0
            state.retired_to.pop(keep, None)
            state.retire_due.pop(keep, None)
    state.keeps = keeps
    state.retired_to = {keep: mark for keep, mark in state.retired_to.items() if keep in found}
    return found


def _retire(state: State, turn: Turn, project: ProjectState, row: TaskRow) -> None:
    name = row.project
    turn.writes.count(name, "retired", WORDS.get(row.status, "done"))
    turn.writes.count(name, "removed", "retired", row.run)
    intake.uncount(state, turn, row)
    turn.remove(row)
    state.known.forget(name, row.taskid)
    if row.run > project.run_base:
        # the resultdb knows that run: one with the same number would look as if its results were there already
        project.run_base = row.run
        # each scheduler writes an entry of its own: none takes back what another knows
        turn.writes.state[name, _of(state, RUN_BASE, state.reads[0])] = str(row.run)
