"""Tasks: the search [W12], one task [W14, W15], what just happened [W13]."""

from __future__ import annotations

import re

import msgspec
from flask import Blueprint, Response, render_template, request

from crawlkit.fetcher.attachments import path_of
from crawlkit.fetcher.browser_client import MAX_ATTACHMENT
from crawlkit.libs.errors import FetchError, StoreUnavailable
from crawlkit.webui.api.tasks import RecentQuery, detail_of, recent
from crawlkit.webui.app import services_of
from crawlkit.webui.masks import masked_url
from crawlkit.webui.pages.names import project_names
from crawlkit.webui.problem import Problem

blueprint = Blueprint("tasks", __name__)

FILES = {
    "screenshot.png": ("png", "image/png", b"\x89PNG\r\n\x1a\n"),
    "screenshot.jpg": ("jpg", "image/jpeg", b"\xff\xd8\xff"),
    "page.pdf": ("pdf", "application/pdf", b"%PDF-"),
}

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


@blueprint.get("/task-file/<name>/<path:which>")
def task_file(name: str, which: str) -> Response:
    """What a browser made of the page of a task: ``screenshot.png``, ``screenshot.jpg`` or ``page.pdf``.

    Only what is by its first bytes what its name says. A crawled page had a say in what is in it, so a PDF is a
    download, and nothing of it may run here.
    """
    project, colon, taskid = which.partition(":")
    extension, content_type, magic = FILES.get(name, ("", "", b""))
    place = services_of().extra.get("files")
    content = None
    if colon and extension and place is not None and services_of().taskdb.get(project, taskid) is not None:
        try:
            content = place(project).read(path_of(taskid, extension), MAX_ATTACHMENT)
        except (FetchError, OSError, StoreUnavailable) as error:
            raise Problem(404, "Not found", f"the file cannot be read: {error}") from None
    if content is None or not content.startswith(magic):
        raise Problem(404, "Not found", "there is no such file here: it is where the fetcher keeps its files")
    answer = Response(content, content_type=content_type)
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    disposition = "attachment" if extension == "pdf" else "inline"
    plain = re.sub(r"[^\w.-]", "_", taskid[:80], flags=re.ASCII)
    answer.headers["Content-Disposition"] = f'{disposition}; filename="{plain}.{extension}"'
    return answer


@blueprint.get("/active_tasks")
def active_tasks() -> Response:
    """The events as JSON."""
    project = request.args.get("project")
    limit = min(500, max(1, request.args.get("limit", 100, type=int)))
    return Response(_encode(recent(services_of(), RecentQuery(project, limit))), content_type="application/json")
