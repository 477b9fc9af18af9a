"""Limited processes for scripts that nobody has saved: each forked for one run, watched, and killed at its end.

The same worker as a processor's, from a zygote of its own: no secrets, memory and time limits, a process group that
dies with it. Runs on the debugger's event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import BadMessage, CrawlkitError
from crawlkit.libs.messages import Fetched, Outcome, decode, encode
from crawlkit.processor import frames
from crawlkit.processor.board import Board, create_memory
from crawlkit.processor.orders import Script, Settings, WorkerConfig, how_it_died, where_it_was
from crawlkit.processor.settings import ProcessorSettings
from crawlkit.processor.slots import Slot
from crawlkit.processor.watch import STUCK_AFTER, Look, Order, judge
from crawlkit.processor.worker_handle import SOCKET_BUFFER, WorkerHandle
from crawlkit.processor.zygote_client import ZygoteClient, clean_environment
from crawlkit.webui.debug.gathered import Gathered
from crawlkit.webui.debug.settings import DebugSettings

WATCH = 0.05  # seconds between looks at a running callback
HUNG_UP = 0.1  # seconds from the end of a worker's socket until it is killed
log = logging.getLogger("crawlkit.webui.debug")

Answerer = Callable[[str, str], Awaitable[bytes | None]]  # (what, name) of a worker's question


class Died(Exception):
    """The worker is gone: why, in a word and in words, where it was, and what it had given until then."""

    def __init__(self, reason: str, text: str, where: str | None, seconds: float) -> None:
        super().__init__(text)
        self.reason, self.text, self.where, self.seconds = reason, text, where, seconds


class DebugWorker:
    """One worker process, for one script. Gives its tasks one after the other."""

    def __init__(self, handle: WorkerHandle, settings: DebugSettings, clock: Clock, answer: Answerer) -> None:
        self._handle = handle
        self._settings = settings
        self._clock = clock
        self._answer = answer
        self._number = 0
        self._gathered: Gathered | None = None
        self._on_part: Callable[[Gathered], None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._dead: Died | None = None
        self._problem: str | None = None
        self._answers: set[asyncio.Task[None]] = set()

    @property
    def alive(self) -> bool:
        return self._dead is None and not self._handle.killed

    @property
    def pid(self) -> int | None:
        return self._handle.pid

    def load(self, script: Script, settings: Settings) -> None:
        """The script that its tasks are of, and what the project was given."""
        self._handle.send(frames.SCRIPT, 0, msgspec.msgpack.encode(script))
        self._handle.send(frames.SETTINGS, 0, msgspec.msgpack.encode(settings))

    async def run(self, fetched: Fetched, on_part: Callable[[Gathered], None] | None = None) -> Gathered:
        """What came of one task; raises :class:`Died`. Cancelled, the caller has to :meth:`kill`."""
        if self._dead is not None:
            raise self._dead
        self._number += 1
        gathered = self._gathered = Gathered(self._settings)
        self._on_part = on_part
        ended = self._ended = asyncio.get_running_loop().create_future()
        given = self._clock.monotonic()
        self._handle.send(frames.TASK, self._number, encode(fetched))
        self._handle.flush()
        while not ended.done():
            await asyncio.wait([ended], timeout=WATCH)
            if not ended.done():
                self._watch(fetched.task.time_limit, given)
        ended.result()
        self._gathered = None
        return gathered

    def kill(self) -> None:
        """At once, with all that it started."""
        self._handle.killed = self._handle.killed or "dismissed"
        self._handle.kill()

    def listen(self) -> None:
        """From now on hears what the process says."""
        self._handle.listen(self._frame, self._hung_up)

    def _hung_up(self, handle: WorkerHandle) -> None:
        asyncio.get_running_loop().call_later(HUNG_UP, handle.kill)  # usually it is dead by then

    def _watch(self, time_limit: float, given: float) -> None:
        handle, limits = self._handle, self._settings.worker
        if handle.pid is None or handle.killed:
            return
        now = self._clock.monotonic()
        look = Look(handle.board.own_time(now), time_limit, 1, now - given, handle.nice, True)
        orders = judge(look, limits)
        if Order.MAKE_NICER in orders:
            handle.make_nicer()
        if Order.ASK_WHERE in orders:
            handle.ask_where()
        if orders & (Order.KILL | Order.KILL_STUCK):
            handle.killed = "time_limit" if Order.KILL in orders else "stuck"
            handle.kill()

    def _frame(self, handle: WorkerHandle, frame: frames.Frame) -> None:
        kind, number, payload = frame
        if kind not in frames.KINDS_UP:
            raise BadMessage(f"frame of kind {kind}")
        if kind == frames.ASK:
            if len(self._answers) > 1:
                raise BadMessage("questions that nobody waits for the answers of")
            what, name = _question(payload)
            task = asyncio.get_running_loop().create_task(self._answer_one(what, name))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)
        elif kind == frames.BAD_TASK:
            self._end(payload.decode("utf-8", "replace"))
        elif kind & frames.OUTCOME == frames.OUTCOME and kind < frames.ASK:
            self._part(number, payload)

    def _part(self, number: int, payload: bytes) -> None:
        gathered = self._gathered
        if number != self._number or gathered is None or gathered.last is not None:
            return
        outcome: Outcome = decode(payload, Outcome)
        gathered.add(outcome)
        if self._on_part is not None:
            self._on_part(gathered)
        if outcome.last:
            self._end(None)

    def _end(self, problem: str | None) -> None:
        if self._ended is not None and not self._ended.done():
            if problem is None:
                self._ended.set_result(None)
            else:
                self._ended.set_exception(Died("bad_task", problem, None, 0.0))

    async def _answer_one(self, what: str, name: str) -> None:
        try:
            data = await self._answer(what, name)
        except CrawlkitError as error:
            log.warning("a debugged script asked for %s %s: %s", what, name, error)
            data = None
        handle = self._handle
        if data is None:
            handle.send(frames.ANSWER_NONE, 0, b"")
        else:
            for at in range(0, len(data), frames.ANSWER_CHUNK):
                handle.send(frames.ANSWER, 0, data[at : at + frames.ANSWER_CHUNK])
            handle.send(frames.ANSWER_END, 0, b"")
        await handle.drained()

    def bury(self, status: int | None, why: str = "") -> None:
        """The process is dead."""
        handle = self._handle
        handle.pid = None  # its number may be somebody else's by now
        with contextlib.suppress(BadMessage):
            handle.read_rest()
        now = self._clock.monotonic()
        seconds = handle.board.own_time(now)
        where = where_it_was(handle.board.last_words())
        handle.close()
        for task in list(self._answers):
            task.cancel()
        if handle.killed == "time_limit":
            died = Died("time_limit", f"the callback ran {seconds:.1f} s and did not stop: killed", where, seconds)
        elif handle.killed == "stuck":
            died = Died("worker_died", f"its process did nothing for {STUCK_AFTER:.0f} s: killed", where, seconds)
        elif handle.killed == "dismissed":
            died = Died("stopped", "stopped", where, seconds)
        else:
            text = why or f"the process died while it ran this callback: {how_it_died(status)}"
            died = Died("worker_died", text, where, seconds)
        self._dead = died
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(died)
            self._ended.exception()  # nobody may be waiting any more


def _question(payload: bytes) -> tuple[str, str]:
    try:
        return msgspec.msgpack.decode(payload, type=tuple[str, str])
    except (msgspec.DecodeError, ValueError) as error:
        raise BadMessage(str(error)) from None


class Workers:
    """Starts them. Owns the zygote, which is started when the first one is asked for, and again when it is gone."""

    def __init__(self, settings: DebugSettings, clock: Clock, environ: Mapping[str, str]) -> None:
        limits: ProcessorSettings = settings.worker
        self._settings = settings
        self._clock = clock
        self._environment = clean_environment(environ, limits.environment)
        self._config = msgspec.msgpack.encode(
            WorkerConfig(
                node="debugger",
                process_time_limit=limits.process_time_limit,
                memory_limit=limits.memory_limit,
                max_follows=limits.max_follows,
                max_processes=limits.max_processes,
                max_logs=settings.max_logs,
                debugger=True,
            )
        )
        self._zygote: ZygoteClient | None = None
        self._starting = asyncio.Lock()
        self._made = 0
        self._workers: dict[int, tuple[WorkerHandle, DebugWorker]] = {}

    async def warm_up(self) -> None:
        """Starts the zygote; raises :class:`CrawlkitError`."""
        async with self._starting:
            if self._zygote is None:
                zygote = ZygoteClient(self, self._environment)
                await zygote.start()
                self._zygote = zygote

    async def open(self, project: str, answer: Answerer) -> DebugWorker:
        """A new process; raises :class:`CrawlkitError` when there can be none."""
        await self.warm_up()
        ours, theirs = socket.socketpair()
        for sock in (ours, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        ours.setblocking(False)
        memory = create_memory()
        self._made += 1
        handle = WorkerHandle(self._made, Slot(project, self._clock.monotonic()), ours, Board(memory))
        asked = self._zygote is not None and self._zygote.fork(handle.number, self._config, [theirs.fileno(), memory])
        theirs.close()
        os.close(memory)
        if not asked:
            handle.close()
            raise CrawlkitError("no process for the debugger could be started; try again")
        worker = DebugWorker(handle, self._settings, self._clock, answer)
        self._workers[handle.number] = (handle, worker)
        worker.listen()
        return worker

    def pids(self) -> list[int]:
        """Those of the zygote and of the processes that run."""
        pids = [handle.pid for handle, _ in self._workers.values() if handle.pid is not None]
        zygote = self._zygote.pid if self._zygote is not None else None
        return pids if zygote is None else [zygote, *pids]

    async def close(self) -> None:
        """Kills all of them."""
        zygote, self._zygote = self._zygote, None
        if zygote is not None:
            await zygote.close()
        for number in list(self._workers):
            self._bury(number, None)

    # What comes from the zygote.

    def forked(self, worker: int, pid: int) -> None:
        found = self._workers.get(worker)
        if found is not None:
            found[0].pid = pid
            if found[0].killed:
                found[0].kill()

    def not_forked(self, worker: int, problem: str) -> None:
        self._bury(worker, None, f"no process could be started: {problem}")

    def exited(self, worker: int, status: int) -> None:
        self._bury(worker, status)

    def zygote_gone(self) -> None:
        log.warning("the process that debug runs are forked from is gone; the next run starts another one")
        self._zygote = None
        for number in list(self._workers):
            self._workers[number][0].kill()
            self._bury(number, None)

    def _bury(self, number: int, status: int | None, why: str = "") -> None:
        found = self._workers.pop(number, None)
        if found is not None:
            found[1].bury(status, why)
