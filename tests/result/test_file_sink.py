"""Sinks of files: each file is whole, each result in one of them, in every format and kind of place."""

from __future__ import annotations

import builtins
import errno
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from crawlkit.database.registry import connect_resultdb
from crawlkit.files import publish
from crawlkit.files.publish import Folder
from crawlkit.files.store import Store
from crawlkit.libs.clock import ManualClock
from crawlkit.libs.errors import StoreUnavailable, UsageError
from crawlkit.result.sink_follower import LEASE
from crawlkit.result.sink_url import parse_sink
from crawlkit.result.sinks import open_sink
from tests.files.stores import s3_endpoint, s3_url, url  # noqa: F401 - fixtures
from tests.result.sink_tools import counted, files_in, follower, rows_of, save, to_the_end


@pytest.fixture
def resultdb(tmp_path: Path) -> Any:
    store = connect_resultdb(f"sqlite:///{tmp_path}/r.db")
    yield store
    store.close()


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("jsonl", ".jsonl"), ("jsonl:gzip", ".jsonl.gz"), ("csv", ".csv"), ("csv:zstd", ".csv.zst"),
     ("csv:gzip", ".csv.gz"), ("parquet", ".parquet"), ("parquet:none", ".parquet"), ("parquet:snappy", ".parquet")],
)  # fmt: skip
def test_every_form_holds_every_result_once(kind: str, suffix: str, resultdb: Any, tmp_path: Path) -> None:
    form, _, compression = kind.partition(":")
    option = f"&compression={compression}" if compression else ""
    one = follower(resultdb, f"{form}://{tmp_path}/out?rows=7{option}")
    for start in range(0, 50, 10):
        save(resultdb, *range(start, start + 10), words=f'grün, {start}\n"x"')
        one.look()
    to_the_end(one)
    assert counted(tmp_path / "out") == Counter(range(50))
    names = [name for name, _ in files_in(tmp_path / "out")]
    assert len(names) == 8
    assert all(name.endswith(suffix) for name in names)
    assert names == sorted(names)
    (progress,) = resultdb.sink_progress(resultdb.sinks()[0].sink)
    assert progress.size == sum(len(data) for _, data in files_in(tmp_path / "out"))
    assert (progress.files, progress.results) == (8, 50)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_it_works_in_every_kind_of_store(form: str, url: str, resultdb: Any) -> None:  # noqa: F811
    one = follower(resultdb, f"{form}+{url}?rows=4")
    save(resultdb, *range(10))
    to_the_end(one)
    store = Store(url)
    names = store.names("p")
    assert len(names) == 3
    data = {name: store.get(f"p/{name}") or b"" for name in names}
    found = Counter(int(row["n"]) for name in names for row in rows_of(name, data[name]))
    assert found == Counter(range(10))


def test_a_batch_that_comes_again_replaces_its_file(url: str, resultdb: Any) -> None:  # noqa: F811
    clock = ManualClock(100.0)
    one = follower(resultdb, f"csv+{url}", clock)
    save(resultdb, *range(5))
    one.look()
    real = resultdb.move_sink
    resultdb.move_sink = lambda fence, row: real(fence, row) if row.last else 1 / 0
    with pytest.raises(ZeroDivisionError):
        one.look(to_the_end=True)
    del resultdb.move_sink
    assert len(Store(url).names("p")) == 1  # written, and nobody knows
    save(resultdb, *range(5, 9))
    clock.now += LEASE + 1
    to_the_end(follower(resultdb, f"csv+{url}", clock))
    names = Store(url).names("p")
    data = {name: Store(url).get(f"p/{name}") or b"" for name in names}
    assert Counter(int(row["n"]) for name in names for row in rows_of(name, data[name])) == Counter(range(9))


def test_a_table_says_which_task_and_run(resultdb: Any, tmp_path: Path) -> None:
    save(resultdb, 1, run=3, title="=1+1")
    for query, columns in (("", ["url", "_taskid", "_run", "_updatetime", "n", "title"]),
                           ("?meta=no", ["url", "n", "title"])):  # fmt: skip
        folder = tmp_path / f"out{len(query)}"
        to_the_end(follower(resultdb, f"csv://{folder}{query}"))
        ((name, data),) = files_in(folder)
        (row,) = rows_of(name, data)
        assert list(row) == columns
        assert row["title"] == "'=1+1"  # no formula
    folder = tmp_path / "parquet"
    to_the_end(follower(resultdb, f"parquet://{folder}"))
    ((name, data),) = files_in(folder)
    assert rows_of(name, data) == [
        {"url": "http://x/1", "_taskid": "t1", "_run": 3, "_updatetime": 100.0, "n": 1, "title": "=1+1"}
    ]


def test_columns_are_those_of_the_files_own_results(resultdb: Any, tmp_path: Path) -> None:
    save(resultdb, 1, a=1)
    save(resultdb, 2, b="x")
    save(resultdb, 3, c=[1, 2])
    to_the_end(follower(resultdb, f"csv://{tmp_path}/out?rows=2&meta=no"))
    tables = [rows_of(name, data) for name, data in files_in(tmp_path / "out")]
    assert tables == [
        [{"url": "http://x/1", "n": "1", "a": "1", "b": ""}, {"url": "http://x/2", "n": "2", "a": "", "b": "x"}],
        [{"url": "http://x/3", "n": "3", "c": "[1,2]"}],
    ]


def test_lists_are_lists_in_parquet(resultdb: Any, tmp_path: Path) -> None:
    save(resultdb, 1, tags=["a", "b"], sizes=[1, 2.5], none=[], mixed=[1, "x", {"y": None}], odd=[1], deep=[[1]])
    save(resultdb, 2, tags=[], sizes=None, none=[], mixed=[None], odd="text", deep=[])
    to_the_end(follower(resultdb, f"parquet://{tmp_path}/out?meta=no"))
    ((name, data),) = files_in(tmp_path / "out")
    assert rows_of(name, data) == [
        {"url": "http://x/1", "n": 1, "tags": ["a", "b"], "sizes": [1.0, 2.5], "none": [],
         "mixed": ["1", "x", '{"y":null}'], "odd": "[1]", "deep": ["[1]"]},
        {"url": "http://x/2", "n": 2, "tags": [], "sizes": None, "none": [], "mixed": [None], "odd": "text",
         "deep": []},
    ]  # fmt: skip


# -- folders ---------------------------------------------------------------------------------------------------------


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    place = Folder(tmp_path / "a" / "b")
    place.put("p/x", [b"old"], "tag", 1)

    def broken() -> Any:
        yield b"new" * 100_000
        assert (tmp_path / "a/b/p/x").read_bytes() == b"old"
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        place.put("p/x", broken(), "tag", 1)
    assert [path.name for path in (tmp_path / "a/b/p").iterdir()] == ["x"]
    assert (tmp_path / "a/b/p/x").read_bytes() == b"old"


def test_it_is_on_disk_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders that are made for it, the file, then its name: what R-09 asks of a power cut."""
    done: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        done.append(os.path.relpath(os.readlink(f"/proc/self/fd/{handle}"), tmp_path).partition("-tag")[0])
        real_fsync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", lambda self, target: (done.append("rename"), real_replace(self, target))[1])
    Folder(tmp_path / "a").put("p/x", [b"1"], "tag", 1)
    assert done == [".", "a", "a/p/.crawlkit", "rename", "a/p"]


def test_drafts_of_the_dead_go_and_others_stay(tmp_path: Path) -> None:
    place = Folder(tmp_path)
    (tmp_path / "p").mkdir()
    for name in (".crawlkit-tag-1-x.tmp", ".crawlkit-tag-2-x.tmp", ".crawlkit-other-1-x.tmp", "tag-1.csv"):
        (tmp_path / "p" / name).touch()
    place.sweep("p", "tag", 2)
    place.sweep("none", "tag", 2)
    left = sorted(path.name for path in (tmp_path / "p").iterdir())
    assert left == [".crawlkit-other-1-x.tmp", ".crawlkit-tag-2-x.tmp", "tag-1.csv"]


def test_a_full_disk_is_said_in_words_and_gone_through(
    resultdb: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(100.0)
    one = follower(resultdb, f"csv://{tmp_path}/out?age=0", clock)
    save(resultdb, 1, 2)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(publish.os, "fsync", full)
    one.look()
    assert resultdb.sinks()[0].error == f"{tmp_path}/out: No space left on device"
    monkeypatch.undo()
    assert list(files_in(tmp_path / "out")) == []
    clock.now += 5
    one.look()
    assert counted(tmp_path / "out") == Counter([1, 2])
    assert not list((tmp_path / "out/p").glob(".*"))
    assert resultdb.sinks()[0].error == ""


def test_a_place_that_is_no_folder_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match=f"{tmp_path}/file"):
        Folder(tmp_path / "file").put("p/x", [b"1"], "tag", 1)


def test_a_bucket_that_is_missing_is_said_in_words(
    resultdb: Any, s3_url: str, caplog: pytest.LogCaptureFixture  # noqa: F811
) -> None:  # fmt: skip
    clock = ManualClock(100.0)
    one = follower(resultdb, "csv+s3://no-such-bucket-here/x?age=0", clock)
    save(resultdb, 1)
    one.look()
    assert "bucket" in resultdb.sinks()[0].error.lower()
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).mkdir("no-such-bucket-here")
    clock.now += 5
    one.look()
    assert resultdb.sinks()[0].error == ""
    assert len(Store("s3://no-such-bucket-here/x").names("p")) == 1


# -- what cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tsv:///x", "there is no sink tsv; there are jsonl, csv, parquet"),
        ("csv+nope://x", "fsspec knows no nope://"),
        ("jsonl:///x?meta=no", "it has no option meta; there are age, bytes, compression, rows"),
        ("csv:///x?meta=perhaps", "meta=perhaps: use one of yes, no"),
        ("csv:///x?compression=rar", "use one of none, gzip, zstd"),
        ("parquet:///x?compression=lz", "use one of zstd, snappy, gzip, none"),
    ],
)
def test_options_that_cannot_be_are_said_in_words(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_sink(parse_sink(text))


def test_an_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "fsspec":
            raise ImportError(f"No module named {name}")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install -e \S+\[fsspec\]"):
        open_sink(parse_sink("csv+s3://bucket/x"))
    with pytest.raises(UsageError, match=r"pip install -e \S+\[parquet\]"):
        open_sink(parse_sink("parquet:///x"))
    open_sink(parse_sink("csv:///x"))  # needs neither
