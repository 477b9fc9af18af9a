"""What becomes of a task that comes back: parts in any order, validators, reasons, clocks that go back."""

from __future__ import annotations

import asyncio
import logging

import pytest

from crawlkit.database.memory import MemoryProjectStore
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.messages import CronSpec, ProjectInfo
from crawlkit.libs.rows import ProjectRow
from crawlkit.libs.task import task_from_dict
from crawlkit.scheduler.kinds import TICK_URL
from crawlkit.scheduler.turn import Inbox, Submission
from tests.scheduler.rig import Rig, follow, outcome_of, running, task
from tests.scheduler.test_awaits import Play, begin


def test_a_last_part_that_overtakes_waits_also_over_a_restart() -> None:
    play = Play()
    parent = begin(play)
    parts = [outcome_of(parent, follows=[follow(f"http://h/{n}")]) for n in range(4)]
    for number, part in enumerate(parts):
        part.part, part.last = number, number == 3
    assert {one.url for one in play.turn(parts[0], parts[2]).dispatches} == {"http://h/0", "http://h/2"}
    play.start()
    play.turn(parts[3])
    assert play.ledger("done") == 0
    play.turn(parts[0], parts[1])
    assert play.ledger("done") == 1
    assert play.ledger("ignored", "repeated_part") == 1
    assert not any(name.startswith("parts:") for _, name in play.taskdb.state())
    assert {play.taskdb.get("p", f"http://h/{n}") is not None for n in range(4)} == {True}


def test_validators_are_sent_by_age_only_and_not_to_a_new_script() -> None:
    play = Play()
    clock = ManualClock(play.now)
    play.projectdb = MemoryProjectStore(clock=clock)
    saved = play.projectdb.put(ProjectRow("p", status="RUNNING", script="# one", rate=None, rate_set=True))
    play.start()
    (first,) = play.turn(submit=[task("http://h/x")]).dispatches
    play.turn(outcome_of(first, etag='"1"', last_modified="then"))
    (by_age,) = play.turn(submit=[task("http://h/x", schedule={"age": 1})], seconds=5).dispatches
    assert (by_age.etag, by_age.last_modified) == ('"1"', "then")
    play.turn(outcome_of(by_age, not_modified=True))
    (forced,) = play.turn(submit=[task("http://h/x", schedule={"force_update": True})]).dispatches
    assert (forced.etag, forced.last_modified) == (None, None)
    play.turn(outcome_of(forced, etag='"2"'))
    saved.script, clock.now = "# another", play.now
    play.projectdb.put(saved)
    play.engine.projects_changed = True
    (new_script,) = play.turn(submit=[task("http://h/x", schedule={"age": 1})], seconds=5).dispatches
    assert new_script.etag is None
    play.turn(outcome_of(new_script, etag='"3"'))
    (again,) = play.turn(submit=[task("http://h/x", schedule={"age": 1})], seconds=5).dispatches
    assert again.etag == '"3"'


def test_reasons_for_drops_do_not_fill_the_ledger() -> None:
    play = Play()
    for n in range(150):
        (one,) = play.turn(submit=[task(f"http://h/{n}")]).dispatches
        play.turn(outcome_of(one, drop=f"page {n} is sold out"))
    dropped = {reason: n for (_, event, reason), n in play.taskdb.ledger("p").items() if event == "dropped"}
    assert len(dropped) == 101
    assert dropped["other"] == 50


def test_made_up_counts_are_not_believed() -> None:
    play = Play()
    (one,) = play.turn(submit=[task("http://h/1")]).dispatches
    play.turn(outcome_of(one, discarded=-5, known=2**62, behind=-1))
    assert {event for _, event, _ in play.taskdb.ledger("p")} == {"accepted", "done"}


def test_a_retry_does_not_wait_for_a_clock_that_was_set_back() -> None:
    play = Play(retry_delays={"": 30})
    (one,) = play.turn(submit=[task("http://h/1")]).dispatches
    play.turn(outcome_of(one, ok=False))
    play.engine.turn(play.now - 86_400, _inbox(), play.now)
    play.now -= 86_400
    assert play.turn(seconds=5).dispatches == []
    assert [one.attempt for one in play.turn(seconds=40).dispatches] == [2]


def _inbox(room: int = 100, *submissions: Submission) -> Inbox:
    return Inbox(submissions=list(submissions), room=room)


def test_a_cancelled_tick_does_not_block_its_cron() -> None:
    play = Play(info=ProjectInfo(crons=[CronSpec("tick", seconds=60)]))
    play.turn()
    play.engine.turn(play.now + 60, _inbox(room=0), play.now + 60)  # due, and nowhere to go
    play.now += 60
    (tick,) = play.taskdb.ticks("p")
    cancel = {"cancel": True, "force_update": True}
    waiting = task_from_dict({"project": "p", "taskid": tick.taskid, "url": TICK_URL, "schedule": cancel})
    play.engine.turn(play.now, _inbox(0, Submission(waiting)), play.now)
    assert play.ledger("cancelled", "by_request") == 1
    later = [one.callback for _ in range(4) for one in play.turn(seconds=30).dispatches]
    assert "tick" in later


def test_failures_and_pauses_are_told_once_a_kind(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        rig = Rig(lambda dispatch: outcome_of(dispatch, ok=False, fetch=None))
        rig.project()
        async with running(rig):
            tasks = [task(f"http://h/{n}", schedule={"retries": 0}) for n in range(12)]
            await rig.service.submit(tasks)
            await rig.until(lambda: rig.service.summary()["projects"]["p"]["failed"] >= 10)

    with caplog.at_level(logging.INFO, "scheduler"):
        asyncio.run(play())
    assert caplog.text.count("failed for good (exception)") == 1
    assert caplog.text.count("paused: its last tasks all failed") == 1
