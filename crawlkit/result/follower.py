"""An output file that holds each result once, whatever dies when. Blocks: run it in a thread.

The resultdb keeps (seq, byte offset), committed after the file's fsync; what stands behind that offset when a run
starts was written by one that died, and is cut off. Never writes to the resultdb but for that position.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from crawlkit.database.base import ResultStore
from crawlkit.libs.errors import StoreUnavailable, UsageError
from crawlkit.libs.export import FORMATS, WRITERS, in_order, jsonl_line
from crawlkit.libs.rows import ResultRow

PAGE = 500  # rows per query
PAGES_PER_STEP = 20  # between two fsyncs, when there is much to write


class FileFollower:
    """Writes the results of ``projects`` (None: all) to the file ``path``.

    ``name`` is the follower's in the resultdb: the same file has the same name in every run. A target that is no
    regular file (a pipe, ``/dev/stdout``) is written to from the last position on, without the promise.
    """

    def __init__(
        self, resultdb: ResultStore, path: str | Path, projects: Sequence[str] | None = None, name: str | None = None
    ) -> None:
        self._resultdb = resultdb
        self._path = Path(path)
        self._projects = projects
        self._name = name if name is not None else f"file:{self._path.resolve()}"
        self._file: BinaryIO | None = None
        self._regular = True
        self._seq = 0
        self._offset = 0
        self._clean = True  # False: a write failed, what stands behind the offset is not ours

    def claim(self, form: str = "jsonl", *, overwrite: bool = False) -> None:
        """Before the first result: makes sure that the file can be written, and that it is ours to write.

        A file that no follower of this name wrote is refused unless ``overwrite``. Raises :class:`UsageError`.
        """
        with self._words():
            if self._is_regular_or_new():
                self._take(overwrite)
            if form == "jsonl":
                self._open()
            elif self._is_regular_or_new():
                temporary = self._temporary()
                try:
                    temporary.open("wb").close()
                finally:
                    temporary.unlink(missing_ok=True)

    def _is_regular_or_new(self) -> bool:
        return not self._path.exists() or stat.S_ISREG(self._path.stat().st_mode)

    def _take(self, overwrite: bool) -> None:
        size = self._path.stat().st_size if self._path.exists() else 0
        offset = self._resultdb.position(self._name)[1]
        mark = f"own:{self._name}"  # a crash before the first position must not make the file a stranger's
        ours = offset > 0 or self._resultdb.position(mark)[0] > 0
        if size and not ours and not overwrite:
            raise UsageError(
                f"output file {self._path} exists already, and was not written by this crawl: "
                "name another file, or say --overwrite"
            )
        if overwrite and size < offset:
            self._resultdb.set_position(self._name, 0, 0)
        self._resultdb.set_position(mark, 1, 0)

    def missing(self, form: str = "jsonl") -> int:
        """How many stored results are not in the file."""
        seq = self._resultdb.position(self._name)[0] if form == "jsonl" else 0
        return sum(1 for _ in in_order(lambda after: self._resultdb.since(after, PAGE, self._projects), seq))

    def _temporary(self) -> Path:
        target = self._path.resolve()  # a link stays a link
        return target.with_name(f".{target.name}.{os.getpid()}.tmp")

    def step(self) -> int:
        """Appends what is new as JSON lines and makes it durable; returns how many results.

        Raises :class:`UsageError` when the file cannot be what was written before, and :class:`StoreUnavailable` when
        it cannot be written now: then call it again later.
        """
        with self._words():
            file = self._open() if self._file is None else self._file
            if not self._clean:
                self._cut(file)
            count, seq, offset = 0, self._seq, self._offset
            self._clean = False
            for _ in range(PAGES_PER_STEP):
                rows = self._resultdb.since(seq, PAGE, self._projects)
                if not rows:
                    break
                data = b"".join(map(jsonl_line, rows))
                _write(file, data)
                count, seq, offset = count + len(rows), rows[-1].seq, offset + len(data)
            if count:
                if self._regular:
                    os.fsync(file.fileno())
                self._resultdb.set_position(self._name, seq, offset)  # last: a crash before this writes them again
            self._seq, self._offset, self._clean = seq, offset, True
            return count

    def finish(self, form: str = "jsonl") -> int:
        """The crawl is over. ``jsonl``: appends the rest. ``json``, ``csv``: writes all results to a temporary file
        beside it and renames that. Returns how many results were written; raises like :meth:`step`."""
        if form not in FORMATS:
            raise UsageError(f"output format {form!r}: use one of {', '.join(FORMATS)}")
        if form == "jsonl":
            total = 0
            while count := self.step():
                total += count
            self.close()
            return total
        with self._words():
            return self._write_whole(form)

    def close(self) -> None:
        """Closes the file; a later :meth:`step` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        self._seq, self._offset = self._resultdb.position(self._name)
        new = not self._path.exists()
        # Not O_APPEND: the place to write is the committed offset.
        flags = os.O_RDWR | os.O_CREAT
        if not new and not stat.S_ISREG(self._path.stat().st_mode):
            self._regular, flags = False, os.O_WRONLY
        file = open(os.open(self._path, flags, 0o666), "wb", buffering=0)  # noqa: SIM115 - kept open
        try:
            if self._regular:
                self._check_length(file, new)
                self._cut(file)
                if new:
                    _sync_folder(self._path)
        except BaseException:
            file.close()
            raise
        self._file = file
        return file

    def _check_length(self, file: BinaryIO, new: bool) -> None:
        size = os.fstat(file.fileno()).st_size
        if size >= self._offset:
            return
        if new:
            self._path.unlink()
        found = "is gone" if new else f"has {size} bytes"
        raise UsageError(
            f"output file {self._path} {found}, but {self._offset} were written to it: it was changed by somebody"
            " else. Put it back, or name another file: that one gets all results again"
        )

    def _cut(self, file: BinaryIO) -> None:
        if self._regular:
            file.truncate(self._offset)
            file.seek(self._offset)
        self._clean = True

    def _write_whole(self, form: str) -> int:
        if self._path.exists() and not stat.S_ISREG(self._path.stat().st_mode):
            with self._path.open("wb") as out:
                return WRITERS[form](self._rows, out)
        target, temporary = self._path.resolve(), self._temporary()
        try:
            with temporary.open("wb") as out:
                count = WRITERS[form](self._rows, out)
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(target)
        return count

    def _rows(self) -> Iterator[ResultRow]:
        return in_order(lambda seq: self._resultdb.since(seq, PAGE, self._projects))

    @contextlib.contextmanager
    def _words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            problem = f"output file {self._path}: {error.strerror or error}"
            missing = isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError | PermissionError)
            never = missing or error.errno in (errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP)
            raise (UsageError if never else StoreUnavailable)(problem) from error


def _write(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
