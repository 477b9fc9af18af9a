"""A project's page budget: what is sent out, over restarts and failures, and what is seen of it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crawlkit.libs.messages import ProjectInfo
from crawlkit.libs.task import Schedule, Task
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.turn import Submission
from tests.scheduler.play import Play
from tests.scheduler.rig import follow


def submit(play: Play, n: int, start: int = 0, project: str = "p", **parts: Any) -> None:
    urls = [f"http://h/{number}" for number in range(start, start + n)]
    play.turn(submissions=[Submission(Task(project, url[-60:], url, **parts)) for url in urls])


def pages(play: Play, project: str = "p") -> list[str]:
    return [one.url for _, one in play.sent if one.project == project and one.url.startswith("http")]


def seen(play: Play, project: str = "p") -> dict[str, Any]:
    play.advance(1)
    found: dict[str, Any] = play.engine.snapshot["projects"][project]
    return found


def test_no_more_than_the_budget_is_sent_and_raising_it_goes_on() -> None:
    play = Play()
    play.project(max_pages=5)
    play.project("other")
    submit(play, 12)
    submit(play, 12, project="other")
    play.advance(1)
    assert (len(pages(play)), len(pages(play, "other"))) == (5, 12)
    found = seen(play)
    assert (found["paused"], found["pages"], found["drained"]) == ("budget", 5, False)
    play.answer_all()
    found = seen(play)
    assert found["drained"]  # nothing comes of what waits without a hand
    assert found["waiting"] == 7
    play.project(max_pages=8)
    play.advance(6)
    assert len(pages(play)) == 8
    play.project(max_pages=None)
    play.advance(6)
    assert len(pages(play)) == 12
    assert seen(play)["paused"] == "running"
    play.check_books()


def test_lowered_below_what_was_sent_it_stops_at_once() -> None:
    play = Play()
    play.project(max_pages=5)
    submit(play, 4)
    play.project(max_pages=2)
    play.advance(6)
    submit(play, 4, start=10)
    assert len(pages(play)) == 4


def test_a_restart_neither_forgets_nor_adds() -> None:
    play = Play()
    play.project(max_pages=6)
    submit(play, 4)
    play.start()
    play.turn()
    submit(play, 10, start=10)
    assert len(pages(play)) == 6
    assert seen(play)["pages"] == 6


def test_a_budget_taken_away_and_given_again_begins_anew() -> None:
    play = Play()
    play.project(max_pages=2)
    submit(play, 2)
    play.project(max_pages=None)
    play.advance(6)
    play.project(max_pages=3)
    play.advance(6)
    submit(play, 9, start=10)
    assert len(pages(play)) == 5


def test_tries_count_and_what_the_project_says_of_itself_goes_on() -> None:
    play = Play(EngineSettings(retry_delays={"": 1}), ProjectInfo(has_on_finished=True))
    play.project(max_pages=3)
    submit(play, 1, schedule=Schedule(retries=10))
    for _ in range(10):
        play.answer_all(ok=False)
        play.advance(2)
    assert len(pages(play)) == 3  # one page, three tries
    outbox = play.turn(submissions=[Submission(Task("p", "on_start", "data:,on_start", Schedule(priority=9)))])
    assert [one.url for one in outbox.dispatches] == ["data:,on_start"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(1, 9)),
        st.tuples(st.just("answer"), st.integers(0, 1)),
        st.tuples(st.just("lose"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("raise"), st.integers(0, 6)),
        st.tuples(st.just("wait"), st.integers(1, 50)),
    ),
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(budget=st.integers(0, 12), steps=STEPS)
def test_whatever_happens_the_budget_holds_to_the_page(budget: int, steps: list[tuple[str, int]]) -> None:
    play = Play(EngineSettings(lease=20, lease_max=40, retry_delays={"": 3}, window=6, refill=2, max_leased=5))
    play.project(max_pages=budget)
    submitted = 0
    for what, how in steps:
        if what == "submit":
            submit(play, how, start=submitted)
            submitted += how
        elif what == "answer" and play.out:
            play.answer(bool(how), follows=[follow(f"http://h/f{submitted}")] if how else [])
            submitted += how
        elif what == "lose":
            play.out.clear()
            play.advance(45)
        elif what == "restart":
            play.start()
            play.turn()
        elif what == "raise":
            budget += how
            play.project(max_pages=budget)
            play.advance(6)
        else:
            play.advance(how)
        assert len(pages(play)) <= budget
        play.check_books()
    for _ in range(400):  # and it is used up, if there is work for it
        play.answer_all()
        play.advance(6)
        if len(pages(play)) == budget or not play.size():
            break
    assert len(pages(play)) == budget or not play.size()
