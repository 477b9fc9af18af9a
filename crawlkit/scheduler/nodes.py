"""Who takes part: heartbeats renew leases, and a node that falls silent gives its tasks back.

Only the time at which the scheduler hears a node counts. It hears itself by the same way, and while it does not, that
way is closed, so nobody is judged; when it is open again everybody gets the whole time anew.
"""

from __future__ import annotations

import msgspec

from crawlkit.libs import nodes
from crawlkit.libs.messages import VERSION, Heartbeat
from crawlkit.libs.rows import Key, NodeRow
from crawlkit.scheduler.state import Known, Out, State
from crawlkit.scheduler.turn import NodeChange, Turn

DEAF = 6.0  # seconds without a heartbeat of its own after which the scheduler does not judge others
MOST_DEAD = 10_000  # names that are remembered, to say that one is back

_json = msgspec.json.Encoder()


def take(state: State, turn: Turn, beat: Heartbeat) -> None:
    """A node says that it lives, and which attempts it holds: their leases are renewed."""
    if state.node and beat.node == state.node:
        _hear(state, turn)
    known = state.nodes.get(beat.node)
    _renew(state, turn, beat, known.held if known is not None else set())
    ended = beat.stopping and not beat.held
    word = nodes.STOPPED if ended else nodes.STOPPING if beat.stopping else nodes.PAUSED if beat.paused else nodes.ALIVE
    if known is None and beat.node in state.dead:
        state.dead.discard(beat.node)
        if state.first:
            turn.outbox.nodes.append(NodeChange(beat.node, beat.role, beat.host, "back"))
    if ended:
        state.nodes.pop(beat.node, None)
        _tell(state, turn, _row(beat, turn.now, word))
        return
    fresh = known is None or known.word != word or known.beat.paused != beat.paused
    held = {(project, taskid) for project, taskid, _, _ in beat.held}
    state.nodes[beat.node] = Known(beat, turn.mono, turn.now, word, held)
    if fresh:
        _tell(state, turn, _row(beat, turn.now, word))


def is_deaf(state: State, turn: Turn) -> bool:
    """Whether the way on which the scheduler hears of others is closed, or was not open yet."""
    return bool(state.node) and (state.heard is None or turn.mono - state.heard > DEAF)


def _hear(state: State, turn: Turn) -> None:
    """Its own heartbeat came round."""
    if state.heard is not None and turn.mono - state.heard > DEAF:
        for known in state.nodes.values():
            known.seen = turn.mono
    state.heard = turn.mono


def _renew(state: State, turn: Turn, beat: Heartbeat, before: set[Key]) -> None:
    until = turn.mono + state.settings.lease
    for project, taskid, run, attempt in beat.held:
        before.discard((project, taskid))
        out = state.leases.get((project, taskid))
        if out is not None and out.attempt == attempt and out.row.run == run:
            out.until = until
            out.node = beat.node
    for key in before:  # it handed these on: when it dies they are no longer its own
        out = state.leases.get(key)
        if out is not None and out.node == beat.node:
            out.node = ""


def load(state: State, turn: Turn, rows: list[NodeRow]) -> None:
    """After a start: who was there gets the whole time to speak up."""
    for row in rows:
        if row.alive:
            beat = Heartbeat(row.node, row.role, row.host, row.pid, row.version, row.started)
            state.nodes[row.node] = Known(beat, turn.mono, row.seen, nodes.ALIVE, set())


def silent(state: State, turn: Turn) -> list[tuple[Key, Out]]:
    """The leases of nodes that have just been found dead; their rows are written."""
    if is_deaf(state, turn):
        return []
    lost: list[tuple[Key, Out]] = []
    for name, known in list(state.nodes.items()):
        if turn.mono - known.seen <= state.settings.node_timeout or name == state.node:
            continue
        del state.nodes[name]
        if len(state.dead) >= MOST_DEAD:
            state.dead.clear()
        state.dead.add(name)
        state.died = turn.mono
        _tell(state, turn, _row(known.beat, known.at, nodes.DEAD))
        own = [(key, out) for key, out in state.leases.items() if out.node == name and not out.parked]
        lost += own
        if state.first or own:
            turn.outbox.nodes.append(NodeChange(name, known.beat.role, known.beat.host, "dead", len(own)))
    return lost


def write(state: State, turn: Turn) -> None:
    """The rows of all that live, now and then, in one transaction."""
    if turn.mono - state.nodes_written < nodes.WRITTEN or not state.first:
        return
    state.nodes_written = turn.mono
    said = {row.node for row in turn.writes.nodes}
    for name, known in state.nodes.items():
        if name not in said:
            turn.writes.nodes.append(_row(known.beat, known.at, known.word))


def farewell(state: State, turn: Turn) -> None:
    """The scheduler itself ends."""
    known = state.nodes.get(state.node)
    if known is not None:
        turn.writes.nodes.append(_row(known.beat, turn.now, nodes.STOPPED))


def _tell(state: State, turn: Turn, row: NodeRow) -> None:
    """Who has the first partition hears all nodes; to others those that have no work of theirs look dead."""
    if state.first:
        turn.writes.nodes.append(row)


def _row(beat: Heartbeat, seen: float, word: str) -> NodeRow:
    """``stats`` holds figures, and under ``state`` and ``reason`` words."""
    stats = {**beat.stats, "held": beat.stats.get("held", len(beat.held)), "protocol": VERSION, "state": word}
    if beat.paused:
        stats["reason"] = beat.paused
    return NodeRow(
        beat.node, beat.role, beat.host, beat.pid, beat.version, beat.started, seen, _json.encode(stats).decode(),
        word in nodes.HERE,
    )  # fmt: skip
