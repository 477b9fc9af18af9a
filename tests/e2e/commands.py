"""Runs the command line as a user does: in a process group of its own, in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from tests import forked

ROOT = Path(__file__).parents[2]
RUN = [sys.executable, str(ROOT / "run.py")]
MANUAL = ROOT / "examples" / "postgres_manual.py"


def environment(site: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The test's environment without settings of crawlkit's own, and the address of the site."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CRAWLKIT_")}
    return {**kept, "POSTGRES_MANUAL_URL": site + "index.html", **(extra or {})}


class Crawl:
    """A running ``crawlkit``; what it says is added to said.txt in its folder."""

    def __init__(self, arguments: list[str], cwd: Path, env: Mapping[str, str]) -> None:
        self.log = cwd / "said.txt"
        self.mark = f"LC_E2E_MARK={uuid.uuid4()}"  # of those that processes keep which start anew
        name, value = self.mark.split("=")
        with self.log.open("ab") as said:
            self.process = subprocess.Popen(
                [*RUN, *arguments],
                cwd=cwd,
                env={**env, name: value},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    @property
    def group(self) -> int:
        return self.process.pid

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """All that live and were started by this command, also those that moved to another group."""
        found = []
        for process in psutil.process_iter():
            try:
                environ = Path(f"/proc/{process.pid}/environ").read_bytes()
                if self.mark.encode() in environ and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (OSError, psutil.NoSuchProcess):
                continue  # it ended while we looked
        return found

    def wait(self, timeout: float) -> int:
        """The exit code; a crawl that does not end fails the test with what it said last."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end after {timeout} s; it said\n{self.said[-3000:]}") from None

    def kill(self) -> None:
        """SIGKILL to the whole group; waits until nothing of it is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)
        self.process.wait(10)
        until(lambda: not self.processes(), 10, "nothing that the command started is left")

    def __enter__(self) -> Crawl:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it without a grace; nothing of it is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)
        self.process.wait()
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def until(condition: Callable[[], Any], timeout: float, what: str) -> float:
    """Waits for a condition; returns how long that took."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > timeout:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - start


def is_over(audit: str) -> bool:
    """Whether nothing waits and nothing is on its way, by what ``crawlkit audit --json`` says of a project."""
    return bool(re.search(r'"waiting": 0\b', audit) and re.search(r'"leased": 0\b', audit))


def run(
    arguments: list[str], cwd: Path, env: Mapping[str, str], timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    if forked.fits(arguments, env):
        return forked.run(arguments, cwd, env, timeout)
    return subprocess.run(RUN + arguments, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout)  # fmt: skip


def results(file: Path) -> dict[str, Any]:
    """url -> result of a file of JSON lines; fails when a URL is in it twice or a line is not whole."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert all(set(line) == {"taskid", "project", "url", "result", "updatetime"} for line in lines)
    twice = [url for url, n in Counter(line["url"] for line in lines).items() if n > 1]
    assert not twice, f"{len(twice)} results came twice, the first is {twice[0]}"
    return {line["url"]: line["result"] for line in lines}
