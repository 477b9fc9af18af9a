"""The processes that take part: by their heartbeats, which the scheduler writes down."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Struct

from crawlkit.libs.nodes import SORTS, STATES, Node, Watch, matching, nodes_of
from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.gate import Identity
from crawlkit.webui.problem import Problem
from crawlkit.webui.services import Services

room = Room("nodes")


class NodeList(Struct):
    """Processes, those that live first unless sorted otherwise."""

    items: list[Node]
    total: int
    next: str | None = None


class NodeQuery(Struct):
    """Which processes, and in which order."""

    role: Annotated[str, msgspec.Meta(max_length=64)] = ""
    host: Annotated[str, msgspec.Meta(max_length=255)] = ""
    state: Annotated[str, msgspec.Meta(max_length=16)] = ""
    """alive, paused, stopping, stopped, dead or unknown."""
    text: Annotated[str, msgspec.Meta(max_length=255)] = ""
    """A part of the name."""
    alive: bool | None = None
    sort: Annotated[str, msgspec.Meta(max_length=16)] = ""
    """name, host, role, version, since, cpu, memory, in, out, inflight, seen or state; with - before it, descending."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 500
    cursor: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{0,9}$")] = ""


@room.endpoint("GET", "/nodes", query=NodeQuery, returns=NodeList)
def list_nodes(services: Services, request: Request[NodeQuery, None]) -> NodeList:
    """The processes that take part, and the last hundred that did in the last seven days."""
    query = request.query
    if query.state and query.state not in STATES:
        raise Problem(400, "Invalid parameter", f"state {query.state!r}: use one of {', '.join(STATES)}")
    if query.sort and query.sort.removeprefix("-") not in SORTS:
        raise Problem(400, "Invalid parameter", f"sort {query.sort!r}: use one of {', '.join(SORTS)}")
    found = matching(
        _nodes(services), role=query.role, host=query.host, state=query.state, text=query.text, alive=query.alive,
        sort=query.sort,
    )  # fmt: skip
    start = int(query.cursor or 0)
    end = start + query.limit
    return NodeList(found[start:end], len(found), str(end) if end < len(found) else None)


@room.live("nodes", interval=2.0)
def live_nodes(services: Services, query: None, identity: Identity) -> dict[str, Any]:
    """Key: the node's name."""
    return {node.node: msgspec.to_builtins(node) for node in _nodes(services)}


def _nodes(services: Services) -> list[Node]:
    rows = services.taskdb.nodes()
    watch: Watch = services.extra.setdefault("nodes", Watch())
    return nodes_of(rows, watch.silence(rows, services.clock.time(), services.clock.monotonic()))
