from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from crawlkit.supervisor import LIFELINE, Backoff, ChildSpec, Death, Supervisor, describe, die_with_parent

ROOT = Path(__file__).parents[1]
LONG = (
    "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True); signal.pause()"
)


def python(code: str, name: str = "child", **env: str) -> ChildSpec:
    return ChildSpec(name, [sys.executable, "-I", "-S", "-c", code], env)


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition never held"
        await asyncio.sleep(0.01)


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    asyncio.run(until(condition, seconds))


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def play(supervisor: Supervisor, scene) -> int:
    async def main() -> int:
        running = asyncio.create_task(supervisor.run(handle_signals=False))
        try:
            await scene()
        finally:
            supervisor.stop()
        return await running

    return asyncio.run(asyncio.wait_for(main(), 60))


def test_backoff_starts_at_once_and_doubles():
    backoff = Backoff(first=0.5, last=4, settled=10)
    assert [backoff.after(1) for _ in range(7)] == [0, 0.5, 1, 2, 4, 4, 4]


def test_a_long_life_makes_good():
    backoff = Backoff(first=0.5, settled=10)
    assert [backoff.after(uptime) for uptime in (1, 1, 1, 60, 1, 1)] == [0, 0.5, 1, 0, 0.5, 1]


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "ended with exit code 0"), (-9, "was killed by SIGKILL"), (-99, "was killed by signal 99")],
)
def test_a_death_in_words(code, words):
    assert describe(code) == words


def test_a_killed_child_is_back_within_a_second(caplog):
    deaths: list[Death] = []

    async def told(death: Death) -> None:
        deaths.append(death)

    supervisor = Supervisor([python(LONG, "a"), python(LONG, "b")], on_death=told)
    a, b = supervisor.status()

    async def scene() -> None:
        await until(lambda: a.pid is not None and b.pid is not None)
        first, other = a.pid, b.pid
        killed = time.monotonic()
        os.kill(first, signal.SIGKILL)
        await until(lambda: a.pid not in (None, first))
        assert time.monotonic() - killed < 1
        assert b.pid == other
        assert [(d.name, d.pid, d.returncode) for d in deaths] == [("a", first, -9)]
        assert (a.deaths, b.deaths) == (1, 0)

    with caplog.at_level(logging.WARNING):
        assert play(supervisor, scene) == 0
    assert len(caplog.records) == 1
    assert "was killed by SIGKILL" in caplog.text
    assert "starting it again at once" in caplog.text
    assert (a.pid, b.pid) == (None, None)


def test_a_crashing_child_is_started_less_and_less_often(tmp_path, caplog):
    marks = tmp_path / "marks"
    code = f"import time; open({str(marks)!r}, 'a').write(f'{{time.time()}}\\n'); raise SystemExit(1)"
    supervisor = Supervisor([python(code)], backoff=lambda: Backoff(first=0.2, last=0.4))

    async def scene() -> None:
        await until(lambda: supervisor.status()[0].deaths >= 5)

    with caplog.at_level(logging.WARNING):
        assert play(supervisor, scene) == 0
    times = [float(line) for line in marks.read_text().split()]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    for gap, least in zip(gaps, [0, 0.2, 0.4, 0.4], strict=False):
        assert gap >= least - 0.02
    assert len([r for r in caplog.records if "exit code 1" in r.message]) == supervisor.status()[0].deaths


def test_on_death_may_be_plain_and_may_fail(caplog):
    def told(_: Death) -> None:
        seen.append(1)

    async def fails(_: Death) -> None:
        raise RuntimeError("no broker")

    seen: list[int] = []
    for callback in (told, fails):
        supervisor = Supervisor([python("raise SystemExit(1)")], on_death=callback)

        async def scene(supervisor=supervisor) -> None:
            await until(lambda: supervisor.status()[0].deaths >= 2)

        assert play(supervisor, scene) == 0
    assert seen
    assert "no broker" in caplog.text


def test_who_cannot_start_stops_everything(caplog):
    supervisor = Supervisor([python(LONG, "good"), python("raise SystemExit(2)", "usage")])

    async def scene() -> None:
        await until(lambda: supervisor.exit_code == 2)

    assert play(supervisor, scene) == 2
    assert "usage cannot start" in caplog.text


def test_a_program_that_is_not_there(caplog):
    supervisor = Supervisor([ChildSpec("none", ["/no/such/program"])])

    async def scene() -> None:
        await until(lambda: supervisor.exit_code == 2)

    assert play(supervisor, scene) == 2
    assert "/no/such/program" in caplog.text


def test_a_usage_error_later_on_is_tried_again(tmp_path):
    code = (
        "import os, sys, time\n"
        f"mark = {str(tmp_path / 'mark')!r}\n"
        "sys.exit(2) if os.path.exists(mark) else open(mark, 'w').close()\n"
        "os.kill(os.getpid(), 9)"
    )
    supervisor = Supervisor([python(code)], backoff=lambda: Backoff(first=0.05, last=0.05))

    async def scene() -> None:
        await until(lambda: supervisor.status()[0].deaths >= 3)

    assert play(supervisor, scene) == 0


def test_the_environment_is_added_to(tmp_path):
    code = f"import os; open({str(tmp_path / 'x')!r}, 'w').write(os.environ['HOW'] + os.environ['PATH'][:1]); {LONG}"
    supervisor = Supervisor([python(code, HOW="so")])

    async def scene() -> None:
        await until(lambda: (tmp_path / "x").exists() and len((tmp_path / "x").read_text()) > 0)

    play(supervisor, scene)
    assert (tmp_path / "x").read_text() == "so" + os.environ["PATH"][:1]


def test_what_a_dead_child_leaves_behind_goes_too(tmp_path):
    mark = tmp_path / "pid"
    code = f"import os, time\npid = os.fork()\nif pid: open({str(mark)!r}, 'w').write(str(pid))\ntime.sleep(600)"
    supervisor = Supervisor([python(code)])

    async def scene() -> None:
        await until(lambda: mark.exists() and mark.read_text() != "")
        orphan = int(mark.read_text())
        os.kill(supervisor.status()[0].pid, signal.SIGKILL)
        await until(lambda: gone(orphan))

    play(supervisor, scene)


def test_two_children_of_one_name_are_refused():
    with pytest.raises(ValueError, match="same name"):
        Supervisor([python(LONG), python(LONG)])


def test_without_a_supervisor_nobody_watches_the_parent():
    assert not die_with_parent({})
    assert LIFELINE not in os.environ


class Parent:
    """A supervisor in a process of its own, with one child that ends when asked and one that does not."""

    def __init__(self, directory: Path, grace: float) -> None:
        self.notes = directory / "notes"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.supervised", "parent", str(directory)],
            cwd=ROOT,
            env={**os.environ, "GRACE": str(grace)},
            start_new_session=True,
        )
        wait_until(lambda: len(self.pids()) == 4)

    def pids(self) -> list[int]:
        """Children and grandchildren."""
        text = self.notes.read_text() if self.notes.exists() else ""
        return [int(pid) for line in text.splitlines() for pid in line.split()[1:]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_in_order(tmp_path, number):
    parent = Parent(tmp_path, grace=0.5)
    parent.process.send_signal(number)
    assert parent.process.wait(10) == 1  # one had to be killed
    assert all(gone(pid) for pid in parent.pids())


def test_a_second_signal_kills_at_once(tmp_path):
    parent = Parent(tmp_path, grace=60)
    parent.process.send_signal(signal.SIGINT)
    wait_until(lambda: any(gone(pid) for pid in parent.pids()))  # the good child has ended, the deaf one has not
    parent.process.send_signal(signal.SIGINT)
    parent.process.wait(5)
    assert all(gone(pid) for pid in parent.pids())


def test_nobody_outlives_a_killed_supervisor(tmp_path):
    parent = Parent(tmp_path, grace=60)
    os.kill(parent.process.pid, signal.SIGKILL)
    parent.process.wait()
    wait_until(lambda: all(gone(pid) for pid in parent.pids()), 2)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_child_is_ready_when_it_says_so_and_not_after_its_death():
    code = (
        "import os, signal, sys; sys.path.insert(0, os.environ['HOME_OF_CRAWLKIT']);"
        "from crawlkit.supervisor import tell_ready; signal.signal(signal.SIGUSR1, lambda *_: tell_ready());"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True)\n"
        "while True: signal.pause()"
    )
    child = ChildSpec("child", [sys.executable, "-c", code], {"HOME_OF_CRAWLKIT": str(ROOT)})
    supervisor = Supervisor([child])

    async def scene() -> None:
        await until(lambda: supervisor.status()[0].pid is not None)
        pid = supervisor.status()[0].pid or 0
        assert supervisor.unready() == ["child"]
        await until(lambda: any("SigCgt" in line and int(line.split()[1], 16) >> 9 & 1
                                for line in Path(f"/proc/{pid}/status").read_text().splitlines()))  # fmt: skip
        os.kill(pid, signal.SIGUSR1)
        await until(lambda: supervisor.unready() == [])
        os.kill(pid, signal.SIGKILL)
        await until(lambda: supervisor.unready() == ["child"])

    play(supervisor, scene)


ON_DEMAND = """
import os, socket
door = socket.socket(fileno=int(os.environ["CRAWLKIT_DOOR"]))
for _ in range(2):
    end, _ = door.accept()
    end.sendall(str(os.getpid()).encode())
    end.close()
"""


def test_a_child_with_a_door_is_started_when_somebody_knocks_and_again_after_its_end() -> None:
    """Two callers are served by one life of it, the third by a second one; who comes between them waits."""
    told: list[Death] = []
    door = socket.create_server(("127.0.0.1", 0))
    child = ChildSpec("door", [sys.executable, "-I", "-S", "-c", ON_DEMAND], door=door)
    supervisor = Supervisor([python(LONG), child], on_death=told.append)

    def call() -> str:
        with socket.create_connection(door.getsockname(), timeout=10) as end:
            return end.recv(100).decode()

    async def scene() -> None:
        await asyncio.sleep(0.3)  # time in which it must not start
        assert [one.pid is None for one in supervisor.status()] == [False, True]
        assert "door" not in supervisor.unready()
        seen = [await asyncio.to_thread(call) for _ in range(3)]
        assert seen[0] == seen[1] != seen[2]

    with door:
        assert play(supervisor, scene) == 0
    assert told == [], "an end with code 0 is no death"
