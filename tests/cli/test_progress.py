"""What a crawl shows of itself: the figures, the bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crawlkit.cli.progress import Figures, Lines, Speed, clock_of, make
from tests.cli.site import PAGES, ROOT, Site, environment, script


def test_a_line_every_ten_seconds() -> None:
    said: list[str] = []
    shown = make(said.append, terminal=False)
    assert isinstance(shown, Lines)
    for elapsed in (0.1, 9.9, 10.0, 10.3, 19.9, 34.0, 39.9, 40.0):
        shown.show(Figures(done=1234, failed=5, waiting=678, speed=12.34, elapsed=elapsed))
    shown.close()
    assert said == [
        f"done 1,234  failed 5  waiting 678  12.3 pages/s  {clock}" for clock in ("0:00:10", "0:00:34", "0:00:40")
    ]


@pytest.mark.parametrize(("seconds", "text"), [(0.9, "0:00:00"), (61, "0:01:01"), (3 * 3600 + 5, "3:00:05")])
def test_elapsed_time(seconds: float, text: str) -> None:
    assert clock_of(seconds) == text


def test_speed_is_of_the_last_seconds() -> None:
    speed = Speed(window=5)
    assert speed.add(0, 0) == 0
    assert speed.add(1, 10) == 10
    for second in range(2, 20):
        latest = speed.add(second, 10 + 100 * (second - 1))
    assert latest == 100


def terminal(command: list[str], cwd: Path) -> tuple[str, int]:
    """What a terminal of 100 columns gets to see when stdout and stderr are it."""
    top, bottom = pty.openpty()
    env = environment({"COLUMNS": "100", "TERM": "xterm"})
    with subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=bottom, stderr=bottom) as process:
        os.close(bottom)
        seen = b""
        while True:
            try:
                piece = os.read(top, 65536)
            except OSError:  # Linux says EIO when the last writer is gone
                break
            if not piece:
                break
            seen += piece
    os.close(top)
    return seen.decode(), process.returncode


def test_results_and_a_bar_share_a_terminal(site: Site, tmp_path: Path) -> None:
    script(tmp_path, f"self.crawl('{site.base}/', callback=self.page)")
    seen, code = terminal([sys.executable, str(ROOT / "run.py"), "one", "job.py", "--rate", "20"], tmp_path)
    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\x1b", seen).replace("\x1b", "")
    assert re.search(r"done \d+  failed 0  waiting \d+  [\d.]+ pages/s  0:00:0\d", plain)
    whole = [line for line in re.split(r"[\r\n]+", plain) if line.startswith('{"taskid":') and line.endswith("}")]
    assert len(whole) == PAGES + 1  # no line of results was mixed up with the bar
    assert f"done {PAGES + 1} pages, failed 0, waiting 0 in" in plain
