"""An output file holds each result once, whenever its writer dies."""

from __future__ import annotations

import csv
import json
import os
import threading
from pathlib import Path

import pytest

from crawlkit.database.base import ResultSet, ResultStore
from crawlkit.database.registry import connect_resultdb
from crawlkit.libs.errors import StoreUnavailable, UsageError
from crawlkit.result import follower as module
from crawlkit.result.follower import FileFollower


@pytest.fixture(params=["memory", "sqlite"])
def resultdb(request: pytest.FixtureRequest, tmp_path: Path) -> ResultStore:
    return connect_resultdb("memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/r.db")


def save(resultdb: ResultStore, *numbers: int, project: str = "p", run: int = 1) -> None:
    resultdb.save([ResultSet(project, f"t{n}", run, 1, f"u{n}", 0, [f'{{"n":{n}}}'], True, 1.0) for n in numbers])


def lines(path: Path) -> list[int]:
    return [json.loads(line)["result"]["n"] for line in path.read_text().splitlines()]


def test_lines_as_they_come(resultdb: ResultStore, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    follower = FileFollower(resultdb, path, ["p"], "f")
    assert follower.step() == 0
    assert path.read_bytes() == b""
    save(resultdb, 1, 2)
    save(resultdb, 9, project="q")
    assert follower.step() == 2
    assert lines(path) == [1, 2]
    assert resultdb.position("f") == (2, path.stat().st_size)
    assert follower.step() == 0
    save(resultdb, 3)
    assert follower.finish() == 1
    assert lines(path) == [1, 2, 3]


def test_all_projects_by_default(resultdb: ResultStore, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    save(resultdb, 1)
    save(resultdb, 2, project="q")
    assert FileFollower(resultdb, path).finish("jsonl") == 2
    assert resultdb.position(f"file:{path}")[0] == 2


def test_goes_on_where_it_was(resultdb: ResultStore, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    save(resultdb, 1)
    FileFollower(resultdb, path, None, "f").step()
    save(resultdb, 2)
    assert FileFollower(resultdb, path, None, "f").step() == 1
    assert lines(path) == [1, 2]


def test_what_was_written_and_not_committed_is_cut_off(
    resultdb: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the file's fsync and the position's commit."""
    path = tmp_path / "out.jsonl"
    save(resultdb, 1)
    follower = FileFollower(resultdb, path, None, "f")
    follower.step()
    save(resultdb, 2, 3)

    def dies(*_: object) -> None:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr(resultdb, "set_position", dies)
        with pytest.raises(StoreUnavailable):
            follower.step()
    assert lines(path) == [1, 2, 3]
    path.write_bytes(path.read_bytes() + b'{"torn')
    again = FileFollower(resultdb, path, None, "f")
    assert again.step() == 2
    assert lines(path) == [1, 2, 3]
    path.write_bytes(path.read_bytes() + b'{"torn')
    assert follower.step() == 2  # the same object after an error cuts off too
    assert lines(path) == [1, 2, 3]


def test_a_new_crawl_starts_the_file_anew(resultdb: ResultStore, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("of yesterday\n")
    save(resultdb, 1)
    FileFollower(resultdb, path, None, "f").step()
    assert lines(path) == [1]


@pytest.mark.parametrize("damage", ["shorter", "gone"])
def test_a_file_that_somebody_changed_is_refused(resultdb: ResultStore, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "out.jsonl"
    save(resultdb, 1)
    FileFollower(resultdb, path, None, "f").step()
    if damage == "gone":
        path.unlink()
    else:
        path.write_text("x")
    for _ in range(2):
        with pytest.raises(UsageError, match=r"is gone|has 1 bytes"):
            FileFollower(resultdb, path, None, "f").step()
    assert path.exists() == (damage == "shorter")


def test_many_results_need_several_pages(
    resultdb: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 7)
    monkeypatch.setattr(module, "PAGES_PER_STEP", 3)
    save(resultdb, *range(100))
    follower = FileFollower(resultdb, tmp_path / "out", None, "f")
    assert follower.step() == 21
    assert follower.finish() == 79
    assert lines(tmp_path / "out") == list(range(100))


def test_a_full_disk_is_said_and_gone_over(
    resultdb: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.jsonl"
    follower = FileFollower(resultdb, path, None, "f")
    save(resultdb, 1)
    follower.step()
    save(resultdb, 2)

    def full(file: object, data: bytes) -> None:
        os.write(file.fileno(), data[:5])  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "_write", full)
        with pytest.raises(StoreUnavailable, match=r"output file .*out\.jsonl: No space left"):
            follower.step()
    assert follower.step() == 1
    assert lines(path) == [1, 2]


def test_a_folder_that_is_not_there(resultdb: ResultStore, tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "out.jsonl", tmp_path):
        for form in ("jsonl", "json"):
            with pytest.raises(UsageError, match="output file"):
                FileFollower(resultdb, path, None, "f").finish(form)


def test_json_and_csv_at_the_end(resultdb: ResultStore, tmp_path: Path) -> None:
    save(resultdb, *range(1200))
    save(resultdb, 5000, project="q")
    path = tmp_path / "out"
    path.write_text("of yesterday")
    follower = FileFollower(resultdb, path, ["p"], "f")
    assert follower.finish("json") == 1200
    assert [each["result"]["n"] for each in json.loads(path.read_text())] == list(range(1200))
    assert follower.finish("csv") == 1200
    with path.open(newline="") as file:
        assert [each["n"] for each in csv.DictReader(file)] == [str(n) for n in range(1200)]
    with pytest.raises(UsageError, match="jsonl, json, csv"):
        follower.finish("xml")
    assert not [each for each in tmp_path.iterdir() if each.name.endswith(".tmp")]


def test_a_failed_end_leaves_the_old_file(
    resultdb: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"
    path.write_text("of yesterday")
    save(resultdb, 1)

    def dies(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", dies)
    with pytest.raises(StoreUnavailable, match="No space"):
        FileFollower(resultdb, path, None, "f").finish("json")
    assert path.read_text() == "of yesterday"
    assert not [each for each in tmp_path.iterdir() if each.name.endswith(".tmp")]


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_a_pipe(resultdb: ResultStore, tmp_path: Path, form: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    save(resultdb, 1, 2)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    assert FileFollower(resultdb, pipe, None, "f").finish(form) == 2
    reader.join(10)
    assert got[0].count(b'"taskid"') == 2
