"""Refusals in words, as RFC 9457 has them. Pure."""

from __future__ import annotations

from typing import Any

from crawlkit.libs.errors import (
    CrawlkitError,
    InvalidProject,
    InvalidTask,
    ScriptError,
    ServiceUnreachable,
    StoreUnavailable,
)

MEDIA_TYPE = "application/problem+json"

_STATUS: tuple[tuple[type[Exception], int, str], ...] = (
    (ServiceUnreachable, 503, "Scheduler not reachable"),
    (StoreUnavailable, 503, "Database not available"),
    (InvalidTask, 400, "Invalid task"),
    (InvalidProject, 400, "Invalid project"),
    (ScriptError, 422, "Script error"),
    (CrawlkitError, 400, "Refused"),
)


class Problem(Exception):
    """Ends an endpoint with an HTTP status and words. ``more``: further members of the answer, JSON-able."""

    def __init__(self, status: int, title: str, detail: str = "", **more: Any) -> None:
        super().__init__(detail or title)
        self.status = status
        self.title = title
        self.detail = detail
        self.more = more

    def body(self) -> dict[str, Any]:
        """The answer's members."""
        return {"status": self.status, "title": self.title, "detail": self.detail, **self.more}


def not_found(what: str, name: str) -> Problem:
    """404 that names what is not there."""
    return Problem(404, "Not found", f"there is no {what} {name!r}")


def problem_of(error: CrawlkitError) -> Problem:
    """The refusal that one of crawlkit's errors becomes."""
    for kind, status, title in _STATUS:
        if isinstance(error, kind):
            return Problem(status, title, str(error))
    raise error
