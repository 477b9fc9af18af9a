"""``crawlkit results`` and ``crawlkit tasks``: stream what the stores hold, in flat memory. Only read."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from crawlkit.cli.base import command, option, settings_of
from crawlkit.libs.errors import UsageError

if TYPE_CHECKING:
    from crawlkit.database.base import ResultStore, TaskStore
    from crawlkit.libs.rows import ResultRow, TaskRow
    from crawlkit.settings import Settings

PAGE = 1_000
FOLLOW_EVERY = 0.5  # seconds between looks at the resultdb
_ESCAPED = re.compile(rb"\\(?:u003c|.)", re.DOTALL)  # each escape whole, so that \\\\u003c stays
STATUS = {"active": 1, "success": 2, "failed": 3, "bad": 4}


@command(
    name="results",
    remote=True,
    example="crawlkit results quotes --format csv > quotes.csv\ncrawlkit results quotes --follow",
)
@click.argument("project")
@option("--format", "form", type=click.Choice(["jsonl", "json", "csv"]), default="jsonl", show_default=True)
@option("--follow", is_flag=True, help="Go on with new results until interrupted.")
@click.pass_context
def results(ctx: click.Context, /, project: str, form: str, follow: bool) -> None:
    """Print the results of PROJECT, oldest first."""
    from crawlkit import wiring

    if follow and form != "jsonl":
        raise UsageError(f"--follow writes lines as they come, and {form} needs the end: use --format jsonl")
    settings = settings_of(ctx)
    if settings.server is not None:
        if follow:
            raise UsageError("--follow needs the databases: with --server, ask again")
        write_from_server(settings, f"/results/{project}.{form}", embeddable=form != "csv")
        return
    with wiring.open_stores(settings, ("resultdb",)) as stores:
        if not follow and not stores.resultdb.count(project):
            known_project(settings, project, stores.resultdb.projects())
        write_results(stores.resultdb, project, form, sys.stdout.buffer, follow=follow)


def write_from_server(settings: Settings, path: str, *, embeddable: bool = False, **query: Any) -> None:
    """Copies a file of the server to stdout, as it is made there. ``embeddable``: JSON made for pages, see export."""
    from crawlkit.remote.opening import client_of

    rest = b""
    for piece in client_of(settings.server or "").stream(path, **query):
        if not embeddable:
            sys.stdout.buffer.write(piece)
            continue
        whole, end, rest = (rest + piece).rpartition(b"\n")
        sys.stdout.buffer.write(_as_here(whole + end))
    sys.stdout.buffer.write(_as_here(rest))
    sys.stdout.buffer.flush()


def _as_here(lines: bytes) -> bytes:
    """JSON without the escape that the server puts so that it may stand in a page."""
    return _ESCAPED.sub(lambda found: b"<" if found[0] == rb"\u003c" else found[0], lines)


def known_project(settings: Any, project: str, others: list[str]) -> None:
    """Raises :class:`UsageError` for a project that nobody has heard of."""
    from crawlkit import wiring

    with wiring.open_stores(settings, ("projectdb",)) as stores:
        names = sorted({*stores.projectdb.names(), *others})
    if project not in names:
        known = f"there are {', '.join(names[:10])}" if names else "there are none yet"
        raise UsageError(f"no project {project!r}; {known}")


def worked(taskdb: TaskStore) -> list[str]:
    """The projects that had a task; a name that was only refused is none."""
    return sorted({project for (project, event, _) in taskdb.ledger() if event != "refused"})


def rows_of(resultdb: ResultStore, project: str, after: int = 0) -> Iterator[ResultRow]:
    """All results behind ``after``, in the order in which they became visible, a page in memory."""
    while page := resultdb.since(after, PAGE, [project]):
        yield from page
        after = page[-1].seq


def write_results(resultdb: ResultStore, project: str, form: str, out: BinaryIO, *, follow: bool = False) -> None:
    """Streams the results of a project to ``out``; with ``follow`` until interrupted."""
    from crawlkit.libs import export

    if form == "json":
        export.write_json(rows_of(resultdb, project), out)
    elif form == "csv":
        export.write_csv(lambda: rows_of(resultdb, project), out)
    else:
        after = 0
        while True:
            for row in rows_of(resultdb, project, after):
                out.write(export.jsonl_line(row))
                after = row.seq
            out.flush()
            if not follow:
                break
            time.sleep(FOLLOW_EVERY)
    out.flush()


@command(name="tasks", remote=True, example="crawlkit tasks quotes --status failed --format url")
@click.argument("project")
@option("--status", type=click.Choice([*STATUS], case_sensitive=False), help="Only tasks in this state.")
@option("--url", "pattern", help="Only URLs that hold this text, or match a pattern with *.")
@option("--format", "form", type=click.Choice(["jsonl", "url"]), default="jsonl", show_default=True)
@click.pass_context
def tasks(ctx: click.Context, /, project: str, status: str | None, pattern: str | None, form: str) -> None:
    """Print the tasks of PROJECT as JSON lines or only their URLs; failed ones with reason and exception."""
    from crawlkit import wiring
    from crawlkit.libs.task import Status
    from crawlkit.libs.task_lines import failure_of, task_line
    from crawlkit.webui.masks import printed_fetch

    settings = settings_of(ctx)
    if settings.server is not None:
        said = status.lower() if status else None
        write_from_server(settings, f"/projects/{project}/tasks.{form}", status=said, url=pattern or None)
        return
    out = sys.stdout.buffer
    with wiring.open_stores(settings, ("taskdb",)) as stores:
        found = False
        for row in select_tasks(stores.taskdb, project, status, pattern):
            found = True
            more: dict[str, Any] = {"fetch": printed_fetch(row.fetch)} if form == "jsonl" else {}
            if form == "jsonl" and row.status is Status.FAILED:
                more |= next((failure_of(one) for one in stores.taskdb.attempts(project, row.taskid, 1)), {})
            out.write(task_line(row, form, more))
        if not found:
            known_project(settings, project, worked(stores.taskdb))
    out.flush()


def select_tasks(taskdb: TaskStore, project: str, status: str | None, pattern: str | None) -> Iterator[TaskRow]:
    """Rows in order of taskid, a page in memory."""
    from crawlkit.libs.task import Status

    wanted = None if status is None else Status(STATUS[status.lower()])
    after: str | None = None
    while page := taskdb.select(project, wanted, pattern, after, PAGE):
        yield from page
        after = page[-1].taskid
