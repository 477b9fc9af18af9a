"""``crawlkit task``: one task with what came of its attempts, and words about failures. Only reads."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from crawlkit.cli.base import command, option, said_path, settings_of
from crawlkit.libs.errors import UsageError
from crawlkit.libs.task_lines import failure_of, task_value, track

if TYPE_CHECKING:
    from crawlkit.database.base import TaskStore
    from crawlkit.libs.rows import AttemptRow, TaskRow


@command(name="task", remote=True, example="crawlkit task quotes https://quotes.toscrape.com/page/2/")
@click.argument("project")
@click.argument("which", metavar="TASKID|URL")
@option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
@click.pass_context
def task(ctx: click.Context, /, project: str, which: str, as_json: bool) -> None:
    """Show one task of PROJECT with its attempts: what the fetch brought, and what the callback raised and logged."""
    from crawlkit import wiring
    from crawlkit.cli.read import known_project, worked
    from crawlkit.webui.masks import printed_fetch

    settings = settings_of(ctx)
    with wiring.open_stores(settings, ("taskdb",)) as stores:
        row = find(stores.taskdb, project, which)
        if row is None:
            known_project(settings, project, worked(stores.taskdb))
            listed = f"crawlkit{said_path(settings)} tasks {project}"
            raise UsageError(f"project {project} has no task {which}; see {listed}")
        attempts = stores.taskdb.attempts(project, row.taskid)
    if as_json:
        import msgspec

        value = {
            **task_value(row),
            "fetch": printed_fetch(row.fetch),
            "attempts": [attempt_value(attempt) for attempt in attempts],
        }
        click.echo(msgspec.json.encode(value).decode())
        return
    show(row, attempts)


def find(taskdb: TaskStore, project: str, which: str) -> TaskRow | None:
    """A task by its id or its URL."""
    from crawlkit.libs.task import taskid_of
    from crawlkit.libs.url import task_url

    row = taskdb.get(project, which) or taskdb.get(project, taskid_of(which))
    if row is None and "://" in which:
        row = taskdb.get(project, taskid_of(task_url(which)))
    if row is None and "://" in which and "*" not in which:  # a taskid of its own: get_taskid, a POST
        after: str | None = None
        while page := taskdb.select(project, url=which, after=after):
            after = page[-1].taskid
            row = next((found for found in page if found.url == which), None)
            if row is not None:
                return row
    return row


def attempt_value(attempt: AttemptRow) -> dict[str, Any]:
    """An attempt as JSON can say it."""
    return {
        "run": attempt.run,
        "attempt": attempt.attempt,
        "started": attempt.started,
        "ended": attempt.ended,
        "ok": attempt.ok,
        "node": attempt.node,
        "reason": attempt.reason,
        "fetch": track(attempt.fetch),
        "process": track(attempt.process),
    }


def last_failure(taskdb: TaskStore, project: str, taskid: str) -> dict[str, str]:
    """``reason`` and ``exception`` (its last line) of a task's last attempt; empty without one."""
    return next((failure_of(attempt) for attempt in taskdb.attempts(project, taskid, 1)), {})


def show(row: TaskRow, attempts: list[AttemptRow]) -> None:
    """The task's own lines, then its attempts, newest first."""
    from crawlkit.webui.masks import masked_fetch

    for label, value in (
        ("task", row.taskid),
        ("url", row.url),
        ("status", row.status.name),
        ("run", f"{row.run}, retried {row.retried} times, {row.results} results"),
        ("crawled", _when(row.lastcrawltime)),
        ("schedule", row.schedule),
        ("fetch", masked_fetch(row.fetch)),
        ("process", row.process),
    ):
        if value is not None:
            click.echo(f"{label:<8} {value if isinstance(value, str) else _json(value)}")
    if not attempts:
        click.echo("no attempts are remembered")
    for attempt in attempts:
        click.echo("")
        end = "ok" if attempt.ok else f"failed: {attempt.reason}"
        took = max(0.0, attempt.ended - attempt.started)
        click.echo(f"run {attempt.run}, attempt {attempt.attempt}: {end}  ({_when(attempt.ended)}, {took:.3f} s)")
        for label, said in (("fetch", track(attempt.fetch)), ("process", track(attempt.process))):
            texts = [said.pop(name, None) for name in ("exception", "logs")]
            if said:
                click.echo(f"  {label:<8} {_json(said)}")
            exception, logs = (str(text or "").rstrip() for text in texts)
            for text in (exception if exception not in logs else "", logs):
                if text:
                    click.echo("\n".join(f"    {line}" for line in text.splitlines()))


def _json(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode()


def _when(moment: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment)) if moment else "-"
