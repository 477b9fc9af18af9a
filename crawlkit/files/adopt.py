"""Which files of a folder of earlier downloads are whole, and which are not.

Decides by names, sizes and a list; hashes nothing and moves nothing.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from crawlkit.files.area import BROKEN
from crawlkit.libs.errors import InvalidTask, UsageError
from crawlkit.libs.filenames import OURS, PLACE, check_target

#: How browsers and downloaders end the names of what they have not finished.
UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".opdownload", ".filepart", ".aria2", ".tmp", ".temp",
              ".unconfirmed", ".!ut", ".!qb", ".bc!", ".jc!", ".td", ".st", ".ytdl")  # fmt: skip
#: What lies beside a file while it is being fetched: ``x.iso.aria2`` and the like.
CONTROL = (".aria2", ".part", ".st", ".crdownload", ".ytdl")


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list says of a file. ``size`` in bytes; ``sha256`` in hexadecimal digits."""

    url: str = ""
    size: int | None = None
    sha256: str | None = None


NOT_LISTED = Listed()


def refusal(path: str, size: int, others: Collection[str], listed: Listed) -> str | None:
    """Why the file at ``path`` does not count as whole; ``None`` when it does. ``others``: names beside it."""
    name = path.rpartition("/")[2]
    lower = name.lower()
    if lower.endswith(UNFINISHED):
        return "its name says that it is half-written"
    if lower.endswith(BROKEN):
        return "its name says that it is broken"
    control = next((ending for ending in CONTROL if name + ending in others), None)
    if control is not None:
        return f"{name}{control} beside it says that it is half-written"
    if size == 0 and listed.size != 0:
        return "is empty"
    if listed.size is not None and size != listed.size:
        return f"has {size:,} bytes, {listed.size:,} were expected"
    if PLACE in path:
        return "its name has {name} in it"
    try:
        check_target(path)
    except InvalidTask as error:
        return f"its name is not safe: {error.problem}"
    return None


def files_below(folder: Path) -> Iterator[tuple[str, frozenset[str]]]:
    """(path relative to ``folder``, names beside it) of every file, in order; hidden ones and our own are left out."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        beside = frozenset(names)
        for name in sorted(names):
            if not name.startswith(".") and not name.lower().startswith(OURS):
                yield os.path.relpath(os.path.join(place, name), folder), beside


def read_list(file: Path) -> dict[str, Listed]:
    """A CSV file with a head: ``path`` (below the folder), and if known ``url``, ``size``, ``sha256``.

    Raises :class:`UsageError` that names the line.
    """
    found: dict[str, Listed] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as source:
            rows = csv.DictReader(source)
            names = rows.fieldnames or []
            if "path" not in names or not set(names) <= {"path", "url", "size", "sha256"}:
                raise UsageError(f"{file}: its first line names the columns: path, url, size, sha256")
            for row in rows:
                found[os.path.normpath(row["path"] or "")] = _listed(row, f"{file}: line {rows.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    return found


def _listed(row: Mapping[str, str | None], where: str) -> Listed:
    size = (row.get("size") or "").strip()
    sha256 = (row.get("sha256") or "").strip().lower()
    if size and not (size.isascii() and size.isdigit()):
        raise UsageError(f"{where}: size {size!r}: a whole number of bytes")
    if sha256 and (len(sha256) != 64 or set(sha256) - set("0123456789abcdef")):
        raise UsageError(f"{where}: sha256 {sha256!r:.80}: 64 hexadecimal digits")
    if not row.get("path"):
        raise UsageError(f"{where}: no path")
    return Listed((row.get("url") or "").strip(), int(size) if size else None, sha256 or None)
