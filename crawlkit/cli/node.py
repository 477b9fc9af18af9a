"""``crawlkit node``: more hands for a crawl, on a host of their own."""

from __future__ import annotations

from typing import Any

import click

from crawlkit.cli.base import browser_options, command, inherited_by, option, settings_of, sink_option
from crawlkit.cli.limits import with_limits


@command(
    name="node",
    example="crawlkit --database postgresql+psycopg://crawl@db/crawl --message-queue redis://broker node\n"
    "crawlkit --database mysql+pymysql://crawl@db/crawl --message-queue manager://control:7700 node --fetcher-num 2",
)
@option("--fetcher-num", type=click.IntRange(min=0), default=1, show_default=True, help="Fetchers to start.")
@option("--processor-num", type=click.IntRange(min=0), default=1, show_default=True, help="Processors to start.")
@option("--result-worker-num", type=click.IntRange(min=0), default=1, show_default=True,
        help="Result workers to start.")  # fmt: skip
@option("--browser/--no-browser", default=True, show_default=True,
        help="Start a browser service when the first page for one comes.")  # fmt: skip
@sink_option
@with_limits
@option("--until-done", is_flag=True, help="End, with code 0, when nothing is left to do in any project that runs.")
@click.pass_context
def node(
    ctx: click.Context,
    /,
    fetcher_num: int,
    processor_num: int,
    result_worker_num: int,
    browser: bool,
    until_done: bool,
    **limits: Any,
) -> int:
    """Start the workers of this host, for a scheduler on another one, and start again what dies.

    Give the database and the message queue that the scheduler uses. The workers' own options come from the
    environment or the config file, as under `crawlkit all`. The limits hold for each fetcher and each processor.
    """
    from crawlkit.cli.together import run_node

    counts = {"fetcher": fetcher_num, "processor": processor_num, "result_worker": result_worker_num}
    service = browser_options(ctx, browser) if fetcher_num else None
    forks = inherited_by(ctx).forks
    return run_node(settings_of(ctx), counts, limits, until_done=until_done, browser=service, forks=forks)
