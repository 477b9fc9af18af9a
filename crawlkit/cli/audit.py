"""``crawlkit audit``: prints the books with every reason and its count, and says whether they balance.

Only reads. The comparison itself is :mod:`crawlkit.scheduler.books`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crawlkit.cli.base import command, option, say, settings_of

if TYPE_CHECKING:
    from crawlkit.database.base import ResultStore, TaskStore
    from crawlkit.scheduler.books import Report

PAGE = 500


@command(name="audit", example="crawlkit audit quotes")
@click.argument("project", required=False)
@option("--json", "as_json", is_flag=True, help="One JSON object a project.")
@click.pass_context
def audit(ctx: click.Context, /, project: str | None, as_json: bool) -> int:
    """Compare the ledger with the rows of PROJECT, or of all. Exits 1 when they do not balance."""
    from crawlkit import wiring
    from crawlkit.cli.read import known_project, worked

    settings = settings_of(ctx)
    with wiring.open_stores(settings, ("taskdb", "resultdb")) as stores:
        names = [project] if project else sorted(stores.taskdb.projects())
        if not names:
            say("no books yet: nothing was crawled on this data path")
        if project and project not in stores.taskdb.projects():
            known_project(settings, project, worked(stores.taskdb))
        reports = [examine(stores.taskdb, stores.resultdb, name) for name in names]
    for report in reports:
        if as_json:
            import dataclasses
            import json

            click.echo(json.dumps({**dataclasses.asdict(report), "balanced": report.balanced}))
        else:
            show(report)
    return 0 if all(report.balanced for report in reports) else 1


def examine(taskdb: TaskStore, resultdb: ResultStore, project: str) -> Report:
    """Reads all rows of a project, in pages."""
    from crawlkit.scheduler.books import ResultCheck, compare

    books = taskdb.books(project)  # with the ledger of the same instant: a crawl that goes on must not look like a loss
    report = compare(project, books.ledger, books)
    check = ResultCheck()
    after: str | None = None
    while rows := taskdb.select(project, after=after, limit=PAGE):
        after = rows[-1].taskid
        check.add(rows, resultdb.counts_by_task(project, [row.taskid for row in rows]))
    check.conclude(
        report, resultdb.count(project), discarded=any(entry.event == "discarded" for entry in report.entries)
    )
    return report


def show(report: Report) -> None:
    """The books as a table, and the verdict below."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{report.project}: {report.tasks} tasks", title_justify="left")
    table.add_column("event")
    table.add_column("reason")
    table.add_column("count", justify="right")
    last = ""
    for entry in report.entries:
        table.add_row(entry.event if entry.event != last else "", entry.reason or "-", f"{entry.count}")
        last = entry.event
    table.add_section()
    table.add_row("waiting", "-", f"{report.waiting}")
    table.add_row("leased", "-", f"{report.leased}")
    if report.results is not None:
        table.add_row("results", "-", f"{report.results}")
    Console().print(table)
    if report.balanced:
        click.echo(
            f"{report.project}: balanced: {report.accepted} accepted = {report.ended} ended "
            f"+ {report.waiting} waiting + {report.leased} leased"
        )
    for problem in report.problems:
        click.echo(f"{report.project}: NOT balanced: {problem}")
