"""Tasks: the search [W12], one task [W14, W15], what just happened [W13]."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, render_template, request

from crawlkit.webui.api.tasks import RecentQuery, detail_of, recent
from crawlkit.webui.app import services_of
from crawlkit.webui.masks import masked_url
from crawlkit.webui.pages.names import project_names
from crawlkit.webui.problem import Problem

blueprint = Blueprint("tasks", __name__)

_encode = msgspec.json.Encoder(enc_hook=str).encode


@blueprint.get("/tasks")
def tasks() -> str:
    """The search over all tasks, or the newest events pushed."""
    return render_template("tasks/tasks.html", page="tasks", projects=project_names(services_of()))


@blueprint.get("/task/<path:which>")
def task(which: str) -> str | Response:
    """``PROJECT:TASKID``; as JSON with ``.json`` behind it, unless there is a task of that name."""
    project, colon, taskid = which.partition(":")
    if not colon or not taskid:
        raise Problem(404, "Not found", "the address of a task is /task/PROJECT:TASKID")
    row = services_of().taskdb.get(project, taskid)
    if row is None and taskid.endswith(".json"):
        detail = detail_of(services_of(), project, taskid.removesuffix(".json"))
        return Response(_encode(detail), content_type="application/json")
    if row is None:
        raise Problem(404, "Not found", f"project {project} has no task {taskid}")
    return render_template("tasks/task.html", page="tasks", task=row, url=masked_url(row.url))


@blueprint.get("/active_tasks")
def active_tasks() -> Response:
    """The events as JSON."""
    project = request.args.get("project")
    limit = min(500, max(1, request.args.get("limit", 100, type=int)))
    return Response(_encode(recent(services_of(), RecentQuery(project, limit))), content_type="application/json")
