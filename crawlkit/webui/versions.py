"""Saving scripts: what a save does to a project, what stands between two versions. Pure: rows and texts in."""

from __future__ import annotations

import ast
import difflib
from collections import Counter
from typing import Annotated

from msgspec import Meta, Struct

from crawlkit.libs.rows import ProjectRow, VersionRow
from crawlkit.libs.task import ACTIVE_STATUSES

MAX_COMPARED = 400_000_000  # lines of one times lines of the other
MAX_LINES = 20_000  # of a difference
CHECKING = "CHECKING"


class Spot(Struct):
    """A place in a script and what is wrong there."""

    line: int
    column: int
    message: str


class DiffLine(Struct):
    """One line of a difference. ``kind``: ``+``, ``-``, a blank for what is in both, ``@`` for a gap."""

    kind: Annotated[str, Meta(max_length=1)]
    old: int | None
    new: int | None
    text: str


def syntax_of(script: str) -> list[Spot]:
    """Where a script is no Python, at most one place; it is not run."""
    try:
        ast.parse(script)
    except SyntaxError as error:
        return [Spot(error.lineno or 1, error.offset or 1, error.msg or "no Python")]
    except (ValueError, RecursionError, MemoryError) as error:
        return [Spot(1, 1, f"no Python: {type(error).__name__} {error}".strip())]
    return []


def status_after_save(row: ProjectRow, keep_status: bool) -> str:
    """A project that runs what is saved waits for its user's word, as in pyspider [W46]; a pinned one goes on."""
    if row.status in ACTIVE_STATUSES and not keep_status and not row.pin:
        return CHECKING
    return row.status


def counts(old: str, new: str) -> tuple[int, int]:
    """(lines added, lines removed), without regard to their order; cheap."""
    before, after = Counter(old.splitlines()), Counter(new.splitlines())
    return (after - before).total(), (before - after).total()


def comparable(old: str, new: str) -> bool:
    """Whether a difference is worked out in bearable time."""
    return (old.count("\n") + 1) * (new.count("\n") + 1) <= MAX_COMPARED


def unified(old: str, new: str, old_name: str, new_name: str) -> str:
    """The difference as ``diff -u`` writes it; empty for equal texts."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), old_name, new_name, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def diff_lines(diff: str) -> list[DiffLine]:
    """The lines of a unified difference with their numbers on both sides."""
    shown: list[DiffLine] = []
    old = new = 0
    for line in diff.splitlines()[2 : MAX_LINES + 2]:
        kind, text = line[:1] or " ", line[1:]
        if kind == "@":
            before, after = line.split()[1:3]
            old, new = _start(before), _start(after)
            shown.append(DiffLine("@", None, None, line))
            continue
        shown.append(DiffLine(kind, old if kind != "+" else None, new if kind != "-" else None, text))
        old += kind != "+"
        new += kind != "-"
    return shown


def _start(part: str) -> int:
    """The first line of ``-12,7``."""
    first, _, length = part[1:].partition(",")
    return int(first) + (length == "0")


def find(versions: list[VersionRow], row: ProjectRow, name: str) -> VersionRow | None:
    """A version by its md5, or ``newest``, or ``runs``."""
    wanted = {"newest": row.version, "runs": row.runs}.get(name, name)
    return next((one for one in versions if one.version == wanted), None)
