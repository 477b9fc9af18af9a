"""The queues between the components: what they hold, what they may hold, how fast it goes [W02, W30]."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.gate import Identity
from crawlkit.webui.queues import QueueState, queue_sizes, watch_of
from crawlkit.webui.services import Services

room = Room("queues")


class QueueList(Struct):
    """Every queue of the ring, in its order, and after them the status queues of further partitions."""

    items: list[QueueState]
    total: int
    next: str | None = None
    """Always null: there is one page."""
    problem: str = ""
    """Why nothing is known, in words; what is unknown is null in the items."""


@room.endpoint("GET", "/queues", returns=QueueList)
def list_queues(services: Services, request: Request[None, None]) -> QueueList:
    """The queues with their sizes by messages and bytes, limits, and rates over the last seconds."""
    return _queues(services)


@room.live("queues")
def live_queues(services: Services, query: None, identity: Identity) -> dict[str, Any]:
    """Key: the queue's name; and ``problem``."""
    found = _queues(services)
    states: dict[str, Any] = {state.name: msgspec.to_builtins(state) for state in found.items}
    return {**states, "problem": found.problem}


def _queues(services: Services) -> QueueList:
    states = queue_sizes(services)
    watch = watch_of(services)
    unknown = all(state.messages is None for state in states)
    problem = (watch.problem if watch is not None else "this web UI has no queues to look at") if unknown else ""
    return QueueList(states, len(states), problem=problem)
