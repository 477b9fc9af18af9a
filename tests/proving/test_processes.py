"""CPU and memory of processes, and which component each of them is."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from crawlkit.proving import processes
from crawlkit.proving.processes import Memory, by_part, cpu, family, memory, part_of, server_at
from tests.servers import free_port

BURN = "import time\nwhile time.process_time() < 0.15: pass\n"
SAYS = "print('there', flush=True)\nimport time\ntime.sleep(60)\n"


@contextmanager
def running(code: str, *words: str) -> Iterator[psutil.Process]:
    """A Python that runs ``code`` and says then that it is there."""
    process = subprocess.Popen([sys.executable, "-c", code + SAYS, *words], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.communicate()


def test_the_children_that_ended_are_on_the_bill() -> None:
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])\n"
    with running(code) as process:
        assert 0.14 <= cpu([process]) < 3
        assert 0.14 <= cpu([process, process]) < 3  # once
    assert cpu([process]) == 0.0
    assert family(process) == []


@pytest.mark.parametrize(
    ("words", "part"),
    [(["-m", "crawlkit", "all"], "queues"), (["-m", "crawlkit", "scheduler"], "scheduler"),
     (["crawlkit.processor.zygote"], "processor"), (["-m", "crawlkit", "result_worker"], "result_worker"),
     (["crawlkit", "webui"], "other")],
)  # fmt: skip
def test_which_component_a_process_is(words: list[str], part: str) -> None:
    with running(BURN, *words) as process:
        assert part_of(process) == part
        assert by_part([process, process])[part] >= 0.25


def test_a_process_that_ended_is_no_component() -> None:
    with running("") as process:
        pass
    assert part_of(process) == "other"
    assert by_part([process]) == {}


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads /proc")
def test_memory_is_looked_at_until_it_is_enough() -> None:
    with running("kept = b'x' * 50_000_000\n") as process:
        proportional, resident = memory([process.pid])
        assert 50_000_000 < proportional <= resident
        watch = Memory(lambda: family(process))
        watch.start()
        deadline = time.monotonic() + 10
        while not watch.curve and time.monotonic() < deadline:
            time.sleep(0.02)
        watch.stop()
        assert watch.peak() > 50_000_000
        seen = len(watch.curve)
    assert not watch.is_alive()
    assert len(watch.curve) == seen


def test_memory_that_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processes, "Path", lambda _: tmp_path / "nothing")
    assert memory([psutil.Process().pid]) == (0, 0)
    assert Memory(list).peak() == 0


def test_the_server_of_a_url() -> None:
    port = free_port()
    code = f"import socket\nserver = socket.create_server(('127.0.0.1', {port}))\n"
    with running(code) as process:
        assert [one.pid for one in server_at(f"redis://:secret@127.0.0.1:{port}/0?prefix=x")] == [process.pid]
    for url in (f"redis://127.0.0.1:{port}", "", "sqlite:////a/file.db", "redis://h:99999"):
        assert server_at(url) == []
