"""The rows of the three databases, as plain data that every floor may speak of.

A row never saves or loads itself; what stores it is behind the doors of ``crawlkit.database``.
"""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass

from msgspec import Struct, field

from crawlkit.libs.metrics import MetricRow
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


class Owner(Struct, frozen=True):
    """Who alone may commit to a partition of a taskdb; or, among the members, who takes part."""

    holder: str  # made up anew for each opening of the store
    node: str  # "HOST pid PID", and which system counts the pids
    until: float  # Unix time, by the clock of the database


def for_people(node: str) -> str:
    """Where an :class:`Owner` is: "on HOST, pid PID"."""
    host, pid, rest = node.partition(" pid ")
    return f"on {host}, pid {rest.partition(' ')[0]}" if pid else f"on {host}"


TASK_LETTER = "task"  # kind of a letter that stores count: a submission


class Letter(Struct):
    """Something for the owner of a partition, from another scheduler: only the owner inserts there."""

    partition: int
    project: str
    kind: str  # TASK_LETTER, or another word of scheduler.mail
    text: str  # JSON
    id: int = 0  # given by the store; grows in the order of becoming visible, and is never given twice


class Allowance(Struct, frozen=True):
    """The tokens that all schedulers of a project share."""

    tokens: float
    at: float  # Unix time of that, by the clock of the database


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
    first: list[TaskRow] = dataclasses.field(default_factory=list)
    """Of insert: those of which another partition may get the same task meanwhile; then nothing of this is kept."""
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
    metrics: list[MetricRow] = dataclasses.field(default_factory=list)  # insert or overwrite
    counts: dict[tuple[str, str], int] = dataclasses.field(default_factory=dict)  # (project, host) += n
    most: dict[tuple[str, str], int] = dataclasses.field(
        default_factory=dict
    )  # of those counts: what they may come to; more, and nothing of this is kept
    mail: list[Letter] = dataclasses.field(default_factory=list)  # new ones; their ids are not looked at
    mail_taken: list[int] = dataclasses.field(default_factory=list)  # ids of letters that this commit has dealt with
    id: str = ""  # given by the first commit, so that committing the same object again does nothing if it was kept

    def __bool__(self) -> bool:
        return any((self.insert, self.replace, self.progress, self.remove, self.lease, self.unlease, self.attempts,
                    self.ticks, self.nodes, self.ledger, self.state, self.metrics, self.counts, self.mail,
                    self.mail_taken))  # fmt: skip

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
    ledger: dict[tuple[str, str, str], int] = {}  # (project, event, reason) -> count, of the same instant


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
    pin: str = ""  # the version that runs instead of the newest; "": it follows the newest
    max_pages: int | None = None  # fetches that may be sent out, retries included; None: no bound
    limits: str | None = None  # JSON of what libs.bounds calls limits; None: none

    @property
    def runs(self) -> str:
        """The version that tasks of the project run."""
        return self.pin or self.version


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


class KeptPage(Struct):
    """One of the last fetched pages of a callback, for trying a changed script on it."""

    page: str  # its id
    project: str
    callback: str
    taskid: str
    url: str
    status: int
    kept: float  # Unix time
    size: int  # bytes of the body
    stored: int  # bytes of data
    data: bytes = b""  # what the processor got, compressed; empty in lists


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


class SinkRow(Struct):
    """Where results go beside the resultdb, and who brings them there."""

    sink: str  # digest of what it is
    url: str  # for people: without a password
    series: str  # part of the names of its files, made once: two resultdbs never use the same names
    holder: str = ""  # JSON of a libs.holders.Holder
    fence: int = 0  # grows with each holder: what an earlier one says later does not count
    until: float = 0  # Unix time; not renewed by then, anybody may be the next holder
    error: str = ""  # what does not work now; "": nothing
    made: float = 0


class SinkProgress(Struct):
    """How far a sink is with one project. ``last`` not 0: the file of those numbers may be there already."""

    sink: str
    project: str
    seq: int = 0  # all results up to this one are in finished files
    first: int = 0  # of the file that was begun
    last: int = 0
    files: int = 0  # finished ones
    results: int = 0  # in them
    size: int = 0  # bytes of them
    updated: float = 0
    error: str = ""  # why the last try did not work; "": it did


class UserRow(Struct):
    """Somebody who may use the web UI."""

    name: str
    role: str  # viewer, editor, admin
    password: str = ""  # what libs.passwords made of it; "": no password opens this account
    created: float = 0
    changed: float = 0  # when the password was set
    seen: float = 0  # the last login; 0: never


class TokenRow(Struct):
    """A token for the JSON API; only a digest of its secret part is kept."""

    id: str  # public, for people to tell tokens apart
    digest: str
    user: str
    name: str  # what it is for
    role: str  # at most that of its user, at each use
    created: float
    expires: float | None = None  # None: never
    used: float = 0  # the last use, to the minute; 0: never


class SessionRow(Struct):
    """A browser that is logged in; only a digest of what its cookie says is kept."""

    digest: str
    user: str
    via: str  # password, link
    created: float
    expires: float
    seen: float = 0  # the last request, to the minute
    address: str = ""


class LoginLinkRow(Struct):
    """A link that logs in once; only a digest of its token is kept."""

    digest: str
    user: str  # "": the person at this machine
    created: float
    expires: float


class AuditRow(Struct):
    """Who changed what."""

    time: float
    user: str
    via: str
    action: str  # a noun and a verb: project.save, user.remove
    project: str = ""
    detail: str = ""
    address: str = ""
    id: int = 0  # given by the store; grows


class LogLine(Struct):
    """One line of the logdb: what a process logged, or what a callback printed or logged."""

    time: float  # Unix time
    level: int  # of the module logging: 10 debug, 20 info, 30 warning, 40 error, 50 critical
    text: str  # may hold several lines, such as a traceback
    node: str = ""  # the process that logged it, unique
    role: str = ""  # scheduler, fetcher, processor, ...
    project: str = ""  # "": it is the process's own
    taskid: str = ""
    callback: str = ""
    url: str = ""
    logger: str = ""  # "print" for what was printed
    n: int = 0  # given by the store; grows in the order of storing


class LogFilter(Struct):
    """Which lines of the logdb are wanted; all that is said must hold."""

    project: str = ""  # "", here and below: any
    node: str = ""
    role: str = ""
    taskid: str = ""
    level: int = 0  # at least
    since: float | None = None  # Unix time
    until: float | None = None
    text: str = ""  # a part of the text; the case of ASCII letters does not count


class LogPage(Struct):
    """Some lines, and where to go on. A page that is not full may still not be the end: then ``looked`` says why."""

    lines: list[LogLine]
    next: int | None  # where the next page begins; None: there is nothing further
    looked: float | None = None  # the time for one look was up: how far it came (Unix time); None: it was enough
