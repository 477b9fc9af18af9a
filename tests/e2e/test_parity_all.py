"""What pyspider's scripts meet under ``crawlkit all``, where projects change and rest while the rest runs on, by id."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawlkit import wiring
from crawlkit.scheduler.control import ControlClient
from crawlkit.settings import Settings
from tests.e2e.commands import Crawl, environment, run, until
from tests.e2e.parity_runs import crawl
from tests.e2e.parity_site import Site

RESTS = """
from pyspider.libs.base_handler import *


class Handler(BaseHandler):
    crawl_config = {"user_agent": "Before/1"}

    def on_start(self):
        pass

    def index_page(self, response):
        return response.url

    def on_message(self, project, msg):
        return [project, msg]
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    served = Site()
    yield served
    served.close()


class Everything:
    """A running ``crawlkit all`` and commands beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = environment("", {"CRAWLKIT_SCHEDULER_XMLRPC_PORT": "0"})
        self.crawl = Crawl(["--data-path", "d", "all", "--no-webui"], folder, self.env)
        until(lambda: "ready:" in self.crawl.said, 30, "everything runs")

    def say(self, *command: str) -> str:
        done = run(["--data-path", "d", *command], self.folder, self.env)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def put(self, name: str, text: str, *options: str) -> None:
        (self.folder / f"{name}.py").write_text(text)
        self.say("project", "put", f"{name}.py", *options)

    def results(self, project: str) -> list[Any]:
        with wiring.open_stores(Settings(data_path=self.folder / "d"), ("resultdb",)) as stores:
            return [json.loads(row.result) for row in stores.resultdb.select(project)]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    running = Everything(tmp_path_factory.mktemp("all"))
    with running.crawl as crawl:
        yield running
        crawl.process.send_signal(signal.SIGTERM)
        assert crawl.wait(10) == 0


def test_S05_what_comes_for_a_stopped_project_waits(site: Site, everything: Everything) -> None:
    """Also H18: a message is a task, so it waits as well."""
    everything.put("rests", RESTS, "--status", "STOP")
    everything.say("submit", "rests", f"{site.base}/page/rests")
    everything.say("send_message", "rests", "wake up")
    everything.put("runs", RESTS, "--status", "RUNNING")
    everything.say("submit", "runs", f"{site.base}/page/runs")
    until(lambda: everything.results("runs"), 20, "the project that runs has its page")
    assert "/page/rests" not in site.paths()
    everything.say("project", "status", "rests", "RUNNING")
    wanted = [["__command__", "wake up"], f"{site.base}/page/rests"]
    until(lambda: sorted(everything.results("rests"), key=str) == sorted(wanted, key=str), 20, "both came through")


def test_H61_a_changed_crawl_config_holds_for_waiting_tasks(site: Site, everything: Everything) -> None:
    """The second task waits for the rate, not for its time."""
    everything.put("config", RESTS, "--status", "RUNNING", "--rate", "0.001", "--burst", "1")
    everything.say("submit", "config", f"{site.base}/page/config-now", f"{site.base}/page/config-later")
    until(lambda: "/page/config-now" in site.paths(), 20, "the first page")
    everything.put("config", RESTS.replace("Before", "After"), "--rate", "unlimited")
    until(lambda: "/page/config-later" in site.paths(), 20, "the second page")
    agents = {path: headers["user-agent"] for _, path, headers in site.requests if "config" in path}
    assert agents == {"/page/config-now": "Before/1", "/page/config-later": "After/1"}


def test_S67_recent_tasks_are_copies(everything: Everything, site: Site) -> None:
    """Also S71 and S72: what is told of a task is little, and asking changes nothing."""
    everything.put("recent", RESTS, "--status", "RUNNING")
    for number in (1, 2):
        everything.say("submit", "recent", f"{site.base}/page/recent-{number}")
        until(lambda: len(everything.results("recent")) == number, 20, "the page is done")  # noqa: B023
    client = ControlClient.at(everything.folder / "d")
    until(lambda: len(client.active_tasks("recent")) >= 4, 20, "both were sent and done")
    asked = client.active_tasks("recent")
    assert client.active_tasks("recent") == asked
    times = [moment for moment, _ in asked]
    assert times == sorted(times, reverse=True)
    assert {task["project"] for _, task in asked} == {"recent"}
    assert asked[0][1]["url"].endswith("/recent-2")
    assert not {"script", "save", "content"} & set(asked[0][1])
    assert len(client.active_tasks("recent", limit=1)) == 1
    assert client.counters("all")["recent"]["success"] >= 2
    client.close()


def test_C02_a_logging_configuration_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "asks.py").write_text(RESTS)
    (tmp_path / "logging.conf").write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=file\n[formatters]\nkeys=plain\n[logger_root]\nlevel=DEBUG\n"
        "handlers=file\n[handler_file]\nclass=FileHandler\nformatter=plain\nargs=('said.log',)\n"
        "[formatter_plain]\nformat=%(levelname)s %(name)s\n"
    )
    done = run(["--logging-config", "logging.conf", "one", "asks.py"], tmp_path, environment(""))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "said.log").exists()


def test_C14_modules_beside_the_script(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("ANSWER = 42\n")
    (tmp_path / "asks.py").write_text(
        "from crawlkit import BaseHandler\nimport beside\n\n\nclass Handler(BaseHandler):\n"
        "    def on_start(self):\n        return beside.ANSWER\n"
    )
    assert crawl(tmp_path, {}, "asks.py").of("asks") == [42]
    without = run(["--not-add-sys-path", "one", "asks.py"], tmp_path, environment(""))
    assert without.returncode == 2
    assert "No module named 'beside'" in without.stderr
