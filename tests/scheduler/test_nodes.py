"""Who takes part: heartbeats, silence, and what comes back."""

from __future__ import annotations

import json

import pytest

from crawlkit.libs.messages import Dispatch, Heartbeat
from crawlkit.libs.rows import NodeRow
from crawlkit.libs.task import Task
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.turn import Inbox, Submission
from tests.scheduler.play import Play
from tests.scheduler.rig import outcome_of

OWN = "s-1"


def beat(node: str, *held: Dispatch, role: str = "fetcher", clock: float = 5.0, **more: object) -> Heartbeat:
    """``clock``: what the node's own clock says, which is wrong on purpose."""
    attempts = [(one.project, one.taskid, one.run, one.attempt) for one in held]
    return Heartbeat(node, role, "h", 1, "1.0", clock, attempts, {"cpu": 3.0}, **more)  # type: ignore[arg-type]


@pytest.fixture
def play() -> Play:
    play = Play(EngineSettings(lease=300, lease_max=600))
    play.engine.node = OWN
    play.project()
    return play


def pass_time(play: Play, seconds: float, *alive: Heartbeat, own: bool = True) -> list[str]:
    """Turns every second, with heartbeats every two; returns what the log would say of nodes."""
    said: list[str] = []
    for second in range(int(seconds)):
        play.clock.advance(1)
        beats = list(alive) if second % 2 else []
        if own and second % 2:
            beats.append(beat(OWN, role="scheduler"))
        said += [f"{one.node} {one.what} {one.leases}" for one in play.turn(*beats, busy=True).nodes]
    return said


def send(play: Play, n: int) -> list[Dispatch]:
    urls = [f"http://h/{number}" for number in range(n)]
    play.turn(submissions=[Submission(Task("p", url[-60:], url)) for url in urls])
    return [one for one in play.out if one.url in urls]


def rows(play: Play) -> dict[str, NodeRow]:
    return {row.node: row for row in play.taskdb.nodes()}


def state(play: Play, node: str) -> tuple[str, bool]:
    row = rows(play)[node]
    return json.loads(row.stats)["state"], row.alive


def test_a_silent_node_is_dead_within_15_s_and_its_leases_return_at_once(play: Play) -> None:
    first, second = send(play, 2)
    play.turn(beat(OWN), beat("a", first), beat("b", second))
    assert state(play, "a") == ("alive", True)
    said = pass_time(play, 15, beat("b", second))
    assert said == ["a dead 1"]
    assert state(play, "a") == ("dead", False)
    assert state(play, "b") == ("alive", True)
    again = [one for one in play.out if one.url == first.url and one.attempt == 2]
    assert len(again) == 1  # though the queues held messages all the time
    assert play.ledger("lost", "node_gone") == 1
    assert not [one for one in play.out if one.url == second.url and one.attempt == 2]


def test_one_that_comes_back_does_no_harm(play: Play) -> None:
    (task,) = send(play, 1)
    play.turn(beat(OWN), beat("a", task))
    pass_time(play, 15)
    (again,) = [one for one in play.out if one.attempt == 2]
    outbox = play.turn(beat("a", task), outcome_of(task))  # it was only stopped, and goes on where it was
    assert [(one.node, one.what) for one in outbox.nodes] == [("a", "back")]
    assert state(play, "a") == ("alive", True)
    assert play.ledger("ignored", "stale_outcome") == 1
    assert play.ledger("done") == 0
    play.turn(outcome_of(again))
    assert play.ledger("done") == 1
    play.check_books()


def test_clocks_of_other_hosts_do_not_matter(play: Play) -> None:
    play.turn(beat(OWN), beat("past", clock=1.0), beat("future", clock=9e9))
    assert {row.seen for row in rows(play).values()} == {play.now}
    assert not pass_time(play, 20, beat("past", clock=1.0), beat("future", clock=9e9))
    play.shift = -86_400  # the scheduler's own date is set back by a day
    assert not pass_time(play, 20, beat("past", clock=1.0), beat("future", clock=9e9))
    assert state(play, "past")[1]
    assert state(play, "future")[1]


def test_while_the_queue_is_away_nobody_is_judged_and_afterwards_there_is_a_grace(play: Play) -> None:
    (task,) = send(play, 1)
    play.turn(beat(OWN), beat("a", task), beat("b"))
    assert pass_time(play, 3_600, own=False) == []
    assert play.ledger("lost", "node_gone") == 0
    play.turn(beat(OWN))  # the broker is back; the others' heartbeats come later than the scheduler's
    assert pass_time(play, 8) == []
    said = pass_time(play, 4, beat("b"))
    assert said == ["a dead 0"]  # its lease ended by itself, in an hour
    assert state(play, "b")[1]


def test_a_turn_that_took_long_kills_nobody(play: Play) -> None:
    play.turn(beat(OWN), beat("a"))
    play.clock.advance(60)  # the store was away: what came meanwhile waits in the queue
    assert play.turn().nodes == []
    assert play.turn(beat(OWN)).nodes == []
    assert play.turn(beat("a")).nodes == []
    assert pass_time(play, 9) == []


def test_what_was_handed_on_stays_where_it_is_when_the_node_dies(play: Play) -> None:
    first, second = send(play, 2)
    play.turn(beat(OWN), beat("a", first, second))
    play.turn(beat("a", second))  # the first is in the next queue now
    assert pass_time(play, 15) == ["a dead 1"]
    assert [one.url for one in play.out if one.attempt == 2] == [second.url]


def test_what_a_dead_node_took_without_a_word_comes_back_when_no_queue_holds_it(play: Play) -> None:
    play.settings.lease = 30
    (task,) = send(play, 1)
    play.turn(beat(OWN), beat("a"))  # it has the task in hand, and is stopped before it says so
    pass_time(play, 35)
    assert not [one for one in play.out if one.attempt == 2]  # it may wait in a queue
    for _ in range(10):
        play.clock.advance(1)
        play.engine.turn(play.now, _held_by_somebody(), play.clock.now)
    assert play.row(task.url).lost == 1


def _held_by_somebody() -> Inbox:
    return Inbox([beat(OWN)], [], 0, queues_busy=True, queues_waiting=False)


def test_what_a_scheduler_died_with_before_it_was_sent_is_sent_soon_by_the_next(play: Play) -> None:
    unsent, held = send(play, 2)
    play.start()
    play.engine.node = "s-2"
    own = beat("s-2", role="scheduler")

    def lost_after(seconds: int, *beats: Heartbeat, waiting: bool = False) -> list[int]:
        for _ in range(seconds):
            play.clock.advance(1)
            play.engine.turn(play.now, Inbox(list(beats), [], 0, True, waiting), play.clock.now)
        return [play.row(one.url).lost for one in (unsent, held)]

    # It has not heard itself: who holds something may not be heard either.
    assert lost_after(6, beat("a", held)) == [0, 0]
    assert lost_after(5, own, waiting=True) == [0, 0]  # it may stand in a queue
    assert lost_after(3, own) == [1, 0]
    assert lost_after(40, own, beat("a", held)) == [1, 0]


def test_stopping_and_stopped(play: Play) -> None:
    (task,) = send(play, 1)
    play.turn(beat(OWN), beat("a", task))
    play.turn(beat("a", task, stopping=True))
    assert state(play, "a") == ("stopping", True)
    play.turn(beat("a", stopping=True))
    assert state(play, "a") == ("stopped", False)
    assert pass_time(play, 30) == []


def test_paused_with_its_reason(play: Play) -> None:
    play.turn(beat(OWN), beat("a", paused="its CPU use of 250 % is over 200 %"))
    assert state(play, "a") == ("paused", True)
    assert json.loads(rows(play)["a"].stats)["reason"] == "its CPU use of 250 % is over 200 %"
    play.turn(beat("a"))
    assert state(play, "a") == ("alive", True)
    assert "reason" not in json.loads(rows(play)["a"].stats)


def test_a_new_scheduler_knows_who_was_there(play: Play) -> None:
    play.turn(beat(OWN), beat("a"), beat("b"))
    play.start()
    play.engine.node = "s-2"
    play.clock.advance(100)
    play.turn(beat("s-2", role="scheduler"))
    said: list[str] = []
    for second in range(14):
        play.clock.advance(1)
        beats = [beat("s-2", role="scheduler"), beat("b")] if second % 2 else []
        said += [f"{one.node} {one.what}" for one in play.turn(*beats).nodes]
    assert sorted(said) == ["a dead", "s-1 dead"]
    assert state(play, "b")[1]


def test_rows_are_written_together_now_and_then(play: Play) -> None:
    play.turn(beat(OWN), beat("a"))
    seen = []
    for _ in range(20):
        play.clock.advance(1)
        play.turn(beat(OWN), beat("a"))
        seen.append({row.seen for row in rows(play).values()})
    assert all(len(times) == 1 for times in seen)
    assert 3 <= len({min(times) for times in seen}) <= 5


def test_the_scheduler_says_good_bye(play: Play) -> None:
    play.turn(beat(OWN, role="scheduler"))
    play.engine.stop(play.now)
    assert state(play, OWN) == ("stopped", False)
