"""``crawlkit partitions``: into how many parts the taskdb is divided, who has which, and changing that."""

from __future__ import annotations

import json
import time

import click

from crawlkit import wiring
from crawlkit.cli.base import command, option, say, settings_of


@command(name="partitions", example="crawlkit partitions\ncrawlkit partitions 8")
@click.argument("number", type=click.IntRange(1, 256), required=False)
@option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def partitions(ctx: click.Context, /, number: int | None, as_json: bool) -> int:
    """Show into how many partitions the taskdb is divided and who has them; with NUMBER, divide it anew.

    One scheduler needs one partition. Several share them: two to four times as many as schedulers is a good number.
    It can be changed while no scheduler runs.
    """
    settings = settings_of(ctx)
    if number is not None:
        moved = wiring.divide(settings, number, time.sleep)
        more = f"; {moved:,} waiting tasks belong to another one now" if moved else ""
        say(f"{number} partition{'s' if number > 1 else ''}{more}")
        return 0
    found = wiring.look_at_partitions(settings)
    if as_json:
        click.echo(json.dumps(found))
        return 0
    has, owners = found["partitions"], found["owners"]
    click.echo(
        f"{has} partition{'s' if has > 1 else ''}" + (", of which each scheduler has its share" if has > 1 else "")
    )
    for owner in sorted(set(owners.values())):
        click.echo(f"{owner}: {', '.join(part for part in owners if owners[part] == owner)}")
    free = [str(part) for part in range(has) if str(part) not in owners]
    if free:
        click.echo(f"nobody: {', '.join(free)}")
    return 0
