"""``crawlkit ping``: whether what a component needs answers; for probes, and for people who wire hosts together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from crawlkit.cli.base import command, option, settings_of
from crawlkit.libs.errors import CrawlkitError, ServiceUnreachable

if TYPE_CHECKING:
    from crawlkit.settings import Settings

SERVICES = ("database", "queues", "scheduler")


@command(name="ping", example="crawlkit ping\ncrawlkit ping database queues")
@click.argument("services", nargs=-1, type=click.Choice(SERVICES), metavar="[database|queues|scheduler]...")
@option("--timeout", type=click.FloatRange(min=0, min_open=True), default=10, show_default=True,
        help="Seconds that each has for its answer.")  # fmt: skip
@click.pass_context
def ping(ctx: click.Context, /, services: tuple[str, ...], timeout: float) -> int:
    """Ask database, queues and scheduler, or some of them, for an answer. Exits 2 when one does not give it."""
    settings = settings_of(ctx)
    asked: dict[str, Callable[[Settings, float], None]] = {
        "database": _database,
        "queues": _queues,
        "scheduler": _scheduler,
    }
    failed = 0
    for name in services or SERVICES:
        began = time.monotonic()
        try:
            _within(timeout, name, lambda ask=asked[name]: ask(settings, timeout))  # type: ignore[misc]
        except CrawlkitError as error:
            failed += 1
            click.echo(f"{name}: {' '.join(str(error).split())}", err=True)
        else:
            click.echo(f"{name}: answers ({(time.monotonic() - began) * 1000:.0f} ms)")
    return 2 if failed else 0


def _within(timeout: float, name: str, call: Callable[[], None]) -> None:
    """``call`` in a thread that nobody waits for longer than ``timeout`` seconds; raises what it raised."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        raise ServiceUnreachable(f"does not answer within {timeout:g} s")
    if raised:
        raise raised[0]


def _database(settings: Settings, timeout: float) -> None:
    from crawlkit import wiring

    with wiring.open_stores(settings, ("taskdb", "projectdb", "resultdb")) as stores:
        stores.taskdb.max_seq()
        stores.projectdb.names()
        stores.resultdb.since(2**62, 1)


def _queues(settings: Settings, timeout: float) -> None:
    from crawlkit import wiring

    async def ask() -> None:
        queues = wiring.broker(settings, "ping", patience=timeout / 3)  # its own words come before ours
        try:
            async with asyncio.timeout(timeout):
                await queues.connect()
                await queues.epoch()
        finally:
            await queues.close()

    asyncio.run(ask())


def _scheduler(settings: Settings, timeout: float) -> None:
    from crawlkit import wiring

    wiring.control_client(settings, timeout=timeout).close()
