"""Taking over a pyspider can be stopped at any place and done again, and says what it left out [R20]."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crawlkit.cli.audit import examine
from crawlkit.database import pyspider
from crawlkit.database.carrying import unfinished
from crawlkit.libs.errors import UsageError
from crawlkit.libs.rows import ProjectRow, Queue
from crawlkit.moving.importing import Imported, Importer
from crawlkit.wiring.stores import Stores
from tests.moving import pyspider_maker as maker
from tests.moving.full import opened

BASE = "http://h"


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Stores]:
    stores = opened(tmp_path / "new")
    yield stores
    stores.close()


def taken(
    folder: Path, new: Stores, now: float = maker.NOW, stop: float = 0.0, pick: random.Random | None = None
) -> Imported:
    def tell(*_: object) -> None:
        if pick is not None and pick.random() < stop:
            raise KeyboardInterrupt

    old = pyspider.open_folder(folder)
    try:
        return Importer(old, new.taskdb, new.resultdb, new.projectdb, now, tell).run()
    finally:
        for store in old.values():
            store.close()


def test_stopped_at_any_place_and_done_again(
    tmp_path: Path, new: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(pyspider, "AT_ONCE", 20)
    monkeypatch.setattr(pyspider.PyspiderStore.rows, "__defaults__", (None, 20))
    contents = maker.thousand(BASE)
    contents["job"][1].append(maker.task("job", "http://h/odd", 7, number=1))
    maker.make_folder(tmp_path / "old", contents)
    pick, stops, done = random.Random(3), 0, None
    while done is None:
        try:
            done = taken(tmp_path / "old", new, stop=0.1, pick=pick)
        except KeyboardInterrupt:
            stops += 1
            assert unfinished(new.taskdb)
            assert stops < 200
    assert stops > 3
    assert done.problems == []
    assert sum(done.tasks.values()) == 1_000
    assert done.results == sum(len(results) for _, _, results in contents.values())
    assert done.tally.words() == ["1 tasks left out: a status that pyspider does not have"]
    assert not unfinished(new.taskdb)
    assert not [key for key in new.taskdb.state() if key[1].startswith("pyspider:")]
    for name in contents:
        assert examine(new.taskdb, new.resultdb, name).problems == []
    seqs = [row.seq for name in contents for row in new.taskdb.select(name, limit=2_000)]
    assert len(seqs) == len(set(seqs)) == 1_000


def test_places_in_the_queues_and_runs(tmp_path: Path, new: Stores) -> None:
    tasks = [
        maker.task("p", f"{BASE}/later", 1, schedule={"exetime": maker.NOW + 99, "retried": 1}),
        maker.task("p", f"{BASE}/now", 1, schedule={"priority": 4}),
        maker.task("p", f"{BASE}/again", 1, schedule={"exetime": maker.NOW + 9, "auto_recrawl": True, "age": 60},
                   lastcrawltime=maker.NOW - 51),
        maker.task("p", f"{BASE}/failed", 3),
    ]  # fmt: skip
    results = [maker.result(f"{BASE}/{name}", {"n": name}) for name in ("again", "failed", "gone")]
    results.append({**maker.result(f"{BASE}/bad", 1), "result": "{'python': 1}"})
    maker.make_folder(tmp_path / "old", {"p": (maker.project("p", "x = 1"), tasks, results)})
    done = taken(tmp_path / "old", new)
    assert done.problems == []
    assert done.tally.words() == ["1 results left out: it is no JSON"]
    assert done.compat == []
    rows = {row.url.rpartition("/")[2]: row for row in new.taskdb.select("p")}
    assert (rows["later"].queue, rows["later"].rank, rows["later"].retried) == (Queue.TIME, maker.NOW + 99, 1)
    assert (rows["now"].queue, rows["now"].rank) == (Queue.READY, -4.0)
    assert (rows["again"].run, rows["again"].results) == (2, 1)  # its next result takes the place of the first
    assert (rows["failed"].run, rows["failed"].results) == (2, 1)
    assert new.resultdb.count("p") == 3  # also that of a task that is gone
    assert examine(new.taskdb, new.resultdb, "p").problems == []
    project = new.projectdb.get("p")
    assert project is not None
    assert (project.rate, project.burst, project.rate_set, project.comments) == (
        5000,
        500,
        True,
        "from the old machine",
    )
    assert [version.author for version in new.projectdb.versions("p")] == ["pyspider"]


def test_tables_without_a_project_and_names_that_cannot_be(tmp_path: Path, new: Stores) -> None:
    contents = {
        "p": (maker.project("p"), [], []),
        "lost": (maker.project("a b"), [maker.task("lost", f"{BASE}/x", 1)], [maker.result(f"{BASE}/x", 1)]),
    }
    maker.make_folder(tmp_path / "old", contents)
    words = taken(tmp_path / "old", new).tally.words()
    assert "1 tasks left out: there is no project 'lost'" in words
    assert "1 results left out: there is no project 'lost'" in words
    assert any("1 projects left out: project name 'a b'" in line for line in words)


def test_a_target_with_anything_in_it_is_refused(tmp_path: Path, new: Stores) -> None:
    maker.make_folder(tmp_path / "old", {"p": (maker.project("p"), [], [])})
    new.projectdb.put(ProjectRow("mine"))
    with pytest.raises(UsageError, match=r"holds data already \(1 in projects, 1 in versions\)"):
        taken(tmp_path / "old", new)
    assert new.projectdb.names() == ["mine"]


def test_times_that_are_none_stop_nothing(tmp_path: Path, new: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite keeps whatever it is given; every task comes once, wherever the import is stopped."""
    monkeypatch.setattr(pyspider.PyspiderStore.rows, "__defaults__", (None, 2))
    times = ["abc", b"\xff\x00", None, float("inf"), 7, "", 2.5, -3, "12", 2**62 + 1]
    tasks = [maker.task("p", f"{BASE}/{n}", 2, number=n) for n in range(len(times))]
    results = [maker.result(task["url"], {"n": 1}) for task in tasks]
    folder = maker.make_folder(tmp_path / "old", {"p": (maker.project("p"), tasks, results)})
    for file, table in (("task", "taskdb_p"), ("result", "resultdb_p")):
        with closing(sqlite3.connect(folder / f"{file}.db")) as database, database:
            database.executemany(
                f"UPDATE {table} SET updatetime = ? WHERE taskid = ?",
                [(time, task["taskid"]) for time, task in zip(times, tasks, strict=True)],
            )
    pick, done, stops = random.Random(5), None, 0
    while done is None:
        try:
            done = taken(folder, new, stop=0.4, pick=pick)
        except KeyboardInterrupt:
            stops += 1
    assert stops
    assert done.problems == []
    assert new.taskdb.count("p") == new.resultdb.count("p") == len(times)
    assert examine(new.taskdb, new.resultdb, "p").problems == []
