"""What people and other processes may ask of a running scheduler: tasks, orders, messages, figures.

Everything that changes something is put to the next turn and answered when that is committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from crawlkit.libs.clock import Clock
from crawlkit.libs.errors import InvalidTask, StoreUnavailable
from crawlkit.libs.task import (
    MAX_URL,
    Fetch,
    JSONDict,
    Process,
    Schedule,
    Task,
    check_project_name,
    check_size,
    check_task,
    task_from_dict,
)
from crawlkit.scheduler.actions import AT_ONCE, BULK
from crawlkit.scheduler.engine import Engine
from crawlkit.scheduler.kinds import command
from crawlkit.scheduler.onlookers import OverviewCache, count_order, questions, shown
from crawlkit.scheduler.turn import Inbox, Order, Submission, Verdict
from crawlkit.scheduler.why import Moment

BACKLOG = 2_000  # messages held undecided before reading stops
SUBMIT_CHUNK = 1_000
TASK_KINDS = ("cancel", "rerun")


class Desk:
    """Takes what is asked into the inbox of the next turn. All methods belong to one event loop."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine = engine
        self.clock = clock
        self._inbox = Inbox()
        self._tickets: dict[int, asyncio.Future[Verdict]] = {}
        self._next_ticket = 0
        self._wake = asyncio.Event()
        self._room_to_read = asyncio.Event()
        self._room_to_read.set()
        self._submitting = 0
        self._thread = ThreadPoolExecutor(1, "scheduler-store")
        self._overview = OverviewCache(engine, clock, self._thread)
        self._turned = asyncio.Event()

    async def _in_thread(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    def _note_input(self) -> None:
        if len(self._inbox.status) + len(self._inbox.submissions) > BACKLOG:
            self._room_to_read.clear()
        self._wake.set()

    def _answer(self, verdicts: Sequence[tuple[int, Verdict]]) -> None:
        for number, verdict in verdicts:
            ticket = self._tickets.pop(number, None)
            if ticket is not None and not ticket.done():
                ticket.set_result(verdict)

    def _give_up(self) -> None:
        """Nobody will be answered any more."""
        for ticket in self._tickets.values():
            if not ticket.done():
                ticket.set_exception(StoreUnavailable("the scheduler was stopped before it could answer"))
        self._tickets.clear()

    async def submit(self, tasks: Sequence[JSONDict]) -> list[JSONDict]:
        """Admits tasks given as dicts; returns one verdict each, in order, after they are committed."""
        answers: list[JSONDict] = []
        self._submitting += 1
        try:
            for start in range(0, len(tasks), SUBMIT_CHUNK):
                answers += await self._submit_chunk(tasks[start : start + SUBMIT_CHUNK])
        finally:
            self._submitting -= 1
            self._wake.set()
        return answers

    async def _submit_chunk(self, chunk: Sequence[JSONDict]) -> list[JSONDict]:
        waiting: list[asyncio.Future[Verdict] | Verdict] = []
        for value in chunk:
            try:
                task = task_from_dict(value)
            except InvalidTask as error:
                taskid = value.get("taskid") if isinstance(value, dict) else None
                waiting.append(Verdict(str(taskid or ""), False, "refused", str(error)))
                continue
            waiting.append(self._ticket(task))
        self._note_input()
        return [msgspec.to_builtins(_as_dict(one if isinstance(one, Verdict) else await one)) for one in waiting]

    def _ticket(self, task: Task, source: str = "submit") -> asyncio.Future[Verdict]:
        number, future = self._new_ticket()
        self._inbox.submissions.append(Submission(task, source, number))
        return future

    def _new_ticket(self) -> tuple[int, asyncio.Future[Verdict]]:
        self._next_ticket += 1
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._tickets[self._next_ticket] = future
        return self._next_ticket, future

    async def run_project(self, name: str) -> JSONDict:
        """Runs ``on_start`` once more, as the Run button does [W34]."""
        check_project_name(name)
        self.update_project()
        ticket = self._ticket(command(name, "on_start"), "on_start")
        self._note_input()
        return _as_dict(await ticket)

    async def order(self, project: str, kind: str, reason: str | None = None) -> JSONDict:
        """Does something to a whole project: see :mod:`crawlkit.scheduler.actions`. Answers when it is accepted.

        ``kind``: clear, restart, retry_failed (``reason``: only what failed with it), pause or resume. Raises
        ``ValueError`` for another one.
        """
        kinds = (*BULK, *AT_ONCE)
        if kind not in kinds:
            raise ValueError(f"action {kind!r}: use one of {', '.join(kinds)}")
        check_project_name(project)
        self.engine.projects_changed = True  # it may have been put a moment ago
        return (await self._ordered([Order(project, kind, 0, reason=reason)]))[0]

    async def order_tasks(self, project: str, kind: str, taskids: Sequence[str]) -> list[JSONDict]:
        """Cancels tasks, or runs them again (``kind``: cancel, rerun); one verdict each, in order, committed."""
        if kind not in TASK_KINDS or len(taskids) > SUBMIT_CHUNK:
            raise ValueError(f"{kind} {len(taskids)} tasks: use {' or '.join(TASK_KINDS)}, and {SUBMIT_CHUNK} at most")
        return await self._ordered([Order(project, kind, 0, str(taskid)) for taskid in taskids])

    async def _ordered(self, orders: Sequence[Order]) -> list[JSONDict]:
        waiting = []
        for order in orders:
            order.ticket, future = self._new_ticket()
            waiting.append(future)
        self._inbox.orders += orders
        self._wake.set()
        answers = [_as_dict(await future) for future in waiting]
        self._overview.forget()
        return answers

    async def count_order(self, project: str, kind: str, reason: str | None = None) -> JSONDict:
        """How many tasks an order, or ``drop``, would touch."""
        seen = self.summary()["projects"].get(project, {})
        return await count_order(self.engine.taskdb, seen, project, kind, reason)

    async def why(self, project: str | None, which: str) -> list[JSONDict]:
        """Why a URL (or taskid) was crawled or not, and when it is next, one answer a project: scheduler.why.

        Without ``project`` those that know it answer, or all of them. The stores are asked beside the turns' thread.
        """
        if not which or len(which) > MAX_URL:
            raise ValueError(f"why: say a URL of 1 to {MAX_URL:,} characters")
        if project is not None:
            check_project_name(project)
        names = [project] if project is not None else await asyncio.to_thread(self.engine.projectdb.names)
        asked = await asyncio.to_thread(questions, self.engine.taskdb, names, which)
        moment = Moment(self.clock.time(), self.clock.monotonic())
        return [msgspec.structs.asdict(one) for one in shown(await self._in_thread(self.engine.why, asked, moment))]

    async def send_message(self, project: str, message: Any) -> JSONDict:
        """Sends ``message`` (JSON-able) to ``on_message`` of a project; the sender is ``__command__`` [C42]."""
        number = f"{self.clock.time()!r}:{self._next_ticket}"
        task = Task(
            project=project,
            taskid=f"message:{number}"[:64],
            url="data:,on_message",
            schedule=Schedule(priority=9),
            fetch=Fetch(save=["__command__", message]),
            process=Process(callback="_on_message"),
        )
        check_task(task)
        check_size(task)
        ticket = self._ticket(task, "message")
        self._note_input()
        return _as_dict(await ticket)

    async def drop_project(self, name: str) -> None:
        """Removes a project with its tasks, results and counters."""
        await self._in_thread(self.engine.drop, name)
        self.update_project()

    def update_project(self) -> None:
        """The projectdb changed: look now."""
        self.engine.projects_changed = True
        self._wake.set()

    def summary(self) -> dict[str, Any]:
        """The newest snapshot of projects, queues in memory and nodes."""
        return self.engine.snapshot

    async def turned(self) -> None:
        """Waits for the end of the next turn."""
        self._turned.clear()
        await self._turned.wait()

    async def dashboard(self) -> msgspec.Raw:
        """How all projects stand, as JSON, a second old at most: see :meth:`Engine.overview`."""
        return await self._overview.get()

    async def counters(self, window: str) -> dict[str, Any]:
        """Sums per project and event over ``5m``, ``1h``, ``1d`` or ``all`` [S65]; ``5m_time`` are averages."""
        now = self.clock.time()
        counters = self.engine.state.counters
        if window == "5m_time":
            return dict(await self._in_thread(counters.avg, now))
        return dict(await self._in_thread(counters.sum, window, now))

    async def next_ticks(self, project: str, n: int = 5) -> list[tuple[float, str]]:
        """The next ``n`` instants (Unix time, method) at which a project's crons fire."""
        return list(await self._in_thread(self.engine.next_ticks, project, self.clock.time(), n))

    async def hosts(self, project: str | None = None, limit: int = 100) -> list[JSONDict]:
        """The hosts that may not be asked now, with why and until when: see :func:`scheduler.politeness.look`."""
        now, mono = self.clock.time(), self.clock.monotonic()
        return list(await self._in_thread(self.engine.hosts, now, mono, limit, project))

    async def active_tasks(self, project: str | None = None, limit: int = 100) -> list[Any]:
        """The newest entries of the ring of recent tasks [S67]."""
        return list(await self._in_thread(self.engine.recent, project, limit))


def _as_dict(verdict: Verdict) -> JSONDict:
    return {
        "taskid": verdict.taskid,
        "accepted": verdict.accepted,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
    }
