"""``--sink`` and ``crawlkit sinks``, as processes."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from crawlkit.cli import run
from crawlkit.database.registry import connect_resultdb
from tests.cli.site import PAGES, Site, crawlkit, script, started, until
from tests.result.sink_tools import files_in, follower, rows_of, save, to_the_end


def states(folder: Path) -> list[dict[str, Any]]:
    said = crawlkit("sinks", "--json", "--data-path", "d", cwd=folder)
    assert said.returncode == 0, said.stderr
    return [json.loads(line) for line in said.stdout.splitlines()]


def test_all_serves_the_sinks_and_a_stop_writes_what_waits(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/', callback=self.page)")
    sinks = ["--sink", "csv://table?age=1h", "--sink", "jsonl://lines?rows=5"]
    with started("all", "--no-webui", "--data-path", "d", *sinks, cwd=tmp_path) as process:
        said = tmp_path / "said.txt"
        until(lambda: "ready: " in said.read_text(), "readiness", 30)
        crawlkit("project", "put", "job.py", "--status", "RUNNING", "--data-path", "d", cwd=tmp_path)
        crawlkit("project", "run", "job", "--data-path", "d", cwd=tmp_path)
        until(lambda: len(list((tmp_path / "lines").glob("*/*.jsonl"))) == 2, "two files of five")
        store = connect_resultdb(f"sqlite:///{tmp_path}/d/result.db")
        until(lambda: store.count("job") == PAGES + 1, "all results")
        store.close()
        table, lines = states(tmp_path)
        assert (table["sink"], table["results"], table["waiting"]) == (f"csv://{tmp_path}/table", 0, PAGES + 1)
        assert (lines["results"], lines["files"], lines["waiting"]) == (10, 2, PAGES - 9)
        assert "result_worker" in table["node"]
        refused = crawlkit("sinks", "--forget", "csv://table", "--data-path", "d", cwd=tmp_path)
        assert refused.returncode == 2
        assert "serves it: stop that" in refused.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    for folder in ("table", "lines"):
        rows = [row for name, data in files_in(tmp_path / folder) for row in rows_of(name, data)]
        assert len(rows) == PAGES + 1
    after = states(tmp_path)
    assert [(one["waiting"], one["node"]) for one in after] == [(0, ""), (0, "")]
    text = crawlkit("sinks", "--data-path", "d", cwd=tmp_path).stdout
    assert f"csv://{tmp_path}/table  (nothing serves it now)" in text
    assert "job  13 results in 1 files" in text
    forgotten = crawlkit("sinks", "--forget", "csv://table", "--data-path", "d", cwd=tmp_path)
    assert "its files stay" in forgotten.stderr
    assert [one["sink"] for one in states(tmp_path)] == [f"jsonl://{tmp_path}/lines"]


def test_one_writes_all_before_it_ends(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/', callback=self.page)")
    done = crawlkit(
        "one", "job.py", "-o", "o.jsonl", "--sink", "parquet://out?age=1h", "--rate", "unlimited", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    rows = [row for name, data in files_in(tmp_path / "out") for row in rows_of(name, data)]
    assert Counter(row["url"] for row in rows) == {
        f"{site.base}/": 1, **{f"{site.base}/page/{n}": 1 for n in range(PAGES)}
    }  # fmt: skip


def test_one_says_what_a_sink_did_not_get(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/page/1', callback=self.page)")
    (tmp_path / "file").touch()
    done = crawlkit("one", "job.py", "-o", "o.jsonl", "--sink", "csv://file/out", cwd=tmp_path)
    assert done.returncode == 1
    assert f"sink csv://{tmp_path}/file/out: 1 results of job are missing ({tmp_path}/file" in done.stderr
    assert "lost, for nothing is kept without --data-path" in done.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--sink", "tsv:///x", "all"], "there is no sink tsv; there are jsonl, csv, parquet"),
        (["all", "--sink", "csv+nope://x"], "fsspec knows no nope://"),
        (["result_worker", "--sink", "csv:///x?rows=no"], "rows=no: use a number with or without unit, like 50k"),
        (["node", "--sink", "csv"], "write it like parquet:///data/out"),
        (["all", "--sink", "csv:///x", "--sink", "csv+file:///x/"], "sink csv:///x: is named twice"),
        (["all", "--sink", "csv:///x", "--result-worker-num", "0"], "--sink needs a result worker"),
        (["sinks", "--forget", "csv:///x"], "sink csv:///x: is not known; `crawlkit sinks` lists those that are"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line_and_exit_code_2(
    line: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert run(line) == 2
    said = capsys.readouterr().err.strip()
    assert words in said
    assert len(said.splitlines()) == 1


def test_what_does_not_work_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "file").touch()
    assert run(["sinks"]) == 0
    assert "no sinks; start result workers with --sink URL" in capsys.readouterr().err
    store = connect_resultdb(f"sqlite:///{tmp_path}/data/result.db")
    save(store, 1, 2, at=time.time())
    to_the_end(follower(store, f"csv://{tmp_path}/file/out"))
    store.close()
    assert run(["sinks"]) == 0
    said = capsys.readouterr().out
    assert "(served by test)" in said
    assert "p  0 results in 0 files (0.0 MiB), up to number 0; 2 wait" in said
    assert f"does not work now: {tmp_path}/file: is no folder" in said
