"""The workers: opens, feeds, watches and buries them. Runs on the event loop and never blocks it.

Which worker gets a task is decided in slots.py; what an outcome means is for the service. No queue, no database here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections import deque
from collections.abc import Mapping
from typing import Protocol, TypeVar

import msgspec

from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import BadMessage, CrawlkitError
from crawlkit.processor import frames
from crawlkit.processor.board import Board, create_memory
from crawlkit.processor.held import Held
from crawlkit.processor.orders import Script, WorkerConfig, how_it_died, where_it_was
from crawlkit.processor.said import Said
from crawlkit.processor.settings import ProcessorSettings
from crawlkit.processor.slots import Give, Limits, Open, Retire, Slot, depth_of, place
from crawlkit.processor.watch import Look, Order, judge
from crawlkit.processor.worker_handle import SOCKET_BUFFER, WorkerHandle
from crawlkit.processor.zygote_client import ForkedZygote, ZygoteClient, clean_environment

WATCH = 0.1  # seconds between looks at running callbacks
MAX_MOVES = 5  # workers that died before they did anything, for one task
HUNG_UP = 0.1  # seconds from the end of a worker's socket until it is killed
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between attempts to start a zygote or a worker that fails

T = TypeVar("T")
log = logging.getLogger("crawlkit.processor")


class PoolEvents(Protocol):
    """What a pool tells the service, and asks of it."""

    def settings_of(self, project: str) -> bytes:
        """The payload of a SETTINGS frame for a worker of the project; ``b""``: it has no settings."""

    def about(self, project: str) -> dict[str, str | float | None]:
        """What the project's row says beside the script."""

    def part(self, held: Held, kind: int, payload: bytes) -> None:
        """A part of an outcome came; ``kind`` carries the flags of frames.py."""

    def failed(self, held: Held, reason: str, text: str, seconds: float, logs: str | None = None) -> None:
        """The task took its worker down, or never got one. ``logs``: where it was, if that is known."""

    def bad_task(self, held: Held, problem: str) -> None:
        """The message cannot be read."""

    def asked(self, worker: WorkerHandle, held: Held, what: str, name: str) -> None:
        """A callback wants something; answer by ANSWER frames to ``worker``."""

    def room(self) -> None:
        """Tasks ended: there may be room for more."""

    def said(self, held: Held, lines: list[Said]) -> None:
        """What its callback logged."""


def _decode(payload: bytes, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(payload, type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadMessage(str(error)) from None


def limits_of(settings: ProcessorSettings) -> Limits:
    """The settings with their zeros filled in."""
    cpus = os.cpu_count() or 1
    return Limits(
        settings.workers or max(4, 2 * cpus), settings.per_project or cpus, settings.depth, settings.depth_bytes
    )


class Pool:
    """All workers of one processor."""

    def __init__(
        self,
        events: PoolEvents,
        settings: ProcessorSettings,
        clock: Clock,
        node: str,
        environ: Mapping[str, str],
        *,
        log_lines: bool = False,
        zygote: ForkedZygote | None = None,
    ) -> None:
        """``log_lines``: workers send what callbacks log line by line, too. ``zygote``: one that is there already."""
        self._events = events
        self._settings = settings
        self._clock = clock
        self._limits = limits_of(settings)
        self._config = msgspec.msgpack.encode(
            WorkerConfig(
                node=node,
                process_time_limit=settings.process_time_limit,
                memory_limit=settings.memory_limit,
                max_follows=settings.max_follows,
                max_processes=settings.max_processes,
                log_lines=log_lines,
            )
        )
        self._environment = clean_environment(environ, settings.environment)
        self._forked = zygote  # the first zygote, until it is in use
        self._zygote: ZygoteClient | None = None
        self._workers: dict[int, WorkerHandle] = {}
        self._by_slot: dict[int, WorkerHandle] = {}  # id of a slot -> its worker, the living ones
        self._backlog: dict[str, deque[Held]] = {}  # project -> tasks without a worker, oldest first
        self._workers_made = 0
        self._numbers = 0
        self._paused = False
        self._draining = False
        self._closing = False
        self._pump_planned = False
        self._may_open_at = 0.0
        self._pause = FIRST_PAUSE
        self._restart: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None

    # For the service.

    async def start(self) -> None:
        """Starts the zygote; raises :class:`CrawlkitError` when that fails."""
        forked, self._forked = self._forked, None
        zygote = ZygoteClient(self, self._environment, forked)
        await zygote.start()
        self._zygote = zygote

    def submit(self, held: Held) -> None:
        """Takes a task, its script included; what comes of it comes as events."""
        self._backlog.setdefault(held.head.project, deque()).append(held)
        self._plan_pump()

    def pause(self) -> None:
        """The queues ahead are full: read no outcome, so that callbacks wait in their emit."""
        if not self._paused:
            self._paused = True
            for worker in self._workers.values():
                worker.pause()

    def resume(self) -> None:
        """There is room again."""
        if self._paused:
            self._paused = False
            for worker in self._workers.values():
                worker.resume()
            self._plan_pump()

    def drain(self) -> list[Held]:
        """Starts no task any more and gives up those without a worker. Those waiting in workers will not start."""
        self._draining = True
        back = [held for line in self._backlog.values() for held in line]
        self._backlog.clear()
        for worker in self._workers.values():
            running = worker.board.running
            waiting = [number for number in worker.held if number > running]
            if waiting:
                worker.board.take_back(waiting[0], waiting[-1])
        return back

    def running(self) -> list[Held]:
        """The tasks that workers have."""
        return [held for worker in self._workers.values() for held in worker.held.values()]

    def stats(self) -> dict[str, float]:
        """For the heartbeat."""
        return {
            "workers": float(len(self._workers)),
            "running": float(sum(1 for worker in self._workers.values() if worker.held)),
            "backlog": float(sum(len(line) for line in self._backlog.values())),
        }

    def pids(self) -> list[int]:
        """The zygote's and the workers' process ids."""
        zygote = self._zygote.pid if self._zygote is not None else None
        pids = [worker.pid for worker in self._workers.values() if worker.pid is not None]
        return pids if zygote is None else [zygote, *pids]

    def housekeeping(self) -> None:
        """Replaces workers that are old or large and lets go of those nobody needs. Call it every few seconds."""
        now, settings = self._clock.monotonic(), self._settings
        for worker in list(self._workers.values()):
            slot = worker.slot
            if worker.held or worker.pid is None:
                slot.retiring = slot.retiring or now - slot.since > settings.worker_age
                continue
            if (
                slot.retiring
                or now - max(slot.used, slot.since) > settings.worker_idle
                or now - slot.since > settings.worker_age
                or worker.rss() > settings.worker_rss
            ):
                self._dismiss(worker)

    def imports(self) -> set[str]:
        """Projects whose scripts were imported by scripts that are loaded now."""
        return {project for worker in self._workers.values() for project in worker.imports}

    def imports_are(self, versions: Mapping[str, str | None]) -> None:
        """Replaces the workers that imported another version of one of these projects [P04]."""
        for worker in list(self._workers.values()):
            if any(project in versions and versions[project] != version for project, version in worker.imports.items()):
                worker.slot.retiring = True
                if not worker.held:
                    self._dismiss(worker)

    async def close(self) -> None:
        """Kills all workers and the zygote."""
        self._closing = True
        if self._watch is not None:
            self._watch.cancel()
        if self._restart is not None:
            self._restart.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._restart
        if self._zygote is not None:
            await self._zygote.close()
            self._zygote = None
        for worker in list(self._workers.values()):
            worker.close()
        self._workers.clear()
        self._by_slot.clear()

    # Giving tasks to workers.

    def _plan_pump(self) -> None:
        if not self._pump_planned:
            self._pump_planned = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Gives away what can be given, project by project in turn."""
        self._pump_planned = False
        if self._closing or self._draining or self._paused:
            return
        now = self._clock.monotonic()
        touched: set[WorkerHandle] = set()
        for project in list(self._backlog):
            line = self._backlog[project]
            while line and self._give_first(project, line, now, touched):
                pass
            if not line:
                del self._backlog[project]
            else:
                self._backlog[project] = self._backlog.pop(project)  # the others come first the next time
        for worker in touched:
            worker.flush()
        self._plan_watch()

    def _give_first(self, project: str, line: deque[Held], now: float, touched: set[WorkerHandle]) -> bool:
        held = line[0]
        slots = [worker.slot for worker in self._by_slot.values()]
        decision = place(project, held.head.script, len(held.body), slots, self._limits, now, now >= self._may_open_at)
        if isinstance(decision, Give):
            worker = self._by_slot[id(decision.slot)]
            line.popleft()
            self._give(worker, held, now)
            touched.add(worker)
            return True
        if isinstance(decision, Open):
            if decision.instead_of is not None:
                self._dismiss(self._by_slot[id(decision.instead_of)])
            return self._open(project, now)
        if isinstance(decision, Retire):
            decision.slot.retiring = True
            worker = self._by_slot[id(decision.slot)]
            if not worker.held:
                self._dismiss(worker)
                return True
        return False

    def _give(self, worker: WorkerHandle, held: Held, now: float) -> None:
        slot, version = worker.slot, held.head.script
        if version not in slot.scripts:
            slot.scripts.add(version)
            script = Script(held.head.project, version, held.script, self._events.about(held.head.project))
            worker.send(frames.SCRIPT, 0, msgspec.msgpack.encode(script))
        settings = self._events.settings_of(held.head.project)
        if settings != slot.settings:
            slot.settings = settings
            worker.send(frames.SETTINGS, 0, settings)
        self._numbers += 1
        held.given = now
        worker.held[self._numbers] = held
        slot.used = now
        slot.waiting += 1
        slot.waiting_bytes += len(held.body)
        worker.send(frames.TASK, self._numbers, held.body)

    def _open(self, project: str, now: float) -> bool:
        """Asks the zygote for a worker. Tasks may be given to it at once."""
        if self._zygote is None:
            return False
        ours, theirs = socket.socketpair()
        for sock in (ours, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        ours.setblocking(False)
        memory = create_memory()
        self._workers_made += 1
        worker = WorkerHandle(self._workers_made, Slot(project, now), ours, Board(memory))
        asked = self._zygote.fork(worker.number, self._config, [theirs.fileno(), memory])
        theirs.close()
        os.close(memory)
        if not asked:
            worker.close()
            self._back_off()
            return False
        self._workers[worker.number] = worker
        self._by_slot[id(worker.slot)] = worker
        worker.listen(self._frame, self._hung_up)
        if self._paused:
            worker.pause()
        return True

    def _dismiss(self, worker: WorkerHandle) -> None:
        """Ends a worker that has nothing to do. It is no slot any more."""
        worker.slot.retiring = True
        worker.killed = worker.killed or "dismissed"
        self._by_slot.pop(id(worker.slot), None)
        worker.kill()

    def _back_off(self) -> None:
        self._may_open_at = self._clock.monotonic() + self._pause
        asyncio.get_running_loop().call_later(self._pause, self._plan_pump)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    # What comes from workers.

    def _frame(self, worker: WorkerHandle, frame: frames.Frame) -> None:
        kind, number, payload = frame
        held = worker.held.get(number)
        if kind not in frames.KINDS_UP:
            raise BadMessage(f"frame of kind {kind}")
        if kind == frames.GOODBYE:
            log.debug("worker %s of %s goes: %s", worker.pid, worker.slot.project, payload.decode("utf-8", "replace"))
            worker.slot.retiring = True
        elif held is None:
            pass  # the task was taken back
        elif kind == frames.SKIPPED:
            self._requeue(worker, [number])
        elif kind == frames.IMPORTED:
            worker.imports.update(_decode(payload, dict[str, str]))
        elif kind == frames.LOGS:
            self._events.said(held, _decode(payload, list[Said]))
        elif kind == frames.ASK:
            self._events.asked(worker, held, *_decode(payload, tuple[str, str]))
        elif kind == frames.BAD_TASK:
            self._end(worker, number, held)
            self._events.bad_task(held, payload.decode("utf-8", "replace"))
        else:
            held.parts += 1
            if kind & frames.IS_LAST:
                self._end(worker, number, held)
            self._events.part(held, kind, payload)

    def _end(self, worker: WorkerHandle, number: int, held: Held) -> None:
        now = self._clock.monotonic()
        del worker.held[number]
        slot = worker.slot
        slot.ended(len(held.body))
        worker.learn()
        worker.last_end = slot.used = now
        slot.slow = False
        self._pause = FIRST_PAUSE
        if slot.tasks >= self._settings.worker_tasks or (worker.nice and not worker.restore_nice()):
            slot.retiring = True
        if slot.retiring and not worker.held:
            self._dismiss(worker)
        if self._backlog and slot.waiting <= depth_of(slot, self._limits.depth) // 2:
            self._plan_pump()  # many tasks by one write, not each by its own
        self._events.room()

    def _requeue(self, worker: WorkerHandle, numbers: list[int]) -> None:
        """Tasks that wait in a worker go back to the front of their project's line."""
        back = [held for number in numbers if (held := worker.held.pop(number, None)) is not None]
        for held in back:
            worker.slot.waiting -= 1
            worker.slot.waiting_bytes -= len(held.body)
        if back:
            self._backlog.setdefault(worker.slot.project, deque()).extendleft(reversed(back))
            self._plan_pump()

    def _hung_up(self, worker: WorkerHandle) -> None:
        """Its end is closed: it is dead or dying; the zygote will say how. What is left of it has to go."""
        worker.slot.retiring = True
        asyncio.get_running_loop().call_later(HUNG_UP, worker.kill)  # usually it is dead by then

    # What comes from the zygote.

    def forked(self, worker: int, pid: int) -> None:
        handle = self._workers.get(worker)
        if handle is None:
            return
        handle.pid = pid
        if handle.killed or handle.hung_up:
            handle.kill()

    def not_forked(self, worker: int, problem: str) -> None:
        log.warning("no new worker: %s", problem)
        self._back_off()
        self._bury(worker, None)

    def exited(self, worker: int, status: int) -> None:
        self._bury(worker, status)

    def zygote_gone(self) -> None:
        self._zygote = None
        if self._closing:
            return
        log.warning("the zygote is gone; starting another one")
        for worker in list(self._workers.values()):
            worker.killed = worker.killed or "zygote"
            worker.kill()
            self._bury(worker.number, None)
        self._restart = asyncio.get_running_loop().create_task(self._start_again())

    async def _start_again(self) -> None:
        while not self._closing:
            try:
                await self.start()
            except (CrawlkitError, OSError) as error:
                log.error("%s", error)
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * 2, LONGEST_PAUSE)
            else:
                self._plan_pump()
                return

    def _bury(self, number: int, status: int | None) -> None:
        """A worker is dead: the task that ran in it is charged, the others go to other workers."""
        worker = self._workers.pop(number, None)
        if worker is None:
            return
        self._by_slot.pop(id(worker.slot), None)
        worker.pid = None  # its number may be somebody else's by now
        worker.read_rest()
        now = self._clock.monotonic()
        running, seconds = worker.board.running, worker.board.own_time(now)
        charged = worker.held.pop(running, None)
        rest = list(worker.held.values())
        worker.held.clear()
        died_young = worker.slot.tasks == 0 and charged is None and worker.killed is None
        where = where_it_was(worker.board.last_words())
        worker.close()
        if charged is not None:
            if worker.killed == "zygote" and not charged.parts:
                rest.insert(0, charged)  # not its fault, and nothing of it was seen yet
            else:
                self._charge(charged, worker.killed, status, seconds, where)
        if died_young:
            self._back_off()
            for held in [held for held in rest if held.moves >= MAX_MOVES]:
                rest.remove(held)
                self._events.failed(held, "worker_died", f"{MAX_MOVES} workers died before they ran it", 0.0)
            for held in rest:
                held.moves += 1
        if rest:
            self._backlog.setdefault(worker.slot.project, deque()).extendleft(reversed(rest))
        self._plan_pump()

    def _charge(self, held: Held, killed: str | None, status: int | None, seconds: float, where: str | None) -> None:
        if killed == "time_limit":
            limit = held.head.time_limit or self._settings.process_time_limit
            text = f"the callback ran {seconds:.1f} s, over its limit of {limit:g} s, and did not stop: killed"
            self._events.failed(held, "time_limit", text, seconds, where)
        else:
            text = f"the worker process died while it ran this callback: {how_it_died(status)}"
            self._events.failed(held, "worker_died", text, seconds, where)

    # The watch.

    def _plan_watch(self) -> None:
        if self._watch is None and not self._closing and any(worker.held for worker in self._workers.values()):
            self._watch = asyncio.get_running_loop().call_later(WATCH, self._look)

    def _look(self) -> None:
        """Looks at every running callback's own time."""
        self._watch = None
        now = self._clock.monotonic()
        for worker in self._workers.values():
            if worker.held and worker.pid is not None and not worker.killed:
                self._obey(worker, judge(self._look_at(worker, now), self._settings))
        if self._backlog:
            self._plan_pump()
        self._plan_watch()

    def _look_at(self, worker: WorkerHandle, now: float) -> Look:
        spent = worker.board.own_time(now)
        worker.slot.took = max(worker.slot.took, spent)  # a slow task: give it no more than it can do
        held = worker.held.get(worker.board.running)
        still = now - max(next(iter(worker.held.values())).given, worker.last_end)
        limit = held.head.time_limit if held is not None else 0.0
        return Look(spent, limit, len(worker.held), still, worker.nice, not self._paused)

    def _obey(self, worker: WorkerHandle, orders: Order) -> None:
        if Order.MAKE_NICER in orders:
            worker.make_nicer()
            worker.slot.slow = True
        if Order.ASK_WHERE in orders:
            worker.ask_where()
        if Order.TAKE_BACK in orders:
            self._take_back_from(worker)
        if orders & (Order.KILL | Order.KILL_STUCK):
            worker.killed = "time_limit" if Order.KILL in orders else "stuck"
            worker.slot.retiring = True
            worker.kill()

    def _take_back_from(self, worker: WorkerHandle) -> None:
        """Its callback takes long: what waits behind it may go to another worker.

        First the board says so; only when the same callback still runs at the next look is it sure that the worker
        has seen it. Otherwise the worker itself says which tasks it skipped.
        """
        running = worker.board.running
        waiting = [number for number in worker.held if number > running]
        if worker.taking_back is None or worker.taking_back[0] != running:
            if waiting:
                worker.board.take_back(waiting[0], waiting[-1])
                worker.taking_back = (running, waiting)
        else:
            self._requeue(worker, worker.taking_back[1])
