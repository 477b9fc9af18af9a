"""Copying between stores: complete, resumable at any row, and never over other data [C43]."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawlkit.database.carrying import carrier_of, holdings, unfinished
from crawlkit.database.memory import MemoryTaskStore
from crawlkit.libs.errors import UsageError
from crawlkit.libs.rows import ProjectRow, ResultSet, TaskRow, Writes
from crawlkit.moving import copying, pages
from crawlkit.wiring.stores import Stores
from tests.moving.full import KINDS, contents, fill, opened


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Stores]:
    stores = opened(tmp_path / "old")
    fill(stores)
    yield stores
    stores.close()


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Stores]:
    stores = opened(tmp_path / "new")
    yield stores
    stores.close()


def ignore(*_: object) -> None:
    pass


def carry(old: Stores, new: Stores, tell: Any = ignore) -> list[str]:
    problems = []
    for kind in KINDS:
        source, target = carrier_of(old.opened[kind], kind), carrier_of(new.opened[kind], kind)
        note = copying.begin(source, target)
        copying.copy(source, target, note, tell, random.Random(1))
        problems += copying.differences(source, target, note)
    return problems


def release(stores: Stores) -> None:
    for kind in KINDS:
        carrier_of(stores.opened[kind], kind).set_note(None)


def test_every_table_arrives_as_it_was_C43(old: Stores, new: Stores) -> None:
    before = contents(old)
    assert all(before.values()), [name for name, rows in before.items() if not rows]  # nothing is compared in vain
    assert carry(old, new) == []
    release(new)
    assert contents(new) == before
    assert new.taskdb.max_seq() == old.taskdb.max_seq()
    assert not unfinished(new.taskdb)


def test_numbers_go_on_where_they_were(old: Stores, new: Stores) -> None:
    last = max(row.seq for row in old.resultdb.since(0, 1_000))
    carry(old, new)
    new.resultdb.save([ResultSet("news", "later", 1, 1, "u", 0, ["1"], True, 1.0)])
    rows = new.resultdb.since(last, 10)
    assert [row.seq > last for row in rows] == [True]
    assert new.resultdb.position("news.jsonl") == (7, 4096)
    # a key that was known stays known
    answer = new.resultdb.save([ResultSet("news", "t2", 1, 1, "u", 0, ["9"], True, 1.0, ["1"], "keep_first")])
    assert answer == [1]
    version = new.projectdb.put(new.projectdb.all()[0])
    assert version.updatetime > max(row.updatetime for row in old.projectdb.all())


def test_it_goes_on_after_a_stop_at_any_place(
    old: Stores, new: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(pages, "FIRST", 3)
    monkeypatch.setattr(pages, "MOST", 3)
    before, pick, stops = contents(old), random.Random(5), 0

    def stop(*_: object) -> None:
        if pick.random() < 0.05:
            raise KeyboardInterrupt

    for _ in range(500):
        try:
            assert carry(old, new, stop) == []
            break
        except KeyboardInterrupt:
            stops += 1
            assert unfinished(new.taskdb)  # no scheduler starts on it
    assert stops > 5
    release(new)
    assert contents(new) == before


def test_a_target_with_other_data_is_refused(old: Stores, new: Stores) -> None:
    new.taskdb.commit(Writes(insert=[TaskRow("mine", "t", "u")]))
    with pytest.raises(UsageError, match=r"task\.db holds data already \(1 in tasks\): nothing was changed"):
        carry(old, new)
    assert new.taskdb.count("mine") == 1


def test_a_source_that_changed_since_is_refused(old: Stores, new: Stores) -> None:
    source, target = carrier_of(old.taskdb, "taskdb"), carrier_of(new.taskdb, "taskdb")
    copying.begin(source, target)
    old.taskdb.commit(Writes(insert=[TaskRow("news", "another", "u", seq=999)]))
    with pytest.raises(UsageError, match=r"has changed since: empty .* and begin anew"):
        copying.begin(source, target)


def test_differences_are_told_field_by_field(old: Stores, new: Stores) -> None:
    carry(old, new)
    source, target = carrier_of(old.taskdb, "taskdb"), carrier_of(new.taskdb, "taskdb")
    note = copying.read_note(target)
    assert note is not None
    row = old.taskdb.select("news", limit=1)[0]
    row.retried = 7
    extra = TaskRow("shop", "extra", "u")
    ledger = {("news", "done", ""): 1}
    new.taskdb.commit(Writes(replace=[row], insert=[extra], ledger=ledger))
    said = "\n".join(copying.differences(source, target, note))
    assert "retried is 7, was 0" in said
    assert "taskdb.tasks: shop: 40 rows in the source, 41 now" in said
    assert "taskdb.ledger: ('news', 'done', '', 50) is on one side only" in said


def test_a_store_without_a_carrier_is_refused() -> None:
    with pytest.raises(UsageError, match="MemoryTaskStore cannot be carried"):
        carrier_of(MemoryTaskStore(), "taskdb")
    assert not unfinished(MemoryTaskStore())


def test_a_store_that_was_only_looked_at_holds_nothing(new: Stores) -> None:
    new.taskdb.commit(Writes(state={("", "epoch"): "x"}))
    assert holdings(carrier_of(new.taskdb, "taskdb")) == {}


def test_a_column_that_an_older_version_did_not_have_gets_its_default(new: Stores) -> None:
    carrier = carrier_of(new.projectdb, "projectdb")
    carrier.set_note("begun")
    shape = next(shape for shape in carrier.shapes() if shape.name == "projects")
    new.projectdb.put(ProjectRow("p"))
    (row,) = carrier.page("projects", None, 9)
    carrier.clear("projects")
    values = dict(zip(shape.columns, row, strict=True))
    columns = [name for name in shape.columns if name != "pin"]
    carrier.put("projects", columns, [tuple(values[name] for name in columns)], "n")
    assert new.projectdb.all()[0].pin == ""
    with pytest.raises(UsageError, match="needs group"):
        carrier.put("projects", ["name"], [("q",)], "n")
    with pytest.raises(UsageError, match="no columns colour in projects"):
        carrier.put("projects", [*columns, "colour"], [], "n")


def test_pages_are_of_bytes_not_of_rows(new: Stores) -> None:
    big = [TaskRow("p", f"{n:03}", "u" * 60_000) for n in range(300)]
    new.taskdb.commit(Writes(insert=big))
    carrier = carrier_of(new.taskdb, "taskdb")
    shape = next(shape for shape in carrier.shapes() if shape.name == "tasks")
    sizes = [pages.size_of(rows) for rows in pages.pages(carrier, shape)]
    assert len(sizes) > 5
    assert max(sizes[1:]) <= pages.PAGE_BYTES * 1.1


def test_memory_does_not_grow_with_the_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own, at its peak while copying: of 4,000 tasks as of 16,000."""
    monkeypatch.setattr(pages, "MOST", 500)
    peaks = []
    for number in (4_000, 16_000):
        old, new = opened(tmp_path / f"old{number}"), opened(tmp_path / f"new{number}")
        old.taskdb.commit(Writes(insert=[TaskRow("p", f"t{n:06}", f"http://h/{n}", seq=n) for n in range(number)]))
        source, target = carrier_of(old.taskdb, "taskdb"), carrier_of(new.taskdb, "taskdb")
        note = copying.begin(source, target)
        tracemalloc.start()
        copying.copy(source, target, note, ignore)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert new.taskdb.count("p") == number
        old.close()
        new.close()
    assert peaks[1] < peaks[0] * 1.3
