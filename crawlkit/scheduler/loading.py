"""Reads what the stores have into a fresh memory: at the start, after a store failed, and when partitions change."""

from __future__ import annotations

import random
from collections.abc import Container, Mapping

import msgspec

from crawlkit.libs.rows import Key
from crawlkit.libs.task import Task
from crawlkit.scheduler import (
    actions,
    auto_order,
    awaits,
    intake,
    nodes,
    notices,
    outcomes,
    politeness,
    projects,
    retire,
    totals,
)
from crawlkit.scheduler.pause import PauseState
from crawlkit.scheduler.state import Out, State
from crawlkit.scheduler.turn import Turn


def load(state: State, turn: Turn, only: Container[str] | None = None) -> dict[int, str | None]:
    """Fills an empty ``state``, with these projects or all; returns through which broker each partition's leases went.

    What turns out to be out of date is corrected in the writes of ``turn``.
    """
    stored = state.taskdb.state()
    state.seq = state.taskdb.max_seq()
    state.last_ticks = state.taskdb.last_ticks()
    _load_leases(state, turn)
    nodes.load(state, turn, state.taskdb.nodes())
    notices.load(state, turn, stored)
    retire.load(state, stored)
    if state.shared:
        # numbers of questions that nobody else has asked: their answers may come to another owner
        state.info_count = random.randrange(2**40)
    for (name, entry), text in stored.items():
        if entry == actions.ENTRY or entry.startswith(actions.ENTRY + ":"):
            actions.load(state, name, entry, text)
        elif entry == "forgotten":
            state.seq = max(state.seq, int(text))  # others may have been told so, and given none since
    for row in state.projectdb.all():
        state.projects_seen = max(state.projects_seen, row.updatetime)
        if not state.dropping(row.name) and (only is None or row.name in only):
            projects.apply_row(state, turn, row)
    actions.note_clearing(state)
    totals.load(state, state.taskdb.ledger())
    for (name, entry), text in stored.items():
        _load_entry(state, turn, name, entry, text)
    politeness.load(state, turn, stored)
    if ("", "counters") in stored:
        state.counters.load(stored["", "counters"], turn.now)
    intake.keep_own_postponed(state)
    return {part: stored.get(epoch_entry(part), stored.get(epoch_entry(0))) for part in state.reads}


def epoch_entry(partition: int) -> Key:
    """Where it is kept through which broker the leases of a partition were given."""
    return ("", f"epoch:{partition}" if partition else "epoch")


def count_leases(state: State) -> None:
    """Notes with each project how many of its tasks are out."""
    for name, _ in state.leases:
        if name in state.projects:
            state.projects[name].leased += 1


def _load_leases(state: State, turn: Turn) -> None:
    leases = state.taskdb.leases(None if state.mine is None else state.reads)
    keys = [(lease.project, lease.taskid) for lease in leases]
    rows = state.taskdb.get_many(keys) if keys else {}
    for lease, key in zip(leases, keys, strict=True):
        row = rows.get(key)
        if row is None:
            turn.writes.unlease.append(key)
            continue
        # nobody knows how long the scheduler was away: every holder gets a whole lease to speak up
        until = turn.mono + state.settings.lease
        out = Out(row, lease.attempt, lease.since or turn.now, turn.mono, until, "", lease.node)
        if not lease.node and not state.shared:  # perhaps the one before died before it could send it
            out.early, out.until = True, min(until, turn.mono + outcomes.SPEAK_UP)
        state.leases[key] = out


def remember_leases(state: State, before: Mapping[Key, Out], away: float) -> None:
    """Of leases that this process knew before it read the stores again: who has them, and how long they last.

    ``away``: seconds in which the store did not let anything happen; they do not count.
    """
    for key, known in before.items():
        out = state.leases.get(key)
        if out is not None and (out.row.run, out.attempt) == (known.row.run, known.attempt):
            out.sent, out.node, out.until = known.sent, known.node, min(out.until, known.until + away)


def _load_entry(state: State, turn: Turn, name: str, entry: str, text: str) -> None:
    project = state.projects.get(name)
    if entry == "finished_at" and project is not None:
        project.finished_at = int(text)
    elif entry == "bucket" and project is not None and not state.shared:
        project.bucket.load(text, turn.mono, turn.now)
    elif entry == "pause" and project is not None:
        limits = state.settings
        project.pause = PauseState.from_json(text, limits.fail_pause_num, limits.pause_time, limits.unpause_check_num)
        if not state.has(name):
            project.pause.clear()  # each judges by what it sends; only what somebody said holds for all
    elif entry.startswith("cron_since:"):
        key = (name, entry.partition(":")[2])
        state.last_ticks.setdefault(key, float(text))
    elif entry.startswith("session:"):
        state.jars[name, entry.partition(":")[2]] = msgspec.json.decode(text, type=list[str])
    elif entry.startswith(outcomes.PARTS):
        outcomes.load_parts(state, name, entry, text)
    elif entry.startswith(auto_order.ENTRY) and project is not None:
        auto_order.load(state, name, text)
    elif entry.startswith(awaits.ENTRY):
        awaits.load(state, name, entry, text)
    elif entry.startswith(awaits.ASKED):
        state.asked[name, entry.removeprefix(awaits.ASKED)] = text
    elif entry == "pages" and project is not None:
        project.pages = project.pages_before = int(text) if project.row.max_pages is not None else 0
    elif entry == projects.BOUNDS and project is not None:
        projects.load_bounds(state, turn, project, text)
    elif entry == projects.DELAYS and project is not None:
        projects.load_delays(project, text)
    elif entry.startswith(retire.RUN_BASE) and project is not None:
        retire.load_run_base(project, entry, text)
    elif entry == "forgotten" and project is not None:
        project.forgotten = int(text)
    elif entry.startswith("postponed:"):
        state.postponed[(name, entry.partition(":")[2])] = msgspec.json.decode(text, type=Task)
