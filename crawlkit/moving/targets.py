"""Where an archive is: a file, a folder that gets one with a name of its own, or a URL that fsspec knows."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from crawlkit.files.store import check_url, is_url
from crawlkit.libs.errors import UsageError
from crawlkit.libs.url_masking import hidden, masked

ENDING = ".tar.gz"


def name_of(now: float) -> str:
    """``crawlkit-20260131-120000.tar.gz``, in UTC."""
    return time.strftime("crawlkit-%Y%m%d-%H%M%S", time.gmtime(now)) + ENDING


def place_of(said: str, now: float) -> str:
    """The archive that ``said`` means: in a folder, or under a URL that ends with ``/``, one with a name of its own."""
    if is_url(said):
        check_url(said)
        return said + name_of(now) if said.endswith("/") else said
    if said.endswith(os.sep) or Path(said).is_dir():
        return str(Path(said) / name_of(now))
    return said


def where_of(place: str) -> str:
    """For people: without a password."""
    if is_url(place) or ":" in place.rpartition("@")[0]:
        return masked(place)
    return place


@contextlib.contextmanager
def written(place: str) -> Iterator[IO[bytes]]:
    """A stream that becomes the archive when all went well; else there is none, or the one of before."""
    if is_url(place):
        with _written_there(place) as stream:
            yield stream
        return
    path = Path(place).absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # for its owner only: it holds cookies
    except OSError as error:
        raise UsageError(f"{where_of(place)}: {error.strerror}") from None
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        raise


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _written_there(url: str) -> Iterator[IO[bytes]]:
    fs, path = _opened(url)
    with _in_words(url):
        stream = fs.open(path, "wb")
    try:
        yield cast("IO[bytes]", stream)
        with _in_words(url):
            stream.close()
    except BaseException:
        with contextlib.suppress(Exception):  # whatever the store says now, the first error is the one to tell
            stream.discard() if hasattr(stream, "discard") else stream.close()
            fs.rm(path)
        raise


@contextlib.contextmanager
def read(place: str) -> Iterator[IO[bytes]]:
    """The archive as a stream; raises :class:`UsageError` when there is none."""
    if is_url(place):
        check_url(place)
        fs, path = _opened(place)
        with _in_words(place):
            stream = fs.open(path, "rb")
    else:
        try:
            stream = open(place, "rb")  # noqa: SIM115
        except OSError as error:
            raise UsageError(f"{where_of(place)}: {error.strerror}") from None
    with stream:
        yield stream


def _opened(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    with _in_words(url):
        fs, path = url_to_fs(url)
        return fs, str(path)


@contextlib.contextmanager
def _in_words(url: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each store has errors of its own
        said = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{masked(url)}: {hidden(said, url)}") from None
