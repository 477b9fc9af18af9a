"""What goes wrong is said in one line on stderr, with exit code 2, and with a traceback only when asked for."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from crawlkit.cli import run

ROOT = Path(__file__).parents[2]

LINES = [
    (["fooo"], "No such command 'fooo'"),
    (["--queue-maxsize", "many", "all"], "Invalid value for '--queue-maxsize'"),
    (["submit"], "Missing argument 'PROJECT'"),
    (["submit", "p"], "nothing to submit"),
    (["one"], "nothing to crawl"),
    (["one", "gone.py"], "gone.py: No such file or directory"),
    (["one", "ok.py", "-o", "x.txt"], "use .jsonl, .json, .csv"),
    (["one", "ok.py", "-o", "gone/x.csv"], "no directory gone"),
    (["one", "ok.py", "-o", "/proc/x.jsonl"], "output file /proc/x.jsonl: "),
    (["one", "ok.py", "-o", "/proc/x.csv", "--data-path", "d"], "output file /proc/x.csv: "),
    (["one", "ok.py", "--rate", "fast"], "use pages per second, like 2.5, or the word unlimited"),
    (["one", "ok.py", "--rate", "0"], "ok: a rate of 0 sends nothing"),
    (["one", "ok.py", "--limit", "0"], "Invalid value for '--limit'"),
    (["one", "ok.py", "sub/ok.py"], "two scripts are called ok"),
    (["one", "my-script.py", "--rate", "0"], "my_script: a rate of 0 sends nothing"),
    (["project", "put", "imports.py"], "No module named 'no_such_thing'; --force saves it all the same"),
    (["project", "put", "empty.py"], "the script defines no class that subclasses BaseHandler; --force"),
    (["one", "broken.py"], "broken.py, line 2: expected ':': class Handler"),
    (["one", "latin.py"], "latin.py: not UTF-8 text"),
    (["one", "nul.py"], "nul.py: "),
    (["one", "ok.py", "--logging-config", "x"], "No such option '--logging-config'. It goes before the command."),
    (["--logging-config", "gone.conf", "one", "ok.py"], "logging config gone.conf: "),
    (["new", "ok"], "ok.py exists already; --force overwrites it"),
    (["new", "gone/x"], "gone: no such directory"),
    (["new", "a" * 65], "use 1 to 64 letters, digits and underscores"),
    (["project", "status", "p", "RUNING"], "Invalid value for 'STATUS'"),
    (["project", "put", "broken.py"], "broken.py, line 2"),
    (["project", "put", "ok.py", "--burst", "0.5"], "Invalid value for '--burst'"),
    (["project", "status", "p", "SLEEPING"], "Invalid value for 'STATUS'"),
    (["project", "show", "p"], "data path data: there is nothing yet"),
    (["results", "p"], "data path data: there is nothing yet"),
    (["results", "p", "--follow", "--format", "csv"], "--follow writes lines as they come"),
    (["audit"], "data path data: there is nothing yet"),
    (["submit", "p", "http://x/"], "no scheduler runs on data"),
    (["send_message", "p", "hi"], "no scheduler runs on data"),
    (["project", "run", "p"], "no scheduler runs on data"),
    (["submit", "p", "http://x/", "--scheduler-rpc", "http://:t@127.0.0.1:1"], "127.0.0.1:1"),
    (["submit", "p", "-f", "gone.txt"], "gone.txt: No such file or directory"),
    (["--data-path", "ok.py", "one", "ok.py"], "ok.py: is a file, not a folder"),
    (["--data-path", "ok.py", "project", "list"], "ok.py: is a file, not a folder"),
    (["fetch", "http://x/", "-H", "nocolon"], "write it as 'Name: value'"),

    (["--taskdb", "couchdb+taskdb://h/", "tasks", "p"], "couchdb"),
    (["--message-queue", "beanstalk://h", "fetcher"], "beanstalk"),
    (["-c", "gone.json", "all"], "config file gone.json: No such file or directory"),
    (["-c", "bad.json", "all"], "config file bad.json: "),
    (["-c", "unknown.json", "all"], "unknown.json: fetcher.pool_size: no such option or command; 'poolsize'"),
    (["-c", "wrong.json", "all"], "'lots' is not a valid integer range. (from config file wrong.json)"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("ok.py", "sub/ok.py", "my-script.py"):
        (tmp_path / name).write_text("from crawlkit import BaseHandler\nclass Handler(BaseHandler):\n    pass\n")
    (tmp_path / "broken.py").write_text("from crawlkit import BaseHandler\nclass Handler(BaseHandler)\n    pass\n")
    (tmp_path / "latin.py").write_bytes(b"x = '\xe9'\n")
    (tmp_path / "nul.py").write_bytes(b"x = 1\0\n")
    (tmp_path / "imports.py").write_text("import no_such_thing\n")
    (tmp_path / "empty.py").write_text("x = 1\n")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "unknown.json").write_text(json.dumps({"fetcher": {"pool-size": 1}}))
    (tmp_path / "wrong.json").write_text(json.dumps({"queue-maxsize": "lots"}))
    return tmp_path


@pytest.mark.parametrize(("line", "words"), LINES, ids=[" ".join(line) for line, _ in LINES])
def test_one_line(line: list[str], words: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.startswith("crawlkit: ")
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_debug_shows_the_traceback(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--debug", "one", "broken.py"]) == 2
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said
    assert said.splitlines()[-1].startswith("crawlkit: broken.py, line 2")


def test_a_bad_variable_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRAWLKIT_ONE_LIMIT", "all")
    assert run(["one", "ok.py"]) == 2
    assert "(from CRAWLKIT_ONE_LIMIT)" in capsys.readouterr().err


def test_an_error_nobody_foresaw_is_one_line_too(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def burst(*_: object) -> None:
        raise RuntimeError("burst\npipe")

    monkeypatch.setattr("crawlkit.cli.one.read_script", burst)
    assert run(["one", "ok.py"]) == 2
    assert capsys.readouterr().err == "crawlkit: internal error: RuntimeError: burst pipe (--debug shows where)\n"


def test_version_is_quick_and_loads_nothing_heavy() -> None:
    code = "import sys; from crawlkit.cli import run; run(['--version']); print(*sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    version, modules = out.splitlines()
    assert version.startswith("crawlkit ")
    heavy = {"asyncio", "tornado", "pycurl", "sqlalchemy", "lxml", "rich", "msgspec", "yaml", "flask"}
    assert not heavy & set(modules.split())
    costs = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "run.py", "--version"], cwd=ROOT, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(costs) < 0.15, f"{min(costs):.3f} s of CPU"


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "many.py").write_text(
        "from crawlkit import BaseHandler\nclass Handler(BaseHandler):\n    def on_start(self):\n"
        "        for i in range(5000):\n            yield {'i': i, 'text': 'x' * 100}\n"
    )
    line = f"{sys.executable} {ROOT / 'run.py'} one many.py --data-path d | head -1"
    first = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert json.loads(first.stdout)["result"]["i"] == 0
    assert "Traceback" not in first.stderr
    assert "BrokenPipe" not in first.stderr


def test_a_variable_near_a_known_one_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRAWLKIT_FETCHER_POOL_SIZE", "8")
    monkeypatch.setenv("CRAWLKIT_SOMETHING_ELSE_ALTOGETHER", "8")
    assert run(["new", "fresh"]) == 0
    first, second = capsys.readouterr().err.splitlines()
    words = "no option has this name; CRAWLKIT_FETCHER_POOLSIZE is near"
    assert first == f"crawlkit: variable CRAWLKIT_FETCHER_POOL_SIZE: {words}"
    assert second.startswith("wrote fresh.py")


def test_a_group_without_a_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["project"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: crawlkit project")
    assert "  put " in shown
