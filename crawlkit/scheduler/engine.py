"""The scheduler without its clock and its queues: one call, one turn, one transaction.

Synchronous; it blocks on the stores, so services run it in a thread. A commit that failed may have been kept, and is
made again as it was. After any other ``StoreUnavailable`` the memory of the engine is worthless and is read again from
the stores at the next turn: nothing was sent that was not committed.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import partial
from typing import Any, NamedTuple

from crawlkit.database.base import ProjectStore, TaskStore
from crawlkit.libs.errors import CrawlkitError, Overspent, StoreUnavailable
from crawlkit.libs.messages import Outcome
from crawlkit.libs.rows import Key, Letter, ProjectRow, Writes
from crawlkit.scheduler import (
    actions,
    awaits,
    cron,
    intake,
    kinds,
    loading,
    mail,
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
    totals,
    waking,
    why,
)
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.state import Out, State
from crawlkit.scheduler.summary import Summary
from crawlkit.scheduler.turn import Inbox, Outbox, Submission, Turn

HOUSEKEEPING = 60.0  # seconds between dumps of the counters and prunings
PRUNE_ROWS, PRUNE_ROUNDS = 2_000, 100  # old attempts removed a time, and times in one housekeeping
CLOCK_JUMP = 10.0  # seconds the wall clock may go back before waiting retries are moved along
NAMES_CHECK = 60.0  # seconds between looks for removed projects
DROP_AT_ONCE = 4  # chunks of a removed project that do not wait for a turn
SNAPSHOT = 0.25  # seconds between snapshots for onlookers, while busy
FRESH = 5.0  # seconds after which what a turn decided is out of date, if it is committed only then


class Unsure(NamedTuple):
    """A turn whose transaction the store did not confirm. Its memory is that of the engine."""

    turn: Turn
    writes: Writes
    fresh: bool  # it read the stores


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
        self.snapshot: dict[str, Any] = {"projects": {}, "leased": 0, "idle": False, "drained": False}
        self._drop_results = drop_results
        #: The partitions that are this scheduler's; ``None``: there is only one, and so only one scheduler.
        self.mine: frozenset[int] | None = None if self.settings.partitions <= 1 else frozenset()
        self._state: State | None = None
        self._unsure: Unsure | None = None
        self._out: dict[Key, Out] = {}  # leases that were forgotten, until they are read again
        self._done_mono = 0.0  # when the last turn began that was committed
        self._sent = 0
        self._stored_epochs: dict[int, str | None] = {}
        self._mail_page = mail.PAGE  # letters that a turn takes
        self._spoilt: list[Letter] = []  # those with which a turn failed
        self._last_now = self._last_mono = 0.0
        self._overdue_checked = self._house_kept = self._names_checked = self._polled = self._snapped = 0.0
        self._summary = Summary(0.0)

    @property
    def state(self) -> State:
        if self._state is None:
            raise RuntimeError("the engine has not been loaded: call turn() first")
        return self._state

    def own(self, mine: frozenset[int]) -> None:
        """From now on these partitions are this scheduler's: what it knows is read again. Between two turns only."""
        if mine != self.mine:
            self.mine = mine
            self.forget()

    def forget(self) -> None:
        """The next turn reads everything again. Between two turns only."""
        if self._state is not None:
            self._sent = self._state.sent
            self._out = self._out or self._state.leases
        self._state = self._unsure = None

    @property
    def leased(self) -> int:
        """Tasks out, as of the last turn."""
        return 0 if self._state is None else len(self._state.leases) - self._state.parked_out

    def turn(self, now: float, inbox: Inbox, mono: float | None = None) -> Outbox:
        """Applies what arrived, decides, commits, and returns what to send now that it is durable.

        Raises ``StoreUnavailable``: then the same ``inbox`` is to be offered again. Unless the store kept the turn
        though it did not say so, nothing was taken in.
        """
        mono = now if mono is None else mono
        try:
            again = self._again(inbox, mono)
            return self._turn(now, inbox, mono) if again is None else again
        except CrawlkitError:
            if self._unsure is None:
                self.forget()
            raise
        except BaseException as error:
            taken = self._state.letters if self._state is not None else []
            self.forget()
            if not taken or not isinstance(error, Exception):
                raise
            self._spoilt = taken
        return self._without_mail(now, inbox, mono)

    def _again(self, inbox: Inbox, mono: float) -> Outbox | None:
        """Commits once more what may have been kept, if that was the turn of this inbox; its end, or ``None``."""
        unsure, self._unsure = self._unsure, None
        if unsure is None or unsure.turn.inbox is not inbox:
            if unsure is not None:
                self.forget()
            return None
        outbox = self._commit(unsure)
        if mono - unsure.turn.mono > FRESH:
            self.forget()
            outbox.wake = 0.0
        return outbox

    def _without_mail(self, now: float, inbox: Inbox, mono: float) -> Outbox:
        """A turn failed in which letters were taken: if it goes without them, one of them was the reason.

        They are taken one by one from then on; the one that fails alone is dropped, and counted.
        """
        self._mail_page = 0
        try:
            outbox = self._turn(now, inbox, mono)
        except BaseException:
            self.forget()
            raise
        finally:
            self._mail_page = 1
        if len(self._spoilt) == 1:
            letter, self._mail_page = self._spoilt[0], mail.PAGE
            log_lost = Writes(mail_taken=[letter.id])
            log_lost.count(letter.project, "refused", "malformed")
            self.taskdb.commit(log_lost)
        outbox.wake = 0.0
        return outbox

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
        if not fresh:
            totals.refresh(state, turn)
        state.stir_due(now)
        for project in state.lively.values():
            if project.loaded:
                projects.refill(state, project)
        projects.bound(state)
        if fresh:
            loading.count_leases(state)
        if fresh or any(self.epoch != stored for stored in self._stored_epochs.values()):
            self._check_epoch(turn)
        actions.take_orders(state, turn)
        actions.step(state, turn)
        self._drop_some(turn)
        if state.shared:
            self._take_mail(turn)
        outcomes.take_status(state, turn)
        if mono - self._overdue_checked >= 1.0:
            self._overdue_checked = mono
            outcomes.end_overdue(state, turn)
        self._stir_touched(turn)
        ticks.end(state, turn)
        for name in filter(state.has, turn.answered):
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
        notices.tell(state, turn, self.snapshot["idle"])
        self._keep_house(turn)
        retire.some(state, turn)
        return self._commit(Unsure(turn, turn.finish(), fresh))

    def _commit(self, end: Unsure) -> Outbox:
        """The end of a turn: its transaction, and what is counted when that was made."""
        state, (turn, writes, fresh) = self.state, end
        if writes:
            try:
                self.taskdb.commit(writes)
            except Overspent:
                raise
            except StoreUnavailable:
                self._unsure = end
                raise
            for (name, event), n in turn.events.items():
                state.counters.add(name, event, n, turn.now)
            for (name, what), (total, number) in turn.observed.items():
                state.counters.observe(name, what, total, turn.now, int(number))
            for (name, event, reason), n in writes.ledger.items():
                if name in state.projects:
                    totals.add(state.projects[name], event, reason, n)
        self._done_mono = turn.mono
        turn.outbox.wake = waking.wake(state, turn)
        if fresh or turn.mono - self._snapped >= SNAPSHOT or not state.leases:
            self._snapped = turn.mono
            self.snapshot = self._summary.look(state, turn)
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
        for name, _ in state.actions:
            state.stir(name)

    # -- memory ------------------------------------------------------------------------------------------------------

    def _load(self, turn: Turn, only: Container[str] | None = None) -> None:
        state = self._state = State(self.taskdb, self.projectdb, self.settings, mine=self.mine)
        state.sent = self._sent
        state.node = self.node
        self._overdue_checked = self._house_kept = self._names_checked = turn.mono
        self._polled = self._snapped = turn.mono
        self._summary = Summary(turn.mono)
        self._stored_epochs = loading.load(state, turn, only)
        loading.remember_leases(state, self._out, turn.mono - self._done_mono)
        self._out = {}

    def _check_epoch(self, turn: Turn) -> None:
        """Leases given through a broker that is gone, or lost its messages, come back at once."""
        state, stored = self.state, self._stored_epochs
        if self.epoch is not None and any(self.epoch != one for one in stored.values()):
            for key, out in list(state.leases.items()):
                part = state.partition(key[0], out.row.host)
                if self.epoch != stored.get(part, self.epoch) and not out.parked:
                    outcomes.lose(state, turn, key, out, "broker_gone", blame=False)
            for part in stored:
                turn.writes.state[loading.epoch_entry(part)] = stored[part] = self.epoch
        for key in [key for key in state.postponed if key not in state.leases]:
            intake.resume_postponed(state, turn, key)

    # -- other schedulers --------------------------------------------------------------------------------------------

    def _take_mail(self, turn: Turn) -> None:
        """What others wrote for this one."""
        state = self.state

        def carry_out(letter: Letter, order: mail.Written) -> bool:
            if order.kind == actions.DROP:
                self._drop_by_mail(turn, letter.project)
                return True
            if order.kind == actions.DROPPED:
                self._take_dropped(turn, letter.project)
                return True
            return actions.take_letter(state, turn, letter, order)

        def answered(child: Key, blob: str) -> None:
            awaits.answered(state, turn, child, blob)

        none_left = mail.take(state, turn, self._mail_page, partial(self._meet, turn), carry_out, answered)
        if none_left:
            self._mail_page = mail.PAGE

    def _meet(self, turn: Turn, name: str) -> bool:
        """Whether there is such a project: it may have been put a moment ago."""
        state = self.state
        if name not in state.projects and not state.dropping(name):
            row = self.projectdb.get(name)
            if row is not None:
                self._take_row(turn, row)
        return name in state.projects

    def _drop_by_mail(self, turn: Turn, name: str) -> None:
        """Another scheduler removes a project: who has its home does that."""
        state = self.state
        if state.dropping(name) or not self._is_removed(name):
            return  # an old letter: it may be another project of that name by now
        self._forget(name)
        state.forget(name)
        state.counters.drop(name)
        if state.has(name):
            state.actions[name, 0] = actions.Action(actions.DROP, turn.now)
        else:
            state.removing.add(name)

    def _take_dropped(self, turn: Turn, name: str) -> None:
        """... and nothing is left of it."""
        if not self._is_removed(name):  # else it is removed once more
            self.state.removing.discard(name)
            self._meet(turn, name)

    def _is_removed(self, name: str) -> bool:
        """Whether it stands written that the rows of that project are to go."""
        text = self.taskdb.state_of(name, actions.ENTRY)
        return text is not None and actions.read(text).kind == actions.DROP

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
            totals.load_one(state.projects[row.name], self.taskdb.ledger(row.name))

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
            if not self.state.has(row.name):
                continue
            marked = "delete" in row.group.lower().replace(",", " ").split()
            if row.status == "STOP" and marked and turn.now - row.updatetime >= self.settings.delete_time:
                self.drop(row.name)

    def drop(self, name: str) -> None:
        """Removes a project with all it has. Safe while crawling: what is still out comes back to nothing.

        When this returns it is out of the projectdb, and it is written down that its rows are to go: if they are many
        the next turns remove them in chunks. A project that is put under its name meanwhile begins when they are gone.
        """
        if self._unsure is not None:
            self.forget()
        action = actions.Action(actions.DROP, self._last_now)
        if self._state is None and self.mine is not None:
            raise StoreUnavailable("the scheduler has not read its stores yet: ask again in a moment")
        told = Turn(self._last_now, self._last_mono, Inbox())
        told.writes.state[name, actions.ENTRY] = actions.text_of(action)
        state = self._state
        if state is not None:
            mail.send_order(state, told, name, mail.Written(actions.DROP))
        self.taskdb.commit(told.finish())
        self.projectdb.drop(name)
        action.named = True
        self.taskdb.commit(Writes(state={(name, actions.ENTRY): actions.text_of(action)}))
        if state is not None:
            self._forget(name)
            state.forget(name)
            state.counters.drop(name)
            if not state.has(name):
                state.removing.add(name)  # who has its home does the rest
                return
            state.actions = {key: one for key, one in state.actions.items() if key[0] != name}
            state.actions[name, 0] = action
            if state.shared:
                return  # others may still have it in hand
        for _ in range(DROP_AT_ONCE):
            if not self._drop_chunk(name):
                self.taskdb.commit(Writes(state={(name, actions.ENTRY): None}))
                if self._state is not None:
                    self._state.actions.pop((name, 0), None)
                return

    def _drop_chunk(self, name: str) -> bool:
        """Whether there may be more."""
        if self.taskdb.drop_some(name, actions.CHUNK):
            return True
        return self._drop_results is not None and bool(self._drop_results(name))

    def _drop_some(self, turn: Turn) -> None:
        """The next chunk of one removed project."""
        state = self.state
        name = next((name for (name, _), action in state.actions.items() if action.kind == actions.DROP), None)
        if name is None:
            return
        action = state.actions[name, 0]
        if state.shared and not action.named and self._dropper_is_at_it(turn, name, action):
            return
        del state.actions[name, 0]
        more = self._drop_chunk(name)  # first: it is refused to one who lost the taskdb to another scheduler
        if not action.named:
            self.projectdb.drop(name)  # a crash may have come between the order and this
            action.named = True
        if more and state.shared:
            action.started = turn.now
        elif state.shared and 0 <= turn.now - action.started < actions.DROP_QUIET:
            more = True  # what others had in hand may still come
        if more:
            state.actions[name, 0] = action  # behind the others
            turn.writes.state[name, actions.ENTRY] = actions.text_of(action)
            return
        turn.writes.state[name, actions.ENTRY] = None
        mail.send_order(state, turn, name, mail.Written(actions.DROPPED))
        row = self.projectdb.get(name)
        if row is not None:
            self._take_row(turn, row)

    def _dropper_is_at_it(self, turn: Turn, name: str, action: actions.Action) -> bool:
        """Whether the scheduler that was told takes the project out of the projectdb. It need not live any more."""
        text = self.taskdb.state_of(name, actions.ENTRY)
        action.named = text is not None and actions.read(text).named
        return not action.named and 0 <= turn.now - action.started < 2 * actions.DROP_QUIET

    # -- rules over several rooms ------------------------------------------------------------------------------------

    def _finish(self, turn: Turn) -> None:
        """on_finished: once per drain, when nothing is queued, waiting, leased or on its way [S60]."""
        if turn.inbox.newtasks_waiting:
            return
        state = self.state
        for name, project in list(state.lively.items()):
            if project.active_tasks or project.accepted <= project.finished_at or project.info is None:
                continue
            if not project.active or project.info_script != project.row.runs or not state.has(name):
                continue
            accepted = project.accepted
            if state.shared:
                active, accepted = totals.whole(state, turn, name)
                if active or accepted <= project.finished_at:
                    continue
            project.finished_at = accepted
            turn.writes.state[name, "finished_at"] = str(project.finished_at)
            if project.info.has_on_finished:
                turn.submissions.append(Submission(kinds.command(name, "on_finished"), "on_finished"))
        intake.admit(state, turn)

    def _keep_house(self, turn: Turn) -> None:
        if turn.mono - self._house_kept < HOUSEKEEPING:
            return
        self._house_kept = turn.mono
        if not self.state.first:
            return  # who has the first partition does it for all
        turn.writes.state["", "counters"] = self.state.counters.dump()
        for _ in range(PRUNE_ROUNDS):
            if self.taskdb.prune_attempts(turn.now - self.settings.keep_attempts, PRUNE_ROWS) < PRUNE_ROWS:
                break
        self.taskdb.prune_ticks(turn.now - self.settings.keep_ticks)
        self.taskdb.prune_nodes(turn.now - self.settings.keep_nodes)
        metrics.prune(self.state, turn.now)

    def stop(self, now: float) -> None:
        """Keeps the counters. The last call."""
        if self._state is None or self._unsure is not None:
            return
        turn = Turn(now, now, Inbox())
        metrics.keep(self._state, turn, last=True)
        if self._state.first:
            turn.writes.state["", "counters"] = self.state.counters.dump()
        nodes.farewell(self._state, turn)
        self.taskdb.commit(turn.finish())

    # -- for onlookers -----------------------------------------------------------------------------------------------

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
        loading.count_leases(self.state)

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
