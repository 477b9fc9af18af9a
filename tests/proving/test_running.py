"""A crawlkit all that ends with whoever started it, and says why it did not start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from crawlkit.libs.errors import CrawlkitError, UsageError
from crawlkit.proving import running as module
from crawlkit.proving.running import Running
from tests.cli.site import environment
from tests.e2e.commands import ROOT, until

ENV = {"PYTHONPATH": str(ROOT), "CRAWLKIT_DATA_PATH": "d", "CRAWLKIT_SCHEDULER_XMLRPC_PORT": "0"}


def fake(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Another program in place of ``crawlkit all``."""
    monkeypatch.setattr(module, "ALL", (sys.executable, "-c", code))


def test_what_it_cannot_do_is_said_in_its_own_words(tmp_path: Path) -> None:
    running = Running(tmp_path, environment({**ENV, "CRAWLKIT_DATABASE": "sqlite:///x.db"}))
    try:
        with pytest.raises(UsageError, match=r"^--database: sqlite cannot stand for every database"):
            running.wait_ready()
    finally:
        running.stop()


def test_one_that_dies_or_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = "print('2026-01-02 03:04:05 W crawlkit: bad luck', flush=True)\n" * 2
    fake(monkeypatch, f"{log}import os; os.kill(os.getpid(), 9)")
    running = Running(tmp_path, environment(ENV))
    with pytest.raises(CrawlkitError, match="not ready: it ended with code -9"):
        running.wait_ready()
    running.stop()
    assert running.tail().count("bad luck") == 2
    fake(monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr(module, "READY_WITHIN", 0.1)
    running = Running(tmp_path, environment(ENV))
    with pytest.raises(CrawlkitError, match=r"not within 0\.1 s"):
        running.wait_ready()
    running.stop()


def test_one_that_does_not_obey_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_WITHIN", 0.2)
    fake(
        monkeypatch,
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready:', flush=True); time.sleep(60)",
    )
    running = Running(tmp_path, environment(ENV))
    running.wait_ready()
    running.stop()
    assert running.process.returncode == -9
    running.stop()  # there is nothing to do


def test_it_does_not_outlive_whoever_started_it(tmp_path: Path) -> None:
    code = f"""
import os, time
from pathlib import Path
from crawlkit.proving.running import Running
running = Running(Path({str(tmp_path)!r}), {environment(ENV)!r})
running.wait_ready()
print("ready", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        below = psutil.Process(process.pid).children(recursive=True)
        assert len(below) > 4
        os.kill(process.pid, 9)
    until(lambda: not any(one.is_running() for one in below), 10, "nothing of it is left")
