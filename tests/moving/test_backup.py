"""A backup of stores in use, put back into others: all rows, and one crawl of what was read one after the other."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crawlkit.cli.audit import examine
from crawlkit.database.carrying import carrier_of, unfinished
from crawlkit.libs.errors import UsageError
from crawlkit.libs.rows import Letter, Queue, ResultSet, TaskRow, Writes
from crawlkit.libs.task import Status
from crawlkit.moving import backup as moving
from crawlkit.moving.archive import Contents, Manifest, Reader, Writer
from crawlkit.settings import Settings
from crawlkit.wiring.stores import Stores, connect_stores
from tests.moving.full import KINDS, contents, fill, opened
from tests.servers import fresh_database


def ignore(*_: object) -> None:
    pass


def taken(stores: Stores, folder: Path, tell: Any = ignore) -> bytes:
    stream = io.BytesIO()
    moving.backup(stores.opened, stream, folder=str(folder), version="1", now=1.7e9, key=None, tell=tell)
    return stream.getvalue()


def put_back(data: bytes, stores: Stores, *, overwrite: bool = False) -> moving.Restored:
    return moving.restore(Reader(io.BytesIO(data), "a"), stores.opened, overwrite=overwrite, tell=ignore)


def without_nodes(found: dict[str, list[Any]]) -> dict[str, list[Any]]:
    state = [row for row in found["taskdb.state"] if (row[0], row[1]) not in moving.ENTRIES]
    return {**{name: rows for name, rows in found.items() if name != "taskdb.nodes"}, "taskdb.state": state}


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Stores]:
    with closing(opened(tmp_path / "old")) as stores:
        fill(stores)
        yield stores


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def new(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    if request.param == "sqlite":
        with closing(opened(tmp_path / "new")) as stores:
            yield stores
        return
    with fresh_database(request.param) as url:
        settings = Settings(data_path=tmp_path / "new", database=url)
        with closing(connect_stores(settings, KINDS, create=True)) as stores:
            yield stores


def test_everything_comes_back_in_any_backend_and_out_of_it_again(old: Stores, new: Stores, tmp_path: Path) -> None:
    before = without_nodes(contents(old))
    done = put_back(taken(old, tmp_path), new)
    assert done.led_on == done.begun_anew == 0
    assert without_nodes(contents(new)) == before
    assert not unfinished(new.taskdb)
    assert new.taskdb.max_seq() == old.taskdb.max_seq()
    for name in ("news", "shop"):
        assert examine(new.taskdb, new.resultdb, name).problems == []
    # numbers that the store gives out go on behind those that came
    assert new.projectdb.put(new.projectdb.all()[0]).updatetime > max(row.updatetime for row in old.projectdb.all())
    letters = new.taskdb.mail(range(9), 99)
    assert letters == old.taskdb.mail(range(9), 99) != []
    new.taskdb.commit(Writes(mail=[Letter(0, "news", "task", "{}")]))
    assert new.taskdb.mail(range(9), 99)[-1].id > letters[-1].id
    again = put_back(taken(new, tmp_path), old, overwrite=True)
    assert again.rows
    assert not list(tmp_path.glob(".snapshot*"))


def test_each_store_is_of_one_moment_and_the_results_are_of_a_later_one(
    new: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is written between two looks: each done task has its results, and the books balance."""
    number = 0

    def work(*_: object) -> None:  # a crawl goes on at every step of the backup
        nonlocal number
        for _ in range(10):
            number += 1
            row = TaskRow("p", f"t{number}", f"http://h/{number}", "h", queue=Queue.READY, seq=number)
            born = Writes(insert=[row])
            born.count("p", "accepted", "follow")
            new.taskdb.commit(born)
            new.resultdb.save([ResultSet("p", row.taskid, 1, 1, row.url, 0, [f"{number}"], True, 1.0)])
            row.status, row.queue, row.results = Status.SUCCESS, None, 1
            ended = Writes(replace=[row])
            ended.count("p", "done")
            new.taskdb.commit(ended)
            if number % 3 == 0:  # and some are crawled anew at once
                row.run = 2
                new.resultdb.save([ResultSet("p", row.taskid, 2, 1, row.url, 0, [f"{number}", "1"], True, 2.0)])
                row.results = 2
                anew = Writes(replace=[row])
                anew.count("p", "accepted", "follow")
                anew.count("p", "done")
                new.taskdb.commit(anew)

    work()
    data = taken(new, tmp_path, work)
    with closing(opened(tmp_path / "other")) as other:
        put_back(data, other)
        rows = other.taskdb.select("p", limit=10_000)
        assert 10 <= len(rows) < number
        for row in rows:
            if row.status is Status.SUCCESS:
                assert len(other.resultdb.get("p", row.taskid)) == row.results
        assert examine(other.taskdb, other.resultdb, "p").problems == []


def test_a_task_whose_results_are_newer_is_led_on_to_them(old: Stores, tmp_path: Path) -> None:
    row = next(row for row in old.taskdb.select("news") if row.status is Status.SUCCESS)
    later = ResultSet("news", row.taskid, row.run + 3, 1, row.url, 0, ["1", "2", "3"], True, 9.0)
    old.resultdb.save([later])
    with closing(opened(tmp_path / "new")) as new:
        assert put_back(taken(old, tmp_path), new).led_on == 1
        found = new.taskdb.get("news", row.taskid)
        assert found is not None
        assert (found.run, found.results) == (row.run + 3, 3)
        assert new.taskdb.ledger("news")["news", "done", "restore"] == 3
        assert examine(new.taskdb, new.resultdb, "news").problems == []


def test_a_waiting_callback_keeps_its_record_or_begins_anew(old: Stores, tmp_path: Path) -> None:
    blob = old.blobdb.create([b"x"], "news/t/1")
    kept = msgspec.json.encode({"run": 1, "record": blob, "children": {"1": "c"}, "answers": {"1": ""}}).decode()
    gone = msgspec.json.encode({"run": 1, "record": blob, "children": {}, "answers": {"1": "0" * 32}}).decode()
    state: dict[tuple[str, str], str | None] = {("news", "parked:a"): kept, ("news", "parked:b"): gone}
    old.taskdb.commit(Writes(state=state))
    with closing(opened(tmp_path / "new")) as new:
        assert put_back(taken(old, tmp_path), new).begun_anew == 1
        assert new.taskdb.state()["news", "parked:a"] == kept
        assert ("news", "parked:b") not in new.taskdb.state()
        assert b"".join(new.blobdb.read(blob)) == b"x"


def test_data_is_only_overwritten_when_that_was_said(old: Stores, tmp_path: Path) -> None:
    data = taken(old, tmp_path)
    with closing(opened(tmp_path / "new")) as new:
        new.taskdb.commit(Writes(insert=[TaskRow("mine", "t", "u")]))
        with pytest.raises(UsageError, match=r"holds data already \(1 in tasks\): nothing was changed"):
            put_back(data, new)
        assert new.taskdb.count("mine") == 1
        put_back(data, new, overwrite=True)
        assert new.taskdb.count("mine") == 0
        assert without_nodes(contents(new)) == without_nodes(contents(old))


def test_one_that_was_broken_off_is_no_obstacle(old: Stores, tmp_path: Path) -> None:
    data = taken(old, tmp_path)
    with closing(opened(tmp_path / "new")) as new:
        with pytest.raises(UsageError, match="not whole"):
            put_back(data[: len(data) // 2], new)
        assert unfinished(new.taskdb)  # no scheduler starts on it
        put_back(data, new)
        assert without_nodes(contents(new)) == without_nodes(contents(old))


def test_an_archive_of_a_newer_version_is_refused(old: Stores, tmp_path: Path) -> None:
    reader = Reader(io.BytesIO(taken(old, tmp_path)), "a.tar.gz")
    reader.manifest.stores["taskdb"].version = "9999"
    with closing(opened(tmp_path / "new")) as new:
        with pytest.raises(UsageError, match="its taskdb has schema 9999, which this version does not know"):
            moving.restore(reader, new.opened, overwrite=False, tell=ignore)
        assert carrier_of(new.taskdb, "taskdb").note() is None


@pytest.mark.parametrize("wrong", ["text", "version", "table", "column", "missing"])
def test_an_archive_that_does_not_fit_changes_nothing(wrong: str, tmp_path: Path) -> None:
    columns = {"column": ("project", "event", "reason", "n", "odd"), "missing": ("project", "event", "reason")}
    tables = {"odd" if wrong == "table" else "ledger": columns.get(wrong, ("project", "event", "reason", "n"))}
    row = {"column": ("p", "e", "r", 1, 2), "missing": ("p", "e", "r")}.get(wrong, ("p", "e", "r", 1))
    row = ("p", "e", "r", "text") if wrong == "text" else row
    stream = io.BytesIO()
    with closing(opened(tmp_path / "new")) as new:
        version = "" if wrong == "version" else carrier_of(new.taskdb, "taskdb").version()
        writer = Writer(stream, Manifest("1.0", 1.0, {"taskdb": Contents(version, tables)}))
        writer.rows("taskdb", next(iter(tables)), [row])
        writer.close()
        verified = Reader(io.BytesIO(stream.getvalue()), "a")
        assert sum(1 for _ in verified.chunks()) == 1
        books = Writes()
        books.count("mine", "accepted", "", 7)
        new.taskdb.commit(books)
        again = Reader(io.BytesIO(stream.getvalue()), "a")
        with pytest.raises(UsageError, match=r"cannot hold str|has schema|know|needs n"):
            moving.restore(again, new.opened, overwrite=True, tell=ignore, verified=verified)
        assert new.taskdb.ledger("mine") == {("mine", "accepted", ""): 7}
        assert carrier_of(new.taskdb, "taskdb").note() is None
