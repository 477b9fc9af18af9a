"""Random histories of the whole scheduler, with crashes and a store that fails, against what must always hold."""

from __future__ import annotations

from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crawlkit.database.memory import MemoryTaskStore
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.libs.messages import CronSpec, Dispatch, FetchEnded, Heartbeat, ProjectInfo
from crawlkit.libs.rows import Writes
from crawlkit.libs.task import Schedule, Status, Task
from crawlkit.scheduler import actions
from crawlkit.scheduler.cron import next_instants
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.turn import Inbox, Outbox, Submission
from tests.scheduler.play import Play
from tests.scheduler.rig import follow, outcome_of

TICK_URL = "data:,_on_cronjob"
NAMES = ["slow", "fast", "free"]
RATES: dict[str, tuple[float | None, float]] = {"slow": (0.2, 1), "fast": (1.0, 3), "free": (None, 1)}
CRONS = [
    CronSpec("each", seconds=240, catch_up="all", overlap="allow"),
    CronSpec("lined", cron="*/9 * * * *", tz="Europe/Paris", catch_up="all", overlap="queue"),
    CronSpec("skipping", seconds=150, catch_up="all", overlap="skip"),
]
TIGHT = EngineSettings(
    window=8, refill=3, known=6, max_leased=7, lease=30, lease_max=90, max_lost=4, retry_delays={"0": 5, "": 40}
)  # fmt: skip


class FaultyStore(MemoryTaskStore):
    """Fails once when told: without having committed, or having done it all the same."""

    fail = ""

    def commit(self, writes: Writes) -> None:
        mode, self.fail = self.fail, ""
        if mode == "before":
            raise StoreUnavailable("as asked")
        super().commit(writes)
        if mode == "after":
            raise StoreUnavailable("as asked, though it was kept")


class World(Play):
    """A play that offers its inbox again when the store fails, and watches what is sent."""

    def __init__(self) -> None:
        super().__init__(TIGHT, ProjectInfo(has_on_finished=True, crons=CRONS))
        self.store = FaultyStore()
        self.taskdb = self.store
        self.start()
        self.same = False  # after a failure the very same inbox is offered again
        self.watched = 0
        self.leases: dict[tuple[str, str], tuple[Dispatch, float]] = {}  # and when it may be taken back at the earliest
        self.attempts: set[tuple[str, str, int, int]] = set()
        self.metered: dict[str, list[float]] = {name: [] for name in NAMES}
        self.ticks: dict[tuple[str, str, float], str] = {}
        self.held: set[str] = set()  # projects that somebody paused
        self.rerun: set[str] = set()  # projects whose failed ticks may run again

    def turn(self, *status: Any, **more: Any) -> Any:
        try:
            outbox = super().turn(*status, **more)
        except StoreUnavailable:
            outbox = super().turn(*status, **more)
        self.watch()
        return outbox

    def offer(self, inbox: Inbox) -> Outbox:
        try:
            return super().offer(inbox)
        except StoreUnavailable:
            if not self.same:
                raise
        return super().offer(inbox)

    def watch(self) -> None:
        """What was sent since the last look."""
        new, self.watched = self.sent[self.watched :], len(self.sent)
        for when, dispatch in new:
            key = (dispatch.project, dispatch.taskid)
            attempt = (*key, dispatch.run, dispatch.attempt)
            assert attempt not in self.attempts, f"{attempt} was sent twice"
            self.attempts.add(attempt)
            if key in self.leases:
                held, until = self.leases[key]
                assert when >= until, f"{key} was sent again after {when - until + TIGHT.lease} s"
                assert (dispatch.run, dispatch.attempt) > (held.run, held.attempt)
            self.leases[key] = (dispatch, when + TIGHT.lease)
            if dispatch.url == TICK_URL:
                tick = (dispatch.project, dispatch.callback or "", dispatch.fetch.save["tick"])
                assert self.ticks.setdefault(tick, dispatch.taskid) == dispatch.taskid, f"{tick} became two tasks"
                assert dispatch.run == 1 or dispatch.project in self.rerun, f"{tick} ran twice"
            elif not dispatch.url.startswith("data:,"):
                assert dispatch.project not in self.held, f"{key} was sent though its project is paused"
                self.check_rate(dispatch.project, when)

    def check_rate(self, name: str, when: float) -> None:
        rate, burst = RATES[name]
        if rate is None:
            return
        times = self.metered[name]
        times.append(when)
        for back, start in enumerate(reversed(times), start=1):
            assert back <= burst + rate * (when - start) + 1e-5, f"{name}: {back} in {when - start} s"

    def holds(self, dispatch: Dispatch) -> bool:
        """Whether the lease of ``dispatch`` still stands, by the store."""
        key = (dispatch.project, dispatch.taskid, dispatch.run, dispatch.attempt)
        return any((lease.project, lease.taskid, lease.run, lease.attempt) == key for lease in self.store.leases())

    def ended(self, dispatch: Dispatch) -> bool:
        """The outcome of ``dispatch`` came; whether it is of the lease that stands."""
        if not self.holds(dispatch):
            return False
        del self.leases[dispatch.project, dispatch.taskid]
        return True


SCHEDULES = st.one_of(
    st.none(),
    st.builds(
        Schedule,
        priority=st.integers(-2, 2),
        retries=st.integers(0, 2),
        age=st.sampled_from([-1.0, -1.0, 0.0, 20.0]),
        itag=st.sampled_from([None, None, "a", "b"]),
        force_update=st.sampled_from([False, False, False, True]),
        cancel=st.sampled_from([False, False, False, False, True]),
        auto_recrawl=st.sampled_from([False, False, False, True]),
    ),
)
PROJECT = st.sampled_from(NAMES)
NUMBER = st.integers(0, 9)


class Histories(RuleBasedStateMachine):
    """Each rule is something that happens to a scheduler."""

    @initialize()
    def begin(self) -> None:
        actions.CHUNK = 2
        self.world = World()
        self.accepted: set[tuple[str, str]] = set()
        self.old: list[Dispatch] = []
        self.running = set(NAMES)
        self.scripts = 0
        for name in NAMES:
            self.save(name)
        self.world.turn()
        self.since = self.latest = self.world.now

    def save(self, name: str) -> None:
        rate, burst = RATES[name]
        status = "RUNNING" if name in self.running else "STOP"
        self.world.project(name, status=status, rate=rate, burst=burst, script=f"# {self.scripts}")

    @rule(name=PROJECT, number=NUMBER, schedule=SCHEDULES, wait=st.sampled_from([0, 0, 0, 50]))
    def submit(self, name: str, number: int, schedule: Schedule | None, wait: float) -> None:
        if schedule is not None and wait:
            schedule.exetime = self.world.now + wait
        url = f"http://h/{number}"
        verdict = self.world.submit(url, name, schedule=schedule)
        assert verdict.accepted
        if verdict.verdict in ("new", "restart", "update", "ignore", "postpone"):
            self.accepted.add((name, url))

    def reply(self, dispatch: Dispatch, ok: bool, children: list[int], parts: bool) -> None:
        follows = [follow(f"http://h/{number}", dispatch.project) for number in children]
        if dispatch.url == TICK_URL or dispatch.url.startswith("data:"):
            follows = []
        messages = [outcome_of(dispatch, ok, follows=follows)]
        if parts:
            messages.insert(0, outcome_of(dispatch, ok, follows=follows))
            messages[0].last, messages[1].part = False, 1
        if self.world.ended(dispatch):
            self.accepted |= {(dispatch.project, child.taskid) for child in follows}
        self.world.turn(*messages)

    @precondition(lambda self: self.world.out)
    @rule(
        which=st.integers(0, 99),
        ok=st.sampled_from([True, True, True, False]),
        children=st.lists(NUMBER, max_size=3),
        parts=st.booleans(),
    )
    def answer(self, which: int, ok: bool, children: list[int], parts: bool) -> None:
        dispatch = self.world.out.pop(which % len(self.world.out))
        self.old.append(dispatch)
        self.reply(dispatch, ok, children, parts)

    @rule(
        name=PROJECT,
        wanted=st.lists(st.tuples(NUMBER, SCHEDULES), max_size=6),
        answers=st.lists(st.booleans(), max_size=6),
        room=st.sampled_from([0, 1, 2, 1000]),
    )
    def much_at_once(
        self, name: str, wanted: list[tuple[int, Schedule | None]], answers: list[bool], room: int
    ) -> None:
        submissions = []
        for number, schedule in wanted:
            url = f"http://h/{number}"
            submissions.append(Submission(Task(name, url, url, schedule), ticket=number))
        outcomes = []
        for ok in answers[: len(self.world.out)]:
            dispatch = self.world.out.pop()
            self.old.append(dispatch)
            self.world.ended(dispatch)
            outcomes.append(outcome_of(dispatch, ok))
        outbox = self.world.turn(*outcomes, submissions=submissions, room=room)
        assert len(outbox.verdicts) == len(submissions)
        assert all(verdict.accepted for _, verdict in outbox.verdicts)

    @rule(seconds=st.sampled_from([-4000.0, -50.0, -0.5, 50.0, 4000.0]))
    def the_date_is_set(self, seconds: float) -> None:
        world = self.world
        world.shift += seconds
        for times in world.metered.values():
            times.clear()  # a restart after this cannot know how long it really was away
        world.turn()
        self.latest = max(self.latest, world.now)

    @precondition(lambda self: self.world.out)
    @rule(which=st.integers(0, 99))
    def lose(self, which: int) -> None:
        self.old.append(self.world.out.pop(which % len(self.world.out)))

    @precondition(lambda self: self.old)
    @rule(which=st.integers(0, 99), ok=st.booleans())
    def answer_late_or_twice(self, which: int, ok: bool) -> None:
        self.reply(self.old[-1 - which % min(len(self.old), 20)], ok, [], False)

    @precondition(lambda self: self.world.out)
    @rule(which=st.integers(0, 99))
    def renew(self, which: int) -> None:
        world = self.world
        held = [world.out[which % len(world.out)]]
        beat = Heartbeat("n", "fetcher", "h", 1, "1", 0.0, [(d.project, d.taskid, d.run, d.attempt) for d in held])
        world.turn(beat)
        for dispatch in held:
            if world.holds(dispatch):
                world.leases[dispatch.project, dispatch.taskid] = (dispatch, world.clock.now + TIGHT.node_timeout)

    @precondition(lambda self: self.world.out)
    @rule(which=st.integers(0, 99))
    def fetched(self, which: int) -> None:
        dispatch = self.world.out[which % len(self.world.out)]
        ended = FetchEnded(dispatch.project, dispatch.taskid, dispatch.run, dispatch.attempt, "h", 200, None, 0.1, None)
        self.world.turn(ended)

    @rule(seconds=st.sampled_from([0.1, 1.0, 1.0, 5.0, 31.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)
        self.latest = max(self.latest, self.world.now)

    @rule()
    def crash(self) -> None:
        self.world.start()
        self.world.turn()

    @rule(mode=st.sampled_from(["before", "after"]), same=st.booleans())
    def the_store_fails(self, mode: str, same: bool) -> None:
        self.world.store.fail, self.world.same = mode, same

    @rule(name=PROJECT)
    def start_or_stop(self, name: str) -> None:
        self.running ^= {name}
        self.save(name)
        self.world.turn()

    @rule(name=PROJECT)
    def new_script(self, name: str) -> None:
        self.scripts += 1
        self.save(name)
        self.world.turn()

    @rule(name=PROJECT, kind=st.sampled_from(["clear", "restart", "retry_failed"]))
    def order(self, name: str, kind: str) -> None:
        """Restarts and clearings let go what waits now, and nothing that is submitted from now on."""
        store = self.world.store
        leased = {(lease.project, lease.taskid) for lease in store.leases()}
        going = {(name, row.taskid) for row in store.select(name, Status.ACTIVE)} - leased
        verdict = self.world.order(kind, name)
        if verdict.accepted and kind == "retry_failed":
            self.world.rerun.add(name)
        elif verdict.accepted:
            self.accepted -= going
        else:
            assert "still under way" in verdict.reason

    @rule(name=PROJECT)
    def pause_or_resume(self, name: str) -> None:
        held = self.world.held
        kind = "resume" if name in held else "pause"
        held ^= {name}
        assert self.world.order(kind, name).accepted

    @rule(name=PROJECT, number=NUMBER, kind=st.sampled_from(["cancel", "rerun"]))
    def order_one(self, name: str, number: int, kind: str) -> None:
        known = self.world.store.get(name, f"http://h/{number}")
        verdict = self.world.order(kind, name, taskid=f"http://h/{number}")
        assert verdict.accepted is (known is not None) or self.world.engine.state.actions

    @invariant()
    def the_books_balance(self) -> None:
        self.world.check_books()

    @invariant()
    def every_waiting_task_has_a_place(self) -> None:
        store = self.world.store
        leased = {(lease.project, lease.taskid) for lease in store.leases()}
        for name in NAMES:
            for row in store.select(name):
                key = (name, row.taskid)
                assert (row.status is Status.ACTIVE) == (row.queue is not None), row
                assert row.status is Status.ACTIVE or key not in leased, row

    @invariant()
    def nothing_is_lost(self) -> None:
        for name, taskid in self.accepted:
            assert self.world.store.get(name, taskid) is not None, (name, taskid)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        world.store.fail = ""
        actions.CHUNK = 500
        for name in list(world.held):
            self.pause_or_resume(name)
        self.running = set(NAMES)
        for name in NAMES:
            self.save(name)
        world.turn()
        world.shift = max(world.shift, self.latest - world.clock.now)  # else crons wait for a date that was seen
        for _ in range(3000):
            for dispatch in [world.out.pop(0) for _ in range(len(world.out))]:
                self.reply(dispatch, True, [], False)
            self.end_recrawling()
            if not any(world.size(name) for name in NAMES) and not world.engine.state.actions:
                break
            if not world.out:
                world.advance(max(0.01, min(world.wake, 31.0)))
        else:
            waiting = [row for name in NAMES for row in world.store.select(name, Status.ACTIVE)]
            raise AssertionError(f"some tasks never end: {waiting}")
        for name in NAMES:
            project = world.engine.state.projects[name]
            assert (project.retrying, project.accepted) == (0, project.finished_at), name
        assert world.engine.snapshot["drained"]
        self.the_books_balance()
        self.nothing_is_lost()
        self.every_instant_has_its_tick()

    def end_recrawling(self) -> None:
        stop = Schedule(force_update=True, cancel=True)
        for name in NAMES:
            for row in self.world.store.select(name, Status.ACTIVE):
                if row.schedule.auto_recrawl:
                    self.world.turn(submissions=[Submission(Task(name, row.taskid, row.url, stop))])

    def every_instant_has_its_tick(self) -> None:
        world = self.world
        for name in NAMES:
            for spec in CRONS:
                rows = world.store.ticks(name, spec.method, limit=1_000_000)
                found = sorted(row.instant for row in rows)
                expected: list[float] = []
                instant = self.since
                while (instant := next_instants(spec, instant, 1)[0]) <= max(world.now, self.latest):
                    expected.append(instant)
                assert found == expected, (name, spec.method, set(found) ^ set(expected))
                for row in rows:
                    if row.reason == "cleared":
                        continue
                    if spec.overlap == "skip" and row.reason:
                        assert row.reason == "overlap"
                        continue
                    assert row.taskid, row
                    assert (name, spec.method, row.instant) in world.ticks, row


class TestHistories(Histories.TestCase):  # type: ignore[name-defined,misc]
    # no shrinking: it takes minutes, and a history that is printed after the time limit is none
    settings = settings(
        max_examples=80, stateful_step_count=150, deadline=None, derandomize=True, phases=[Phase.generate]
    )
