"""A sink follows the resultdb: each result is in one batch, whoever dies when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crawlkit.database.registry import connect_resultdb
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.errors import StoreUnavailable
from crawlkit.libs.holders import own_process
from crawlkit.result import sink_follower as module
from crawlkit.result.sink_follower import LEASE, Holder
from tests.database.stores import BACKENDS, url_of
from tests.result.sink_tools import Kept, follower, save, to_the_end

URL = "jsonl:///nowhere"


@pytest.fixture(params=BACKENDS)
def resultdb(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    store = connect_resultdb(url_of(request.param, tmp_path))
    yield store
    store.close()


def progress(resultdb: Any, project: str = "p") -> Any:
    (found,) = [row for row in resultdb.sink_progress(resultdb.sinks()[0].sink) if row.project == project]
    return found


def test_a_batch_is_full_by_rows_by_bytes_or_by_age(resultdb: Any) -> None:
    clock = ManualClock(100.0)
    for option, expected in (("rows=3", [3, 3]), ("bytes=20", [3, 3]), ("age=10", [])):
        kept = Kept()
        one = follower(resultdb, f"{URL}/{option.partition('=')[0]}?{option}", clock, kept)
        if not resultdb.newest():
            save(resultdb, *range(7), at=100.0)
        while one.look() <= 0:
            pass
        assert [len(batch) for batch in kept.batches.values()] == expected
        one.let_go()
    clock.now = 109.0
    kept = Kept()
    one = follower(resultdb, f"{URL}/age?age=10", clock, kept)
    assert one.look() > 0
    assert kept.batches == {}
    clock.now = 110.0
    one.look()
    assert kept.numbers() == list(range(7))


def test_projects_do_not_mix_and_names_say_what_is_in_them(resultdb: Any) -> None:
    save(resultdb, 1, 2)
    save(resultdb, 8, project="q")
    save(resultdb, 3)
    kept = Kept()
    one = follower(resultdb, URL, sink=kept)
    to_the_end(one)
    series = resultdb.sinks()[0].series
    assert kept.batches == {
        f"{series}-000000000001-000000000004": [1, 2, 3],
        f"{series}-000000000003-000000000003": [8],
    }
    assert (progress(resultdb).seq, progress(resultdb).results, progress(resultdb).files) == (4, 3, 1)
    assert progress(resultdb, "q").seq == 3


def test_results_that_do_not_fit_in_memory_are_read_again(resultdb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP", 50)
    monkeypatch.setattr(module, "PAGE", 4)
    kept = Kept()
    one = follower(resultdb, f"{URL}?rows=30", ManualClock(100.0), kept)
    for start in range(0, 100, 10):
        save(resultdb, *range(start, start + 10))
        one.look()
    to_the_end(one)
    assert kept.numbers() == list(range(100))
    assert [len(batch) for batch in kept.batches.values()] == [30, 30, 30, 10]
    assert one._kept == 0


def test_a_new_run_is_a_new_line_and_what_it_replaced_in_time_is_none(resultdb: Any) -> None:
    kept = Kept()
    one = follower(resultdb, URL, sink=kept)
    save(resultdb, 1, 2)
    to_the_end(one)
    save(resultdb, 1, run=2)
    to_the_end(one)
    assert kept.numbers() == [1, 1, 2]
    one.let_go()
    save(resultdb, 3)
    save(resultdb, 3, run=2)  # before anybody looked
    to_the_end(follower(resultdb, URL, sink=kept))
    assert kept.numbers() == [1, 1, 2, 3]


class Dead(Exception):
    """The process ended here."""


@pytest.mark.parametrize("moment", ["before the intent", "after the intent", "after the write", "after the commit"])
def test_who_dies_at_any_moment_leaves_each_result_in_one_batch(
    moment: str, resultdb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, clock = Kept(), ManualClock(100.0)
    one = follower(resultdb, URL, clock, kept)
    save(resultdb, 1, 2, 3)
    one.look()
    real, calls = resultdb.move_sink, [0]
    dies_at = {"before the intent": (0, False), "after the intent": (0, True), "after the write": (1, False),
               "after the commit": (1, True)}[moment]  # fmt: skip

    def move(*args: Any) -> Any:
        number, calls[0] = calls[0], calls[0] + 1
        if (number, False) == dies_at:
            raise Dead
        done = real(*args)
        if (number, True) == dies_at:
            raise Dead
        return done

    monkeypatch.setattr(resultdb, "move_sink", move)
    with pytest.raises(Dead):
        one.look(to_the_end=True)
    monkeypatch.undo()
    save(resultdb, 4, 5)
    clock.now += LEASE + 1
    other = follower(resultdb, URL, clock, kept)
    to_the_end(other)
    assert kept.numbers() == [1, 2, 3, 4, 5]
    assert progress(resultdb).results == 5
    assert progress(resultdb).last == 0
    # who was believed dead comes back: it moves nothing and adds nothing
    one.look(to_the_end=True)
    save(resultdb, 6)
    to_the_end(other)
    assert kept.numbers() == [1, 2, 3, 4, 5, 6]


def test_what_a_second_time_is_gone_leaves_the_first_file_as_it_is(resultdb: Any) -> None:
    kept, clock = Kept(), ManualClock(100.0)
    one = follower(resultdb, URL, clock, kept)
    save(resultdb, 1, 2)
    one.look()
    real = resultdb.move_sink
    resultdb.move_sink = lambda fence, row: real(fence, row) if row.last else 1 / 0
    with pytest.raises(ZeroDivisionError):
        one.look(to_the_end=True)
    del resultdb.move_sink
    save(resultdb, 1, run=2)
    clock.now += LEASE + 1
    to_the_end(follower(resultdb, URL, clock, kept))
    assert list(kept.batches.values()) == [[2], [1]]  # the name is the same: written anew


def test_one_process_at_a_time(resultdb: Any) -> None:
    clock = ManualClock(100.0)
    first, second = Kept(), Kept()
    one, other = follower(resultdb, URL, clock, first), follower(resultdb, URL, clock, second)
    save(resultdb, 1)
    one.look(to_the_end=True)
    other.look(to_the_end=True)
    assert (one.held, other.held) == (True, False)
    clock.now += LEASE - 1
    one.renew()
    clock.now += LEASE - 1
    other.look()
    assert not other.held
    one.let_go()
    save(resultdb, 2)
    other.look(to_the_end=True)
    assert (one.held, other.held) == (False, True)
    assert (first.numbers(), second.numbers()) == ([1], [2])


def test_who_did_not_renew_in_time_notices_it(resultdb: Any) -> None:
    clock = ManualClock(100.0)
    kept = Kept()
    one, other = follower(resultdb, URL, clock, kept), follower(resultdb, URL, clock, kept)
    save(resultdb, 1)
    one.look()
    clock.now += LEASE + 1
    other.look()
    assert one.held  # it does not know yet
    assert one.look(to_the_end=True) > 0
    assert not one.held
    assert kept.calls == 0
    one.renew()
    other.look(to_the_end=True)
    assert kept.numbers() == [1]


def test_a_death_on_this_machine_is_seen_at_once(resultdb: Any) -> None:
    clock = ManualClock(100.0)
    one, other = follower(resultdb, URL, clock, Kept()), follower(resultdb, URL, clock, Kept())
    one.look()
    row = resultdb.sinks()[0]
    holder = msgspec.json.decode(row.holder, type=Holder)
    assert (holder.pid, holder.began) == own_process()
    holder.pid = 2**22 - 1
    resultdb.take_sink(msgspec.structs.replace(row, holder=msgspec.json.encode(holder).decode(), until=row.until))
    other.look()
    assert other.held


def test_a_sink_that_fails_is_tried_again_and_says_so_once(resultdb: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="crawlkit.sinks")
    clock, kept = ManualClock(100.0), Kept()
    one = follower(resultdb, f"{URL}?age=0", clock, kept)
    save(resultdb, 1)
    kept.error = StoreUnavailable("the disk\nis full")
    one.look()
    assert (progress(resultdb).error, resultdb.sinks()[0].error) == ("the disk is full",) * 2
    assert kept.calls == 1
    one.look()
    assert kept.calls == 1  # not before a second has passed
    save(resultdb, 2)
    save(resultdb, 3, project="q")
    for _ in range(4):
        clock.now += 10
        one.renew()
        one.look()
    assert kept.calls > 4
    kept.error = RuntimeError("boom")
    clock.now += 70
    one.renew()
    one.look()
    assert progress(resultdb).error == "RuntimeError: boom"
    kept.error = None
    clock.now += 70
    one.renew()
    to_the_end(one)
    assert kept.numbers() == [1, 2, 3]
    assert (progress(resultdb).error, resultdb.sinks()[0].error) == ("", "")
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        f"sink {URL}: the disk is full; the results of p are in the resultdb, and it is tried again"
    ]
    assert caplog.records[-1].message == f"sink {URL}: the trouble is over: going on"


def test_a_sink_of_one_failing_project_serves_the_others(resultdb: Any) -> None:
    class Picky(Kept):
        def write(self, batch: Any) -> None:
            if batch.project == "bad":
                raise ValueError(batch.name)
            super().write(batch)

    kept = Picky()
    one = follower(resultdb, f"{URL}?age=0", sink=kept)
    save(resultdb, 1, project="bad")
    save(resultdb, 2)
    one.look()
    save(resultdb, 3)
    one.look()
    assert kept.numbers() == [2, 3]
    assert "ValueError" in progress(resultdb, "bad").error


def test_two_resultdbs_never_use_the_same_names(tmp_path: Path) -> None:
    kept = Kept()
    for name in "ab":
        store = connect_resultdb(f"sqlite:///{tmp_path}/{name}.db")
        save(store, ord(name))
        to_the_end(follower(store, URL, sink=kept))
        store.close()
    assert kept.numbers() == [97, 98]


def test_an_answer_of_the_resultdb_that_is_lost_does_no_harm(resultdb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-10, for sinks."""
    kept = Kept()
    one = follower(resultdb, URL, sink=kept)
    save(resultdb, 1, 2)
    real, left = resultdb.move_sink, [4]

    def move(*args: Any) -> Any:
        done = real(*args)
        if left[0] > 0:
            left[0] -= 1
            raise StoreUnavailable("the answer is lost")
        return done

    monkeypatch.setattr(resultdb, "move_sink", move)
    lost = 0
    for _ in range(20):
        try:
            one.look(to_the_end=True)
        except StoreUnavailable:
            lost += 1
    assert lost == 4
    assert kept.numbers() == [1, 2]
    assert (progress(resultdb).results, progress(resultdb).files) == (2, 1)
    assert json.loads(resultdb.sinks()[0].holder)["node"] == "test"
