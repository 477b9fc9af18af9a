"""The door to a store of files that an fsspec URL names: objects are put whole, read, listed, joined, never appended.

Blocking: called in threads. Knows nothing of downloads. Errors of all kinds of stores become :class:`StoreUnavailable`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, ParamSpec, TypeVar

from crawlkit.libs.errors import StoreUnavailable, UsageError
from crawlkit.libs.extras import install_command
from crawlkit.libs.url_masking import hidden, masked

READ = 4 * 2**20  # bytes at a time
#: What a store that joins by itself (S3's multipart copy) asks of its pieces: bytes of each but the last, and how many.
MERGE_MIN, MERGE_MAX = 5 * 2**20, 10_000
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

P = ParamSpec("P")
T = TypeVar("T")


def is_url(path: str) -> bool:
    """Whether this names a store and not a folder."""
    return _URL.match(path) is not None


def check_url(url: str) -> None:
    """Raises :class:`UsageError` when nothing installed understands the URL. Connects to nothing."""
    try:
        import fsspec
    except ImportError:
        raise UsageError(f"{masked(url)}: files at a URL need fsspec: {install_command('fsspec')}") from None
    protocol = url.partition("://")[0]
    try:
        fsspec.get_filesystem_class(protocol)
    except ValueError:
        raise UsageError(f"{masked(url)}: fsspec knows no {protocol}://") from None
    except ImportError as error:
        raise UsageError(f"{masked(url)}: {hidden(str(error), url)}") from None


class Store:
    """Objects below ``url``; names are relative, with ``/`` between their parts.

    Credentials come from the URL or, better, from where its fsspec backend looks for them (environment, its files).
    """

    def __init__(self, url: str) -> None:
        check_url(url)
        self.url = url.rstrip("/") if not url.endswith("://") else url
        self._fs: Any = None
        self._root = ""
        self._shared = self._is_local = self._is_s3 = self._has_folders = False
        self._made: set[str] = set()
        self._opening = threading.Lock()
        self._alone = threading.Lock()  # a connection of FTP and its like serves one thread at a time

    def url_of(self, name: str) -> str:
        """What a callback, or a message to the operator, says of an object; holds no password."""
        return f"{masked(self.url).rstrip('/')}/{name}"

    # -- single objects ----------------------------------------------------------------------------------------------

    def put(self, name: str, data: bytes) -> None:
        """Replaces an object at once: who reads sees the old one or the new one."""
        self._do(self._put, name, data)

    def create(self, name: str, data: bytes) -> bool:
        """Puts an object where none is; ``False`` where one is."""
        return self._do(self._create, name, data)

    def get(self, name: str) -> bytes | None:
        """A small object; ``None`` when there is none."""
        return self._do(self._get, name)

    def size(self, name: str) -> int | None:
        """Bytes of an object; ``None`` when there is none; -1 when it is a folder."""
        return self._do(self._size, name)

    def remove(self, name: str) -> None:
        """Removes an object, if there is one."""
        self._do(self._remove, name)

    def names(self, folder: str) -> list[str]:
        """The names of the objects right below a folder, sorted; none when there is no such folder."""
        return self._do(self._names, folder)

    def remove_folder(self, folder: str) -> None:
        """Removes what lies right below a folder, and the folder."""
        self._do(self._remove_folder, folder)

    def hash_of(self, name: str) -> tuple[int, str]:
        """(bytes, sha256) of an object, read once."""
        return self._do(self._hash_of, name)

    def read(self, name: str, feed: Callable[[bytes], object]) -> int:
        """Gives an object to ``feed`` by and by, and returns its bytes."""
        return self._do(self._read, name, feed)

    def upload(self, source: BinaryIO, name: str) -> None:
        """Copies an open file to an object."""
        self._do(self._upload, source, name)

    def put_file(self, path: str, name: str, draft: str = "") -> None:
        """Makes an object of a file of this machine: who reads sees the old one or the new one, whatever fails.

        ``draft``: how the name of what is not finished begins, in stores that show such.
        """
        self._do(self._put_file, path, name, draft)

    def remove_drafts(self, folder: str, beginning: str, but: str) -> None:
        """Removes what an end in the middle of :meth:`put_file` left right below a folder.

        ``beginning`` and ``but``: how the ``draft`` of those began, and of others that stay.
        """
        self._do(self._remove_drafts, folder, beginning, but)

    def join(self, pieces: Sequence[str], sizes: Sequence[int], name: str) -> None:
        """Makes one object of several, in order; the pieces stay. S3 does that by itself, and nothing is read."""
        self._do(self._join, pieces, sizes, name)

    def leads_out(self, name: str) -> bool:
        """Whether a link on a local disk leads out of the store's folder; other stores have no links to follow."""
        if self._fs is None:
            self._do(self._open)
        if not self._is_local:
            return False
        real, root = os.path.realpath(os.path.dirname(self._at(name))), os.path.realpath(self._root)
        return os.path.commonpath([real, root]) != root

    # -- how ---------------------------------------------------------------------------------------------------------

    def _do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            self._open()
            if self._shared:
                return work(*args, **kwargs)
            with self._alone:
                return self._do_alone(work, *args, **kwargs)
        except Exception as error:  # backends raise whatever their libraries raise: translated once, here
            said = " ".join(str(error).split())[:500]
            raise StoreUnavailable(f"{masked(self.url)}: {type(error).__name__}: {hidden(said, self.url)}") from None

    def _do_alone(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._open()  # once more: who had the connection before us may have lost it
        try:
            return work(*args, **kwargs)
        except Exception:
            self._fs = None  # the next call makes one anew
            raise

    def _open(self) -> None:
        with self._opening:
            if self._fs is not None:
                return
            from fsspec.core import url_to_fs
            from fsspec.spec import AbstractFileSystem

            fs, self._root = url_to_fs(self.url, skip_instance_cache=True, use_listings_cache=False)
            protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
            self._is_local = "file" in protocols
            self._is_s3 = "s3" in protocols
            self._shared = fs.async_impl or bool(protocols & {"file", "memory"})
            self._has_folders = type(fs).mv is not AbstractFileSystem.mv
            self._made.clear()
            self._fs = fs

    def _at(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _put(self, name: str, data: bytes) -> None:
        with self._writing(name) as target:
            target.write(data)

    def _put_file(self, path: str, name: str, draft: str) -> None:
        if not self._has_folders:  # in parts when it is large; shown when all are there
            self._fs.put_file(path, self._at(name))
            return
        with open(path, "rb") as source, self._writing(name, draft) as target:
            while piece := source.read(READ):
                target.write(piece)

    def _remove_drafts(self, folder: str, beginning: str, but: str) -> None:
        if not self._has_folders:
            return
        for name in self._listed(folder):
            if name.startswith(f".crawlkit-{beginning}") and not name.startswith(f".crawlkit-{but}"):
                with contextlib.suppress(FileNotFoundError):
                    self._fs.rm_file(self._at(f"{folder}/{name}"))

    @contextlib.contextmanager
    def _writing(self, name: str, beginning: str = "") -> Iterator[Any]:
        """Object stores show an object when it is whole; in a folder it is renamed then."""
        place = self._at(name)
        self._make_folder(place)
        if not self._has_folders:
            target = self._fs.open(place, "wb")
            try:
                yield target
            except BaseException:
                _give_up(target)
                raise
            target.close()
            return
        draft = f"{place.rpartition('/')[0]}/.crawlkit-{beginning}{uuid.uuid4().hex}.tmp"
        try:
            with self._fs.open(draft, "wb") as target:
                yield target
                if self._is_local:
                    target.flush()
                    os.fsync(target.fileno())
            self._rename(draft, place)
        except BaseException:
            with contextlib.suppress(Exception):
                self._fs.rm_file(draft)
            raise

    def _rename(self, draft: str, place: str) -> None:
        try:
            self._fs.mv(draft, place)
        except Exception:  # servers that rename over nothing
            if self._fs.exists(place):
                self._fs.rm_file(place)
            self._fs.mv(draft, place)

    def _make_folder(self, place: str) -> None:
        folder = place.rpartition("/")[0]
        if self._has_folders and folder not in self._made:
            self._fs.makedirs(folder, exist_ok=True)
            if len(self._made) > 1_000:
                self._made.clear()
            self._made.add(folder)

    def _create(self, name: str, data: bytes) -> bool:
        place = self._at(name)
        self._make_folder(place)
        try:
            if self._is_local:
                with self._fs.open(place, "xb") as target:
                    target.write(data)
            else:
                self._fs.pipe_file(place, data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:  # S3 says so in its own words
            if "PreconditionFailed" in repr(error) or "pre-conditions" in str(error):
                return False
            raise
        return True

    def _get(self, name: str) -> bytes | None:
        try:
            return bytes(self._fs.cat_file(self._at(name)))
        except FileNotFoundError:
            return None
        except Exception:
            if self._size(name) is None:  # FTP has no error of its own for that
                return None
            raise

    def _size(self, name: str) -> int | None:
        try:
            found = self._fs.info(self._at(name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return -1 if found["type"] == "directory" else int(found["size"])

    def _remove(self, name: str) -> None:
        if self._size(name) is not None:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self._at(name))

    def _names(self, folder: str) -> list[str]:
        return sorted(name for name in self._listed(folder) if not name.startswith(".crawlkit-"))

    def _listed(self, folder: str) -> list[str]:
        try:
            found = self._fs.ls(self._at(folder), detail=True, refresh=True)
        except TypeError:
            found = self._fs.ls(self._at(folder), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = (row["name"].rstrip("/").rpartition("/")[2] for row in found if row["type"] != "directory")
        return [name for name in names if name]

    def _remove_folder(self, folder: str) -> None:
        for name in self._names(folder):
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self._at(f"{folder}/{name}"))
        if self._has_folders and self._fs.isdir(self._at(folder)):
            with contextlib.suppress(Exception):  # not empty, or gone meanwhile
                self._fs.rmdir(self._at(folder))
            self._made.discard(self._at(folder))

    def _read(self, name: str, feed: Callable[[bytes], object]) -> int:
        size = 0
        with self._fs.open(self._at(name), "rb") as source:
            while piece := source.read(READ):
                size += len(piece)
                feed(piece)
        return size

    def _hash_of(self, name: str) -> tuple[int, str]:
        whole = hashlib.sha256()
        return self._read(name, whole.update), whole.hexdigest()

    def _upload(self, source: BinaryIO, name: str) -> None:
        with self._writing(name) as target:
            while piece := source.read(READ):
                target.write(piece)

    def _join(self, pieces: Sequence[str], sizes: Sequence[int], name: str) -> None:
        if self._is_s3 and _mergeable(sizes):
            self._fs.merge(self._at(name), [self._at(piece) for piece in pieces])
            return
        with self._writing(name) as target:
            for piece in pieces:
                self._read(piece, target.write)


def _give_up(target: Any) -> None:
    """Ends a half-written object without showing it: closing it would."""
    with contextlib.suppress(Exception):
        target.discard()
    with contextlib.suppress(AttributeError):
        target.closed = True  # else it is closed, and shown, when it is collected


def _mergeable(sizes: Sequence[int]) -> bool:
    return 1 < len(sizes) <= MERGE_MAX and all(size >= MERGE_MIN for size in sizes[:-1])
