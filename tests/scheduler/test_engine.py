"""The scheduler's behaviours by their ids, on the real engine under a clock that moves when told."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.messages import INFO, ProjectInfo, TrackProcess
from crawlkit.libs.rows import Queue
from crawlkit.libs.task import Fetch, Process, Schedule, Status, Task, task_from_dict
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.turn import Submission
from tests.scheduler.play import Play
from tests.scheduler.rig import follow, info_of, outcome_of

URL = "http://h/1"


def running(on_finished: bool = True, **settings: object) -> Play:
    play = Play(EngineSettings(**settings), ProjectInfo(has_on_finished=on_finished))  # type: ignore[arg-type]
    play.project()
    play.turn()
    return play


def play_task(url: str, schedule: Schedule | None = None, project: str = "p") -> Task:
    return Task(project, url[-60:], url, schedule)


def test_T01_the_order_of_the_frontier() -> None:
    play = running()
    for url, priority, wait in [
        ("http://h/a", 0, 0),
        ("http://h/b", 5, 0),
        ("http://h/c", 5, 0),
        ("http://h/d", 9, 60),
    ]:
        schedule = Schedule(priority=priority, exetime=play.now + wait if wait else 0)
        submission = Submission(play_task(url, schedule))
        play.turn(submissions=[submission], room=0)
    assert play.size() == 4
    play.turn(submissions=[Submission(play_task("http://h/a", Schedule(priority=7, force_update=True)))], room=0)
    assert play.size() == 4
    play.turn()
    assert play.urls() == ["http://h/a", "http://h/b", "http://h/c"]
    assert play.size() == 4
    play.answer_all()
    assert play.size() == 1
    play.advance(59)
    assert len(play.urls()) == 3
    play.advance(1)
    assert play.urls()[-1] == "http://h/d"


@pytest.mark.parametrize("seed", range(8))
def test_T01_the_order_holds_when_most_tasks_are_only_in_the_store(seed: int) -> None:
    chance = random.Random(seed)
    play = running(window=4, refill=2, on_finished=False)
    expected: list[tuple[int, int, str]] = []
    for number in range(60):
        priority = chance.randrange(5)
        play.turn(submissions=[Submission(play_task(f"http://h/{number}", Schedule(priority=priority)))], room=0)
        expected.append((-priority, number, f"http://h/{number}"))
        if chance.random() < 0.3:
            send_next(play, expected)
        if chance.random() < 0.1:
            play.start()
    while expected:
        send_next(play, expected)


def send_next(play: Play, expected: list[tuple[int, int, str]]) -> None:
    before = len(play.sent)
    while len(play.sent) == before:
        play.turn(room=1)
    for url in play.urls()[before:]:
        assert url == expected.pop(expected.index(min(expected)))[2]


def test_T01_what_nobody_answers_comes_back() -> None:
    play = running()
    play.submit()
    first = play.out.pop()
    play.advance(play.settings.lease + 1)
    second = play.out[0]
    assert (second.url, second.run, second.attempt) == (first.url, first.run, first.attempt + 1)
    assert play.row().retried == 0
    play.turn(outcome_of(first))
    assert play.size() == 1
    assert play.ledger("ignored", "stale_outcome") == 1
    play.answer()
    assert play.row().status is Status.SUCCESS
    play.check_books()


def test_T03_a_task_for_an_unknown_project_is_refused() -> None:
    play = running()
    verdict = play.submit(project="nobody")
    assert (verdict.accepted, verdict.verdict) == (False, "refused")
    assert "nobody" in verdict.reason
    assert play.size("nobody") == 0
    assert play.ledger("refused", "no_project", "nobody") == 1


def test_T04_nothing_is_sent_before_the_handler_told_its_settings() -> None:
    play = Play()
    play.info = None
    play.project(status="TODO")
    assert play.submit().accepted  # kept, not dropped
    play.advance(10)
    assert play.urls() == []
    play.project(status="DEBUG")
    play.turn()
    assert [(d.kind, d.url) for d in play.out] == [(INFO, "data:,_on_get_info")]
    play.advance(1)
    assert len(play.out) == 1
    question = play.out.pop()
    play.turn(info_of(question))
    assert [d.url for d in play.out] == [URL]


def test_T04_a_lost_answer_is_asked_for_again() -> None:
    play = Play()
    play.info = None
    play.project()
    play.turn()
    play.out.clear()
    play.advance(play.settings.info_retry + 1)
    assert [d.kind for d in play.out] == [INFO]


def test_T04_an_overdue_question_does_not_spin_while_there_is_no_room() -> None:
    play = Play()
    play.info = None
    play.project()
    play.turn()
    play.clock.advance(play.settings.info_retry + 1)
    play.turn(room=0)
    assert play.wake > 0.5


def test_T04_a_new_script_is_asked_first() -> None:
    play = running()
    play.info = None
    play.project(script="# 2")
    play.submit()
    assert [d.kind for d in play.out] == [INFO]
    play.turn(info_of(play.out.pop()))
    assert [d.url for d in play.out] == [URL]


def test_T05_a_dispatch_says_all_that_the_others_need() -> None:
    play = running()
    play.submit(
        schedule=Schedule(priority=3, itag="x"), fetch=Fetch(user_agent="me"), process=Process(callback="index_page")
    )
    dispatch = play.out[0]
    assert (dispatch.project, dispatch.url, dispatch.callback, dispatch.run, dispatch.attempt) == (
        "p", URL, "index_page", 1, 1,
    )  # fmt: skip
    assert dispatch.schedule == Schedule(priority=3, itag="x")
    assert dispatch.fetch == Fetch(user_agent="me")
    assert play.engine.recent("p")[0][1]["url"] == URL
    play.answer()
    assert {"status", "select"} <= {entry["type"] for _, entry in play.engine.recent("p")}


def test_T06_force_update_on_a_task_that_is_out_waits_for_it() -> None:
    play = running()
    play.submit()
    assert play.submit(schedule=Schedule(force_update=True)).verdict == "postpone"
    play.submit("http://h/2")
    assert play.urls() == [URL, "http://h/2"]
    play.answer(url=URL)
    assert play.urls() == [URL, "http://h/2", URL]
    assert play.out[-1].run == 2
    play.answer_all()
    play.check_books()


def test_T06_also_over_a_restart() -> None:
    play = running()
    play.submit()
    play.submit(schedule=Schedule(force_update=True, itag="b"))
    play.start()
    play.turn()
    play.answer()
    assert [(d.url, d.run) for d in play.out] == [(URL, 2)]
    assert play.row().schedule.itag == "b"


def test_T07_outcomes_that_nobody_waits_for_change_nothing() -> None:
    play = running()
    play.submit()
    size, dispatch = play.size(), play.out[0]
    for field, value in (("project", "nobody"), ("taskid", "other"), ("run", 2), ("attempt", 9)):
        stray = outcome_of(dispatch)
        setattr(stray, field, value)
        play.turn(stray)
        assert play.size() == size
    bare = outcome_of(dispatch, fetch=None, process=None)
    play.out.clear()
    play.turn(bare)
    assert play.row().status is Status.SUCCESS
    play.check_books()


def test_T08_a_failed_task_comes_again_after_its_delay() -> None:
    play = running()
    play.submit()
    play.answer(ok=False)
    assert play.row().queue is Queue.TIME
    play.advance(29)
    assert play.out == []
    play.advance(1)
    assert [(d.url, d.run, d.attempt, d.schedule.retried) for d in play.out] == [(URL, 1, 2, 1)]
    play.answer()
    assert [d.url for d in play.out] == ["data:,on_finished"]
    play.answer()
    assert play.size() == 0
    for _ in range(20):
        play.advance(10)
    assert play.urls().count("data:,on_finished") == 1
    play.check_books()


def test_T09_known_tasks_run_again_only_for_a_reason() -> None:
    play = running()
    play.submit(schedule=Schedule(itag="a"))
    play.answer()
    play.advance(1)
    assert play.submit(schedule=Schedule(age=30)).verdict == "ignore"
    assert play.submit(schedule=Schedule(itag="a")).verdict == "ignore"
    assert play.submit(schedule=Schedule(itag="b")).verdict == "restart"
    play.answer(url=URL)
    assert play.submit(schedule=Schedule(age=0)).verdict == "restart"
    play.answer(url=URL)
    play.advance(31)
    assert play.submit(schedule=Schedule(age=30)).verdict == "restart"
    assert play.row().run == 4
    play.check_books()


def test_T10_retries_are_used_up() -> None:
    play = running()
    play.submit(schedule=Schedule(retries=1))
    play.answer(ok=False)
    play.advance(30)
    play.answer(ok=False)
    assert play.row().status is Status.FAILED
    assert [d.url for d in play.out] == ["data:,on_finished"]
    play.answer()
    for _ in range(50):
        play.advance(3600)
    assert play.urls() == [URL, URL, "data:,on_finished"]
    play.check_books()


def test_S46_the_default_delays() -> None:
    play = running()
    play.submit()
    times = []
    for _ in range(4):
        times.append(play.sent[-1][0])
        play.answer(ok=False)
        play.advance(max(0.0, play.row().rank - play.now) if play.row().queue else 0)
    assert [later - sooner for sooner, later in pairwise(times)] == [30, 3600, 21_600]
    assert play.row().status is Status.FAILED


def test_S48_the_handlers_delays() -> None:
    play = running()
    play.info = ProjectInfo(retry_delay={"": 5})
    play.project(script="# 2")
    play.submit()
    play.answer(ok=False)
    play.advance(5)
    assert play.urls() == [URL, URL]


def test_S48_also_after_a_restart_before_the_handler_has_said_them_again() -> None:
    play = running()
    play.info = ProjectInfo(retry_delay={"": 5})
    play.project(script="# 2")
    play.submit()
    play.start()
    play.turn(room=0)  # the new scheduler has not asked the handler yet
    play.answer(ok=False)
    assert play.row().rank == play.now + 5
    play.info = ProjectInfo()
    play.project(script="# 3")
    play.turn()
    assert ("p", "retry_delay") not in play.taskdb.state()


@pytest.mark.parametrize("missing", ["taskid", "project", "url"])
def test_T11_incomplete_tasks_are_refused(missing: str) -> None:
    task = {"taskid": "t", "project": "p", "url": "http://h/"}
    del task[missing]
    with pytest.raises(InvalidTask, match=missing):
        task_from_dict(task)


def test_T11_others_are_accepted() -> None:
    play = running()
    assert play.submit().accepted
    assert play.submit().accepted  # known: nothing to do, and no error


def test_T12_auto_recrawl_comes_back_until_somebody_ends_it() -> None:
    play = running()
    play.submit(schedule=Schedule(auto_recrawl=True, age=0, retries=0))
    for number in range(6):
        play.answer(ok=number % 3 == 0)
        play.advance(1)
        assert [d.url for d in play.out] == [URL]
    play.submit(schedule=Schedule(auto_recrawl=False, force_update=True))
    play.answer(url=URL)
    play.answer(url=URL)
    play.advance(100)
    assert play.row().status is Status.SUCCESS
    assert URL not in [d.url for d in play.out]
    play.answer_all()
    play.check_books()


def test_S49_auto_recrawl_waits_for_its_age() -> None:
    play = running()
    play.submit(schedule=Schedule(auto_recrawl=True, age=60))
    play.answer()
    play.advance(59)
    assert play.out == []
    play.advance(1)
    assert [(d.url, d.run) for d in play.out] == [(URL, 2)]
    assert "data:,on_finished" not in play.urls()


def test_T13_a_forced_cancel_removes_a_delayed_task() -> None:
    play = running()
    play.submit("http://h/other", schedule=Schedule(exetime=play.now + 5000))
    size = play.size()
    play.submit(schedule=Schedule(exetime=play.now + 100))
    assert play.size() == size + 1
    assert play.submit(schedule=Schedule(cancel=True, force_update=True)).verdict == "cancel"
    assert play.size() == size
    assert play.row().status is Status.BAD
    play.advance(200)
    assert play.urls() == []
    play.check_books()


def test_T13_cancel_of_an_unknown_task_does_nothing() -> None:
    play = running()
    assert play.submit(schedule=Schedule(cancel=True, force_update=True)).verdict == "nothing"
    assert play.taskdb.books("p").tasks == 0
    play.check_books()


def test_S38_a_finished_task_may_be_cancelled_and_the_books_hold() -> None:
    play = running()
    play.submit()
    play.answer()
    assert play.submit(schedule=Schedule(cancel=True, force_update=True)).verdict == "cancel"
    assert play.row().status is Status.BAD
    play.check_books()


def test_S39_a_new_itag_does_not_wait_for_the_retry() -> None:
    play = running()
    play.submit(schedule=Schedule(itag="a"))
    play.answer(ok=False)
    assert play.submit(schedule=Schedule(itag="b")).verdict == "update"
    assert [d.url for d in play.out] == [URL]
    assert play.row().retried == 0
    play.answer()
    play.check_books()


def test_T14_the_limit_of_waiting_tasks() -> None:
    play = running(inqueue_limit=10)
    play.project(rate=0.0)
    verdicts = [play.submit(f"http://h/{n}").accepted for n in range(20)]
    assert verdicts.count(True) == play.size() == 10
    assert play.ledger("refused", "inqueue_limit") == 10


def test_T15_stopped_marked_and_untouched_projects_go() -> None:
    play = running(delete_time=0.0)
    play.submit()
    play.answer()
    play.advance(1)
    play.project(status="STOP", group="lock,delete")
    play.clock.advance(1)
    play.turn()
    play.advance(10)
    assert play.projectdb.get("p") is None
    assert play.taskdb.books("p").tasks == 0
    assert play.taskdb.ledger("p") == {}
    assert play.engine.state.counters.sum("all", play.now) == {}
    assert play.engine.snapshot["projects"] == {}


def test_T15_but_not_before_the_time() -> None:
    play = running(delete_time=100.0)
    play.project(status="STOP", group="delete")
    play.advance(50)
    assert play.projectdb.get("p") is not None
    play.advance(60)
    assert play.projectdb.get("p") is None


def test_T16_what_ended_is_stored_before_anything_else_happens() -> None:
    play = running()
    play.submit()
    play.answer()
    assert play.row().status is Status.SUCCESS
    play.engine.stop(play.now)
    assert play.row().status is Status.SUCCESS


def test_S66_counters_are_kept_over_a_restart() -> None:
    play = running()
    play.submit()
    play.answer()
    play.engine.stop(play.now)
    play.start()
    play.turn()
    assert play.engine.state.counters.sum("1h", play.now)["p"]["success"] == 1


def failing(play: Play, count: int) -> None:
    for number in range(count):
        play.submit(f"http://h/fail/{len(play.sent)}/{number}", schedule=Schedule(retries=0))
        play.answer(ok=False)


def paused(play: Play) -> bool:
    return play.engine.state.projects["p"].pause.state(play.now) == "paused"


def test_T20_ten_failures_pause_and_a_success_after_the_pause_resumes() -> None:
    play = running(on_finished=False)
    failing(play, 9)
    play.submit("http://h/good")
    play.answer(url="http://h/good")
    failing(play, 9)
    assert not paused(play)
    failing(play, 1)
    assert paused(play)
    for number in range(6):
        assert play.submit(f"http://h/later/{number}", schedule=Schedule(retries=0)).accepted
    sent = len(play.sent)
    play.advance(299)
    assert len(play.sent) == sent
    play.advance(1)
    assert len(play.out) == 3  # as many as the check needs
    for _ in range(3):
        play.answer(ok=False)
    assert paused(play)
    assert play.out == []
    play.advance(300)
    play.answer()
    assert len(play.out) == 2
    play.turn()
    assert len(play.out) == 2
    assert not paused(play)
    play.answer_all()
    play.check_books()


def test_T20_without_a_limit_nothing_pauses() -> None:
    play = running(on_finished=False, fail_pause_num=0)
    failing(play, 30)
    assert not paused(play)


def test_T20_a_new_script_ends_the_pause() -> None:
    play = running(on_finished=False)
    failing(play, 10)
    assert paused(play)
    play.project(script="# mended")
    play.turn()
    assert not paused(play)


def test_S07_rate_and_burst() -> None:
    play = Play()
    play.project(rate=0.5, burst=2)
    for number in range(5):
        play.turn(submissions=[Submission(play_task(f"http://h/{number}"))])
    assert len(play.sent) == 2
    play.advance(1.9)
    assert len(play.sent) == 2
    assert play.wake == pytest.approx(0.1, abs=0.01)
    play.advance(0.1)
    assert len(play.sent) == 3


def test_S60_on_finished_comes_once_per_drain_and_not_while_children_are_on_their_way() -> None:
    play = running()
    play.submit()
    play.answer(follows=[follow("http://h/a"), follow("http://h/b"), follow("http://h/a")])
    assert "data:,on_finished" not in play.urls()
    play.answer_all()
    assert play.urls() == [URL, "http://h/a", "http://h/b", "data:,on_finished"]
    play.submit("http://h/c")
    play.answer_all()
    assert play.urls().count("data:,on_finished") == 2
    play.start()
    for _ in range(5):
        play.advance(5)
    assert play.urls().count("data:,on_finished") == 2
    play.check_books()


def test_a_crawl_drains_though_its_retries_were_not_all_in_memory() -> None:
    play = running(on_finished=False, refill=2, fail_pause_num=0)
    for number in range(6):
        play.submit(f"http://h/{number}")
    play.answer_all(ok=False, limit=5)
    play.clock.advance(10)
    play.start()
    play.turn()
    play.answer(ok=False)
    for _ in range(4):
        play.advance(20)
        play.answer_all()
    assert play.size() == 0
    assert play.engine.snapshot["drained"]


def test_a_page_whose_body_is_gone_is_fetched_again_and_that_is_no_try() -> None:
    play = Play()
    play.project()
    play.submit(schedule=Schedule(retries=0))
    for _ in range(2):
        play.answer(ok=False, process=TrackProcess(ok=False, reason="body_lost"))
    assert [dispatch.attempt for dispatch in play.out] == [3]
    assert play.ledger("lost", "body_lost") == 2
    play.answer()
    assert play.row().status is Status.SUCCESS
    play.check_books()


def test_S24_a_task_that_is_lost_again_and_again_fails_in_the_end() -> None:
    play = running(on_finished=False, max_lost=3)
    play.submit()
    for _ in range(10):
        play.out.clear()
        play.advance(play.settings.lease + 1)
    assert play.row().status is Status.FAILED
    assert play.ledger("failed", "lost") == 1
    play.check_books()


def test_a_project_of_a_removed_ones_name_has_nothing_of_it() -> None:
    play = running(on_finished=False)
    play.submit()
    assert play.submit(schedule=Schedule(force_update=True)).verdict == "postpone"
    play.submit("http://h/2")
    play.answer(url="http://h/2", session="s", jar=["secret=1"])
    play.engine.drop("p")
    play.out.clear()
    play.project()
    play.submit()
    play.answer()
    play.submit("http://h/2", fetch=Fetch(session="s"))
    assert [(dispatch.url, dispatch.jar) for dispatch in play.out] == [("http://h/2", [])]
    play.check_books()
