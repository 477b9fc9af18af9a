"""Orders for projects and tasks: what they touch, what they leave, and that a crash in the middle changes nothing."""

from __future__ import annotations

import pytest

from crawlkit.libs.errors import NotOwner
from crawlkit.libs.messages import CronSpec, ProjectInfo
from crawlkit.libs.rows import Writes
from crawlkit.libs.task import Schedule, Status, Task
from crawlkit.scheduler import actions
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.turn import Submission
from tests.scheduler.play import Play
from tests.scheduler.rig import follow, outcome_of


def running(info: ProjectInfo | None = None, **settings: object) -> Play:
    play = Play(EngineSettings(**settings), info or ProjectInfo())  # type: ignore[arg-type]
    play.project()
    play.turn()
    return play


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "CHUNK", 3)


def waiting(play: Play, n: int, first: int = 0) -> None:
    """Submits tasks that nobody sends yet."""
    tasks = [Task("p", f"http://h/{i}", f"http://h/{i}") for i in range(first, first + n)]
    play.turn(submissions=[Submission(task) for task in tasks], room=0)


def finish(play: Play) -> int:
    """Makes turns until no action is left; returns how many."""
    turns = 0
    while play.engine.state.actions:
        play.turn(room=0)
        play.check_books()
        turns += 1
        assert turns < 100
    return turns


class TestClear:
    def test_what_waits_leaves_and_may_come_again(self) -> None:
        play = running()
        waiting(play, 10)
        verdict = play.order("clear")
        assert (verdict.accepted, verdict.verdict) == (True, "started")
        assert finish(play) >= 3
        assert play.size() == 0
        assert play.taskdb.count("p") == 0
        assert play.ledger("cleared", "clear") == 10
        assert play.submit("http://h/3").verdict == "new"

    def test_running_and_finished_ones_stay(self) -> None:
        play = running()
        play.submit("http://h/done")
        play.answer()
        play.submit("http://h/out")
        waiting(play, 4)
        play.order("clear")
        finish(play)
        assert play.row("http://h/done").status is Status.SUCCESS
        play.answer(url="http://h/out")
        assert play.row("http://h/out").status is Status.SUCCESS
        assert play.submit("http://h/done").verdict == "ignore"
        play.check_books()

    def test_one_that_was_tried_keeps_its_runs_and_counts_as_never_seen(self) -> None:
        play = running(retry_delays={"": 50})
        play.submit()
        play.answer(ok=False)
        play.order("clear")
        finish(play)
        assert (play.row().status, play.row().run) == (Status.BAD, 1)
        assert play.submit().verdict == "restart"
        assert play.row().run == 2  # results of the first run may be stored, and must not stand for those of this one
        play.check_books()

    def test_one_that_waits_to_be_crawled_again_stays_known(self) -> None:
        play = running()
        play.submit(schedule=Schedule(auto_recrawl=True, age=50))
        play.answer()
        play.order("clear")
        finish(play)
        assert play.row().status is Status.BAD
        assert play.submit().verdict == "ignore"
        play.check_books()

    def test_nothing_is_sent_meanwhile_and_what_is_submitted_stays(self) -> None:
        play = running()
        waiting(play, 10)
        play.order("clear")
        assert play.submit("http://h/9").verdict == "ignore"  # it waits, and does not go with the others
        assert play.submit("http://h/new").verdict == "new"
        assert not play.out
        finish(play)
        play.turn()
        assert {dispatch.url for dispatch in play.out} == {"http://h/9", "http://h/new"}

    def test_a_crash_in_the_middle_changes_nothing(self) -> None:
        play = running()
        waiting(play, 10)
        play.order("clear")
        play.start()
        assert play.submit("http://h/9").verdict == "ignore"
        play.start()
        play.turn(room=0)
        assert play.engine.state.actions["p", 0].touched > 0
        finish(play)
        assert play.ledger("cleared") == 9
        assert play.taskdb.get("p", "http://h/9") is not None
        play.turn()
        assert play.urls() == ["http://h/9"]

    def test_a_stopped_project_is_cleared_as_well(self) -> None:
        play = running()
        waiting(play, 5)
        play.project(status="STOP")
        play.turn()
        play.order("clear")
        finish(play)
        assert play.size() == 0

    def test_a_tick_that_waited_has_a_row_that_says_so(self) -> None:
        play = running(ProjectInfo(crons=[CronSpec("each", seconds=60)]))
        play.clock.advance(61)
        play.turn(room=0)
        assert play.size() == 1
        play.order("clear")
        finish(play)
        assert [tick.reason for tick in play.taskdb.ticks("p")] == ["cleared"]
        play.advance(60)
        assert [dispatch.callback for dispatch in play.out] == ["each"]

    def test_another_order_waits_its_turn(self) -> None:
        play = running()
        waiting(play, 10)
        play.order("clear")
        verdict = play.order("retry_failed")
        assert not verdict.accepted
        assert "clear is still under way" in verdict.reason
        assert play.order("clear").verdict == "restarted"


class TestRetryFailed:
    def failed(self, play: Play) -> None:
        for number in range(5):
            play.submit(f"http://h/{number}", schedule=Schedule(retries=0))
            reason = "http_404" if number % 2 else "http_500"
            play.answer(ok=False, process=None, fetch=None) if number == 4 else self.fail(play, reason)

    def fail(self, play: Play, reason: str) -> None:
        from crawlkit.libs.messages import TrackFetch

        play.answer(ok=False, fetch=TrackFetch(status_code=int(reason[5:])))

    def test_all(self) -> None:
        play = running()
        self.failed(play)
        play.order("retry_failed")
        finish(play)
        assert play.ledger("accepted", "retry_failed") == 5
        assert play.taskdb.count("p", Status.FAILED) == 0
        play.turn()
        assert play.answer_all() == 5
        play.check_books()
        assert {play.row(f"http://h/{number}").run for number in range(5)} == {2}

    def test_of_one_reason(self) -> None:
        play = running()
        self.failed(play)
        play.order("retry_failed", reason="http_404")
        finish(play)
        assert play.ledger("accepted", "retry_failed") == 2
        assert play.row("http://h/1").status is Status.ACTIVE
        assert play.row("http://h/0").status is Status.FAILED

    def late(self, play: Play, tasks: int = 5) -> None:
        """Tasks that failed once and wait an hour for their next try."""
        for number in range(tasks):
            play.submit(f"http://h/{number}", schedule=Schedule(retries=3))
            self.fail(play, "http_404" if number % 2 else "http_500")

    def test_those_that_wait_for_another_try_need_not_wait(self) -> None:
        play = running(fail_pause_num=0)
        self.late(play)
        play.submit("http://h/later", schedule=Schedule(exetime=play.now + 900))
        assert [group.tasks for group in play.taskdb.failure_groups("p", retrying=True).groups] == [3, 2]
        play.order("retry_failed")
        finish(play)
        play.turn()
        assert len(play.out) == 5
        assert play.answer_all() == 5
        play.check_books()
        assert play.taskdb.failure_groups("p", retrying=True).groups == []
        assert {play.row(f"http://h/{number}").run for number in range(5)} == {1}
        assert play.row("http://h/later").status is Status.ACTIVE

    def test_waiting_ones_of_one_reason(self) -> None:
        play = running(fail_pause_num=0)
        self.late(play)
        play.order("retry_failed", reason="http_404")
        finish(play)
        play.turn()
        assert {dispatch.url for dispatch in play.out} == {"http://h/1", "http://h/3"}

    def test_waiting_ones_after_a_crash(self) -> None:
        play = running(fail_pause_num=0)
        self.late(play, 8)
        play.order("retry_failed")
        play.turn(room=0)
        play.start()
        play.turn(room=0)
        finish(play)
        play.turn()
        assert len(play.out) == 8
        play.check_books()

    def test_each_is_tried_once_though_it_fails_again_at_once(self) -> None:
        play = running(fail_pause_num=0)
        self.failed(play)
        play.order("retry_failed")
        while play.engine.state.actions or play.out:
            play.turn()
            play.answer_all(ok=False)
        assert play.ledger("accepted", "retry_failed") == 5
        play.check_books()

    def test_a_crash_in_the_middle(self) -> None:
        play = running()
        self.failed(play)
        play.order("retry_failed")
        play.start()
        play.turn(room=0)
        finish(play)
        assert play.ledger("accepted", "retry_failed") == 5


class TestRestart:
    def test_everything_is_crawled_again_from_on_start(self) -> None:
        play = running()
        for url in ("http://h/1", "http://h/2"):
            play.submit(url)
            play.answer()
        waiting(play, 4, first=5)
        play.order("restart")
        finish(play)
        play.turn()
        assert [dispatch.url for dispatch in play.out] == ["data:,on_start"]
        play.answer(follows=[follow("http://h/1"), follow("http://h/6")])
        assert sorted(dispatch.url for dispatch in play.out) == ["http://h/1", "http://h/6"]
        play.answer_all()
        assert play.row("http://h/1").run == 2
        assert play.row("http://h/2").run == 1  # nothing led to it
        assert play.submit("http://h/1").verdict == "ignore"
        play.check_books()

    def test_a_running_one_ends_well_and_is_crawled_again_when_something_leads_to_it(self) -> None:
        play = running()
        play.submit("http://h/out")
        play.order("restart")
        finish(play)
        play.turn()
        play.answer(url="data:,on_start", follows=[follow("http://h/out")])
        assert [dispatch.url for dispatch in play.out] == ["http://h/out"]
        play.answer()
        play.turn()
        assert play.row("http://h/out").results == 0
        assert [(dispatch.url, dispatch.run) for dispatch in play.out] == [("http://h/out", 2)]
        play.check_books()

    def test_it_is_remembered_over_a_crash(self) -> None:
        play = running()
        play.submit()
        play.answer()
        play.order("restart")
        finish(play)
        play.start()
        play.turn()
        assert play.submit().verdict == "restart"


class TestPause:
    def test_by_hand_until_resumed(self) -> None:
        play = running()
        assert play.order("pause").reason == "held"
        play.submit()
        play.advance(10_000)
        play.start()
        play.advance(1)
        assert not play.out
        assert play.engine.snapshot["projects"]["p"]["paused"] == "held"
        play.project(script="# 2")  # a new script ends a pause that comes of failures, and no other
        play.turn()
        assert not play.out
        assert play.order("resume").reason == "running"
        assert play.urls() == ["http://h/1"]

    def test_resuming_ends_a_pause_that_came_of_failures(self) -> None:
        play = running(fail_pause_num=2)
        for number in range(3):
            play.submit(f"http://h/{number}", schedule=Schedule(retries=0))
        play.answer(ok=False)
        play.answer(ok=False)
        play.answer()
        waiting(play, 1, first=7)
        assert play.engine.state.projects["p"].pause.state(play.now) in ("paused", "running")
        play.order("resume")
        assert play.urls()[-1] == "http://h/7"


class TestTasks:
    def test_cancel(self) -> None:
        play = running()
        waiting(play, 2)
        assert play.order("cancel", taskid="http://h/0").verdict == "cancel"
        assert play.row("http://h/0").status is Status.BAD
        assert play.order("cancel", taskid="http://h/0").verdict == "nothing"
        assert not play.order("cancel", taskid="unknown").accepted
        play.check_books()

    def test_cancel_of_one_that_is_out_holds_when_it_comes_back(self) -> None:
        play = running(retry_delays={"": 50})
        play.submit()
        assert play.order("cancel", taskid="http://h/1").verdict == "postpone"
        play.answer(ok=False)
        assert play.row().status is Status.BAD
        play.check_books()

    def test_rerun(self) -> None:
        play = running(retry_delays={"": 5000})
        play.submit()
        play.answer()
        assert play.order("rerun", taskid="http://h/1").verdict == "restart"
        assert play.order("rerun", taskid="http://h/1").verdict == "postpone"
        play.answer()
        assert play.row().run == 3
        play.answer(ok=False)
        assert play.order("rerun", taskid="http://h/1").verdict == "update"
        play.answer()
        assert (play.row().run, play.row().status) == (3, Status.SUCCESS)
        play.check_books()

    def test_no_project(self) -> None:
        play = running()
        assert "no project" in play.order("clear", "nobody").reason


class TestDrop:
    def test_in_chunks_with_balanced_books_and_over_a_crash(self) -> None:
        play = running()
        waiting(play, 40)
        play.submit("http://h/done")
        play.answer(url="http://h/done")
        play.engine.drop("p")
        assert play.projectdb.get("p") is None
        assert 0 < play.taskdb.count("p") < 41
        play.check_books()
        play.out.clear()
        play.start()
        play.project()  # of the same name: it begins when the old rows are gone
        play.turn()
        assert not play.submit().accepted
        finish(play)
        assert play.taskdb.ledger("p") == {}
        assert play.taskdb.count("p") == 0
        assert play.submit().verdict == "new"
        play.answer()
        assert play.row().run == 1
        play.check_books()

    def test_a_crash_before_the_projectdb_knows(self) -> None:
        play = running()
        waiting(play, 9)
        play.engine.drop("p")
        play.project()
        entry = actions.text_of(actions.Action("drop", play.now))
        play.taskdb.commit(Writes(state={("p", actions.ENTRY): entry}))
        play.start()
        play.turn()
        finish(play)
        assert play.projectdb.get("p") is None

    def test_one_who_lost_the_taskdb_leaves_the_project_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        play = running()
        entry = actions.text_of(actions.Action("drop", play.now))
        play.taskdb.commit(Writes(state={("p", actions.ENTRY): entry}))
        play.start()

        def refuse(project: str, limit: int) -> int:
            raise NotOwner("another has it now")

        monkeypatch.setattr(play.taskdb, "drop_some", refuse)
        with pytest.raises(NotOwner):
            play.turn()
        assert play.projectdb.get("p") is not None


def test_what_comes_back_to_a_restarted_project_is_not_lost() -> None:
    """A lease that ends without an answer, while its project is cleared: it was on its way, so it stays."""
    play = running(lease=30)
    play.submit("http://h/out")
    waiting(play, 6)
    play.order("clear")
    play.out.clear()
    play.clock.advance(31)
    play.turn(room=0)
    finish(play)
    play.turn()
    assert [dispatch.url for dispatch in play.out] == ["http://h/out"]
    play.turn(outcome_of(play.out[0]))
    play.check_books()
