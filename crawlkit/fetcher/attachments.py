"""Puts what a browser made of a page - a screenshot, a PDF - among the project's files, whole or not at all.

The name is the task's, so a later crawl of the task replaces what the one before has made. Blocking: for threads.
"""

from __future__ import annotations

import hashlib
from typing import Any

from crawlkit.files.base import Area
from crawlkit.libs.filenames import safe_name

FOLDER = "rendered"


def owner_of(taskid: str) -> str:
    """By what the book of files knows them. No URL: a task whose URL has changed still replaces its own."""
    return f"task:{taskid}"


def path_of(taskid: str, extension: str) -> str:
    """Where a task's file goes, below the project's files."""
    name = safe_name(taskid)
    if name != taskid:  # two ids must not come to one name
        name = f"{name[:60]}-{hashlib.sha256(taskid.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
    return f"{FOLDER}/{name}.{extension}"


def put(area: Area, taskid: str, url: str, path: str, content: bytes, run: int, now: float) -> dict[str, Any]:
    """Writes a file that is locked by the caller; returns its path, bytes and sha256.

    Raises :class:`FetchError` of kind ``file``, ``OSError``, :class:`StoreUnavailable`.
    """
    part = area.open_part(owner_of(taskid), path)
    if not part.is_open:  # it was whole when a crash came: into its place with it, before it is replaced
        area.settle(part, run, now)
        part = area.open_part(owner_of(taskid), path)
    if part.size:
        part.restart()
    part.write(content)
    part.note.path, part.note.final_url = path, url
    part.finish()
    entry = area.settle(part, run, now)
    return {"path": area.name_of(entry.path), "bytes": entry.bytes, "sha256": entry.sha256}
