"""Where a finished file goes: never over a file that is another's. Decides by what it is told; moves nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol

from crawlkit.files.book import Entry
from crawlkit.files.part import Note
from crawlkit.libs.errors import FetchError
from crawlkit.libs.filenames import PLACE, marked


class Places(Protocol):
    """What is to be known of the places."""

    def name_of(self, path: str) -> str:
        """What the operator calls the place."""

    def length_at(self, path: str) -> int | None:
        """Bytes of the file there; ``None``: nothing is there; -1: what is there is no file."""

    def hash_at(self, path: str) -> tuple[int, str]:
        """(bytes, sha256) of the file there."""


def free_path(note: Note, places: Places, owner_of: Callable[[str], Entry | None]) -> str:
    """Where a whole part goes.

    A second file with the server's name gets a mark; with a name of the script's own it is refused, by a
    :class:`FetchError` of kind ``file`` that names the place and its owner.
    """
    path = note.path
    for _ in range(2):
        length = places.length_at(path)
        if length is None:
            return path
        if length < 0:
            raise FetchError("file", f"{places.name_of(path)}: is there and is no file")
        owner = owner_of(path)
        if owner is not None and owner.url in ("", note.url):
            return path
        if length == note.bytes and places.hash_at(path) == (note.bytes, note.sha256):
            return path
        if owner is None:
            raise FetchError(
                "file", f"{places.name_of(path)}: is there, and nothing is known of it; remove it, or take it over by"
                " crawlkit files adopt"
            )  # fmt: skip
        if PLACE not in note.target:
            raise FetchError("file", f"{places.name_of(path)}: is the file of another URL, {owner.url:.200}")
        path = marked(note.path, hashlib.sha256(note.url.encode("utf-8", "replace")).hexdigest()[:8])
    raise FetchError("file", f"{places.name_of(path)}: is the file of another URL")


def entry_of(note: Note, path: str, run: int, now: float) -> Entry:
    """The row of a whole part that goes to ``path``."""
    return Entry(
        path=path, bytes=note.bytes, sha256=note.sha256, url=note.url, target=note.target, etag=note.etag,
        last_modified=note.last_modified, final_url=note.final_url, content_type=note.content_type, run=run,
        checked=now,
    )  # fmt: skip
