"""The processes that take part, as people see them: from the rows that the scheduler writes of their heartbeats.

Pure. The times in the rows are the scheduler's alone, so the clocks of other hosts, the reader's too, do not matter:
whether anybody writes at all is told by whether the rows change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from msgspec import Struct

from crawlkit.libs.rows import NodeRow

ALIVE, PAUSED, STOPPING, STOPPED, DEAD, UNKNOWN = "alive", "paused", "stopping", "stopped", "dead", "unknown"
STATES = (ALIVE, PAUSED, STOPPING, STOPPED, DEAD, UNKNOWN)
HERE = (ALIVE, PAUSED, STOPPING)
ROLES = ("scheduler", "fetcher", "processor", "result_worker", "webui")
WRITTEN = 5.0  # seconds between two writings of the rows, at most
STALE = 4 * WRITTEN  # seconds without one after which nobody is known to be there
MOST_GONE = 100  # of those that are gone, the newest
SHOWN = 7 * 86_400.0  # seconds that one that is gone is listed
SORTS = ("name", "host", "role", "version", "since", "cpu", "memory", "in", "out", "inflight", "seen", "state")


class Node(Struct):
    """A process."""

    node: str
    role: str
    """scheduler, fetcher, processor, result_worker, webui."""
    host: str
    pid: int
    version: str
    started: float
    """Unix time, by its own clock."""
    seen: float
    """Unix time of its last heartbeat, by the scheduler's clock."""
    alive: bool
    state: str
    """alive, paused, stopping; stopped: it said good-bye; dead: it fell silent; unknown: no scheduler hears anybody."""
    reason: str
    """Why it is paused, or unknown."""
    silent: float
    """Seconds from its last heartbeat to the newest of all."""
    cpu: float | None
    """Percent of one core, with its workers; null when it is gone or does not say."""
    rss: int | None
    """Bytes of memory, with its workers."""
    net_in: float | None
    """Bytes a second that it took from the network for its work; null for roles that move none."""
    net_out: float | None
    inflight: int | None
    """Tasks in its hands."""
    stats: dict[str, float]
    """What it counts, by names of its own."""


class Watch:
    """Tells whether the rows go on being written, by whether the newest of them changes."""

    def __init__(self) -> None:
        self._newest: float | None = None
        self._changed = 0.0

    def silence(self, rows: Iterable[NodeRow], now: float, mono: float) -> float:
        """Seconds since a scheduler wrote. At the first look by the date, from then on by ``mono`` alone."""
        newest = max((row.seen for row in rows), default=0.0)
        if self._newest is None:
            self._changed = mono - max(0.0, now - newest)
        elif newest != self._newest:
            self._changed = mono
        self._newest = newest
        return mono - self._changed


def nodes_of(rows: list[NodeRow], silence: float = 0.0) -> list[Node]:
    """The rows for people: those that live first, then by role; old ones that are gone are left out.

    ``silence``: seconds since any row was written, as :class:`Watch` tells.
    """
    newest = max((row.seen for row in rows), default=0.0)
    nodes = [_node_of(row, newest, silence) for row in rows if newest - row.seen < SHOWN]
    alive = sorted((node for node in nodes if node.alive), key=lambda node: (node.role, node.node))
    gone = sorted((node for node in nodes if not node.alive), key=lambda node: (-node.seen, node.node))
    return alive + gone[:MOST_GONE]


def matching(
    nodes: list[Node],
    *,
    role: str = "",
    host: str = "",
    state: str = "",
    text: str = "",
    alive: bool | None = None,
    sort: str = "",
) -> list[Node]:
    """Those that were asked for. ``text``: a part of the name, in any case; ``sort``: one of SORTS, ``-`` descends."""
    found = [
        node
        for node in nodes
        if (not role or node.role == role)
        and (not host or node.host == host)
        and (not state or node.state == state)
        and (alive is None or node.alive == alive)
        and text.lower() in node.node.lower()
    ]
    name = sort.removeprefix("-")
    if name in SORTS:
        known = [node for node in found if _value(node, name) is not None]
        known.sort(key=lambda node: _value(node, name), reverse=sort.startswith("-"))  # type: ignore[arg-type, return-value]
        found = known + [node for node in found if _value(node, name) is None]
    return found


def _value(node: Node, sort: str) -> float | str | None:
    names = {"name": "node", "since": "started", "memory": "rss", "in": "net_in", "out": "net_out"}
    value: float | str | None = getattr(node, names.get(sort, sort))
    return value


def _node_of(row: NodeRow, newest: float, silence: float) -> Node:
    said = json.loads(row.stats or "{}")
    stats = {name: float(value) for name, value in said.items() if isinstance(value, int | float)}
    state, reason = said.get("state") or (ALIVE if row.alive else STOPPED), said.get("reason") or ""
    if row.alive and silence > STALE:
        state, reason = UNKNOWN, f"nobody has been heard for {silence:.0f} s: is there a scheduler, and its queues?"
    elif row.alive and newest - row.seen > STALE:
        state, reason = DEAD, ""
    alive = row.alive and state in HERE
    here = {name: stats.pop(name, None) for name in ("cpu", "rss", "net_in", "net_out", "held")}
    if not alive:
        here = dict.fromkeys(here)
    rss, held = here["rss"], here["held"]
    return Node(
        row.node, row.role, row.host, row.pid, row.version, row.started, row.seen, alive, str(state), str(reason),
        max(0.0, newest - row.seen), here["cpu"], None if rss is None else int(rss), here["net_in"], here["net_out"],
        None if held is None else int(held), stats,
    )  # fmt: skip
