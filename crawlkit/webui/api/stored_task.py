"""A stored task as the debugger's editor takes it [W48]: whole, so that running it there asks what the crawl asks."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

from crawlkit.libs.rows import TaskRow
from crawlkit.libs.task import Task
from crawlkit.webui.api.debug import debugger_of
from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.debug.tasks import task_json
from crawlkit.webui.gate import EDITOR
from crawlkit.webui.problem import not_found
from crawlkit.webui.services import Services

room = Room("debugger")


class StoredTask(Struct):
    """A task, and the state of its last run."""

    task: dict[str, Any]
    status: str


@room.endpoint("GET", "/projects/{project}/debug-task/{taskid}", role=EDITOR, returns=StoredTask)
def debug_task(services: Services, request: Request[None, None]) -> StoredTask:
    """A stored task to be run in the debugger. Its headers are not masked: who edits the script may see them.

    The values of secret settings, and what is filled in, have stand-ins there, which a step puts the values back for.
    """
    project, taskid = request.path["project"], request.path["taskid"]
    row = services.taskdb.get(project, taskid)
    if row is None:
        raise not_found("task", taskid)
    shown = debugger_of(services).task_to_show(request.identity, project, _shown(row))
    return StoredTask(shown, row.status.name.lower())


def _shown(row: TaskRow) -> dict[str, Any]:
    shown = task_json(Task(row.project, row.taskid, row.url, row.schedule, row.fetch, row.process))
    if row.save is not None:
        shown["track"] = {"save": json.loads(row.save)}
    return shown
