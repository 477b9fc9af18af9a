"""``crawlkit sinks``: where results go beside the resultdb, and how far they are."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

import click

from crawlkit.cli.base import command, option, say, settings_of
from crawlkit.libs.errors import UsageError

if TYPE_CHECKING:
    from crawlkit.result.sink_report import SinkState
    from crawlkit.settings import Settings


@command(
    name="sinks",
    remote=True,
    example="crawlkit sinks\ncrawlkit sinks --json\ncrawlkit sinks --forget csv:///data/out",
)
@option("--json", "as_json", is_flag=True, help="One JSON object a line, for each sink and project.")
@option("--forget", metavar="URL", help="Forget a sink that nothing serves. Named again, it begins with the first "
        "result, in files with other names.")  # fmt: skip
@click.pass_context
def sinks(ctx: click.Context, /, as_json: bool, forget: str | None) -> None:
    """List the sinks, and for each project what is in their files and what waits."""
    from crawlkit import wiring

    settings = settings_of(ctx)
    if settings.server is not None:
        if forget is not None:
            raise UsageError("--forget needs the resultdb: with --server there is none")
        _show(_of_server(settings), as_json)
        return
    with wiring.open_stores(settings, ("resultdb",)) as stores:
        if forget is not None:
            _forget(stores.resultdb, forget)
            return
        from crawlkit.result.sink_report import states_of

        book = wiring.sink_book(stores.resultdb)
        found = states_of(stores.resultdb.projects(), book, time.time())
        if not found and not as_json and book.sinks():
            say("there are no results yet")
        _show(found, as_json)


def _of_server(settings: Settings) -> list[SinkState]:
    import msgspec

    from crawlkit.remote.opening import client_of
    from crawlkit.result.sink_report import SinkState

    return msgspec.convert(list(client_of(settings.server or "").items("/sinks")), list[SinkState])


def _forget(resultdb: object, text: str) -> None:
    from crawlkit import wiring
    from crawlkit.result.sink_report import node_of
    from crawlkit.result.sink_url import parse_sink

    url = parse_sink(text)
    book = wiring.sink_book(resultdb)  # type: ignore[arg-type]
    row = next((row for row in book.sinks() if row.sink == url.id), None)
    if row is None:
        raise UsageError(f"sink {url.shown}: is not known; `crawlkit sinks` lists those that are")
    node = node_of(row, time.time())
    if node:
        raise UsageError(f"sink {url.shown}: {node} serves it: stop that, or start it without this sink, first")
    book.drop_sink(url.id)
    say(f"forgotten: {url.shown}; its files stay")


def _show(found: Iterable[SinkState], as_json: bool) -> None:
    import msgspec

    if as_json:
        for one in found:
            click.echo(msgspec.json.encode(one))
        return
    listed = False
    for _, states in groupby(found, key=lambda one: one.sink):
        listed = True
        _show_sink(list(states))
    if not listed:
        say("no sinks; start result workers with --sink URL, like --sink parquet:///data/out")


def _show_sink(states: list[SinkState]) -> None:
    node = states[0].node
    click.echo(f"{states[0].sink}  ({f'served by {node}' if node else 'nothing serves it now'})")
    width = max(len(one.project) for one in states)
    for one in states:
        size = f"{one.bytes / 2**20:,.1f} MiB"
        when = f", the newest {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(one.updated))}" if one.updated else ""
        click.echo(
            f"  {one.project:<{width}}  {one.results:,} results in {one.files:,} files ({size}{when}), "
            f"up to number {one.sequence:,}; {one.waiting:,} wait"
        )
        if one.error:
            click.echo(f"  {'':<{width}}  does not work now: {one.error}")
