"""What components and callbacks logged: searched page by page, and followed by number as it comes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Struct

from crawlkit.database.base import LogFilter, LogLine
from crawlkit.libs.rows import LogPage
from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.gate import Identity
from crawlkit.webui.masks import masked_url
from crawlkit.webui.services import Services

room = Room("logs")

LEVELS = {"": 0, "debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
Name = Annotated[str, msgspec.Meta(max_length=255)]
Text = Annotated[str, msgspec.Meta(max_length=200)]
Time = Annotated[float, msgspec.Meta(ge=0, le=1e11)]
Cursor = Annotated[str, msgspec.Meta(max_length=18, pattern=r"^[0-9]*$")]
Level = Literal["", "debug", "info", "warning", "error", "critical"]


class LogQuery(Struct):
    """Which lines. What is left out does not filter."""

    project: Name = ""
    node: Name = ""
    """A process, by its name."""
    role: Name = ""
    """scheduler, fetcher, processor, result_worker, webui, supervisor."""
    task: Name = ""
    """A taskid."""
    level: Level = ""
    """This level or a higher one."""
    since: Time | None = None
    """Unix time."""
    until: Time | None = None
    """Unix time."""
    text: Text = ""
    """A part of the text; the case of ASCII letters does not count."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
    cursor: Cursor = ""
    """The ``next`` of the page before."""
    after: Cursor = ""
    """Instead of ``cursor``: the lines with a number above this, oldest first. ``next`` is where to go on."""


class Line(Struct):
    """Something that was logged."""

    n: int
    """Its number, in the order of storing."""
    time: float
    """Unix time."""
    level: int
    """10 debug, 20 info, 30 warning, 40 error, 50 critical."""
    text: str
    node: str
    role: str
    project: str
    """Empty: it is the process's own."""
    taskid: str
    callback: str
    url: str
    logger: str


class LogLines(Struct):
    """A page of lines: newest first, or oldest first with ``after``."""

    items: list[Line]
    next: str | None
    """Where to go on; null: there is nothing further."""
    last: int
    """The number of the newest line there is."""
    looked: float | None = None
    """Not everything was looked at yet: how far it came, as a Unix time. Ask for ``next`` to look further."""
    total: int | None = None
    """Not counted."""


class LogNode(Struct):
    """A process that has lines here."""

    node: str
    role: str


class LogStoreState(Struct):
    """What there is to search."""

    nodes: list[LogNode]
    lines: int
    """About."""
    bytes: int
    """About."""
    last: int
    """The number of the newest line."""


@room.endpoint("GET", "/logs", query=LogQuery, returns=LogLines)
def search_logs(services: Services, request: Request[LogQuery, None]) -> LogLines:
    """Lines of the log store, of every node. A search ends after a fifth of a second and says how far it looked."""
    query = request.query
    wanted = LogFilter(
        query.project, query.node, query.role, query.task, LEVELS[query.level], query.since, query.until, query.text
    )
    last = services.logdb.last()
    if query.after:
        page = services.logdb.tail(wanted, int(query.after), query.limit)
    else:
        page = services.logdb.search(wanted, int(query.cursor) if query.cursor else None, query.limit)
    return _page(page, last)


@room.endpoint("GET", "/logs/nodes", returns=LogStoreState)
def log_nodes(services: Services, request: Request[None, None]) -> LogStoreState:
    """The processes that have lines in the log store, and how large it is."""
    lines, size = services.logdb.size()
    nodes = [LogNode(node, role) for node, role in services.logdb.nodes()]
    return LogStoreState(nodes, lines, size, services.logdb.last())


@room.live("logs", interval=0.5)
def live_logs(services: Services, query: None, identity: Identity) -> dict[str, Any]:
    """``last``: the newest number. When it grows, ask for the lines ``after`` the last one you have."""
    return {"last": services.logdb.last()}


def _page(page: LogPage, last: int) -> LogLines:
    return LogLines(
        [_line(line) for line in page.lines], None if page.next is None else str(page.next), last, page.looked
    )


def _line(line: LogLine) -> Line:
    return Line(
        line.n, line.time, line.level, line.text, line.node, line.role, line.project, line.taskid, line.callback,
        masked_url(line.url), line.logger,
    )  # fmt: skip
