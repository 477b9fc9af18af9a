"""The processes that take part: by their heartbeats, which the scheduler writes down."""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec
from msgspec import Struct

from crawlkit.database.base import NodeRow
from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.gate import Identity
from crawlkit.webui.services import Services

room = Room("nodes")

SILENT = 40.0  # seconds without a word until a process counts as gone; heartbeats are written down every 10 s
MOST_GONE = 100  # of those that are gone, the newest
SHOWN = 7 * 86_400.0  # seconds that one that is gone is listed


class Node(Struct):
    """A process."""

    node: str
    role: str
    """scheduler, fetcher, processor, result_worker, webui."""
    host: str
    pid: int
    version: str
    started: float
    """Unix time."""
    seen: float
    """Unix time of its last heartbeat."""
    alive: bool
    cpu: float | None
    """Percent of one core, with its workers; null when it is gone or does not say."""
    rss: int | None
    """Bytes of memory, with its workers."""
    stats: dict[str, float]
    """What it counts, by names of its own."""


class NodeList(Struct):
    """Processes, those that live first."""

    items: list[Node]
    total: int
    next: str | None = None
    """Always null: there is one page."""


class NodeQuery(Struct):
    """Which processes."""

    role: Annotated[str, msgspec.Meta(max_length=64)] = ""
    alive: bool | None = None


@room.endpoint("GET", "/nodes", query=NodeQuery, returns=NodeList)
def list_nodes(services: Services, request: Request[NodeQuery, None]) -> NodeList:
    """The processes that take part, and the last hundred that did in the last seven days."""
    query = request.query
    found = [
        node for node in nodes_of(services.taskdb.nodes(), services.clock.time())
        if (not query.role or node.role == query.role) and (query.alive is None or node.alive == query.alive)
    ]  # fmt: skip
    return NodeList(found, len(found))


@room.live("nodes", interval=2.0)
def live_nodes(services: Services, query: None, identity: Identity) -> dict[str, Any]:
    """Key: the node's name."""
    found = nodes_of(services.taskdb.nodes(), services.clock.time())
    return {node.node: msgspec.to_builtins(node) for node in found}


def nodes_of(rows: list[NodeRow], now: float) -> list[Node]:
    """The rows for people: those that live first, then by role; old ones that are gone are left out. Pure."""
    nodes = [_node_of(row, now) for row in rows if now - row.seen < SHOWN]
    alive = sorted((node for node in nodes if node.alive), key=lambda node: (node.role, node.node))
    gone = sorted((node for node in nodes if not node.alive), key=lambda node: (-node.seen, node.node))
    return alive + gone[:MOST_GONE]


def _node_of(row: NodeRow, now: float) -> Node:
    alive = row.alive and now - row.seen < SILENT
    said = json.loads(row.stats or "{}").items()
    stats = {name: float(value) for name, value in said if isinstance(value, int | float)}
    cpu, rss = stats.pop("cpu", None), stats.pop("rss", None)
    known = alive and rss is not None
    return Node(
        row.node, row.role, row.host, row.pid, row.version, row.started, row.seen, alive,
        cpu if known else None, int(rss) if known and rss is not None else None, stats,
    )  # fmt: skip
