"""What a process uses of the machine."""

from __future__ import annotations

import subprocess
import sys
import time

from crawlkit.libs.vitals import Vitals


def test_memory_and_time_of_this_process() -> None:
    vitals = Vitals()
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    busy = vitals.look()
    assert busy["cpu"] > 20
    assert busy["rss"] > 2**20
    assert "processes" not in busy
    time.sleep(0.05)
    assert vitals.look()["cpu"] < busy["cpu"]


def test_others_count_as_its_own_while_they_live() -> None:
    vitals = Vitals()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        both = vitals.look([child.pid])
        assert both["processes"] == 2
        assert both["rss"] > vitals.look()["rss"]
        assert child.stdin is not None
        child.stdin.close()
    assert vitals.look([child.pid]).get("processes", 1) == 1
