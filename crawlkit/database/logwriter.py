"""From whoever logs to the log store: a bounded buffer, and a thread that stores what is in it.

The law: who logs never waits and never fails, whatever the store does. What does not fit is counted, and that is said.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct

from crawlkit.database.base import LogStore
from crawlkit.database.logrules import MAX_TEXT
from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import CrawlkitError
from crawlkit.libs.rows import LogLine

MAX_LINES = 50_000  # waiting to be stored
MAX_BYTES = 16 * 2**20  # of their texts, about
BATCH = 500  # lines of one transaction
GATHER = 0.2  # seconds from the first line of a batch until it is stored
RETRY = 2.0  # seconds between tries to reach a store that does not answer
TELL = 60.0  # seconds between two words about lines that were dropped
PRUNE = 15.0  # seconds between looks at the size and the age of what is stored
ABOUT = ("project", "taskid", "callback", "url")

log = logging.getLogger("crawlkit.logs")


class Bounds(Struct, frozen=True):
    """How much of the logs is kept."""

    days: float = 7.0
    max_bytes: int = 256 * 2**20


class LogWriter:
    """Takes lines from any thread; ``connect`` opens the store, in the writer's own thread.

    ``node`` and ``role`` are those of this process. ``bounds``: this writer also prunes the store, which one process
    should do.
    """

    def __init__(
        self,
        connect: Callable[[], LogStore],
        *,
        node: str,
        role: str,
        clock: Clock,
        bounds: Bounds | None = None,
        max_lines: int = MAX_LINES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.node = node
        self.role = role
        self.dropped = 0
        """Lines that were not stored, ever."""
        self._connect = connect
        self._clock = clock
        self._bounds = bounds
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._lines: deque[LogLine] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._filled = threading.Event()
        self._stopping = threading.Event()
        self._store: LogStore | None = None
        self._trouble = ""
        self._told = (0, float("-inf"))  # dropped lines that were spoken of, and when
        self._next_prune = float("-inf")
        self._next_try = float("-inf")
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)

    # -- any thread --------------------------------------------------------------------------------------------------

    def put(self, lines: Sequence[LogLine]) -> None:
        """Takes lines to be stored soon; a :data:`~crawlkit.libs.journal.Journal`."""
        with self._lock:
            for line in lines:
                size = min(len(line.text), MAX_TEXT) + len(line.url)
                if len(self._lines) >= self._max_lines or self._bytes + size > self._max_bytes:
                    self.dropped += 1
                    continue
                self._lines.append(line)
                self._bytes += size
        self._filled.set()

    def is_mine(self, thread: int | None) -> bool:
        """Whether that thread is the writer's own, whose words cannot be stored by itself."""
        return thread is not None and thread == self._thread.ident

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout: float = 3.0) -> None:
        """Stores what it has, within ``timeout`` seconds."""
        self._stopping.set()
        self._filled.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    # -- the writer's own --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            if self._bounds is not None:
                self._step()
            while not self._stopping.is_set():
                self._filled.wait(self._pause())
                if not self._stopping.is_set() and self._filled.is_set():
                    self._stopping.wait(GATHER)  # what comes in the meantime is stored with it
                self._step()
            self._next_try = float("-inf")  # once more, whatever went wrong a moment ago
            self._step()
        finally:
            if self._store is not None:
                self._store.close()

    def _pause(self) -> float | None:
        if self._bounds is not None:
            return PRUNE
        return TELL if self.dropped > self._told[0] else None

    def _step(self) -> None:
        """Stores what there is, tells what was dropped, prunes."""
        now = self._clock.monotonic()
        if now < self._next_try:
            self._stopping.wait(self._next_try - now)
        self._filled.clear()
        try:
            self._tell_dropped()
            self._append()
            self._prune()
            if self._trouble:
                self._trouble = ""
                log.warning("the log store answers again")
        except CrawlkitError as error:
            self._fail(str(error))
        except Exception as error:  # a component does not fail for its logs, not even by a fault of ours
            self._fail(f"{type(error).__name__}: {error}")

    def _append(self) -> None:
        while batch := self._batch():
            try:
                self._stored().append_many(batch)
            except CrawlkitError:
                raise
            except Exception:  # a fault of ours may be in these very lines: it is not met for ever
                self._done(len(batch), lost=True)
                raise
            self._done(len(batch))

    def _fail(self, words: str) -> None:
        if self._trouble != words:
            self._trouble = words
            log.warning("logs are not stored, and wait: %s", words)
        self._next_try = self._clock.monotonic() + RETRY
        self._filled.set()

    def _stored(self) -> LogStore:
        if self._store is None:
            self._store = self._connect()
        return self._store

    def _batch(self) -> list[LogLine]:
        with self._lock:
            batch = [self._lines[at] for at in range(min(BATCH, len(self._lines)))]
        for line in batch:
            if not line.node:
                line.node, line.role = self.node, self.role
        return batch

    def _done(self, count: int, *, lost: bool = False) -> None:
        with self._lock:
            for _ in range(count):
                line = self._lines.popleft()
                self._bytes -= min(len(line.text), MAX_TEXT) + len(line.url)
            if lost:
                self.dropped += count

    def _tell_dropped(self) -> None:
        now = self._clock.monotonic()
        known, when = self._told
        if self.dropped > known and now - when >= TELL:
            words = f"{self.dropped - known} log lines were dropped: more came than could be stored"
            self._told = (self.dropped, now)
            log.warning("%s", words)
            self._stored().append_many(
                [LogLine(self._clock.time(), logging.WARNING, words, self.node, self.role, logger=log.name)]
            )

    def _prune(self) -> None:
        now = self._clock.monotonic()
        if self._bounds is None or now < self._next_prune:
            return
        self._next_prune = now + PRUNE
        before = self._clock.time() - self._bounds.days * 86_400
        gone = self._stored().prune(before, self._bounds.max_bytes)
        if gone:
            log.debug("%d old log lines were removed", gone)


class StoreHandler(logging.Handler):
    """Gives what a process logs to a :class:`LogWriter`.

    A record may carry ``project``, ``taskid``, ``callback`` and ``url`` as ``extra``, or ``stored=False``.
    """

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        if self._writer.is_mine(record.thread) or not getattr(record, "stored", True):
            return
        try:
            text = record.getMessage()
            if record.exc_info:
                text = f"{text}\n{self._formatter.formatException(record.exc_info)}"
            line = LogLine(record.created, record.levelno, text, logger=record.name)
            line.project, line.taskid, line.callback, line.url = (str(getattr(record, name, "")) for name in ABOUT)
            self._writer.put([line])
        except Exception:  # arguments that do not fit: logging has its own way to say so
            self.handleError(record)
