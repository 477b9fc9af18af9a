"""The broker goes away, comes back, and loses what it had, while the scheduler runs [R-05]."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from crawlkit.libs.errors import QueueUnavailable
from crawlkit.libs.messages import Dispatch, Outcome
from tests.scheduler.rig import Rig, outcome_of, running, task


class Shaky:
    """A queue whose every call fails while told so."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self.away = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._queue, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            if self.away:
                raise QueueUnavailable("the broker is away")
            work = asyncio.ensure_future(found(*args, **kwargs))
            while not work.done():  # who waits for a message sees that its connection is lost
                if self.away:
                    work.cancel()
                    raise QueueUnavailable("the broker is away")
                await asyncio.wait({work}, timeout=0.02)
            return work.result()

        return call


def shaken(rig: Rig) -> list[Shaky]:
    """The scheduler's queues can go away."""
    service = rig.service
    status, newtask, out = Shaky(rig.status), Shaky(rig.newtask), Shaky(rig.out)
    service._status_queues._queues[0] = status  # type: ignore[assignment]
    service._newtask_queue, service._out_queue = newtask, out  # type: ignore[assignment]
    service._post._out_queue = out  # type: ignore[assignment]
    return [status, newtask, out]


def test_it_goes_on_when_the_queues_are_back_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        rig = Rig()
        rig.project()
        queues = shaken(rig)
        async with running(rig):
            await rig.service.submit([task("http://h/1")])
            await rig.until(rig.service.drained)
            set_away(queues, True)
            waiting = asyncio.create_task(rig.service.submit([task("http://h/2")]))
            await rig.until(lambda: "until the queues answer" in caplog.text)
            set_away(queues, False)
            assert (await asyncio.wait_for(waiting, 10))[0]["accepted"]
            await rig.until(lambda: "http://h/2" in rig.urls() and rig.service.drained())
        assert caplog.text.count("until the queues answer") == 1
        assert caplog.text.count("the queues answer again") == 1

    caplog.set_level(logging.INFO)
    asyncio.run(play())


def test_a_message_that_cannot_be_put_aside_does_not_end_the_scheduler(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        rig = Rig()
        rig.project()
        refused = asyncio.Event()

        async def reject(ids: Sequence[int], reason: str) -> None:
            refused.set()
            raise QueueUnavailable("the broker is away")

        rig.status.reject = rig.newtask.reject = reject  # type: ignore[method-assign]
        async with running(rig):
            await rig.status.put_many([b"\x01rubbish"])
            await rig.newtask.put_many([b"\x01rubbish"])
            await asyncio.wait_for(refused.wait(), 10)
            (answer,) = await rig.service.submit([task("http://h/1")])
            assert answer["accepted"]
            await rig.until(lambda: "http://h/1" in rig.urls())
        assert caplog.text.count("was not put aside") == 2

    asyncio.run(play())


def test_what_a_broker_lost_in_mid_crawl_comes_round_again_at_once() -> None:
    swallowed: list[str] = []

    def answer(dispatch: Dispatch) -> Outcome | None:
        if dispatch.url.startswith("http") and dispatch.url not in swallowed:
            swallowed.append(dispatch.url)
            return None  # it was in the queues when they were wiped
        return outcome_of(dispatch)

    async def play() -> None:
        rig = Rig(answer)
        rig.project()
        async with running(rig):
            await rig.service.submit([task(f"http://h/{number}") for number in range(5)])
            await rig.until(lambda: len(swallowed) == 5)
            epoch = await rig.broker.epoch()

            async def another() -> str:
                return f"{epoch}-2"

            rig.broker.epoch = another  # type: ignore[method-assign]
            await rig.until(rig.service.drained)  # long before a lease ends
        ledger = rig.taskdb.ledger("p")
        assert ledger["p", "done", ""] == 6  # with on_finished
        assert [url for url in rig.urls() if url.startswith("http")] == swallowed * 2
        assert not [key for key in ledger if key[1] == "failed"]

    asyncio.run(play())


def set_away(queues: list[Shaky], away: bool) -> None:
    for queue in queues:
        queue.away = away
