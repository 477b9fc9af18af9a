"""What the scheduler says of itself in the taskdb."""

from __future__ import annotations

import json

from crawlkit.libs.messages import VERSION
from crawlkit.libs.protocol import DRAINED, PROTOCOL
from crawlkit.libs.task import Schedule, Task
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.turn import Submission
from tests.scheduler.play import Play


def drained(play: Play) -> bool:
    return play.taskdb.state_of(*DRAINED) == "1"


def rest(play: Play) -> bool:
    """Whether it says so after some turns in which nothing happens."""
    for _ in range(4):
        play.advance(1)
    return drained(play)


def test_the_protocol_is_said_at_the_start() -> None:
    play = Play()
    play.turn()
    said = json.loads(play.taskdb.state_of(*PROTOCOL) or "")
    assert said["version"] == VERSION


def test_drained_is_said_and_taken_back_with_the_task_that_is_accepted() -> None:
    play = Play()
    play.project()
    assert rest(play)
    play.submit()
    assert not drained(play)  # in the same transaction
    assert not rest(play)
    play.answer_all()
    assert rest(play)
    play.start()
    assert rest(play)


def test_what_is_tried_again_is_waited_for_and_what_is_due_later_is_not() -> None:
    play = Play(EngineSettings(retry_delays={"": 500}))
    play.project()
    play.submit()
    play.answer(ok=False)
    assert not rest(play)
    play.advance(500)
    play.answer_all()
    assert rest(play)
    later = Task("p", "later", "http://h/later", Schedule(exetime=play.now + 5_000))
    play.turn(submissions=[Submission(later)])
    assert rest(play)
    play.advance(5_000)
    assert not drained(play)


def test_a_project_that_does_not_run_is_not_waited_for_and_a_paused_one_is() -> None:
    play = Play()
    play.project(status="STOP")
    play.submit()
    assert rest(play)
    play.project()
    play.advance(6)
    assert not rest(play)
    play.answer_all()
    assert rest(play)
    play.order("pause")
    play.submit("http://h/2")
    assert not rest(play)
    play.order("resume")
    play.advance(1)
    play.answer_all()
    assert rest(play)
