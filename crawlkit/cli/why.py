"""``crawlkit why``: whether a URL was crawled, or why not and when next. Only asks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from crawlkit.cli.base import command, option, said_path, say, settings_of
from crawlkit.cli.project import RPC
from crawlkit.libs.errors import ServiceUnreachable, UsageError

if TYPE_CHECKING:
    from crawlkit.settings import Settings

FAILED = frozenset({"failed", "robots"})


@command(name="why", remote=True, example="crawlkit why https://quotes.toscrape.com/page/2/ --project quotes")
@click.argument("url", metavar="URL|TASKID")
@option("--project", help="Ask one project.  [default: all that know it]")
@option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@option("--scheduler-rpc", metavar="URL", help=RPC)
@click.pass_context
def why(ctx: click.Context, /, url: str, project: str | None, as_json: bool, scheduler_rpc: str | None) -> None:
    """Say whether a URL was crawled and when, or why not, and when it is next.

    Asks the running scheduler, else the databases. The exit code is 1 when it failed for good in some project or
    robots.txt forbids it, 2 when there is no such project or what is asked is no URL.
    """
    settings = settings_of(ctx)
    answers = _answers(settings, project, url, scheduler_rpc)
    if any(one["code"] == "no_project" for one in answers):
        raise UsageError(f"{answers[0]['text']}; see crawlkit{said_path(settings)} project list")
    if answers and all(one["code"] == "not_url" for one in answers):
        raise UsageError(answers[0]["text"])
    for one in answers:
        if as_json:
            import msgspec

            click.echo(msgspec.json.encode(one).decode())
        else:
            _print(one)
    if not answers:
        say(f"no project knows {url}: there are no projects")
    if any(one["code"] in FAILED for one in answers):
        ctx.exit(1)


def _answers(settings: Settings, project: str | None, url: str, rpc: str | None) -> list[dict[str, Any]]:
    from crawlkit import wiring

    try:
        return wiring.control_client(settings, rpc).why(project, url)
    except ServiceUnreachable as error:
        if settings.server is not None or rpc is not None:
            raise
        say(f"no scheduler runs, so this is what the databases say ({error})")
    return wiring.why_from_stores(settings, project, url)


def _print(one: dict[str, Any]) -> None:
    click.echo(f"{one['project']}: {one['code']}: {one['text']}")
    if one["crawled"] is not None:
        click.echo(f"  crawled  {_when(one['crawled'])}")
    if one["next"] is not None:
        click.echo(f"  next     {_when(one['next'])} at the earliest")


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
