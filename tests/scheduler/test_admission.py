"""The decision table of submissions, row by row, and the rows that follow from it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlkit.libs.rows import Queue, TaskRow
from crawlkit.libs.task import Fetch, Process, Schedule, Status, Task
from crawlkit.scheduler.admission import (
    REASONS,
    TABLE,
    Place,
    Verdict,
    again_row,
    cancel_row,
    decide,
    new_row,
    place,
    restart_row,
    update_row,
)

NOW = 1_700_000_000.0
URL = "http://example.com/"


def task(schedule: Schedule | None = None, **parts: Any) -> Task:
    return Task(project="p", taskid="t", url=parts.pop("url", URL), schedule=schedule, **parts)


def row(**fields: Any) -> TaskRow:
    fields = {"host": "example.com", "schedule": Schedule(), "seq": 7} | fields
    return TaskRow(project="p", taskid="t", url=URL, **fields)


WAITING = row(queue=Queue.READY, rank=0.0)
DELAYED = row(queue=Queue.TIME, rank=NOW + 50)
RETRYING = row(queue=Queue.TIME, rank=NOW + 30, retried=1, attempt=1, schedule=Schedule(itag="a"))
RETRY_DUE = row(queue=Queue.READY, rank=0.0, retried=2, attempt=2, schedule=Schedule(itag="a"))
DONE = row(status=Status.SUCCESS, lastcrawltime=NOW - 100, schedule=Schedule(itag="a"), attempt=1)
UNTAGGED = row(status=Status.SUCCESS, lastcrawltime=NOW - 100)
FAILED = row(status=Status.FAILED, lastcrawltime=NOW - 100, retried=3)
BAD = row(status=Status.BAD)

N, G, U, R, P, C = Verdict.NEW, Verdict.IGNORE, Verdict.UPDATE, Verdict.RESTART, Verdict.POSTPONE, Verdict.CANCEL
S = Schedule


@pytest.mark.parametrize(
    ("known", "leased", "schedule", "verdict", "reason"),
    [
        pytest.param(None, False, None, N, "new", id="S30 never seen"),
        pytest.param(None, False, S(force_update=True, itag=1, age=0), N, "new", id="S30 whatever it says"),
        pytest.param(None, False, S(exetime=NOW + 9), N, "new", id="S30 later"),
        pytest.param(None, False, S(cancel=True), Verdict.NOTHING, "cancel_unknown", id="S30 cancel does nothing"),
        pytest.param(
            None, False, S(cancel=True, force_update=True), Verdict.NOTHING, "cancel_unknown", id="S30 forced cancel"
        ),
        pytest.param(WAITING, False, None, G, "waiting", id="S31 ready"),
        pytest.param(DELAYED, False, S(age=0), G, "waiting", id="S31 delayed, age says nothing"),
        pytest.param(WAITING, False, S(itag="new"), G, "waiting", id="S31 ready, itag says nothing"),
        pytest.param(WAITING, False, S(cancel=True), G, "waiting", id="S31 cancel alone"),
        pytest.param(WAITING, True, S(itag="new", age=0), G, "leased", id="S31 out"),
        pytest.param(WAITING, True, S(cancel=True), G, "leased", id="S31 out, cancel alone"),
        pytest.param(RETRYING, False, S(age=0), G, "retrying", id="S31 waits for a retry"),
        pytest.param(WAITING, True, S(force_update=True), P, "force_update", id="S32"),
        pytest.param(RETRY_DUE, True, S(force_update=True, itag="b"), P, "force_update", id="S32 on a retry"),
        pytest.param(WAITING, True, S(force_update=True, cancel=True), P, "force_update", id="S32 cancel"),
        pytest.param(WAITING, False, S(force_update=True), U, "force_update", id="S33 ready"),
        pytest.param(DELAYED, False, S(force_update=True), U, "force_update", id="S33 delayed"),
        pytest.param(RETRYING, False, S(force_update=True), U, "force_update", id="S33 waits for a retry"),
        pytest.param(DONE, False, S(itag="b"), R, "itag", id="S34 changed"),
        pytest.param(UNTAGGED, False, S(itag="b"), R, "itag", id="S34 none stored"),
        pytest.param(UNTAGGED, False, S(itag=0), R, "itag", id="S34 zero is a tag"),
        pytest.param(UNTAGGED, False, S(itag=""), R, "itag", id="S34 the empty text is a tag"),
        pytest.param(DONE, False, S(itag="a"), G, "known", id="S34 the same"),
        pytest.param(DONE, False, S(itag=None), G, "known", id="S34 unset does nothing"),
        pytest.param(FAILED, False, S(itag="b"), R, "itag", id="S34 failed"),
        pytest.param(DONE, False, S(age=99), R, "age", id="S35 over"),
        pytest.param(DONE, False, S(age=100), G, "known", id="S35 just now"),
        pytest.param(DONE, False, S(age=0.5), R, "age", id="S35 half a second"),
        pytest.param(DONE, False, S(age=101), G, "known", id="S35 fresh"),
        pytest.param(
            row(status=Status.SUCCESS, lastcrawltime=NOW), False, S(age=0), R, "age", id="S35 age 0 is always over"
        ),
        pytest.param(BAD, False, S(age=1e9), R, "age", id="S35 never crawled"),
        pytest.param(DONE, False, S(force_update=True), R, "force_update", id="S36"),
        pytest.param(BAD, False, S(force_update=True), R, "force_update", id="S36 cancelled before"),
        pytest.param(DONE, False, None, G, "known", id="S37 no schedule"),
        pytest.param(DONE, False, S(), G, "known", id="S37 age -1"),
        pytest.param(FAILED, False, S(priority=9, exetime=NOW + 9), G, "known", id="S37 failed"),
        pytest.param(BAD, False, S(), G, "known", id="S37 cancelled before"),
        pytest.param(WAITING, False, S(cancel=True, force_update=True), C, "force_update", id="S38 waiting"),
        pytest.param(DELAYED, False, S(cancel=True, force_update=True), C, "force_update", id="S38 delayed"),
        pytest.param(RETRYING, False, S(cancel=True, itag="b"), C, "itag", id="S38 retry and itag"),
        pytest.param(DONE, False, S(cancel=True, itag="b"), C, "itag", id="S38 itag"),
        pytest.param(DONE, False, S(cancel=True, age=0), C, "age", id="S38 age"),
        pytest.param(DONE, False, S(cancel=True, force_update=True), C, "force_update", id="S38 forced"),
        pytest.param(DONE, False, S(cancel=True), G, "known", id="S38 without a reason to restart"),
        pytest.param(BAD, False, S(cancel=True, force_update=True), G, "cancelled", id="S38 twice"),
        pytest.param(RETRYING, False, S(itag="b"), U, "itag", id="S39 changed: a new itag replaces a retry"),
        pytest.param(RETRY_DUE, False, S(itag="b"), U, "itag", id="S39 changed: also when the retry is due"),
        pytest.param(RETRYING, False, S(itag="a"), G, "retrying", id="S39 the same itag"),
        pytest.param(RETRYING, False, S(itag=None), G, "retrying", id="S39 no itag"),
    ],
)
def test_table(known: TaskRow | None, leased: bool, schedule: Schedule | None, verdict: Verdict, reason: str) -> None:
    decision = decide(task(schedule), known, leased, NOW)
    assert (decision.verdict, decision.reason) == (verdict, reason)


def test_every_place_has_a_line_and_every_line_a_known_reason() -> None:
    for where in Place:
        assert (where, "") in TABLE
    assert {reason for _, reason in TABLE} == {"", *REASONS}


def test_S22_placing() -> None:
    assert place(S(), NOW) == (Queue.READY, 0)
    assert place(S(priority=5), NOW) == (Queue.READY, -5)
    assert place(S(priority=-5), NOW) == (Queue.READY, 5)
    assert place(S(priority=5, exetime=NOW + 1), NOW) == (Queue.TIME, NOW + 1)
    assert place(S(exetime=NOW), NOW) == (Queue.READY, 0)
    assert place(S(exetime=NOW + 1), NOW, NOW - 1) == (Queue.READY, 0)
    assert place(S(priority=2), NOW, NOW + 3) == (Queue.TIME, NOW + 3)


def test_S30_new_row() -> None:
    made = new_row(
        task(S(priority=3, retried=9, cancel=False, force_update=True, itag="x"), fetch=Fetch(method="PUT")),
        now=NOW,
        seq=5,
        host="example.com",
        partition=2,
    )
    assert made == TaskRow(
        project="p",
        taskid="t",
        url=URL,
        host="example.com",
        partition=2,
        queue=Queue.READY,
        rank=-3,
        seq=5,
        schedule=S(priority=3, itag="x", force_update=True),
        fetch=Fetch(method="PUT"),
        updatetime=NOW,
    )
    later = new_row(task(S(exetime=NOW + 60)), now=NOW, seq=6, host="", partition=0)
    assert (later.queue, later.rank) == (Queue.TIME, NOW + 60)


OLD = row(
    status=Status.FAILED,
    run=4,
    attempt=6,
    retried=3,
    lost=2,
    schedule=S(priority=2, itag="a", retries=5),
    fetch=Fetch(user_agent="old"),
    process=Process(callback="old"),
    save='{"a":1}',
    etag='"e"',
    last_modified="yesterday",
    results=3,
    lastcrawltime=NOW - 100,
)


def test_S40_a_restart_begins_a_run_with_all_tries() -> None:
    made = restart_row(OLD, task(S(itag="b")), now=NOW, seq=9)
    assert (made.run, made.attempt, made.retried, made.lost, made.status) == (5, 0, 0, 0, Status.ACTIVE)
    assert (made.queue, made.rank, made.seq, made.updatetime) == (Queue.READY, 0, 9, NOW)
    assert (made.save, made.etag, made.results, made.lastcrawltime) == ('{"a":1}', '"e"', 3, NOW - 100)
    assert made.schedule == S(itag="b")


@pytest.mark.parametrize("part", ["schedule", "fetch", "process"])
def test_S40_only_the_parts_given_replace(part: str) -> None:
    parts = {"schedule": S(priority=8), "fetch": Fetch(user_agent="new"), "process": Process(callback="new")}
    given_part = Task(project="p", taskid="t", url=URL)
    setattr(given_part, part, parts[part])
    for made in (restart_row(OLD, given_part, now=NOW, seq=9), update_row(OLD, given_part, now=NOW, seq=9)):
        for name, value in parts.items():
            assert getattr(made, name) == (value if name == part else getattr(OLD, name))


def test_a_restart_may_wait_for_its_time() -> None:
    made = restart_row(OLD, task(S(exetime=NOW + 5, age=0)), now=NOW, seq=9)
    assert (made.queue, made.rank) == (Queue.TIME, NOW + 5)


def test_another_url_under_the_same_id_forgets_the_validators() -> None:
    made = restart_row(OLD, task(S(age=0), url="http://other.example/x"), now=NOW, seq=9)
    assert (made.url, made.host, made.etag, made.last_modified) == (
        "http://other.example/x",
        "other.example",
        None,
        None,
    )
    moved = restart_row(OLD, task(url="http://other.example/x"), now=NOW, seq=9, host="h", partition=3)
    assert (moved.host, moved.partition) == ("h", 3)


def test_a_host_that_an_older_release_stored_in_another_spelling_is_mended_with_the_next_run() -> None:
    known = msgspec.structs.replace(OLD, url="http://example.com:80/", host="example.com:80")
    asked = task(S(age=0), url=known.url)
    for made in (
        restart_row(known, asked, now=NOW, seq=9),
        update_row(known, asked, now=NOW, seq=9),
        again_row(known, now=NOW, seq=9),
    ):
        assert (made.url, made.host, made.taskid) == (known.url, "example.com", known.taskid)


@pytest.mark.parametrize(
    ("known", "schedule", "queue", "rank", "seq"),
    [
        pytest.param(row(queue=Queue.READY, rank=0.0), S(priority=5), Queue.READY, -5, 9, id="higher"),
        pytest.param(
            row(queue=Queue.READY, rank=-5.0, schedule=S(priority=5)), S(priority=1), Queue.READY, -5, 7, id="lower"
        ),
        pytest.param(
            row(queue=Queue.TIME, rank=NOW + 50), S(exetime=NOW + 20), Queue.TIME, NOW + 20, 9, id="time advances"
        ),
        pytest.param(row(queue=Queue.TIME, rank=NOW + 50), S(exetime=NOW + 90), Queue.TIME, NOW + 50, 7, id="or stays"),
        pytest.param(row(queue=Queue.TIME, rank=NOW + 50), S(), Queue.READY, 0, 9, id="without a time at once"),
        pytest.param(row(queue=Queue.READY, rank=0.0), S(exetime=NOW + 90), Queue.READY, 0, 7, id="ready stays ready"),
        pytest.param(
            row(queue=Queue.TIME, rank=NOW + 50, schedule=S(priority=4)), S(), Queue.READY, -4, 9, id="both advance"
        ),
    ],
)
def test_S23_a_put_again_can_only_advance(
    known: TaskRow, schedule: Schedule, queue: Queue, rank: float, seq: int
) -> None:
    made = update_row(known, task(schedule), now=NOW, seq=9)
    assert (made.queue, made.rank, made.seq) == (queue, rank, seq)
    assert made.run == known.run


def test_S39_an_update_gives_all_tries_back_and_keeps_run_and_attempt() -> None:
    known = msgspec.structs.replace(OLD, status=Status.ACTIVE, queue=Queue.TIME, rank=NOW + 3600)
    made = update_row(known, task(S(itag="b", force_update=True)), now=NOW, seq=9)
    assert (made.run, made.attempt, made.retried, made.lost) == (4, 6, 0, 0)
    assert made.schedule == S(priority=2, itag="b", force_update=True)
    assert made.queue is Queue.READY


def test_S38_a_cancelled_row_is_in_no_queue() -> None:
    made = cancel_row(DELAYED, now=NOW)
    assert (made.status, made.queue, made.updatetime) == (Status.BAD, None, NOW)
    assert DELAYED.queue is Queue.TIME


schedules = st.builds(
    Schedule,
    priority=st.integers(-9, 9),
    exetime=st.sampled_from([0.0, NOW - 5, NOW + 5, NOW + 500]),
    age=st.sampled_from([-1.0, 0.0, 50.0, 100.0, 500.0]),
    itag=st.sampled_from([None, "a", "b", 1]),
    force_update=st.booleans(),
    cancel=st.booleans(),
)


@settings(deadline=None, derandomize=True, max_examples=400)
@given(
    known=st.sampled_from([None, WAITING, DELAYED, RETRYING, RETRY_DUE, DONE, UNTAGGED, FAILED, BAD]),
    leased=st.booleans(),
    schedule=st.one_of(st.none(), schedules),
)
def test_laws(known: TaskRow | None, leased: bool, schedule: Schedule | None) -> None:
    leased = leased and known is not None and known.queue is not None
    submitted = task(schedule)
    before = None if known is None else msgspec.structs.asdict(known)
    verdict = decide(submitted, known, leased, NOW).verdict
    asked = schedule or Schedule()
    if known is None:
        assert verdict is (Verdict.NOTHING if asked.cancel else Verdict.NEW)
        return
    assert verdict not in (Verdict.NEW, Verdict.NOTHING)
    assert (verdict is Verdict.POSTPONE) == (leased and asked.force_update)
    if verdict is Verdict.CANCEL:
        assert asked.cancel
        assert not leased
    if verdict is Verdict.UPDATE:
        made = update_row(known, submitted, now=NOW, seq=99)
        assert made.queue is not None
        assert (made.queue, made.rank) <= (known.queue, known.rank) or known.queue is Queue.TIME
        assert made.run == known.run
    if verdict is Verdict.RESTART:
        assert known.queue is None
        assert restart_row(known, submitted, now=NOW, seq=99).run == known.run + 1
        assert not asked.cancel
    assert before == msgspec.structs.asdict(known)
