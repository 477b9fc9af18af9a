"""What somebody orders for a project or for single tasks: clear, retry, begin anew, pause, resume, cancel, run again.

What touches many rows is done in chunks, one a turn; how far it came is committed with the rows of each chunk, so it
goes on after a crash. Clearing holds for what waited when it was ordered: a task that is submitted meanwhile stays.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from crawlkit.libs.rows import Key, Queue, TaskRow, TickRow
from crawlkit.libs.task import Schedule, Status, Task
from crawlkit.scheduler import admission, intake
from crawlkit.scheduler.kinds import TICK_URL, command, is_await
from crawlkit.scheduler.state import ProjectState, State
from crawlkit.scheduler.turn import Change, Order, Submission, Turn, Verdict

CHUNK = 500  # rows a turn
ENTRY = "action"  # of the taskdb's state
CLEARING = ("clear", "restart")
DROP = "drop"
BULK = (*CLEARING, "retry_failed")
AT_ONCE = ("pause", "resume")


class Action(Struct, omit_defaults=True):
    """An order that is being carried out, as it is kept in the taskdb."""

    kind: str  # of BULK, or DROP
    started: float  # Unix time
    limit: int = 0  # clearing: the largest seq that it holds for
    reason: str | None = None  # retry_failed: only tasks that failed with it
    queue: Queue = Queue.TIME  # clearing: first what waits for its time, which may become ready meanwhile
    after: tuple[float, int] | None = None  # ... and behind which (rank, seq) it goes on
    taskid: str | None = None  # retry_failed: behind which it goes on
    failed_done: bool = False  # retry_failed: what is left waits for another try
    touched: int = 0  # tasks so far
    named: bool = False  # drop: it is out of the projectdb


def load(state: State, project: str, text: str) -> None:
    """Reads what :func:`text_of` wrote, after a start."""
    state.actions[project] = msgspec.json.decode(text, type=Action)


def note_clearing(state: State) -> None:
    """After a start, when the projects are known."""
    for name, action in state.actions.items():
        if action.kind in CLEARING and name in state.projects:
            state.projects[name].clearing = action.limit


def text_of(action: Action) -> str:
    """How an action is kept."""
    return msgspec.json.encode(action).decode()


def take_orders(state: State, turn: Turn) -> None:
    """Answers every order that arrived. Whoever gave it hears of it when it is committed."""
    for order in turn.inbox.orders:
        project = state.projects.get(order.project)
        if project is None:
            verdict = _refused(f"there is no project {order.project!r}")
        elif order.kind in BULK:
            verdict = _begin(state, turn, project, order)
        elif order.kind in AT_ONCE:
            verdict = _pause_or_resume(turn, project, order.kind)
        else:
            verdict = _one_task(state, turn, order)
        turn.outbox.verdicts.append((order.ticket, verdict))


def step(state: State, turn: Turn) -> None:
    """The next chunk of one project's action. To be called before anything else of the turn changes rows."""
    name = next((name for name, action in state.actions.items() if action.kind != DROP), None)
    if name is None:
        return
    action = state.actions.pop(name)
    project = state.projects.get(name)
    if project is None:
        turn.writes.state[name, ENTRY] = None
        return
    if not _STEPS[action.kind](state, turn, name, action):
        state.actions[name] = action  # behind the others
        turn.writes.state[name, ENTRY] = text_of(action)
        return
    turn.writes.state[name, ENTRY] = None
    project.clearing = 0
    if action.kind == "restart":
        turn.submissions.append(Submission(command(name, "on_start"), "on_start"))


def clock_set_back(state: State) -> None:
    """Waiting tasks were moved along in the time queue: those that wait for a clearing are looked for from the top."""
    for action in state.actions.values():
        if (action.kind in CLEARING and action.queue is Queue.TIME) or action.failed_done:
            action.after = None


# -- orders for a project --------------------------------------------------------------------------------------------


def _refused(why: str, taskid: str = "") -> Verdict:
    return Verdict(taskid, False, "refused", why)


def _begin(state: State, turn: Turn, project: ProjectState, order: Order) -> Verdict:
    name, kind = project.row.name, order.kind
    known = state.actions.get(name)
    if known is not None and (known.kind, known.reason) != (kind, order.reason):
        return _refused(f"{known.kind} is still under way in project {name} ({known.touched} tasks so far)")
    action = Action(kind, turn.now, limit=state.seq, reason=order.reason)
    if kind in CLEARING:
        project.clearing = action.limit
    if kind == "restart":
        project.forgotten = action.limit
        state.known.drop(name)
        project.pause.clear()
        turn.writes.state[name, "forgotten"] = str(action.limit)
        turn.writes.state[name, "pause"] = project.pause.to_json()
    state.actions[name] = action
    turn.writes.state[name, ENTRY] = text_of(action)
    return Verdict("", True, "started" if known is None else "restarted", kind)


def _pause_or_resume(turn: Turn, project: ProjectState, kind: str) -> Verdict:
    was = project.pause.state(turn.now)
    if kind == "pause":
        project.pause.hold()
    else:
        project.pause.resume()
    now = project.pause.state(turn.now)
    turn.writes.state[project.row.name, "pause"] = project.pause.to_json()
    if now != was:
        turn.outbox.pauses.append((project.row.name, now))
    return Verdict("", True, "changed" if now != was else "nothing", now)


def _clear_some(state: State, turn: Turn, name: str, action: Action) -> bool:
    """One page of the queue that is read; whether that was the last one."""
    rows = state.taskdb.window(name, action.queue, action.after, CHUNK)
    for stored in rows:
        key = (name, stored.taskid)
        row = state.find(turn.rows, key) or stored
        if key in state.leases or row.seq > action.limit or row.queue is None or is_await(row):
            continue  # handed out, or newer, or what a running callback waits for
        _clear(state, turn, row, action.kind)
        action.touched += 1
    if rows:
        action.after = (rows[-1].rank, rows[-1].seq)
    if len(rows) == CHUNK:
        return False
    if action.queue is Queue.TIME:
        action.queue, action.after = Queue.READY, None
        return False
    return True


def _clear(state: State, turn: Turn, row: TaskRow, kind: str) -> None:
    name = row.project
    state.dequeue(row)
    state.known.forget(name, row.taskid)
    state.projects[name].active_tasks -= 1
    turn.writes.count(name, "cleared", kind)
    is_tick = row.url == TICK_URL
    if is_tick:
        method = row.process.callback or ""
        turn.ended_ticks.append((name, method, row.taskid))
        instant = (row.fetch.save or {}).get("tick", 0.0)
        turn.writes.ticks.append(TickRow(name, method, instant, row.taskid, "cleared"))
    # a run that was never tried, with no other before it: new tasks begin behind run_base
    fresh = row.attempt == 0 and not row.lastcrawltime and row.run <= state.projects[name].run_base + 1
    if is_tick or fresh:
        turn.writes.count(name, "removed", kind, row.run)
        intake.uncount(state, turn, row)
        turn.remove(row)
    else:
        turn.change(admission.cleared_row(row, now=turn.now), Change.PROGRESS)


def _retry_some(state: State, turn: Turn, name: str, action: Action) -> bool:
    """One page of the failed tasks, then of those that wait for another try; whether that was the last one."""
    if action.failed_done:
        return _retry_waiting(state, turn, name, action)
    rows = state.taskdb.select(name, Status.FAILED, after=action.taskid, limit=CHUNK)
    reasons: dict[str, str] = {}
    if action.reason is not None and rows:
        reasons = state.taskdb.reasons(name, [row.taskid for row in rows])
    for stored in rows:
        row = state.find(turn.rows, (name, stored.taskid)) or stored
        if row.status is not Status.FAILED or reasons.get(row.taskid, action.reason) != action.reason:
            continue
        _again(state, turn, row, "retry_failed")
        action.touched += 1
    if rows:
        action.taskid = rows[-1].taskid
    action.failed_done = len(rows) < CHUNK
    return False


def _retry_waiting(state: State, turn: Turn, name: str, action: Action) -> bool:
    """What would be tried again later is tried now, all tries anew; newer rows than the order are left alone."""
    rows = state.taskdb.window(name, Queue.TIME, action.after, CHUNK)
    late = [stored for stored in rows if stored.retried and stored.seq <= action.limit]
    reasons: dict[str, str] = {}
    if action.reason is not None and late:
        reasons = state.taskdb.reasons(name, [row.taskid for row in late])
    for stored in late:
        key = (name, stored.taskid)
        row = state.find(turn.rows, key) or stored
        if key in state.leases or row.queue is not Queue.TIME or not row.retried:
            continue
        if reasons.get(row.taskid, action.reason) == action.reason:
            _at_once(state, turn, row, "retry_failed")
            action.touched += 1
    if rows:
        action.after = (rows[-1].rank, rows[-1].seq)
    return len(rows) < CHUNK


def _at_once(state: State, turn: Turn, row: TaskRow, source: str) -> None:
    """A waiting task need not wait for its time any more."""
    state.dequeue(row)
    fresh = admission.at_once_row(row, now=turn.now, seq=state.next_seq())
    turn.writes.count(row.project, "updated", source)
    turn.change(fresh, Change.REPLACE)
    state.enqueue(fresh)


_STEPS: dict[str, Callable[[State, Turn, str, Action], bool]] = {
    "clear": _clear_some,
    "restart": _clear_some,
    "retry_failed": _retry_some,
}


def _again(state: State, turn: Turn, known: TaskRow, source: str) -> None:
    """A new run of an ended task, at once."""
    row = admission.again_row(known, now=turn.now, seq=state.next_seq())
    project = state.projects[row.project]
    turn.writes.count(row.project, "accepted", source)
    turn.event(row.project, "pending")
    project.active_tasks += 1
    project.accepted += 1
    if row.url == TICK_URL:
        project.tick_busy.setdefault(row.process.callback or "", set()).add(row.taskid)
    turn.change(row, Change.REPLACE)
    state.enqueue(row)


# -- orders for single tasks -----------------------------------------------------------------------------------------


def _one_task(state: State, turn: Turn, order: Order) -> Verdict:
    key = (order.project, order.taskid)
    row = state.find(turn.rows, key) or state.taskdb.get(*key)
    if row is None:
        return _refused("there is no such task", order.taskid)
    if is_await(row) and order.kind == "rerun":
        return _refused("a running callback waits for it; run that one again", order.taskid)
    verdict = _cancel(state, turn, key, row) if order.kind == "cancel" else _rerun(state, turn, key, row)
    return Verdict(order.taskid, True, verdict, order.kind)


def _cancel(state: State, turn: Turn, key: Key, row: TaskRow) -> str:
    if key in state.leases:
        stop = Schedule(force_update=True, cancel=True)
        intake.postpone(state, turn, Task(key[0], key[1], row.url, schedule=stop))
        return "postpone"
    if row.status is not Status.ACTIVE:
        return "nothing"
    intake.cancel(state, turn, row)
    return "cancel"


def _rerun(state: State, turn: Turn, key: Key, row: TaskRow) -> str:
    if key in state.leases:
        again = msgspec.structs.replace(row.schedule, force_update=True, cancel=False, exetime=0)
        intake.postpone(state, turn, Task(key[0], key[1], row.url, schedule=again))
        return "postpone"
    if row.status is not Status.ACTIVE:
        _again(state, turn, row, "rerun")
        return "restart"
    _at_once(state, turn, row, "rerun")
    return "update"
