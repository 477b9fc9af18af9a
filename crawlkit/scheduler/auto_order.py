"""How a task of ``fetch_type="auto"`` is sent: plainly, to be judged, or straight to the browser.

What was learned of a project's hosts and callbacks is in memory, and as of the last comparison in the taskdb's state.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import msgspec
from msgspec import Raw

from crawlkit.libs.auto import BROWSER, PLAIN, SETTLED, Auto, first_order
from crawlkit.libs.messages import AWAIT, Dispatch
from crawlkit.libs.rows import Key
from crawlkit.scheduler import learned
from crawlkit.scheduler.learned import Learned
from crawlkit.scheduler.state import Out, State
from crawlkit.scheduler.turn import Turn
from crawlkit.scheduler.value_tally import ValueTally

ENTRY = "auto:"
MOST_PAIRS = 500  # hosts and callbacks of a project

Pattern = tuple[str, str]  # kind, pattern


@dataclass
class Pair:
    """A host and a callback of a project: what is known, and what is on its way to be known."""

    project: str
    host: str
    callback: str
    learned: Learned
    tally: ValueTally = field(default_factory=ValueTally)
    raw: Raw | None = None  # of what is known, as it travels
    probing: dict[Pattern, set[Key]] = field(default_factory=dict)
    waiting: dict[Pattern, list[Key]] = field(default_factory=dict)

    def known(self) -> Raw:
        if self.raw is None:
            self.raw = learned.raw_known(self.learned, self.tally.suspects)
        return self.raw

    @property
    def busy(self) -> bool:
        return bool(self.probing or self.waiting)


def order(state: State, turn: Turn, out: Out, dispatch: Dispatch) -> None:
    """Writes into a dispatch of ``fetch_type="auto"`` what is to be done this time, the same for the whole attempt."""
    if dispatch.kind == AWAIT or dispatch.url[:4].lower() != "http":
        return  # no page that a callback is judged by
    if out.auto is None:
        out.auto = _first(state, turn, out, dispatch)
    dispatch.auto = out.auto
    if out.auto.stage == BROWSER:
        dispatch.fetch = msgspec.structs.replace(dispatch.fetch, fetch_type="js")
        dispatch.etag = dispatch.last_modified = None  # the document may be as it was, and what scripts load is not


def _first(state: State, turn: Turn, out: Out, dispatch: Dispatch) -> Auto:
    fetch = dispatch.fetch
    until = state.no_browser.get(dispatch.project, (0.0, 0.0))[0]
    if turn.mono < until:
        return Auto(SETTLED, "plain: there is no browser service")
    first = first_order(fetch)
    if first.stage != PLAIN:
        return first
    pair = pair_of(state, turn, out, dispatch.callback)
    if pair.learned.goes_straight():
        return Auto(BROWSER, "browser: nearly all pages of this callback and host need it")
    check = pair.learned.check_due()
    return Auto(PLAIN, "plain", pair.known(), check)


def pair_of(state: State, turn: Turn, out: Out, callback: str | None) -> Pair:
    """What is known of a task's host and callback; made when it is not there. A changed script is learned anew."""
    key = out.pair = (out.row.project, out.row.host, callback or "__call__")
    pair = state.auto.pop(key, None)
    if pair is None:
        _make_room(state, turn, key[0])
        pair = Pair(*key, Learned(out.script))
    state.auto[key] = pair  # at the end: the least used are first
    if out.script and pair.learned.script != out.script:
        pair.learned, pair.tally, pair.raw = Learned(out.script), ValueTally(), None
    return pair


def keep(turn: Turn, pair: Pair) -> None:
    """Writes down what is known, with the outcome that it was learned from."""
    pair.raw = None
    text = msgspec.json.encode([pair.host, pair.callback, learned.dump(pair.learned)]).decode()
    turn.writes.state[pair.project, _entry(pair)] = text


def load(state: State, project: str, text: str) -> None:
    """Reads what :func:`keep` wrote, after a start."""
    host, callback, stored = msgspec.json.decode(text, type=tuple[str, str, str])
    if not state.has(project, host):
        return
    state.auto[project, host, callback] = Pair(project, host, callback, learned.load(stored))


def _make_room(state: State, turn: Turn, project: str) -> None:
    """Those that something is on its way for stay: there are no more of them than leases."""
    if len(state.auto) < MOST_PAIRS:
        return
    own = [key for key in state.auto if key[0] == project]
    idle = [key for key in own if not state.auto[key].busy]
    for key in idle[: max(0, len(own) - MOST_PAIRS + 1)]:
        turn.writes.state[project, _entry(state.auto.pop(key))] = None


def _entry(pair: Pair) -> str:
    return ENTRY + hashlib.md5(f"{pair.host}\n{pair.callback}".encode(), usedforsecurity=False).hexdigest()
