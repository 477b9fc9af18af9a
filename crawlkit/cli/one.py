"""``crawlkit one``: its options, its scripts as projects, its first line.

The run itself is :mod:`crawlkit.cli.crawl`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crawlkit.cli.base import (
    FilesPath,
    Rate,
    browser_options,
    command,
    component_options,
    option,
    say,
    settings_of,
    sink_option,
)
from crawlkit.cli.project_values import put_values
from crawlkit.cli.scripts import project_name, read_script
from crawlkit.libs.errors import UsageError
from crawlkit.settings import show_rate

if TYPE_CHECKING:
    from crawlkit.cli.crawl import Plan
    from crawlkit.libs.rows import ProjectRow

FORMATS = {".jsonl": "jsonl", ".json": "json", ".csv": "csv"}


@command(
    name="one",
    example="crawlkit one quotes.py -o quotes.jsonl\n"
    "crawlkit one news.py -o news.csv --data-path news-data --rate 5   # goes on where it was interrupted",
)
@click.argument("scripts", nargs=-1, metavar="SCRIPT...", type=click.Path(path_type=Path))
@option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
        help="Results go to FILE.jsonl, .json or .csv.  [default: JSON lines on stdout]")  # fmt: skip
@option("--overwrite", is_flag=True, help="Replace a FILE that exists and that this crawl did not write.")
@option("--rate", type=Rate(), help="Pages per second.  [default: 1, and none for loopback hosts]")
@option("--files-path", type=FilesPath(), metavar="DIR|URL",
        help="Where downloads go.  [default: files in the data path]")  # fmt: skip
@sink_option
@option("--limit", type=click.IntRange(min=1), help="Stop after so many pages; the rest is for the next run.")
@option("--forever", is_flag=True, help="Do not end when the crawl has drained: wait for what is due later.")
@option("--browser/--no-browser", default=True, show_default=True,
        help="Start a browser service when the first page for one comes.")  # fmt: skip
@option("--pdb", is_flag=True, help="Stop in a callback that raises, in Python's debugger.")
@option("-i", "--interactive", is_flag=True, help="A Python prompt with run(), crawl() and quit_crawlkit().")
@click.pass_context
def one(
    ctx: click.Context,
    /,
    scripts: tuple[Path, ...],
    output: Path | None,
    overwrite: bool,
    rate: float | str | None,
    files_path: str | None,
    limit: int | None,
    forever: bool,
    browser: bool,
    pdb: bool,
    interactive: bool,
) -> int:
    """Crawl with each SCRIPT from its on_start until nothing is left, then exit.

    Without --data-path everything but the results is forgotten at the end; with it, an interrupted crawl goes on
    where it was when the same command is typed again.
    """
    from crawlkit.cli.crawl import Plan

    settings = settings_of(ctx)
    if not scripts and not (interactive and "data_path" in settings.given):
        raise UsageError("nothing to crawl: give a SCRIPT; `crawlkit new NAME` writes one")
    plan = Plan(
        settings=settings,
        scripts=_read_all(scripts),
        rate=rate,
        output=output,
        form=_format_of(output),
        overwrite=overwrite,
        limit=limit,
        forever=forever,
        pdb=pdb,
        interactive=interactive,
        durable=not settings.given.isdisjoint({"data_path", "database", "taskdb"}),
        engine=_engine_options(ctx),
        fetcher=_fetcher_options(ctx, files_path),
        browser=browser_options(ctx, browser),
        processor=component_options(ctx, "processor"),
        result_cls=component_options(ctx, "result_worker").get("result_cls", ""),
    )
    return _run(plan)


def _read_all(paths: tuple[Path, ...]) -> dict[str, str]:
    scripts: dict[str, str] = {}
    for path in paths:
        name = project_name(path)
        if name in scripts:
            raise UsageError(f"two scripts are called {name}: a project's name is its file's base name")
        scripts[name] = read_script(path)
    return scripts


def _format_of(output: Path | None) -> str:
    if output is None:
        return "jsonl"
    if output.suffix not in FORMATS:
        raise UsageError(f"-o {output}: the file's name says its format: use {', '.join(FORMATS)}")
    if not output.parent.is_dir():
        raise UsageError(f"-o {output}: no directory {output.parent}")
    return FORMATS[output.suffix]


def _engine_options(ctx: click.Context) -> dict[str, Any]:
    """What is set about the scheduler; a crawl that somebody waits for is not paused unless that was said."""
    said = component_options(ctx, "scheduler", given_only=True)
    return {"fail_pause_num": 0, **{name: value for name, value in said.items() if name in ENGINE_OPTIONS}}


def _fetcher_options(ctx: click.Context, files_path: str | None) -> dict[str, Any]:
    said = component_options(ctx, "fetcher")
    return said if files_path is None else {**said, "files_path": files_path}


ENGINE_OPTIONS = (
    *("inqueue_limit", "active_tasks", "fail_pause_num", "lease"),
    *("host_limits", "hold_first", "hold_max"),
)


def _run(plan: Plan) -> int:
    from crawlkit import datapath, wiring
    from crawlkit.cli import log
    from crawlkit.cli.crawl import Crawl

    settings = plan.settings
    log.configure(settings, "WARNING")
    log.tell_failures(settings)
    locks: list[datapath.Lock] = []
    if plan.durable:
        datapath.make_data_path(settings.data_path)
        locks = [
            datapath.Lock(settings.data_path / name, "crawlkit one")
            for name in (datapath.RUN_LOCK, datapath.SCHEDULER_LOCK)
        ]
    else:
        plan = dataclasses.replace(plan, settings=wiring.memory_settings(settings))
    try:
        keeps = plan.durable or settings.logdb is not None
        with (
            log.stored(plan.settings, "one") if keeps else contextlib.nullcontext() as logs,
            wiring.open_stores(plan.settings, create=True) as stores,
        ):
            crawl = Crawl(plan, stores, logs.put if logs is not None else None)
            rows = [put_project(stores.projectdb, name, text, plan.rate) for name, text in plan.scripts.items()]
            for row in rows:
                if row.rate == 0:
                    raise UsageError(f"{row.name}: a rate of 0 sends nothing; say --rate 1 or --rate unlimited")
            say(first_line(rows))
            return asyncio.run(crawl.run())
    finally:
        for lock in locks:
            lock.release()


def put_project(projectdb: Any, name: str, script: str, rate: float | str | None) -> ProjectRow:
    """The script as a RUNNING project. What an earlier run or a person set about it stays, unless it is said anew."""
    from crawlkit.libs.rows import ProjectRow

    old: ProjectRow | None = projectdb.get(name)
    row = put_values(old or ProjectRow(name=name), script, rate=rate, status="RUNNING")
    row.pin = ""  # the script that was named is the one to run
    if old == row:
        return row
    saved: ProjectRow = projectdb.put(row, author="cli", message="crawlkit one")
    return saved


def first_line(rows: list[ProjectRow]) -> str:
    """The rate, and how to change it."""
    if not rows:
        return "no scripts: going on with the projects of the data path"
    speeds: dict[str, list[str]] = {}
    for row in rows:
        speed = f"{show_rate(row.rate)} (burst {row.burst:g})" if row.rate is not None else show_rate(None)
        if not row.rate_set:
            speed += ", loopback hosts as fast as they can"
        speeds.setdefault(speed, []).append(row.name)
    said = "; ".join(f"{', '.join(names)}: {speed}" for speed, names in speeds.items())
    return f"{said}. To change it: --rate 5 or --rate unlimited, or a line '# rate: 5' in the script"
