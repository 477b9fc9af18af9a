"""Tasks whose callback waits for further requests (``await self.fetch(...)``), without a worker waiting with them.

Such a task is parked: it keeps its lease and its place in the books, and what its callback has seen so far is recorded.
When every request is answered it goes to a processor again, with the record; the callback runs from its top.
"""

from __future__ import annotations

import math

import msgspec

from crawlkit.libs.auto import AUTO, SETTLED, Auto
from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.messages import AWAIT_CALLBACK, RESUME, Await, Fetched, Outcome
from crawlkit.libs.rows import Key, Lease, TaskRow
from crawlkit.libs.task import NO_SCHEDULE, Process, Task, check_task
from crawlkit.scheduler import mail
from crawlkit.scheduler.sending import dispatch_of
from crawlkit.scheduler.state import Out, Parked, State
from crawlkit.scheduler.turn import Submission, Turn

_task_decoder = msgspec.msgpack.Decoder(Task)
ENTRY, ASKED = "parked:", "asked:"


def park(state: State, turn: Turn, key: Key, out: Out, outcome: Outcome) -> None:
    """The callback waits: its lease lasts, and its requests are admitted as tasks of their own."""
    parked = state.parked.get(key)
    if parked is None:
        parked = state.parked[key] = Parked(run=out.row.run, record=outcome.record or "")
    set_parked(state, key, out, True)
    out.until = math.inf
    for one in outcome.awaits:
        if one.number in parked.answers:
            continue
        task = _child(turn, key, out.row, one)
        if task is None:
            parked.answers[one.number] = ""
            continue
        parked.children[one.number] = task.taskid
        state.awaited[key[0], task.taskid] = (key, one.number)
        turn.submissions.append(Submission(task, "await", asked=out.row.host or key[0] if state.shared else ""))
    keep(turn, key, parked)
    _resume_if_answered(state, turn, key)


def _child(turn: Turn, parent: Key, row: TaskRow, one: Await) -> Task | None:
    try:
        task = _task_decoder.decode(one.task)
        task.project = parent[0]
        task.process = Process(callback=AWAIT_CALLBACK)
        given = task.schedule or NO_SCHEDULE
        # ahead of the project's other work: what waits was begun before them
        priority = min(max(row.schedule.priority, given.priority) + 1_000_000, 2**31 - 2)
        retries = given.retries if task.schedule is not None else 0
        task.schedule = msgspec.structs.replace(given, priority=priority, retries=retries, age=-1, force_update=False)
        check_task(task)
    except (InvalidTask, msgspec.MsgspecError, ValueError):
        turn.writes.count(parent[0], "refused", "await")
        return None
    return task


def note_asker(state: State, turn: Turn, row: TaskRow, route: str) -> None:
    """A request was taken on for a callback, of which ``route`` tells the partition: there goes the answer."""
    if state.partition(row.project, route) != state.partition(row.project, row.host):
        state.asked[row.project, row.taskid] = route
        turn.writes.state[row.project, ASKED + row.taskid] = route


def answered(state: State, turn: Turn, child: Key, blob: str) -> None:
    """A request that a callback waits for has ended, well or not; ``""``: nothing came of it."""
    route = state.asked.pop(child, "")
    if route:
        turn.writes.state[child[0], ASKED + child[1]] = None
    waiting = state.awaited.pop(child, None)
    if waiting is None:
        partition = state.partition(child[0], route) if route else 0
        if route and state.mine is not None and partition not in state.mine:
            mail.send_answer(state, turn, child, blob, partition)
        elif route and blob:
            turn.outbox.blobs.append(blob)  # nobody waits for it any more
        return
    parent, number = waiting
    parked = state.parked.get(parent)
    if parked is None or parked.children.get(number) != child[1]:
        return
    parked.answers[number] = blob
    keep(turn, parent, parked)
    _resume_if_answered(state, turn, parent)


def _resume_if_answered(state: State, turn: Turn, key: Key) -> None:
    parked, out = state.parked[key], state.leases.get(key)
    if out is not None and len(parked.answers) >= len(parked.children):
        resume(state, turn, key, out)


def resume(state: State, turn: Turn, key: Key, out: Out) -> None:
    """Sends a task to a processor again, with everything that is recorded. A new attempt of the same run."""
    project, parked = state.projects.get(key[0]), state.parked[key]
    if project is None:
        return
    set_parked(state, key, out, False)
    out.attempt += 1
    out.parts, out.last = set(), None
    out.sent, out.until = turn.mono, turn.mono + state.settings.lease
    out.script = project.row.runs
    turn.writes.lease.append(
        Lease(key[0], key[1], out.row.run, out.attempt, "", turn.now + state.settings.lease, out.since)
    )
    dispatch = dispatch_of(state, project, out.row, out.attempt, out.script)
    dispatch.kind = RESUME
    dispatch.auto = out.auto if out.auto is not None or dispatch.fetch.fetch_type != AUTO else Auto(SETTLED)
    recorded = [(0, parked.record), *sorted(parked.answers.items())]
    turn.outbox.resumes.append(Fetched(dispatch, 0, out.row.url, out.row.url, [], {}, 0.0, recorded=recorded))


def set_parked(state: State, key: Key, out: Out, parked: bool) -> None:
    """Parked tasks are out, and hold no place of those that may be out."""
    change = int(parked) - int(out.parked)
    out.parked = parked
    state.parked_out += change
    if key[0] in state.projects:
        state.projects[key[0]].parked += change


def recorded(state: State, key: Key, out: Out) -> bool:
    """Whether the task has a record that its next attempt can begin from."""
    parked = state.parked.get(key)
    return parked is not None and parked.run == out.row.run and len(parked.answers) >= len(parked.children)


def forget(state: State, turn: Turn, key: Key) -> None:
    """The task's round has ended: its record goes, and answers that are still on their way go nowhere."""
    parked = state.parked.pop(key, None)
    if parked is None:
        return
    for taskid in parked.children.values():
        state.awaited.pop((key[0], taskid), None)
    turn.writes.state[key[0], ENTRY + key[1]] = None
    turn.outbox.blobs += [blob for blob in (parked.record, *parked.answers.values()) if blob]


def keep(turn: Turn, key: Key, parked: Parked) -> None:
    """Writes the record's list down; the bodies are in the blob store already."""
    turn.writes.state[key[0], ENTRY + key[1]] = msgspec.json.encode(parked).decode()


def load(state: State, project: str, entry: str, text: str) -> None:
    """Reads what :func:`keep` wrote, after a start."""
    key = (project, entry.removeprefix(ENTRY))
    out = state.leases.get(key)
    parked = msgspec.json.decode(text, type=Parked)
    if out is None or out.row.run != parked.run:
        return
    state.parked[key] = parked
    for number, taskid in parked.children.items():
        if number not in parked.answers:
            state.awaited[project, taskid] = (key, number)
    if len(parked.answers) < len(parked.children):
        out.until = math.inf
        set_parked(state, key, out, True)
