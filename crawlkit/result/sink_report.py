"""How far each sink is, for people and programs."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from crawlkit.database.base import SinkBook
from crawlkit.libs.rows import SinkProgress, SinkRow
from crawlkit.result.sink_follower import Holder


class SinkState(Struct):
    """One sink and one project. ``waiting``: results that are in no finished file yet."""

    sink: str
    """Without a password."""
    project: str
    sequence: int
    """The number of the newest result in a finished file; all before it are in finished files as well."""
    waiting: int
    files: int
    results: int
    bytes: int
    updated: float
    """When the newest file was finished, Unix time; 0: never."""
    node: str
    """The process that serves the sink, "" while none does."""
    error: str
    """Why the last try did not work; "": it did."""


def states_of(projects: list[str], book: SinkBook, now: float) -> list[SinkState]:
    """Every sink with every project that has results, or had some for it."""
    found = []
    for row in book.sinks():
        progress = {one.project: one for one in book.sink_progress(row.sink)}
        for project in sorted({*projects, *progress}):
            one = progress.get(project) or SinkProgress(row.sink, project)
            waiting = book.behind(project, one.seq)
            found.append(
                SinkState(row.url, project, one.seq, waiting, one.files, one.results, one.size, one.updated,
                          node_of(row, now), one.error)
            )  # fmt: skip
    return found


def node_of(row: SinkRow, now: float) -> str:
    """Who serves a sink; ``""``: nobody."""
    try:
        holder = msgspec.json.decode(row.holder, type=Holder)
    except msgspec.DecodeError:
        return ""
    return holder.node if row.until > now and not holder.has_died() else ""
