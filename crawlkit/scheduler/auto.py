"""Tasks of ``fetch_type="auto"`` between their fetches: a doubted plain page goes to the browser, waits, or is taken.

Each further fetch is a new attempt of the same run under the same lease, so whatever comes late changes nothing. It is
no retry, and it goes at once; the project's bucket pays for it afterwards.
"""

from __future__ import annotations

from crawlkit.libs.auto import BROWSER, CONTROL, PLAIN, SETTLED, Auto, Said, pattern_of
from crawlkit.libs.rows import Key, Lease
from crawlkit.scheduler import awaits, politeness
from crawlkit.scheduler.auto_order import Pair, Pattern, keep, pair_of
from crawlkit.scheduler.learned import FINE, NEEDS
from crawlkit.scheduler.sending import dispatch_out, owe
from crawlkit.scheduler.state import Out, State
from crawlkit.scheduler.turn import Turn

NO_BROWSER = 30.0, 600.0  # seconds until a missing browser service is asked for again: at first, at most
NEVER = float("inf")
EVENT = "auto"  # in the ledger, with what fetched the page as its reason: plain, browser, or check for a comparison


def asked(state: State, turn: Turn, key: Key, out: Out, said: Said) -> None:
    """A processor kept nothing of a page and asks how it goes on."""
    pair = pair_of(state, turn, out, said.callback)
    probe = out.auto is not None and out.auto.probe
    auto = Auto(said.stage, said.why, check=said.check, kind=said.kind, tokens=said.tokens, seen=said.seen, probe=probe)
    if said.absent:
        _no_browser(state, turn, key, out, auto)
    elif said.stage == CONTROL:
        pair.learned.controlled(said.volatile)
        keep(turn, pair)
        _go(state, turn, key, out, _onward(auto, BROWSER))
    elif said.stage == BROWSER:
        if said.compared:
            _learn(state, turn, key, pair, auto, said)
        _leave(pair, key, auto)
        _go(state, turn, key, out, Auto(SETTLED, said.why))
        _again(state, turn, pair)
    else:
        out.auto = auto
        pair.learned.arrived(auto.kind, auto.tokens)
        if auto.seen is not None and not auto.seen.ending:
            _tally(pair, [f"{name}={value}" for name, value in auto.seen.fields.items()])
        _decide(state, turn, key, out, pair)


def _tally(pair: Pair, values: list[str]) -> None:
    if pair.tally.add(values):
        pair.raw = None


def _decide(state: State, turn: Turn, key: Key, out: Out, pair: Pair) -> None:
    """What becomes of a doubted page, by what is known now."""
    auto = out.auto
    if auto is None:
        return
    if auto.seen is not None and pair.tally.suspects:  # such values came up since it was judged
        fields = (f"{name}={value}" for name, value in auto.seen.fields.items())
        auto.tokens = sorted({*auto.tokens, *(one for one in fields if one in pair.tally.suspects)})
    word = pair.learned.decide(auto.kind, auto.tokens)
    pattern = (auto.kind, pattern_of(auto.tokens))
    if word == FINE and not auto.check:
        _go(state, turn, key, out, Auto(SETTLED, "plain", kind=auto.kind))
    elif word == NEEDS or auto.check:
        _compare(state, turn, key, out, pair, auto)
    elif len(pair.probing.get(pattern, ())) < pair.learned.probes(auto.kind, auto.tokens):
        pair.probing.setdefault(pattern, set()).add(key)
        auto.probe = True
        _compare(state, turn, key, out, pair, auto)
    else:  # the same doubt is being looked into; what comes of it holds for this page, too
        pair.waiting.setdefault(pattern, []).append(key)
        out.node, out.until = "", NEVER


def _compare(state: State, turn: Turn, key: Key, out: Out, pair: Pair, auto: Auto) -> None:
    _go(state, turn, key, out, _onward(auto, CONTROL if pair.learned.wants_control(auto.kind) else BROWSER))


def _onward(auto: Auto, stage: int) -> Auto:
    why = auto.why if auto.why.startswith("browser: ") else f"browser: {auto.why}"
    return Auto(stage, why, check=auto.check, kind=auto.kind, tokens=auto.tokens, seen=auto.seen, probe=auto.probe)


def _go(state: State, turn: Turn, key: Key, out: Out, auto: Auto) -> None:
    """The next fetch of the same run: another attempt, at once."""
    project = state.projects.get(key[0])
    if project is None:
        return
    awaits.forget(state, turn, key)
    awaits.set_parked(state, key, out, False)
    if auto.stage == BROWSER and out.pair is not None and out.pair in state.auto:
        auto.volatile = state.auto[out.pair].learned.volatile
    out.auto = auto
    out.attempt += 1
    out.parts, out.last, out.node = set(), None, ""
    out.sent, out.until = turn.mono, turn.mono + state.settings.lease
    turn.writes.lease.append(
        Lease(key[0], key[1], out.row.run, out.attempt, "", turn.now + state.settings.lease, out.since)
    )
    owe(state, turn, project)
    politeness.sent(state, turn, out)
    dispatch_out(state, turn, project, out)


def ended(state: State, turn: Turn, key: Key, out: Out, said: Said) -> None:
    """An attempt at a page of an auto task came to its end; its lease is about to be over."""
    if said.stage == BROWSER:
        state.no_browser.pop(key[0], None)
        if said.compared:
            auto = Auto(BROWSER, check=said.check, kind=said.kind, tokens=said.tokens)
            _learn(state, turn, key, pair_of(state, turn, out, said.callback), auto, said)
        return
    if said.stage == PLAIN and said.kind:
        pair = pair_of(state, turn, out, said.callback)
        pair.learned.settled()
        pair.learned.arrived(said.kind, said.tokens)
        _tally(pair, said.values)


def count(turn: Turn, project: str, said: Said) -> None:
    """A page that is not tried again counts as one, by what it took in the end."""
    checked = said.compared and not said.differs
    turn.writes.count(project, EVENT, "plain" if said.stage != BROWSER else "check" if checked else "browser")


def _learn(state: State, turn: Turn, key: Key, pair: Pair, auto: Auto, said: Said) -> None:
    pair.learned.compared(auto.kind, auto.tokens, said.differs, auto.check)
    keep(turn, pair)
    _leave(pair, key, auto)
    _again(state, turn, pair)


def left(state: State, turn: Turn, key: Key, out: Out) -> None:
    """The lease is over, however it ended: nobody waits for it."""
    pair = state.auto.get(out.pair) if out.pair is not None else None
    if pair is not None and out.auto is not None and pair.busy and _leave(pair, key, out.auto):
        _again(state, turn, pair)


def _leave(pair: Pair, key: Key, auto: Auto) -> bool:
    pattern = (auto.kind, pattern_of(auto.tokens))
    waiting = pair.waiting.get(pattern)
    if waiting is not None and key in waiting:
        waiting.remove(key)
        if not waiting:
            del pair.waiting[pattern]
    probing = pair.probing.get(pattern)
    if probing is None or key not in probing:
        return False
    probing.remove(key)
    if not probing:
        del pair.probing[pattern]
    return True


def _again(state: State, turn: Turn, pair: Pair) -> None:
    """Something became known, or will not: who waits is looked at anew."""
    waiting: dict[Pattern, list[Key]] = dict(pair.waiting)
    pair.waiting.clear()
    for keys in waiting.values():
        for key in keys:
            out = state.leases.get(key)
            if out is not None:
                _decide(state, turn, key, out, pair)


def _no_browser(state: State, turn: Turn, key: Key, out: Out, auto: Auto) -> None:
    """There is no browser service: everything of the project is taken as it comes, for a while."""
    name = key[0]
    until, wait = state.no_browser.get(name, (0.0, NO_BROWSER[0] / 2))
    if not until:
        turn.outbox.no_browser.append(name)
    if until <= turn.mono:
        wait = min(2 * wait, NO_BROWSER[1])
        state.no_browser[name] = (turn.mono + wait, wait)
    held: list[Key] = []
    for pair in [pair for pair in state.auto.values() if pair.project == name]:
        held += [one for keys in pair.waiting.values() for one in keys]
        pair.waiting.clear()
        pair.probing.clear()
    for one in held:
        if (other := state.leases.get(one)) is not None:
            _go(state, turn, one, other, Auto(SETTLED, "plain: there is no browser service"))
    why = auto.why.removeprefix("browser: ")
    _go(state, turn, key, out, Auto(SETTLED, f"plain: {why}, and there is no browser service"))
