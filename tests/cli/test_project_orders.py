"""``crawlkit project clear|retry|restart|pause|resume`` against a real scheduler, and the audit after each."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from crawlkit import wiring
from crawlkit.cli import cli
from crawlkit.libs.errors import InvalidProject, UsageError
from crawlkit.libs.messages import Dispatch, Outcome, TrackFetch
from crawlkit.libs.rows import ProjectRow, Queue, TaskRow, Writes
from crawlkit.libs.task import Status
from crawlkit.scheduler.control import ControlServer
from crawlkit.settings import Settings
from tests.scheduler.rig import Rig, outcome_of, running, task
from tests.webui.servers import everything, until


class Ring:
    """A scheduler on stores in a data path; pages of ``/bad`` fail, those of ``/held`` never come back."""

    def __init__(self, data_path: Path) -> None:
        self.data_path = data_path
        self.ready, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def answer(self, dispatch: Dispatch) -> Outcome | None:
        if "/held" in dispatch.url:
            return None
        ok = "/bad" not in dispatch.url
        return outcome_of(dispatch, ok, fetch=TrackFetch(ok=ok, status_code=200 if ok else 503))

    async def _run(self) -> None:
        with wiring.open_stores(Settings(data_path=self.data_path), create=True) as stores:
            rig = Rig(self.answer, taskdb=stores.taskdb)
            rig.projectdb = rig.engine.projectdb = stores.projectdb  # type: ignore[assignment]
            rig.project()
            async with running(rig):
                server = ControlServer(rig.service)
                server.start()
                server.publish(self.data_path)
                self.ready.set()
                await asyncio.to_thread(self.over.wait)
                await server.stop()


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Path]:
    one = Ring(tmp_path)
    one.thread.start()
    assert one.ready.wait(10)
    yield tmp_path
    one.over.set()
    one.thread.join(10)


def run(path: Path, *words: str) -> str:
    result = CliRunner().invoke(cli, ["--data-path", str(path), *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_orders(ring: Path) -> None:
    client = wiring.control_client(Settings(data_path=ring))
    seen = lambda: client.summary()["projects"]["p"]  # noqa: E731
    once = {"schedule": {"retries": 0}}
    assert "paused; 0 tasks" in run(ring, "project", "pause", "p")
    client.submit([task(f"http://h/{n}") for n in range(30)])
    assert "paused by hand" in run(ring, "project", "show", "p")
    assert "RUNNING (paused)" in run(ring, "project", "list")
    assert "30 waiting tasks leave" in run(ring, "project", "clear", "p", "--yes")
    until(lambda: seen()["waiting"] == 0)
    assert "runs again" in run(ring, "project", "resume", "p")
    assert "paused" not in run(ring, "project", "list")
    client.submit([task(f"http://h/bad{n}", **once) for n in range(3)])
    until(lambda: seen()["failed"] == 3)
    assert "2 failed tasks" not in run(ring, "project", "retry", "p", "--reason", "http_404")
    assert "3 failed tasks run again" in run(ring, "project", "retry", "p", "--reason", "http_503")
    until(lambda: seen()["failed"] == 6)
    assert "begins anew: " in run(ring, "project", "restart", "p", "--yes")
    until(lambda: seen()["waiting"] + seen()["leased"] == 0)
    with wiring.open_stores(Settings(data_path=ring), ("taskdb",)) as stores:
        on_start = stores.taskdb.get("p", "on_start")
    assert on_start is not None
    with pytest.raises(UsageError, match="no project 'q'"):
        run(ring, "project", "clear", "q", "--yes")
    run(ring, "audit")


def test_the_count_comes_first_and_no_means_no(ring: Path) -> None:
    client = wiring.control_client(Settings(data_path=ring))
    client.order("p", "pause")
    client.submit([task(f"http://h/{n}") for n in range(5)])
    result = CliRunner().invoke(cli, ["--data-path", str(ring), "project", "clear", "p"], input="n\n")
    assert "let 5 waiting tasks of project p go?" in result.output
    assert result.exit_code == 1
    with pytest.raises(UsageError, match="nobody is there to answer: say --yes"):
        CliRunner().invoke(
            cli, ["--data-path", str(ring), "project", "clear", "p"], standalone_mode=False, catch_exceptions=False
        )
    assert client.count_action("p", "clear") == {"tasks": 5, "leased": 0}
    assert client.count_action("p", "restart") == {"tasks": 5, "leased": 0}
    assert client.cancel_tasks("p", ["http://h/1"])[0]["verdict"] == "cancel"
    assert client.rerun_tasks("p", ["http://h/1", "none"])[1]["accepted"] is False


def test_a_dry_run_counts_and_touches_nothing(ring: Path) -> None:
    client = wiring.control_client(Settings(data_path=ring))
    client.submit([task("http://h/bad", schedule={"retries": 0}), task("http://h/good")])
    until(lambda: client.summary()["projects"]["p"]["failed"] == 1)
    run(ring, "project", "pause", "p")
    client.submit([task(f"http://h/{n}") for n in range(5)])
    for verb, words in (
        ("clear", "5 waiting tasks would leave; 0 are on their way"),
        ("retry", "1 failed tasks would run again"),
        ("retry-failed", "1 failed tasks would run again"),
        ("restart", " tasks would count as never seen, then on_start would run"),
        ("pause", "5 waiting tasks would be held"),
        ("resume", "5 waiting tasks could go on"),
    ):
        assert words in run(ring, "project", verb, "p", "--dry-run")
    seen = client.summary()["projects"]["p"]
    assert (seen["waiting"], seen["failed"], seen["paused"]) == (5, 1, "held")
    with pytest.raises(UsageError, match="no project 'q'"):
        run(ring, "project", "clear", "q", "--dry-run")
    assert "1 failed tasks run again" in run(ring, "project", "retry-failed", "p")


def test_limits_are_set_seen_and_hold_at_once(ring: Path) -> None:
    client = wiring.control_client(Settings(data_path=ring))
    said = run(ring, "project", "set", "p", "--limit", "max_tasks=1", "--limit", "exclude=*/print/*")
    assert said == "project p: limits: exclude */print/*, max_tasks 1\n"
    until(lambda: client.dashboard()["projects"]["p"]["limits"])
    verdicts = client.submit([task(f"http://h/{name}") for name in ("print/1", "a", "b")])
    assert [one["accepted"] for one in verdicts] == [False, True, False]
    shown = run(ring, "project", "show", "p")
    assert "limits   exclude */print/*, max_tasks 1" in shown
    assert "refused  1: exclude 1" in shown
    assert "refused  1: max_tasks" in shown
    until(lambda: client.dashboard()["projects"]["p"]["refused"] == {"exclude 1": 1, "max_tasks": 1})
    assert "none of its own" in run(ring, "project", "set", "p", "--limit", "max_tasks=default",
                                    "--limit", "exclude=default")  # fmt: skip
    for words in (("--limit", "max_tasks"), ("key", "--limit", "max_tasks=1"), ("--limit", "max_deph=1")):
        result = CliRunner().invoke(cli, ["--data-path", str(ring), "project", "set", "p", *words])
        assert isinstance(result.exception, UsageError | InvalidProject)
    run(ring, "audit")


def test_a_kill_in_the_middle_of_each_order_loses_nothing(tmp_path: Path) -> None:
    """SIGKILL to the scheduler of a real ``crawlkit all`` while an order is carried out; the next one finishes it."""
    path = tmp_path / "data"
    settings = Settings(data_path=path)
    with wiring.open_stores(settings, create=True) as stores:
        stores.projectdb.put(ProjectRow("p", status="STOP", script="#"))
        rows = [TaskRow("p", f"{n:05}", f"http://h/{n}", queue=Queue.READY, seq=n + 1) for n in range(12_000)]
        failed = [
            TaskRow("p", f"f{n:05}", f"http://h/f{n}", status=Status.FAILED, seq=n + 20_000) for n in range(6_000)
        ]
        ledger = {("p", "accepted", "submit"): 18_000, ("p", "failed", "http_500"): 6_000}
        stores.taskdb.commit(Writes(insert=[*rows, *failed], ledger=ledger))
    with everything(path):
        for order, left in (("clear", 0), ("retry_failed", 6_000), ("drop", None)):
            kill_in_the_middle(path, order)
            run(path, "audit")
            seen = wiring.control_client(settings).dashboard()["projects"]
            assert seen == {} if left is None else seen["p"]["waiting"] == left
            if order == "clear":
                assert count(settings) == 6_000


def kill_in_the_middle(path: Path, order: str) -> None:
    settings = Settings(data_path=path)
    client = wiring.control_client(settings)
    before = json.loads((path / "scheduler.json").read_text())["pid"]
    if order == "drop":
        client.drop_project("p")
    else:
        client.order("p", order)
    os.kill(before, signal.SIGKILL)
    run(path, "audit")
    until(lambda: new_pid(path) not in (None, before), 30)
    fresh = wiring.control_client(settings)
    until(lambda: fresh.dashboard()["loaded"])
    if order == "drop":
        until(lambda: count(settings) == 0, 30)
    else:
        until(lambda: fresh.dashboard()["projects"]["p"]["action"] is None, 30)


def new_pid(path: Path) -> int | None:
    try:
        pid: int = json.loads((path / "scheduler.json").read_text())["pid"]
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid


def count(settings: Settings) -> int:
    with wiring.open_stores(settings, ("taskdb",)) as stores:
        return stores.taskdb.count("p")
