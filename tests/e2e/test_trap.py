"""A calendar of endless links beside an honest project: bounded, counted, and nobody else's trouble."""

from __future__ import annotations

import http.server
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from crawlkit import wiring
from crawlkit.libs.rows import ProjectRow
from crawlkit.scheduler.books import compare
from crawlkit.scheduler.control import ControlClient
from crawlkit.settings import Settings
from tests.cli.site import crawlkit, until
from tests.cli.test_all import everything

LINKS = 40
HANDLER = """
from crawlkit import BaseHandler

class Handler(BaseHandler):
    crawl_config = {CONFIG}

    def on_start(self):
        self.crawl("{BASE}", callback=self.page)

    def page(self, response):
        for link in response.css("a::attr(href)").getall():
            self.crawl(response.urljoin(link), callback=self.page)
        return {{"url": response.url}}
"""
BOUNDS = {"max_depth": 6, "max_repeats": 2, "exclude": ["*/print/*"], "max_url_length": 200}


class Calendar(http.server.ThreadingHTTPServer):
    """``/calendar/...`` leads to ever more of itself; ``/honest/N`` to the next pages of an end."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, honest: int) -> None:
        self.honest = honest
        self.asked: dict[str, int] = {}
        super().__init__(("127.0.0.1", 0), _Page)
        self.base = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was stopped resets its connections: nothing to tell."""

    def links(self, path: str) -> list[str]:
        if path.startswith("/honest/"):
            number = int(path.rpartition("/")[2])
            return [f"/honest/{n}" for n in (2 * number + 1, 2 * number + 2) if n < self.honest]
        where = path.rstrip("/")
        months = [f"{where}/m{n}" for n in range(LINKS - 3)]
        return [*months, f"{where}/same/same/same", f"{where}/print/1", "/calendar/" + "x" * 250]


class _Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Calendar

    def do_GET(self) -> None:
        asked = self.server.asked
        kind = self.path.split("/")[1]
        asked[kind] = asked.get(kind, 0) + 1
        body = "".join(f'<a href="{link}">x</a>' for link in self.server.links(self.path)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def calendar(request: pytest.FixtureRequest) -> Iterator[Calendar]:
    site = Calendar(request.param)
    yield site
    site.shutdown()
    site.server_close()


def put(folder: Path, client: ControlClient, name: str, config: object, base: str, rate: int) -> None:
    script = HANDLER.format(CONFIG=config, BASE=base)
    with wiring.open_stores(Settings(data_path=folder / "d"), ("projectdb",)) as stores:
        stores.projectdb.put(ProjectRow(name, status="RUNNING", script=script, rate=rate, burst=5, rate_set=True))
    client.update_project()
    assert client.run(name)["accepted"]


def watch(
    folder: Path, calendar: Calendar, seconds: float, rate: int, *, least: int, most: int
) -> dict[str, list[float]]:
    """Both projects run; returns what was measured each second: MB of the scheduler and of all, honest pages."""
    seen: dict[str, list[float]] = {"scheduler": [], "all": [], "honest": [], "trap": []}
    with everything(folder, web=False) as top:
        client = wiring.control_client(Settings(data_path=folder / "d"))
        put(folder, client, "trap", {"bounds": {**BOUNDS, "max_tasks_per_host": most}}, f"{calendar.base}/calendar", 60)
        put(folder, client, "honest", {}, f"{calendar.base}/honest/0", rate)
        scheduler = psutil.Process(json.loads((folder / "d" / "scheduler.json").read_text())["pid"])
        end = time.monotonic() + seconds
        while time.monotonic() < end or calendar.asked.get("honest", 0) < least:
            assert time.monotonic() < end + 30, (calendar.asked, client.summary()["projects"])
            time.sleep(min(1.0, seconds / 10))
            tree = [top, *top.children(recursive=True)]
            seen["scheduler"].append(scheduler.memory_info().rss / 2**20)
            seen["all"].append(sum(one.memory_info().rss for one in tree if one.is_running()) / 2**20)
            seen["honest"].append(calendar.asked.get("honest", 0))
            seen["trap"].append(calendar.asked.get("calendar", 0))
        until(lambda: client.dashboard()["projects"]["trap"]["refused"], "what it says of refusals")
        client.order("trap", "pause")
        shown = crawlkit("project", "show", "trap", "--data-path", "d", cwd=folder).stdout
    print(f"{seconds:g} s: {shown}", {name: values[:: max(1, len(values) // 12)] for name, values in seen.items()})
    refused = dict(re.findall(r"^refused  [\d,]+: (\S+.*)()$", shown, re.MULTILINE))
    assert {"max_repeats", "exclude 1", "max_url_length"} <= set(refused), shown
    return seen


def balanced(folder: Path) -> dict[str, int]:
    """What the trap refused, by reason; every project's books balance."""
    with wiring.open_stores(Settings(data_path=folder / "d"), ("taskdb",)) as stores:
        for name in ("trap", "honest"):
            report = compare(name, stores.taskdb.ledger(), stores.taskdb.books(name))
            assert report.balanced, report
        return {reason: n for (_, event, reason), n in stores.taskdb.ledger("trap").items() if event == "refused"}


@pytest.mark.parametrize("calendar", [60], indirect=True)
def test_a_trap_is_refused_by_reason_and_an_honest_project_is_through(calendar: Calendar, tmp_path: Path) -> None:
    seen = watch(tmp_path, calendar, 1.0, 60, least=60, most=200)
    refused = balanced(tmp_path)
    pages = seen["trap"][-1]
    assert pages >= 20
    assert min(refused["max_repeats"], refused["exclude 1"]) >= pages / 2
    assert refused["max_tasks_per_host"] > 200


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("calendar", [10**9], indirect=True)
def test_memory_is_flat_and_the_honest_project_unhurt_while_a_trap_is_crawled(
    calendar: Calendar, tmp_path: Path
) -> None:
    """Ten minutes, or CRAWLKIT_TEST_TRAP_SECONDS."""
    seconds = float(os.environ.get("CRAWLKIT_TEST_TRAP_SECONDS", "600"))
    seen = watch(tmp_path, calendar, seconds, 20, least=0, most=int(70 * seconds))
    refused = balanced(tmp_path)
    pages = seen["trap"][-1]
    print(f"{pages:.0f} pages of the trap, refused {refused}")
    assert refused["max_repeats"] >= pages * 0.9
    assert refused["max_tasks_per_host"] >= pages * 10
    third = len(seen["scheduler"]) // 3
    for name in ("scheduler", "all"):
        first, last = seen[name][third : 2 * third], seen[name][2 * third :]
        assert max(last) <= max(first) * 1.1 + 10, (name, seen[name])
    spent = len(seen["honest"]) - third
    speed = (seen["honest"][-1] - seen["honest"][third]) / (seconds * spent / len(seen["honest"]))
    assert speed >= 20 * 0.9, (speed, seen["honest"])
