"""Tasks: search, one with its whole history, what just happened; run again and cancel."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from crawlkit.libs.errors import ServiceUnreachable
from crawlkit.libs.searches import TaskSearch
from crawlkit.libs.task import Status
from crawlkit.scheduler.onlookers import explain
from crawlkit.webui.api.parts import Cursor, Limit, ProjectName, Time, UrlPart, Word, cursor_of, task_place
from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.gate import EDITOR, Identity
from crawlkit.webui.masks import masked_url
from crawlkit.webui.problem import Problem
from crawlkit.webui.services import Services
from crawlkit.webui.task_views import TaskDetail, TaskItem, task_detail, task_item

room = Room("tasks")

ATTEMPTS = 200  # of a task that are shown, the newest
RESULTS = 20  # of a task that are shown with it
StatusName = Literal["active", "success", "failed", "bad"]


class TaskQuery(Struct):
    """Which tasks, in what order."""

    project: ProjectName | None = None
    status: StatusName | None = None
    url: UrlPart | None = None
    callback: Word | None = None
    reason: Annotated[str, Meta(min_length=1, max_length=255, description="Why the last attempt failed.")] | None = None
    since: Time | None = None
    before: Time | None = None
    order: Literal["newest", "url"] = "newest"
    limit: Limit = 50
    cursor: Cursor | None = None


class TaskList(Struct):
    """A page of tasks."""

    items: list[TaskItem]
    next: str | None
    looked_back_to: float | None
    """Tasks updated before this Unix time were not looked at: the search ended at its time limit, and goes on with
    `next`; sorted by URL it does not go on."""
    total: int | None = None
    """Not counted."""


@room.endpoint("GET", "/tasks", query=TaskQuery, returns=TaskList)
def search_tasks(services: Services, request: Request[TaskQuery, None]) -> TaskList:
    """Tasks of one project or of all, those updated last first, or by URL."""
    asked = request.query
    search = TaskSearch(
        asked.project, Status[asked.status.upper()] if asked.status else None, asked.url, asked.callback,
        asked.reason, asked.since, asked.before, asked.order == "url",
    )  # fmt: skip
    page = services.taskdb.search(search, task_place(asked.cursor, search.by_url), asked.limit)
    items = [task_item(row, _last(services, row.project, row.taskid)) for row in page.rows]
    return TaskList(items, cursor_of(page.next) if page.next is not None else None, page.looked_back_to)


def _last(services: Services, project: str, taskid: str) -> Any:
    return next(iter(services.taskdb.attempts(project, taskid, 1)), None)


@room.endpoint("GET", "/tasks/{project}/{taskid}", returns=TaskDetail)
def get_task(services: Services, request: Request[None, None]) -> TaskDetail:
    """One task: its parts, who has it in hand, all attempts that are remembered, its results. Secrets are masked."""
    return detail_of(services, request.path["project"], request.path["taskid"])


def detail_of(services: Services, project: str, taskid: str) -> TaskDetail:
    """The same for pages; raises :class:`Problem` 404."""
    row = services.taskdb.get(project, taskid)
    if row is None:
        raise Problem(404, "Not found", f"project {project} has no task {taskid}")
    lease = next((one for one in services.taskdb.leases() if (one.project, one.taskid) == (project, taskid)), None)
    attempts = services.taskdb.attempts(project, taskid, ATTEMPTS)
    return task_detail(row, lease, attempts, services.resultdb.get(project, taskid), RESULTS)


class WhyQuery(Struct):
    """What is asked."""

    url: Annotated[str, Meta(min_length=1, max_length=4_000, description="A URL, or a taskid.")]
    project: ProjectName | None = None


class WhyItem(Struct):
    """What can be said of a URL in one project. Times are Unix time."""

    project: str
    code: str
    """known, robots, host, ...: docs/why.md has them all."""
    text: str
    url: str
    taskid: str
    """Empty: there is no such task."""
    crawled: float | None
    """When it was crawled last; null: never."""
    next: float | None
    """Not before; null: nobody can say, or never."""
    place: int | None
    """In the queue of its project, from 1, about; null: it is in none, or does not wait for its turn."""
    node: str
    """Who has it."""


class WhyList(Struct):
    """One answer a project: those that know the task, or all that were asked when none does; 50 at most."""

    items: list[WhyItem]
    scheduler: bool
    """False: none runs, and this is what the databases say."""
    total: int
    next: str | None = None


@room.endpoint("GET", "/why", query=WhyQuery, returns=WhyList)
def why_task(services: Services, request: Request[WhyQuery, None]) -> WhyList:
    """Why a URL was crawled or not, and when it is next."""
    asked, running = request.query, True
    try:
        found = services.scheduler.call("why", project=asked.project, url=asked.url)
    except ServiceUnreachable:
        said = explain(services.taskdb, services.projectdb, asked.project, asked.url, services.clock)
        found, running = [msgspec.structs.asdict(one) for one in said], False
    items = [WhyItem(**{**one, "url": masked_url(one["url"])}) for one in found]
    return WhyList(items, running, len(items))


class TaskRef(Struct):
    """Which task."""

    project: ProjectName
    taskid: Annotated[str, Meta(min_length=1, max_length=64)]


@room.live("task", query=TaskRef)
def live_task(services: Services, query: TaskRef, identity: Identity) -> dict[str, Any]:
    """The same, pushed."""
    return {"detail": detail_of(services, query.project, query.taskid)}


class Verdict(Struct):
    """What the scheduler did; committed."""

    taskid: str
    accepted: bool
    verdict: str
    """restart, update, cancel; postpone: when it comes back from where it is; nothing."""
    reason: str


@room.endpoint("POST", "/tasks/{project}/{taskid}/rerun", role=EDITOR, returns=Verdict)
def rerun_task(services: Services, request: Request[None, None]) -> Verdict:
    """Runs a task again, at once, whatever became of it."""
    return _order(services, request, "rerun")


@room.endpoint("POST", "/tasks/{project}/{taskid}/cancel", role=EDITOR, returns=Verdict)
def cancel_task(services: Services, request: Request[None, None]) -> Verdict:
    """Takes a waiting task out of its queue; one that is being worked on ends when it comes back."""
    return _order(services, request, "cancel")


def _order(services: Services, request: Request[None, None], action: str) -> Verdict:
    project, taskid = request.path["project"], request.path["taskid"]
    if services.taskdb.get(project, taskid) is None:
        raise Problem(404, "Not found", f"project {project} has no task {taskid}")
    (said,) = services.scheduler.call("order_tasks", project=project, action=action, taskids=[taskid])
    return Verdict(said["taskid"], said["accepted"], said["verdict"], str(said.get("reason") or ""))


# -- what just happened ----------------------------------------------------------------------------------------------


class RecentQuery(Struct):
    """Of which project, and how many."""

    project: ProjectName | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class RecentItem(Struct):
    """The newest thing that happened to a task: it was sent, or an attempt ended."""

    time: float
    project: str
    taskid: str
    url: str
    state: Literal["sent", "ok", "fetch_error", "process_error"]
    fetch_time: float | None
    """Seconds."""
    process_time: float | None
    """Seconds."""
    status_code: int | None
    follows: int


class RecentList(Struct):
    """Tasks by what happened last, newest first."""

    items: list[RecentItem]
    total: int
    next: str | None = None


@room.endpoint("GET", "/recent", query=RecentQuery, returns=RecentList)
def recent_tasks(services: Services, request: Request[RecentQuery, None]) -> RecentList:
    """What the scheduler did last [W51]: each task once, from its memory of the last hundred of each project."""
    items = recent(services, request.query)
    return RecentList(items, len(items))


@room.live("recent", query=RecentQuery)
def live_recent(services: Services, query: RecentQuery, identity: Identity) -> dict[str, Any]:
    """The same, pushed: one key a task."""
    return {f"{one.project}:{one.taskid}": one for one in recent(services, query)}


def recent(services: Services, query: RecentQuery) -> list[RecentItem]:
    """The scheduler's ring of recent tasks, each task once."""
    entries = services.scheduler.call("active_tasks", project=query.project, limit=query.limit)
    found: dict[tuple[str, str], RecentItem] = {}
    for when, entry in entries:
        found.setdefault((entry["project"], entry["taskid"]), _recent_item(float(when), entry))
    return list(found.values())


def _recent_item(when: float, entry: dict[str, Any]) -> RecentItem:
    fetch, process = entry.get("fetch") or {}, entry.get("process") or {}
    state: Literal["sent", "ok", "fetch_error", "process_error"] = "sent"
    if entry.get("type") == "status":
        state = "ok" if entry.get("ok") else "process_error" if fetch.get("ok") else "fetch_error"
    return RecentItem(
        time=when,
        project=entry["project"],
        taskid=entry["taskid"],
        url=masked_url(entry["url"]),
        state=state,
        fetch_time=fetch.get("time"),
        process_time=process.get("time"),
        status_code=fetch.get("status_code") or None,
        follows=int(process.get("follows") or 0),
    )
