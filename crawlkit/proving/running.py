"""A ``crawlkit all`` in a folder of its own, as a process that ends with this one, whatever happens to it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from crawlkit.libs.errors import CrawlkitError, UsageError
from crawlkit.proving.processes import family
from crawlkit.supervisor import LIFELINE, USAGE

LOOK = 0.05  # seconds between two looks
READY_WITHIN = 60.0  # seconds
STOP_WITHIN = 15.0
GONE_WITHIN = 5.0
TAIL = 20  # lines of the log that are shown
ALL = (sys.executable, "-P", "-m", "crawlkit", "all", "--no-webui", "--no-browser")


class Running:
    """``env`` is its whole environment. ``by``: a command that runs it, to which the lifeline is not handed on."""

    def __init__(
        self, folder: Path, env: Mapping[str, str], options: Sequence[str] = (), by: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.env = dict(env)
        self.log = folder / "said.txt"
        ours, self._lifeline = os.pipe()
        passed = () if by else (ours,)
        lifeline = {} if by else {LIFELINE: str(ours)}
        try:
            with self.log.open("ab") as said:
                # A session of its own: Ctrl-C is for who measures.
                self.process = subprocess.Popen([*by, *ALL, *options], env=self.env | lifeline, cwd=folder, stdout=said,
                                                stderr=said, stdin=subprocess.DEVNULL, start_new_session=True,
                                                pass_fds=passed)  # fmt: skip
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(ours)
        self.root = psutil.Process(self.process.pid)

    def wait_ready(self) -> None:
        """Until everything is ready; raises as :meth:`until`."""
        self.until(lambda: b"ready:" in self.log.read_bytes(), "crawlkit all is not ready", READY_WITHIN)

    def until(self, condition: Callable[[], bool], problem: str, seconds: float) -> None:
        """Waits for a condition. Raises :class:`UsageError` with its last words when it ended with exit code 2, and
        :class:`CrawlkitError` when it ended otherwise or ``seconds`` have passed."""
        deadline = time.monotonic() + seconds
        while not condition():
            code = self.process.poll()
            if code == USAGE:
                raise UsageError(self._last_words() or problem)
            if code is not None:
                raise CrawlkitError(f"{problem}: it ended with code {code}")
            if time.monotonic() > deadline:
                raise CrawlkitError(f"{problem}: not within {seconds:g} s")
            time.sleep(LOOK)

    def _last_words(self) -> str:
        """What the component that could not start said, else what the command said."""
        lines = self.log.read_text(errors="replace").splitlines()
        said = [line.removeprefix("crawlkit: ") for line in lines if line.startswith("crawlkit: ")]
        return said[-1] if said else ""

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL:])

    def troubles(self) -> list[str]:
        """The warnings and errors in its log, without their times, each once."""
        lines = self.log.read_text(errors="replace").splitlines()
        found = [match[1] for line in lines if (match := re.match(r"[-\d]+ [:\d]+ [WEC] (.*)", line))]
        return list(dict.fromkeys(found))

    def stop(self) -> None:
        """Ends it, and waits until nothing of it is left; in about 20 seconds at most."""
        below = family(self.root)[1:]
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_WITHIN)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self._lifeline)
        psutil.wait_procs(below, timeout=GONE_WITHIN)
