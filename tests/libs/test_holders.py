"""Whether a process of this machine is gone."""

from __future__ import annotations

import subprocess
import sys

import psutil

from crawlkit.libs.holders import has_ended, machine, own_process


def test_a_process_lives_until_it_ends() -> None:
    pid, began = own_process()
    assert not has_ended(pid, began)
    assert has_ended(pid, began - 100)  # another one had that pid
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    born = psutil.Process(child.pid).create_time()
    assert not has_ended(child.pid, born)
    child.kill()
    child.wait()
    assert has_ended(child.pid, born)


def test_the_machine_has_a_name() -> None:
    assert machine() == machine() != ""
