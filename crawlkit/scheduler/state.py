"""What the scheduler holds in memory: a bounded window of the store, rebuilt from it at any time.

No rule lives here, only the shelves that the rules work on.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from crawlkit.database.base import ProjectStore, TaskStore
from crawlkit.libs.auto import Auto
from crawlkit.libs.bounds import NO_BOUNDS, Bounds
from crawlkit.libs.counters import Counters
from crawlkit.libs.messages import Heartbeat, Outcome, ProjectInfo
from crawlkit.libs.rows import Key, Letter, ProjectRow, Queue, TaskRow
from crawlkit.libs.task import ACTIVE_STATUSES, Fetch, Process, Task, home_of
from crawlkit.scheduler.admission import UNKNOWN
from crawlkit.scheduler.frontier import Frontier
from crawlkit.scheduler.headcount import HeadCount
from crawlkit.scheduler.host_gate import HostGate
from crawlkit.scheduler.known import KnownTasks
from crawlkit.scheduler.pause import PauseState
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.tally import Tally
from crawlkit.scheduler.task_queue import Window
from crawlkit.scheduler.token_bucket import TokenBucket

if TYPE_CHECKING:
    from crawlkit.scheduler.actions import Action
    from crawlkit.scheduler.auto_order import Pair
    from crawlkit.scheduler.bounds import Fence

MAX_REFUSALS = 5_000  # remembered, so that somebody can be told why


@dataclass
class Out:
    """A task that was handed out."""

    row: TaskRow
    attempt: int
    since: float  # wall time
    sent: float  # monotonic
    until: float  # monotonic
    script: str
    node: str = ""
    parts: set[int] = field(default_factory=set)  # of the answer, so far
    parts_kept: bool = False  # they are written down
    last: Outcome | None = None  # the last part, while an earlier one is on its way
    parked: bool = False  # waits for requests of its own; nobody holds it
    asks: str = ""  # the host whose place it holds in the gate, while it is fetched
    early: bool = False  # given out before this scheduler began, and nobody had said that he held it
    preparing: bool = False  # before_request runs; the fetcher has not seen it yet
    auto: Auto | None = None  # fetch_type auto: what is being done with it
    pair: tuple[str, str, str] | None = None  # ... and under which key of State.auto that is learned


@dataclass
class Known:
    """A node that takes part."""

    beat: Heartbeat  # its last
    seen: float  # monotonic
    at: float  # wall time
    word: str  # alive, paused, stopping
    held: set[Key]  # what was in its hands


class Parked(Struct):
    """The record of a callback that waits, or that was sent on with what it waited for."""

    run: int
    record: str  # blob of the Fetched it began with
    children: dict[int, str] = {}  # number of the await -> taskid of its request
    answers: dict[int, str] = {}  # number of the await -> blob of the Fetched; "": nothing came of it


@dataclass
class ProjectState:
    """One project as the scheduler sees it."""

    row: ProjectRow
    bucket: TokenBucket
    pause: PauseState
    ready: Frontier
    time: Window
    clearing: int = 0  # what waits with a seq up to this is about to be cleared; nothing is sent meanwhile
    cleared: int = 0  # the same, also when it was done here; others may not be done with it
    forgotten: int = UNKNOWN  # what ended with a seq up to this counts as never seen
    info: ProjectInfo | None = None
    info_script: str = ""  # the version that info is of
    info_asked: float | None = None  # monotonic; None: not asked
    info_run: int = 0
    bounds: Bounds = NO_BOUNDS  # as its handler said them last, also before a restart
    delays: dict[str, float] = field(default_factory=dict)  # its retry_delay; the same
    fence: Fence | None = None  # those and the limits of its row; None: nothing is refused
    weight: int = 1  # of its turns among other projects
    served: float = 0.0  # tasks it sent, divided by its weight, beside State.served
    keep: float | None = None  # seconds that finished tasks are kept; None: for ever
    run_base: int = 0  # the highest run of a task that was retired; new tasks begin behind it
    config_fetch: Fetch | None = None
    config_process: Process | None = None
    loaded: bool = False  # the windows are in use
    due: float = float("inf")  # Unix time: the earliest entry of State.due that is the project's
    crowded: set[str] = field(default_factory=set)  # hosts that left their place to others in this turn
    active_tasks: int = 0  # rows with status ACTIVE
    leased: int = 0
    parked: int = 0  # of those that are leased
    script_saved: float = 0.0  # when this version of the script was saved
    drop_reasons: set[str] = field(default_factory=set)
    pages: int = 0  # fetches sent out since it has a page budget
    pages_before: int = 0  # of those, what one scheduler alone had sent before there were several
    drawn: int = 0  # tokens drawn from what all schedulers share, and not used yet
    drawn_at: float = 0.0  # monotonic
    owed: int = 0  # tokens to be paid with the next that are drawn
    draw_at: float = float("-inf")  # monotonic; before that there is none to be had
    gone: int = 0  # rows that were removed or cleared, as committed
    accepted: int = 0  # of the kinds that count for on_finished
    finished_at: int = 0  # value of accepted when on_finished was sent last
    tally: Tally = field(default_factory=Tally)  # of the minute that runs
    totals: dict[str, int] = field(default_factory=dict)  # the ledger by event, as committed
    fetched_by: dict[str, int] = field(default_factory=dict)  # of fetch_type auto: plain, browser, check; as committed
    refused: dict[str, int] = field(default_factory=dict)  # by reason; as committed
    recent: deque[tuple[float, dict[str, Any]]] = field(default_factory=deque)
    tick_generation: int = 0  # instants planned for an older set of crons are void
    tick_last: dict[int, float] = field(default_factory=dict)  # number of the cron -> newest instant it looked at
    tick_busy: dict[str, set[str]] = field(default_factory=dict)  # method -> its tick tasks that are not done
    tick_wait: dict[str, deque[float]] = field(default_factory=dict)  # method -> instants held by overlap="queue"

    @property
    def active(self) -> bool:
        return self.row.status in ACTIVE_STATUSES

    @property
    def spent(self) -> bool:
        """Whether its page budget is reached."""
        return self.row.max_pages is not None and self.pages >= self.row.max_pages

    @property
    def retrying(self) -> int:
        """Tasks in memory that wait because a try failed. Counted anew: rows come and go at the window's far end."""
        return sum(1 for row in self.time.rows() if row.retried)

    @property
    def waiting(self) -> int:
        return self.active_tasks - self.leased


@dataclass
class State:
    """All of it."""

    taskdb: TaskStore
    projectdb: ProjectStore
    settings: EngineSettings
    projects: dict[str, ProjectState] = field(default_factory=dict)
    leases: dict[Key, Out] = field(default_factory=dict)
    postponed: dict[Key, Task] = field(default_factory=dict)
    parked: dict[Key, Parked] = field(default_factory=dict)
    awaited: dict[Key, tuple[Key, int]] = field(default_factory=dict)  # request -> (who waits, number of the await)
    parked_out: int = 0  # leases that are parked
    jars: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # (project, session) -> cookies
    node: str = ""  # what the scheduler itself is called in heartbeats; "": it sends none
    heard: float | None = None  # monotonic; when its own heartbeat came round last
    nodes: dict[str, Known] = field(default_factory=dict)
    nodes_written: float = float("-inf")  # monotonic
    dead: set[str] = field(default_factory=set)  # nodes that fell silent
    died: float = float("-inf")  # monotonic; when the last of them did
    ticks: list[tuple[float, str, int, int]] = field(default_factory=list)  # heap: instant, project, cron, generation
    last_ticks: dict[tuple[str, str], float] = field(default_factory=dict)
    actions: dict[tuple[str, int], Action] = field(
        default_factory=dict
    )  # (project, partition) -> what is being done to all of it
    removing: set[str] = field(default_factory=set)  # projects that another scheduler removes
    clearing_elsewhere: dict[str, int] = field(default_factory=dict)  # project -> ProjectState.cleared, after a start
    mine: frozenset[int] | None = None  # partitions of this scheduler; None: there is one, which has everything
    asked: dict[Key, str] = field(default_factory=dict)  # request of another partition's callback -> that one's route
    letters: list[Letter] = field(default_factory=list)  # those that this turn takes
    mail_at: float = float("-inf")  # monotonic; when to look for letters
    totals_at: float = float("-inf")  # monotonic; when to read again what others count
    auto: dict[tuple[str, str, str], Pair] = field(default_factory=dict)  # (project, host, callback)
    no_browser: dict[str, tuple[float, float]] = field(default_factory=dict)  # project -> (until, seconds), monotonic
    retired_to: dict[float, float] = field(default_factory=dict)  # seconds kept -> updatetime up to which that is done
    keeps: dict[str, float | None] = field(default_factory=dict)  # projects that do not keep for the default time
    retire_at: float = float("-inf")  # monotonic; when to look again
    retire_due: dict[float, float] = field(default_factory=dict)  # seconds kept -> monotonic; when to look at those
    said_drained: bool = False  # as it stands in the taskdb's state
    said_idle: bool | None = None  # the same of this scheduler's partitions; None: that is not known
    busy_at: float = float("-inf")  # monotonic; when there was work last
    looked_at: float = float("-inf")  # monotonic; when it was asked last whether all have drained
    held: set[str] = field(default_factory=set)  # hosts whose hold is written down
    waiting: dict[str, set[str]] = field(
        default_factory=dict
    )  # host that may not be asked -> projects that wait for it
    lively: dict[str, ProjectState] = field(default_factory=dict)  # those that a turn must look at, in order of turns
    stirred: set[str] = field(default_factory=set)  # projects that something happened to since onlookers looked
    due: list[tuple[float, str]] = field(default_factory=list)  # heap: Unix time, project that is to be lively then
    grown: int = 0  # rows that came into memory since they were counted
    idle_turns: int = 0
    seq: int = 0
    sent: int = 0  # tasks handed out in this life
    served: float = 0.0  # what a project of weight 1 got that always had something to send
    minute: int = -1  # the one that is counted now, since 1970
    projects_seen: float = 0.0  # newest updatetime read
    info_count: int = 0

    def __post_init__(self) -> None:
        self.known = KnownTasks(self.settings.known)
        self.counters = Counters()
        self.headcount = HeadCount()
        self.refusals: dict[Key, tuple[str, float, str]] = {}  # (reason, Unix time, words) of the latest, oldest first
        self.gate = HostGate(self.settings.host_limits)

    @property
    def shared(self) -> bool:
        """Whether there are several partitions, and so there may be several schedulers."""
        return self.mine is not None

    @property
    def first(self) -> bool:
        """Whether this scheduler does what is done once for the whole taskdb."""
        return self.mine is None or 0 in self.mine

    @property
    def reads(self) -> tuple[int, ...]:
        """The partitions whose rows are read."""
        return (0,) if self.mine is None else tuple(sorted(self.mine))

    def partition(self, project: str, host: str = "") -> int:
        """To which partition a task belongs: that of its host, or of its project when it has none."""
        return 0 if self.mine is None else home_of(project, self.settings.partitions, host)

    def has(self, project: str, host: str = "") -> bool:
        """Whether tasks of that host, or without one what there is once of a project, are this scheduler's."""
        return self.mine is None or self.partition(project, host) in self.mine

    def is_leased(self, row: TaskRow) -> bool:
        """Whether it was handed out."""
        return (row.project, row.taskid) in self.leases

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def note_refusal(self, key: Key, reason: str, now: float, words: str) -> None:
        """Remembers why a task was not taken on, for a while."""
        self.refusals.pop(key, None)
        self.refusals[key] = (reason, now, words)
        if len(self.refusals) > MAX_REFUSALS:
            del self.refusals[next(iter(self.refusals))]

    def dropping(self, project: str) -> bool:
        """Whether what a removed project of that name had is still being removed."""
        if project in self.removing:
            return True
        action = self.actions.get((project, 0))
        return action is not None and action.kind == "drop"

    def action_of(self, project: str) -> Action | None:
        """What is being done to all of the project, in any of its partitions."""
        return next((action for (name, _), action in self.actions.items() if name == project), None)

    def find(self, rows: dict[Key, TaskRow], key: Key) -> TaskRow | None:
        """The newest form of a task that is in memory."""
        row = rows.get(key)
        if row is not None:
            return row
        out = self.leases.get(key)
        if out is not None:
            return out.row
        project = self.projects.get(key[0])
        if project is None:
            return None
        return project.ready.get(key[1]) or project.time.get(key[1])

    def forget(self, project: str) -> None:
        """The project is removed: a later one of that name has none of its cookies, records, crons and submissions."""
        shelves: tuple[dict[Key, Any], ...] = (
            self.postponed,
            self.parked,
            self.awaited,
            self.asked,
            self.jars,
            self.last_ticks,
        )
        for shelf in shelves:
            for key in [key for key in shelf if key[0] == project]:
                del shelf[key]
        for pair in [pair for pair in self.auto if pair[0] == project]:
            del self.auto[pair]
        self.no_browser.pop(project, None)
        self.headcount.drop(project)
        for key in [key for key in self.refusals if key[0] == project]:
            del self.refusals[key]

    def stir(self, project: str) -> None:
        """Something happened to the project: this turn, or the next one, looks at it."""
        self.stirred.add(project)
        if project not in self.lively and project in self.projects:
            self.lively[project] = self.projects[project]

    def stir_due(self, now: float) -> None:
        """The same for those whose time has come."""
        while self.due and self.due[0][0] <= now:
            _, name = heapq.heappop(self.due)
            if name in self.projects:
                self.projects[name].due = float("inf")
                self.stir(name)

    def rest(self, project: ProjectState) -> None:
        """Nothing is to be done for the project before something happens to it, or its next waiting task is due."""
        self.lively.pop(project.row.name, None)
        self.stirred.add(project.row.name)
        row = project.time.peek()
        if row is not None and row.rank < project.due:
            project.due = row.rank
            heapq.heappush(self.due, (row.rank, project.row.name))

    def wait_for(self, project: str, host: str) -> None:
        """Rows of the project wait until the host may be asked."""
        names = self.waiting.get(host)
        if names is None:
            names = self.waiting[host] = set()
        names.add(project)

    def enqueue(self, row: TaskRow) -> None:
        """Puts a waiting row where its queue, rank and seq say."""
        project = self.projects.get(row.project)
        if project is None:
            return
        if project.loaded:
            self.stir(row.project)
            (project.ready if row.queue is Queue.READY else project.time).add(row)
            self.grown += 1

    def dequeue(self, row: TaskRow) -> None:
        """Takes a waiting row out of its queue."""
        project = self.projects.get(row.project)
        if project is None:
            return
        project.ready.discard(row.taskid)
        project.time.discard(row.taskid)

    def push_tick(self, instant: float, project: str, cron: int, generation: int) -> None:
        heapq.heappush(self.ticks, (instant, project, cron, generation))
