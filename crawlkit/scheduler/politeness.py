"""Keeps the gate of the hosts up to date with what goes out, what comes back, and what projects say.

How a host may be asked is decided in scheduler.host_gate; holds are written down with the turn that began them.
"""

from __future__ import annotations

import hashlib
from typing import Any

from crawlkit.libs import host_limits
from crawlkit.libs.host_limits import HostLimits
from crawlkit.libs.messages import FetchEnded, Outcome, ProjectInfo
from crawlkit.libs.task import host_of
from crawlkit.scheduler.autothrottle import Answer
from crawlkit.scheduler.host_gate import SLOW_DOWN, HostGate
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.state import Out, State
from crawlkit.scheduler.turn import Turn

ENTRY = "host:"  # of the taskdb's state, followed by the host
MAX_ENTRY, LONG = 255, 200  # characters that the store takes; of a host with a longer entry that stand in it
HASHED = "#"  # stands in no host
MOST_KEPT = 10_000  # holds that are written down; of more the rest is only in memory
UNREACHED = frozenset({"connect", "connect_timeout", "timeout", "too_slow", "reset"})
NEVER_ASKED = frozenset(
    {"address", "bad_request", "bad_url", "crashed", "dns", "file", "internal", "no_browser", "overload", "proxy",
     "robots"}
)  # fmt: skip
FINE = frozenset({404, 410})  # answers like any other


def new_gate(settings: EngineSettings, since: float) -> HostGate:
    """A gate of which nothing is known; ``since`` as :class:`HostGate` has it."""
    return HostGate(settings.host_limits, hold_first=settings.hold_first, hold_max=settings.hold_max, since=since)


# -- what goes out and comes back --------------------------------------------------------------------------------------


def sent(state: State, turn: Turn, out: Out) -> None:
    """A fetch goes out for this lease."""
    leave(state, turn, out)
    host = out.row.host
    if host:
        out.asks = host
        state.gate.take(host, turn.mono, out.row.project)


def leave(state: State, turn: Turn, out: Out) -> None:
    """Its fetch has ended, or its lease has: the first of both frees the host's place."""
    if out.asks:
        state.gate.ended(out.asks, turn.mono)
        out.asks = ""


def fetch_ended(state: State, turn: Turn, ended: FetchEnded, out: Out | None) -> None:
    """What the host said; ``out``: the lease, when it is still that attempt's."""
    gate, asked = state.gate, out.row.host if out is not None else ended.host
    if out is not None and asked:
        known = ended.crawl_delay
        if known is not None or gate.reads_robots(asked):
            gate.crawl_delay(asked, known, turn.mono)
    answer = answer_of(ended)
    if answer is not None:
        gate.answered(ended.host, turn.mono, answer, ended.time, ended.status_code, ended.retry_after)
        if asked != ended.host:  # it was redirected
            if same_site(asked, ended.host):
                gate.answered(asked, turn.mono, answer, ended.time, ended.status_code, ended.retry_after)
            elif answer in (Answer.GOOD, Answer.OTHER):
                gate.answered(asked, turn.mono, answer, ended.time, ended.status_code)
    if out is not None:
        leave(state, turn, out)


def answer_of(ended: FetchEnded) -> Answer | None:
    """What an end of a fetch says about its host; ``None``: the host was not asked."""
    kind, status = ended.error_kind, ended.status_code
    if kind is not None:
        return None if kind in NEVER_ASKED else Answer.TROUBLE if kind in UNREACHED else Answer.OTHER
    if status in SLOW_DOWN:
        return Answer.REFUSED
    return Answer.GOOD if status < 400 or status in FINE else Answer.OTHER


def asked_for_rest(state: State, outcome: Outcome) -> bool:
    """Whether it failed because its host, which is held for it, asked to be left alone: no fault of its project."""
    fetch = outcome.fetch
    if fetch is None or fetch.status_code not in SLOW_DOWN:
        return False
    return state.gate.holds(host_of(fetch.redirect_url or outcome.url))


def same_site(one: str, other: str) -> bool:
    """Whether both hosts are the same but for a ``www.``; ports do not matter.

    No other part of a host counts: who has ``evil.blogs.example`` is not who has ``blogs.example``.
    """
    return _bare(one).removeprefix("www.") == _bare(other).removeprefix("www.")


def _bare(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).removesuffix(".")  # rows of older releases have such names


# -- what projects say -------------------------------------------------------------------------------------------------


def limits_of(info: ProjectInfo) -> HostLimits:
    """What a project's handler says of hosts. Raises :class:`InvalidTask`."""
    return host_limits.read(info.crawl_config.get("host_limits"), "host_limits")


# -- memory ------------------------------------------------------------------------------------------------------------


def load(state: State, turn: Turn, stored: dict[tuple[str, str], str]) -> None:
    """After a start: the holds that last, and the places of what is under way. Leases must be loaded."""
    used = bool(state.leases) or any(entry == "bucket" for _, entry in stored)
    state.gate = new_gate(state.settings, turn.mono if used else float("-inf"))
    for (project, entry), text in stored.items():
        if not project and entry.startswith(ENTRY):
            host, text = _unwritten(entry, text)
            if not state.has("", host):
                continue
            if state.gate.load(host, text, turn.mono, turn.now):
                state.held.add(host)
            else:
                turn.writes.state["", entry] = None
    for out in state.leases.values():
        if not out.parked and out.row.host:
            out.asks = out.row.host
            state.gate.adopt(out.asks, out.row.project, turn.mono)


def write(state: State, turn: Turn) -> None:
    """The holds that began, grew or ended, with the turn's transaction."""
    changed, state.gate.changed = state.gate.changed, set()
    turn.outbox.let_go, state.gate.let_go = state.gate.let_go, 0
    for host in changed:
        if not state.has("", host):
            continue  # somebody was redirected there; its owner hears of it when it asks
        text = state.gate.dump(host, turn.mono, turn.now)
        if text is None:
            if host in state.held:
                state.held.discard(host)
                turn.writes.state["", _entry(host)] = None
        elif host in state.held or len(state.held) < MOST_KEPT:
            state.held.add(host)
            turn.writes.state["", _entry(host)] = _written(host, text)
        block = state.gate.explain(host, turn.mono)
        if block is not None and text is not None:
            turn.outbox.holds.append((host, block))


def _entry(host: str) -> str:
    """Under what its hold is written down: the name, and of a long one the beginning and a hash."""
    if len(ENTRY + host) <= MAX_ENTRY:
        return ENTRY + host
    digest = hashlib.md5(host.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return f"{ENTRY}{host[:LONG]}{HASHED}{digest}"


def _written(host: str, text: str) -> str:
    """What is written there. A long name, which its entry does not tell, stands before it."""
    return text if len(ENTRY + host) <= MAX_ENTRY else f"{host} {text}"


def _unwritten(entry: str, text: str) -> tuple[str, str]:
    """(host, its hold as text): what :func:`_written` made of them."""
    if HASHED not in entry:
        return entry.removeprefix(ENTRY), text
    host, _, text = text.rpartition(" ")
    return host, text


def look(state: State, now: float, mono: float, limit: int = 100, project: str | None = None) -> list[dict[str, Any]]:
    """The hosts that may not be asked now, those with the longest wait first: for people.

    ``until`` is Unix time; ``None``: when something that is under way has ended.
    """
    found: list[dict[str, Any]] = []
    for host, one, block in state.gate.blocked(mono, project):
        known = block.seconds != float("inf")
        until = now + block.seconds if known else None
        found.append({"host": host, "why": block.why, "text": block.text, "until": until, "under_way": one})
    found.sort(key=lambda entry: (entry["until"] is None, -float(entry["until"] or 0.0), entry["host"]))
    return found[:limit]
