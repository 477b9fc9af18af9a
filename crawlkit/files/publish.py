"""Whole files in a folder or a store: a file is there complete or not at all, also after a crash or a power cut."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from crawlkit.files.store import Store, is_url
from crawlkit.libs.errors import StoreUnavailable

_DRAFT = ".crawlkit-"  # files of that name are not finished: they are hidden, and nobody's


class Place(Protocol):
    """Takes whole files. Names are relative, with ``/`` between their parts. Raises :class:`StoreUnavailable`.

    What the chunks themselves raise comes through as it is, and nothing is put then.
    """

    def put(self, name: str, chunks: Iterable[bytes], tag: str, turn: int) -> int:
        """Puts a file, or replaces it at once; durable when it returns. Returns its bytes.

        ``tag`` and ``turn`` stand in the name of the draft.
        """

    def sweep(self, folder: str, tag: str, turn: int) -> None:
        """Removes drafts with that tag that crashes of other turns left."""


def place_of(place: str) -> Place:
    """A folder by its path, a store by its URL. Raises :class:`UsageError` for a URL that nothing here understands."""
    return StorePlace(place) if is_url(place) else Folder(Path(place))


class Folder:
    """A folder of this machine; needs no library."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, chunks: Iterable[bytes], tag: str, turn: int) -> int:
        target = self._root / name
        draft = target.parent / f"{_DRAFT}{tag}-{turn}-{uuid.uuid4().hex}.tmp"
        size = 0
        try:
            with self._words():
                _make_folder(target.parent)
                out = draft.open("xb")
            try:
                with out:
                    for chunk in chunks:
                        with self._words():
                            out.write(chunk)
                        size += len(chunk)
                    with self._words():
                        out.flush()
                        os.fsync(out.fileno())
                with self._words():
                    draft.replace(target)
            except BaseException:
                with contextlib.suppress(OSError):
                    draft.unlink(missing_ok=True)
                raise
            with self._words():
                _sync(target.parent)
        except OSError as error:  # of closing the file: what was written late
            raise self._said(error) from error
        return size

    def sweep(self, folder: str, tag: str, turn: int) -> None:
        with self._words(), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for path in (self._root / folder).iterdir():
                if path.name.startswith(f"{_DRAFT}{tag}-") and not path.name.startswith(f"{_DRAFT}{tag}-{turn}-"):
                    path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._said(error) from error

    def _said(self, error: OSError) -> StoreUnavailable:
        return StoreUnavailable(f"{error.filename or self._root}: {error.strerror or error}")


class StorePlace:
    """A store that an fsspec URL names. A file is made on this machine first: a store never gets half of one."""

    def __init__(self, url: str) -> None:
        self._store = Store(url)

    def put(self, name: str, chunks: Iterable[bytes], tag: str, turn: int) -> int:
        try:
            spool = tempfile.NamedTemporaryFile(prefix="crawlkit-")  # noqa: SIM115 - closed below
        except OSError as error:
            raise StoreUnavailable(f"no temporary file: {error}") from error
        with spool:
            size = 0
            for chunk in chunks:
                try:
                    size += spool.write(chunk)
                except OSError as error:
                    raise StoreUnavailable(f"{spool.name}: {error.strerror or error}") from error
            try:
                spool.flush()
            except OSError as error:
                raise StoreUnavailable(f"{spool.name}: {error.strerror or error}") from error
            self._store.put_file(spool.name, name, f"{tag}-{turn}-")
        return size

    def sweep(self, folder: str, tag: str, turn: int) -> None:
        self._store.remove_drafts(folder, f"{tag}-", f"{tag}-{turn}-")


def _make_folder(folder: Path) -> None:
    """Makes it with those above it, so that they are there after a power cut, too."""
    missing = []
    while not folder.is_dir():
        if folder.exists():
            raise NotADirectoryError(errno.ENOTDIR, "is no folder", str(folder))
        missing.append(folder)
        if folder == folder.parent:
            break
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
