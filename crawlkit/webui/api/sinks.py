"""Where results go beside the resultdb, and how far they are."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Struct

from crawlkit.result.sink_report import SinkState, states_of
from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.services import Services

room = Room("sinks")


class SinkList(Struct):
    """One item for each sink and project."""

    items: list[SinkState]
    total: int
    next: str | None = None


class SinkQuery(Struct):
    """Which page."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 500
    cursor: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{0,9}$")] = ""


@room.endpoint("GET", "/sinks", query=SinkQuery, returns=SinkList)
def list_sinks(services: Services, request: Request[SinkQuery, None]) -> SinkList:
    """The sinks of the result workers, and what of each project is in their files."""
    resultdb = services.resultdb
    found = []
    if callable(getattr(resultdb, "take_sink", None)):  # one that is not crawlkit's may remember no sinks
        found = states_of(resultdb.projects(), resultdb, services.clock.time())  # type: ignore[arg-type]
    start = int(request.query.cursor or 0)
    end = start + request.query.limit
    return SinkList(found[start:end], len(found), str(end) if end < len(found) else None)
