"""``crawlkit migrate pyspider:... TO``: takes over the tasks, results and projects of a pyspider."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crawlkit.cli.base import say
from crawlkit.libs.errors import UsageError

if TYPE_CHECKING:
    from crawlkit.moving.importing import Imported

KINDS = ("taskdb", "resultdb", "projectdb")


def import_pyspider(old: list[str] | Path, target: str, *, as_json: bool) -> int:
    """Returns the exit code. ``old``: a folder with SQLite files, or URLs in pyspider's form."""
    from crawlkit.cli.carrying import Display
    from crawlkit.cli.places import check_idle, place_of, standing_still
    from crawlkit.database import pyspider
    from crawlkit.moving.importing import Importer

    there = place_of(target)
    if set(KINDS) - there.urls.keys():
        raise UsageError(f"{there.said}: a pyspider goes into a data path, or into a database of a server")
    display, started = Display(), time.monotonic()
    try:
        with standing_still([there], "crawlkit migrate"), ExitStack() as stack:
            stores = pyspider.open_folder(old) if isinstance(old, Path) else pyspider.open_urls(old)
            for store in stores.values():
                stack.callback(store.close)
            check_idle(there)
            new = {}
            for kind in KINDS:
                new[kind] = there.open(kind, read_only=False)
                stack.callback(new[kind].close)
            importer = Importer(
                stores, new["taskdb"], new["resultdb"], new["projectdb"], time.time(), display.tell
            )  # fmt: skip
            done = importer.run()
            balanced = _audit(new, done)
    finally:
        display.close()
    if as_json:
        click.echo(json.dumps(_object(done, balanced, time.monotonic() - started)))
    return tell(done, balanced, time.monotonic() - started)


def _audit(new: dict[str, object], done: Imported) -> dict[str, bool]:
    from crawlkit.cli.audit import examine

    return {
        name: examine(new["taskdb"], new["resultdb"], name).balanced  # type: ignore[arg-type]
        for name in done.projects
        if name in new["taskdb"].projects()  # type: ignore[attr-defined]
    }


def _object(done: Imported, balanced: dict[str, bool], seconds: float) -> dict[str, object]:
    tally = done.tally
    return {
        "projects": done.projects,
        "tasks": dict(done.tasks),
        "results": done.results,
        "left_out": [{"what": what, "why": why, "count": n} for (what, why), n in sorted(tally.left.items())],
        "not_kept": [{"what": what, "why": why, "count": n} for (what, why), n in sorted(tally.lost.items())],
        "taskid_compat": done.compat,
        "balanced": balanced,
        "verified": not done.problems,
        "problems": done.problems,
        "seconds": round(seconds, 3),
    }


def tell(done: Imported, balanced: dict[str, bool], seconds: float) -> int:
    """In words, to stderr; returns the exit code."""
    for words in done.tally.words():
        say(words)
    for name in done.compat:
        say(
            f"{name}: a line `# taskid_compat: yes` was put under its script: tasks with a body keep pyspider's ids;"
            " the script as it was is its first version"
        )
    for problem in done.problems:
        say(f"not as it should be: {problem}")
    unbalanced = [name for name, good in balanced.items() if not good]
    for name in unbalanced:
        say(f"{name}: the books do not balance: crawlkit audit {name}")
    tasks = sum(done.tasks.values())
    by_status = ", ".join(f"{n:,} {status}" for status, n in sorted(done.tasks.items()))
    said = f"{len(done.projects)} projects, {tasks:,} tasks ({by_status or 'none'}), {done.results:,} results"
    say(f"{said} taken over and compared in {seconds:.1f} s")
    return 1 if done.problems or unbalanced else 0
