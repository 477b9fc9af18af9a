"""The benchmarks' own parts: figures that add up, tables of them. The benchmarks themselves are run by hand."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import lxml.etree
import pytest

from benchmarks import __main__ as race
from benchmarks import frontier, frontier_load, latency, plot, profile, racers, truth
from benchmarks.frontier_load import PROJECT
from crawlkit.database.base import Queue
from crawlkit.proving.serving import free_port, serving
from crawlkit.proving.site import Page, write_site
from tests.servers import fresh_database

PAGES = 150


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_measure_bills_grandchildren_and_orphans(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    orphan = f"import os\nif os.fork() == 0:\n os.setsid()\n if os.fork(): os._exit(0)\n exec({burn!r})"
    out = tmp_path / "out.json"
    subprocess.run([sys.executable, "-m", "benchmarks.measure", out, sys.executable, "-c", orphan], check=True)
    figures = json.loads(out.read_text())
    assert figures["code"] == 0
    assert 0.3 <= figures["cpu"] < 2


@pytest.mark.parametrize("done", [False, True], ids=["waiting", "done"])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_loaded_tasks_are_those_of_a_crawl(tmp_path: Path, kind: str, done: bool) -> None:
    """What is loaded past the store looks as if it had come through it, and the books balance."""
    from crawlkit.database.registry import connect_taskdb
    from crawlkit.scheduler.books import compare

    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{tmp_path}/task.db" if kind == "sqlite" else stack.enter_context(fresh_database("postgres"))
        frontier_load.load(url, 40, done)
        assert frontier_load.bytes_on_disk(url) > 40 * 100
        store = connect_taskdb(url)
        stack.callback(store.close)
        assert compare(PROJECT, store.ledger(), store.books(PROJECT)).problems == []
        assert store.max_seq() == 40
        expected = [frontier_load.row_of(number, done) for number in range(40)]
        waiting = store.window(PROJECT, Queue.READY, None, 100)
        assert waiting == ([] if done else expected)
        assert sorted(store.select(PROJECT), key=lambda row: row.seq) == expected


def test_the_table_of_the_frontier_leaves_out_what_nobody_measured() -> None:
    rows = [{"tasks": 10_000.0, "first_s": 0.5, "cpu_us": 91.4}, {"tasks": 1e7, "first_s": 0.75, "cpu_us": 93.0}]
    head, _, first, last = frontier.table(rows).splitlines()
    assert head == "| tasks | first task s | CPU us/task |"
    assert (first, last) == ("| 10,000 | 0.50 | 91 |", "| 10,000,000 | 0.75 | 93 |")


def test_figures_of_several_runs_come_together(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    for store, row in [("SQLite", {"tasks": 100.0, "x": 1.0}), ("SQLite", {"tasks": 10.0, "x": 2.0}),
                       ("PostgreSQL", {"tasks": 10.0, "x": 3.0}), ("SQLite", {"tasks": 100.0, "x": 4.0})]:  # fmt: skip
        frontier.keep(file, store, row)
    found = frontier.kept(file)
    assert [(row["tasks"], row["x"]) for row in found["SQLite"]] == [(10, 2), (100, 4)]
    assert [row["x"] for row in found["PostgreSQL"]] == [3]


def test_figures_come_between_the_marks_of_a_page() -> None:
    rows = [{"tasks": 10.0, "cpu_us": 100.0, "completed": 6_000.0}, {"tasks": 1e4, "cpu_us": 120.0, "completed": 5e3}]
    page = frontier.written(f"before\n{frontier.BEGIN}\nold\n{frontier.END}\nbehind\n", {"SQLite": rows})
    assert page.startswith(f"before\n{frontier.BEGIN}\n\n**SQLite**\n\n| tasks |")
    assert "CPU for a task grows 1.20 times, the time for one 1.20 times" in page
    assert page.endswith(f"{frontier.END}\nbehind\n")
    assert "old" not in page
    assert frontier.written(page, {"SQLite": rows}) == page
    with pytest.raises(SystemExit, match="has no lines"):
        frontier.written("nothing", {"SQLite": rows})


def test_a_plot_has_its_points_where_their_values_are() -> None:
    chart = plot.Chart("a < b", {"one": [(10, 0), (1_000, 50)], "two": [(10, 25)]}, (40, "aim"))
    tree = lxml.etree.fromstring(plot.svg([chart], 1, "n").encode())
    circles = [(float(one.get("cx")), float(one.get("cy"))) for one in tree.iter("{*}circle")]
    left, right = plot.LEFT, plot.WIDTH - plot.RIGHT
    top, bottom = plot.TOP, plot.HEIGHT - plot.BOTTOM
    assert circles == [(left, bottom), (right, top), (left, (top + bottom) / 2)]
    words = [one.text for one in tree.iter("{*}text")]
    assert {"a < b", "one", "two", "aim", "n", "10", "100", "1k", "0", "50"} <= set(words)


def test_a_plot_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        plot.svg([plot.Chart("empty", {})], 1, "n")


def test_the_bare_loop_has_exact_results(tmp_path: Path) -> None:
    port = free_port()
    pages = write_site(tmp_path / "site", PAGES, f"http://127.0.0.1:{port}")
    (tmp_path / "run").mkdir()
    bare = next(one for one in racers.ALL if one.name == "bare loop")
    with serving(tmp_path / "site", port):
        task = racers.Task(racers.PLAIN, f"http://127.0.0.1:{port}/p/0.html", tmp_path / "run", pages, tmp_path)
        assert bare.run(task)["wall"] > 0
        task = racers.Task(racers.PLAIN, task.start, tmp_path / "run", {**pages, "more": Page("", "", "")}, tmp_path)
        (tmp_path / "run" / "out.sqlite").unlink()
        with pytest.raises(SystemExit, match=r"1 results are not right.*missing: more"):
            bare.run(task)


def test_results_are_found_wherever_they_are(tmp_path: Path) -> None:
    page = {"url": "a", "title": "t", "h1": "h", "price": "1"}
    (tmp_path / "ours").write_text(json.dumps({"url": "a", "result": page}) + "\n")
    (tmp_path / "theirs").write_text(json.dumps(page) + "\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "000000001.json").write_text(json.dumps(page))
    (tmp_path / "folder" / "__metadata__.json").write_text("{}")
    with contextlib.closing(sqlite3.connect(tmp_path / "database")) as database, database:
        database.execute("CREATE TABLE pages (url, title, h1, price)")
        database.execute("INSERT INTO pages VALUES ('a', 't', 'h', '1')")
    found = [
        *truth.from_lines(tmp_path / "ours"),
        *truth.from_lines(tmp_path / "theirs"),
        *truth.from_folder(tmp_path / "folder"),
        *truth.from_sqlite(tmp_path / "database"),
    ]
    assert found == [("a", page)] * 4


def test_the_tables_of_a_race_are_of_medians_and_ratios(tmp_path: Path) -> None:
    def one(name: str, speeds: list[float], **more: object) -> tuple[str, list[dict[str, object]]]:
        return name, [
            {"pages/s": speed, "ms/page": 1000 / speed, "pss": 2.0**20, "wall": 1.0, "cpu": 1.0, **more}
            for speed in speeds
        ]

    ours = {"parts": {"fetcher": 0.5}, "crawling": 2.0, "early": 100 * 2**20, "late": 105 * 2**20}
    runs = dict([one("crawlkit", [900, 1000, 5000], **ours), one("scrapy", [100, 90, 200]), one("spider-rs", [2000])])
    found = {"about": "a machine", "of": 3, "races": [{"kind": "plain", "pages": 10_000, "runs": runs}]}
    file = tmp_path / "race.json"
    file.write_text(json.dumps(found))
    page = tmp_path / "page.md"
    page.write_text(f"before\n{race.BEGIN}\nold\n{race.END}\nafter\n")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--show", file, "--table", page, "--svg", tmp_path / "race.svg"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    text = page.read_text()
    assert done.stdout.strip() in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    lines = text.splitlines()
    assert next(i for i, line in enumerate(lines) if "0.50 times the pages/s of spider-rs" in line) < lines.index(
        "|---|---:|---:|---:|---:|---:|---|"
    )
    assert any(line.startswith("| crawlkit | 1,000 | 10.00 | 1.000 |  | 1 |") for line in lines)
    for part in ("fetcher 0.050", "5,000 pages/s", "(+5%)"):
        assert part in text
    words = [one.text for one in lxml.etree.parse(tmp_path / "race.svg").iter("{*}text")]
    assert words[1:] == ["spider-rs", "2,000", "crawlkit", "1,000", "scrapy", "100"]


def test_who_cannot_take_part_is_left_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(racers.shutil, "which", lambda *_, **__: None)
    with pytest.raises(SystemExit):
        race.main_of(["--only", "nobody"])
    assert "unknown: nobody" in capsys.readouterr().err
    race.main_of(
        ["--pages", "30", "--runs", "1", "--only", "wget2,spider-rs,bare loop", "--work", str(tmp_path),
         "--json", str(tmp_path / "out.json")]
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "wget2              left out: wget2 is not installed" in said
    found = json.loads((tmp_path / "out.json").read_text())["races"][0]
    assert list(found["runs"]) == ["bare loop"]
    assert set(found["missing"]) == {"wget2", "spider-rs"}


def test_latency_is_of_what_follows_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency.time, "sleep", lambda _: None)
    times = [9.0] * latency.WARM_UP + [number / 1000 for number in range(1, 201)]
    assert latency.series(200, lambda number: times[number]) == {"p50": 100.5, "p99": 199.0, "max": 200.0}


ALL, OWN = 'process 1:"python -m crawlkit all"', 'process 2:"python -m crawlkit scheduler"'
RAW = f"""\
{ALL};run (crawlkit/cli/together.py);select (selectors.py) 5
{ALL};{OWN};turn (crawlkit/scheduler/engine.py);execute (sqlalchemy/engine.py) 30
{ALL};{OWN};turn (crawlkit/scheduler/engine.py);f (crawlkit/libs/task.py) 10
{ALL};process 3:"processor";process 9:"fork; of it";item (shop.py);css (crawlkit/libs/response.py:7) 4
py-spy> nonsense
{ALL};{OWN};run (threading.py) 1
"""


def test_a_profile_is_told_by_component_and_module(tmp_path: Path) -> None:
    seen = profile.shares(RAW, {1: "queues", 2: "scheduler", 3: "processor"})
    ours = {"`scheduler/engine.py`": 30, "`libs/task.py`": 10}
    assert seen["scheduler"] == {**ours, profile.OUTSIDE: 1}
    assert seen["processor"] == {"`libs/response.py`": 4}
    assert seen["queues"] == {profile.EVENT_LOOP: 5}
    text = profile.table({"scheduler": 0.41, "processor": 2.0, "queues": 0.001}, seen, 1_000)
    assert "| scheduler | 0.410 |\n| processor | 2.000 |" in text
    assert "| in all | 2.411 |" in text
    assert "**scheduler**\n\n| module, with the libraries it calls | CPU ms a page |\n|---|---:|\n" in text
    assert "| `scheduler/engine.py` | 0.300 |\n| `libs/task.py` | 0.100 |" in text
    assert f"| {profile.OUTSIDE} | 0.010 |" in text
    assert "| others, each less than 0.004 | 0.001 |" in text
    page = tmp_path / "page.md"
    page.write_text(f"before\n{profile.BEGIN}\nold\n{profile.END}\nafter\n")
    profile.put(page, text)
    assert page.read_text() == f"before\n{profile.BEGIN}\n{text}\n{profile.END}\nafter\n"
    page.write_text("nothing")
    with pytest.raises(SystemExit, match="no place for the figures"):
        profile.put(page, text)


def test_a_profile_without_py_spy_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile.shutil, "which", lambda *_, **__: None)
    spy = profile.Spy(1, 100, tmp_path / "out")
    assert spy.stop() == ""
    assert spy.why == "py-spy is not installed (pip install py-spy)"
    monkeypatch.setattr(profile.shutil, "which", lambda *_, **__: "/bin/echo")
    spy = profile.Spy(1, 100, tmp_path / "out")
    assert "py-spy does not start: record --subprocesses" in spy.why
    assert spy.stop() == ""
