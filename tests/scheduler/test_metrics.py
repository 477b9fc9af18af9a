"""What is counted for charts: one row a minute and one an hour, also over restarts and clocks that are set back."""

from __future__ import annotations

from crawlkit.libs.messages import ProjectInfo, TrackFetch, TrackProcess
from crawlkit.libs.metrics import HOUR, MINUTE, OTHERS
from crawlkit.libs.task import Schedule
from crawlkit.scheduler import metrics, tally
from crawlkit.scheduler.tally import Tally
from tests.scheduler.play import Play


def running() -> Play:
    play = Play(info=ProjectInfo())
    play.clock.now = 1_700_000_000 // HOUR * HOUR + 5.0
    play.start()
    play.project()
    play.turn()
    return play


def page(play: Play, number: int, code: int = 200, size: int = 100) -> None:
    play.submit(f"http://h{number}/", schedule=Schedule(retries=0))
    ok = code == 200
    fetch = TrackFetch(ok=ok, status_code=code, time=0.5, size=size)
    play.answer(ok=ok, fetch=fetch, process=TrackProcess(ok=ok, time=0.25))


def test_a_minute_is_written_when_it_is_over() -> None:
    play = running()
    start = int(play.now // 60) * 60
    page(play, 1)
    page(play, 2, size=1000)
    page(play, 3, code=404)
    assert play.taskdb.metrics("p", 0, 2e9) == []
    play.advance(60)
    (row,) = play.taskdb.metrics("p", start, start + 60)
    assert (row.project, row.width, row.start) == ("p", MINUTE, start)
    assert (row.done, row.failed, row.retried) == (2, 1, 0)
    assert (row.fetch_time, row.process_time, row.size) == (1.5, 0.75, 1200)
    assert row.codes == {"200": 2, "404": 1}
    assert row.reasons == {"http_404": 1}
    assert row.hosts == {"h1": (100, 1), "h2": (1000, 1), "h3": (100, 1)}
    (hour,) = play.taskdb.metrics("p", 0, 2e9, HOUR)
    assert (hour.start, hour.done, hour.codes) == (start // HOUR * HOUR, 2, row.codes)


def test_idle_minutes_have_no_row_and_steps_put_rows_together() -> None:
    play = running()
    for number in range(3):
        page(play, number)
        play.advance(120)
    assert [row.done for row in play.taskdb.metrics("p", 0, 2e9)] == [1, 1, 1]
    assert sum(row.done for row in play.taskdb.metrics("p", 0, 2e9, 600)) == 3
    assert len(play.taskdb.metrics("p", 0, 2e9, 600)) == 1
    (hour,) = play.taskdb.metrics("p", 0, 2e9, HOUR)
    assert hour.done == 3


def test_each_hour_has_its_row() -> None:
    play = running()
    for number in range(3):
        page(play, number)
        play.advance(HOUR)
    hours = play.taskdb.metrics("p", 0, 2e9, HOUR)
    assert [(row.done, row.start % HOUR) for row in hours] == [(1, 0), (1, 0), (1, 0)]
    assert hours[1].start == hours[0].start + HOUR


def test_a_stop_keeps_what_was_counted_and_the_same_minute_goes_on() -> None:
    play = running()
    page(play, 1)
    play.engine.stop(play.now)
    play.start()
    play.turn()
    page(play, 2)
    play.advance(60)
    (row,) = play.taskdb.metrics("p", 0, 2e9)
    (hour,) = play.taskdb.metrics("p", 0, 2e9, HOUR)
    assert (row.done, hour.done) == (2, 2)


def test_a_clock_that_is_set_back_adds_to_the_minute_it_was_in() -> None:
    play = running()
    page(play, 1)
    play.advance(60)
    play.shift = -60.0
    play.turn()
    page(play, 2)
    play.shift = 0.0
    play.turn()
    (row,) = play.taskdb.metrics("p", 0, 2e9)
    assert row.done == 2


def test_old_rows_go_minutes_after_a_day_and_hours_after_a_month() -> None:
    play = running()
    page(play, 1)
    play.advance(60)
    play.advance(metrics.KEEP[MINUTE] + 120)
    assert play.taskdb.metrics("p", 0, 2e9) == []
    assert len(play.taskdb.metrics("p", 0, 2e9, HOUR)) == 1
    play.advance(metrics.KEEP[HOUR])
    assert play.taskdb.metrics("p", 0, 2e9, HOUR) == []


def test_what_reaches_no_host_counts_for_none() -> None:
    one = Tally()
    one.add("", "", False, TrackFetch(status_code=200, size=8), TrackProcess(time=0.5))
    row = one.row("p", 1)
    assert (row.done, row.size, row.codes, row.hosts) == (1, 8, {"200": 1}, {})


def test_hosts_are_bounded() -> None:
    one = Tally()
    for number in range(tally.MAX_HOSTS + 50):
        one.add(f"h{number}", "", False, TrackFetch(status_code=200, size=number), None)
    row = one.row("p", 1)
    assert len(row.hosts) == 21
    assert row.hosts[OTHERS][1] == tally.MAX_HOSTS + 50 - 20
    assert sum(size for size, _ in row.hosts.values()) == sum(range(tally.MAX_HOSTS + 50))
