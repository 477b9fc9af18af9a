"""All tasks of a project as lines, streamed: what ``crawlkit tasks --server`` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct

from crawlkit.libs.rows import TaskRow
from crawlkit.libs.task import Status
from crawlkit.libs.task_lines import failure_of, task_line
from crawlkit.webui.api.registry import Request, Room, Streamed
from crawlkit.webui.masks import masked_fetch, masked_url
from crawlkit.webui.problem import Problem, not_found
from crawlkit.webui.services import Services

room = Room("tasks")

PAGE = 1_000
TYPES = {"jsonl": "application/x-ndjson", "url": "text/plain; charset=utf-8"}


Pattern = Annotated[str, Meta(min_length=1, max_length=2000, description="A part of the URL, or a pattern with *.")]


class LinesQuery(Struct):
    """Which tasks."""

    status: Literal["active", "success", "failed", "bad"] | None = None
    url: Pattern | None = None


@room.stream("/projects/{project}/tasks.{format}", query=LinesQuery)
def export_tasks(services: Services, request: Request[LinesQuery, None]) -> Streamed:
    """All tasks of a project, in order of their ids: as JSON lines (jsonl), or only their URLs (url).

    Failed ones have reason and exception. Secrets are masked.
    """
    project, form = request.path["project"], request.path["format"]
    if form not in TYPES:
        raise Problem(404, "Unknown format", f"there is no format {form!r}; there are: {', '.join(TYPES)}")
    if services.projectdb.get(project) is None and not services.taskdb.select(project, limit=1):
        raise not_found("project", project)
    return Streamed(TYPES[form], _lines(services, project, form, request.query), f"{project}-tasks.{form}")


def _lines(services: Services, project: str, form: str, asked: LinesQuery) -> Iterator[bytes]:
    wanted = None if asked.status is None else Status[asked.status.upper()]
    after: str | None = None
    while rows := services.taskdb.select(project, wanted, asked.url, after, PAGE):
        yield b"".join(task_line(row, form, _shown(services, row, form)) for row in rows)
        after = rows[-1].taskid


def _shown(services: Services, row: TaskRow, form: str) -> dict[str, object]:
    if form == "url":
        return {"url": masked_url(row.url)}
    more: dict[str, object] = {"url": masked_url(row.url), "fetch": masked_fetch(row.fetch)}
    if row.status is Status.FAILED:
        for attempt in services.taskdb.attempts(row.project, row.taskid, 1):
            said = failure_of(attempt)
            more |= {"reason": said["reason"], "exception": masked_url(said["exception"])}
    return more
