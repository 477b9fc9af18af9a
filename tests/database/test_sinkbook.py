"""What a resultdb remembers of its sinks: one holder at a time, and an earlier one's word does not count."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crawlkit.contract.rows import results
from crawlkit.database.base import SinkProgress, SinkRow
from crawlkit.database.registry import connect_resultdb

from .stores import BACKENDS, url_of

ROW = SinkRow("s" * 64, "jsonl:///x", "abcd1234", holder="a", until=5.0, made=1.0)


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    store = connect_resultdb(url_of(request.param, tmp_path))
    yield store
    store.close()


def test_who_takes_it_holds_it_until_the_next(store: Any) -> None:
    first = store.take_sink(ROW)
    assert first == msgspec.structs.replace(ROW, fence=1)
    assert store.take_sink(ROW) is None  # it is not unknown any more
    second = store.take_sink(msgspec.structs.replace(first, holder="b", url="jsonl:///x?rows=2", series="no", until=9))
    assert second == SinkRow(ROW.sink, "jsonl:///x?rows=2", "abcd1234", "b", 2, 9.0, "", 1.0)
    assert store.sinks() == [second]
    assert not store.hold_sink(ROW.sink, 1, 99, "late")
    assert store.hold_sink(ROW.sink, 2, 12, "disk full")
    assert (store.sinks()[0].until, store.sinks()[0].error) == (12, "disk full")
    taken = store.take_sink(msgspec.structs.replace(second, holder="c"))
    assert taken is not None
    assert taken.error == "disk full"


def test_only_the_holder_moves_it(store: Any) -> None:
    store.take_sink(ROW)
    progress = SinkProgress(ROW.sink, "p", seq=7, first=8, last=9, files=1, results=7, size=100, updated=2.5, error="x")
    assert store.move_sink(1, progress)
    assert store.sink_progress(ROW.sink) == [progress]
    store.take_sink(msgspec.structs.replace(ROW, fence=1, holder="b"))
    assert not store.move_sink(1, msgspec.structs.replace(progress, seq=9))
    assert store.move_sink(2, SinkProgress(ROW.sink, "a", seq=3))
    assert [(row.project, row.seq) for row in store.sink_progress(ROW.sink)] == [("a", 3), ("p", 7)]
    assert store.sink_progress("other") == []


def test_it_is_forgotten_with_its_progress(store: Any) -> None:
    store.take_sink(ROW)
    store.move_sink(1, SinkProgress(ROW.sink, "p"))
    assert store.drop_sink(ROW.sink)
    assert not store.drop_sink(ROW.sink)
    assert (store.sinks(), store.sink_progress(ROW.sink)) == ([], [])
    assert not store.move_sink(1, SinkProgress(ROW.sink, "p"))


def test_what_is_behind_a_number_is_counted(store: Any) -> None:
    store.save([results("t", "1", "2", "3"), results("u", "4", project="q")])
    assert [store.behind("p", seq) for seq in (0, 1, 3, 9)] == [3, 2, 0, 0]
    assert store.behind("q", 0) == 1
    assert store.behind("none", 0) == 0


def test_the_newest_number_is_known_also_when_its_result_is_gone(store: Any) -> None:
    assert store.newest() == 0
    store.save([results("t", "1", "2"), results("u", "3", project="q")])
    assert store.newest() == 3
    store.drop("q")
    assert store.newest() == 3


def test_of_many_who_take_it_at_once_one_gets_it(store: Any) -> None:
    for round_ in range(5):
        known = store.sinks()[0] if round_ else ROW
        taken: list[Any] = []
        ready = threading.Barrier(4)

        def take(name: str, known: SinkRow = known, ready: threading.Barrier = ready, taken: list[Any] = taken) -> None:
            ready.wait(10)
            taken.append(store.take_sink(msgspec.structs.replace(known, holder=name)))

        threads = [threading.Thread(target=take, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        (winner,) = [row for row in taken if row is not None]
        assert len(taken) == 4
        assert store.sinks() == [winner]
        assert winner.fence == round_ + 1
