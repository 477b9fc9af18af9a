"""Writes what was counted once a minute, with the turn that finds the minute over: a row of it, and its hour's.

What was counted since the minute began is only in memory: a crash forgets it. No decision hangs on it.
"""

from __future__ import annotations

from crawlkit.libs.metrics import HOUR, MINUTE, MetricRow, top_hosts
from crawlkit.scheduler.state import State
from crawlkit.scheduler.tally import Tally
from crawlkit.scheduler.turn import Turn

KEEP = {MINUTE: 86_400.0, HOUR: 30 * 86_400.0}  # width -> seconds that its rows are kept
APART = 7.0  # seconds between schedulers that write what they counted
PRUNE_ROWS, PRUNE_ROUNDS = 2_000, 20  # old rows removed a time, and times in one housekeeping


def keep(state: State, turn: Turn, last: bool = False) -> None:
    """At the end of a minute, and with the ``last`` turn, what was counted goes into the turn's transaction."""
    minute = int(turn.now // MINUTE)
    if state.minute == minute and not last:
        return
    if state.mine and not last and turn.now % MINUTE < APART * min(state.mine) % MINUTE and state.minute >= minute - 1:
        return  # others write the same rows, each at its time
    for name, project in state.projects.items():
        tally = project.tally
        if not tally.empty:
            _write(state, turn, name, tally)
            tally.clear()
    state.minute = minute


def _write(state: State, turn: Turn, name: str, tally: Tally) -> None:
    row = tally.row(name, state.minute)
    hour = row.start - row.start % HOUR
    if tally.hour is not None and hour > tally.hour.start and not state.shared:
        tally.hour = MetricRow(name, HOUR, hour)
    elif tally.hour is None or hour < tally.hour.start or state.shared:
        tally.hour = _stored(state, name, HOUR, hour)
    tally.hour.add(row)
    tally.hour.hosts = top_hosts(tally.hour.hosts)
    if state.minute <= tally.minute or tally.minute < 0 or state.shared:
        known = _stored(state, name, MINUTE, row.start)  # by the scheduler before, or before the clock was set back
        known.add(row)
        known.hosts = top_hosts(known.hosts)
        row = known
    tally.minute = state.minute
    turn.writes.metrics += [row, tally.hour]


def _stored(state: State, name: str, width: int, start: int) -> MetricRow:
    rows = state.taskdb.metrics(name, start, start + width, width)
    return rows[0] if rows else MetricRow(name, width, start)


def prune(state: State, now: float) -> None:
    """Removes what is too old."""
    for width, seconds in KEEP.items():
        for _ in range(PRUNE_ROUNDS):
            if state.taskdb.prune_metrics(width, now - seconds, PRUNE_ROWS) < PRUNE_ROWS:
                break
