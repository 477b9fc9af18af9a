"""The reaper kills who is due, when it is due, and sees who is back; on a family that looks like `crawlkit all`."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from crawlkit.proving.kills import Kill
from crawlkit.proving.reaper import Reaper, members
from tests.e2e.commands import until

#: Starts children that are called by its arguments, `processor` with a zygote and two workers; and again who dies.
SUPERVISOR = """
import subprocess, sys, threading
LEAF = "import sys; print(1, flush=True); sys.stdin.read()"
ZYGOTE = "import subprocess, sys; LEAF = " + repr(LEAF) + '''
subprocess.Popen([sys.executable, "-c", LEAF, "w"]); subprocess.Popen([sys.executable, "-c", LEAF, "w"])
sys.stdin.read()'''
PROCESSOR = "import subprocess, sys; ZYGOTE = " + repr(ZYGOTE) + '''
subprocess.Popen([sys.executable, "-c", ZYGOTE, "zygote"]); sys.stdin.read()'''
def keep(role):
    while True:
        text = PROCESSOR if role == "processor" else LEAF
        subprocess.Popen([sys.executable, "-c", text, role], start_new_session=True).wait()
for role in sys.argv[1:]:
    threading.Thread(target=keep, args=(role,), daemon=True).start()
sys.stdin.read()
"""


@pytest.fixture
def root() -> Iterator[psutil.Process]:
    roles = ["scheduler", "fetcher", "fetcher", "processor", "worker"]
    command = [sys.executable, "-c", SUPERVISOR, *roles]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        family = psutil.Process(process.pid)
        until(lambda: [len(pids) for pids in members(family).values()] == [1, 2, 1, 0, 2], 20, "all of it runs")
        yield family
        below = family.children(recursive=True)
        process.kill()
        for one in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def test_each_is_killed_at_its_request_and_seen_again(root: psutil.Process) -> None:
    before = members(root)
    plan = [Kill(3, "fetcher", 3), Kill(4, "worker", 0), Kill(5, "processor", 9)]
    reaper = Reaper(root, plan)
    for number in (1, 2):
        reaper.on_request(number)
    assert reaper.blows == []
    assert members(root) == before
    for number in (3, 4, 5, 6):
        reaper.on_request(number)
    assert [(blow.part, blow.request, blow.pid) for blow in reaper.blows] == [
        ("fetcher", 3, before["fetcher"][1]),
        ("worker", 4, before["worker"][0]),
        ("processor", 5, before["processor"][0]),
    ]
    until(lambda: reaper.look() is None and all(blow.returned for blow in reaper.blows), 20, "all are back")
    after = members(root)
    assert after["scheduler"] == before["scheduler"]
    assert before["fetcher"][0] in after["fetcher"]
    assert not set(after["processor"] + after["worker"]) & {blow.pid for blow in reaper.blows}


def test_who_is_not_there_is_killed_at_a_later_request(root: psutil.Process) -> None:
    reaper = Reaper(root, [Kill(1, "result_worker", 0), Kill(2, "scheduler", 0)])
    for number in range(1, 5):
        reaper.on_request(number)
    assert reaper.blows == []
    scheduler = members(root)["scheduler"]
    twice = Reaper(root, [Kill(1, "scheduler", 0), Kill(2, "scheduler", 0)])
    twice.on_request(3)
    assert [(blow.request, blow.pid) for blow in twice.blows] == [(3, scheduler[0])]
    until(lambda: members(root)["scheduler"] not in (scheduler, []), 20, "it is back")
    twice.on_request(9)
    assert [blow.request for blow in twice.blows] == [3, 9]
