"""Who changed what; for admins."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Struct

from crawlkit.webui.api.account import Limit, Text, accounts_of
from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.gate import ADMIN
from crawlkit.webui.services import Services

room = Room("audit")

Word = Annotated[str, msgspec.Meta(max_length=64)]
Time = Annotated[float, msgspec.Meta(ge=0, le=1e11)]


class AuditQuery(Struct):
    """Which entries. What is left out does not filter."""

    user: Word = ""
    action: Word = ""
    """The whole word, or with a dot at its end all that begin so: ``user.``"""
    project: Word = ""
    text: Text = ""
    """A part of the detail, in whatever case."""
    since: Time | None = None
    """Unix time."""
    until: Time | None = None
    """Unix time."""
    limit: Limit = 100
    cursor: Annotated[str, msgspec.Meta(max_length=15, pattern=r"^[0-9]*$")] = ""
    """The ``next`` of the page before."""


class AuditEntry(Struct):
    """One thing that somebody did."""

    id: int
    time: float
    """Unix time."""
    user: str
    via: str
    """link, password, token, basic, command."""
    action: str
    project: str
    detail: str
    address: str


class AuditPage(Struct):
    """Entries, newest first."""

    items: list[AuditEntry]
    next: str | None = None
    total: int | None = None
    """Not counted."""


@room.endpoint("GET", "/audit", role=ADMIN, query=AuditQuery, returns=AuditPage)
def read_audit(services: Services, request: Request[AuditQuery, None]) -> AuditPage:
    """The audit log, newest first. It is kept for a year."""
    query = request.query
    rows = accounts_of(services).store.audit(
        user=query.user, action=query.action, project=query.project, text=query.text, since=query.since,
        until=query.until, before=int(query.cursor) if query.cursor else None, limit=query.limit + 1,
    )  # fmt: skip
    more = len(rows) > query.limit
    rows = rows[: query.limit]
    entries = [
        AuditEntry(row.id, row.time, row.user, row.via, row.action, row.project, row.detail, row.address)
        for row in rows
    ]
    return AuditPage(entries, str(rows[-1].id) if more else None)
