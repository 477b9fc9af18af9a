"""What the engine tells the gate of the hosts: places, answers, holds over restarts, limits of projects."""

from __future__ import annotations

import logging
import math
from typing import Any

import msgspec
import pytest

from crawlkit.libs.clock import ManualClock
from crawlkit.libs.host_limits import Limits, read
from crawlkit.libs.messages import Await, Dispatch, FetchEnded, Heartbeat, ProjectInfo, TrackFetch, pack
from crawlkit.libs.rows import Queue, Writes
from crawlkit.libs.task import Fetch, Status, Task
from crawlkit.scheduler import host_gate, politeness
from crawlkit.scheduler.autothrottle import Answer
from crawlkit.scheduler.host_gate import Block
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.scheduler.teller import Teller
from crawlkit.scheduler.turn import Outbox
from tests.scheduler.play import Play
from tests.scheduler.rig import outcome_of

HOST, OTHER = "a.example.org", "b.example.org"


def ended(dispatch: Dispatch, status: int = 200, **fields: Any) -> FetchEnded:
    said: dict[str, Any] = {"host": HOST, "error_kind": None, "time": 0.1, "retry_after": None} | fields
    return FetchEnded(dispatch.project, dispatch.taskid, dispatch.run, dispatch.attempt, status_code=status, **said)


def play_of(limits: Any = None, **settings: Any) -> Play:
    config = {} if limits is None else {"host_limits": limits}
    play = Play(EngineSettings(**settings), ProjectInfo(crawl_config=config), polite=True)
    play.project()
    play.turn()
    return play


def url(n: int, host: str = HOST) -> str:
    return f"http://{host}/{n}"


def under_way(play: Play, host: str = HOST) -> int:
    return next((out for name, out, _ in play.engine.state.gate.hosts() if name == host), 0)


def wait(play: Play, host: str = HOST) -> float:
    return play.engine.state.gate.wait(host, play.clock.now)


# -- places


def test_a_place_is_free_when_the_fetch_has_ended() -> None:
    play = play_of({"concurrency": 2})
    play.submit(url(1))
    play.submit(url(2))
    assert under_way(play) == 2
    assert wait(play) == math.inf
    play.turn(ended(play.out[0]))
    assert under_way(play) == 1  # its callback has not run yet
    play.answer()
    assert under_way(play) == 1
    play.answer()  # the word of the fetcher was lost
    assert under_way(play) == 0


def test_what_is_told_twice_or_late_frees_one_place() -> None:
    play = play_of()
    play.submit(url(1))
    play.submit(url(2))
    first = play.out[0]
    play.turn(ended(first), ended(first))
    play.answer()
    play.turn(ended(first))
    assert under_way(play) == 1


def test_a_lost_lease_frees_its_place() -> None:
    play = play_of(lease=5.0)
    play.submit(url(1))
    play.advance(6.0)
    assert play.ledger("lost", "lease_expired") == 1
    assert under_way(play) == 1  # it went out again
    assert [dispatch.attempt for _, dispatch in play.sent] == [1, 2]


def test_a_dead_node_frees_its_places() -> None:
    play = play_of({"concurrency": 4})
    for n in range(4):
        play.submit(url(n))
    play.engine.state.projects["p"].row.status = "STOP"  # nothing goes out again
    beat = Heartbeat("f1", "fetcher", "h", 1, "1", 0.0, [(d.project, d.taskid, d.run, d.attempt) for d in play.out])
    play.turn(beat)
    assert under_way(play) == 4
    play.advance(11.0)
    assert play.ledger("lost", "node_gone") == 4
    assert under_way(play) == 0


def test_a_removed_project_frees_its_places() -> None:
    play = play_of({HOST: {"concurrency": 1}})
    play.submit(url(1))
    assert under_way(play) == 1
    play.engine.drop("p")
    play.turn()
    assert under_way(play) == 0
    assert play.engine.state.gate.limits(HOST, play.clock.now).concurrency == 16


def test_a_callback_that_waits_holds_no_place() -> None:
    play = play_of()
    play.submit(url(1))
    parent = play.out.pop()
    task = pack(Task("p", "child", url(2, OTHER)))
    play.turn(outcome_of(parent, awaits=[Await(1, task)], record="blob"))
    assert under_way(play) == 0
    assert under_way(play, OTHER) == 1
    play.start()
    play.turn()
    assert under_way(play) == 0
    assert under_way(play, OTHER) == 1


def test_places_are_counted_anew_after_a_restart() -> None:
    play = play_of({"concurrency": 3})
    for n in range(3):
        play.submit(url(n))
    play.start()
    play.turn()
    assert wait(play) == math.inf
    play.answer()
    assert wait(play) == 0.0


def test_data_urls_take_no_place() -> None:
    play = play_of()
    play.submit("data:,on_start")
    assert not list(play.engine.state.gate.hosts())


# -- what hosts say


@pytest.mark.parametrize(
    ("status", "kind", "answer"),
    [
        (200, None, Answer.GOOD),
        (304, None, Answer.GOOD),
        (404, None, Answer.GOOD),
        (403, None, Answer.OTHER),
        (500, None, Answer.OTHER),
        (429, None, Answer.REFUSED),
        (503, None, Answer.REFUSED),
        (599, "timeout", Answer.TROUBLE),
        (599, "connect", Answer.TROUBLE),
        (599, "tls", Answer.OTHER),
        (599, "dns", None),
        (403, "robots", None),
        (501, "no_browser", None),
        (599, "internal", None),
    ],
)
def test_what_an_end_says_of_its_host(status: int, kind: str | None, answer: Answer | None) -> None:
    dispatch = Dispatch("p", "t", 1, 1, url(1), "", None, 0, 0, None, Fetch(), b"", 0)  # type: ignore[arg-type]
    assert politeness.answer_of(ended(dispatch, status, error_kind=kind)) is answer


SPELLINGS = ["", ":80", ":080", "."]


def test_one_server_has_one_limit_however_its_name_is_written() -> None:
    play = play_of({f"{HOST}:80": {"concurrency": 2}})
    for n, tail in enumerate(SPELLINGS):
        play.submit(url(n, HOST + tail))
    play.submit(url(9, HOST.replace("a", "%61")))
    assert len(play.out) == under_way(play) == 2
    play.turn(ended(play.out[0], 429, retry_after=30.0))
    assert wait(play) == 30.0


def test_a_row_with_an_older_spelling_of_its_host_is_held_with_it() -> None:
    play = play_of()
    play.submit(url(1))
    play.answer()
    row = play.row(url(1))
    old = msgspec.structs.replace(row, host=f"{HOST}:80", queue=Queue.READY, rank=0.0, status=Status.ACTIVE)
    play.taskdb.commit(Writes(replace=[old]))
    play.start()
    play.turn()
    assert under_way(play, f"{HOST}:80") == 1
    play.turn(ended(play.out[0], 429, retry_after=30.0))
    assert wait(play) == wait(play, f"{HOST}:80") == 30.0


def test_a_refusal_holds_the_host_for_every_project_in_the_turn_that_hears_of_it() -> None:
    play = play_of()
    play.project("q")
    play.submit(url(1))
    outbox = play.turn(ended(play.out[0], 429, retry_after=30.0))
    assert outbox.holds == [(HOST, Block("retry_after", 30.0, "it answered 429 with Retry-After"))]
    assert wait(play) == 30.0
    assert wait(play, OTHER) == 0.0


def test_a_late_word_holds_the_host_too() -> None:
    play = play_of()
    play.submit(url(1))
    dispatch = play.out[0]
    play.answer(ok=False)
    play.turn(ended(dispatch, 503, retry_after=5.0))
    assert wait(play) == 5.0


@pytest.mark.parametrize(
    ("host", "settings", "paused"),
    [
        (HOST, {}, False),
        (HOST, {"hold_first": 0.0}, True),  # holds are off
        ("127.0.0.1", {}, True),  # not held where it does not say for how long
    ],
)
def test_refusals_of_a_host_that_is_held_pause_no_project(host: str, settings: dict[str, float], paused: bool) -> None:
    play = play_of(fail_pause_num=3, **settings)
    for n in range(8):
        play.submit(url(n, host))
    track = TrackFetch(ok=False, status_code=429)
    for dispatch in list(play.out):
        play.turn(ended(dispatch, 429, host=host))
        play.answer(ok=False, fetch=track)
    assert play.ledger("retried", "http_429") == 8
    pause = play.engine.state.projects["p"].pause
    assert pause.state(play.now) == ("paused" if paused else "running")


def test_a_host_behind_a_redirect_asks_for_itself_and_other_failures_count() -> None:
    play = play_of(fail_pause_num=3)
    for n in range(8):
        play.submit(url(n))
    refused = TrackFetch(ok=False, status_code=503, redirect_url=url(1, OTHER))
    for dispatch in play.out[:4]:
        play.turn(ended(dispatch, 503, host=OTHER))
        play.answer(ok=False, fetch=refused)
    pause = play.engine.state.projects["p"].pause
    assert pause.state(play.now) == "running"
    for _ in range(3):
        play.answer(ok=False)
    assert pause.state(play.now) == "paused"


def test_a_hold_outlives_restarts_and_is_gone_from_the_store_when_it_is_over() -> None:
    play = play_of()
    play.submit(url(1))
    play.turn(ended(play.out[0], 503, retry_after=100.0))
    assert ("", f"host:{HOST}") in play.taskdb.state()
    play.answer()
    play.clock.advance(40.0)
    play.start()
    play.turn()
    assert wait(play) == pytest.approx(60.0)
    play.advance(60.0)
    assert wait(play) == 0.0
    play.submit(url(2))
    play.turn(ended(play.out[0], 200))
    assert ("", f"host:{HOST}") not in play.taskdb.state()
    assert play.engine.state.held == set()


def test_a_hold_that_ended_while_nobody_looked_is_cleared_away() -> None:
    play = play_of()
    play.submit(url(1))
    play.turn(ended(play.out[0], 503, retry_after=100.0))
    play.answer()
    play.clock.advance(101.0)
    play.start()
    play.turn()
    assert wait(play) == 0.0
    assert ("", f"host:{HOST}") not in play.taskdb.state()


def test_only_so_many_holds_are_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(politeness, "MOST_KEPT", 2)
    play = play_of()
    for n in range(4):
        play.submit(url(n, f"h{n}.org"))
    play.turn(*(ended(one, 503, host=f"h{n}.org", retry_after=50.0) for n, one in enumerate(play.out)))
    assert sum(entry.startswith("host:") for _, entry in play.taskdb.state()) == 2
    assert all(wait(play, f"h{n}.org") == 50.0 for n in range(4))


@pytest.mark.parametrize(
    ("final", "held"),
    [
        ("www.a.example.org", True),
        (f"{HOST}:8443", True),
        (OTHER, False),
        ("example.org", False),
        ("evil.a.example.org", False),
    ],
)
def test_behind_a_redirect_the_host_that_answered_is_held_and_others_of_its_site(final: str, held: bool) -> None:
    play = play_of()
    play.submit(url(1))
    play.turn(ended(play.out[0], 429, host=final, retry_after=10.0))
    assert wait(play, final) == 10.0
    assert wait(play) == (10.0 if held else 0.0)
    assert under_way(play) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("example.org", "www.example.org:8080", True),
        ("[::1]:80", "[::1]", True),
        ("example.org.:80", "example.org", True),
        ("blogs.example", "evil.blogs.example", False),
        ("shop.co.uk", "co.uk", False),
        ("10.0.0.1", "0.0.1", False),
        ("[::1]", "[::2]", False),
    ],
)
def test_a_site_is_one_host_with_and_without_www(one: str, other: str, same: bool) -> None:
    assert politeness.same_site(one, other) is politeness.same_site(other, one) is same


@pytest.mark.parametrize("length", [250, 251, 255])
def test_a_hold_of_a_host_with_a_long_name_fits_into_the_store(length: int) -> None:
    play = play_of()
    play.submit(url(1))
    host, near = "x" * (length - 4) + ".org", "x" * (length - 4) + ".net"
    play.turn(ended(play.out[0], 429, host=host, retry_after=100.0))
    play.submit(url(2))
    play.turn(ended(play.out[1], 429, host=near, retry_after=100.0))
    entries = [entry for _, entry in play.taskdb.state() if entry.startswith("host:")]
    assert (len(entries), max(map(len, entries)) <= 255) == (2, True)
    play.clock.advance(40.0)
    play.start()
    play.turn()
    assert wait(play, host) == wait(play, near) == pytest.approx(60.0)
    play.advance(61.0)
    play.engine.state.gate.answered(host, play.clock.now, Answer.GOOD, 0.1)
    play.engine.state.gate.answered(near, play.clock.now, Answer.GOOD, 0.1)
    play.turn()
    assert not any(entry.startswith("host:") for _, entry in play.taskdb.state())


def test_settings_of_holds() -> None:
    play = play_of(hold_first=4.0, hold_max=20.0)
    play.submit(url(1))
    play.submit(url(2, OTHER))
    first, second = play.out
    play.turn(ended(first, 429), ended(second, 429, host=OTHER, retry_after=3_600.0))
    assert (wait(play), wait(play, OTHER)) == (4.0, 20.0)
    off = play_of(hold_max=0.0)
    off.submit(url(1))
    off.turn(ended(off.out[0], 429, retry_after=10.0))
    assert wait(off) == 0.0


# -- what projects say


def test_limits_come_with_the_handlers_answer_and_go_with_the_project() -> None:
    play = play_of({"rate": 5, HOST: {"concurrency": 2}})
    gate = play.engine.state.gate
    assert gate.limits(HOST, play.clock.now, "p") == Limits(rate=5, concurrency=2)
    play.project(status="STOP")
    play.turn()
    assert gate.limits(HOST, play.clock.now, "p") == Limits(concurrency=16)
    play.project(status="RUNNING")
    play.turn()
    assert gate.limits(HOST, play.clock.now, "p") == Limits(rate=5, concurrency=2)
    play.info = ProjectInfo()
    play.project(script="# 2")
    play.turn()
    assert gate.limits(HOST, play.clock.now, "p") == Limits(concurrency=16)


def test_limits_of_the_configuration() -> None:
    play = play_of(host_limits=read({"rate": 3}))
    assert play.engine.state.gate.limits(HOST, play.clock.now) == Limits(rate=3, concurrency=16)


def test_wrong_limits_are_the_projects_error() -> None:
    play = play_of({"rate": "fast"})
    info = play.engine.state.projects["p"].info
    assert info is not None
    assert info.error == "crawl_config: host_limits.rate: a number of requests per second over 0, or 'unlimited'" + (
        " (to keep out of a host, do not crawl it), not 'fast'"
    )


def test_a_crawl_delay_is_told_by_the_fetcher() -> None:
    play = play_of({"crawl_delay": True})
    play.submit(url(1))
    assert wait(play) == math.inf  # its robots.txt is read first
    play.turn(ended(play.out[0], crawl_delay=10.0))
    assert wait(play) == pytest.approx(10.0)
    play.submit(url(2, OTHER))
    play.turn(ended(play.out[-1], host=OTHER))  # of a task without robots_txt
    assert wait(play, OTHER) == 0.0
    play.submit(url(3, OTHER))
    play.turn(ended(play.out[-1], host=OTHER, crawl_delay=4.0))
    assert wait(play, OTHER) == pytest.approx(4.0)
    play.advance(5.0)
    play.submit(url(4, OTHER))
    play.turn(ended(play.out[-1], host=OTHER))
    assert wait(play, OTHER) == pytest.approx(4.0)  # who did not read it says nothing against it


# -- for people


def test_the_hosts_that_wait_are_shown_with_why_and_until_when() -> None:
    play = play_of({"concurrency": 1})
    for n, host in enumerate((HOST, OTHER, "c.org")):
        play.submit(url(n, host))
    play.turn(ended(play.out[1], 429, host=OTHER, retry_after=30.0))
    now = play.now
    assert [one["host"] for one in play.engine.hosts(now, play.clock.now)] == [OTHER]
    for host in (HOST, "c.org"):
        wait(play, host)  # somebody would ask it
    assert play.engine.hosts(now, play.clock.now) == [
        {"host": OTHER, "why": "retry_after", "text": "it answered 429 with Retry-After", "until": now + 30.0,
         "under_way": 0},
        {"host": HOST, "why": "concurrency", "text": "1 requests are under way, 1 is the limit", "until": None,
         "under_way": 1},
        {"host": "c.org", "why": "concurrency", "text": "1 requests are under way, 1 is the limit", "until": None,
         "under_way": 1},
    ]  # fmt: skip
    assert len(play.engine.hosts(now, play.clock.now, limit=2)) == 2
    assert play.engine.hosts(now, play.clock.now, project="q") == []
    assert len(play.engine.hosts(now, play.clock.now, project="p")) == 3


def test_a_hold_is_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock(0.0)
    teller = Teller(clock, None)
    block = Block("retry_after", 30.0, "it answered 429 with Retry-After")
    with caplog.at_level(logging.WARNING):
        teller.tell(Outbox(holds=[(HOST, block), (OTHER, block), (HOST, block)]))
        clock.advance(61.0)
        teller.tell(Outbox(holds=[(HOST, block)]))
    said = f"host {HOST} is left alone for 30 s: it answered 429 with Retry-After"
    assert [record.message for record in caplog.records] == [
        said, said.replace(HOST, OTHER), f"{said}; 1 more like it before",
    ]  # fmt: skip


def test_holds_that_are_too_many_are_counted_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host_gate, "KEPT", 2)
    monkeypatch.setattr(host_gate, "MOST", 4)
    play = play_of()
    play.submit(url(1))
    words = [ended(play.out[0], 429, host=f"h{n}.org", retry_after=100.0) for n in range(10)]
    outbox = play.turn(*words)
    assert outbox.let_go >= 4
    assert sum(entry.startswith("host:") for _, entry in play.taskdb.state()) == 10 - outbox.let_go
    with caplog.at_level(logging.WARNING):
        Teller(ManualClock(0.0), None).tell(Outbox(let_go=3))
    assert caplog.messages == ["too many hosts ask to be left alone: 3 of them are no longer"]
