"""Keeps what a callback logs and prints, per task, without swapping stdout for everybody.

What is written goes to the capture of the current context; outside of one it goes where it always went.
"""

from __future__ import annotations

import builtins
import io
import logging
import os
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, MutableSequence
from contextvars import ContextVar
from typing import Any, overload

from crawlkit.libs.clock import SystemClock
from crawlkit.processor.orders import MAX_LOGS
from crawlkit.processor.said import PRINTED, Piece, Said, from_text, lines_of

_FRAMEWORK = os.path.dirname(os.path.dirname(__file__)) + os.sep


class Capture:
    """The last ``limit`` characters of what was written. ``mask`` changes each text before it is kept."""

    __slots__ = ("_limit", "_mask", "_pieces", "_size", "cut")

    def __init__(self, limit: int = MAX_LOGS, mask: Callable[[str], str] | None = None) -> None:
        self._limit = limit
        self._mask = mask
        self._pieces: deque[Piece] | None = None  # made by the first write: most callbacks say nothing
        self._size = 0
        self.cut = False

    def write(self, text: str, level: int = 0, source: str = "") -> None:
        """``level`` and ``source``: of a record of ``logging``; without them it is something printed."""
        if self._mask is not None:
            text = self._mask(text)
        size = len(text)
        if not size:
            return
        if size > self._limit:
            text, self.cut = text[-self._limit :], True
            size = self._limit
        pieces = self._pieces
        if pieces is None:
            pieces = self._pieces = deque()
        pieces.append(Piece(text, level, SystemClock.time(), source))
        self._size += size
        while self._size - len(pieces[0].text) >= self._limit:
            self._size -= len(pieces.popleft().text)
            self.cut = True

    def pieces(self) -> list[str]:
        """What was written, as it came."""
        return [piece.text for piece in self._pieces or ()]

    def lines(self) -> list[Said]:
        """What was written, line by line and record by record."""
        if self._mask is not None and self._mask(whole := "".join(self.pieces())) != whole:
            return from_text(self.text(), True, SystemClock.time())  # a secret came in several pieces
        lines = lines_of(self._pieces or ())
        if self.cut and lines:
            lines.insert(0, Said(lines[0].time, logging.INFO, PRINTED, "... (its beginning is gone)"))
        return lines

    def replace(self, pieces: Iterable[Any]) -> None:
        """Keeps ``pieces`` in place of what was written."""
        self._pieces, self._size, self.cut = None, 0, False
        for piece in pieces:
            self.write(str(piece))

    def text(self) -> str:
        """What was written; begins with ``...`` when its beginning is gone. Lone surrogates are escaped."""
        if not self._pieces:
            return ""
        text = "".join(self.pieces())
        if self._mask is not None:
            text = self._mask(text)  # what came in several pieces
        if len(text) > self._limit or self.cut:
            text = "..." + text[-self._limit :]
        return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


_current: ContextVar[Capture | None] = ContextVar("crawlkit_capture", default=None)


def current() -> Capture | None:
    return _current.get()


class capturing:
    """What this context writes goes to ``capture``: ``with capturing(capture): ...``."""

    __slots__ = ("_capture", "_token")

    def __init__(self, capture: Capture) -> None:
        self._capture = capture

    def __enter__(self) -> Capture:
        self._token = _current.set(self._capture)
        return self._capture

    def __exit__(self, *raised: object) -> None:
        _current.reset(self._token)


class LogBuffer(MutableSequence[str]):
    """The log of the running task as a list of texts, ``log_buffer`` in scripts; empty outside of one [H02]."""

    def _pieces(self) -> list[str]:
        capture = _current.get()
        return [] if capture is None else capture.pieces()

    def _set(self, pieces: list[str]) -> None:
        capture = _current.get()
        if capture is not None:
            capture.replace(pieces)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._pieces()[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        pieces = self._pieces()
        pieces[index] = value
        self._set(pieces)

    def __delitem__(self, index: int | slice) -> None:
        pieces = self._pieces()
        del pieces[index]
        self._set(pieces)

    def __len__(self) -> int:
        return len(self._pieces())

    def __repr__(self) -> str:
        return repr(self._pieces())

    def insert(self, index: int, value: Any) -> None:
        pieces = self._pieces()
        pieces.insert(index, value)
        self._set(pieces)


def captured_print(
    *values: Any, sep: str | None = None, end: str | None = None, file: Any = None, flush: bool = False
) -> None:
    """``print`` of a handler script."""
    capture = _current.get()
    if capture is None or (file is not None and file is not sys.stdout and file is not sys.stderr):
        builtins.print(*values, sep=sep, end=end, file=file, flush=flush)
        return
    text = io.StringIO()
    builtins.print(*values, sep=sep, end=end, file=text)
    capture.write(text.getvalue())


class CaptureHandler(logging.Handler):
    """A logging handler that writes to the current capture, and nowhere outside of one."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(
            logging.Formatter("[%(levelname).1s %(asctime)s %(name)s:%(lineno)d] %(message)s", "%y%m%d %H:%M:%S")
        )

    def emit(self, record: logging.LogRecord) -> None:
        capture = _current.get()
        if capture is None:
            return
        try:
            capture.write(self.format(record) + "\n", record.levelno, f"{record.name}:{record.lineno}")
        except Exception as error:  # arguments that do not fit, a __str__ that raises: the script's, not ours
            capture.write(
                f"[{record.levelname[:1]} {record.name}:{record.lineno}] cannot be logged: {described(error)}\n",
                record.levelno,
                f"{record.name}:{record.lineno}",
            )


class ScriptLogger(logging.Logger):
    """The ``logger`` of a script, private to its project; also stands for its ``logging`` [H02]."""

    def __init__(self, project: str) -> None:
        super().__init__(project, logging.DEBUG)
        self.propagate = False
        self.addHandler(_handler)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(logging, name)


_handler = CaptureHandler()


class RoutedStream(io.TextIOBase):
    """Stands for ``sys.stdout`` in a handler worker: to the current capture, else to the real stream."""

    def __init__(self, real: Any) -> None:
        super().__init__()
        self.real = real

    def write(self, text: str) -> int:
        capture = _current.get()
        if capture is not None:
            capture.write(str(text))
            return len(text)
        written: int = self.real.write(text)
        return written

    def flush(self) -> None:
        if self.real is not None:
            self.real.flush()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        number: int = self.real.fileno()
        return number

    def isatty(self) -> bool:
        return False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"


def route_streams() -> None:
    """Routes stdout, stderr and the root logger of this process; for a process that only runs handlers."""
    if not isinstance(sys.stdout, RoutedStream):
        sys.stdout = RoutedStream(sys.stdout)
    if not isinstance(sys.stderr, RoutedStream):
        sys.stderr = RoutedStream(sys.stderr)
    root = logging.getLogger()
    if _handler not in root.handlers:
        root.addHandler(_handler)


def described(error: BaseException) -> str:
    """``ValueError: what it says``, also for an exception whose ``__str__`` raises."""
    kind = type(error).__name__
    try:
        text = str(error)
    except BaseException as second:  # user code: anything may come out of it
        text = f"<its __str__ raised {type(second).__name__}>"
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"{kind}: {text[:2000]}" if text else kind


def formatted(error: BaseException) -> str:
    """The traceback with the framework's own frames left out, never raising [W43]."""
    try:
        whole = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
        _leave_out_framework(whole)
        return "".join(whole.format()).encode("utf-8", "backslashreplace").decode()
    except BaseException as second:  # user code: a __str__, a __repr__ or a __cause__ may do anything
        return f"Traceback not shown ({type(second).__name__})\n{described(error)}\n"


def _leave_out_framework(trace: traceback.TracebackException) -> None:
    """Also in what it was raised from, and in the members of groups."""
    seen: set[int] = set()
    waiting: list[traceback.TracebackException | None] = [trace]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.stack = traceback.StackSummary.from_list(
            [frame for frame in each.stack if not frame.filename.startswith(_FRAMEWORK)]
        )
        waiting += [each.__cause__, each.__context__, *(each.exceptions or ())]
