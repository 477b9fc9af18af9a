"""One turn of the scheduler: what it reads, and the one transaction and the messages it ends in.

A row changed several times within a turn is written once, in its last form.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from crawlkit.libs.messages import Dispatch, Fetched, Follow, StatusMessage
from crawlkit.libs.rows import Key, Progress, TaskRow, Writes
from crawlkit.libs.task import Task
from crawlkit.scheduler.host_gate import Block


class Change(enum.IntEnum):
    """How a row reaches the store; the larger one wins."""

    PROGRESS = 1
    REPLACE = 2
    INSERT = 3


@dataclass
class Submission:
    """A task that asks to be admitted."""

    task: Task
    source: str = "submit"  # submit, follow, message, tick, on_start, on_finished, auto_recrawl
    ticket: int | None = None  # where the sender waits for the verdict
    asked: str = ""  # await: the route of the callback that waits, see State.partition
    by_mail: bool = False  # another scheduler took it on


@dataclass
class Order:
    """What somebody wants done to a project, or to one task of it: see scheduler.actions."""

    project: str
    kind: str  # clear, restart, retry_failed, pause, resume; cancel and rerun for a task
    ticket: int | None  # where the sender waits for the verdict
    taskid: str = ""
    reason: str | None = None  # retry_failed: only tasks that failed with it


@dataclass
class Inbox:
    """What arrived since the last turn."""

    status: list[StatusMessage] = field(default_factory=list)
    submissions: list[Submission] = field(default_factory=list)
    room: int = 0  # tasks that may be sent
    queues_busy: bool = False  # some queue of the ring holds messages
    queues_waiting: bool = True  # ... some that nobody has in hand
    newtasks_waiting: bool = False  # submissions are still on their way
    orders: list[Order] = field(default_factory=list)


@dataclass
class Verdict:
    """The answer to a submission."""

    taskid: str
    accepted: bool  # False: refused
    verdict: str  # new, restart, update, postpone, cancel, ignore, nothing, refused
    reason: str


@dataclass
class Failure:
    """A try that failed, for the log."""

    project: str
    url: str
    reason: str
    again: float | None  # seconds until the next try; None: for good
    text: str  # the exception
    taskid: str = ""
    tries: str = ""  # which of how many the next try is; "": they go on for ever, or there is none


@dataclass
class NodeChange:
    """A node that died, or came back, for the log."""

    node: str
    role: str
    host: str
    what: str  # dead, back
    leases: int = 0  # those that it gave back


@dataclass
class Outbox:
    """What a turn ended in, durable by now."""

    dispatches: list[Dispatch] = field(default_factory=list)
    verdicts: list[tuple[int, Verdict]] = field(default_factory=list)
    wake: float = 0.0  # seconds until the next turn is due without a message
    resumes: list[Fetched] = field(default_factory=list)  # go to a processor without a fetch
    blobs: list[str] = field(default_factory=list)  # nobody needs them any more
    failures: list[Failure] = field(default_factory=list)
    pauses: list[tuple[str, str]] = field(default_factory=list)  # (project, its new state)
    nodes: list[NodeChange] = field(default_factory=list)
    holds: list[tuple[str, Block]] = field(default_factory=list)  # hosts that asked to be left alone, and how
    let_go: int = 0  # hosts that are left alone no longer although their time is not over, for there are too many
    no_browser: list[str] = field(default_factory=list)  # projects whose auto tasks go on without one


class Turn:
    """The rows touched so far, and the writes they will become."""

    def __init__(self, now: float, mono: float, inbox: Inbox) -> None:
        self.now = now
        self.mono = mono
        self.inbox = inbox
        self.writes = Writes()
        self.outbox = Outbox()
        self.rows: dict[Key, TaskRow] = {}
        self.changes: dict[Key, Change] = {}
        self.first: set[Key] = set()  # of the new ones those that others may take on at the same moment
        self.submissions: list[Submission] = list(inbox.submissions)
        # plain follow-ups that may be known to the store: (how many submissions came before, project, follow-up)
        self.unsure: list[tuple[int, str, Follow]] = []
        self.ended_ticks: list[tuple[str, str, str]] = []  # (project, method, taskid)
        self.events: dict[tuple[str, str], int] = {}  # (project, event of libs.counters) -> how many
        self.observed: dict[tuple[str, str], list[float]] = {}  # (project, name) -> sum of the values, how many
        self.answered: list[str] = []  # projects whose handler told its settings in this turn

    def change(self, row: TaskRow, how: Change) -> None:
        """``row`` is the newest form of its task."""
        key = (row.project, row.taskid)
        self.rows[key] = row
        if self.changes.get(key, 0) < how:
            self.changes[key] = how

    def event(self, project: str, name: str) -> None:
        """Something to be counted over the windows of [S65]."""
        key = (project, name)
        self.events[key] = self.events.get(key, 0) + 1

    def observe(self, project: str, name: str, value: float) -> None:
        """A measured value, to be averaged over five minutes [S65]."""
        known = self.observed.get((project, name))
        if known is None:
            known = self.observed[project, name] = [0.0, 0]
        known[0] += value
        known[1] += 1

    def remove(self, row: TaskRow) -> None:
        """The task goes; a row that was new in this turn never reaches the store."""
        key = (row.project, row.taskid)
        self.rows.pop(key, None)
        if self.changes.pop(key, None) is not Change.INSERT:
            self.writes.remove.append(key)

    def finish(self) -> Writes:
        """The transaction of this turn."""
        writes = self.writes
        for key, how in self.changes.items():
            row = self.rows[key]
            if how is Change.INSERT:
                writes.insert.append(row)
                if key in self.first:
                    writes.first.append(row)
            elif how is Change.REPLACE:
                writes.replace.append(row)
            else:
                writes.progress.append(progress_of(row))
        return writes


def progress_of(row: TaskRow) -> Progress:
    """The changing fields of a row."""
    return Progress(
        row.project, row.taskid, row.status, row.queue, row.rank, row.seq, row.run, row.attempt, row.retried, row.lost,
        row.save, row.etag, row.last_modified, row.results, row.lastcrawltime, row.updatetime,
    )  # fmt: skip
