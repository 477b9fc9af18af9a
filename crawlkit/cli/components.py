"""``crawlkit all`` and the components alone: their options, with pyspider's names [C30-C37].

What they start is in :mod:`crawlkit.cli.together` and :mod:`crawlkit.cli.alone`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crawlkit.cli.base import (
    FilesPath,
    HostLimitsType,
    browser_options,
    command,
    component_options,
    inherited_by,
    option,
    settings_of,
    sink_option,
    was_given,
)
from crawlkit.cli.limits import with_limits


@command(name="all", example="crawlkit all --fetcher-num 2 --processor-num 2\ncrawlkit")
@option("--fetcher-num", type=click.IntRange(min=0), default=1, show_default=True, help="Fetchers to start.")
@option("--processor-num", type=click.IntRange(min=0), default=1, show_default=True, help="Processors to start.")
@option("--result-worker-num", type=click.IntRange(min=0), default=1, show_default=True,
        help="Result workers to start; 0: results are counted as discarded.")  # fmt: skip
@sink_option
@option("--webui/--no-webui", "with_webui", default=True, show_default=True, help="Start the web UI as well.")
@option("--browser/--no-browser", default=True, show_default=True,
        help="Start a browser service when the first page for one comes.")  # fmt: skip
@option("--run-in", type=click.Choice(["subprocess"]), default="subprocess", hidden=True,
        help="Components are processes; pyspider's threads are not offered.")  # fmt: skip
@click.pass_context
def all_command(ctx: click.Context, /, with_webui: bool, browser: bool, run_in: str, **numbers: int) -> int:
    """Start every component, and start again what dies. This is what `crawlkit` alone does."""
    from crawlkit.cli.together import run_all

    counts = {name.removesuffix("_num"): number for name, number in numbers.items()}
    service, forks = browser_options(ctx, browser), inherited_by(ctx).forks
    return run_all(settings_of(ctx), counts, with_webui=with_webui, browser=service, forks=forks)


@command(name="scheduler", example="crawlkit --message-queue local:///var/lib/crawlkit/queues.sock scheduler")
@option(
    "--xmlrpc/--no-xmlrpc", default=True, show_default=True, help="Answer commands and the UI (JSON, with a token)."
)
@option("--xmlrpc-host", default="127.0.0.1", show_default=True, help="Where to listen for them.")
@option("--xmlrpc-port", envvar="SCHEDULER_XMLRPC_PORT", type=click.IntRange(0, 65535), default=23333,
        show_default=True, help="0: any free port.")  # fmt: skip
@option("--advertise", metavar="URL",
        help="Where other hosts reach it.  [default: --xmlrpc-host and port, or this host's address]")  # fmt: skip
@option("--inqueue-limit", type=click.IntRange(min=0), default=0, show_default=True,
        help="Waiting tasks a project may have before submissions are refused; 0: no limit.")  # fmt: skip
@option("--delete-time", type=click.FloatRange(min=0), default=86_400, show_default=True,
        help="Seconds a stopped project of group `delete` is kept.")  # fmt: skip
@option("--keep-tasks", type=click.FloatRange(min=0), default=0, show_default=True, metavar="DAYS",
        help="Days that finished tasks are kept, unless their project says otherwise; 0: for ever.")  # fmt: skip
@option("--active-tasks", type=click.IntRange(min=10), default=100, show_default=True,
        help="Recent tasks remembered per project.")  # fmt: skip
@option("--window", type=click.IntRange(min=1_000), default=100_000, show_default=True,
        help="Waiting tasks held in memory, of all projects together.")  # fmt: skip
@option("--loop-limit", type=click.IntRange(min=1), default=1_000, show_default=True,
        help="Tasks handled in one turn.")  # fmt: skip
@option("--fail-pause-num", type=click.IntRange(min=0), default=10, show_default=True,
        help="Failures in a row that pause a project; 0: never.")  # fmt: skip
@option("--host-limits", type=HostLimitsType(), metavar="JSON",
        help="What may be asked of a host where no project says: rate, concurrency and so on.")  # fmt: skip
@option("--hold-first", type=click.FloatRange(min=0), default=1, show_default=True,
        help="Seconds for which a host is left alone that answers 429 or 503 without Retry-After, doubled each time;"
             " 0: it is not.")  # fmt: skip
@option("--hold-max", type=click.FloatRange(min=0), default=3_600, show_default=True,
        help="The most seconds for which a host is left alone, whatever its Retry-After says; 0: none.")  # fmt: skip
@option("--lease", type=click.FloatRange(min=1), default=30, show_default=True,
        help="Seconds until a task of which nothing is heard is handed out again.")  # fmt: skip
@option("--partitions", type=click.IntRange(1, 256), metavar="N",
        help="Divide a new taskdb into so many parts for several schedulers.  [default: as it is, or 1]")  # fmt: skip
@option("--threads", type=int, hidden=True, help="Accepted and without effect: one thread does all.")
@click.pass_context
def scheduler(ctx: click.Context, /, **options: Any) -> int:
    """Run a scheduler alone. There is one for each taskdb, or several that share its partitions."""
    from crawlkit.cli.alone import run_scheduler

    return run_scheduler(settings_of(ctx), port_given=was_given(ctx, "xmlrpc_port"), **options)


@command(name="fetcher", example="crawlkit --data-path /var/lib/crawlkit fetcher --poolsize 200")
@option("--poolsize", type=click.IntRange(min=1), default=100, show_default=True, help="Fetches at once.")
@option("--host-connections", type=click.IntRange(min=0), default=32, show_default=True,
        help="Connections to one host at once; 0: no limit.")  # fmt: skip
@option("--proxy", help="For tasks that name none: scheme://user:password@host:port")
@option("--user-agent", help="For tasks that name none.")
@option("--timeout", type=click.FloatRange(min=0, min_open=True), default=120, show_default=True,
        help="Seconds for a fetch that names none.")  # fmt: skip
@option("--max-body", type=click.IntRange(min=1), default=64, show_default=True,
        help="MiB of a body, after decompression.")  # fmt: skip
@option("--files-path", type=FilesPath(), metavar="DIR|URL",
        help="Where downloads go.  [default: files in the data path]")  # fmt: skip
@option("--splash-endpoint", help="URL of Splash's /execute.")
@option("--browser-endpoint", metavar="URL", help="A browser service, like http://127.0.0.1:22222/.")
@option("--puppeteer-endpoint", hidden=True, help="An older name of --browser-endpoint.")
@option("--phantomjs-endpoint", hidden=True, help="An older name of --browser-endpoint.")
@option("--allow-private/--no-allow-private", default=None,
        help="Whether loopback and private addresses may be fetched.  [default: until there is a user]")  # fmt: skip
@with_limits
@option("--xmlrpc/--no-xmlrpc", default=False, hidden=True, help="Accepted and without effect.")
@option("--xmlrpc-host", hidden=True, help="Accepted and without effect.")
@option("--xmlrpc-port", envvar="FETCHER_XMLRPC_PORT", type=int, hidden=True, help="Accepted and without effect.")
@click.pass_context
def fetcher(ctx: click.Context, /, **options: Any) -> int:
    """Run a fetcher alone."""
    from crawlkit.cli.alone import run_fetcher

    for name in ("xmlrpc", "xmlrpc_host", "xmlrpc_port"):
        del options[name]
    if options["allow_private"] is None and component_options(ctx, "webui").get("username"):
        options["allow_private"] = False  # the web UI's own user is in no store
    return run_fetcher(settings_of(ctx), **options)


@command(name="processor", example="crawlkit --data-path /var/lib/crawlkit processor --process-time-limit 60")
@option("--process-time-limit", type=click.FloatRange(min=0, min_open=True), default=30, show_default=True,
        help="Seconds a callback may run.")  # fmt: skip
@option("--memory-limit", type=click.IntRange(min=0), default=1024, show_default=True,
        help="MiB a callback may take; 0: no limit.")  # fmt: skip
@option("--workers", type=click.IntRange(min=0), default=0, help="Worker processes.  [default: two a CPU, at least 4]")
@option("--keep-pages", type=click.IntRange(0, 1000), default=20, show_default=True,
        help="Last fetched pages of each callback to keep, for trying changed scripts on; 0: none.")  # fmt: skip
@with_limits
@click.pass_context
def processor(ctx: click.Context, /, **options: Any) -> int:
    """Run a processor, with its handler workers, alone."""
    from crawlkit.cli.alone import run_processor

    return run_processor(settings_of(ctx), zygote=inherited_by(ctx).zygote, **options)


@command(
    name="result_worker", example="crawlkit --data-path /var/lib/crawlkit result_worker --result-cls mymodule.Sink"
)
@option("--result-cls", default="", metavar="MODULE.CLASS", help="A subclass of crawlkit.result.ResultWorker.")
@sink_option
@option("--discard", is_flag=True, hidden=True, help="Count results and keep none.")
@click.pass_context
def result_worker(ctx: click.Context, /, **options: Any) -> int:
    """Run a result worker alone."""
    from crawlkit.cli.alone import run_result_worker

    return run_result_worker(settings_of(ctx), **options)


@command(name="webui", example="crawlkit webui --port 5000")
@option("--host", envvar="WEBUI_HOST", default="127.0.0.1", show_default=True, help="Where to listen.")
@option("--port", envvar="WEBUI_PORT", type=click.IntRange(0, 65535), default=5000, show_default=True,
        help="0: any free port.")  # fmt: skip
@option("--scheduler-rpc", metavar="URL", help="Address of the scheduler.  [default: found in the data path]")
@option("--max-rate", type=float, hidden=True, help="Accepted and without effect.")
@option("--max-burst", type=float, hidden=True, help="Accepted and without effect.")
@option("--username", envvar="WEBUI_USERNAME", help="Name of an admin known to this process only.")
@option("--password", envvar="WEBUI_PASSWORD", help="The password of that admin; better in the environment.")
@option("--need-auth", is_flag=True, help="Browsers ask for name and password themselves (HTTP Basic).")
@option("--allow-host", multiple=True, metavar="NAME", help="A host name that this server goes by; can be repeated.")
@option("--url-prefix", metavar="PATH", help="The path under which a reverse proxy shows it, like /crawl.")
@option("--trusted-proxy", multiple=True, metavar="CIDR",
        help="A reverse proxy whose X-Forwarded-* headers count; can be repeated.")  # fmt: skip
@option("--tls-cert", type=click.Path(path_type=Path, dir_okay=False), help="Speak HTTPS with this certificate (PEM).")
@option("--tls-key", type=click.Path(path_type=Path, dir_okay=False), help="The key of that certificate.")
@option("--process-time-limit", type=float, default=30, show_default=True, help="Seconds a debug run may take.")
@option("--cdn", hidden=True, help="Accepted and without effect: everything is in the package.")
@option("--fetcher-rpc", hidden=True, help="Accepted and without effect.")
@option("--webui-instance", hidden=True, help="Accepted and without effect.")
@click.pass_context
def webui(ctx: click.Context, /, **options: Any) -> int:
    """Run the web UI alone. It prints a link; who opens it is let in."""
    from crawlkit.cli.alone import run_webui

    fetcher = component_options(ctx, "fetcher")
    return run_webui(settings_of(ctx), port_given=was_given(ctx, "port"), fetcher=fetcher, **options)
