"""``crawlkit logs``: what components and callbacks logged, from the log store. Only reads."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from crawlkit.cli.base import command, option, settings_of
from crawlkit.libs.errors import UsageError

if TYPE_CHECKING:
    from crawlkit.database.base import LogStore
    from crawlkit.libs.rows import LogFilter, LogLine

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
FOLLOW_EVERY = 0.5  # seconds between looks at the store
PATIENCE = 5.0  # seconds for one look
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
COLOURS = {30: "yellow", 40: "red", 50: "red"}

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all control characters but newline and tab


@command(
    name="logs",
    remote=True,
    example="crawlkit logs quotes --level warning --since 1h\ncrawlkit logs --follow\n"
    "crawlkit logs quotes --text 'no price' --json",
)
@click.argument("project", required=False, default="")
@option("--level", type=click.Choice([*LEVELS], case_sensitive=False), help="Only lines of this level or a higher one.")
@option("--node", default="", help="Only lines of this process.")
@option("--role", default="", metavar="NAME", help="Only lines of these: scheduler, fetcher, processor, ...")
@option("--task", default="", metavar="TASKID|URL", help="Only lines about this task.")
@option("--since", metavar="WHEN", help="Only later ones: 30m, 2h, 1d ago, or a date like 2026-01-31 12:00.")
@option("--until", metavar="WHEN", help="Only earlier ones.")
@option("--text", default="", help="Only lines with this in them; upper and lower case are the same.")
@option("-n", "--limit", type=click.IntRange(min=0), default=100, show_default=True, help="Lines, the last ones.")
@option("--follow", "-f", is_flag=True, help="Go on with new lines until interrupted.")
@option("--json", "as_json", is_flag=True, help="JSON lines.")
@click.pass_context
def logs(ctx: click.Context, /, project: str, task: str, limit: int, follow: bool, as_json: bool, **said: Any) -> None:
    """Print what the components, and the callbacks of PROJECT or of all, have logged, oldest first."""
    from crawlkit import wiring
    from crawlkit.libs.rows import LogFilter

    now = time.time()
    wanted = LogFilter(
        project=project,
        node=said["node"],
        role=said["role"],
        taskid=_taskid_of(task),
        level=LEVELS[said["level"].lower()] if said["level"] else 0,
        since=moment_of(said["since"], now) if said["since"] else None,
        until=moment_of(said["until"], now) if said["until"] else None,
        text=said["text"],
    )
    write = _write_json if as_json else _write_line
    with wiring.open_stores(settings_of(ctx), ("logdb",)) as stores:
        start = stores.logdb.last()
        for line in last_lines(stores.logdb, wanted, limit):
            write(line)
        if follow:
            for line in following(stores.logdb, wanted, start):
                write(line)


def _taskid_of(task: str) -> str:
    if "://" not in task:
        return task
    from crawlkit.libs.task import taskid_of
    from crawlkit.libs.url import task_url

    return taskid_of(task_url(task))


def moment_of(text: str, now: float) -> float:
    """A Unix time from ``30m`` (ago) or a date in local time; raises :class:`UsageError`."""
    ago = _AGO.fullmatch(text.strip().removesuffix("ago").strip())
    if ago is not None:
        return now - float(ago[1]) * UNITS[ago[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"time {text!r}: use 90s, 30m, 2h, 1d or a date like 2026-01-31 12:00") from None


def last_lines(logdb: LogStore, wanted: LogFilter, limit: int) -> list[LogLine]:
    """The last ``limit`` lines, oldest first, however long it takes to find them."""
    found: list[LogLine] = []
    before: int | None = None
    while len(found) < limit:
        page = logdb.search(wanted, before, min(limit - len(found), 1_000), PATIENCE)
        found += page.lines
        if page.next is None:
            break
        before = page.next
    return found[::-1]


def following(logdb: LogStore, wanted: LogFilter, after: int) -> Iterator[LogLine]:
    """New lines as they come, for ever."""
    while True:
        page = logdb.tail(wanted, after)
        yield from page.lines
        caught_up = page.next is None or page.next >= logdb.last()
        after = page.next if page.next is not None else after
        if caught_up:
            sys.stdout.flush()
            time.sleep(FOLLOW_EVERY)


def _write_json(line: LogLine) -> None:
    import msgspec

    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")


def _write_line(line: LogLine) -> None:
    when = datetime.fromtimestamp(line.time).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    level = next((name for name, number in LEVELS.items() if line.level <= number), "critical")[0].upper()
    who = "/".join(filter(None, (line.project, line.callback))) or line.logger
    about = f" {line.taskid[:8]}" if line.taskid else ""
    text = CONTROL.sub(lambda found: repr(found[0])[1:-1], line.text)  # a page must not write to the terminal
    head = click.style(f"{when} {level} {line.role} {who}{about}:", fg=COLOURS.get(line.level), dim=line.level < 30)
    click.echo(f"{head} {text}")
