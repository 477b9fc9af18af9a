"""Scripts that do harm, in the debugger: each ends, and the next step is served as if nothing had been."""

from __future__ import annotations

import time

import pytest

from crawlkit.webui.debug.engine import Debugger
from tests.processor.hostile import HOSTILE, Hostile

from .conftest import HEAD, ME, until

CHOSEN = (
    "endless loop", "endless loop that catches all", "endless loop in C", "SIGALRM ignored", "50 GB list", "os._exit",
    "os.abort", "becomes another program", "kills itself", "sys.exit", "KeyboardInterrupt", "forks",
    "forks into sessions of their own",
)  # fmt: skip
OWN = {
    "endless results": Hostile("while True: yield {'a': 'x' * 10_000}", ("time_limit",)),
    "endless prints": Hostile("while True: print('x' * 100_000)", ("time_limit",)),
    "one huge result": Hostile("return 'x' * 30_000_000", ("result", "memory_limit", "exception")),
    "a huge log": Hostile("print('x' * 50_000_000)\nreturn 1", (), ok=True),
    "closes its pipe": Hostile("import os\nos.closerange(3, 50)\nwhile True: pass", ("worker_died", "time_limit")),
    "writes into its pipe": Hostile(
        "import os\nfor fd in range(3, 50):\n    try: os.write(fd, b'\\xff' * 100_000)\n    except OSError: pass\n"
        "while True: pass",
        ("worker_died", "time_limit"),
    ),
}


@pytest.mark.parametrize("name", [*CHOSEN, *OWN])
def test_hostile(debugger: Debugger, name: str) -> None:
    hostile = OWN.get(name) or HOSTILE[name]
    body = "".join(f"        {line}\n" for line in hostile.body.splitlines())
    text = f"{hostile.before}{HEAD}    def page(self, response):\n{body}"
    task = {"url": "data:,x", "process": {"callback": "page"}}
    began = time.monotonic()
    state = debugger.step(ME, "shop", task, script=text, time_limit=0.5, wait=15)
    assert state["state"] == "done"
    assert time.monotonic() - began < hostile.seconds + 4
    answer = state["answer"]
    assert answer["ok"] is hostile.ok, answer["error"]
    if not hostile.ok:
        assert answer["error"]["kind"] in hostile.reasons, answer["error"]
        assert hostile.says in answer["error"]["message"] or answer["error"]["kind"] == "time_limit"
    assert len(answer["logs"]) <= 110_000
    until(lambda: len(debugger.pids()) <= 1)  # only the zygote is left
    plain = f"{HEAD}    def page(self, response):\n        return 1\n"
    again = debugger.step(ME, "shop", task, script=plain, wait=10)
    assert again["answer"]["results"] == [1]


def test_a_script_that_kills_what_it_was_forked_from(debugger: Debugger) -> None:
    """Its own run ends, and the next one gets a new process to be forked from."""
    task = {"url": "data:,x", "process": {"callback": "page"}}
    plain = f"{HEAD}    def page(self, response):\n        return 1\n"
    debugger.step(ME, "shop", task, script=plain, wait=10)
    body = "import os\n        os.kill(os.getppid(), 9)\n        while True: pass\n"
    kills = f"{HEAD}    def page(self, response):\n        {body}"
    state = debugger.step(ME, "shop", task, script=kills, wait=10)
    assert (state["state"], state["answer"]["ok"]) == ("done", False)
    again = debugger.step(ME, "shop", task, script=plain, wait=20)
    assert again["answer"]["results"] == [1]
