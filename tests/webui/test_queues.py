"""What is known of the queues: rates from samples, a real broker that comes and goes, ??? without one [W02, W30]."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from crawlkit.libs.clock import SystemClock
from crawlkit.libs.messages import NEWTASK_QUEUE, SCHEDULER2FETCHER, STATUS_QUEUE, Heartbeat, decode_status
from crawlkit.message_queue.base import QueueFlow
from crawlkit.message_queue.local import LocalBroker, LocalServer
from crawlkit.webui import queues as watched
from crawlkit.webui.queues import QueueWatch, states
from tests.webui.servers import Client, until


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "LOOK", 0.1)


def flow(messages: int, put: int) -> QueueFlow:
    return QueueFlow(messages, messages * 10, 0, put, 0, 100, 1000)


def test_W30_rates_are_of_the_last_seconds() -> None:
    found = states([(10.0, {SCHEDULER2FETCHER: flow(5, 100)}), (14.0, {SCHEDULER2FETCHER: flow(9, 140)})])
    state = next(one for one in found if one.name == SCHEDULER2FETCHER)
    assert (state.messages, state.bytes, state.max_messages) == (9, 90, 100)
    assert (state.rate_in, state.rate_out) == (10.0, 9.0)
    assert (state.source, state.target) == ("scheduler", "fetcher")
    unused = next(one for one in found if one.name == NEWTASK_QUEUE)
    assert (unused.messages, unused.rate_in) == (0, 0.0)


def test_W30_nothing_known_and_a_broker_that_was_started_anew() -> None:
    assert {one.messages for one in states([])} == {None}
    found = states([(1.0, {STATUS_QUEUE: flow(0, 500)}), (2.0, {STATUS_QUEUE: flow(1, 3)})])
    assert next(one for one in found if one.name == STATUS_QUEUE).rate_in is None


def test_the_status_queues_of_further_partitions_come_after_the_ring() -> None:
    used = {STATUS_QUEUE: flow(1, 3), "status_queue_10": flow(4, 9), "status_queue_2": flow(5, 9), "epoch": flow(1, 1)}
    found = states([(1.0, used)])
    assert [one.name for one in found][4:] == ["status_queue", "status_queue_2", "status_queue_10"]
    assert (found[5].messages, found[5].source, found[5].target) == (5, "workers", "scheduler")


class Queues:
    """A queue server in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._loop = asyncio.new_event_loop()
        self._server: LocalServer | None = None
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def start(self) -> None:
        async def make() -> None:
            self._server = LocalServer(self.path, max_messages=10)
            await self._server.start()

        self.do(make())

    def stop(self) -> None:
        if self._server is not None:
            self.do(self._server.close())
            self._server = None

    def put(self, name: str, *bodies: bytes) -> None:
        async def put() -> None:
            assert self._server is not None
            self._server.queue(name).put_now(bodies)

        self.do(put())

    def taken(self, name: str) -> list[bytes]:
        async def take() -> list[bytes]:
            assert self._server is not None
            return [delivery.body for delivery in self._server.queue(name).take_now(100)]

        found: list[bytes] = self.do(take())
        return found


@contextmanager
def watching(path: Path) -> Iterator[tuple[Queues, QueueWatch]]:
    queues = Queues(path)
    watch = QueueWatch(lambda: LocalBroker(f"local://{path}", name="webui", patience=0.1), SystemClock(), "node-1")
    watch.start()
    try:
        yield queues, watch
    finally:
        watch.close()
        queues.stop()


def messages(watch: QueueWatch, name: str) -> int | None:
    return next(one.messages for one in watch.look() if one.name == name)


def test_W02_a_broker_that_comes_and_goes_and_comes(tmp_path: Path) -> None:
    with watching(tmp_path) as (queues, watch):
        assert messages(watch, SCHEDULER2FETCHER) is None
        assert "start `crawlkit all`" in watch.problem
        queues.start()
        queues.put(SCHEDULER2FETCHER, b"one", b"two")
        until(lambda: messages(watch, SCHEDULER2FETCHER) == 2, 10, "the size")
        queues.put(SCHEDULER2FETCHER, b"three")
        until(lambda: messages(watch, SCHEDULER2FETCHER) == 3, 10, "the new size")
        state = next(one for one in watch.look() if one.name == SCHEDULER2FETCHER)
        assert state.rate_in is not None
        assert state.max_messages == 10
        queues.stop()
        until(lambda: messages(watch, SCHEDULER2FETCHER) is None, 15, "nothing known")
        queues.start()
        until(lambda: messages(watch, SCHEDULER2FETCHER) == 0, 15, "the new broker")


def test_a_web_ui_says_that_it_is_there(tmp_path: Path) -> None:
    with watching(tmp_path) as (queues, watch):
        queues.start()
        beats: list[Heartbeat] = []

        def said(stopping: bool) -> bool:
            beats.extend(decode_status(body) for body in queues.taken(STATUS_QUEUE))  # type: ignore[misc]
            return any(beat.role == "webui" and beat.stopping == stopping for beat in beats)

        until(lambda: said(False), 10, "a heartbeat")
        assert beats[0].node == "node-1"
        assert beats[0].stats["rss"] > 2**20
        watch.close()
        assert said(True)


def test_W02_unknown_queues_over_the_api(client: Client) -> None:
    until(lambda: "start `crawlkit all`" in client.api("GET", "/queues")["problem"], 20, "the reason")
    answer = client.api("GET", "/queues")
    assert [one["name"] for one in answer["items"]] == [
        "newtask_queue", "scheduler2fetcher", "fetcher2processor", "processor2result", "status_queue",
    ]  # fmt: skip
    assert {one["messages"] for one in answer["items"]} == {None}
