"""``crawlkit why``: twelve planted causes, each named rightly, by a scheduler that runs and after it has gone."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from crawlkit import wiring
from crawlkit.cli import cli
from crawlkit.libs.errors import UsageError
from crawlkit.libs.messages import Dispatch, FetchEnded, Outcome, TrackFetch, encode
from crawlkit.scheduler.control import ControlClient, ControlServer
from crawlkit.scheduler.settings import EngineSettings
from crawlkit.settings import Settings
from tests.scheduler.rig import Rig, outcome_of, running, task
from tests.webui.servers import until

ROBOTS = "Disallowed by robots.txt, line 12: Disallow: /private"


class Scene:
    """A scheduler on stores in a data path, with a ring that answers by what the URL says."""

    def __init__(self, data_path: Path) -> None:
        self.data_path = data_path
        self.ready, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def answer(self, dispatch: Dispatch) -> Outcome | None:
        url = dispatch.url
        if "/out" in url:
            return None
        if "/dropped" in url:
            return outcome_of(dispatch, drop="sold out")
        if "/private" in url:
            return outcome_of(dispatch, False, fetch=TrackFetch(status_code=403, error_kind="robots", error=ROBOTS))
        if "/gone" in url or "/bad" in url:
            return outcome_of(dispatch, False, fetch=TrackFetch(status_code=404))
        return outcome_of(dispatch)

    async def _run(self) -> None:
        settings = Settings(data_path=self.data_path)
        with wiring.open_stores(settings, create=True) as stores:
            rig = Rig(self.answer, EngineSettings(fail_pause_num=10, retry_delays={"": 600}), taskdb=stores.taskdb)
            rig.projectdb = rig.engine.projectdb = stores.projectdb  # type: ignore[assignment]
            limits = '{"exclude": ["*/print/*", "*/calendar/*"], "max_tasks_per_host": 30}'
            rig.project("shop", limits=limits)
            rig.project("slow", rate=0.001, burst=1.0)
            rig.project("broken")
            rig.project("poor", max_pages=0)
            rig.project("off", status="STOP")
            rig.project("waits")
            async with running(rig):
                server = ControlServer(rig.service)
                server.start()
                server.publish(self.data_path)
                self.rig, self.loop = rig, asyncio.get_running_loop()
                self.ready.set()
                await asyncio.to_thread(self.over.wait)
                await server.stop()
                server.withdraw(self.data_path)

    def hold(self, host: str) -> None:
        """A page of that host answers 429, come again in ten minutes."""
        sent = next(one for one in self.rig.sent if one.url == f"http://{host}/out")
        ended = FetchEnded(sent.project, sent.taskid, sent.run, sent.attempt, host, 429, None, 0.1, 600.0)
        asyncio.run_coroutine_threadsafe(self.rig.status.put_many([encode(ended)]), self.loop).result(10)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    one = Scene(tmp_path)
    one.thread.start()
    assert one.ready.wait(10)
    yield one
    one.over.set()
    one.thread.join(10)


def why(path: Path, *words: str, code: int = 0) -> list[dict[str, object]]:
    words = ("--data-path", str(path), "why", *words, "--json")
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return [json.loads(line) for line in result.output.splitlines() if line.startswith("{")]


def plant(scene: Scene, client: ControlClient) -> None:
    once = {"schedule": {"retries": 0}}
    aged = {"schedule": {"age": 4 * 3600}}
    client.submit([task("http://h/gone", "shop", **once), task("http://h/private", "shop", **once)])
    client.submit(
        [task("http://h/private/2", "shop"), task("http://h/known", "shop", **aged), task("http://h/dropped", "shop")]
    )
    client.submit([task(url, "shop") for url in ("http://h/out", "http://busy/out", "http://h/bad")])
    client.submit([task("http://h/1", "slow"), task("http://h/2", "slow")])
    client.submit([task("http://h/1", "poor"), task("http://h/1", "off")])
    client.submit([task(f"http://h/bad{n}", "broken", **once) for n in range(10)])
    seen = lambda name: client.dashboard()["projects"][name]  # noqa: E731
    until(lambda: seen("broken")["paused"] == "paused")
    client.submit([task("http://h/1", "broken")])
    until(lambda: (seen("shop")["leased"], seen("shop")["failed"], seen("slow")["leased"]) == (2, 2, 0))
    scene.hold("busy")
    client.submit([task("http://busy/later", "slow")])
    client.order("waits", "pause")
    client.submit([task("http://h/later", "waits")])
    client.submit([task("http://h/print/1", "shop")])


TWELVE = [
    ("http://h/known", "shop", "known", "its age of 4 h has 3 h 59 min left"),
    ("http://h/private", "shop", "robots", "line 12: Disallow: /private"),
    ("http://h/private/2", "shop", "robots", "line 12: Disallow: /private; robots.txt is asked again in"),
    ("http://h/2", "slow", "rate", "lets the next page go in"),
    ("http://h/1", "broken", "paused", "after 10 failures in a row"),
    ("http://h/1", "off", "stopped", "STOP"),
    ("http://h/calendar/7", "shop", "refused", "exclude rule 2: */calendar/*"),
    ("http://h/print/1", "shop", "refused", "(exclude 1)"),
    ("http://h/1", "poor", "page_budget", "max_pages"),
    ("http://h/out", "shop", "leased", "being crawled since"),
    ("http://h/gone", "shop", "failed", "http_404"),
    ("http://h/dropped", "shop", "dropped", "sold out"),
    ("http://h/never", "shop", "never_submitted", "never submitted"),
    ("http://h/bad", "shop", "retrying", "the next try is in"),
    ("http://busy/later", "slow", "host", "429"),
    ("http://h/later", "waits", "held", "paused by hand"),
]


def test_twelve_planted_causes_are_named_rightly(scene: Scene) -> None:
    path = scene.data_path
    client = wiring.control_client(Settings(data_path=path))
    plant(scene, client)
    for url, project, code, words in TWELVE:
        (one,) = why(path, url, "--project", project, code=1 if code in ("failed", "robots") else 0)
        assert (one["code"], words in str(one["text"])) == (code, True), one
    with pytest.raises(UsageError, match="there is no project 'nobody'"):
        why(path, "http://h/1", "--project", "nobody")
    for words in (["not a url"], ["h/1", "--project", "shop"]):
        with pytest.raises(UsageError, match="is no URL, which begins like https://"):
            why(path, *words)
    assert {one["project"]: one["code"] for one in why(path, "http://h/1")} == {
        "broken": "paused", "off": "stopped", "poor": "page_budget", "slow": "known",
    }  # fmt: skip
    scene.over.set()
    scene.thread.join(10)
    for url, project, code, words in TWELVE[:10]:
        (one,) = why(path, url, "--project", project, code=1 if code in ("failed", "robots") else 0)
        assert (one["code"], words in str(one["text"])) == (code, True), one
    said = CliRunner().invoke(cli, ["--data-path", str(path), "why", "http://h/known"]).output
    assert "no scheduler runs" in said
    assert "shop: known: crawled" in said
    assert "at the earliest" in said
