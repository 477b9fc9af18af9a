"""``crawlkit migrate FROM TO``: everything a crawl has, to other stores."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from crawlkit import datapath
from crawlkit.cli.base import command, option, say, settings_of
from crawlkit.libs.errors import UsageError

if TYPE_CHECKING:
    from crawlkit.cli.carrying import Display
    from crawlkit.cli.places import Place
    from crawlkit.moving.copying import Note


@command(
    name="migrate",
    example="crawlkit migrate data postgresql+psycopg://crawler@db.example/crawl\n"
    "crawlkit migrate sqlite+taskdb:////old/task.db sqlite+taskdb:////new/task.db\n"
    "crawlkit migrate pyspider:/old/data data",
)
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@option("--only", metavar="KIND,KIND", help="Only these: taskdb, resultdb, projectdb, accountdb, blobdb, logdb.")
@option("--logs/--no-logs", default=False, show_default=True, help="Carry the log lines as well.")
@option("--json", "as_json", is_flag=True, help="One JSON object at the end.")
@click.pass_context
def migrate(
    ctx: click.Context, /, source: str, target: str, only: str | None, logs: bool, as_json: bool
) -> int:  # fmt: skip
    """Carry everything from FROM to TO: tasks, results, projects, accounts, kept pages, with all their numbers.

    FROM and TO are data paths, URLs of one store, or the URL of a database of a server; FROM may also be the folder of
    a pyspider. TO must be empty; run it again after an interruption and it goes on where it stopped. Exits 1 when the
    two are not the same at the end.
    """
    from crawlkit.cli.carrying import Display
    from crawlkit.cli.places import place_of, pyspider_in, standing_still

    old = pyspider_in(source)
    if old is not None:
        from crawlkit.cli.pyspider import import_pyspider

        if only or logs:
            raise UsageError("--only and --logs are for crawlkit's own stores: a pyspider is taken over as a whole")
        return import_pyspider(old, target, as_json=as_json)
    here = place_of(source)
    there = place_of(target, like=here)
    kinds = chosen(here, there, only, logs)
    display = Display()
    started = time.monotonic()
    try:
        with standing_still([here, there], "crawlkit migrate"):
            carry_key(here, there, settings_of(ctx).secret_key)
            problems, audited = _carry(here, there, kinds, display)
    finally:
        display.close()
    rows = sum(display.rows.values())
    seconds = time.monotonic() - started
    if as_json:
        tables = {name: count for name, count in display.rows.items() if count}
        found = {"rows": rows, "seconds": round(seconds, 3), "tables": tables, "projects": audited}
        click.echo(json.dumps({**found, "verified": not problems, "problems": problems}))
    for problem in problems:
        say(f"not the same: {problem}")
    if problems:
        say(f"{len(problems)} differences: {there.said} is not to be used; empty it and begin anew")
        return 1
    say(f"{rows:,} rows of {', '.join(kinds)} carried and compared in {seconds:.1f} s")
    for words in left_behind(here, there):
        say(words)
    return 0


def chosen(here: Place, there: Place, only: str | None, logs: bool) -> list[str]:
    """The kinds of stores to carry, in order."""
    from crawlkit.cli.places import KINDS

    asked = [word.strip() for word in only.split(",")] if only else list(KINDS)
    for kind in asked:
        if kind not in KINDS:
            raise UsageError(f"--only {kind}: use one of {', '.join(KINDS)}")
    kinds = [kind for kind in KINDS if kind in asked and here.has(kind) and (kind != "logdb" or logs or only)]
    if not kinds:
        raise UsageError(f"{here.said}: there is nothing to carry: no {', no '.join(asked)}")
    missing = [kind for kind in kinds if kind not in there.urls]
    if missing:
        raise UsageError(f"{there.said}: takes no {', no '.join(missing)}: name stores of the same kind")
    for kind in kinds:
        if here.urls[kind] == there.urls[kind]:
            raise UsageError(f"{here.said} and {there.said} are the same {kind}")
    return kinds


def _carry(here: Place, there: Place, kinds: list[str], display: Display) -> tuple[list[str], dict[str, bool]]:
    """Copies and compares; returns what is not the same, and which projects' books balance."""
    from crawlkit.cli.places import check_idle
    from crawlkit.database.carrying import Carrier, carrier_of
    from crawlkit.moving import copying

    with ExitStack() as stack:

        def opened(place: Place, *, read_only: bool) -> dict[str, Any]:
            stores = {}
            for kind in kinds:
                stores[kind] = place.open(kind, read_only=read_only)
                stack.callback(stores[kind].close)
            return stores

        if "taskdb" in kinds:
            check_idle(there)
            if not here.urls["taskdb"].startswith("sqlite"):  # a file is only read; its data path has a lock
                check_idle(here)
        old, new = opened(here, read_only=True), opened(there, read_only=False)
        pairs: list[tuple[Carrier, Carrier, Note]] = []
        both = [(carrier_of(old[kind], kind), carrier_of(new[kind], kind)) for kind in kinds]
        ended = [note for _, carrier in both if (note := copying.read_note(carrier)) is not None and note.verified]
        for source, target in both:
            pairs.append((source, target, copying.begin(source, target, cleared=bool(ended))))
        problems = []
        for source, target, note in pairs:
            copying.copy(source, target, note, display.tell)
            problems += copying.differences(source, target, note)
            if copying.digest(source) != note.source and not note.verified:
                problems.append(f"{source.kind} {source.where} has changed meanwhile: does something run on it?")
        audited = _books(old, new, problems)
        if not problems:
            for _, target, note in pairs:
                note.verified = True
                target.set_note(copying.write(note))
            for _, target, _ in reversed(pairs):  # the taskdb's last: while it is there no scheduler starts
                target.set_note(None)
        return problems, audited


def _books(old: dict[str, Any], new: dict[str, Any], problems: list[str]) -> dict[str, bool]:
    """Compares what the rows count to; returns which projects balance."""
    from crawlkit.cli.audit import examine

    audited: dict[str, bool] = {}
    if "taskdb" not in new:
        return audited
    if old["taskdb"].max_seq() != new["taskdb"].max_seq():
        problems.append(f"the last seq is {new['taskdb'].max_seq()}, was {old['taskdb'].max_seq()}")
    for name in old["taskdb"].projects():
        ours, theirs = old["taskdb"].books(name), new["taskdb"].books(name)
        if ours != theirs:
            problems.append(f"books of {name}: {theirs}, were {ours}")
        if "resultdb" in new:
            audited[name] = examine(new["taskdb"], new["resultdb"], name).balanced
            if audited[name] != examine(old["taskdb"], old["resultdb"], name).balanced:
                problems.append(f"books of {name}: the audit says otherwise than before")
    return audited


def carry_key(here: Place, there: Place, given: str | None) -> None:
    """The key that settings are sealed with goes from data path to data path."""
    if here.folder is None or there.folder is None or given:
        return
    ours = datapath.secret_key(here.folder)
    theirs = datapath.secret_key(there.folder)
    if ours is None or ours == theirs:
        return
    if theirs is not None:
        raise UsageError(f"{there.folder / datapath.SECRET_KEY} is another key than that of {here.folder}: remove it")
    datapath.make_data_path(there.folder)
    datapath.put_secret_key(there.folder, ours)
    say(f"{there.folder / datapath.SECRET_KEY}: the key that settings of projects are sealed with went along")


def left_behind(here: Place, there: Place) -> list[str]:
    """What a person has to see to."""
    found = []
    if here.folder is not None:
        if there.folder is None and (here.folder / datapath.SECRET_KEY).exists():
            found.append(
                f"settings of projects open only with the key in {here.folder / datapath.SECRET_KEY}: give it to all"
                " components as CRAWLKIT_SECRET_KEY, or keep the data path"
            )
        if (here.folder / "files").is_dir():
            found.append(f"downloads stay in {here.folder / 'files'}: move the folder, or say --files-path")
    return found
