"""``crawlkit project clear|retry|restart|pause|resume``: orders to a running scheduler for all tasks of a project."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from crawlkit.cli.base import command, confirm, option, say, settings_of
from crawlkit.cli.project import RPC, existing, open_projects, project
from crawlkit.libs.errors import UsageError

if TYPE_CHECKING:
    from crawlkit.scheduler.control import ControlClient

QUESTIONS = {
    "clear": "let {tasks:,} waiting tasks of project {name} go?",
    "restart": "forget what project {name} has crawled ({tasks:,} tasks) and begin with on_start?",
}
DONE = {
    "clear": "{tasks:,} waiting tasks leave",
    "retry_failed": "{tasks:,} failed tasks run again",
    "restart": "begins anew: {tasks:,} tasks count as never seen, then on_start runs",
    "pause": "paused; {tasks:,} tasks wait until: crawlkit project resume {name}",
    "resume": "runs again; {tasks:,} tasks wait",
}


WOULD = {
    "clear": "{tasks:,} waiting tasks would leave",
    "retry_failed": "{tasks:,} failed tasks would run again",
    "restart": "{tasks:,} tasks would count as never seen, then on_start would run",
    "pause": "{tasks:,} waiting tasks would be held",
    "resume": "{tasks:,} waiting tasks could go on",
}
REASON = "Only tasks that failed with it, as crawlkit project show names them."
DRY = "Only say how many tasks it would touch."


def _order(
    ctx: click.Context,
    name: str,
    rpc: str | None,
    action: str,
    *,
    reason: str = "",
    ask: bool = False,
    dry_run: bool = False,
) -> None:
    from crawlkit import wiring

    client = wiring.control_client(settings_of(ctx), rpc)
    counted = client.count_action(name, action, reason or None)
    if dry_run:
        with open_projects(settings_of(ctx)) as store:
            existing(store, name)
        say(f"project {name}: " + WOULD[action].format(**counted) + f"; {counted['leased']:,} are on their way")
        return
    if ask:
        confirm(QUESTIONS[action].format(name=name, **counted))
    answer = client.order(name, action, reason or None)
    if not answer["accepted"]:
        raise UsageError(f"project {name}: {answer['reason']}")
    out = counted["leased"] if action in ("clear", "restart") else 0
    more = f"; {out:,} on their way come to their end" if out else ""
    say(f"project {name}: " + DONE[action].format(name=name, **counted) + more)
    if action not in ("pause", "resume"):
        _wait(client, name)


def _wait(client: ControlClient, name: str) -> None:
    """Until it is done. Whoever interrupts this does not stop it."""
    told = time.monotonic()
    while True:
        seen = client.dashboard()
        action = seen["projects"].get(name, {}).get("action")
        if seen["loaded"] and action is None:
            return
        if action is not None and time.monotonic() - told >= 5:
            told = time.monotonic()
            say(f"project {name}: {action['touched']:,} tasks so far")
        time.sleep(0.3)


@command(project, name="clear", remote=True, example="crawlkit project clear quotes --yes")
@click.argument("name")
@option("--yes", is_flag=True, help="Do not ask.")
@option("--dry-run", is_flag=True, help=DRY)
@option("--scheduler-rpc", metavar="URL", help=RPC)
@click.pass_context
def clear(ctx: click.Context, /, name: str, yes: bool, dry_run: bool, scheduler_rpc: str | None) -> None:
    """Let all waiting tasks of a project go. Running and finished ones stay."""
    _order(ctx, name, scheduler_rpc, "clear", ask=not yes, dry_run=dry_run)


@command(project, name="retry", remote=True, example="crawlkit project retry quotes --reason http_503")
@click.argument("name")
@option("--reason", default="", help=REASON)
@option("--dry-run", is_flag=True, help=DRY)
@option("--scheduler-rpc", metavar="URL", help=RPC)
@click.pass_context
def retry(ctx: click.Context, /, name: str, reason: str, dry_run: bool, scheduler_rpc: str | None) -> None:
    """Run the failed tasks of a project again, at once. Also called retry-failed."""
    _order(ctx, name, scheduler_rpc, "retry_failed", reason=reason, dry_run=dry_run)


@command(project, name="restart", remote=True, example="crawlkit project restart quotes --yes")
@click.argument("name")
@option("--yes", is_flag=True, help="Do not ask.")
@option("--dry-run", is_flag=True, help=DRY)
@option("--scheduler-rpc", metavar="URL", help=RPC)
@click.pass_context
def restart(ctx: click.Context, /, name: str, yes: bool, dry_run: bool, scheduler_rpc: str | None) -> None:
    """Crawl everything again: waiting tasks go, the others count as never seen, on_start runs.

    Running tasks come to their end; they are crawled again when something leads to them. Results stay until their
    pages have new ones.
    """
    _order(ctx, name, scheduler_rpc, "restart", ask=not yes, dry_run=dry_run)


@command(project, name="pause", remote=True, example="crawlkit project pause quotes")
@click.argument("name")
@option("--dry-run", is_flag=True, help=DRY)
@option("--scheduler-rpc", metavar="URL", help=RPC)
@click.pass_context
def pause(ctx: click.Context, /, name: str, dry_run: bool, scheduler_rpc: str | None) -> None:
    """Send no more pages of a project until it is resumed. Crons still run; what they crawl waits."""
    _order(ctx, name, scheduler_rpc, "pause", dry_run=dry_run)


@command(project, name="resume", remote=True, example="crawlkit project resume quotes")
@click.argument("name")
@option("--dry-run", is_flag=True, help=DRY)
@option("--scheduler-rpc", metavar="URL", help=RPC)
@click.pass_context
def resume(ctx: click.Context, /, name: str, dry_run: bool, scheduler_rpc: str | None) -> None:
    """Let a project run that somebody paused, or that paused because it only failed."""
    _order(ctx, name, scheduler_rpc, "resume", dry_run=dry_run)
