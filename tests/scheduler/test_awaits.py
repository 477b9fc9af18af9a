"""Callbacks that wait for further requests: parked, answered, sent on with their record, over restarts."""

from __future__ import annotations

from typing import Any

import pytest

from crawlkit.database.memory import MemoryProjectStore, MemoryTaskStore
from crawlkit.libs.messages import (
    AWAIT,
    INFO,
    PREPARE,
    RESUME,
    Await,
    Dispatch,
    FetchEnded,
    Heartbeat,
    Outcome,
    ProjectInfo,
    pack,
)
from crawlkit.libs.rows import ProjectRow
from crawlkit.libs.task import Fetch, Schedule, Task, task_from_dict
from crawlkit.scheduler.engine import Engine
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.turn import Inbox, Outbox, Submission
from tests.scheduler.rig import follow, info_of, outcome_of, task


class Play:
    """An engine whose turns the test makes, one second apart."""

    def __init__(self, info: ProjectInfo | None = None, **settings: Any) -> None:
        self.taskdb, self.projectdb = MemoryTaskStore(), MemoryProjectStore()
        self.projectdb.put(ProjectRow("p", status="RUNNING", script="#", rate=None, rate_set=True))
        self.settings = EngineSettings(**settings)
        self.now = 1_000_000.0
        self.info = info or ProjectInfo()
        self.epoch = "1"
        self.start()

    def start(self, epoch: str | None = None) -> None:
        """A new scheduler on the same stores."""
        self.epoch = epoch or self.epoch
        self.engine = Engine(self.taskdb, self.projectdb, self.settings)
        self.engine.epoch = self.epoch

    def turn(self, *status: Outcome, submit: list[dict[str, Any]] | None = None, seconds: float = 1) -> Outbox:
        self.now += seconds
        tasks = [Submission(task_from_dict(one)) for one in submit or []]
        outbox = self.engine.turn(self.now, Inbox(list(status), tasks, room=100))
        asked = [dispatch for dispatch in outbox.dispatches if dispatch.kind == INFO]
        if asked:
            more = self.engine.turn(self.now, Inbox([info_of(one, self.info) for one in asked], room=100))
            outbox.dispatches = [one for one in outbox.dispatches if one.kind != INFO] + more.dispatches
            outbox.resumes += more.resumes
        return outbox

    def ledger(self, event: str, reason: str = "") -> int:
        return self.taskdb.ledger("p").get(("p", event, reason), 0)


def waits(parent: Dispatch, *numbers: int, record: str | None = None) -> Outcome:
    """The outcome of a callback that reached ``await self.fetch`` so many times."""
    awaits = [Await(n, pack(Task("p", f"child{n}", f"http://h/child{n}"))) for n in numbers]
    return outcome_of(parent, awaits=awaits, record=record)


def answer(child: Dispatch, ok: bool = True) -> Outcome:
    return outcome_of(child, ok=ok, answer=f"blob-{child.taskid}")


def begin(play: Play) -> Dispatch:
    (parent,) = play.turn(submit=[task("http://h/parent")]).dispatches
    return parent


def test_a_callback_waits_and_goes_on_with_the_record() -> None:
    play = Play()
    parent = begin(play)
    (child,) = play.turn(waits(parent, 1, record="blob0")).dispatches
    assert child.kind == AWAIT
    assert child.url == "http://h/child1"
    outbox = play.turn(answer(child))
    (resumed,) = outbox.resumes
    assert resumed.task.kind == RESUME
    assert (resumed.task.run, resumed.task.attempt) == (parent.run, parent.attempt + 1)
    assert resumed.recorded == [(0, "blob0"), (1, "blob-child1")]
    done = play.turn(outcome_of(resumed.task))
    assert sorted(done.blobs) == ["blob-child1", "blob0"]
    assert play.ledger("done") == 2
    assert play.ledger("removed", "await") == 1
    assert play.taskdb.get("p", "child1") is None
    assert not any(name.startswith("parked:") for _, name in play.taskdb.state())


def test_two_awaits_at_once_and_two_after_each_other() -> None:
    play = Play()
    parent = begin(play)
    first, second = play.turn(waits(parent, 1, 2, record="blob0")).dispatches
    assert play.turn(answer(second)).resumes == []
    (resumed,) = play.turn(answer(first)).resumes
    (third,) = play.turn(waits(resumed.task, 3)).dispatches
    (again,) = play.turn(answer(third)).resumes
    assert [number for number, _ in again.recorded] == [0, 1, 2, 3]
    assert again.task.attempt == 3


@pytest.mark.parametrize(
    "late",
    [
        lambda one: Heartbeat("n", "processor", "h", 1, "0", 0.0, [(one.project, one.taskid, one.run, one.attempt)]),
        lambda one: FetchEnded(one.project, one.taskid, one.run, one.attempt, "h", 200, None, 1.0, None),
    ],
)
def test_a_late_word_of_its_holder_sets_no_time_to_a_waiting_task(late: Any) -> None:
    play = Play(lease=30.0)
    parent = begin(play)
    (child,) = play.turn(waits(parent, 1, record="blob0")).dispatches
    play.turn(late(parent))
    alive = Heartbeat("f", "fetcher", "h", 1, "0", 0.0, [(child.project, child.taskid, child.run, child.attempt)])
    quiet = Heartbeat("n", "processor", "h", 1, "0", 0.0)
    for _ in range(60):
        assert play.turn(alive, quiet).dispatches == []
    assert play.ledger("lost", "lease_expired") == 0
    assert len(play.turn(answer(child)).resumes) == 1


def test_a_waiting_task_survives_any_restart() -> None:
    play = Play()
    parent = begin(play)
    (child,) = play.turn(waits(parent, 1, record="blob0")).dispatches
    play.start()
    play.turn()
    play.start(epoch="2")  # the broker lost everything: the request goes out again, its parent stays parked
    (again,) = play.turn().dispatches
    assert (again.kind, again.taskid, again.attempt) == (AWAIT, "child1", child.attempt + 1)
    (resumed,) = play.turn(answer(again)).resumes
    play.start(epoch="3")  # lost on its way to the processor: it goes on from the record, it is not fetched again
    outbox = play.turn()
    assert outbox.dispatches == []
    assert outbox.resumes[0].recorded == resumed.recorded
    assert outbox.resumes[0].task.attempt == resumed.task.attempt + 1


def test_a_parked_task_never_loses_its_lease_to_time() -> None:
    play = Play(lease=5.0)
    parent = begin(play)
    (child,) = play.turn(waits(parent, 1, record="blob0")).dispatches
    for _ in range(20):
        again = play.turn(seconds=10).dispatches
        assert [one.taskid for one in again] in ([], ["child1"])
        child = again[0] if again else child
        if child.attempt > 5:
            break
    assert play.turn(answer(child)).resumes


def test_a_request_that_fails_for_good_is_an_answer_too() -> None:
    play = Play()
    parent = begin(play)
    (child,) = play.turn(waits(parent, 1, record="blob0")).dispatches
    (resumed,) = play.turn(answer(child, ok=False)).resumes
    assert resumed.recorded[1] == (1, "blob-child1")
    assert play.ledger("failed", "http_599") == 1


def test_a_cancelled_request_is_told_to_who_waits() -> None:
    play = Play()
    parent = begin(play)
    play.turn(waits(parent, 1, record="blob0"))
    cancel = task("http://h/child1", schedule={"cancel": True, "force_update": True}) | {"taskid": "child1"}
    child = play.engine.state.leases["p", "child1"]
    play.turn(submit=[cancel])
    lost = outcome_of(
        Dispatch("p", "child1", child.row.run, child.attempt, "http://h/child1", "", None, 0, AWAIT,
                 child.row.schedule, child.row.fetch, pack(None), 0), ok=False)  # fmt: skip
    (resumed,) = play.turn(lost).resumes
    assert resumed.recorded[1] == (1, "")


def test_after_a_failed_callback_everything_begins_anew() -> None:
    play = Play(retry_delays={"": 1})
    parent = begin(play)
    (child,) = play.turn(waits(parent, 1, record="blob0")).dispatches
    (resumed,) = play.turn(answer(child)).resumes
    outbox = play.turn(outcome_of(resumed.task, ok=False))
    assert sorted(outbox.blobs) == ["blob-child1", "blob0"]
    (retry,) = play.turn(seconds=5).dispatches
    assert (retry.kind, retry.attempt) == (0, 3)
    (child,) = play.turn(waits(retry, 1, record="blob0b")).dispatches
    (resumed,) = play.turn(answer(child)).resumes
    assert resumed.recorded == [(0, "blob0b"), (1, "blob-child1")]


def test_parked_tasks_hold_no_place_of_those_that_may_be_out() -> None:
    play = Play(max_leased=3)
    parents = play.turn(submit=[task(f"http://h/{n}") for n in range(3)]).dispatches
    assert len(parents) == 3
    outcomes = []
    for n, parent in enumerate(parents):
        one = waits(parent, 1, record="b")
        one.awaits[0].task = pack(Task("p", f"kid{n}", f"http://h/kid{n}"))
        outcomes.append(one)
    assert {one.taskid for one in play.turn(*outcomes).dispatches} == {"kid0", "kid1", "kid2"}


def test_what_a_begun_page_waits_for_does_not_count_as_a_page_more() -> None:
    play = Play(max_pages=1)
    parent, *more = play.turn(
        submit=[task("http://h/parent", schedule={"priority": 1}), task("http://h/next")]
    ).dispatches
    assert more == []
    (child,) = play.turn(waits(parent, 1, record="blob0")).dispatches
    assert child.url == "http://h/child1"
    assert not play.engine.snapshot["drained"]
    (resumed,) = play.turn(answer(child)).resumes
    assert play.turn(outcome_of(resumed.task)).dispatches == []
    play.turn()
    assert play.engine.snapshot["drained"]
    assert play.engine.snapshot["sent"] == 1


def test_before_request_runs_before_the_fetch() -> None:
    play = Play(info=ProjectInfo(has_before_request=True))
    outbox = play.turn(submit=[task("http://h/x")])
    assert outbox.dispatches == []
    (prepare,) = outbox.resumes
    assert prepare.task.kind == PREPARE
    changed = outcome_of(prepare.task, prepared=pack(Fetch(headers={"X-Signed": "1"})))
    (dispatch,) = play.turn(changed).dispatches
    assert dispatch.kind == 0
    assert dispatch.fetch.headers == {"X-Signed": "1"}
    assert play.turn(outcome_of(dispatch)).dispatches == []
    assert play.ledger("done") == 1


def test_a_before_request_that_raises_fails_the_task() -> None:
    play = Play(info=ProjectInfo(has_before_request=True), retry_delays={"": -1})
    (prepare,) = play.turn(submit=[task("http://h/x")]).resumes
    assert play.turn(outcome_of(prepare.task, ok=False, fetch=None)).dispatches == []
    assert play.ledger("failed", "exception") == 1


def test_session_cookies_go_from_task_to_task_and_over_restarts() -> None:
    play = Play()
    login, _ = play.turn(
        submit=[task("http://h/login", fetch={"session": "s"}), task("http://h/other", fetch={"session": "t"})]
    ).dispatches
    assert login.jar == []
    play.turn(outcome_of(login, session="s", jar=["cookie line"]))
    play.start()
    (page,) = play.turn(submit=[task("http://h/page", fetch={"session": "s"})]).dispatches
    assert page.jar == ["cookie line"]


def test_a_dropped_task_is_neither_done_nor_failed() -> None:
    play = Play()
    parent = begin(play)
    play.turn(outcome_of(parent, drop="sold out"))
    assert play.ledger("dropped", "sold out") == 1
    assert play.ledger("done") == 0
    assert play.engine.state.projects["p"].active_tasks == 0


def test_hundreds_of_parked_tasks_leave_room_for_their_requests() -> None:
    play = Play(max_leased=20)
    for n in range(60):
        (parent,) = play.turn(submit=[task(f"http://h/{n}")]).dispatches
        one = waits(parent, 1, record="b")
        one.awaits[0].task = pack(Task("p", f"kid{n}", f"http://h/kid{n}", Schedule(retries=1)))
        (child,) = play.turn(one, seconds=0).dispatches
        assert child.taskid == f"kid{n}"
        play.turn(outcome_of(child, ok=False), seconds=0)  # it waits for its second try, and its parent for it
        play.now -= 1
    assert play.engine.state.parked_out == play.engine.state.projects["p"].parked == 60


def test_the_last_part_may_come_before_the_others() -> None:
    play = Play()
    parent = begin(play)
    last, first = outcome_of(parent), outcome_of(parent, follows=[follow("http://h/x")])
    last.part, first.last = 1, False
    assert play.turn(last).dispatches == []
    assert play.ledger("done") == 0
    (child,) = play.turn(first, first).dispatches
    assert child.url == "http://h/x"
    assert play.ledger("done") == 1


def test_a_hanging_project_leaves_room_for_others() -> None:
    play = Play(max_leased=100)
    play.projectdb.put(ProjectRow("q", status="RUNNING", script="#", rate=None, rate_set=True))
    sent = play.turn(submit=[task(f"http://127.0.0.1/{n}") for n in range(200)]).dispatches
    for _ in range(5):
        sent += play.turn().dispatches
    assert len(sent) == 50
    others = play.turn(submit=[task(f"http://127.0.0.2/{n}", project="q") for n in range(200)]).dispatches
    assert len(others) == 25
