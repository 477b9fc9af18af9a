"""Takes a backup of stores that are in use, and puts one back.

The taskdb comes first and the resultdb after it: what is done in the one has its results in the other. What is newer
in the resultdb is found by its run when the backup is put back, and the task's row is led on to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from crawlkit.database.carrying import KINDS, Carrier, Shape, carrier_of, holdings
from crawlkit.libs.errors import UsageError
from crawlkit.libs.rows import Writes
from crawlkit.moving.archive import Contents, Manifest, Reader, Writer
from crawlkit.moving.copying import Tell
from crawlkit.moving.pages import pages

if TYPE_CHECKING:
    from typing import IO

    from crawlkit.database.base import TaskStore

LEFT_OUT = frozenset({"nodes"})  # the processes of a moment
NOTE = "restore"
ENTRIES = {("", "epoch"), ("", "control")}  # of the taskdb's state: of a broker and a scheduler that are gone
REASON = "restore"  # in the ledger: runs that had ended when the backup was taken, a little after the tasks


def backup(
    stores: Mapping[str, Any], stream: IO[bytes], *, folder: str, version: str, now: float, key: str | None, tell: Tell
) -> dict[str, int]:
    """Writes an archive of open stores; returns the rows of each table.

    ``folder``: where copies of SQLite files lie meanwhile. ``version``: crawlkit's. ``key``: goes into the archive.
    """
    kinds = [kind for kind in KINDS if kind in stores]  # the order matters, see above
    with ExitStack() as stack:
        carriers: dict[str, Carrier] = {}
        for kind in kinds:
            tell(f"{kind}: looking", 0, 0)
            carriers[kind] = stack.enter_context(carrier_of(stores[kind], kind).snapshot(folder))
        shapes = {kind: _shapes(carrier) for kind, carrier in carriers.items()}
        contents = {
            kind: Contents(carriers[kind].version(), {shape.name: shape.columns for shape in shapes[kind]})
            for kind in kinds
        }
        writer = Writer(stream, Manifest(version, now, contents, secret_key=key is not None))
        if key is not None:
            writer.key(key)
        for kind in kinds:
            for shape in shapes[kind]:
                _write(writer, carriers[kind], shape, tell)
        return writer.close()


def _shapes(carrier: Carrier) -> list[Shape]:
    return [shape for shape in carrier.shapes() if shape.name not in LEFT_OUT]


def _write(writer: Writer, carrier: Carrier, shape: Shape, tell: Tell) -> None:
    what, done = f"{carrier.kind}.{shape.name}", 0
    total = sum(carrier.counts(shape.name).values())
    for rows in pages(carrier, shape):
        writer.rows(carrier.kind, shape.name, rows)
        done += len(rows)
        tell(what, done, total)


@dataclass
class Restored:
    """What came of it."""

    rows: dict[str, int]
    secret_key: str | None
    led_on: int = 0  # tasks whose row was led on to a newer result
    begun_anew: int = 0  # tasks that waited for requests whose answers are not in the archive


def check_target(carriers: Mapping[str, Carrier], *, overwrite: bool) -> None:
    """Raises :class:`UsageError` for a target that holds anything, unless it may be overwritten."""
    for carrier in carriers.values():
        note = carrier.note()
        if note == NOTE or overwrite:
            continue  # what an earlier restore left behind
        held = holdings(carrier)
        if held or note is not None:
            what = ", ".join(f"{count:,} in {name}" for name, count in held.items()) or "a part of something else"
            raise UsageError(
                f"{carrier.kind} {carrier.where} holds data already ({what}): nothing was changed;"
                " name an empty one, or say --overwrite to lose what is there"
            )


def restore(
    reader: Reader, stores: Mapping[str, Any], *, overwrite: bool, tell: Tell, verified: Reader | None = None
) -> Restored:
    """Fills open stores with an archive that was verified; a scheduler refuses them until it is done.

    ``verified``: a reader that has come to the end of the same archive; what it saw must fit into the stores.
    All tables are emptied before. Raises :class:`UsageError` for a target with data, see :func:`check_target`, and for
    an archive of another version or with something that does not fit: then nothing was changed.
    """
    carriers = {kind: carrier_of(stores[kind], kind) for kind in reader.manifest.stores}
    check_target(carriers, overwrite=overwrite)
    _check_fit(reader, carriers, verified)
    _mark(reader, carriers)
    for carrier in carriers.values():
        for shape in carrier.shapes():
            carrier.clear(shape.name)
    columns = {kind: contents.tables for kind, contents in reader.manifest.stores.items()}
    for chunk in reader.chunks():
        carriers[chunk.kind].put(chunk.table, columns[chunk.kind][chunk.table], chunk.rows, NOTE)
        what = f"{chunk.kind}.{chunk.table}"
        tell(what, reader.rows[what], reader.rows[what])
    _compare(reader, carriers)
    done = Restored(dict(reader.rows), reader.secret_key)
    for carrier in carriers.values():
        carrier.finish()
    if "taskdb" in stores:
        _settle(stores, carriers, done)
    for kind in sorted(carriers, key=KINDS.index, reverse=True):  # the taskdb last
        carriers[kind].set_note(None)
    return done


def _check_fit(reader: Reader, carriers: Mapping[str, Carrier], verified: Reader | None) -> None:
    """Raises :class:`UsageError` for an archive that these stores cannot take."""
    if verified is not None and verified.manifest != reader.manifest:
        raise UsageError(f"{reader.where}: changed since it was verified: nothing was changed; try again")
    for kind, contents in reader.manifest.stores.items():
        known = carriers[kind].version()
        if contents.version > known or len(contents.version) != len(known):
            raise UsageError(
                f"{reader.where}: its {kind} has schema {contents.version}, which this version does not know: it was"
                f" written by crawlkit {reader.manifest.crawlkit}; use that one"
            )
        shapes = {shape.name: shape for shape in carriers[kind].shapes()}
        for table, columns in contents.tables.items():
            shape = shapes.get(table)
            if shape is None or not set(columns) <= set(shape.columns) or len(set(columns)) != len(columns):
                raise UsageError(
                    f"{reader.where}: its {kind} has a table {table[:80]!r} with columns that this version does not"
                    " know: nothing was changed; use the crawlkit that wrote it"
                )
            takes = dict(zip(shape.columns, shape.types, strict=True)) if shape.types else {}
            seen = verified.types.get(f"{kind}.{table}", []) if verified is not None else []
            for column, types in zip(columns, seen, strict=False):
                wrong = types - takes.get(column, types)
                if wrong:
                    what = ", ".join(sorted(each.__name__ for each in wrong))
                    raise UsageError(
                        f"{reader.where}: {kind}.{table}.{column} cannot hold {what}: nothing was changed; use another"
                        " archive"
                    )


def _mark(reader: Reader, carriers: Mapping[str, Carrier]) -> None:
    """Notes that the stores are being filled; not when a store finds that columns are missing."""
    before = {kind: carrier.note() for kind, carrier in carriers.items()}
    try:
        for kind, carrier in carriers.items():
            carrier.set_note(NOTE)
            for table, columns in reader.manifest.stores[kind].tables.items():
                carrier.put(table, columns, [], NOTE)
    except UsageError:
        for kind, carrier in carriers.items():
            carrier.set_note(before[kind])
        raise


def _compare(reader: Reader, carriers: Mapping[str, Carrier]) -> None:
    for kind, carrier in carriers.items():
        for table in reader.manifest.stores[kind].tables:
            there, wanted = sum(carrier.counts(table).values()), reader.rows[f"{kind}.{table}"]
            if there != wanted:
                raise UsageError(
                    f"{kind} {carrier.where}: {there:,} rows in {table}, {wanted:,} were in {reader.where}"
                )


def _settle(stores: Mapping[str, Any], carriers: Mapping[str, Carrier], done: Restored) -> None:
    """Makes one crawl of stores that were read one after the other."""
    taskdb: TaskStore = stores["taskdb"]
    state = taskdb.state()
    gone: dict[tuple[str, str], str | None] = {name: None for name in ENTRIES if name in state}
    if "blobdb" in carriers:
        for name, text in state.items():
            if name[1].startswith("parked:") and not _has_blobs(carriers["blobdb"], text):
                gone[name] = None
                done.begun_anew += 1
    taskdb.commit(Writes(state=gone))
    if "resultdb" in carriers:
        done.led_on = lead_on(taskdb, carriers["resultdb"])


def _has_blobs(blobdb: Carrier, text: str) -> bool:
    """Whether all that a waiting callback has seen is there."""
    try:
        parked = msgspec.json.decode(text)
        wanted = {(str(blob),) for blob in (parked.get("record"), *parked.get("answers", {}).values()) if blob}
    except (msgspec.MsgspecError, ValueError, RecursionError, AttributeError):
        return False  # nothing that a scheduler could go on with
    return len(blobdb.rows("blobs", list(wanted))) == len(wanted)


def lead_on(taskdb: TaskStore, resultdb: Carrier) -> int:
    """Rows of tasks whose results are of a later run get that run, which is then accepted and done in the books."""
    shape = next(shape for shape in resultdb.shapes() if shape.name == "result_runs")
    run_at, results_at = shape.columns.index("run"), shape.columns.index("results")
    led_on = 0
    for page in pages(resultdb, shape):
        found = taskdb.get_many([(row[0], row[1]) for row in page])
        writes = Writes()
        for stored in page:
            row = found.get((stored[0], stored[1]))
            if row is None or stored[run_at] <= row.run:
                continue
            later = stored[run_at] - row.run
            writes.count(row.project, "accepted", REASON, later)
            writes.count(row.project, "done", REASON, later)
            row.run, row.attempt = stored[run_at], 0
            row.results = stored[results_at]
            writes.replace.append(row)
            led_on += 1
        if writes:
            taskdb.commit(writes)
    return led_on
