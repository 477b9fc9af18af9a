"""Chooses which ready tasks go out now, and writes their leases.

The order within a project is the frontier's: priority, then first come [S22]. A project that may not send never
blocks another.
"""

from __future__ import annotations

import heapq

import msgspec
from msgspec import Raw

from crawlkit.libs.auto import AUTO
from crawlkit.libs.crawl_config import join
from crawlkit.libs.messages import AWAIT, INFO, NIL, PREPARE, TASK, Dispatch, Fetched
from crawlkit.libs.rows import Lease, Queue, TaskRow
from crawlkit.libs.task import NO_FETCH, NO_SCHEDULE
from crawlkit.scheduler import auto_order, politeness, projects
from crawlkit.scheduler.frontier import Asks
from crawlkit.scheduler.kinds import is_await, is_internal
from crawlkit.scheduler.state import Out, ProjectState, State
from crawlkit.scheduler.turn import Change, Turn

QUANTUM = 10  # tasks a project may send before the next one has its turn
SLOTS = 100  # fetches at once of a fetcher
FAIR, MOST = 8, 2  # a host may hold one in so many of them while others could use the place; while others wait
SESSION = "session:"  # of the taskdb's state, followed by the name of the session
KEPT = 0.05  # seconds: of the tokens that all share nobody takes those of a longer time at once, or keeps them longer
LOOPBACK = ("localhost", "127.", "[::1]")


def wake_due(state: State, turn: Turn) -> None:
    """Moves what has become due from the time queues to the ready queues."""
    for project in state.lively.values():
        while (row := project.time.peek()) is not None and row.rank <= turn.now:
            project.time.pop()
            row.queue, row.rank = Queue.READY, float(-row.schedule.priority)
            turn.change(row, Change.PROGRESS)
            project.ready.add(row)


def send(state: State, turn: Turn) -> None:
    """Leases ready tasks, project by project, as far as room, rates and pauses allow."""
    room = min(turn.inbox.room, state.settings.max_leased - len(state.leases) + state.parked_out)
    _free_hosts(state, turn)  # also for those of which no turn takes notice: they wait for it
    lively = state.lively
    if not lively:
        return
    asks, slots = asks_of(state, turn.mono), _slots(state)
    for project in lively.values():
        room -= _ask_info(state, turn, project, room)
    line = [name for name, project in lively.items() if len(project.ready)]
    turns = sum(lively[name].weight for name in line)
    share = max(1, min(QUANTUM, room // max(1, turns)))  # so that all of them have their turn, if only with one
    # weighted fair queueing: next is who had least so far, for its weight; who comes anew has had as much as that one
    heap = [(max(lively[name].served, state.served), number, name) for number, name in enumerate(line)]
    heapq.heapify(heap)
    while room > 0 and heap:
        state.served, number, name = heapq.heappop(heap)
        project = lively[name]
        most = min(share * project.weight, room)
        sent = _send_some(state, turn, project, most, asks, slots)
        room -= sent
        project.served = state.served + sent / project.weight
        if sent == most:
            heapq.heappush(heap, (project.served, number, name))


def _free_hosts(state: State, turn: Turn) -> None:
    """Those that may be asked again take part again."""
    for host in state.gate.freed(turn.mono):
        for name in state.waiting.pop(host, ()):
            if name in state.projects and state.projects[name].ready.free(host):
                state.stir(name)  # what is in memory of the host may have been cancelled: the store may have more
    for project in state.lively.values():
        if project.crowded:
            for host in project.crowded:
                project.ready.free(host)
            project.crowded.clear()


def asks_of(state: State, mono: float) -> Asks | None:
    """Who may be asked now; ``None``: everybody."""
    gate = state.gate
    if gate.open:
        return None
    return lambda host: not host or gate.wait(host, mono) <= 0.0


def _slots(state: State) -> int:
    """Fetches at once of all fetchers, as far as is known."""
    return SLOTS * max(1, sum(node.beat.role == "fetcher" for node in state.nodes.values()))


def _next(state: State, project: ProjectState, asks: Asks | None, slots: int) -> TaskRow | None:
    """The next task to be sent: that of a host with much under way only if nobody else could use the place."""
    ready = project.ready
    row = ready.peek(asks)
    if row is None or not row.host or state.gate.under_way(row.host) < SLOTS // FAIR:
        return row
    while row is not None and row.host:
        out = state.gate.under_way(row.host)
        if out < slots // FAIR or not ready.others(row.host):
            return row
        ready.close(row.host, tell=False)
        project.crowded.add(row.host)
        other = ready.peek(asks)
        if other is None and (out < slots // MOST or not ready.others(row.host)):
            project.crowded.discard(row.host)
            ready.free(row.host)
            return row
        row = other
    return row


def _ask_info(state: State, turn: Turn, project: ProjectState, room: int) -> int:
    """Asks the handler for its settings: first of all, on each new script, and again when no answer comes [S06].

    Each scheduler asks for itself, so the answer comes to a partition of its own.
    """
    if not project.active or room <= 0 or not state.reads:
        return 0
    if project.info is not None and project.info_script == project.row.runs:
        return 0
    if project.info_asked is not None and turn.mono - project.info_asked < state.settings.info_retry:
        return 0
    home = state.has(project.row.name)
    state.info_count += 1
    project.info_asked, project.info_run = turn.mono, state.info_count
    turn.outbox.dispatches.append(
        Dispatch(
            project.row.name, "_on_get_info", project.info_run, 1, "data:,_on_get_info", project.row.runs,
            "_on_get_info", 0, INFO, NO_SCHEDULE, NO_FETCH, NIL, 0, project.row.group,
            partition=state.partition(project.row.name) if home else state.reads[0],
        )
    )  # fmt: skip
    return 1


def may_send(state: State, project: ProjectState) -> bool:
    """Whether a project sends tasks at all."""
    if not project.active or project.info is None or project.info_script != project.row.runs:
        return False
    spent = state.settings.max_pages is not None and state.sent >= state.settings.max_pages
    if not spent and not project.clearing and not project.spent:
        return True
    row = project.ready.peek()
    if row is None:
        return False
    if project.spent and not spent and not project.clearing and is_internal(row.url):
        return True  # it reaches no host
    return is_await(row)  # a page whose callback waits was begun, so it is brought to its end


def _send_some(state: State, turn: Turn, project: ProjectState, limit: int, asks: Asks | None, slots: int) -> int:
    projects.read_pages(state, turn, project)
    if not may_send(state, project):
        return 0
    running = project.pause.state(turn.now) == "running"
    sent = metered = beyond = 0
    pages_before = project.pages
    while sent < limit:
        row = _next(state, project, asks, slots)
        if row is None or (project.clearing and not is_await(row)):
            break
        if not is_internal(row.url):
            if full(state, project):
                break
            if not running and project.pause.allowance(turn.now, project.leased) < 1:
                break
            pages = state.settings.max_pages
            if ((pages is not None and state.sent >= pages) or project.spent) and not is_await(row):
                break
            if not unmetered(project, row):
                if not _pays(state, turn, project, limit - sent):
                    break
                metered += 1
            state.sent += not is_await(row)
            beyond += project.spent
            project.pages += project.row.max_pages is not None
        project.ready.take(row)
        _lease(state, turn, project, row)
        sent += 1
    if project.pages != pages_before:  # with the leases, so that a restart neither forgets nor adds one
        _keep_pages(state, turn, project, project.pages - pages_before, beyond)
    if metered and project.bucket.rate is not None and not state.shared:
        # in the same transaction as the leases: however often a scheduler starts, it gets no second burst
        turn.writes.state[project.row.name, "bucket"] = project.bucket.dump(turn.mono, turn.now)
    return sent


def _keep_pages(state: State, turn: Turn, project: ProjectState, sent: int, beyond: int) -> None:
    """``beyond``: those of them that had to be sent although the budget was used up."""
    name = project.row.name
    if not state.shared:
        turn.writes.state[name, "pages"] = str(project.pages)
        return
    place = (name, projects.PAGES)
    turn.writes.counts[place] = turn.writes.counts.get(place, 0) + sent
    most, limit = turn.writes.most, project.row.max_pages
    if limit is not None and (sent > beyond or place in most):  # another may have sent what was left: then nothing goes
        most[place] = most.get(place, limit - project.pages_before) + beyond


def _pays(state: State, turn: Turn, project: ProjectState, most: int) -> bool:
    """Takes a token for one task; where there are several schedulers, of those that all of them share."""
    bucket = project.bucket
    if not state.shared or bucket.rate is None:
        return bucket.take(turn.mono)
    if turn.mono - project.drawn_at > KEPT:
        project.drawn = 0
    if not project.drawn and turn.mono >= project.draw_at:
        want = max(1, min(most, len(project.ready), int(bucket.rate * KEPT))) + project.owed
        granted, wait = state.taskdb.draw(project.row.name, want, bucket.rate, bucket.burst)
        paid = min(granted, project.owed)
        project.owed -= paid
        project.drawn, project.drawn_at, project.draw_at = granted - paid, turn.mono, turn.mono + wait
    if not project.drawn:
        return False
    project.drawn -= 1
    return True


def owe(state: State, turn: Turn, project: ProjectState) -> None:
    """A task that goes at once pays afterwards."""
    bucket = project.bucket
    if not bucket.rate:
        return
    if state.shared:
        project.owed = min(project.owed + 1, int(bucket.burst))
        return
    bucket.owe(turn.mono)
    turn.writes.state[project.row.name, "bucket"] = bucket.dump(turn.mono, turn.now)


def wait_for_token(state: State, project: ProjectState, mono: float) -> float:
    """Seconds until the project may have a token, if nobody is faster."""
    if not state.shared or project.bucket.rate is None:
        return project.bucket.wait(mono)
    return 0.0 if project.drawn else max(0.0, project.draw_at - mono)


def full(state: State, project: ProjectState) -> bool:
    """Whether a project has so much out that others could soon find no room: a hanging one may not fill the ring."""
    own = project.leased - project.parked
    others = len(state.leases) - state.parked_out - own
    return own >= max(10, (state.settings.max_leased - others) // 2)


def unmetered(project: ProjectState, row: TaskRow) -> bool:
    """The default rate does not hold for loopback hosts and for data: URLs, which reach no host."""
    return not project.row.rate_set and (not row.host or row.host.startswith(LOOPBACK))


def _lease(state: State, turn: Turn, project: ProjectState, row: TaskRow) -> None:
    attempt = row.attempt + 1
    script = project.row.runs
    out = Out(row, attempt, turn.now, turn.mono, turn.mono + state.settings.lease, script)
    key = (row.project, row.taskid)
    state.leases[key] = out
    project.leased += 1
    turn.writes.lease.append(
        Lease(row.project, row.taskid, row.run, attempt, "", turn.now + state.settings.lease, turn.now)
    )
    politeness.sent(state, turn, out)
    dispatch_out(state, turn, project, out)
    project.recent.append((turn.now, {"type": "select", "taskid": row.taskid, "project": row.project, "url": row.url}))


def dispatch_out(state: State, turn: Turn, project: ProjectState, out: Out) -> None:
    """Sends what is leased to a fetcher, or first to its handler's ``before_request``."""
    row = out.row
    dispatch = dispatch_of(state, project, row, out.attempt, out.script)
    if project.info is not None and project.info.has_before_request and not is_internal(row.url):
        out.preparing = True
        dispatch.kind = PREPARE
        turn.outbox.resumes.append(Fetched(dispatch, 0, row.url, row.url, [], {}, 0.0))
        return
    if dispatch.fetch.fetch_type == AUTO:
        auto_order.order(state, turn, out, dispatch)
    turn.outbox.dispatches.append(dispatch)


def _jar(state: State, project: str, session: str) -> list[str]:
    """The cookies of a named session, which others may have written."""
    text = state.taskdb.state_of(project, SESSION + session) if state.shared else None
    if text is not None:
        state.jars[project, session] = msgspec.json.decode(text, type=list[str])
    return state.jars.get((project, session), [])


def dispatch_of(state: State, project: ProjectState, row: TaskRow, attempt: int, script: str) -> Dispatch:
    """The message for one leased task, with crawl_config joined in [H61]."""
    fetch = join(row.fetch, project.config_fetch)
    process = join(row.process, project.config_process)
    schedule = row.schedule
    if row.retried:
        schedule = msgspec.structs.replace(schedule, retried=row.retried)
    save = NIL if row.save is None else Raw(msgspec.msgpack.encode(msgspec.json.decode(row.save)))
    same = row.lastcrawltime > project.script_saved  # else an unchanged page would keep a new callback from it
    jar = _jar(state, row.project, fetch.session) if fetch.session is not None else []
    return Dispatch(
        row.project, row.taskid, row.run, attempt, row.url, script, process.callback, process.process_time_limit or 0,
        AWAIT if is_await(row) else TASK, schedule, fetch, save, row.lastcrawltime, project.row.group,
        row.etag if same else None, row.last_modified if same else None, jar, None, row.partition,
    )  # fmt: skip
