"""For unit tests of handlers: runs a callback on a saved page without network, and records pages to run it on.

Nothing here is needed by a crawl. :func:`run` reads only the files it is given; :func:`record` fetches one page.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import msgspec

from crawlkit.libs import crawl_args
from crawlkit.libs.base_handler import BaseHandler
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.crawl_args import FetchArgs
from crawlkit.libs.crawler import TaskDict
from crawlkit.libs.handler_settings import HandlerSettings
from crawlkit.libs.messages import NIL, RESUME, TASK, Dispatch, Fetched, Outcome, pack
from crawlkit.libs.task import NO_SCHEDULE, Fetch, Task, taskid_of
from crawlkit.libs.url import task_url
from crawlkit.processor.project_loader import LoadedProject, load_project, project_of
from crawlkit.processor.runner import Runner, RunnerSettings

Page = str | bytes | Path
_HEAD = ".head.json"  # beside a recorded page: its URL, status and headers
_MAX_ROUNDS = 1_000
_task_of = msgspec.msgpack.Decoder(Task).decode


@dataclass
class Ran:
    """What a callback came to."""

    results: list[Any] = field(default_factory=list)
    """In the order they were given, as they would be stored."""
    follows: list[TaskDict] = field(default_factory=list)
    """What ``self.crawl`` asked for, as tasks in pyspider's shape."""
    messages: list[tuple[str, Any]] = field(default_factory=list)
    """(project, message) of each ``self.send_message``."""
    logs: str = ""
    """What the handler logged; with a script's path also what it printed."""
    save: dict[str, Any] = field(default_factory=dict)
    """``self.save`` afterwards."""
    awaited: list[str] = field(default_factory=list)
    """The URLs that ``self.fetch`` asked for."""
    dropped: str | None = None
    """The reason given to ``self.drop``."""
    retried: str | None = None
    """The reason given to ``response.retry``."""

    @property
    def urls(self) -> list[str]:
        """The URLs of :attr:`follows`."""
        return [task["url"] for task in self.follows]


def run(
    handler: type[BaseHandler] | Path,
    callback: str | Callable[..., Any],
    page: Page = b"",
    *,
    url: str | None = None,
    status_code: int | None = None,
    headers: Mapping[str, str] | None = None,
    save: Any = None,
    task_save: Mapping[str, Any] | None = None,
    answers: Mapping[str, Page] | None = None,
    settings: Mapping[str, str] | None = None,
) -> Ran:
    """Runs ``callback`` of a handler class, or of the script at a path, on ``page``: a file, bytes or text.

    ``url`` and ``headers`` are those of the response, by default what :func:`record` wrote beside the file. ``save`` is
    ``response.save``, ``task_save`` is ``self.save``, ``answers`` is what ``self.fetch`` gets by URL, ``settings`` is
    ``self.settings``. Raises what the callback raises, and :class:`LookupError` for an await without an answer.
    """
    project = _project(handler, dict(settings or {}))
    raised: list[BaseException] = []
    runner = Runner(project, node="test", settings=RunnerSettings(), clock=SystemClock(), on_failure=raised.append)
    name = callback if isinstance(callback, str) else callback.__name__
    dispatch = _dispatch(project.name, url or _head_of(page).get("url") or "http://example.com/", name)
    dispatch.fetch = Fetch(save=save)
    dispatch.save = NIL if not task_save else pack(dict(task_save))
    fetched = _fetched(dispatch, page, status_code, headers)
    try:
        return _to_the_end(runner, fetched, answers or {}, raised, dict(task_save or {}))
    finally:
        runner.close()


def record(url: str, path: Path, **request: Unpack[FetchArgs]) -> Path:
    """Fetches ``url`` and writes the body to ``path``, and what :func:`run` needs of the rest beside it.

    ``request`` is what ``self.fetch`` takes. Raises :class:`~crawlkit.libs.response.HTTPError` when nothing came.
    """
    from crawlkit.libs.response import HTTPError, Response
    from crawlkit.wiring import fetch_once

    crawl_args.check_names(request, "record", crawl_args.KNOWN_TO_FETCH)
    crawl_args.check_fetch_type(request, {})
    with tempfile.TemporaryDirectory(prefix="crawlkit-") as folder:  # a screenshot is rendered, and not kept
        wanted = crawl_args.parts_of(request)[1] or Fetch()
        fetched = asyncio.run(fetch_once(task_url(url), wanted, folder=folder))
    if fetched.error_kind is not None:
        raise HTTPError(f"{url}: {fetched.error}", Response.of(fetched))
    head: dict[str, Any] = {"url": fetched.url, "status_code": fetched.status_code, "headers": fetched.headers}
    if fetched.rendered is not None:
        head["rendered"] = fetched.rendered
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(fetched.content)
    Path(f"{path}{_HEAD}").write_bytes(msgspec.json.format(msgspec.json.encode(head), indent=1) + b"\n")
    return path


def _project(handler: type[BaseHandler] | Path, settings: dict[str, str]) -> LoadedProject:
    if isinstance(handler, Path):
        name = handler.stem
        return load_project(name, handler.read_text(encoding="utf-8"), settings=HandlerSettings(name, settings))
    return project_of(handler, HandlerSettings(handler.__name__, settings))


def _dispatch(project: str, url: str, callback: str) -> Dispatch:
    url = task_url(url)
    return Dispatch(project, taskid_of(url), 1, 1, url, "", callback, 0, TASK, NO_SCHEDULE, Fetch(), NIL, 0)


def _fetched(dispatch: Dispatch, page: Page, status: int | None, headers: Mapping[str, str] | None) -> Fetched:
    head = _head_of(page)
    content = page.read_bytes() if isinstance(page, Path) else page.encode() if isinstance(page, str) else page
    if headers is not None:
        said = list(headers.items())
    elif head:
        said = [(name, value) for name, value in head["headers"]]
    else:
        said = [("Content-Type", "text/html; charset=utf-8" if isinstance(page, str) else "text/html")]
    status = status or head.get("status_code") or 200
    return Fetched(dispatch, status, dispatch.url, dispatch.url, said, {}, 0.0, size=len(content), content=content,
                   rendered=head.get("rendered"))  # fmt: skip


def _head_of(page: Page) -> dict[str, Any]:
    beside = Path(f"{page}{_HEAD}") if isinstance(page, Path) else None
    if beside is None or not beside.exists():
        return {}
    head: dict[str, Any] = msgspec.json.decode(beside.read_bytes())
    return head


def _to_the_end(
    runner: Runner, fetched: Fetched, answers: Mapping[str, Page], raised: list[BaseException], save: dict[str, Any]
) -> Ran:
    """Again and again from the top, with one more answer each time, as a crawl does it."""
    ran = Ran()
    recorded: dict[int, Fetched | None] = {}
    for _ in range(_MAX_ROUNDS):
        parts: list[Outcome] = []
        runner.run(fetched, parts.append, recorded, lambda: "")
        if not parts[-1].awaits:
            break
        recorded[0] = recorded.get(0) or fetched
        fetched = msgspec.structs.replace(fetched, task=msgspec.structs.replace(fetched.task, kind=RESUME))
        for one in parts[-1].awaits:
            task = _task_of(one.task)
            ran.awaited.append(task.url)
            recorded[one.number] = _answer(task, answers, one.where)
    if raised:
        raise raised[-1]
    _gather(ran, parts, save)
    return ran


def _answer(task: Task, answers: Mapping[str, Page], where: str) -> Fetched:
    page = answers.get(task.url)
    if page is None:
        given = ", ".join(answers) or "none"
        raise LookupError(f"{where}: self.fetch asks for {task.url}, and answers= has {given}")
    dispatch = _dispatch(task.project, task.url, "_on_await")
    dispatch.taskid, dispatch.fetch = task.taskid, task.fetch or Fetch()
    return _fetched(dispatch, page, None, None)


def _gather(ran: Ran, parts: list[Outcome], save: dict[str, Any]) -> None:
    last = parts[-1]
    for part in parts:
        if last.ok:
            ran.results += [msgspec.json.decode(text) for text in part.results]
        ran.follows += [_shown(_task_of(follow.task)) for follow in part.follows]
        ran.messages += [(message.project, msgspec.msgpack.decode(message.body)) for message in part.messages]
    ran.save = save if last.save == NIL else msgspec.msgpack.decode(last.save)
    ran.dropped = last.drop
    track = last.process
    if track is not None:
        ran.logs = track.logs or ""
        if track.reason == "retry":
            ran.retried = (track.exception or "").removeprefix("retry").removeprefix(": ")


def _shown(task: Task) -> TaskDict:
    parts = crawl_args.as_dict(task.schedule, task.fetch, task.process)
    return {"project": task.project, "taskid": task.taskid, "url": task.url, **parts}
