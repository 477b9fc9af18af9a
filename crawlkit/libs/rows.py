"""The rows of the three databases, as plain data that every floor may speak of.

A row never saves or loads itself; what stores it is behind the doors of ``crawlkit.database``.
"""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass

from msgspec import Struct, field

from crawlkit.libs.task import Fetch, Process, Schedule, Status

Key = tuple[str, str]  # (project, taskid)


class Queue(enum.IntEnum):
    """Where a waiting task stands [S22]. A leased task keeps its place; its lease says that it is out."""

    READY = 1  # rank: minus the priority, then FIFO by seq
    TIME = 2  # rank: the Unix time when it becomes due, then FIFO by seq


class TaskRow(Struct):
    """A row of the taskdb [S20]: what the next crawl needs, and no more."""

    project: str
    taskid: str
    url: str
    host: str = ""
    partition: int = 0
    status: Status = Status.ACTIVE
    queue: Queue | None = None  # None: finished, or never to run again
    rank: float = 0
    seq: int = 0  # FIFO order; grows for ever
    run: int = 1  # crawls of this task, the current one included
    attempt: int = 0  # leases so far within the run
    retried: int = 0  # tries used up within the run
    lost: int = 0  # leases of this run that ended without an answer
    schedule: Schedule = field(default_factory=Schedule)
    fetch: Fetch = field(default_factory=Fetch)
    process: Process = field(default_factory=Process)
    save: str | None = None  # JSON text of self.save
    etag: str | None = None
    last_modified: str | None = None
    results: int = 0  # stored results of the last finished run
    lastcrawltime: float = 0  # 0: never
    updatetime: float = 0


class Progress(Struct):
    """What changes in a task row at each turn of the ring. Every field is written."""

    project: str
    taskid: str
    status: Status
    queue: Queue | None
    rank: float
    seq: int
    run: int
    attempt: int
    retried: int
    lost: int
    save: str | None
    etag: str | None
    last_modified: str | None
    results: int
    lastcrawltime: float
    updatetime: float


class Lease(Struct):
    """A task that was handed out."""

    project: str
    taskid: str
    run: int
    attempt: int
    node: str  # "" until a node said that it holds it
    until: float  # Unix time
    since: float = 0


class AttemptRow(Struct):
    """What came of one attempt: track, logs and headers, kept apart from the task row and for a shorter time."""

    project: str
    taskid: str
    run: int
    attempt: int
    started: float
    ended: float
    ok: bool
    node: str
    script: str
    reason: str  # "" when ok
    fetch: str  # JSON of a TrackFetch
    process: str  # JSON of a TrackProcess


QUEUED = "queued"  # the reason of a tick that waits for the end of an older one, and still comes


class TickRow(Struct):
    """One due instant of one cron. The key (project, method, instant) makes it one run."""

    project: str
    method: str
    instant: float
    taskid: str  # the task it became; "" when it was skipped
    reason: str = ""  # why it was skipped


class NodeRow(Struct):
    """A process that takes part."""

    node: str
    role: str
    host: str
    pid: int
    version: str
    started: float
    seen: float
    stats: str = "{}"  # JSON
    alive: bool = True


@dataclass
class Writes:
    """One transaction on the taskdb: all of it is kept, or nothing."""

    insert: list[TaskRow] = dataclasses.field(default_factory=list)
    replace: list[TaskRow] = dataclasses.field(default_factory=list)  # whole rows that exist
    progress: list[Progress] = dataclasses.field(default_factory=list)
    remove: list[Key] = dataclasses.field(default_factory=list)
    lease: list[Lease] = dataclasses.field(default_factory=list)  # insert or overwrite
    unlease: list[Key] = dataclasses.field(default_factory=list)
    attempts: list[AttemptRow] = dataclasses.field(default_factory=list)  # insert or overwrite
    ticks: list[TickRow] = dataclasses.field(default_factory=list)  # insert or overwrite
    nodes: list[NodeRow] = dataclasses.field(default_factory=list)  # insert or overwrite
    ledger: dict[tuple[str, str, str], int] = dataclasses.field(default_factory=dict)  # (project, event, reason) += n
    state: dict[tuple[str, str], str | None] = dataclasses.field(
        default_factory=dict
    )  # (project or "", name) = text; None removes
    id: str = ""  # given by the first commit, so that committing the same object again does nothing if it was kept

    def __bool__(self) -> bool:
        return any((self.insert, self.replace, self.progress, self.remove, self.lease, self.unlease, self.attempts,
                    self.ticks, self.nodes, self.ledger, self.state))  # fmt: skip

    def count(self, project: str, event: str, reason: str = "", n: int = 1) -> None:
        """Adds ``n`` to a counter of the ledger."""
        key = (project, event, reason)
        self.ledger[key] = self.ledger.get(key, 0) + n


class Books(Struct):
    """What the rows of one project say, to be held against the ledger."""

    tasks: int  # rows
    runs: int  # sum of run over all rows
    active: int  # rows with status ACTIVE
    leased: int  # leases
    by_status: dict[int, int]


class ProjectRow(Struct):
    """A row of the projectdb [S02]."""

    name: str
    group: str = ""
    status: str = "TODO"
    script: str = ""
    comments: str = ""
    rate: float | None = 1.0  # tasks per second; None: unlimited; 0: nothing is sent
    burst: float = 3.0
    rate_set: bool = False  # False: rate and burst are the default, which does not hold for loopback hosts
    updatetime: float = 0
    version: str = ""  # md5 of the script


class VersionRow(Struct):
    """One saved script of a project."""

    project: str
    version: str  # md5 of the script
    script: str
    saved: float
    author: str = ""
    message: str = ""


class SettingRow(Struct):
    """One setting of a project, as it is stored: encrypted, whether secret or not."""

    name: str
    sealed: str  # what libs.secrets made of the value
    secret: bool = True  # never shown again, and masked in logs and tracks
    updatetime: float = 0


class ResultSet(Struct):
    """The results of one part of one outcome."""

    project: str
    taskid: str
    run: int
    attempt: int
    url: str
    first: int  # number of results[0]
    results: list[str]  # JSON texts
    last: bool  # the set is whole with this part
    updatetime: float
    keys: list[str] = []  # canonical JSON of each result's key, "" for one without; parallel to results
    key_policy: str = ""  # replace, keep_first (stop is the same here); "": results without keys


class ResultRow(Struct):
    """One stored result."""

    project: str
    taskid: str
    run: int
    n: int
    url: str
    result: str  # JSON text
    updatetime: float
    seq: int  # grows in the order of becoming visible
