"""What a dashboard is told, and what it costs with many projects."""

from __future__ import annotations

import time

from crawlkit.libs.messages import ProjectInfo, TrackFetch, TrackProcess
from crawlkit.libs.task import Schedule
from crawlkit.scheduler.overview import overview
from crawlkit.scheduler.settings import EngineSettings
from tests.scheduler.play import Play


def test_one_project() -> None:
    play = Play(info=ProjectInfo())
    play.project(group="g", burst=4)
    play.turn()
    for number in range(4):
        play.submit(f"http://h/{number}", schedule=Schedule(retries=0))
    for ok in (True, True, False):
        play.answer(ok=ok, fetch=TrackFetch(ok=ok, status_code=200, time=0.2), process=TrackProcess(ok=ok, time=0.1))
        play.clock.advance(10)
    seen = play.engine.overview(play.now)["projects"]["p"]
    assert (seen["group"], seen["status"], seen["burst"], seen["paused"]) == ("g", "RUNNING", 4, "running")
    assert (seen["waiting"], seen["leased"], seen["done"], seen["failed"]) == (0, 1, 2, 1)
    assert seen["windows"]["5m"] == [4, 2, 0, 1]
    assert seen["all"] == [4, 2, 0, 1]
    assert (seen["fetch_ms"], seen["process_ms"]) == (200.0, 100.0)
    assert len(seen["spark"]) == 30
    assert seen["spark"][-4:] == [1, 1, 1, 0]
    low, high = seen["eta"]
    assert low > 0
    assert high is None  # four came and three ended
    play.order("pause")
    held = play.engine.overview(play.now)["projects"]["p"]
    assert (held["paused"], held["eta"]) == ("held", None)


def test_an_estimate_when_nothing_comes_any_more() -> None:
    play = Play(EngineSettings(lease=10_000), ProjectInfo())
    play.project()
    play.turn()
    for number in range(40):
        play.submit(f"http://h/{number}")
    for _ in range(35):
        play.clock.advance(10)
        play.answer()
    low, high = play.engine.overview(play.now)["projects"]["p"]["eta"]
    assert 40 < low < 60
    assert high is not None
    assert low <= high < 400


def test_a_thousand_projects_take_little_time() -> None:
    play = Play(info=ProjectInfo())
    for number in range(1000):
        play.project(f"p{number}")
    play.turn()
    state, now = play.engine.state, play.now
    for number in range(1000):
        for event in ("pending", "success", "retry", "failed"):
            for back in range(0, 3600, 60):
                state.counters.add(f"p{number}", event, 2, now - 3600 + back)
        state.counters.observe(f"p{number}", "fetch_time", 0.1, now)
    overview(state, now)
    best = 1.0
    for turn in range(5):
        started = time.process_time()
        assert len(overview(state, now + turn)) == 1000
        best = min(best, time.process_time() - started)
    print(f"{best * 1000:.1f} ms")
    assert best < 0.06  # aim: 20 ms on a quiet machine
