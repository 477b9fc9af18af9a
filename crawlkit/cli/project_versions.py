"""``crawlkit project versions|pin``: every save of a project's script, and which of them runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from crawlkit.cli.base import command, option, said_path, say, settings_of
from crawlkit.cli.project import existing, open_projects, project, tell
from crawlkit.libs.errors import UsageError

if TYPE_CHECKING:
    from crawlkit.database.base import ProjectStore
    from crawlkit.libs.rows import ProjectRow, VersionRow

NEWEST = "newest"


@command(project, name="versions", remote=True, example="crawlkit project versions quotes --diff 3fa2")
@click.argument("name")
@option("--diff", "wanted", metavar="VERSION", help="Show what changed from that version to the one that runs.")
@option("--show", metavar="VERSION", help="Print the script of that version.")
@click.pass_context
def versions(ctx: click.Context, /, name: str, wanted: str | None, show: str | None) -> None:
    """List every save of a script, newest first; `*` stands before the one that runs."""
    with open_projects(settings_of(ctx)) as store:
        row, saved = existing(store, name), store.versions(name)
        if show is not None:
            click.echo(_whole(store, found(saved, row, show)).script, nl=False)
            return
        if wanted is not None:
            old, new = (_whole(store, found(saved, row, one)) for one in (wanted, row.runs))
            click.echo("".join(difference(old, new)), nl=False)
            return
    for one in saved:
        mark = "*" if one.version == row.runs else " "
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.saved))
        click.echo(f"{mark} {one.version[:12]}  {moment}  {one.author or '-':<10} {one.message}".rstrip())


def _whole(store: ProjectStore, one: VersionRow) -> VersionRow:
    """With its script, which the list of a server leaves out."""
    import msgspec

    return one if one.script else msgspec.structs.replace(one, script=store.script(one.project, one.version) or "")


@command(
    project, name="pin", remote=True, example="crawlkit project pin quotes 3fa2c1\ncrawlkit project pin quotes newest"
)
@click.argument("name")
@click.argument("version")
@click.pass_context
def pin(ctx: click.Context, /, name: str, version: str) -> None:
    """Make a project run VERSION whatever is saved later; `newest` lets it follow what is saved again."""
    import msgspec

    settings = settings_of(ctx)
    with open_projects(settings) as store:
        row = existing(store, name)
        chosen = "" if version == NEWEST else found(store.versions(name), row, version).version
        row = store.put(msgspec.structs.replace(row, pin=chosen))
    told = tell(settings)
    say(f"project {name}: " + (f"pinned to {row.pin[:12]}" if row.pin else f"follows the newest, {row.version[:12]}"))
    if not told and settings.server is not None:
        say("no scheduler runs there now")
    elif not told:
        say(f"no scheduler runs on this data path; start one with: crawlkit{said_path(settings)} all")


def found(saved: Sequence[VersionRow], row: ProjectRow, wanted: str) -> VersionRow:
    """The version whose name begins with ``wanted``; raises :class:`UsageError` for none and for several."""
    wanted = row.version if wanted == NEWEST else wanted.lower()
    fitting = {one.version: one for one in reversed(saved) if wanted and one.version.startswith(wanted)}
    if len(fitting) != 1:
        problem = "is not clear: give more of it" if fitting else "is none that was saved"
        raise UsageError(f"project {row.name}: version {wanted!r} {problem}; see: crawlkit project versions {row.name}")
    return next(iter(fitting.values()))


def difference(old: VersionRow, new: VersionRow) -> list[str]:
    """As ``diff -u`` writes it."""
    import difflib

    lines = difflib.unified_diff(
        old.script.splitlines(), new.script.splitlines(), old.version[:12], new.version[:12], lineterm=""
    )
    return [f"{line}\n" for line in lines]
