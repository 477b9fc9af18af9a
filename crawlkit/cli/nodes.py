"""``crawlkit nodes``: who takes part, by the taskdb, or by a server. Only reads; it needs no running scheduler."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from crawlkit.cli.base import command, option, said_path, say, settings_of
from crawlkit.libs.nodes import HERE, ROLES, SORTS, STALE, STATES, WRITTEN, Node, Watch, matching, nodes_of

if TYPE_CHECKING:
    from crawlkit.settings import Settings

EVERY = 2.0  # seconds between looks with --watch
LOOK_AGAIN = 0.5
COLOURS = {"alive": "green", "paused": "yellow", "stopping": "yellow", "dead": "red"}
HEAD = ("NAME", "HOST", "ROLE", "VERSION", "SINCE", "CPU", "MEMORY", "IN", "OUT", "IN HAND", "HEARD", "STATE")
RIGHT = ("CPU", "MEMORY", "IN", "OUT", "IN HAND", "HEARD")
CLEAR = "\x1b[H\x1b[2J"


@command(
    name="nodes",
    remote=True,
    example="crawlkit nodes\ncrawlkit nodes --role fetcher --sort=-cpu --watch\n"
    "crawlkit nodes --server https://crawl.example.org --state dead --json",
)
@option("--role", type=click.Choice([*ROLES]), help="Only those of this role.")
@option("--host", default="", metavar="NAME", help="Only those on this host.")
@option("--state", type=click.Choice([*STATES]), help="Only those in this state.  [default: those that are there]")
@option("--all", "everybody", is_flag=True, help="Also those that stopped or died in the last seven days.")
@option("--sort", type=click.Choice([*SORTS, *(f"-{name}" for name in SORTS)]), metavar="COLUMN", default=None,
        help=f"{', '.join(SORTS)}; with - before it, the largest first.")  # fmt: skip
@option("--watch", is_flag=True, help="Show them anew every two seconds until interrupted.")
@option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def nodes(ctx: click.Context, /, watch: bool, as_json: bool, everybody: bool, **said: Any) -> None:
    """List the processes that take part, on all hosts, by their heartbeats."""
    settings = settings_of(ctx)
    wanted = {name: value for name, value in said.items() if value}
    if not everybody and "state" not in wanted:
        wanted["there"] = True
    if settings.server is not None:
        _show(_of_server(settings, wanted), settings, watch, as_json)
        return
    from crawlkit import wiring

    with wiring.open_stores(settings, ("taskdb",)) as stores:
        _show(_of_store(stores.taskdb, wanted), settings, watch, as_json)


def _of_store(taskdb: Any, wanted: dict[str, Any]) -> Callable[[], list[Node]]:
    seen = Watch()

    def look() -> list[Node]:
        rows = taskdb.nodes()
        silence = seen.silence(rows, time.time(), time.monotonic())
        deadline = time.monotonic() + 2 * WRITTEN
        while rows and silence > STALE and any(row.alive for row in rows) and time.monotonic() < deadline:
            time.sleep(LOOK_AGAIN)  # nobody writes, or the clocks differ: who writes will do so within that time
            rows = taskdb.nodes()
            silence = seen.silence(rows, time.time(), time.monotonic())
        return _chosen(nodes_of(rows, silence), wanted)

    return look


def _of_server(settings: Settings, wanted: dict[str, Any]) -> Callable[[], list[Node]]:
    import msgspec

    from crawlkit.remote.opening import client_of

    client = client_of(settings.server or "")
    query = {name: value for name, value in wanted.items() if name != "there"}

    def look() -> list[Node]:
        found = msgspec.convert(list(client.items("/nodes", **query)), list[Node])
        return _chosen(found, {"there": wanted.get("there")})

    return look


def _chosen(found: list[Node], wanted: dict[str, Any]) -> list[Node]:
    there = wanted.pop("there", None)
    found = matching(found, **wanted)
    wanted["there"] = there
    return [node for node in found if not there or node.state in (*HERE, "unknown")]


def _show(look: Callable[[], list[Node]], settings: Settings, watch: bool, as_json: bool) -> None:
    while True:
        found = look()
        if as_json:
            _write_json(found)
        else:
            if watch and sys.stdout.isatty():
                click.echo(CLEAR, nl=False)
            _write_table(found, settings)
        if not watch:
            return
        sys.stdout.flush()
        time.sleep(EVERY)


def _write_json(found: list[Node]) -> None:
    import msgspec

    for node in found:
        sys.stdout.buffer.write(msgspec.json.encode(node) + b"\n")
    sys.stdout.buffer.flush()


def _write_table(found: list[Node], settings: Settings) -> None:
    if not found:
        say(f"no process is there; to see those of the last days: crawlkit{said_path(settings)} nodes --all")
        return
    table = [HEAD, *(_line(node) for node in found)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEAD))]
    for number, line in enumerate(table):
        cells = [
            cell.rjust(width) if name in RIGHT else cell.ljust(width)
            for cell, width, name in zip(line, widths, HEAD, strict=True)
        ]
        if number:
            cells[-1] = click.style(cells[-1].rstrip(), fg=COLOURS.get(found[number - 1].state))
        click.echo("  ".join(cells).rstrip())


def _line(node: Node) -> tuple[str, ...]:
    since = datetime.fromtimestamp(node.started).strftime("%Y-%m-%d %H:%M")
    state = node.state + (f": {node.reason}" if node.reason else "")
    heard = datetime.fromtimestamp(node.seen).strftime("%H:%M:%S") if node.silent < 86_400 else "days ago"
    texts = (
        node.node, node.host, node.role, node.version, since,
        "-" if node.cpu is None else f"{node.cpu:.0f}%", _size(node.rss), _speed(node.net_in), _speed(node.net_out),
        "-" if node.inflight is None else str(node.inflight), heard, state,
    )  # fmt: skip
    return tuple("".join(letter if letter.isprintable() else "?" for letter in text) for text in texts)


def _size(size: float | None) -> str:
    if size is None:
        return "-"
    return f"{size:.0f}B" if size < 1024 else f"{size / 1024:.0f}K" if size < 2**20 else f"{size / 2**20:.1f}M"


def _speed(speed: float | None) -> str:
    return "-" if speed is None else f"{_size(speed)}/s"
