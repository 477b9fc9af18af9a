"""Several engines on one store, under a clock that moves when told, with a ring that answers late, or never.

Everybody can be killed, stand still, and be wrong about the time of day.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from crawlkit.database.base import TaskStore
from crawlkit.database.memory import MemoryProjectStore
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.errors import NotOwner, Overspent
from crawlkit.libs.messages import INFO, RESUME, Dispatch, Outcome, ProjectInfo, StatusMessage
from crawlkit.libs.rows import ProjectRow
from crawlkit.scheduler.books import compare
from crawlkit.scheduler.engine import Engine
from crawlkit.scheduler.membership import Membership
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.turn import Inbox, Order, Submission, Verdict
from tests.scheduler.rig import info_of

BEAT = 1.0


class Shifted:
    """A clock of a machine whose time of day is wrong."""

    def __init__(self, clock: ManualClock, shift: float) -> None:
        self.clock = clock
        self.shift = shift

    def time(self) -> float:
        return self.clock.now + self.shift

    def monotonic(self) -> float:
        return self.clock.now


@dataclass
class Process:
    """One scheduler."""

    name: str
    store: TaskStore
    engine: Engine
    member: Membership
    clock: Shifted
    beat_at: float = 0.0
    frozen_until: float = 0.0
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    submissions: list[Submission] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)


class Cluster:
    """``open_store`` opens one more store on the same rows."""

    def __init__(
        self,
        open_store: Callable[[], TaskStore],
        clock: ManualClock,
        *,
        partitions: int = 4,
        seed: int = 0,
        settings: Callable[[], EngineSettings] = EngineSettings,
        info: ProjectInfo | None = None,
        answer: Callable[[Dispatch], list[Outcome]] | None = None,
    ) -> None:
        self.clock = clock
        self.open_store = open_store
        self.store = open_store()
        self.projectdb = MemoryProjectStore(clock)
        self.partitions = partitions
        self.random = random.Random(seed)
        self.settings = settings
        self.info = info or ProjectInfo(has_on_finished=True)
        self.answer = answer
        self.processes: list[Process] = []
        self.queues: dict[int, list[StatusMessage]] = {part: [] for part in range(partitions)}
        self.ring: list[tuple[float, Dispatch, list[Any]]] = []  # when the answer comes, to what, what it was given
        self.sent: list[tuple[float, Dispatch]] = []
        self.resumed: list[tuple[Dispatch, list[Any]]] = []
        self.born = 0
        self.refused = 0  # commits of those who had lost something
        self.lateness = 1.0  # seconds until an answer, at most
        self.watching: dict[tuple[str, str], tuple[Dispatch, float]] = {}

    # -- processes ---------------------------------------------------------------------------------------------------

    def start(self, shift: float = 0.0) -> Process:
        self.born += 1
        name = f"s{self.born}"
        store = self.open_store()
        settings = self.settings()
        settings.partitions = self.partitions
        clock = Shifted(self.clock, shift)
        member = Membership(store, clock, self.partitions, node=name)
        process = Process(name, store, Engine(store, self.projectdb, settings), member, clock)
        self.processes.append(process)
        return process

    def kill(self, process: Process) -> None:
        """Nothing is given back, nobody is told."""
        self.processes.remove(process)

    def freeze(self, process: Process, seconds: float) -> None:
        process.frozen_until = self.clock.now + seconds

    # -- time --------------------------------------------------------------------------------------------------------

    def step(self, seconds: float = 0.2) -> None:
        """Some time passes, answers come, and everybody has a turn."""
        self.clock.advance(seconds)
        self._answers()
        line = [process for process in self.processes if process.frozen_until <= self.clock.now]
        self.random.shuffle(line)
        for process in line:
            if self.clock.now >= process.beat_at:
                self.beat(process)
            self.turn(process)

    def beat(self, process: Process) -> None:
        process.beat_at = self.clock.now + BEAT
        look = process.member.look()
        move = process.member.decide(look)
        process.engine.own(process.member.carry_out(look, move))
        if look.lost:
            process.engine.forget()

    def turn(self, process: Process, *, dies: str = "") -> None:
        """``dies``: before what it decided is sent, or before what it took is acknowledged."""
        mine = process.member.mine
        taken: list[tuple[int, StatusMessage]] = []
        for part in mine:
            taken += [(part, message) for message in self.queues[part]]
            self.queues[part] = []
        inbox = Inbox([message for _, message in taken], process.submissions, 100, orders=process.orders)
        try:
            outbox = process.engine.turn(process.clock.time(), inbox, process.clock.monotonic())
        except (NotOwner, Overspent) as error:
            self.refused += isinstance(error, NotOwner)
            for part, message in taken:
                self.queues[part].append(message)
            self.beat(process)
            return
        process.submissions, process.orders = [], []
        process.verdicts |= dict(outbox.verdicts)
        if dies == "ack":
            for part, message in taken:
                self.queues[part].append(message)
        if dies != "send":
            for dispatch in outbox.dispatches:
                self._send(dispatch, [])
            for fetched in outbox.resumes:
                self._send(fetched.task, fetched.recorded)
        if dies:
            self.kill(process)

    # -- the ring ----------------------------------------------------------------------------------------------------

    def _send(self, dispatch: Dispatch, recorded: list[Any]) -> None:
        now = self.clock.now
        if dispatch.kind != INFO:
            self.sent.append((now, dispatch))
            self._watch(dispatch)
        self.ring.append((now + self.random.random() * self.lateness, dispatch, recorded))

    def _watch(self, dispatch: Dispatch) -> None:
        """No task is sent again while another attempt at it may still be out."""
        key = (dispatch.project, dispatch.taskid)
        if dispatch.kind != RESUME and key in self.watching:
            held, until = self.watching[key]
            assert self.clock.now >= until, f"{key} was sent again {until - self.clock.now} s too early"
            assert (dispatch.run, dispatch.attempt) > (held.run, held.attempt)
        self.watching[key] = (dispatch, self.clock.now + self.settings().lease)

    def _answers(self) -> None:
        due = [one for one in self.ring if one[0] <= self.clock.now]
        self.ring = [one for one in self.ring if one[0] > self.clock.now]
        for _, dispatch, recorded in due:
            if dispatch.kind == INFO:
                answers = [info_of(dispatch, self.info)]
            else:
                answers = self._answer(dispatch, recorded)
                self.watching.pop((dispatch.project, dispatch.taskid), None)
            for answer in answers:
                answer.partition = dispatch.partition
                self.queues[dispatch.partition].append(answer)

    def _answer(self, dispatch: Dispatch, recorded: list[Any]) -> list[Outcome]:
        assert self.answer is not None
        if dispatch.kind == RESUME:
            self.resumed.append((dispatch, recorded))
        return self.answer(dispatch)

    # -- people ------------------------------------------------------------------------------------------------------

    def project(self, name: str = "p", **fields: Any) -> None:
        said: dict[str, Any] = {"script": "# 1", "rate_set": True, "status": "RUNNING", "rate": None} | fields
        self.projectdb.put(ProjectRow(name, **said))
        for process in self.processes:
            process.engine.projects_changed = True

    def submit(self, process: Process, *submissions: Submission) -> None:
        process.submissions += submissions

    def until(self, condition: Callable[[], Any], seconds: float = 600.0) -> None:
        end = self.clock.now + seconds
        while not condition():
            assert self.clock.now < end, f"did not come: {self.status()}"
            self.step()

    def status(self) -> dict[str, Any]:
        return {
            "ledger": self.store.ledger(),
            "leases": self.store.leases(),
            "mail": self.store.mail(range(self.partitions), 9),
            "owners": self.store.owners(),
            "ring": len(self.ring),
        }

    def shared(self) -> bool:
        """Whether each has its share."""
        sizes = [len(process.member.mine) for process in self.processes]
        return sum(sizes) == self.partitions and max(sizes) - min(sizes) <= 1

    def drained(self) -> bool:
        return self.store.state_of("", "drained") == "1"

    # -- what must hold ----------------------------------------------------------------------------------------------

    def check_books(self) -> None:
        ledger = self.store.ledger()
        for name in self.store.projects():
            report = compare(name, ledger, self.store.books(name))
            assert report.balanced, report

    def check_rate(self, rate: float, burst: float, project: str = "p") -> None:
        pages = [(when, d) for when, d in self.sent if d.url.startswith("http")]
        times = [when for when, dispatch in pages if dispatch.project == project]
        for first in range(len(times)):
            for last in range(first, len(times)):
                assert last - first + 1 <= burst + rate * (times[last] - times[first]) + 1e-5

    def count(self, url: str, project: str = "p") -> int:
        return sum(dispatch.url == url and dispatch.project == project for _, dispatch in self.sent)

    def urls(self) -> Counter[str]:
        return Counter(dispatch.url for _, dispatch in self.sent)
