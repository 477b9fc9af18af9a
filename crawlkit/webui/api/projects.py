"""Projects: the list that the dashboard shows live, their group, status and rate, and orders for all their tasks."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from crawlkit.libs.errors import ServiceUnreachable
from crawlkit.libs.rows import ProjectRow
from crawlkit.libs.task import ACTIVE_STATUSES
from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.board import Seen, board_of
from crawlkit.webui.gate import EDITOR, Identity
from crawlkit.webui.problem import Problem, not_found
from crawlkit.webui.project_list import ProjectItem, Totals, chosen, item_of_row
from crawlkit.webui.services import Services

room = Room("projects")

Status = Literal["TODO", "STOP", "CHECKING", "DEBUG", "RUNNING"]
ORDERS = ("clear", "restart", "retry_failed", "pause", "resume")


class ProjectQuery(Struct):
    """Which projects, and in which order."""

    q: Annotated[str, Meta(max_length=200, description="Words that the name or the group has.")] = ""
    group: Annotated[str, Meta(max_length=64, description="The whole group; - for those without one.")] = ""
    status: Literal[
        "", "TODO", "STOP", "CHECKING", "DEBUG", "RUNNING", "active", "paused", "failing", "busy"
    ] = ""  # fmt: skip
    sort: Annotated[
        str,
        Meta(max_length=12, pattern=r"^-?(group|name|status|waiting|done|failed|speed|time|eta|updated)$"),
    ] = "group"
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    cursor: Annotated[str, Meta(max_length=9, pattern=r"^[0-9]*$")] = ""


class ProjectPage(Struct):
    """A page of projects. Without a scheduler there are no counts."""

    items: list[ProjectItem]
    total: int
    next: str | None
    groups: list[str]
    sums: Totals
    """Of all projects, whatever the filter."""
    scheduler: bool


class ProjectChange(Struct, forbid_unknown_fields=True):
    """What shall be different; what is left out stays."""

    group: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    rate: Annotated[float, Meta(ge=0, le=1e6)] | UnsetType | None = UNSET
    """Pages per second; null: unlimited."""
    burst: Annotated[float, Meta(ge=1, le=1e6)] | UnsetType = UNSET
    rate_set: bool | UnsetType = UNSET
    """False: back to the default rate, which does not hold for loopback hosts."""
    max_pages: Annotated[int, Meta(ge=0, lt=2**53)] | UnsetType | None = UNSET
    """Fetches it may make in all, retries included; null: no bound, and the count begins anew with the next one."""
    limits: Annotated[str, Meta(max_length=2**16)] | UnsetType | None = UNSET
    """A JSON object of bounds, `keep_tasks` in seconds, `weight`; wins over the handler's crawl_config. null: none."""


class OrderBody(Struct, forbid_unknown_fields=True):
    """More about an order."""

    reason: Annotated[str, Meta(max_length=255)] = ""
    """retry_failed: only tasks that failed with it."""


class OrderQuery(Struct):
    """More about an order that is only counted."""

    reason: Annotated[str, Meta(max_length=255)] = ""


class Counted(Struct):
    """What an order would touch."""

    tasks: int
    leased: int
    """Tasks that are on their way; they are let come to their end."""


class Answer(Struct):
    """What the scheduler says to an order."""

    accepted: bool
    verdict: str
    reason: str
    active: bool = True
    """Whether the project runs, so that something will come of it."""


def seen_page(seen: Seen, query: ProjectQuery) -> ProjectPage:
    """The page that a query means."""
    group = {"": None, "-": ""}.get(query.group, query.group)
    fitting = chosen(seen.items, query.q, group, query.status, query.sort)
    start = int(query.cursor or 0)
    end = start + query.limit
    return ProjectPage(
        fitting[start:end], len(fitting), str(end) if end < len(fitting) else None, seen.groups, seen.totals,
        seen.scheduler,
    )  # fmt: skip


@room.live("dashboard", query=ProjectQuery)
def watch(services: Services, query: ProjectQuery, identity: Identity) -> dict[str, Any]:
    """The projects of a page, each under its name, with ``page`` and ``sums`` beside them."""
    page = seen_page(board_of(services).look(services), query)
    shown: dict[str, Any] = {f"project:{item.name}": item for item in page.items}
    shown["sums"] = page.sums
    shown["page"] = {
        "names": [item.name for item in page.items], "total": page.total, "next": page.next, "groups": page.groups,
        "scheduler": page.scheduler,
    }  # fmt: skip
    return shown


class OneQuery(Struct):
    """Which project."""

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_]+$")]


@room.live("project", query=OneQuery)
def watch_one(services: Services, query: OneQuery, identity: Identity) -> dict[str, Any]:
    """One project under ``project``, null when it is gone."""
    seen = board_of(services).look(services)
    item = next((item for item in seen.items if item.name == query.name), None)
    if item is None and (row := services.projectdb.get(query.name)) is not None:
        item = item_of_row(row)
    return {"project": item, "scheduler": seen.scheduler}


@room.endpoint("GET", "/projects", query=ProjectQuery, returns=ProjectPage)
def list_projects(services: Services, request: Request[ProjectQuery, None]) -> ProjectPage:
    """The projects, as they stand a second ago at most."""
    return seen_page(board_of(services).look(services), request.query)


@room.endpoint("GET", "/projects/{project}", returns=ProjectItem, refusals=(404,))
def show_project(services: Services, request: Request[None, None]) -> ProjectItem:
    """One project."""
    return _item(services, request.path["project"])


@room.endpoint("PATCH", "/projects/{project}", role=EDITOR, body=ProjectChange, returns=ProjectItem, refusals=(404,))
def change_project(services: Services, request: Request[None, ProjectChange]) -> ProjectItem:
    """Changes a project's group, status, rate, burst, page budget or limits. A running scheduler follows at once."""
    row = _row(services, request.path["project"])
    said = {
        name: value for name in ProjectChange.__struct_fields__ if (value := getattr(request.body, name)) is not UNSET
    }
    if "group" in said:
        said["group"] = said["group"].strip()
    if ("rate" in said or "burst" in said) and "rate_set" not in said:
        said["rate_set"] = True
    if said.get("rate_set") is False:
        said |= {"rate": ProjectRow("x").rate, "burst": ProjectRow("x").burst}
    row = msgspec.structs.replace(row, **said)
    services.projectdb.put(row, author=request.identity.user, message=", ".join(sorted(said)))
    with contextlib.suppress(ServiceUnreachable):  # one that starts later reads the projectdb
        services.scheduler.call("update_project")
    board_of(services).forget()
    return _item(services, row.name)


@room.endpoint("DELETE", "/projects/{project}", role=EDITOR, refusals=(404,))
def remove_project(services: Services, request: Request[None, None]) -> None:
    """Removes a project with its script, settings, tasks and results. Takes a running scheduler."""
    name = _row(services, request.path["project"]).name
    services.scheduler.call("drop_project", project=name)
    board_of(services).forget()


@room.endpoint("POST", "/projects/{project}/run", role=EDITOR, body=OrderBody, returns=Answer, refusals=(404,))
def run_project(services: Services, request: Request[None, OrderBody]) -> Answer:
    """Runs on_start. In a project that does not run it waits until that does."""
    row = _row(services, request.path["project"])
    answer = services.scheduler.call("run", project=row.name)
    board_of(services).forget()
    return Answer(answer["accepted"], answer["verdict"], answer["reason"], row.status in ACTIVE_STATUSES)


@room.endpoint(
    "GET", "/projects/{project}/orders/{order}", role=EDITOR, query=OrderQuery, returns=Counted, refusals=(404,)
)
def count_order(services: Services, request: Request[OrderQuery, None]) -> Counted:
    """How many tasks an order would touch: clear, restart, retry_failed, pause, resume or drop. Changes nothing."""
    row = _row(services, request.path["project"])
    order = request.path["order"]
    if order not in (*ORDERS, "drop"):
        raise not_found("order", order)
    found = services.scheduler.call("count_action", project=row.name, action=order, reason=request.query.reason or None)
    return Counted(found["tasks"], found["leased"])


@room.endpoint(
    "POST", "/projects/{project}/orders/{order}", role=EDITOR, body=OrderBody, returns=Answer, refusals=(404, 409)
)
def give_order(services: Services, request: Request[None, OrderBody]) -> Answer:
    """Clears, restarts, pauses or resumes a project, or runs its failed tasks again. Answers when it is accepted."""
    row = _row(services, request.path["project"])
    order = request.path["order"]
    if order not in ORDERS:
        raise not_found("order", order)
    answer = services.scheduler.call("order", project=row.name, action=order, reason=request.body.reason or None)
    board_of(services).forget()
    if not answer["accepted"]:
        raise Problem(409, "Not accepted", answer["reason"])
    return Answer(True, answer["verdict"], answer["reason"], row.status in ACTIVE_STATUSES)


def _row(services: Services, name: str) -> ProjectRow:
    row = services.projectdb.get(name)
    if row is None:
        raise not_found("project", name)
    return row


def _item(services: Services, name: str) -> ProjectItem:
    """The project as the projectdb has it now, with what the scheduler counts."""
    row = _row(services, name)
    fresh = item_of_row(row)
    known = next((item for item in board_of(services).look(services).items if item.name == name), fresh)
    parts = ("group", "status", "rate", "burst", "rate_set", "updated", "max_pages", "limits")
    said = {part: getattr(fresh, part) for part in parts}
    return msgspec.structs.replace(known, **said)
