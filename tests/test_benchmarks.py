"""The benchmark's own parts: a site that is what it says, figures that add up. The benchmark itself is run by hand."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import lxml.etree
import lxml.html
import pytest

from benchmarks import frontier, frontier_load, plot, serve
from benchmarks.first_mark import problems
from benchmarks.frontier_load import PROJECT
from benchmarks.site import LINKS, Page, write_site
from crawlkit.database.base import Queue
from tests.e2e.site import walk
from tests.servers import fresh_database

PAGES = 150


def test_site_has_its_links_and_says_what_is_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = serve.free_port()
    truth = write_site(tmp_path, PAGES, f"http://127.0.0.1:{port}")
    with serve.serving(tmp_path, port):
        assert walk(f"http://127.0.0.1:{port}/p/0.html") == set(truth)
    for url, page in truth.items():
        text = (tmp_path / "p" / url.rpartition("/")[2]).read_text()
        tree = lxml.html.fromstring(text)
        tree.make_links_absolute(url)
        links = {a.get("href") for a in tree.iter("a")}
        assert len(links) == LINKS
        assert url not in links
        assert page == (tree.findtext(".//title"), tree.findtext(".//h1"), tree.find_class("price")[0].text)
        assert 8_000 < len(text) < 13_000


def test_site_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    truths = [
        write_site(tmp_path / name, 30, "http://shop.test", seed) for name, seed in [("a", 1), ("b", 1), ("c", 2)]
    ]
    assert truths[0] == truths[1] != truths[2]
    assert (tmp_path / "a/p/7.html").read_text() == (tmp_path / "b/p/7.html").read_text()


def test_the_bundled_server_stands_in_for_nginx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve.shutil, "which", lambda *_, **__: None)
    (tmp_path / "a.html").write_text("hello")
    port = serve.free_port()
    with serve.serving(tmp_path, port) as name:
        assert "bundled" in name
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/a.html") as response:
            assert response.read() == b"hello"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_measure_bills_grandchildren_and_orphans(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    orphan = f"import os\nif os.fork() == 0:\n os.setsid()\n if os.fork(): os._exit(0)\n exec({burn!r})"
    out = tmp_path / "out.json"
    subprocess.run([sys.executable, "-m", "benchmarks.measure", out, sys.executable, "-c", orphan], check=True)
    figures = json.loads(out.read_text())
    assert figures["code"] == 0
    assert 0.3 <= figures["cpu"] < 2


def test_problems_names_what_is_missing_twice_or_wrong(tmp_path: Path) -> None:
    truth = {"a": Page("t", "h", "1"), "b": Page("t", "h", "2"), "c": Page("t", "h", "3")}
    lines = [("a", "1"), ("a", "1"), ("b", "9")]
    (tmp_path / "out").write_text(
        "".join(json.dumps({"url": u, "title": "t", "h1": "h", "price": p}) + "\n" for u, p in lines)
    )
    found = problems(tmp_path / "out", truth, lambda line: (line["url"], line))
    assert [problem.partition(":")[0] for problem in found] == ["twice", "missing", "wrong"]


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
