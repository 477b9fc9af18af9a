"""Crons on the whole scheduler: one instant, one run, whatever restarts."""

from __future__ import annotations

from itertools import pairwise

import pytest

from crawlkit.libs.messages import CronSpec, Dispatch, ProjectInfo
from crawlkit.scheduler import cron
from crawlkit.scheduler.settings import EngineSettings
from tests.scheduler.play import Play

PATIENT = EngineSettings(lease=1e6, lease_max=1e6)


def cron_play(**spec: str) -> Play:
    """A project with one cron each minute, started half a minute before the next instant."""
    play = Play(PATIENT, ProjectInfo(crons=[CronSpec("tick", seconds=60, **spec)]))
    play.clock.now += 90 - play.clock.now % 60
    play.project()
    play.turn()
    return play


def instants(play: Play) -> list[float]:
    """The instants sent so far, in minutes since the first one that was possible."""
    start = play.sent[0][1].fetch.save["tick"] if play.sent else 0
    return [(dispatch.fetch.save["tick"] - start) / 60 for _, dispatch in play.sent]


def wait(play: Play, minutes: float) -> None:
    """Lets time pass as a service does: it wakes when something is due."""
    end = play.clock.now + minutes * 60
    while (pause := min(play.wake or 1.0, end - play.clock.now)) > 0:
        play.advance(pause)


def skipped(play: Play) -> list[str]:
    return [row.reason for row in play.taskdb.ticks("p", "tick") if row.reason]


def test_an_instant_is_sent_at_its_time_and_once() -> None:
    play = cron_play()
    wait(play, 0.49)
    assert play.sent == []
    wait(play, 0.02)
    assert [d.callback for d in play.out] == ["tick"]
    assert 0 <= play.now - play.out[0].fetch.save["tick"] < 1
    play.answer()
    wait(play, 0.9)
    assert len(play.sent) == 1
    wait(play, 0.1)
    assert instants(play) == [0, 1]
    play.check_books()


def test_overlap_skip_leaves_out_what_comes_while_one_runs() -> None:
    play = cron_play(overlap="skip")
    wait(play, 3)
    assert instants(play) == [0]
    assert skipped(play) == ["overlap", "overlap"]
    play.answer()
    wait(play, 1)
    assert instants(play) == [0, 3]
    play.check_books()


def test_overlap_queue_runs_them_one_after_another() -> None:
    play = cron_play(overlap="queue")
    wait(play, 3)
    assert instants(play) == [0]
    for expected in ([0, 1], [0, 1, 2], [0, 1, 2]):
        play.answer()
        assert instants(play) == expected
    wait(play, 1)
    assert instants(play) == [0, 1, 2, 3]
    play.check_books()


@pytest.mark.parametrize("answered", ["before", "after"])
def test_overlap_queue_goes_on_after_a_restart(answered: str) -> None:
    play = cron_play(overlap="queue")
    wait(play, 3)
    if answered == "before":
        play.project(status="STOP")
        play.turn()
        play.answer()
        play.project()
    play.start()
    play.turn()
    if answered == "after":
        play.answer()
    while play.out:
        play.answer()
    assert instants(play) == [0, 1, 2]
    play.check_books()


def test_overlap_allow_runs_them_beside_each_other() -> None:
    play = cron_play(overlap="allow")
    wait(play, 3)
    assert instants(play) == [0, 1, 2]
    assert len(play.out) == 3


def test_a_failed_tick_is_tried_again_and_stays_one() -> None:
    play = cron_play(overlap="queue")
    wait(play, 0.6)
    play.answer(ok=False)
    wait(play, 1)
    assert instants(play) == [0, 0]
    assert [(d.run, d.attempt) for d in play.out] == [(1, 2)]
    play.answer()
    assert instants(play) == [0, 0, 1]


@pytest.mark.parametrize(("mode", "expected"), [("once", [0, 6]), ("all", [0, 1, 2, 3, 4, 5, 6]), ("none", [0])])
def test_catch_up_after_an_outage(mode: str, expected: list[int]) -> None:
    play = cron_play(catch_up=mode, overlap="allow")
    wait(play, 0.6)
    play.answer()
    play.clock.advance(6 * 60 + 50)  # nobody is there
    play.start()
    play.turn()
    assert instants(play) == expected
    while play.out:
        play.answer()
    wait(play, 1)
    assert instants(play)[len(expected) :] == [7]
    play.check_books()


def test_an_outage_right_after_the_first_start_is_an_outage() -> None:
    play = cron_play()
    play.clock.advance(600)
    play.start()
    play.turn()
    assert len(play.sent) == 1
    play.answer()


def test_a_date_that_is_set_back_fires_nothing_twice() -> None:
    play = cron_play(overlap="allow", catch_up="all")
    wait(play, 5)
    seen = instants(play)
    play.shift = -180
    play.turn()
    wait(play, 2.9)
    assert instants(play) == seen
    wait(play, 1)
    assert instants(play) == [*seen, 5]


def test_nothing_fires_while_a_project_is_stopped() -> None:
    play = cron_play(catch_up="none")
    play.project(status="STOP")
    wait(play, 10)
    assert play.sent == []


def test_ticks_use_no_tokens_and_go_before_pages() -> None:
    play = Play(info=ProjectInfo(crons=[CronSpec("tick", seconds=60)]))
    play.project(rate=0.001, burst=1)
    play.submit("http://h/1")
    play.submit("http://h/2")
    wait(play, 1.1)
    assert [dispatch.url for dispatch in play.out] == ["http://h/1", "data:,_on_cronjob"]


def test_a_changed_script_keeps_its_place_in_time() -> None:
    play = cron_play()
    wait(play, 0.6)
    play.answer()
    play.info = ProjectInfo(crons=[CronSpec("tick", seconds=60), CronSpec("other", seconds=60)])
    play.project(script="# 2")
    play.turn()
    wait(play, 1)
    assert sorted((d.callback, d.fetch.save["tick"]) for d in play.out) == [
        ("other", play.out[0].fetch.save["tick"]),
        ("tick", play.out[0].fetch.save["tick"]),
    ]


def test_two_crons_on_one_method_with_one_instant_are_one_run() -> None:
    specs = [CronSpec("tick", seconds=60, overlap="allow"), CronSpec("tick", cron="* * * * *", overlap="allow")]
    play = Play(PATIENT, ProjectInfo(crons=specs))
    play.project()
    play.turn()

    def ticks() -> list[Dispatch]:
        return [dispatch for _, dispatch in play.sent]

    wait(play, 3)
    assert len({d.taskid for d in ticks()}) == len(ticks()) == 3


def test_a_long_outage_is_made_up_for_in_turns_of_bounded_size() -> None:
    play = Play(PATIENT, ProjectInfo(crons=[CronSpec("tick", seconds=1, catch_up="all", overlap="queue")]))
    play.project()
    play.turn()
    play.clock.advance(5_000)
    sizes = [0]
    while not play.wake or len(sizes) == 1:
        play.turn()
        sizes.append(len(play.taskdb.ticks("p", "tick", limit=10_000)))
    assert sizes[-1] == 5_000
    assert max(after - before for before, after in pairwise(sizes)) <= 2 * cron.MAX_DUE
