"""The debugger: one step of a crawl with a script that need not be saved; the pages it fetched, for the next step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta, Struct

from crawlkit.libs import charset
from crawlkit.webui.api.registry import Request, Room, Streamed
from crawlkit.webui.debug.answer import is_text
from crawlkit.webui.debug.check import KEPT
from crawlkit.webui.debug.engine import Debugger
from crawlkit.webui.debug.pages import Page
from crawlkit.webui.gate import EDITOR
from crawlkit.webui.problem import Problem, not_found
from crawlkit.webui.services import Services

room = Room("debugger")

MOST_KEPT = 10_000  # of a project, looked through for a list
PIECE = 256 * 1024  # bytes of a page's body at once
Text = Annotated[str, Meta(max_length=4_194_304)]
Version = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]
PageId = Annotated[str, Meta(min_length=1, max_length=64)]
Wait = Annotated[float, Meta(ge=0, le=20, description="Seconds to wait for the end before answering.")]


class StepBody(Struct, forbid_unknown_fields=True):
    """One task, and the script whose callback gets its page."""

    task: Annotated[dict[str, Any] | str, Meta(description="The task, or its text; only `url` is needed.")]
    script: Text | None = None
    """The script as it is in the editor; null: the stored one."""
    version: Version | None = None
    """Without a script: this version of the stored one."""
    page: PageId | None = None
    """A page fetched before: nothing is fetched, the callback runs on it."""
    wait: Wait = 10
    time_limit: Annotated[float, Meta(ge=0.1, le=300)] | None = None
    """Seconds for the callback."""


class RunState(Struct):
    """How far a run is; `answer` is there when it is over."""

    run: str
    kind: str
    project: str
    state: str
    message: str
    step: int
    seconds: float
    progress: dict[str, int]
    answer: dict[str, Any] | None


class LookQuery(Struct):
    """How long to wait for news."""

    wait: Wait = 0
    seen: Annotated[int, Meta(ge=0, le=2**31)] | None = None
    """The `step` that is known: an answer comes as soon as it is another."""


class CheckBody(Struct, forbid_unknown_fields=True):
    """A changed script, to be tried on the kept pages."""

    script: Text
    old: Version | None = None
    """What to compare with; null: what runs now."""
    budget: Annotated[float, Meta(ge=1, le=60)] = 10
    """Seconds of work."""
    wait: Wait = 10


class KeptQuery(Struct):
    """Of which callback."""

    callback: Annotated[str, Meta(max_length=64)] = ""
    """Empty: of all."""
    taskid: Annotated[str, Meta(max_length=64)] = ""
    """Empty: of all tasks."""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100
    cursor: Annotated[str, Meta(max_length=9, pattern=r"^[0-9]*$")] = ""


class KeptRow(Struct):
    """A page of a real run that is kept for trying scripts on."""

    page: str
    callback: str
    url: str
    taskid: str
    status: int
    size: int
    kept: float


class KeptList(Struct):
    """Kept pages, newest first."""

    items: list[KeptRow]
    total: int
    next: str | None


class PageRow(Struct):
    """A page that was fetched for the debugger."""

    page: str
    url: str
    status: int
    callback: str
    size: int
    content_type: str
    fetched: float


class PageList(Struct):
    """The pages at hand, newest first."""

    items: list[PageRow]
    total: int
    next: str | None = None


class PageInfo(Struct):
    """A fetched page without its body."""

    page: str
    url: str
    status: int
    callback: str
    size: int
    content_type: str
    encoding: str
    fetched: float
    headers: list[tuple[str, str]]


class TextQuery(Struct):
    """Which part of a page's text."""

    offset: Annotated[int, Meta(ge=0, le=2**31)] = 0
    limit: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000_000


class PageText(Struct):
    """A part of a page's text, decoded."""

    text: str
    offset: int
    total: int
    next: int | None


def debugger_of(services: Services) -> Debugger:
    """The debugger of this server; raises :class:`Problem` 503 when it has none."""
    found: Debugger | None = services.extra.get("debugger")
    if found is None:
        raise Problem(503, "No debugger", "this server was started without a debugger")
    return found


@room.endpoint("POST", "/projects/{project}/debug", role=EDITOR, body=StepBody, returns=RunState, audit=False)
def debug_step(services: Services, request: Request[None, StepBody]) -> RunState:
    """Run one step: fetch the task's page, or take one fetched before, and run its callback on it.

    Nothing is stored, sent or counted. Mistakes of task and script are part of the answer. A run that is not over when
    the time is up goes on; ask for it again.
    """
    body = request.body
    state = debugger_of(services).step(
        request.identity,
        request.path["project"],
        body.task,
        script=body.script,
        version=body.version,
        page=body.page,
        time_limit=body.time_limit or 0.0,
        wait=body.wait,
    )
    return RunState(**state)


@room.endpoint("GET", "/projects/{project}/debug/pages", role=EDITOR, returns=PageList)
def debug_pages(services: Services, request: Request[None, None]) -> PageList:
    """The pages that you have fetched in this project's debugger. They are kept for an hour."""
    debugger = debugger_of(services)
    debugger.warm_up()
    rows = [
        PageRow(page, answer.url, answer.status_code, answer.task.callback or "", size, _type(answer.headers), fetched)
        for page, answer, size, fetched in debugger.pages(request.identity, request.path["project"])
    ]
    return PageList(rows, len(rows))


@room.endpoint("GET", "/projects/{project}/debug/pages/{page}", role=EDITOR, returns=PageInfo)
def debug_page(services: Services, request: Request[None, None]) -> PageInfo:
    """One fetched page, without its body."""
    page = _page(services, request)
    return PageInfo(
        page.id, page.url, page.status, page.callback, page.size, page.content_type, page.encoding, page.fetched,
        page.headers,
    )  # fmt: skip


@room.endpoint("GET", "/projects/{project}/debug/pages/{page}/text", role=EDITOR, query=TextQuery, returns=PageText)
def debug_page_text(services: Services, request: Request[TextQuery, None]) -> PageText:
    """A fetched page as text, in parts."""
    page, query = _page(services, request), request.query
    if not is_text(page.body, page.content_type):
        raise Problem(400, "No text", f"the page is {page.content_type or 'bytes'}; ask for its body")
    text = charset.decode(page.body, page.encoding)
    piece = text[query.offset : query.offset + query.limit]
    end = query.offset + len(piece)
    clean = piece.encode("utf-8", "replace").decode()
    return PageText(clean, query.offset, len(text), end if end < len(text) else None)


@room.stream("/projects/{project}/debug/pages/{page}/body", role=EDITOR)
def debug_page_body(services: Services, request: Request[None, None]) -> Streamed:
    """A fetched page as it came, for download."""
    page = _page(services, request)
    return Streamed("application/octet-stream", _pieces(page.body), "page.bin")


@room.endpoint("GET", "/projects/{project}/debug/{run}", role=EDITOR, query=LookQuery, returns=RunState)
def debug_run(services: Services, request: Request[LookQuery, None]) -> RunState:
    """How far a run of yours is, or its answer. Answers are kept for a quarter of an hour."""
    query = request.query
    state = debugger_of(services).look(
        request.identity, request.path["project"], request.path["run"], query.wait, query.seen
    )
    return RunState(**state)


@room.endpoint("POST", "/projects/{project}/debug/{run}/stop", role=EDITOR, returns=RunState, audit=False)
def debug_stop(services: Services, request: Request[None, None]) -> RunState:
    """End a run of yours at once: its process is killed with all that it started."""
    return RunState(**debugger_of(services).stop(request.identity, request.path["project"], request.path["run"]))


@room.endpoint("POST", "/projects/{project}/check", role=EDITOR, body=CheckBody, returns=RunState, audit=False)
def check_script(services: Services, request: Request[None, CheckBody]) -> RunState:
    """Try a changed script on the last pages of each callback, beside the one that runs now, before it is saved.

    It is a run like a step: followed, answered and stopped under `/debug/{run}`. Nothing is fetched or stored.
    """
    body = request.body
    state = debugger_of(services).check(
        request.identity, request.path["project"], body.script, old=body.old, budget=body.budget, wait=body.wait
    )
    return RunState(**state)


@room.endpoint("GET", "/projects/{project}/kept-pages", query=KeptQuery, returns=KeptList)
def kept_pages(services: Services, request: Request[KeptQuery, None]) -> KeptList:
    """The last fetched pages of each callback, as far as they are kept. The debugger takes them as `page`."""
    query, project = request.query, request.path["project"]
    if services.projectdb.get(project) is None:
        raise not_found("project", project)
    rows = services.blobdb.kept_pages(project, query.callback or None, MOST_KEPT)
    rows = [row for row in rows if query.taskid in ("", row.taskid)]
    first = int(query.cursor or 0)
    items = [
        KeptRow(KEPT + row.page, row.callback, row.url, row.taskid, row.status, row.size, row.kept)
        for row in rows[first : first + query.limit]
    ]
    end = first + query.limit
    return KeptList(items, len(rows), str(end) if end < len(rows) else None)


def _page(services: Services, request: Request[Any, None]) -> Page:
    return debugger_of(services).page(request.identity, request.path["page"], request.path["project"])


def _type(headers: list[tuple[str, str]]) -> str:
    return next((value for name, value in headers if name.lower() == "content-type"), "")


def _pieces(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), PIECE):
        yield body[at : at + PIECE]
