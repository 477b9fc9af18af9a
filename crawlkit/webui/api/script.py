"""Help for who writes a script: what is wrong with it, and what can be written. Nothing of it is run or stored."""

from __future__ import annotations

import threading
from typing import Annotated

from msgspec import Meta, Struct

from crawlkit.libs.starter import starter_script
from crawlkit.libs.task import check_project_name
from crawlkit.webui.api.registry import Request, Room
from crawlkit.webui.completion import Catalogue, catalogue
from crawlkit.webui.debug.tasks import Mistake, read_task
from crawlkit.webui.gate import EDITOR
from crawlkit.webui.lint import Mark, lint
from crawlkit.webui.problem import Problem
from crawlkit.webui.services import Services

room = Room("scripts")

MAX_LINTED = 200_000  # bytes; what a syntax tree takes is a thousand times the text
PATIENCE = 2.0  # seconds that a script waits for the one that is being read
_reading = threading.Lock()  # one at a time: a tree of each would fill the memory


class Script(Struct, forbid_unknown_fields=True):
    """A script as it is being written."""

    script: Annotated[str, Meta(max_length=1_000_000, description="The text; it need not be right.")]


class Marks(Struct):
    """What is wrong with a script, in the order of its text."""

    marks: list[Mark]


class TaskText(Struct, forbid_unknown_fields=True):
    """A task as it is being written in the debugger."""

    task: Annotated[str, Meta(max_length=1_000_000, description="Its JSON; it need not be right.")]


class TaskMistake(Struct):
    """What is wrong with a task, and where: a place in its text, or the names that lead there."""

    message: str
    line: int | None
    column: int | None
    path: list[str]


class TaskMark(Struct):
    """The first mistake of a task, if there is one."""

    mistake: TaskMistake | None


class StarterQuery(Struct):
    """For whom the starter script is."""

    project: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_]+$")]
    url: Annotated[str, Meta(max_length=4000, description="Where the crawl starts; several with blanks between.")] = ""


class Starter(Struct):
    """A commented script that runs as it is."""

    script: str


@room.endpoint("POST", "/lint", role=EDITOR, body=Script, returns=Marks, audit=False)
def find_mistakes(services: Services, request: Request[None, Script]) -> Marks:
    """What is wrong with a script: its syntax, its calls of self.crawl, its decorators. It is not run.

    Takes up to 200 kB, one script at a time for all, and says up to 200 mistakes.
    """
    script = request.body.script
    size = len(script.encode("utf-8", "surrogatepass"))
    if size > MAX_LINTED:
        raise Problem(413, "Too large", f"the script has {size:,} bytes; up to {MAX_LINTED:,} are looked through")
    if not _reading.acquire(timeout=PATIENCE):
        raise Problem(429, "Too many at once", "another script is being looked through; try again in a moment")
    try:
        return Marks(lint(script))
    finally:
        _reading.release()


@room.endpoint("POST", "/projects/{project}/lint-task", role=EDITOR, body=TaskText, returns=TaskMark, audit=False)
def find_mistake_in_task(services: Services, request: Request[None, TaskText]) -> TaskMark:
    """What is wrong with a task, in the words that a run of it would use. It is not run."""
    try:
        read_task(request.path["project"], request.body.task)
    except Mistake as error:
        words = error.message.partition(":")[0].split(".")
        path = words[1:] if words[0] == "task" else words
        return TaskMark(TaskMistake(error.message, error.line, error.column, path))
    return TaskMark(None)


@room.endpoint("GET", "/completion", returns=Catalogue)
def completion(services: Services, request: Request[None, None]) -> Catalogue:
    """The handler API: names, signatures and docs."""
    return catalogue()


@room.endpoint("GET", "/starter", query=StarterQuery, returns=Starter)
def starter(services: Services, request: Request[StarterQuery, None]) -> Starter:
    """The script that a new project begins with."""
    project = check_project_name(request.query.project)
    urls = request.query.url.split() or ["https://example.com/"]
    return Starter(starter_script(project, urls[0] if len(urls) == 1 else urls))
