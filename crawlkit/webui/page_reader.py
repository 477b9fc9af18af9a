"""Previews and selectors for the web UI: asks a process of its own that can be ended, see ``page_worker``.

Thread-safe. What takes too long or too much memory costs that process and a clear refusal, nothing else.
"""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from typing import Any, TypeVar

import msgspec

from crawlkit.processor.zygote_client import clean_environment
from crawlkit.webui.page_worker import LENGTH, Done, Order, Source
from crawlkit.webui.preview import Preview
from crawlkit.webui.problem import Problem
from crawlkit.webui.selector_values import Evaluation
from crawlkit.webui.selectors import Proposal
from crawlkit.webui.services import Services

log = logging.getLogger("webui")

PREVIEW_WITHIN = 20.0  # seconds; a page of 50 MB takes some
PROPOSE_WITHIN = 6.0
EVALUATE_WITHIN = 3.0
READ_WITHIN = 15.0  # more for the first look at a page
STARTS_WITHIN = 10.0  # more for the first answer of a process
QUEUE_WITHIN = 10.0  # until it is one's turn
IDLE = 300.0  # seconds after which the process is let go
PROCESSES = 2
MEMORY = 2 << 30  # bytes of address space of a process
MAX_ANSWER = 64 << 20  # bytes
T = TypeVar("T")


class PageReader:
    """A few reader processes, started when they are needed. A page is always read by the same one."""

    def __init__(self, processes: int = PROCESSES, memory: int = MEMORY) -> None:
        self._lines = [_Line(memory) for _ in range(processes)]

    def preview(self, key: str, source: Source, nonce: str, channel: str, loads: bool) -> Preview:
        """The document for the frame; raises :class:`Problem` 422 for a page that cannot be shown in time."""
        options = {"nonce": nonce, "channel": channel, "loads": loads}
        return self._ask("preview", key, source, options, PREVIEW_WITHIN, Preview)

    def propose(self, key: str, source: Source, picked: list[int], ending: str | None = None) -> Proposal:
        """A selector for picked elements; raises :class:`Problem` 422 when there is none in time."""
        return self._ask("propose", key, source, {"picked": picked, "ending": ending}, PROPOSE_WITHIN, Proposal)

    def evaluate(
        self,
        key: str,
        source: Source,
        *,
        css: str | None = None,
        xpath: str | None = None,
        features: list[list[list[str]]] | None = None,
        ending: str | None = None,
    ) -> Evaluation:
        """What a selector finds, or why it is none; raises :class:`Problem` 422 for one that takes too long."""
        options = {"css": css, "xpath": xpath, "features": features, "ending": ending}
        return self._ask("evaluate", key, source, options, EVALUATE_WITHIN, Evaluation)

    def close(self) -> None:
        """Ends the processes; a later question starts them anew."""
        for line in self._lines:
            line.close()

    def _ask(self, what: str, key: str, source: Source, options: dict[str, Any], within: float, kind: type[T]) -> T:
        done = self._lines[hash(key) % len(self._lines)].ask(what, key, source, options, within)
        if done.problem:
            raise Problem(422, "Nothing to select", done.problem)
        return msgspec.convert(done.value, kind)


class _Gone(Exception):
    """The process ended, or did not answer in time (``late``)."""

    def __init__(self, late: bool) -> None:
        super().__init__()
        self.late = late


class _Line:
    """One process and who stands before it, one at a time."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._known: set[str] = set()
        self._timer: threading.Timer | None = None
        self._fresh = True

    def ask(self, what: str, key: str, source: Source, options: dict[str, Any], within: float) -> Done:
        if not self._turn.acquire(timeout=QUEUE_WITHIN):
            raise Problem(503, "Busy", "other pages are being read just now; try again in a moment")
        try:
            done = self._asked(Order(what, key, 0, options, None if key in self._known else source), within)
            if done.unknown:
                done = self._asked(Order(what, key, 0, options, source), within)
            self._known.add(key)
            return done
        except _Gone as gone:
            self._end()
            raise _refusal(what, gone.late, within) from None
        finally:
            self._rest()
            self._turn.release()

    def close(self) -> None:
        with self._turn:
            self._end()

    def _asked(self, order: Order, within: float) -> Done:
        process = self._started()
        within += READ_WITHIN * (order.source is not None) + STARTS_WITHIN * self._fresh
        order = msgspec.structs.replace(order, seconds=int(within) + 2)
        frame = msgspec.msgpack.encode(order)
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = time.monotonic() + within
        try:
            process.stdin.write(LENGTH.pack(len(frame)) + frame)
            process.stdin.flush()
        except OSError:
            raise _Gone(late=False) from None
        length = LENGTH.unpack(_read(process.stdout.fileno(), LENGTH.size, deadline))[0]
        if length > MAX_ANSWER:
            raise _Gone(late=False)
        answer = _read(process.stdout.fileno(), length, deadline)
        self._fresh = False
        return msgspec.msgpack.decode(answer, type=Done)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "crawlkit.webui.page_worker", str(self._memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=clean_environment(os.environ, {}),
            )
            # nobody has to remember to close this: the process goes with the server's objects
            weakref.finalize(self, _kill, self._process)
            self._fresh = True
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            _kill(self._process)
        self._process = None
        self._known.clear()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(IDLE, _close_idle, [weakref.ref(self)])
        self._timer.daemon = True
        self._timer.start()


def _close_idle(line: weakref.ref[_Line]) -> None:
    found = line()
    if found is not None:
        found.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:  # what was not read by a dead process
                log.debug("a page reader ended with a question unread")
    process.wait()


def _read(descriptor: int, length: int, deadline: float) -> bytes:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    parts: list[bytes] = []
    while length > 0:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise _Gone(late=True)
        part = os.read(descriptor, min(length, 1 << 20))
        if not part:
            raise _Gone(late=False)
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _refusal(what: str, late: bool, within: float) -> Problem:
    thing = "page" if what == "preview" else "selector"
    if late:
        log.warning("a %s was given up after %g s (%s)", thing, within, what)
        return Problem(422, "Takes too long", f"this {thing} was given up after {within:g} seconds")
    log.warning("reading a page for a %s broke off: too much memory, or a parser's fault", what)
    return Problem(422, "Too much", f"this {thing} took more memory than there is for it, or broke the parser")


def reader_of(services: Services) -> PageReader:
    """The server's reader."""
    found: PageReader = services.extra.setdefault("page_reader", PageReader())
    return found
