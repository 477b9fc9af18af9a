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


def load(state: State, turn: Turn, stored: dict[Key, str]) -> None:
    """After a start: what was said before, and which messages this scheduler sends."""
    state.said_drained = stored.get(DRAINED) == "1"
    words = msgspec.json.encode({"version": VERSION, "crawlkit": __version__}).decode()
    if stored.get(PROTOCOL) != words:
        turn.writes.state[PROTOCOL] = words


def tell(state: State, turn: Turn, drained: bool) -> None:
    """Whether everything has drained. ``drained``: by the look after the turn before this one.

    That there is work again is written in the transaction that accepts it.
    """
    busy = bool(state.leases or turn.changes or not drained)
    state.idle_turns = 0 if busy else state.idle_turns + 1
    if state.said_drained and busy:
        state.said_drained = False
        turn.writes.state[DRAINED] = "0"
    elif not state.said_drained and state.idle_turns >= SURE:
        state.said_drained = True
        turn.writes.state[DRAINED] = "1"
