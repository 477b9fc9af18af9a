"""What somebody orders for a project or for single tasks: clear, retry, begin anew, pause, resume, cancel, run again.

What touches many rows is done in chunks, one a turn; how far it came is committed with the rows of each chunk, so it
goes on after a crash. Clearing holds for what waited when it was ordered: a task that is submitted meanwhile stays.
Where there are several schedulers each carries an order out in its partitions, and how far it came is kept for each of
these: so the rest moves with the partition.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from crawlkit.libs.rows import Key, Letter, Queue, TaskRow, TickRow
from crawlkit.libs.task import Schedule, Status, Task
from crawlkit.scheduler import admission, intake, mail
from crawlkit.scheduler.kinds import TICK_URL, command, is_await
from crawlkit.scheduler.state import ProjectState, State
from crawlkit.scheduler.turn import Change, Order, Submission, Turn, Verdict

CHUNK = 500  # rows a turn
ENTRY = "action"  # of the taskdb's state; where there are several partitions the number of one follows, but for DROP
BEYOND = 10**9  # how far behind the newest seq an order reaches: others give theirs meanwhile
DROPPED = "dropped"  # what is told to others when a removed project is gone
CLEARING = ("clear", "restart")
DROP = "drop"
BULK = (*CLEARING, "retry_failed")
AT_ONCE = ("pause", "resume")
DROP_QUIET = 2.0  # seconds for which others add nothing to a removed project before it counts as gone


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


def entry_of(state: State, partition: int) -> str:
    """Under what an action in a partition is kept: not where DROP is, which anybody may write."""
    return f"{ENTRY}:{partition}" if state.shared else ENTRY


def load(state: State, project: str, entry: str, text: str) -> None:
    """Reads what :func:`text_of` wrote, after a start."""
    action = read(text)
    number = entry.partition(":")[2]
    partition = int(number) if number else 0
    state.seq = max(state.seq, action.limit)
    if action.kind == DROP:
        if state.has(project):
            state.actions[project, 0] = action
        else:
            state.removing.add(project)
    elif state.mine is None or partition in state.mine:
        state.actions[project, partition] = action
    elif action.kind in CLEARING:
        state.clearing_elsewhere[project] = max(action.limit, state.clearing_elsewhere.get(project, 0))


def note_clearing(state: State) -> None:
    """After a start, when the projects are known."""
    for (name, _), action in state.actions.items():
        if action.kind in CLEARING and name in state.projects:
            project = state.projects[name]
            project.clearing = project.cleared = max(project.clearing, action.limit)
    for name, limit in state.clearing_elsewhere.items():
        if name in state.projects:
            state.projects[name].cleared = max(state.projects[name].cleared, limit)


def read(text: str) -> Action:
    """What :func:`text_of` wrote."""
    return msgspec.json.decode(text, type=Action)


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
            verdict = _order_all(state, turn, project, order)
        elif order.kind in AT_ONCE:
            verdict = _pause_or_resume(turn, project, order.kind, write=True)
            mail.send_order(state, turn, order.project, mail.Written(order.kind))
        else:
            verdict = _one_task(state, turn, order)
        if order.ticket is not None:
            turn.outbox.verdicts.append((order.ticket, verdict))


def take_letter(state: State, turn: Turn, letter: Letter, order: mail.Written) -> bool:
    """Carries out what was ordered at another scheduler; whether that is done, or has begun."""
    project = state.projects.get(letter.project)
    if project is None:
        return True
    if order.kind in BULK:
        known = state.actions.get((letter.project, letter.partition))
        if known is not None and (known.kind, known.reason) != (order.kind, order.reason):
            return False  # the one before it first
        _begin(state, turn, project, order, letter.partition)
    elif order.kind in AT_ONCE:
        _pause_or_resume(turn, project, order.kind, write=state.has(letter.project))
    else:
        _one_task(state, turn, mail.as_order(order, letter.project))
    return True


def step(state: State, turn: Turn) -> None:
    """The next chunk of one project's action. To be called before anything else of the turn changes rows."""
    key = next((key for key, action in state.actions.items() if action.kind != DROP), None)
    if key is None:
        return
    name, partition = key
    action = state.actions.pop(key)
    project = state.projects.get(name)
    if project is None:
        turn.writes.state[name, entry_of(state, partition)] = None
        return
    if not _STEPS[action.kind](state, turn, key, action):
        state.actions[key] = action  # behind the others
        turn.writes.state[name, entry_of(state, partition)] = text_of(action)
        return
    turn.writes.state[name, entry_of(state, partition)] = None
    left = [one.limit for (other, _), one in state.actions.items() if other == name and one.kind in CLEARING]
    project.clearing = max(left, default=0)
    if action.kind == "restart" and partition == state.partition(name):
        turn.submissions.append(Submission(command(name, "on_start"), "on_start"))


def clock_set_back(state: State) -> None:
    """Waiting tasks were moved along in the time queue: those that wait for a clearing are looked for from the top."""
    for action in state.actions.values():
        if (action.kind in CLEARING and action.queue is Queue.TIME) or action.failed_done:
            action.after = None


# -- orders for a project --------------------------------------------------------------------------------------------


def _refused(why: str, taskid: str = "") -> Verdict:
    return Verdict(taskid, False, "refused", why)


def _order_all(state: State, turn: Turn, project: ProjectState, order: Order) -> Verdict:
    """An order for the whole project: it begins in the partitions that are here, and is sent to the others."""
    name, kind = project.row.name, order.kind
    known = state.action_of(name)
    if known is not None and (known.kind, known.reason) != (kind, order.reason):
        return _refused(f"{known.kind} is still under way in project {name} ({known.touched} tasks so far)")
    limit = state.seq
    if state.shared:
        limit = max(limit, state.taskdb.max_seq()) + BEYOND
    written = mail.Written(kind, limit, reason=order.reason)
    for partition in state.reads:
        _begin(state, turn, project, written, partition)
    if kind == "restart":  # by whoever it was said to: a letter may be taken when more has been said
        turn.writes.state[name, "forgotten"] = str(limit)
        project.pause.clear()
        turn.writes.state[name, "pause"] = project.pause.to_json()
    mail.send_order(state, turn, name, written)
    return Verdict("", True, "started" if known is None else "restarted", kind)


def _begin(state: State, turn: Turn, project: ProjectState, order: mail.Written, partition: int) -> None:
    name, kind = project.row.name, order.kind
    action = Action(kind, turn.now, limit=order.limit, reason=order.reason)
    state.seq = max(state.seq, order.limit)  # what comes from now on is newer
    if kind in CLEARING:
        project.clearing, project.cleared = action.limit, max(project.cleared, action.limit)
        if state.shared:
            state.known.drop(name)
    if kind == "restart" and (not state.shared or project.forgotten < action.limit):
        project.forgotten = action.limit
        state.known.drop(name)
        project.pause.clear()
    state.actions[name, partition] = action
    turn.writes.state[name, entry_of(state, partition)] = text_of(action)


def _pause_or_resume(turn: Turn, project: ProjectState, kind: str, *, write: bool) -> Verdict:
    was = project.pause.state(turn.now)
    if kind == "pause":
        project.pause.hold()
    else:
        project.pause.resume()
    now = project.pause.state(turn.now)
    if write:
        turn.writes.state[project.row.name, "pause"] = project.pause.to_json()
    if now != was:
        turn.outbox.pauses.append((project.row.name, now))
    return Verdict("", True, "changed" if now != was else "nothing", now)


def _clear_some(state: State, turn: Turn, where: tuple[str, int], action: Action) -> bool:
    """One page of the queue that is read; whether that was the last one."""
    name, partition = where
    rows = state.taskdb.window(name, action.queue, action.after, CHUNK, partitions=[partition])
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


def _retry_some(state: State, turn: Turn, where: tuple[str, int], action: Action) -> bool:
    """One page of the failed tasks, then of those that wait for another try; whether that was the last one."""
    name, partition = where
    if action.failed_done:
        return _retry_waiting(state, turn, where, action)
    rows = state.taskdb.select(name, Status.FAILED, after=action.taskid, limit=CHUNK)
    reasons: dict[str, str] = {}
    if action.reason is not None and rows:
        reasons = state.taskdb.reasons(name, [row.taskid for row in rows])
    for stored in rows:
        row = state.find(turn.rows, (name, stored.taskid)) or stored
        if state.shared and state.partition(name, row.host) != partition:
            continue
        if row.status is not Status.FAILED or reasons.get(row.taskid, action.reason) != action.reason:
            continue
        _again(state, turn, row, "retry_failed")
        action.touched += 1
    if rows:
        action.taskid = rows[-1].taskid
    action.failed_done = len(rows) < CHUNK
    return False


def _retry_waiting(state: State, turn: Turn, where: tuple[str, int], action: Action) -> bool:
    """What would be tried again later is tried now, all tries anew; newer rows than the order are left alone."""
    name, partition = where
    rows = state.taskdb.window(name, Queue.TIME, action.after, CHUNK, partitions=[partition])
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
    intake.put(state, turn, fresh)


_STEPS: dict[str, Callable[[State, Turn, tuple[str, int], Action], bool]] = {
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
    intake.put(state, turn, row)


# -- orders for single tasks -----------------------------------------------------------------------------------------


def _one_task(state: State, turn: Turn, order: Order) -> Verdict:
    key = (order.project, order.taskid)
    row = state.find(turn.rows, key) or state.taskdb.get(*key)
    if row is None:
        return _refused("there is no such task", order.taskid)
    if not state.has(row.project, row.host):
        written = mail.Written(order.kind, taskid=order.taskid)
        mail.send_order(state, turn, order.project, written, state.partition(row.project, row.host))
        return Verdict(order.taskid, True, order.kind, "the scheduler that has its host does it")
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
