"""An engine on stores in memory, under a clock that moves when told, with a ring that answers as the test says."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from crawlkit.database.memory import MemoryProjectStore, MemoryTaskStore
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.host_limits import HostLimits, Limits
from crawlkit.libs.messages import INFO, Dispatch, ProjectInfo, StatusMessage
from crawlkit.libs.rows import ProjectRow, TaskRow
from crawlkit.libs.task import Task
from crawlkit.scheduler.books import compare
from crawlkit.scheduler.engine import Engine
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.turn import Inbox, Order, Outbox, Submission, Verdict
from tests.scheduler.rig import info_of, outcome_of


class Play:
    """The engine, what it sent and has no answer to yet (:attr:`out`), and everything it ever sent (:attr:`sent`).

    Hosts have no limits but those that are named, unless it is ``polite``. Questions for a handler's settings are
    answered by :attr:`info`, unless that is ``None``: then they wait in ``out``.
    """

    def __init__(
        self, settings: EngineSettings | None = None, info: ProjectInfo | None = None, *, polite: bool = False
    ) -> None:
        self.clock = ManualClock(1_700_000_000.0)
        self.taskdb = MemoryTaskStore()
        self.projectdb = MemoryProjectStore(self.clock)
        self.settings = settings or EngineSettings()
        if not polite and self.settings.host_limits == HostLimits():
            self.settings.host_limits = HostLimits(Limits(concurrency=math.inf))
        self.info: ProjectInfo | None = info or ProjectInfo(has_on_finished=True)
        self.out: list[Dispatch] = []
        self.sent: list[tuple[float, Dispatch]] = []
        self.wake = 0.0
        self.shift = 0.0  # how much the date is ahead of the clock that never goes back
        self.start()

    @property
    def now(self) -> float:
        """The date, which may be set back and forth by :attr:`shift`."""
        return self.clock.now + self.shift

    def start(self) -> None:
        """A new engine on the same stores, as after a crash."""
        self.engine = Engine(self.taskdb, self.projectdb, self.settings)
        if self.settings.partitions > 1:
            self.engine.own(frozenset(range(self.settings.partitions)))

    def project(self, name: str = "p", status: str = "RUNNING", rate: float | None = None, **fields: Any) -> None:
        """Saves a project that nothing slows down unless told so."""
        fields = {"script": "# 1", "rate_set": True} | fields
        self.projectdb.put(ProjectRow(name, status=status, rate=rate, **fields))
        self.engine.projects_changed = True

    def turn(
        self,
        *status: StatusMessage,
        submissions: Sequence[Submission] = (),
        room: int = 1000,
        busy: bool = False,
        orders: Sequence[Order] = (),
    ) -> Outbox:
        """One turn, and as many more as the questions for settings need."""
        inbox = Inbox(list(status), list(submissions), room, busy, orders=list(orders))
        outbox = self.offer(inbox)
        answers: list[StatusMessage] = []
        for dispatch in outbox.dispatches:
            if dispatch.kind == INFO and self.info is not None:
                answers.append(info_of(dispatch, self.info))
            else:
                self.out.append(dispatch)
                self.sent.append((self.clock.now, dispatch))
        self.wake = outbox.wake
        if answers:
            more = self.turn(*answers, room=room, busy=busy)
            outbox.dispatches += more.dispatches
        return outbox

    def offer(self, inbox: Inbox) -> Outbox:
        """Gives an inbox to the engine."""
        return self.engine.turn(self.now, inbox, self.clock.now)

    def submit(self, url: str = "http://h/1", project: str = "p", **parts: Any) -> Verdict:
        """Submits one task, whose id is its URL, and returns the verdict."""
        outbox = self.turn(submissions=[Submission(Task(project, url[-60:], url, **parts), ticket=7)])
        ((ticket, verdict),) = outbox.verdicts
        assert ticket == 7
        return verdict

    def order(self, kind: str, project: str = "p", **said: Any) -> Verdict:
        """Gives one order and makes a turn; returns the verdict."""
        outbox = self.turn(orders=[Order(project, kind, 8, **said)])
        ((ticket, verdict),) = outbox.verdicts
        assert ticket == 8
        return verdict

    def answer(self, ok: bool = True, url: str | None = None, **fields: Any) -> Dispatch:
        """Answers the oldest task that is out (the oldest of ``url``) and makes a turn; returns what was answered."""
        dispatch = next(d for d in self.out if url in (None, d.url))
        self.out.remove(dispatch)
        self.turn(outcome_of(dispatch, ok, **fields))
        return dispatch

    def answer_all(self, ok: bool | Callable[[Dispatch], bool] = True, limit: int = 10_000) -> int:
        """Answers until nothing is out; returns how many there were."""
        count = 0
        while self.out and count < limit:
            self.answer(ok if isinstance(ok, bool) else ok(self.out[0]))
            count += 1
        return count

    def advance(self, seconds: float) -> Outbox:
        """Lets time pass at once, and makes a turn."""
        self.clock.advance(seconds)
        return self.turn()

    def urls(self) -> list[str]:
        """What was sent so far, in order."""
        return [dispatch.url for _, dispatch in self.sent]

    def row(self, url: str = "http://h/1", project: str = "p") -> TaskRow:
        """The stored row of a task."""
        row = self.taskdb.get(project, url[-60:])
        assert row is not None
        return row

    def size(self, project: str = "p") -> int:
        """Tasks that wait or are out."""
        return self.taskdb.books(project).active

    def check_books(self) -> None:
        """Ledger and rows agree, in the store and in memory."""
        ledger = self.taskdb.ledger()
        for name in self.taskdb.projects():
            books = self.taskdb.books(name)
            report = compare(name, ledger, books)
            assert report.balanced, report
            state = self.engine._state
            if state is not None and name in state.projects:
                project = state.projects[name]
                assert (project.active_tasks, project.leased) == (books.active, books.leased), name

    def ledger(self, event: str, reason: str | None = None, project: str = "p") -> int:
        """The sum of the ledger's entries of an event."""
        return sum(
            n
            for (name, what, why), n in self.taskdb.ledger().items()
            if (name, what) == (project, event) and reason in (None, why)
        )
