"""Brings the projects in memory in line with the projectdb and the taskdb."""

from __future__ import annotations

from collections import deque
from functools import partial

import msgspec

from crawlkit.libs.bounds import NO_BOUNDS, Bounds, joined, kept_for, limits_of, weight_of
from crawlkit.libs.rows import QUEUED, ProjectRow, Queue, TaskRow
from crawlkit.scheduler.bounds import Fence
from crawlkit.scheduler.frontier import PAGE, Frontier
from crawlkit.scheduler.kinds import TICK_URL
from crawlkit.scheduler.pause import PauseState
from crawlkit.scheduler.state import ProjectState, State
from crawlkit.scheduler.task_queue import Window
from crawlkit.scheduler.token_bucket import TokenBucket
from crawlkit.scheduler.turn import Change, Turn

WAITING_TICKS = 10_000  # the newest ticks of a method, among which those that wait are looked for
MIN_PAGE = 20  # rows read at a time, however many projects there are
HOSTS_READ = 16  # hosts of a project that are read by themselves in a turn
HOSTS_FOUND = 50  # hosts of a project that are looked up by name in a turn
GROWN = 20  # the rows in memory are counted when they may have grown by one in so many
BOUNDS, DELAYS = "bounds", "retry_delay"  # entries of the taskdb's state
PAGES = " pages"  # where several schedulers count what a project sent: among its hosts, of which none is called so
ENDS = ("done", "failed", "cancelled", "dropped", "cleared")


def new_project(state: State, row: ProjectRow, mono: float) -> ProjectState:
    """A project that was not in memory; its windows are still empty."""
    settings = state.settings
    return ProjectState(
        row=row,
        bucket=TokenBucket(row.rate, max(1.0, row.burst), mono),
        pause=PauseState(settings.fail_pause_num, settings.pause_time, settings.unpause_check_num),
        ready=_frontier(state, row.name),
        time=Window(settings.window),
        recent=deque(maxlen=settings.active_tasks),
    )


def _frontier(state: State, project: str) -> Frontier:
    return Frontier(state.settings.window, partial(state.wait_for, project))


def apply_row(state: State, turn: Turn, row: ProjectRow) -> None:
    """A project was added or changed."""
    project = state.projects.get(row.name)
    known = project is not None
    new_script = project is None or project.row.runs != row.runs
    if project is None:
        project = state.projects[row.name] = new_project(state, row, turn.mono)
        set_fence(state, turn, project)
    else:
        if (row.rate, row.burst) != (project.row.rate, project.row.burst):
            project.bucket.change(row.rate, max(1.0, row.burst), turn.mono)
            project.draw_at = turn.mono
        if row.runs != project.row.runs:
            project.pause.clear()
            project.info_asked = None
        limits, project.row = project.row.limits, row
        if row.limits != limits:
            set_fence(state, turn, project)
    state.stir(row.name)
    if row.max_pages is None and project.pages:  # without a budget nothing is counted; a new one begins anew
        project.pages = project.pages_before = 0
        turn.writes.state[row.name, "pages"] = None
    if row.max_pages is None and state.shared and known and state.has(row.name):
        sent = state.taskdb.counts(row.name, [PAGES]).get(PAGES, 0)
        if sent:
            turn.writes.counts[row.name, PAGES] = -sent
    if new_script:
        saved = next((one.saved for one in state.projectdb.versions(row.name)), 0.0)
        project.script_saved = row.updatetime if row.pin else saved
    if project.active and not project.loaded:
        activate(state, project)
    elif not project.active and project.loaded:
        deactivate(state, project)
        state.gate.limit(row.name, None, turn.mono)


def set_fence(state: State, turn: Turn, project: ProjectState) -> None:
    """What the project refuses, by its handler and its row, and how long it keeps what is finished."""
    limits = limits_of(project.row.limits)
    bounds = joined(project.bounds, limits)
    project.weight = weight_of(limits)
    keep = kept_for(limits, state.settings.keep_tasks)
    if keep != project.keep:
        project.keep, state.retire_at = keep, turn.mono
    project.fence = Fence(bounds) if bounds != NO_BOUNDS else None


def take_bounds(state: State, turn: Turn, project: ProjectState, bounds: Bounds) -> None:
    """The handler said its bounds. They are kept: after a restart its pages come back before it has said them again."""
    if bounds == project.bounds:
        return
    project.bounds = bounds
    text = None if bounds == NO_BOUNDS else msgspec.json.encode(bounds).decode()
    turn.writes.state[project.row.name, BOUNDS] = text
    set_fence(state, turn, project)


def load_bounds(state: State, turn: Turn, project: ProjectState, text: str) -> None:
    """Reads what was kept, after a start."""
    project.bounds = msgspec.json.decode(text, type=Bounds)
    set_fence(state, turn, project)


def take_delays(turn: Turn, project: ProjectState, delays: dict[str, float]) -> None:
    """The handler said its delays before another try; kept for the same reason."""
    if delays != project.delays:
        project.delays = delays
        turn.writes.state[project.row.name, DELAYS] = msgspec.json.encode(delays).decode() if delays else None


def load_delays(project: ProjectState, text: str) -> None:
    """Reads what was kept, after a start."""
    project.delays = msgspec.json.decode(text, type=dict[str, float])


def activate(state: State, project: ProjectState) -> None:
    """Takes the first rows of its queues into memory. What was handed out keeps its lease."""
    project.loaded = True
    project.ready, project.time = _frontier(state, project.row.name), Window(state.settings.window)
    project.info_asked = None
    refill(state, project)
    for (name, _), out in state.leases.items():
        if name == project.row.name and out.row.url == TICK_URL:
            _mark_tick(project, out.row)
    own = [method for name, method in state.last_ticks if name == project.row.name and state.has(name)]
    for method in own:
        for tick in state.taskdb.ticks(project.row.name, method, limit=WAITING_TICKS):
            if tick.reason == QUEUED:
                project.tick_wait.setdefault(method, deque()).appendleft(tick.instant)


def follow_clock(state: State, turn: Turn, seconds: float) -> None:
    """The wall clock was set back: who waits for the next try would wait that much longer."""
    for name, project in state.projects.items():
        state.stir(name)
        for row in [row for row in project.time.rows() if row.retried]:
            project.time.discard(row.taskid)
            row.rank -= seconds
            turn.change(row, Change.PROGRESS)
            project.time.add(row)


def read_pages(state: State, turn: Turn, project: ProjectState) -> None:
    """How many pages of its budget a project has sent, by all schedulers and in this turn."""
    if state.shared and project.row.max_pages is not None:
        name = project.row.name
        committed = state.taskdb.counts(name, [PAGES]).get(PAGES, 0)
        project.pages = project.pages_before + committed + turn.writes.counts.get((name, PAGES), 0)


def deactivate(state: State, project: ProjectState) -> None:
    """Forgets its queues; the rows stay where they are."""
    project.loaded = False
    project.info = None
    project.ready, project.time = _frontier(state, project.row.name), Window(state.settings.window)
    project.tick_busy.clear()
    project.tick_wait.clear()


def _mark_tick(project: ProjectState, row: TaskRow) -> None:
    project.tick_busy.setdefault(row.process.callback or "", set()).add(row.taskid)


def refill(state: State, project: ProjectState) -> None:
    """Reads on in the queues whose part in memory runs low. Only before anything changes in a turn."""
    page = page_of(state)
    # less than :func:`bound` leaves to any of them: else what it takes would be read again at once
    project.ready.share = state.settings.window // (4 * max(1, len(state.projects)))
    for queue, window in ((Queue.READY, project.ready), (Queue.TIME, project.time)):
        if window.needs_refill(page // 4):
            rows = state.taskdb.window(project.row.name, queue, window.cursor, page, partitions=state.reads)
            window.refill(rows, page, skip=state.is_leased)
            _note_read(state, project, rows)
    if project.ready.shelves or project.ready.scan is not None:
        _refill_hosts(state, project)


def is_quiet(state: State, project: ProjectState) -> bool:
    """Whether no turn needs to look at it before something happens to it, or its next waiting task is due."""
    if not project.loaded:
        return not project.active
    if project.info is None or project.info_script != project.row.runs:
        return False
    if project.active_tasks == 0 and project.accepted > project.finished_at and state.has(project.row.name):
        return False  # on_finished is to be sent
    if len(project.ready) or project.ready.wants() or project.time.needs_refill(page_of(state) // 4):
        return False
    return not project.crowded


def page_of(state: State) -> int:
    """How many rows are read at a time: with many projects so few that all of them have room."""
    return min(state.settings.refill, max(MIN_PAGE, state.settings.window // (2 * max(1, len(state.projects)))))


def _refill_hosts(state: State, project: ProjectState) -> None:
    """The same for hosts that stand apart, some of them in a turn."""
    name, ready = project.row.name, project.ready
    for host, after in ready.hungry(HOSTS_READ):
        rows = state.taskdb.window(name, Queue.READY, after, PAGE, host, state.reads)
        ready.refill_host(host, after, rows, PAGE, skip=state.is_leased)
        _note_read(state, project, rows)
    if ready.scan is not None:
        hosts = state.taskdb.hosts(name, Queue.READY, ready.scan or None, HOSTS_FOUND)
        ready.reveal(hosts, HOSTS_FOUND, None if state.mine is None else partial(state.has, name))


def _note_read(state: State, project: ProjectState, rows: list[TaskRow]) -> None:
    state.grown += len(rows)
    for row in rows:
        if row.url == TICK_URL:
            _mark_tick(project, row)


def bound(state: State) -> None:
    """Holds the rows in memory of all projects together to the setting: those with the most give up their tails."""
    limit = state.settings.window
    if state.grown < limit // GROWN:
        return
    state.grown = 0
    windows = [window for project in state.projects.values() for window in (project.ready, project.time)]
    sizes = sorted(map(len, windows))
    if sum(sizes) <= limit:
        return
    left, level = limit - limit // 4, 0
    for number, size in enumerate(sizes):
        level = left // (len(sizes) - number)
        if size > level:
            break
        left -= size
    for window in windows:
        if len(window) > level:
            window.shrink(max(1, level))
