"""Tasks between the editor's JSON and what fetcher and worker take. Pure: data in, data out."""

from __future__ import annotations

import base64
import binascii
import json
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from crawlkit.libs.crawl_args import shown_body
from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.messages import NIL, Dispatch, Follow, Message, pack
from crawlkit.libs.rows import TaskRow
from crawlkit.libs.task import NO_FETCH, NO_PROCESS, NO_SCHEDULE, JSONDict, Task, task_from_dict, taskid_of

PARTS = ("schedule", "fetch", "process")
#: What a stored task says of itself beside what it asks for: it may stand in the editor, and means nothing here.
TOLD = frozenset(TaskRow.__struct_fields__) | {"track", "group", "type"}
KNOWN = frozenset({"url", "callback", "save", *PARTS, *TOLD})


class Mistake(Exception):
    """The task in the editor cannot be run: what is wrong, and where in its text if that is known."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


def read_task(
    project: str, given: JSONDict | str, filled: Callable[[Any], Any] = lambda value: value
) -> tuple[Task, JSONDict]:
    """The task, and what ``self.save`` is; raises :class:`Mistake`. Project and taskid are filled in.

    ``filled``: gives the parsed task with what its stand-ins stand for.
    """
    value = filled(_parsed(given) if isinstance(given, str) else given)
    if not isinstance(value, dict):
        raise Mistake(f'task: use an object like {{"url": "http://…"}}, not {_kind(value)}')
    unknown = sorted(set(value) - KNOWN)
    if unknown:
        raise Mistake(f"task.{unknown[0]}: there is no such part; there are url, schedule, fetch, process")
    if not isinstance(value.get("url"), str) or not value["url"]:
        raise Mistake("task.url: is missing; a task needs one")
    if value.get("project") not in (None, project):
        raise Mistake(f"task.project: is {value['project']!r}, but this is the debugger of {project}")
    plain: JSONDict = {name: value[name] for name in PARTS if value.get(name) is not None}
    for name, part in plain.items():
        if not isinstance(part, dict):
            raise Mistake(f"task.{name}: is an object, not {_kind(part)}")
    if "data" in plain.get("fetch", {}):
        plain["fetch"] = {**plain["fetch"], "data": None}
    plain |= {"project": project, "taskid": value.get("taskid") or "x", "url": value["url"]}
    try:
        task = task_from_dict(plain)
    except InvalidTask as error:
        raise Mistake(str(error)) from None
    if task.fetch is not None:
        task.fetch.data = _body(value["fetch"].get("data"))
    if not value.get("taskid"):
        fetch = task.fetch or NO_FETCH
        task.taskid = taskid_of(task.url, fetch.method, fetch.data)
    return task, _save(value)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise Mistake(f"task: not JSON: {error.msg}", error.lineno, error.colno) from None
    except ValueError:  # Python reads no number of more digits
        raise Mistake(f"task: a number has more than {sys.get_int_max_str_digits():,} digits") from None
    except RecursionError:
        raise Mistake("task: not JSON: nested too deeply") from None


def _save(value: JSONDict) -> JSONDict:
    track = value.get("track")
    save = value.get("save") or (track.get("save") if isinstance(track, dict) else None) or {}
    if isinstance(save, str):  # as it is stored
        save = _parsed(save)
    if not isinstance(save, dict):
        raise Mistake(f"task.track.save: is an object, not {_kind(save)}")
    return save


def _body(data: Any) -> bytes | None:
    """A request's body: text, or ``{"base64": ...}``."""
    if data is None:
        return None
    if isinstance(data, str):
        return data.encode("utf-8", "surrogatepass")
    if isinstance(data, dict) and set(data) == {"base64"} and isinstance(data["base64"], str):
        try:
            return base64.b64decode(data["base64"], validate=True)
        except (binascii.Error, ValueError):
            raise Mistake("task.fetch.data.base64: is no base64") from None
    raise Mistake('task.fetch.data: is text, or {"base64": "…"} for bytes that are no text')


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}.get(
        type(value), "a number"
    )


def task_json(task: Task) -> JSONDict:
    """``task`` as the editor shows it, with what was said; :func:`read_task` reads it again."""
    shown: JSONDict = {"project": task.project, "taskid": task.taskid, "url": task.url}
    for name, part, nothing in zip(
        PARTS, (task.schedule, task.fetch, task.process), (NO_SCHEDULE, NO_FETCH, NO_PROCESS), strict=True
    ):
        said = part if part is not None else nothing
        shown[name] = {
            field: value
            for field in said.__struct_fields__
            if (value := getattr(said, field)) != getattr(nothing, field)
        }
    if "data" in shown["fetch"]:
        shown["fetch"]["data"] = body_json(shown["fetch"]["data"])
    if "browser" in shown["fetch"]:
        shown["fetch"]["browser"] = msgspec.to_builtins(shown["fetch"]["browser"])
    return shown


def body_json(data: bytes) -> str | dict[str, str]:
    """A request's body for JSON: text where it is text."""
    text = shown_body(data)
    return text if isinstance(text, str) else {"base64": base64.b64encode(data).decode()}


def follow_json(follow: Follow) -> JSONDict:
    """A follow-up as a task to be stepped into."""
    return task_json(msgspec.msgpack.decode(follow.task, type=Task))


def message_json(sender: str, message: Message) -> JSONDict:
    """A message, with the task that it becomes in the project that gets it [H18]."""
    body = msgspec.msgpack.decode(message.body)
    save = [sender, body, message.url] if message.url else [sender, body]
    task = {
        "project": message.project,
        "url": "data:,on_message",
        "schedule": {"priority": 9},
        "fetch": {"save": save},
        "process": {"callback": "_on_message"},
    }
    return {"project": message.project, "body": body, "url": message.url, "task": task}


def dispatch_of(task: Task, *, kind: int, version: str, group: str, save: JSONDict, time_limit: float) -> Dispatch:
    """The message that fetcher and worker know, as the scheduler would send it for a first crawl."""
    process = task.process or NO_PROCESS
    return Dispatch(
        project=task.project,
        taskid=task.taskid,
        run=1,
        attempt=1,
        url=task.url,
        script=version,
        callback=process.callback,
        time_limit=time_limit or process.process_time_limit or 0,
        kind=kind,
        schedule=task.schedule or NO_SCHEDULE,
        fetch=task.fetch or NO_FETCH,
        save=pack(save) if save else NIL,
        lastcrawltime=0,
        group=group,
    )
