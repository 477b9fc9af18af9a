"""Twelve hostile callbacks in one project, an honest one beside it at a fixed rate: each costs its own task."""

from __future__ import annotations

import sqlite3
import textwrap
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.commands import environment, results, run
from tests.processor.hostile import HOSTILE

TWELVE = (
    "endless loop", "endless regex", "50 GB list", "os._exit", "sys.exit", "forks", "endless print", "1 GB result",
    "unserialisable result", "exception whose repr raises", "endless follow-ups", "changed world",
)  # fmt: skip
RATE = 20.0  # pages a second
BURST = 20  # so that a second in which the machine does other things is made up for, and a callback's time limit is not

NEIGHBOUR = f"""
# rate: {RATE}
# burst: {BURST}
import os
from crawlkit import BaseHandler

class Handler(BaseHandler):
    def on_start(self):
        for n in range(int(os.environ["PAGES"])):
            self.crawl(os.environ["SITE"] + str(n), callback=self.page)

    def page(self, response):
        return {{"length": len(response.content)}}
"""


def hostile_script() -> str:
    """One method per hostile callback, each tried once, its URL a data: URL of its name."""
    before = "".join(sorted({HOSTILE[name].before for name in TWELVE}))
    methods = []
    for number, name in enumerate(TWELVE):
        body = textwrap.indent(HOSTILE[name].body.replace("self.page", "self.grave"), " " * 8)
        methods.append(f"    def h{number}(self, response):\n{body}\n")
    start = "\n".join(
        f"        self.crawl('data:,{number}', callback=self.h{number}, retries=0)" for number in range(len(TWELVE))
    )
    head = (
        f"{before}\nfrom crawlkit import BaseHandler\n\nclass Handler(BaseHandler):\n    def on_start(self):\n{start}\n"
    )
    grave = "\n    def grave(self, response):\n        pass\n\n"
    # the endless follow-ups are kept, and not for today
    return (head + grave + "\n".join(methods)).replace("callback=self.grave)", "callback=self.grave, exetime=4e9)")


class Clocked(BaseHTTPRequestHandler):
    """Answers everything and notes when it was asked."""

    protocol_version = "HTTP/1.1"
    times: list[float] = []

    def do_GET(self) -> None:
        Clocked.times.append(time.monotonic())
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args: object) -> None:
        """The ledger is enough."""


@pytest.fixture
def clocked_site() -> Iterator[str]:
    Clocked.times = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Clocked)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("pages", [160, pytest.param(400, marks=pytest.mark.slow)])
@pytest.mark.timeout(200)
def test_hostile_callbacks_cost_their_own_task_and_no_neighbour(pages: int, clocked_site: str, tmp_path: Path) -> None:
    (tmp_path / "hostile.py").write_text(hostile_script())
    (tmp_path / "neighbour.py").write_text(NEIGHBOUR)
    env = environment(
        clocked_site, {"SITE": clocked_site, "PAGES": str(pages), "CRAWLKIT_PROCESSOR_PROCESS_TIME_LIMIT": "1"}
    )
    done = run(["one", "hostile.py", "neighbour.py", "-o", "out.jsonl", "--data-path", "d"], tmp_path, env, timeout=150)
    assert done.returncode == 1, done.stderr  # some tasks failed for good, and that is said
    found = results(tmp_path / "out.jsonl")
    assert sum(url.startswith(clocked_site) for url in found) == pages
    times = Clocked.times
    assert len(times) == pages  # nothing of the neighbour's was fetched twice
    rate = (pages - BURST) / (times[-1] - times[0])
    print(f"the neighbour had {rate:.1f} of {RATE:.0f} pages a second")
    assert rate >= 0.9 * RATE
    with sqlite3.connect(tmp_path / "d" / "task.db") as reader:
        query = (
            "select t.url, a.reason, a.process from attempts a join tasks t using (project, taskid)"
            " where project = 'hostile'"
        )
        urls = {url: (reason, track) for url, reason, track in reader.execute(query)}
    for number, name in enumerate(TWELVE):
        reason, track = urls[f"data:,{number}"]
        expected = HOSTILE[name]
        assert reason == "" if expected.ok else reason in expected.reasons, f"{name}: {reason!r}: {track}"
    audit = run(["--data-path", "d", "audit"], tmp_path, env)
    assert audit.returncode == 0, audit.stdout
