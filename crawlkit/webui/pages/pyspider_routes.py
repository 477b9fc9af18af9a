"""Addresses and answers of pyspider's web UI that its users' scripts call; the pages have their own modules [W02-W11].

Behind the same gate as everything: a program says who it is by a token or a password (HTTP Basic).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import msgspec
from flask import Blueprint, Response, g, redirect, request
from werkzeug.wrappers import Response as Redirect

from crawlkit.libs.errors import ServiceUnreachable
from crawlkit.libs.rows import ProjectRow
from crawlkit.libs.task import PROJECT_STATUSES, check_project_name
from crawlkit.webui import permission, saving
from crawlkit.webui.api.debug import debugger_of
from crawlkit.webui.app import require, services_of
from crawlkit.webui.gate import EDITOR
from crawlkit.webui.problem import not_found
from crawlkit.webui.queues import queue_sizes
from crawlkit.webui.services import Services

blueprint = Blueprint("pyspider", __name__)
WINDOWS = ("5m_time", "5m", "1h", "1d", "all")
EVENTS = {"waiting": "pending"}  # what pyspider calls them
WAIT = 120.0  # seconds for one step; it runs in a process of its own


@blueprint.before_app_request
def for_programs() -> Response | None:
    """Where a page has the address of pyspider's JSON, programs, which ask for no HTML, get the JSON."""
    if request.path == "/queues" and request.method == "GET" and "text/html" not in request.headers.get("Accept", ""):
        return _json({one.name: "???" if one.messages is None else one.messages for one in queue_sizes(services_of())})
    return None


@blueprint.get("/counter")
def counter() -> Response:
    """The counters of each project in four windows, means of 5 minutes, and whether it is paused [W03]."""
    scheduler = services_of().scheduler
    found: dict[str, dict[str, Any]] = {}
    try:
        for window in WINDOWS:
            for project, counts in scheduler.call("counters", window=window).items():
                found.setdefault(project, {})[window] = {EVENTS.get(name, name): n for name, n in counts.items()}
        for project, seen in scheduler.call("summary")["projects"].items():
            found.setdefault(project, {})["paused"] = seen.get("paused", "running") != "running"
    except ServiceUnreachable:
        return _json({})
    return _json(found)


@blueprint.post("/update")
def update() -> str | tuple[str, int]:
    """``pk`` (project), ``name`` (group, status or rate) and ``value`` [W04]. A rate is ``rate/burst``, or a rate."""
    form, services = request.form, services_of()
    row = _project(services, form.get("pk", ""))
    name, value = form.get("name", ""), form.get("value", "")
    if name not in CHANGES:
        return f"there is no {name[:40]!r} to change; there are: {', '.join(CHANGES)}", 400
    try:
        said = CHANGES[name](value)
    except ValueError as error:
        return str(error), 400
    services.projectdb.put(msgspec.structs.replace(row, **said), g.identity.user, name)
    _note("update", row.name, f"{name}={value[:80]}")
    return _told(saving.tell_scheduler(services))


@blueprint.post("/run")
def run() -> Response:
    """Runs on_start of ``project`` [W05]; ``false`` when nobody took it."""
    services = services_of()
    row = _project(services, request.form.get("project", ""))
    try:
        answer = services.scheduler.call("run", project=row.name)
    except ServiceUnreachable:
        return _json({"result": False})
    _note("run", row.name)
    return _json({"result": bool(answer["accepted"])})


@blueprint.post("/debug/<project>")
def debug_of_form(project: str) -> Redirect:
    """A form with ``start-urls`` opens the debugger on a script for them [W07, W35]."""
    require(EDITOR)
    check_project_name(project)
    urls = request.form.get("start-urls", "")[:4_000]
    return redirect(
        f"{request.script_root}/debug/{project}" + (f"?{urlencode({'start-urls': urls})}" if urls else ""), 303
    )


@blueprint.post("/debug/<project>/run")
def debug_run(project: str) -> Response:
    """One step with ``task`` and ``script``, or with the stored script in ``webdav_mode`` [W08, W47].

    Mistakes of task and script are in ``logs``. The step of who does not wait for it is ended.
    """
    services = services_of()
    _may(services, project)
    form = request.form
    script = None if form.get("webdav_mode") == "true" else form.get("script")
    debugger = debugger_of(services)
    began = services.clock.monotonic()
    state = debugger.step(g.identity, project, form.get("task", ""), script=script, wait=min(WAIT, 20.0))
    while state["answer"] is None and services.clock.monotonic() - began < WAIT:
        state = debugger.look(g.identity, project, state["run"], 20.0, state["step"])
    if state["answer"] is None:
        state = debugger.stop(g.identity, project, state["run"])
    return _json(step_of(state["answer"] or {}, state["seconds"]))


def step_of(answer: dict[str, Any], seconds: float) -> dict[str, Any]:
    """A step as pyspider's debugger answers it."""
    response = answer.get("response") or {}
    error = answer.get("error") or {}
    logs = str(answer.get("logs") or "")
    if error and not logs:
        logs = str(error.get("message") or "")
    results = answer.get("results") or []
    return {
        "fetch_result": {
            **{name: response.get(name) for name in ("url", "orig_url", "cookies", "time", "error", "encoding")},
            "status_code": response.get("status"),
            "headers": dict(response.get("headers") or []),
            "content": response.get("text") or "",
            "dataurl": response.get("data_url"),
            "save": answer.get("save"),
        },
        "logs": logs,
        "follows": answer.get("follows") or [],
        "messages": [[one["project"], one["body"], one["url"]] for one in answer.get("messages") or []],
        "result": results[0] if len(results) == 1 else results or None,
        "time": seconds,
    }


@blueprint.post("/debug/<project>/save")
def debug_save(project: str) -> str | tuple[str, int]:
    """Keeps ``script`` as the newest version [W09]."""
    services = services_of()
    _may(services, project)
    script = request.form.get("script")
    if script is None:
        return "script: is missing", 400
    saved = saving.save_script(services, g.identity, project, script, message="by /debug/save")
    _note("save_script", project)
    return _told(saved.scheduler)


@blueprint.get("/debug/<project>/get")
def debug_get(project: str) -> Response:
    """The stored script [W10]."""
    require(EDITOR)
    row = services_of().projectdb.get(project)
    if row is None:
        raise not_found("project", project)
    return _json({**msgspec.to_builtins(row), "script": row.script})


@blueprint.get("/blank.html")
def blank() -> str:
    """An empty page for frames [W11]."""
    return ""


def _group(value: str) -> dict[str, Any]:
    if len(value) > 64:
        raise ValueError("group: at most 64 characters")
    return {"group": value.strip()}


def _status(value: str) -> dict[str, Any]:
    if value not in PROJECT_STATUSES:
        raise ValueError(f"status: there is no {value[:40]!r}; there are: {', '.join(PROJECT_STATUSES)}")
    return {"status": value}


def _rate(value: str) -> dict[str, Any]:
    rate, slash, burst = value.partition("/")
    said: dict[str, Any] = {"rate": None, "rate_set": True}
    if rate.strip().lower() != "unlimited":
        said["rate"] = _number("rate", rate, 0)
    if slash:
        said["burst"] = _number("burst", burst, 1)
    return said


def _number(name: str, text: str, least: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not least <= number <= 1e6:
        raise ValueError(f"{name} {text[:40]!r}: use a number from {least:g} to a million")
    return number


CHANGES: dict[str, Callable[[str], dict[str, Any]]] = {"group": _group, "status": _status, "rate": _rate}


def _project(services: Services, name: str) -> ProjectRow:
    row = services.projectdb.get(name)
    if row is None:
        require(EDITOR)
        raise not_found("project", name[:64])
    permission.check_project(services, g.identity, name)
    return row


def _may(services: Services, project: str) -> None:
    check_project_name(project)
    permission.check_project(services, g.identity, project)


def _note(action: str, project: str, detail: str = "") -> None:
    address = g.allowed.facts.address if g.allowed.facts else ""
    permission.note(services_of(), g.identity, action, project, detail, address)


def _told(scheduler: str) -> str:
    return "ok" if scheduler == "told" else "rpc error"


def _json(value: Any) -> Response:
    return Response(json.dumps(value, ensure_ascii=False), content_type="application/json")
