"""Copies a store into another one, goes on where it stopped, and compares the two at the end.

How far it came stands in the target, in the transaction of the rows themselves.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from crawlkit.database.carrying import INCIDENTAL, Carrier, Row, Shape, holdings
from crawlkit.libs.errors import UsageError
from crawlkit.moving.pages import pages

SAMPLE = 100  # rows of a table that are compared field by field
SHOWN = 5  # differences that are told
#: Small tables that say most of the rest: compared row by row, and looked at to see whether a source has changed.
TELLING = ("ledger", "project_marks", "result_marks")

Tell = Callable[[str, int, int], None]  # (what, rows done, rows in all)


class Progress(Struct):
    """How far one table is."""

    done: int = 0
    after: list[Any] | None = None  # the key of the last row
    whole: bool = False
    sample: list[list[Any]] = []  # keys of rows to compare


class Note(Struct):
    """What stands in the target until it is whole."""

    source: str  # a digest of the source
    tables: dict[str, Progress] = {}
    verified: bool = False


def read_note(carrier: Carrier) -> Note | None:
    """What an earlier copying left in a target."""
    text = carrier.note()
    return None if text is None else msgspec.json.decode(text, type=Note)


def write(note: Note) -> str:
    """The note as the target keeps it."""
    return msgspec.json.encode(note).decode()


def digest(source: Carrier) -> str:
    """Changes when the source does: made of its counts and its books."""
    whole = hashlib.sha256(source.kind.encode())
    for shape in source.shapes():
        whole.update(repr((shape.name, sorted(source.counts(shape.name).items()))).encode())
        if shape.name in TELLING:
            whole.update(repr(source.page(shape.name, None, 1_000_000)).encode())
    return whole.hexdigest()


def begin(source: Carrier, target: Carrier, *, cleared: bool = False) -> Note:
    """Readies the target; raises :class:`UsageError` for one that holds anything else than a part of this source.

    ``cleared``: another store of the same copying is known to be whole, so this one may have been let go already.
    """
    now = digest(source)
    known = read_note(target)
    if known is not None:
        if known.source != now:
            raise UsageError(
                f"{target.kind} {target.where} holds a part of something else, or {source.where} has changed since:"
                f" empty {target.where} and begin anew"
            )
        return known
    held = holdings(target)
    if held and not cleared:
        what = ", ".join(f"{count:,} in {name}" for name, count in held.items())
        raise UsageError(
            f"{target.kind} {target.where} holds data already ({what}): nothing was changed; give an empty one"
        )
    if held:
        return Note(now, {shape.name: Progress(whole=True) for shape in target.shapes()}, verified=True)
    note = Note(now)
    target.set_note(write(note))
    for shape in target.shapes():
        if shape.name in INCIDENTAL:
            target.clear(shape.name)
    return note


def copy(source: Carrier, target: Carrier, note: Note, tell: Tell, pick: random.Random | None = None) -> None:
    """Copies what is not there yet. Can be ended at any moment, and called again."""
    pick = pick or random.Random()
    totals = {shape.name: sum(source.counts(shape.name).values()) for shape in source.shapes()}
    for shape in source.shapes():
        progress = note.tables.setdefault(shape.name, Progress())
        what = f"{source.kind}.{shape.name}"
        tell(what, progress.done, totals[shape.name])
        if progress.whole:
            continue
        after = None if progress.after is None else tuple(progress.after)
        for rows in pages(source, shape, after):
            _sample(progress, shape, rows, pick)
            progress.done += len(rows)
            progress.after = list(shape.key_of(rows[-1]))
            target.put(shape.name, shape.columns, rows, write(note))
            tell(what, progress.done, totals[shape.name])
        progress.whole = True
        target.set_note(write(note))
    target.finish()


def _sample(progress: Progress, shape: Shape, rows: list[Row], pick: random.Random) -> None:
    """Keeps some of all keys that go by, each as likely as any other."""
    for seen, row in enumerate(rows, progress.done):
        place = seen if seen < SAMPLE else pick.randrange(seen + 1)
        if place < SAMPLE:
            key = list(shape.key_of(row))
            if place < len(progress.sample):
                progress.sample[place] = key
            else:
                progress.sample.append(key)


def differences(source: Carrier, target: Carrier, note: Note) -> list[str]:
    """What is not the same in both, in words: counts by project, the books, and the sampled rows field by field."""
    found: list[str] = []
    for shape in source.shapes():
        name = f"{source.kind}.{shape.name}"
        found += compare_counts(name, source.counts(shape.name), target.counts(shape.name))
        if shape.name in TELLING:
            ours, theirs = (side.page(shape.name, None, 1_000_000) for side in (source, target))
            found += [f"{name}: {row} is on one side only" for row in sorted(set(ours) ^ set(theirs), key=repr)]
        keys = [tuple(key) for key in note.tables[shape.name].sample] if shape.name in note.tables else []
        found += compare_rows(name, shape, source.rows(shape.name, keys), target.rows(shape.name, keys))
    return found


def compare_counts(name: str, ours: Mapping[str, int], theirs: Mapping[str, int]) -> list[str]:
    """Counts by project that are not the same."""
    return [
        f"{name}: {project or 'all'}: {ours.get(project, 0):,} rows in the source, {theirs.get(project, 0):,} now"
        for project in sorted({*ours, *theirs})
        if ours.get(project, 0) != theirs.get(project, 0)
    ]


def compare_rows(name: str, shape: Shape, ours: Mapping[Row, Row], theirs: Mapping[Row, Row]) -> list[str]:
    """Fields that are not the same."""
    found = []
    for key, row in ours.items():
        other = theirs.get(key)
        if other is None:
            found.append(f"{name}: {key} is missing")
            continue
        for column, mine, its in zip(shape.columns, row, other, strict=True):
            if mine != its:
                found.append(f"{name}: {key}: {column} is {its!r:.80}, was {mine!r:.80}")
    return found
