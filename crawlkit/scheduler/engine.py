"""The scheduler without its clock and its queues: one call, one turn, one transaction.

Synchronous; it blocks on the stores, so services run it in a thread. After any ``StoreUnavailable`` its memory is
worthless and is read again from the stores at the next turn: nothing was sent that was not committed.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

import msgspec

from crawlkit.database.base import ProjectStore, TaskStore
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.libs.messages import Outcome
from crawlkit.libs.rows import ProjectRow, TaskRow, Writes
from crawlkit.libs.task import Task
from crawlkit.scheduler import (
    actions,
    auto,
    auto_order,
    awaits,
    cron,
    intake,
    kinds,
    metrics,
    nodes,
    notices,
    outcomes,
    overview,
    politeness,
    projects,
    retire,
    sending,
    ticks,
    why,
)
from crawlkit.scheduler.pause import PauseState
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.state import Out, ProjectState, State
from crawlkit.scheduler.turn import Inbox, Outbox, Submission, Turn

HOUSEKEEPING = 60.0  # seconds between dumps of the counters and prunings
PRUNE_ROWS, PRUNE_ROUNDS = 2_000, 100  # old attempts removed a time, and times in one housekeeping
CLOCK_JUMP = 10.0  # seconds the wall clock may go back before waiting retries are moved along
NAMES_CHECK = 60.0  # seconds between looks for removed projects
DROP_AT_ONCE = 4  # chunks of a removed project that do not wait for a turn
LOOK_AGAIN = 5.0  # seconds after which onlookers hear anew of projects to which nothing happened
SNAPSHOT = 0.25  # seconds between snapshots for onlookers, while busy


class Engine:
    """See :meth:`turn`. ``now`` is Unix time, ``mono`` a clock that never goes back; both in seconds."""

    def __init__(
        self,
        taskdb: TaskStore,
        projectdb: ProjectStore,
        settings: EngineSettings | None = None,
        drop_results: Callable[[str], int] | None = None,
    ) -> None:
        """``drop_results`` removes some results of a removed project; it is called until it returns 0."""
        self.taskdb = taskdb
        self.projectdb = projectdb
        self.settings = settings or EngineSettings()
        self.epoch: str | None = None  # of the broker; leases of another one come back at once
        self.node = ""  # what its own heartbeats call it
        self.projects_changed = False  # set from outside: look at the projectdb at the next turn
        self.snapshot: dict[str, Any] = {"projects": {}, "leased": 0, "drained": False}
        self._drop_results = drop_results
        self._state: State | None = None
        self._sent = 0
        self._stored_epoch: str | None = None
        self._last_now = self._last_mono = 0.0
        self._overdue_checked = self._house_kept = self._names_checked = self._polled = self._snapped = 0.0
        self._looked = 0.0
        self._seen: dict[str, dict[str, Any]] = {}  # what was told to onlookers of projects that nothing happened to

    @property
    def state(self) -> State:
        if self._state is None:
            raise RuntimeError("the engine has not been loaded: call turn() first")
        return self._state

    def turn(self, now: float, inbox: Inbox, mono: float | None = None) -> Outbox:
        """Applies what arrived, decides, commits, and returns what to send now that it is durable.

        Raises ``StoreUnavailable``: then nothing was taken in, and ``inbox`` is to be offered again.
        """
        try:
            return self._turn(now, inbox, now if mono is None else mono)
        except BaseException:
            if self._state is not None:
                self._sent = self._state.sent
            self._state = None
            raise

    def _turn(self, now: float, inbox: Inbox, mono: float) -> Outbox:
        turn = Turn(now, mono, inbox)
        fresh = self._state is None
        if fresh:
            self._load(turn)
        state = self.state
        if now < self._last_now - CLOCK_JUMP and not fresh:
            projects.follow_clock(state, turn, self._last_now - now)
            actions.clock_set_back(state)
        self._last_now, self._last_mono = now, mono
        metrics.keep(state, turn)
        self._look_at_projects(turn, fresh)
        state.stir_due(now)
        for project in state.lively.values():
            if project.loaded:
                projects.refill(state, project)
        projects.bound(state)
        if fresh:
            for name, _ in state.leases:
                if name in state.projects:
                    state.projects[name].leased += 1
        if fresh or self.epoch != self._stored_epoch:
            self._check_epoch(turn)
        actions.take_orders(state, turn)
        actions.step(state, turn)
        self._drop_some(turn)
        outcomes.take_status(state, turn)
        if mono - self._overdue_checked >= 1.0:
            self._overdue_checked = mono
            outcomes.end_overdue(state, turn)
        self._stir_touched(turn)
        ticks.end(state, turn)
        for name in turn.answered:
            ticks.plan(state, turn, state.projects[name])
        ticks.run_due(state, turn)
        sending.wake_due(state, turn)
        intake.admit(state, turn)
        if turn.ended_ticks:  # one was cancelled
            ticks.end(state, turn)
            intake.admit(state, turn)
        self._stir_touched(turn)
        self._finish(turn)
        sending.send(state, turn)
        nodes.write(state, turn)
        politeness.write(state, turn)
        notices.tell(state, turn, self.snapshot["drained"])
        self._keep_house(turn)
        retire.some(state, turn)
        writes = turn.finish()
        if writes:
            self.taskdb.commit(writes)
            for (name, event), n in turn.events.items():
                state.counters.add(name, event, n, now)
            for (name, event, reason), n in writes.ledger.items():
                if name in state.projects:
                    totals = state.projects[name].totals
                    totals[event] = totals.get(event, 0) + n
                    _note_reason(state.projects[name], event, reason, n)
        turn.outbox.wake = self._wake(turn)
        if fresh or mono - self._snapped >= SNAPSHOT or not state.leases:
            self._snapped = mono
            self.snapshot = self._look(turn)
        return turn.outbox

    def _stir_touched(self, turn: Turn) -> None:
        """Whatever happens to a project is counted, ordered, or an answer to what it was sent."""
        state = self.state
        for name in {name for name, _, _ in turn.writes.ledger}:
            state.stir(name)
        for message in turn.inbox.status:
            if isinstance(message, Outcome):
                state.stir(message.project)
        for order in turn.inbox.orders:
            state.stir(order.project)
        for name in state.actions:
            state.stir(name)

    # -- memory ------------------------------------------------------------------------------------------------------

    def _load(self, turn: Turn, only: Container[str] | None = None) -> None:
        state = State(self.taskdb, self.projectdb, self.settings)
        self._state = state
        state.sent = self._sent
        state.node = self.node
        self._overdue_checked = self._house_kept = self._names_checked = turn.mono
        self._polled = self._snapped = self._looked = turn.mono
        self._seen = {}
        stored = self.taskdb.state()
        state.seq = self.taskdb.max_seq()
        state.last_ticks = self.taskdb.last_ticks()
        self._load_leases(turn, state)
        nodes.load(state, turn, self.taskdb.nodes())
        notices.load(state, turn, stored)
        if ("", retire.ENTRY) in stored:
            retire.load(state, stored["", retire.ENTRY])
        for (name, entry), text in stored.items():
            if entry == actions.ENTRY:
                actions.load(state, name, text)
        for row in self.projectdb.all():
            state.projects_seen = max(state.projects_seen, row.updatetime)
            if not state.dropping(row.name) and (only is None or row.name in only):
                projects.apply_row(state, turn, row)
        actions.note_clearing(state)
        for (name, event, reason), n in self.taskdb.ledger().items():
            _enter(state.projects.get(name), event, reason, n)
        for (name, entry), text in stored.items():
            self._load_entry(state, turn, name, entry, text)
        politeness.load(state, turn, stored)
        if ("", "counters") in stored:
            state.counters.load(stored["", "counters"], turn.now)
        self._stored_epoch = stored.get(("", "epoch"))

    def _load_leases(self, turn: Turn, state: State) -> None:
        leases = self.taskdb.leases()
        keys = [(lease.project, lease.taskid) for lease in leases]
        rows = self.taskdb.get_many(keys) if keys else {}
        for lease, key in zip(leases, keys, strict=True):
            row = rows.get(key)
            if row is None:
                turn.writes.unlease.append(key)
                continue
            # nobody knows how long the scheduler was away: every holder gets a whole lease to speak up
            until = turn.mono + self.settings.lease
            out = Out(row, lease.attempt, lease.since or turn.now, turn.mono, until, "", lease.node)
            state.leases[key] = out

    def _load_entry(self, state: State, turn: Turn, name: str, entry: str, text: str) -> None:
        project = state.projects.get(name)
        if entry == "finished_at" and project is not None:
            project.finished_at = int(text)
        elif entry == "bucket" and project is not None:
            project.bucket.load(text, turn.mono, turn.now)
        elif entry == "pause" and project is not None:
            limits = self.settings
            project.pause = PauseState.from_json(
                text, limits.fail_pause_num, limits.pause_time, limits.unpause_check_num
            )
        elif entry.startswith("cron_since:"):
            key = (name, entry.partition(":")[2])
            state.last_ticks.setdefault(key, float(text))
        elif entry.startswith("session:"):
            state.jars[name, entry.partition(":")[2]] = msgspec.json.decode(text, type=list[str])
        elif entry.startswith(outcomes.PARTS):
            outcomes.load_parts(state, name, entry, text)
        elif entry.startswith(auto_order.ENTRY) and project is not None:
            auto_order.load(state, name, text)
        elif entry.startswith(awaits.ENTRY):
            awaits.load(state, name, entry, text)
        elif entry == "pages" and project is not None:
            project.pages = int(text) if project.row.max_pages is not None else 0
        elif entry == projects.BOUNDS and project is not None:
            projects.load_bounds(state, turn, project, text)
        elif entry == retire.RUN_BASE and project is not None:
            project.run_base = int(text)
        elif entry == "forgotten" and project is not None:
            project.forgotten = int(text)
        elif entry.startswith("postponed:"):
            state.postponed[(name, entry.partition(":")[2])] = msgspec.json.decode(text, type=Task)

    def _check_epoch(self, turn: Turn) -> None:
        """Leases given through a broker that is gone, or lost its messages, come back at once."""
        state = self.state
        for key, out in list(state.leases.items()):
            if self.epoch is not None and self.epoch != self._stored_epoch and not out.parked:
                outcomes.lose(state, turn, key, out, "broker_gone", blame=False)
        if self.epoch is not None and self.epoch != self._stored_epoch:
            turn.writes.state["", "epoch"] = self._stored_epoch = self.epoch
        for key in [key for key in state.postponed if key not in state.leases]:
            intake.resume_postponed(state, turn, key)

    def _look_at_projects(self, turn: Turn, fresh: bool) -> None:
        state = self.state
        if fresh or not (self.projects_changed or turn.mono - self._polled >= self.settings.project_poll):
            return
        names_too = self.projects_changed or turn.mono - self._names_checked >= NAMES_CHECK
        self.projects_changed, self._polled = False, turn.mono
        for row in self.projectdb.changed_since(state.projects_seen):
            state.projects_seen = max(state.projects_seen, row.updatetime)
            if not state.dropping(row.name):
                self._take_row(turn, row)
        if names_too:
            self._names_checked = turn.mono
            for name in set(state.projects) - set(self.projectdb.names()):
                self._forget(name)
        self._delete_marked(turn)

    def _take_row(self, turn: Turn, row: ProjectRow) -> None:
        state = self.state
        known = row.name in state.projects
        projects.apply_row(state, turn, row)
        if not known:
            for (_, event, reason), n in self.taskdb.ledger(row.name).items():
                _enter(state.projects[row.name], event, reason, n)

    def _forget(self, name: str) -> None:
        state = self.state
        state.projects.pop(name, None)
        state.lively.pop(name, None)
        state.known.drop(name)
        state.gate.limit(name, None, self._last_mono)
        for key in [key for key in state.leases if key[0] == name]:
            out = state.leases.pop(key)
            if out.asks:
                state.gate.ended(out.asks, self._last_mono)
            awaits.set_parked(state, key, out, False)

    def _delete_marked(self, turn: Turn) -> None:
        """The delete rule: stopped, marked ``delete`` in its group, and untouched for long enough [S09]."""
        for project in list(self.state.projects.values()):
            row = project.row
            marked = "delete" in row.group.lower().replace(",", " ").split()
            if row.status == "STOP" and marked and turn.now - row.updatetime >= self.settings.delete_time:
                self.drop(row.name)

    def drop(self, name: str) -> None:
        """Removes a project with all it has. Safe while crawling: what is still out comes back to nothing.

        When this returns it is out of the projectdb, and it is written down that its rows are to go: if they are many
        the next turns remove them in chunks. A project that is put under its name meanwhile begins when they are gone.
        """
        action = actions.Action(actions.DROP, self._last_now)
        self.taskdb.commit(Writes(state={(name, actions.ENTRY): actions.text_of(action)}))
        self.projectdb.drop(name)
        action.named = True
        self.taskdb.commit(Writes(state={(name, actions.ENTRY): actions.text_of(action)}))
        if self._state is not None:
            self._forget(name)
            self._state.forget(name)
            self._state.counters.drop(name)
            self._state.actions[name] = action
        for _ in range(DROP_AT_ONCE):
            if not self._drop_chunk(name):
                self.taskdb.commit(Writes(state={(name, actions.ENTRY): None}))
                if self._state is not None:
                    self._state.actions.pop(name, None)
                return

    def _drop_chunk(self, name: str) -> bool:
        """Whether there may be more."""
        if self.taskdb.drop_some(name, actions.CHUNK):
            return True
        return self._drop_results is not None and bool(self._drop_results(name))

    def _drop_some(self, turn: Turn) -> None:
        """The next chunk of one removed project."""
        state = self.state
        name = next((name for name in state.actions if state.dropping(name)), None)
        if name is None:
            return
        action = state.actions.pop(name)
        more = self._drop_chunk(name)  # first: it is refused to one who lost the taskdb to another scheduler
        if not action.named:
            self.projectdb.drop(name)  # a crash may have come between the order and this
            action.named = True
        if more:
            state.actions[name] = action  # behind the others
            turn.writes.state[name, actions.ENTRY] = actions.text_of(action)
            return
        turn.writes.state[name, actions.ENTRY] = None
        row = self.projectdb.get(name)
        if row is not None:
            self._take_row(turn, row)

    # -- rules over several rooms ------------------------------------------------------------------------------------

    def _finish(self, turn: Turn) -> None:
        """on_finished: once per drain, when nothing is queued, waiting, leased or on its way [S60]."""
        if turn.inbox.newtasks_waiting:
            return
        state = self.state
        for project in state.lively.values():
            if project.active_tasks or project.accepted <= project.finished_at or project.info is None:
                continue
            if not project.active or project.info_script != project.row.runs:
                continue
            project.finished_at = project.accepted
            turn.writes.state[project.row.name, "finished_at"] = str(project.finished_at)
            if project.info.has_on_finished:
                turn.submissions.append(Submission(kinds.command(project.row.name, "on_finished"), "on_finished"))
        intake.admit(state, turn)

    def _keep_house(self, turn: Turn) -> None:
        if turn.mono - self._house_kept < HOUSEKEEPING:
            return
        self._house_kept = turn.mono
        turn.writes.state["", "counters"] = self.state.counters.dump()
        for _ in range(PRUNE_ROUNDS):
            if self.taskdb.prune_attempts(turn.now - self.settings.keep_attempts, PRUNE_ROWS) < PRUNE_ROWS:
                break
        self.taskdb.prune_ticks(turn.now - self.settings.keep_ticks)
        self.taskdb.prune_nodes(turn.now - self.settings.keep_nodes)
        metrics.prune(self.state, turn.now)

    def stop(self, now: float) -> None:
        """Keeps the counters. The last call."""
        if self._state is None:
            return
        turn = Turn(now, now, Inbox())
        metrics.keep(self._state, turn, last=True)
        turn.writes.state["", "counters"] = self.state.counters.dump()
        nodes.farewell(self._state, turn)
        self.taskdb.commit(turn.finish())

    def _wake(self, turn: Turn) -> float:
        """Seconds until something is due without a message."""
        state, now, mono = self.state, turn.now, turn.mono
        if state.actions:
            return 0.0
        wake = self.settings.project_poll
        out = len(state.leases) - state.parked_out
        room = min(turn.inbox.room - len(turn.outbox.dispatches), self.settings.max_leased - out)
        if state.leases or state.nodes:
            wake = min(wake, 1.0)
        if state.retire_due:
            wake = min(wake, state.retire_at - mono)
        if state.ticks:
            wake = min(wake, state.ticks[0][0] - now)
        if state.waiting and room > 0:
            wake = min(wake, state.gate.next(mono))
        asks = sending.asks_of(state, mono)
        for project in list(state.lively.values()):
            if projects.is_quiet(state, project):
                state.rest(project)
                continue
            if not project.loaded:
                continue
            if (row := project.time.peek()) is not None:
                wake = min(wake, row.rank - now)
            head = project.ready.peek(asks)
            if head is not None and room > 0 and sending.may_send(state, project) and not sending.full(state, project):
                wake = min(wake, self._wait_of(project, head, turn))
            if project.ready.wants() or project.time.needs_refill(1):
                wake = 0.0
            if project.info_asked is not None and room > 0:
                wake = min(wake, project.info_asked + self.settings.info_retry - mono)
        if state.due:
            wake = min(wake, state.due[0][0] - now)
        return max(0.0, wake)

    def _wait_of(self, project: ProjectState, head: TaskRow, turn: Turn) -> float:
        if kinds.is_internal(head.url):
            return 0.0
        if project.pause.state(turn.now) != "running":
            at = project.pause.wake_at(turn.now)
            return 1.0 if at is None else max(0.0, at - turn.now)
        if sending.unmetered(project, head):
            return 0.0
        return project.bucket.wait(turn.mono)

    # -- for onlookers -----------------------------------------------------------------------------------------------

    def _look(self, turn: Turn) -> dict[str, Any]:
        state = self.state
        if turn.mono - self._looked >= LOOK_AGAIN:
            self._looked = turn.mono
            self._seen = {}
        for name in state.stirred | state.lively.keys():
            self._seen.pop(name, None)
        state.stirred.clear()
        known, self._seen = self._seen, {}
        for name, project in state.projects.items():
            self._seen[name] = known.get(name) or _look_at(state, project, turn.now)
        seen = dict(self._seen)
        drained = not state.leases and all(entry["drained"] for entry in seen.values())
        there = [msgspec.structs.asdict(one.beat) | {"held": len(one.beat.held)} for one in state.nodes.values()]
        limit = self.settings.max_pages
        if limit is not None and state.sent >= limit and not state.leases:
            drained = True
        return {"projects": seen, "leased": len(state.leases), "drained": drained, "nodes": there, "sent": state.sent,
                "time": turn.now}  # fmt: skip

    def overview(self, now: float) -> dict[str, Any]:
        """How all projects stand: see :mod:`crawlkit.scheduler.overview`."""
        if self._state is None:
            return {"time": now, "loaded": False, "projects": {}}
        return {"time": now, "loaded": True, "projects": overview.overview(self._state, now)}

    def hosts(self, now: float, mono: float, limit: int = 100, project: str | None = None) -> list[dict[str, Any]]:
        """The hosts that may not be asked now: see :func:`crawlkit.scheduler.politeness.look`."""
        return [] if self._state is None else politeness.look(self._state, now, mono, limit, project)

    def look(self, now: float, mono: float, only: Container[str]) -> None:
        """Reads what the stores have of these projects and changes nothing: for :meth:`why` where no scheduler runs.

        Never followed by a turn.
        """
        self._load(Turn(now, mono, Inbox()), only)
        for name, _ in self.state.leases:
            if name in self.state.projects:
                self.state.projects[name].leased += 1

    def why(self, asked: list[why.Question], moment: why.Moment) -> list[why.Answer]:
        """Why each was crawled or not, and when it is next: see :mod:`crawlkit.scheduler.why`."""
        if self._state is None:
            raise StoreUnavailable("the scheduler has not read its stores yet: ask again in a moment")
        return [why.answer(self._state, one, moment) for one in why.chosen(self._state, asked)]

    def next_ticks(self, project: str, now: float, n: int = 5) -> list[tuple[float, str]]:
        """The next ``n`` instants (Unix time, method) of a project's crons; empty until its handler answered."""
        known = self.state.projects.get(project)
        if known is None or known.info is None or not known.active:
            return []
        found = [(i, spec.method) for spec in known.info.crons for i in cron.next_instants(spec, now, n)]
        return sorted(set(found))[:n]

    def recent(self, project: str | None = None, limit: int = 100) -> list[tuple[float, dict[str, Any]]]:
        """The newest entries of the rings of recent tasks, newest first [S67]; copies, never the live objects [S72]."""
        found = [
            (when, dict(entry))
            for name, one in self.state.projects.items()
            if project is None or name == project
            for when, entry in one.recent
        ]
        found.sort(key=lambda item: -item[0])
        return found[:limit]


def _enter(project: ProjectState | None, event: str, reason: str, n: int) -> None:
    """One entry of the ledger, as the project starts with it."""
    if project is None:
        return
    project.totals[event] = project.totals.get(event, 0) + n
    _note_reason(project, event, reason, n)
    if event == "accepted":
        project.active_tasks += n
        if reason not in kinds.QUIET_SOURCES:
            project.accepted += n
    elif event in projects.ENDS:
        project.active_tasks -= n


def _note_reason(project: ProjectState, event: str, reason: str, n: int) -> None:
    if event == auto.EVENT:
        project.fetched_by[reason] = project.fetched_by.get(reason, 0) + n
    elif event == "refused":
        project.refused[reason] = project.refused.get(reason, 0) + n


def _look_at(state: State, project: ProjectState, now: float) -> dict[str, Any]:
    row, info = project.row, project.info
    retrying = project.retrying
    broken = info is not None and info.error is not None
    quiet = project.leased == 0 and retrying == 0 and len(project.ready) == 0 and project.ready.complete
    quiet |= project.active_tasks == 0  # what was cleared is not read before its host may be asked
    quiet |= project.spent and project.leased == 0 and not sending.may_send(state, project)  # the rest waits for more
    answered = info is not None and project.info_script == row.runs
    pending_finish = project.active_tasks == 0 and project.accepted > project.finished_at and not broken
    return {
        "status": row.status,
        "paused": overview.paused(project, now),
        "pages": project.pages,
        "max_pages": row.max_pages,
        "waiting": project.waiting,
        "ready": len(project.ready),
        "delayed": len(project.time),
        "retrying": retrying,
        "leased": project.leased,
        "totals": dict(project.totals),
        **{event: project.totals.get(event, 0) for event in ("accepted", "done", "failed", "cancelled", "retried")},
        "rate": row.rate,
        "burst": row.burst,
        "rate_set": row.rate_set,
        "info_error": info.error if info is not None else None,
        "answered": answered,
        "drained": not project.active or (answered and quiet and not pending_finish),
    }
