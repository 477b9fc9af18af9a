"""What runs in a worker: takes tasks from its pipe, runs them one after the other, sends their outcomes.

Runs in a process of its own, forked from the zygote. It opens no database and no queue: all it knows came through the
pipe, and its environment holds no secrets.
"""

from __future__ import annotations

import contextlib
import faulthandler
import locale
import os
import random
import resource
import signal
import socket
import sys
from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import lxml.html
import msgspec
import parsel
import pyquery

from crawlkit.libs.base_handler import BaseHandler
from crawlkit.libs.clock import SystemClock
from crawlkit.libs.errors import BadMessage, ScriptError
from crawlkit.libs.handler_settings import HandlerSettings
from crawlkit.libs.messages import RESUME, TASK, Dispatch, Fetched, Outcome, TrackProcess, decode, encode
from crawlkit.processor import frames
from crawlkit.processor.board import LAST_WORDS, Board
from crawlkit.processor.capture import described, route_streams
from crawlkit.processor.masking import Mask
from crawlkit.processor.orders import WHERE_SIGNAL, Script, Settings, WorkerConfig
from crawlkit.processor.outcome import failure, script_failure
from crawlkit.processor.project_loader import load_project
from crawlkit.processor.records import Records
from crawlkit.processor.runner import Runner, RunnerSettings
from crawlkit.processor.said import from_text
from crawlkit.processor.sanity import Sanity
from crawlkit.processor.slots import MAX_SCRIPTS
from crawlkit.processor.soft_limit import SoftLimit, TimeLimit
from crawlkit.processor.worker_pipe import Nothing, WorkerPipe
from crawlkit.processor.zygote import adopt_orphans

PRELOADED = (lxml.html, parsel, pyquery)  # loaded before the fork, so that every worker has them from its birth
SOCKET_BUFFER = 2**20
LOAD_AGAIN = 5.0  # seconds until a script that does not load is tried again: what it imports may have come
LAST_MEMORY = 64 * 2**20  # bytes of address space set aside to say that memory is used up


def _empties(outcome: Outcome) -> bool:
    """Whether a crawl that was not the task's first gave nothing: what the earlier ones gave is to go."""
    ended = outcome.last and outcome.ok and not outcome.awaits and outcome.drop is None
    ended = ended and (outcome.auto is None or not outcome.auto.asks)
    return ended and outcome.run > 1 and outcome.kind == TASK and not outcome.not_modified


class FollowLimit(Exception):
    """The callback has yielded more follow-ups than one may."""


class Worker:
    """The loop of one worker process."""

    def __init__(self, pipe: WorkerPipe, board: Board, limit: SoftLimit, config: WorkerConfig) -> None:
        self._pipe = pipe
        self._board = board
        self._limit = limit
        self._config = config
        self._clock = SystemClock()
        self._scripts: OrderedDict[str, Script] = OrderedDict()
        self._runners: dict[str, Runner] = {}
        self._load_errors: dict[str, tuple[ScriptError | None, float]] = {}  # version -> error, valid until
        self._sanity = Sanity()
        self._settings = HandlerSettings()
        self._mask = Mask()
        self._running: Runner | None = None  # of the running task
        self._number = 0  # of the running task
        self._parts = 0  # of its outcome, sent so far
        self._follows = 0
        self._ended = True  # its last part is sent
        self._too_many_follows = False
        self._out_of_memory = False

    def run(self) -> None:
        """Until the service hangs up, or a callback has changed the process for good."""
        while True:
            kind, number, payload = self._pipe.next()
            if kind == frames.SCRIPT:
                script = msgspec.msgpack.decode(payload, type=Script)
                self._scripts[script.version] = script
                while len(self._scripts) > MAX_SCRIPTS:
                    self._runners.pop(self._scripts.popitem(last=False)[0], None)
            elif kind == frames.SETTINGS:
                self._set(msgspec.msgpack.decode(payload, type=Settings))
            elif kind == frames.TASK:
                self._task(number, payload)
                wrong = self._what_was_broken_off() or self._sanity.what_is_wrong()
                if wrong is not None:
                    self._pipe.send(frames.GOODBYE, number, wrong.encode())
                    return

    def _set(self, given: Settings) -> None:
        """All handlers of this process are of one project and share what it was given."""
        self._settings.fill(given.project, given.values, given.closed)
        self._mask = Mask(given.values[name] for name in given.secret)

    def _what_was_broken_off(self) -> str | None:
        """A limit that struck anywhere may have left a lock held or a module half imported."""
        if self._limit.rang:
            return "a callback reached its time limit"
        return "a callback reached the memory limit" if self._out_of_memory else None

    def in_forked_child(self) -> None:
        """A callback forked: its copy may go on, but must never speak for the worker."""
        self._pipe.close()
        self._pipe = Nothing()  # type: ignore[assignment]

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        """Refuses to start more processes than a callback may (an audit hook, PEP 578)."""
        if (
            event in ("os.fork", "os.forkpty", "subprocess.Popen", "os.posix_spawn", "os.system")
            and self._board.count_process() > self._config.max_processes
        ):
            raise RuntimeError(f"a callback may start at most {self._config.max_processes} processes")

    def _task(self, number: int, payload: bytes) -> None:
        started = self._clock.monotonic()
        self._number, self._parts, self._follows, self._ended = number, 0, 0, False
        self._too_many_follows = False
        self._running = None
        self._board.start(number, started)
        if self._board.taken_back(number):
            self._board.drop()
            self._pipe.send(frames.SKIPPED, number, b"")
            return
        try:
            fetched: Fetched = decode(payload, Fetched)
        except BadMessage as error:
            self._pipe.send(frames.BAD_TASK, number, str(error).encode("utf-8", "replace"))
            self._board.end(self._clock.monotonic())
            return
        try:
            self._limit.start(fetched.task.time_limit or self._config.process_time_limit)
            try:
                self._run(fetched)
            finally:
                self._limit.stop()
        except ScriptError as error:
            outcome = script_failure(fetched, error, node=self._config.node)
            if self._limit.rang and outcome.process is not None:
                outcome.process.reason = "time_limit"
            self._finish(outcome)
        except MemoryError:
            self._out_of_memory = True
            self._fail(fetched, "memory_limit", "the callback used more memory than it may")
        except TimeLimit:
            self._fail(fetched, "time_limit", "the callback ran longer than it may")
        except BaseException as error:
            # A callback's exception may be of any kind and may not even have a usable text; none may end the worker.
            self._fail(fetched, "exception", described(error))
        if not self._ended:
            self._fail(fetched, "exception", "the callback ended without an outcome")
        self._board.end(self._clock.monotonic())

    def _run(self, fetched: Fetched) -> None:
        if fetched.blob is not None:
            body = self._ask(frames.ASK_BLOB, fetched.blob)
            if body is None:
                self._fail(fetched, "body_lost", f"the body {fetched.blob} is gone from the store")
                return
            fetched.content = body
        runner = self._running = self._runner(fetched.task)
        if fetched.task.kind == RESUME:
            records = Records(fetched.recorded, lambda blob: self._ask(frames.ASK_RECORD, blob))
            runner.run(fetched, self._emit, records)
        else:
            runner.run(fetched, self._emit, keep=self._keep)

    def _keep(self) -> str:
        """Has the service store the task's message, so that its callback can begin again with it."""
        blob = self._ask(frames.ASK_KEEP, "")
        if blob is None:
            raise RuntimeError("what a callback has seen before its first await cannot be stored: no blob store")
        return blob.decode()

    def _runner(self, task: Dispatch) -> Runner:
        runner = self._runners.get(task.script)
        if runner is None:
            self._raise_known_error(task.script)
            script = self._scripts[task.script]
            text = script.text.decode("utf-8", "surrogatepass")
            try:
                project = load_project(
                    script.project,
                    text,
                    group=task.group,
                    project=script.about,
                    resolver=self._script_of,
                    settings=self._settings,
                )
            except ScriptError as error:
                self._load_errors[task.script] = (error, self._clock.monotonic() + LOAD_AGAIN)
                raise
            if project.imports:
                self._send(frames.IMPORTED, msgspec.msgpack.encode(project.imports))
            settings = RunnerSettings(max_logs=self._config.max_logs)
            runner = Runner(project, node=self._config.node, settings=settings, clock=self._clock, mask=self._masked)
            self._runners[task.script] = runner
            self._sanity = Sanity()
        return runner

    def _raise_known_error(self, version: str) -> None:
        """A script that did not load a moment ago is not tried again for every task of its project."""
        error, until = self._load_errors.pop(version, (None, 0.0))
        if error is not None and self._clock.monotonic() < until:
            self._load_errors[version] = (error, until)
            raise error

    def _script_of(self, project: str) -> str | None:
        text = self._ask(frames.ASK_SCRIPT, project)
        return None if text is None else text.decode("utf-8", "surrogatepass")

    def _ask(self, what: str, name: str) -> bytes | None:
        self._limit.shield()
        try:
            return self._pipe.ask(what, name, self._number)
        finally:
            self._limit.lift()

    def _emit(self, outcome: Outcome) -> None:
        """Sends one part. Waits while the service does not read, which is not the callback's own time."""
        self._follows += len(outcome.follows)
        if self._follows > self._config.max_follows and not outcome.last:
            self._too_many_follows = True
            raise FollowLimit(f"a callback may yield at most {self._config.max_follows:,} follow-ups")
        if outcome.last and not outcome.ok:
            self._name_the_limit(outcome)
        self._mask.outcome(outcome)
        if outcome.process is not None and outcome.process.logs is not None and self._config.log_lines:
            self._send_logs(outcome.process)
        payload = encode(outcome)
        kind = frames.OUTCOME
        if outcome.results or outcome.result_count or _empties(outcome):
            kind |= frames.HAS_RESULTS
        if outcome.last:
            kind |= frames.IS_LAST
        self._send(kind, payload)
        self._parts += 1
        self._ended = outcome.last

    def _send_logs(self, track: TrackProcess) -> None:
        """What the task logged, line by line; before the end of its outcome, with which the service forgets it."""
        capture = self._running.capture if self._running is not None else None
        said = capture.lines() if capture is not None else from_text(track.logs or "", track.ok, self._clock.time())
        if said:
            self._send(frames.LOGS, msgspec.msgpack.encode(said))

    def _masked(self, text: str) -> str:
        return self._mask.text(text)

    def _send(self, kind: int, payload: bytes) -> None:
        self._limit.shield()
        try:
            self._pipe.send(kind, self._number, payload)
        finally:
            self._limit.lift()

    def _name_the_limit(self, outcome: Outcome) -> None:
        """The callback failed: when it was for a limit, the track says which."""
        track = outcome.process
        if track is None:
            return
        if self._limit.rang:
            track.reason = "time_limit"
        elif self._too_many_follows:
            track.reason = "follow_limit"
        elif track.reason == "memory_limit":
            self._out_of_memory = True
            _release_last_memory()

    def _fail(self, fetched: Fetched, reason: str, text: str) -> None:
        if self._ended:
            return  # raised after its last part: the attempt has its outcome already
        if self._out_of_memory:
            _release_last_memory()
        seconds = self._board.own_time(self._clock.monotonic())
        self._finish(
            failure(fetched, node=self._config.node, reason=reason, exception=text, seconds=seconds, part=self._parts)
        )

    def _finish(self, outcome: Outcome) -> None:
        self._limit.shield()
        self._mask.outcome(outcome)
        if outcome.process is not None and outcome.process.logs is not None and self._config.log_lines:
            self._running = None  # what it wrote is lost with it; the outcome says what is left
            self._send_logs(outcome.process)
        self._pipe.send(frames.OUTCOME | frames.IS_LAST, self._number, encode(outcome))
        self._ended = True


def _limit_memory(limit: int) -> None:
    """Caps the address space ``limit`` bytes above what is used now, and leaves the last of it for the failure."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not limit:
        return
    try:
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # no /proc: macOS, which does not enforce RLIMIT_AS anyway
        used = 0
    with contextlib.suppress(ValueError, OSError):  # a lower hard limit was set outside: then that one holds
        resource.setrlimit(resource.RLIMIT_AS, (used + limit, used + limit + LAST_MEMORY))


def _release_last_memory() -> None:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _shut_standard_streams() -> None:
    """What handlers write to the raw descriptors 1 and 2 goes nowhere; prints are captured before they come here."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _leave_last_words(board_fd: int) -> None:
    """A crash, or the service's signal, puts the traceback on the board, from C: no Python code has to run for it."""
    os.lseek(board_fd, LAST_WORDS, os.SEEK_SET)
    faulthandler.enable(board_fd, all_threads=False)
    faulthandler.register(WHERE_SIGNAL, board_fd, all_threads=False)


def main(config: bytes, sock_fd: int, board_fd: int) -> None:
    """The life of a worker, called in the process just forked."""
    settings = msgspec.msgpack.decode(config, type=WorkerConfig)
    adopt_orphans()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _shut_standard_streams()
    route_streams()
    random.seed()
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_CTYPE, "")
    for fd in (sock_fd, board_fd):
        os.set_inheritable(fd, False)
    sock = socket.socket(fileno=sock_fd)
    sock.setblocking(True)
    board = Board(board_fd)
    _leave_last_words(board_fd)
    limit = SoftLimit()
    clock = SystemClock()

    def hold() -> None:
        board.hold(clock.monotonic())
        limit.pause()

    def go() -> None:
        board.release(clock.monotonic())

    worker = Worker(WorkerPipe(sock, hold, go), board, limit, settings)
    os.register_at_fork(after_in_child=worker.in_forked_child)
    sys.addaudithook(worker.audit)
    if settings.debugger:
        BaseHandler.__env__ = MappingProxyType({"debugger": True})
    _limit_memory(settings.memory_limit)
    worker.run()
