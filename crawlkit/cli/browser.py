"""``crawlkit browser``: a service that renders pages in Chromium; pyspider's ``phantomjs`` and ``puppeteer`` [C35, C36]
are other names for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from crawlkit.cli.base import command, option, settings_of

F = TypeVar("F", bound=Callable[..., Any])
EXAMPLE = "crawlkit browser --poolsize 8\ncrawlkit browser --host 0.0.0.0   # for fetchers on other hosts"


def _options(port: int) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for one in reversed((
            option("--host", default="127.0.0.1", show_default=True, help="Where to listen."),
            option("--port", type=click.IntRange(0, 65535), default=port, show_default=True, help="0: any free port."),
            option("--poolsize", type=click.IntRange(min=0), default=0, help="Pages at once.  [default: two a CPU]"),
            option("--max-waiting", type=click.IntRange(min=0), default=500, show_default=True,
                   help="Jobs that may wait; who comes then is sent away for a while."),
            option("--chromium", metavar="PATH", help="The browser.  [default: looked for]"),
            option("--sandbox/--no-sandbox", default=None,
                   help="Chromium's sandbox.  [default: unless this is root, for whom there is none]"),
            option("--recycle-pages", type=click.IntRange(min=1), default=500, show_default=True,
                   help="Pages after which a new browser takes over."),
            option("--recycle-age", type=click.FloatRange(min=1), default=3600, show_default=True,
                   help="Seconds after which a new browser takes over."),
            option("--recycle-memory", type=click.IntRange(min=1), default=2048, show_default=True,
                   help="MiB of a browser's processes over which a new one takes over."),
            option("--page-memory", type=click.IntRange(min=1), default=1536, show_default=True,
                   help="MiB of one page's process; over it the page has crashed."),
            option("--max-load", type=click.IntRange(min=1), default=512, show_default=True,
                   help="MiB that a page may load, with all that belongs to it."),
            option("--idle", type=click.FloatRange(min=0), default=60, show_default=True,
                   help="Seconds without a page after which the browser is closed."),
            option("--allow-private/--no-allow-private", default=True, show_default=True,
                   help="Whether pages may reach loopback and private addresses."),
            option("--quiet", is_flag=True, hidden=True, help="Log warnings only."),
        )):  # fmt: skip
            function = one(function)
        return function

    return decorate


@command(name="browser", example=EXAMPLE)
@_options(22222)
@click.pass_context
def browser(ctx: click.Context, /, **options: Any) -> int:
    """Run a browser service, for pages with fetch_type="js".

    `crawlkit all`, `node` and `one` start one themselves when the first such page comes. Fetchers find this one by
    --browser-endpoint. Clients show a token that is made of the secret key, or that of CRAWLKIT_BROWSER_TOKEN.
    """
    from crawlkit.cli.alone import run_browser

    return run_browser(settings_of(ctx), **options)


def _old_name(name: str, port: int) -> click.Command:
    @command(name=name, example=f"crawlkit {name} --port {port}", hidden=True)
    @_options(port)
    @option("--phantomjs-path", hidden=True, help="Accepted and without effect: Chromium is looked for.")
    @option("--auto-restart", hidden=True, help="Accepted and without effect: it always is.")
    @click.argument("args", nargs=-1)
    @click.pass_context
    def run(
        ctx: click.Context, /, phantomjs_path: str | None, auto_restart: str | None, args: tuple[str, ...], **more: Any
    ) -> int:
        """pyspider's name for `crawlkit browser`."""
        from crawlkit.cli.alone import run_browser

        return run_browser(settings_of(ctx), **more)

    return run


phantomjs = _old_name("phantomjs", 25555)
puppeteer = _old_name("puppeteer", 22222)
