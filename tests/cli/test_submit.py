"""Submitting: batches, line numbers, flat memory, and a scheduler that goes away in the middle."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from crawlkit.cli import run
from crawlkit.cli import submit as submitting
from crawlkit.cli.submit import BATCH, MAX_LINE, SHOWN, Tally, _read, submit_all, task_of
from crawlkit.libs.errors import InvalidTask, ServiceUnreachable
from crawlkit.libs.task import taskid_of


class Scheduler:
    """Admits what it has not seen."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.batches: list[int] = []
        self.last: list[dict[str, Any]] = []

    def submit(self, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.batches.append(len(tasks))
        self.last = tasks
        answers = []
        for task in tasks:
            if "full" in task["url"]:
                answers.append({"accepted": False, "verdict": "refused", "reason": "9 tasks wait already"})
                continue
            verdict = "ignore" if task["taskid"] in self.known else "new"
            self.known.add(task["taskid"])
            answers.append({"accepted": True, "verdict": verdict, "reason": ""})
        return answers


def feed(text: bytes, scheduler: Scheduler | None = None) -> tuple[Tally, list[str]]:
    said: list[str] = []
    tally = Tally(report=said.append)
    submit_all((scheduler or Scheduler()).submit, _read(io.BytesIO(text)), tally, "p", "index_page", {})
    return tally, said


def test_every_line_is_accepted_or_refused_with_its_number() -> None:
    text = b"\xef\xbb\xbfhttp://a/1\n\n# a comment\nnot a url\nhttp://a/1\r\nhttp://full/\n{bad\n" + (
        b'{"url": "http://a/2", "callback": "detail", "fetch": {"timeout": "x"}}\nhttp://a/%ff\xff\nhttp://last/'
    )
    tally, said = feed(text)
    assert (tally.total, tally.new, tally.known, tally.refused) == (8, 2, 1, 5)
    assert [line.partition(": refused: ")[::2] for line in said] == [
        ("line 4: not a url", "task.url: is not absolute; begin it with http:// or https://"),
        ("line 7: {bad", "task: not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (
            'line 8: {"url": "http://a/2", "callback": "detail", "fetch": {"timeout": "x"}}',
            "task.fetch.timeout: Expected `float | null`, got `str`",
        ),
        ("line 9: http://a/%ff\\udcff", "task.url: is not UTF-8 text"),
        ("line 6: http://full/", "9 tasks wait already"),
    ]


def test_batches_of_a_fixed_size() -> None:
    scheduler = Scheduler()
    tally, _ = feed(b"".join(b"http://a/%d\n" % n for n in range(2 * BATCH + 7)), scheduler)
    assert scheduler.batches == [BATCH, BATCH, 7]
    assert tally.new == 2 * BATCH + 7


def test_many_refused_lines_are_only_counted() -> None:
    tally, said = feed(b"nope\n" * 1000)
    assert tally.refused == 1000
    assert len(said) == SHOWN + 1
    assert said[-1] == "further refused lines are only counted"


def test_a_line_without_end_is_refused_in_flat_memory() -> None:
    class Endless(io.RawIOBase):
        left = 50 * 2**20

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            size = min(len(buffer), self.left)
            self.left -= size
            buffer[:size] = b"x" * size
            return size

    said: list[str] = []
    tally = Tally(report=said.append)
    tracemalloc.start()
    submit_all(Scheduler().submit, _read(io.BufferedReader(Endless())), tally, "p", "c", {})  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert tally.refused == 1
    assert len(said[0]) < 400
    assert peak < 20 * MAX_LINE


def test_fifty_thousand_lines_in_flat_memory() -> None:
    class Forgetful(Scheduler):
        def submit(self, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [{"accepted": True, "verdict": "new"}] * len(tasks)

    def lines() -> Any:
        for n in range(50_000):
            yield n + 1, f"http://a/{n}"

    tally = Tally()
    tracemalloc.start()
    submit_all(Forgetful().submit, lines(), tally, "p", "c", {})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert tally.new == 50_000
    assert peak < 3 * 2**20


def test_a_scheduler_that_goes_away_in_the_middle_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitting.time, "sleep", lambda seconds: None)
    scheduler = Scheduler()
    troubles = iter([None, "down", "down", None])

    def send(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if next(troubles, None):
            raise ServiceUnreachable("down")
        return scheduler.submit(tasks)

    tally = Tally()
    submit_all(send, ((n, f"http://a/{n}") for n in range(2 * BATCH)), tally, "p", "c", {})
    assert tally.new == 2 * BATCH


TASKS: list[tuple[str, dict[str, Any]]] = [
    ("http://a", {"url": "http://a/", "process": {"callback": "index_page"}}),
    ("http://a/?q=ä", {"url": "http://a/?q=%C3%A4"}),
    ('{"url": "http://a/", "callback": "x"}', {"process": {"callback": "x"}}),
    ('{"url": "http://a/", "schedule": {"priority": 5}}', {"schedule": {"priority": 5, "age": 0}}),
    ('{"url": "http://a/", "taskid": "t1", "status": "SUCCESS", "run": 3}', {"taskid": "t1"}),
    (
        '{"url": "http://a/", "fetch": {"method": "POST", "data": "eA=="}}',
        {"taskid": taskid_of("http://a/", "POST", b"x")},
    ),
    ('{"url": "http://a/", "data": "x"}', {"taskid": taskid_of("http://a/", "POST", b"x")}),
    ('{"url": "http://a/", "priority": 7, "headers": {"A": "b"}}', {"fetch": {"headers": {"A": "b"}}}),
]


@pytest.mark.parametrize(("line", "want"), TASKS)
def test_lines_as_tasks(line: str, want: dict[str, Any]) -> None:
    task = task_of(line, "p", "index_page", {"age": 0})
    assert task["project"] == "p"
    if "taskid" not in want:
        assert task["taskid"] == taskid_of(task["url"])
    assert {key: task[key] for key in want} == want


@pytest.mark.parametrize(
    "line",
    [
        "",
        "x",
        '{"url": "http://a/", "speed": 1}',
        "{}",
        "[1]",
        '{"url": 5}',
        '{"url": "http://a/", "fetch": 3}',
        "http://a/\0",
    ],
)
def test_lines_that_are_no_tasks(line: str) -> None:
    with pytest.raises(InvalidTask):
        task_of(line, "p", "c", {})


class Client:
    """Stands for the control client."""

    def __init__(self) -> None:
        self.scheduler = Scheduler()
        self.submit = self.scheduler.submit
        self.sent: list[tuple[str, Any]] = []

    def send_message(self, project: str, message: Any) -> dict[str, Any]:
        self.sent.append((project, message))
        return {"accepted": project == "p", "reason": f"there is no project {project!r}"}

    def summary(self) -> dict[str, Any]:
        return {"projects": {"p": {"status": "STOP"}}}

    def run(self, project: str) -> dict[str, Any]:
        return {"accepted": project == "p", "reason": f"there is no project {project!r}"}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    monkeypatch.setattr("crawlkit.wiring.control_client", lambda *_, **__: made)
    return made


def test_the_command_counts_and_exits_1_when_a_line_was_refused(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "urls.txt"
    file.write_text("http://a/1\nnope\n")
    assert run(["submit", "p", "http://a/0", "http://a/1", "-f", str(file), "--age", "0", "--priority", "3"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "4 lines: 3 accepted (2 to be crawled, 1 known already), 1 refused"
    assert said[0].startswith("line 2: nope: refused")
    assert client.scheduler.last[0]["schedule"] == {"age": 0.0, "priority": 3}
    assert run(["submit", "p", "http://a/5"]) == 0


def test_standard_input_is_a_file_too(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"http://a/1\nhttp://a/2\n")))
    assert run(["submit", "p", "-f", "-"]) == 0
    assert len(client.scheduler.known) == 2


def test_messages_and_runs(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["send_message", "p", "hello"]) == 0
    assert client.sent == [("p", "hello")]
    assert run(["send_message", "q", "hello"]) == 2
    assert run(["project", "run", "p"]) == 0
    assert "project p is STOP: on_start waits until" in capsys.readouterr().err
    assert run(["project", "run", "q"]) == 2
    assert "project q: not run: there is no project 'q'" in capsys.readouterr().err


def test_what_tasks_prints_may_be_submitted_again() -> None:
    from crawlkit.libs.rows import TaskRow
    from crawlkit.libs.task import Fetch, Process, Schedule
    from crawlkit.libs.task_lines import task_line

    row = TaskRow(
        "p",
        "id1",
        "http://a/",
        schedule=Schedule(priority=2),
        fetch=Fetch(headers={"A": "b"}),
        process=Process(callback="x"),
    )
    line = task_line(row, "jsonl").decode()
    assert json.loads(line)["status"] == "ACTIVE"
    task = task_of(line, "p", "index_page", {})
    assert task["taskid"] == "id1"
    assert task["process"] == {"callback": "x"}
    assert task["fetch"] == {"headers": {"A": "b"}}
    assert task_line(row, "url") == b"http://a/\n"


def test_urls_and_callbacks_that_nothing_can_serve(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.py").write_text(
        "from crawlkit import BaseHandler\nclass Handler(BaseHandler):\n    def page(self, response):\n        pass\n"
    )
    client.update_project = lambda: None  # type: ignore[attr-defined]
    assert run(["project", "put", "p.py"]) == 0
    assert "project p: it has no on_start" in capsys.readouterr().err
    assert run(["submit", "p", "ftp://a/", "http://a/", "--callback", "page"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "ftp://a/: refused: task.url: ftp: cannot be fetched; use http:// or https://"
    assert run(["submit", "p", "http://b/", "--callback", "pgae"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "http://b/: refused: task.process.callback: the script of p has no method pgae"
    assert said[1].startswith("1 line: 0 accepted")
