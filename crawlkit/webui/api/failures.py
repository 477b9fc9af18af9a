"""Failures: which tasks failed for which reason, and another try for all of one reason."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from crawlkit.webui.api.parts import Cursor, Limit, ProjectName, cursor_of, place_of_cursor
from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.gate import EDITOR
from crawlkit.webui.masks import masked_url
from crawlkit.webui.problem import Problem
from crawlkit.webui.services import Services

room = Room("failures")


class FailureQuery(Struct):
    """Of which project; of all without one."""

    project: ProjectName | None = None
    text: Annotated[str, Meta(min_length=1, max_length=255, description="A part of the reason.")] | None = None
    state: Literal["failed", "retrying"] = "failed"
    """`retrying`: tasks that wait for another try, instead of those that failed for good."""
    limit: Limit = 50
    cursor: Cursor | None = None


class Example(Struct):
    """A task that failed so."""

    taskid: str
    url: str


class FailureGroupView(Struct):
    """The tasks of a project that failed for one reason."""

    project: str
    reason: str
    tasks: int
    first: float
    last: float
    examples: list[Example]


class FailureList(Struct):
    """A page of groups, the largest first."""

    items: list[FailureGroupView]
    total: int
    """Groups."""
    failed: int
    """Tasks that failed, in all groups."""
    counted: int
    """Fewer than `failed` when there were too many to look at: then the numbers of the groups are lower bounds."""
    next: str | None
    retrying: int = 0
    """Tasks that wait for another try; counted when the groups are of those that failed."""


@room.endpoint("GET", "/failures", query=FailureQuery, returns=FailureList)
def list_failures(services: Services, request: Request[FailureQuery, None]) -> FailureList:
    """Failed tasks by project and reason, with the newest examples."""
    asked = request.query
    page = services.taskdb.failure_groups(asked.project, retrying=asked.state == "retrying")
    late = 0 if asked.state == "retrying" else services.taskdb.failure_groups(asked.project, 0, retrying=True).counted
    text = (asked.text or "").lower()
    groups = [one for one in page.groups if text in one.reason.lower()]
    start = place_of_cursor(asked.cursor, int) or 0
    shown = groups[max(0, start) : max(0, start) + asked.limit]
    end = start + len(shown)
    items = [
        FailureGroupView(one.project, one.reason, one.tasks, one.first, one.last,
                         [Example(taskid, masked_url(url)) for taskid, url in one.examples])
        for one in shown
    ]  # fmt: skip
    return FailureList(items, len(groups), page.failed, page.counted, cursor_of(end) if end < len(groups) else None,
                       late)  # fmt: skip


class RetryBody(Struct, forbid_unknown_fields=True):
    """Which group."""

    reason: Annotated[str, Meta(min_length=1, max_length=255)]


class Retried(Struct):
    """The scheduler has begun."""

    accepted: bool
    tasks: int
    """How many it is about."""


@room.endpoint("POST", "/failures/{project}/retry", role=EDITOR, body=RetryBody, returns=Retried, refusals=(409,))
def retry_failures(services: Services, request: Request[None, RetryBody]) -> Retried:
    """Runs all tasks of a project again that failed for one reason.

    It goes on in the background, also after a crash.
    """
    project, reason = request.path["project"], request.body.reason
    if project not in services.projectdb.names():
        raise Problem(404, "Not found", f"there is no project {project}")
    counted = services.scheduler.call("count_action", project=project, action="retry_failed", reason=reason)
    said = services.scheduler.call("order", project=project, action="retry_failed", reason=reason)
    if not said["accepted"]:
        raise Problem(409, "Refused", str(said.get("reason") or said["verdict"]))
    return Retried(True, _number(counted))


def _number(counted: object) -> int:
    if isinstance(counted, dict):
        counted = counted.get("tasks", 0)
    return int(counted) if isinstance(counted, int | float) else 0
