"""What the scheduler says of itself in the taskdb's state, for components on other hosts: its protocol, and the end."""

from __future__ import annotations

import msgspec

from crawlkit import __version__
from crawlkit.libs.messages import VERSION
from crawlkit.libs.protocol import DRAINED, PROTOCOL
from crawlkit.libs.rows import Key
from crawlkit.scheduler.state import State
from crawlkit.scheduler.turn import Turn

SURE = 2  # turns in a row with nothing to do before that is said
QUIET = 2.5  # seconds of the same, where others may have counted what was not read yet
LOOK = 1.0  # seconds between two looks at what all have said


def load(state: State, turn: Turn, stored: dict[Key, str]) -> None:
    """After a start: what was said before, and which messages this scheduler sends."""
    state.said_drained = stored.get(DRAINED) == "1"
    state.busy_at = turn.mono
    words = msgspec.json.encode({"version": VERSION, "crawlkit": __version__}).decode()
    if stored.get(PROTOCOL) != words:
        turn.writes.state[PROTOCOL] = words


def tell(state: State, turn: Turn, drained: bool) -> None:
    """Whether everything has drained. ``drained``: by the look after the turn before this one.

    That there is work again is written in the transaction that accepts it.
    """
    busy = bool(state.leases or turn.changes or turn.writes.mail or not drained)
    state.idle_turns = 0 if busy else state.idle_turns + 1
    if state.shared:
        _tell_of_mine(state, turn, busy)
        return
    if state.said_drained and busy:
        state.said_drained = False
        turn.writes.state[DRAINED] = "0"
    elif not state.said_drained and state.idle_turns >= SURE:
        state.said_drained = True
        turn.writes.state[DRAINED] = "1"


def _tell_of_mine(state: State, turn: Turn, busy: bool) -> None:
    """Each says it of its partitions, and who has the first one of all."""
    if busy:
        state.busy_at = turn.mono
    idle = state.idle_turns >= SURE and turn.mono - state.busy_at >= QUIET
    if idle != state.said_idle:
        state.said_idle = idle
        for partition in state.reads:
            turn.writes.state[_entry(partition)] = "1" if idle else "0"
    if not state.first or turn.mono - state.looked_at < LOOK:
        return
    state.looked_at = turn.mono
    all_drained = idle and _all_idle(state)
    if all_drained != state.said_drained:
        state.said_drained = all_drained
        turn.writes.state[DRAINED] = "1" if all_drained else "0"


def _all_idle(state: State) -> bool:
    """Also of what is between them: who takes a letter is busy with the commit that takes it."""
    everywhere = range(state.settings.partitions)
    if state.taskdb.mail(everywhere, 1):
        return False
    said = (state.taskdb.state_of(*_entry(partition)) for partition in everywhere)
    return all(word == "1" for word in said) and not state.taskdb.mail(everywhere, 1)


def _entry(partition: int) -> Key:
    return ("", f"drained:{partition}")
