"""The doors to the databases: three small interfaces and the rows that pass through them.

A backend stores what it is given and decides nothing. Every method is synchronous and may block; callers keep it off
their event loop. Every method may raise ``StoreUnavailable``; then nothing of the call was kept, or that is unknown,
and calling it again does no harm.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from crawlkit.libs.task import NO_FETCH, NO_PROCESS, NO_SCHEDULE, Fetch, Process, Schedule, Status

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
    schedule: Schedule = NO_SCHEDULE
    fetch: Fetch = NO_FETCH
    process: Process = NO_PROCESS
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

    insert: list[TaskRow] = field(default_factory=list)
    replace: list[TaskRow] = field(default_factory=list)  # whole rows that exist
    progress: list[Progress] = field(default_factory=list)
    remove: list[Key] = field(default_factory=list)
    lease: list[Lease] = field(default_factory=list)  # insert or overwrite
    unlease: list[Key] = field(default_factory=list)
    attempts: list[AttemptRow] = field(default_factory=list)  # insert or overwrite
    ticks: list[TickRow] = field(default_factory=list)  # insert or overwrite
    nodes: list[NodeRow] = field(default_factory=list)  # insert or overwrite
    ledger: dict[tuple[str, str, str], int] = field(default_factory=dict)  # (project, event, reason) += n
    state: dict[tuple[str, str], str | None] = field(default_factory=dict)  # (project or "", name) = text; None removes

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


class TaskStore(Protocol):
    """The taskdb: tasks, leases, attempts, ticks, nodes, the ledger. Only a scheduler calls :meth:`commit`."""

    def commit(self, writes: Writes) -> None:
        """Makes all of ``writes`` durable in one transaction (on disk when it returns).

        The order within is: remove, insert, replace, progress, unlease, lease, the rest.
        """

    def get(self, project: str, taskid: str) -> TaskRow | None: ...

    def get_many(self, keys: Sequence[Key]) -> dict[Key, TaskRow]:
        """The rows that exist, by one query per few hundred keys."""

    def window(self, project: str, queue: Queue, after: tuple[float, int] | None, limit: int) -> list[TaskRow]:
        """The next ``limit`` rows of a queue, in order of (rank, seq), behind ``after``; leased ones too. By index."""

    def max_seq(self) -> int:
        """The largest ``seq`` of all rows, 0 without any. By index."""

    def leases(self) -> list[Lease]: ...

    def ledger(self, project: str | None = None) -> dict[tuple[str, str, str], int]: ...

    def state(self) -> dict[tuple[str, str], str]: ...

    def ticks(self, project: str, method: str | None = None, limit: int = 100) -> list[TickRow]:
        """Newest first."""

    def last_ticks(self) -> dict[tuple[str, str], float]:
        """(project, method) -> its newest instant."""

    def prune_ticks(self, before: float) -> int:
        """Removes tick rows older than ``before``, but never the newest of a (project, method)."""

    def nodes(self) -> list[NodeRow]: ...

    def attempts(self, project: str, taskid: str, limit: int = 20) -> list[AttemptRow]:
        """Newest first."""

    def prune_attempts(self, before: float, limit: int = 1000) -> int:
        """Removes up to ``limit`` attempts that ended before ``before``; returns how many."""

    def failures(self, project: str, limit: int = 10) -> list[tuple[str, int, str]]:
        """(reason, tasks, an example's URL) of the tasks whose status is FAILED, by their last attempt."""

    def select(
        self,
        project: str,
        status: Status | None = None,
        url: str | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> list[TaskRow]:
        """A page of tasks in order of taskid, behind ``after``. ``url``: a part of it, or a pattern with ``*``."""

    def books(self, project: str) -> Books:
        """Counts rows. Reads the whole project: for audits, not for schedulers."""

    def projects(self) -> list[str]:
        """Projects that have tasks, leases or a ledger."""

    def drop(self, project: str) -> Books:
        """Removes a project's tasks, leases, attempts, ticks, state and ledger; returns its last books."""

    def close(self) -> None: ...


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


class ProjectStore(Protocol):
    """The projectdb: projects and every version of their scripts."""

    def put(self, row: ProjectRow, author: str = "", message: str = "") -> ProjectRow:
        """Inserts or overwrites; sets ``version``, and ``updatetime`` to later than any before. Keeps the script."""

    def get(self, name: str) -> ProjectRow | None: ...

    def all(self) -> list[ProjectRow]: ...

    def changed_since(self, updatetime: float) -> list[ProjectRow]:
        """Projects whose ``updatetime`` is later, oldest first."""

    def names(self) -> list[str]: ...

    def drop(self, name: str) -> bool: ...

    def versions(self, name: str) -> list[VersionRow]:
        """Newest first."""

    def script(self, name: str, version: str) -> str | None:
        """The script of that version, also an old one."""

    def close(self) -> None: ...


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


class ResultStore(Protocol):
    """The resultdb: per task the results of its newest run."""

    def save(self, sets: Sequence[ResultSet]) -> None:
        """Stores all sets in one durable transaction.

        A set becomes visible as a whole with its last part, and gets its ``seq`` numbers then; it replaces those of
        earlier runs. If the same (project, taskid, run) is visible already, or a later run, the set is ignored:
        the same run never becomes visible twice. Parts of an older attempt are dropped when a newer one comes.
        An empty ``results`` with ``last`` removes the results of earlier runs.
        """

    def get(self, project: str, taskid: str) -> list[ResultRow]: ...

    def select(self, project: str, offset: int = 0, limit: int | None = None) -> Iterator[ResultRow]:
        """Newest first, streamed."""

    def since(self, seq: int, limit: int, projects: Sequence[str] | None = None) -> list[ResultRow]:
        """The next rows behind ``seq`` in order of seq. Whoever reads on from the last one's misses none."""

    def count(self, project: str) -> int: ...

    def counts_by_task(self, project: str, taskids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """taskid -> (run, how many results)."""

    def projects(self) -> list[str]: ...

    def drop(self, project: str) -> int: ...

    def position(self, follower: str) -> tuple[int, int]:
        """(seq, byte offset) of an output file that follows this store; (0, 0) at first."""

    def set_position(self, follower: str, seq: int, offset: int) -> None: ...

    def close(self) -> None: ...


class BlobStore(Protocol):
    """Bodies too large for a message. They are gone when the task's round has ended."""

    def create(self, chunks: Iterable[bytes], key: str) -> str:
        """Stores a body in pieces; returns its id. ``key`` is ``project/taskid/run`` for sweeping."""

    def read(self, blob: str) -> Iterator[bytes]:
        """Its pieces; raises ``KeyError`` when it is gone."""

    def remove(self, blobs: Sequence[str]) -> None: ...

    def sweep(self, before: float) -> int:
        """Removes blobs older than ``before``; returns how many."""

    def close(self) -> None: ...
