"""Keeps the gate of the hosts up to date with what goes out, what comes back, and what projects say.

How a host may be asked is decided in scheduler.host_gate; holds are written down with the turn that began them.
"""

from __future__ import annotations

from typing import Any

from crawlkit.libs import host_limits
from crawlkit.libs.host_limits import HostLimits
from crawlkit.libs.messages import FetchEnded, ProjectInfo
from crawlkit.scheduler.autothrottle import Answer
from crawlkit.scheduler.host_gate import SLOW_DOWN, HostGate
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.state import Out, State
from crawlkit.scheduler.turn import Turn

ENTRY = "host:"  # of the taskdb's state, followed by the host
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


def same_site(one: str, other: str) -> bool:
    """Whether one of both hosts is the other, or a part of it; ports do not matter."""
    first, second = _bare(one), _bare(other)
    return first == second or first.endswith("." + second) or second.endswith("." + first)


def _bare(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


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
            host = entry.removeprefix(ENTRY)
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
    for host in changed:
        text = state.gate.dump(host, turn.mono, turn.now)
        if text is None:
            if host in state.held:
                state.held.discard(host)
                turn.writes.state["", ENTRY + host] = None
        elif host in state.held or len(state.held) < MOST_KEPT:
            state.held.add(host)
            turn.writes.state["", ENTRY + host] = text
        block = state.gate.explain(host, turn.mono)
        if block is not None and text is not None:
            turn.outbox.holds.append((host, block))


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
