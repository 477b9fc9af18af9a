"""When the next turn is due although nothing comes: for a rate, a host, a try again, a tick, a hold that ends."""

from __future__ import annotations

from crawlkit.libs.rows import TaskRow
from crawlkit.scheduler import actions, kinds, projects, sending
from crawlkit.scheduler.state import ProjectState, State
from crawlkit.scheduler.turn import Turn


def wake(state: State, turn: Turn) -> float:
    """Seconds until something is due without a message."""
    now, mono = turn.now, turn.mono
    if any(action.kind != actions.DROP for action in state.actions.values()):
        return 0.0
    soonest = state.settings.project_poll
    if state.actions:
        soonest = actions.DROP_QUIET / 10 if state.shared else 0.0
    if state.mine:
        soonest = min(soonest, state.mail_at - mono)
    out = len(state.leases) - state.parked_out
    room = min(turn.inbox.room - len(turn.outbox.dispatches), state.settings.max_leased - out)
    if state.leases or state.nodes:
        soonest = min(soonest, 1.0)
    if state.retire_due:
        soonest = min(soonest, state.retire_at - mono)
    if state.ticks:
        soonest = min(soonest, state.ticks[0][0] - now)
    if state.waiting and room > 0:
        soonest = min(soonest, state.gate.next(mono))
    asks = sending.asks_of(state, mono)
    for project in list(state.lively.values()):
        if projects.is_quiet(state, project):
            state.rest(project)
            continue
        if not project.loaded:
            continue
        if (row := project.time.peek()) is not None:
            soonest = min(soonest, row.rank - now)
        head = project.ready.peek(asks)
        if head is not None and room > 0 and sending.may_send(state, project) and not sending.full(state, project):
            soonest = min(soonest, _wait_of(state, project, head, turn))
        if project.ready.wants() or project.time.needs_refill(1):
            soonest = 0.0
        if project.info_asked is not None and room > 0:
            soonest = min(soonest, project.info_asked + state.settings.info_retry - mono)
    if state.due:
        soonest = min(soonest, state.due[0][0] - now)
    return max(0.0, soonest)


def _wait_of(state: State, project: ProjectState, head: TaskRow, turn: Turn) -> float:
    if kinds.is_internal(head.url):
        return 0.0
    if project.pause.state(turn.now) != "running":
        at = project.pause.wake_at(turn.now)
        return 1.0 if at is None else max(0.0, at - turn.now)
    if sending.unmetered(project, head):
        return 0.0
    return sending.wait_for_token(state, project, turn.mono)
