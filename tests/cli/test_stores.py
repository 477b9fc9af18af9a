"""The commands that read and write the stores directly: project, results, tasks, audit."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from crawlkit import wiring
from crawlkit.cli import read, run
from crawlkit.cli.submit import task_of
from crawlkit.libs.browse import Browse
from crawlkit.libs.errors import InvalidTask
from crawlkit.libs.rows import Lease, ResultSet, TaskRow, Writes
from crawlkit.libs.task import Fetch, Status
from crawlkit.settings import Settings
from tests import needs
from tests.cli.site import ROOT

SCRIPT = "from crawlkit import BaseHandler\n\n\nclass Handler(BaseHandler):\n    pass\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.py").write_text(SCRIPT)
    return tmp_path


def stores() -> Any:
    return wiring.open_stores(Settings(), create=True)


def fill(tasks: int = 5) -> None:
    """A project with finished tasks, one failed, one leased; two results each for the finished ones."""
    with stores() as opened:
        writes = Writes()
        for n in range(tasks):
            row = TaskRow("shop", f"{n:032d}", f"http://shop/{n}", status=Status.SUCCESS, seq=n, results=2)
            writes.insert.append(row)
        writes.insert.append(TaskRow("shop", "f" * 32, "http://shop/failed", status=Status.FAILED, seq=90))
        writes.insert.append(TaskRow("shop", "l" * 32, "http://shop/leased", seq=91))
        writes.lease.append(Lease("shop", "l" * 32, 1, 1, "", 9e9))
        writes.count("shop", "accepted", "submit", tasks + 2)
        writes.count("shop", "done", "", tasks)
        writes.count("shop", "failed", "http_404")
        opened.taskdb.commit(writes)
        opened.resultdb.save(
            [
                ResultSet("shop", f"{n:032d}", 1, 1, f"http://shop/{n}", 0, [f'{{"n":{n}}}', '{"tag":"=x"}'], True, 1.0)
                for n in range(tasks)
            ]
        )


def test_put_list_show_status_rm(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["project", "put", "shop.py", "--status", "TODO"]) == 0
    said = capsys.readouterr().err
    assert "project shop: new, TODO, rate 1 (the default), burst 3" in said
    assert "crawlkit project status shop RUNNING" in said
    assert (
        run(["project", "put", "shop.py", "--rate", "unlimited", "--burst", "5", "--group", "g", "--status", "running"])
        == 0
    )
    said = capsys.readouterr().err
    assert "project shop: updated, RUNNING, rate unlimited, burst 5" in said
    assert "no scheduler runs on this data path" in said
    (folder / "shop.py").write_text(SCRIPT + "# changed\n")
    assert run(["project", "put", "shop.py"]) == 0  # what is not said stays
    capsys.readouterr()
    assert run(["project", "list", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert {key: row[key] for key in ("name", "group", "status", "rate", "burst", "rate_set")} == {
        "name": "shop", "group": "g", "status": "RUNNING", "rate": None, "burst": 5.0, "rate_set": True,
    }  # fmt: skip
    assert "script" not in row
    assert run(["project", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:5] == ["shop", "g", "RUNNING", "unlimited", "5"]
    assert run(["project", "show", "shop", "--script"]) == 0
    assert capsys.readouterr().out == SCRIPT + "# changed\n"
    assert run(["project", "show", "shop"]) == 0
    assert "(2 saved)" in capsys.readouterr().out
    assert run(["project", "status", "shop", "stop"]) == 0
    assert run(["project", "show", "shop", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "STOP"
    fill()
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert run(["project", "rm", "shop"]) == 1
    assert run(["project", "rm", "shop", "--yes"]) == 0
    with stores() as opened:
        assert opened.projectdb.names() == opened.taskdb.projects() == opened.resultdb.projects() == []
    capsys.readouterr()
    assert run(["project", "show", "shop"]) == 2
    assert capsys.readouterr().err == "crawlkit: no project 'shop'; there are none yet\n"


@pytest.mark.parametrize(
    ("comments", "line", "want"),
    [
        ("# rate: 5\n# burst: 9\n# group: news\n", [], (5.0, 9.0, "news", True)),
        ("# rate: unlimited\n", [], (None, 3.0, "", True)),
        ("# rate: 5\n", ["--rate", "2", "--group", "x"], (2.0, 3.0, "x", True)),
        ("", [], (1.0, 3.0, "", False)),
    ],
)
def test_comments_of_the_script_and_what_wins(
    comments: str, line: list[str], want: tuple[Any, ...], folder: Path
) -> None:
    (folder / "shop.py").write_text(comments + SCRIPT)
    assert run(["project", "put", "shop.py", *line]) == 0
    with stores() as opened:
        row = opened.projectdb.get("shop")
    assert (row.rate, row.burst, row.group, row.rate_set) == want


@pytest.mark.parametrize(("comment", "words"), [("# rate: quick\n", "rate 'quick'"), ("# burst: 0\n", "burst '0'")])
def test_comments_that_say_nonsense(comment: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "shop.py").write_text(comment + SCRIPT)
    assert run(["project", "put", "shop.py"]) == 2
    assert words in capsys.readouterr().err


def test_results_in_three_formats(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    fill(3)
    assert run(["results", "shop"]) == 0
    lines = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [line["result"] for line in lines] == [
        {"n": 0},
        {"tag": "=x"},
        {"n": 1},
        {"tag": "=x"},
        {"n": 2},
        {"tag": "=x"},
    ]
    assert run(["results", "shop", "--format", "json"]) == 0
    assert json.loads(capfdbinary.readouterr().out) == lines
    assert run(["results", "shop", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capfdbinary.readouterr().out.decode())))
    assert [row["n"] for row in rows] == ["0", "", "1", "", "2", ""]
    assert run(["results", "nothing"]) == 2
    assert b"no project 'nothing'; there are shop" in capfdbinary.readouterr().err


def test_follow_goes_on_with_new_results(folder: Path) -> None:
    fill(1)

    class Enough(Exception):
        pass

    class Out(io.BytesIO):
        def write(self, data: Any, /) -> int:
            count = super().write(data)
            if b'"late"' in data:
                raise Enough
            return count

    def add() -> None:
        with stores() as opened:
            opened.resultdb.save([ResultSet("shop", "z" * 32, 1, 1, "http://shop/z", 0, ['"late"'], True, 2.0)])

    out = Out()
    threading.Timer(0.2, add).start()
    with stores() as opened, pytest.raises(Enough):
        read.write_results(opened.resultdb, "shop", "jsonl", out, follow=True)
    assert len(out.getvalue().splitlines()) == 3


TASKS = [
    ([], 7),
    (["--status", "failed"], 1),
    (["--status", "SUCCESS"], 5),
    (["--status", "active"], 1),
    (["--status", "bad"], 0),
    (["--url", "shop/f"], 1),
    (["--url", "http://shop/?"], 0),
    (["--url", "*/leased"], 1),
]


@pytest.mark.parametrize(("line", "count"), TASKS)
def test_tasks_by_status_and_url(
    line: list[str],
    count: int,
    folder: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read, "PAGE", 2)
    fill()
    assert run(["tasks", "shop", "--format", "url", *line]) == 0
    assert len(capfdbinary.readouterr().out.splitlines()) == count
    assert run(["tasks", "shop", *line]) == 0
    tasks = [json.loads(text) for text in capfdbinary.readouterr().out.splitlines()]
    assert len(tasks) == count
    assert all(task["project"] == "shop" and task["url"].startswith("http://shop/") for task in tasks)


def test_r70_tasks_are_printed_without_what_is_secret_in_them(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    actions = [{"fill": "#user", "text": "ann"}, {"fill": "#password", "text": "hunter2"}, {"click": "#login"}]
    fetch = Fetch(headers={"Authorization": "Bearer hunter2"}, browser=Browse(actions=actions), fetch_type="js")
    with stores() as opened:
        writes = Writes()
        writes.insert.append(TaskRow("shop", "a" * 32, "http://shop/login", seq=1, fetch=fetch))
        writes.insert.append(TaskRow("shop", "b" * 32, "http://shop/b", seq=2, fetch=Fetch(method="POST", data=b"a=b")))
        opened.taskdb.commit(writes)
    for line in (["tasks", "shop"], ["task", "shop", "a" * 32], ["task", "shop", "a" * 32, "--json"]):
        assert run(line) == 0
        said = capfdbinary.readouterr().out
        assert b'{"fill":"#password","text":"***"},{"click":"#login"}' in said
        assert b"hunter2" not in said
    assert run(["tasks", "shop"]) == 0
    masked, plain = capfdbinary.readouterr().out.decode().splitlines()
    with pytest.raises(InvalidTask, match=r"task\.fetch\.headers\.Authorization: is masked"):
        task_of(masked, "shop", "page", {})
    assert task_of(plain, "shop", "page", {})["fetch"] == {"method": "POST", "data": "YT1i"}


def test_audit_of_balanced_books(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill()
    assert run(["audit"]) == 0
    said = capsys.readouterr().out
    assert "shop: balanced: 7 accepted = 6 ended + 0 waiting + 1 leased" in said
    assert "http_404" in said
    assert run(["audit", "shop", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["balanced"] is True
    assert report["results"] == 10
    assert {"event": "failed", "reason": "http_404", "count": 1} in report["entries"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda opened: opened.taskdb.commit(Writes(remove=[("shop", "0" * 32)])), "the rows count 6 runs"),
        (lambda opened: opened.taskdb.commit(Writes(ledger={("shop", "done", ""): -1})), "1 lost"),
        (lambda opened: opened.resultdb.drop("shop"), "5 tasks do not have the results their rows say"),
    ],
)
def test_audit_of_books_that_do_not_balance(
    damage: Any, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill()
    with stores() as opened:
        damage(opened)
    assert run(["audit"]) == 1
    said = capsys.readouterr().out
    assert "NOT balanced" in said
    assert words in said


def test_new_writes_a_script_that_compiles(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new", "quotes", "--url", "http://q/"]) == 0
    assert "crawlkit one quotes.py -o quotes.jsonl" in capsys.readouterr().err
    text = (folder / "quotes.py").read_text()
    compile(text, "quotes.py", "exec")
    assert "http://q/" in text
    assert run(["new", "quotes.py", "--force", "--url", "http://r/"]) == 0
    assert "http://r/" in (folder / "quotes.py").read_text()
    assert run(["project", "put", "quotes.py"]) == 0


def test_audit_of_an_unknown_project(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["project", "put", "shop.py"]) == 0
    capsys.readouterr()
    assert run(["audit", "zzz"]) == 2
    assert capsys.readouterr().err == "crawlkit: no project 'zzz'; there are shop\n"
    assert run(["audit", "shop"]) == 0


def test_a_script_that_does_not_load_can_be_forced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "my-shop.py").write_text("import gone_away\n" + SCRIPT)
    assert run(["project", "put", "my-shop.py"]) == 2
    assert "No module named 'gone_away'; --force saves it all the same" in capsys.readouterr().err
    assert run(["project", "put", "my-shop.py", "--force"]) == 0
    assert "project my_shop: new" in capsys.readouterr().err


def test_a_name_that_was_only_refused_is_no_project(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["project", "put", "shop.py"]) == 0
    with stores() as opened:
        writes = Writes()
        writes.count("typo", "refused", "no_project", 3)
        opened.taskdb.commit(writes)
    for command in (["audit", "zzz"], ["tasks", "zzz"], ["task", "zzz", "http://x/"]):
        capsys.readouterr()
        assert run(command) == 2
        assert capsys.readouterr().err == "crawlkit: no project 'zzz'; there are shop\n"
    assert run(["audit", "typo"]) == 0  # what was refused is not hidden
    assert "no_project" in capsys.readouterr().out


def test_hints_name_the_data_path(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, hint in (
        (["project", "put", "shop.py", "--status", "TODO"], "crawlkit --data-path d project status shop RUNNING"),
        (["project", "put", "shop.py", "--status", "RUNNING"], "crawlkit --data-path d all"),
        (["project", "settings", "shop"], "crawlkit --data-path d project set shop KEY"),
        (["project", "run", "shop"], "crawlkit --data-path d all"),
        (["task", "shop", "http://x/"], "crawlkit --data-path d tasks shop"),
    ):
        run(["--data-path", "d", *words])
        assert hint in capsys.readouterr().err


def test_a_data_path_that_can_only_be_read(folder: Path) -> None:
    """On a real read-only mount: root's rights do not count there."""
    assert run(["--data-path", "d", "project", "put", "shop.py"]) == 0
    with wiring.open_stores(Settings(data_path=Path("d")), create=True):
        pass  # all stores are there
    command = f"{sys.executable} {ROOT / 'run.py'} --data-path d"
    mount = "mount --bind d d && mount -o remount,ro,bind d d"
    if subprocess.run([needs.binary("unshare"), "-m", "sh", "-c", mount], capture_output=True).returncode:
        needs.missing("the right to mount")
    words = "'project list' audit 'tasks shop' 'results shop' 'project status shop STOP'"
    script = f"{mount}; for words in {words}; do {command} $words; echo code $?; done"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True)
    assert done.stdout.startswith("NAME"), done.stderr
    codes = [line for line in done.stdout.splitlines() if line.startswith("code ")]
    assert codes == ["code 0"] * 4 + ["code 2"], done.stderr
    assert "is read-only: make it writable" in done.stderr
