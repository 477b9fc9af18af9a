"""The book of runs: whose they are, how many are kept; and turns, first come first served."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from crawlkit.libs.clock import ManualClock
from crawlkit.webui.debug.run import DONE, RUNNING, RunBook, Turns
from crawlkit.webui.debug.settings import DebugSettings
from crawlkit.webui.problem import Problem


def test_a_run_is_its_users_and_its_projects() -> None:
    book = RunBook(DebugSettings(), lambda: 0.0)
    run = book.new("step", "me", "p")
    assert book.find("me", "p", run.id) is run
    for who, project in (("me", "q"), ("other", "p")):
        with pytest.raises(Problem, match="no debug run"):
            book.find(who, project, run.id)


def test_what_is_over_goes_by_number_age_and_size_and_what_runs_stays() -> None:
    clock = ManualClock()
    book = RunBook(DebugSettings(runs_per_user=3, runs_age=60, waiting_per_user=2), clock.monotonic)
    runs = []
    for n in range(5):
        run = book.new("step", "me", "p")
        run.end(DONE, {"n": n}, clock.monotonic())
        runs.append(run)
    running = book.new("step", "me", "p")
    assert len([run for run in runs if run in book.all()]) <= 3
    assert runs[-1] in book.all()
    clock.advance(61)
    book.new("step", "me", "p")
    assert not [run for run in runs if run in book.all()]
    assert running in book.all()
    with pytest.raises(Problem, match="2 debug runs of yours"):
        book.new("step", "me", "p")
    book.new("step", "other", "p")

    book = RunBook(DebugSettings(runs_bytes=650), clock.monotonic)
    for _ in range(5):
        book.new("step", "me", "p").end(DONE, {"x": os.urandom(200).hex()}, clock.monotonic())
    book.new("step", "me", "p")
    assert len(book.all()) == 3


def test_who_waits_is_woken_by_news_and_by_the_end() -> None:
    book = RunBook(DebugSettings(), lambda: 0.0)
    run = book.new("step", "me", "p")
    seen = run.step
    woken = threading.Event()

    def wait() -> None:
        book.wait(run, 20, seen)
        woken.set()

    threading.Thread(target=wait, daemon=True).start()
    run.tell(RUNNING, "running", follows=7)
    assert woken.wait(10)
    shown = run.shown(1.5)
    assert (shown["state"], shown["message"], shown["progress"]["follows"]) == ("running", "running", 7)
    assert (shown["seconds"], shown["answer"]) == (1.5, None)
    run.end(DONE, {"a": 1}, 2.0)
    book.wait(run, 20, None)
    assert (run.shown(9.0)["seconds"], run.shown(9.0)["answer"]) == (2.0, {"a": 1})


def test_turns_are_taken_in_order_and_a_place_is_never_lost() -> None:
    async def scene() -> None:
        turns, told = Turns(1), {}
        order: list[int] = []
        await turns.take(lambda before: None)

        async def one(n: int) -> None:
            await turns.take(lambda before: told.__setitem__(n, before))
            order.append(n)
            turns.give_back()

        waiting = [asyncio.create_task(one(n)) for n in range(4)]
        await asyncio.sleep(0)
        assert told == {0: 0, 1: 1, 2: 2, 3: 3}
        waiting[1].cancel()
        await asyncio.gather(waiting[1], return_exceptions=True)
        turns.give_back()
        waiting[0].cancel()  # at the very moment when it has its turn
        await asyncio.gather(*waiting, return_exceptions=True)
        assert order in ([2, 3], [0, 2, 3])
        assert turns.places == 1
        await asyncio.wait_for(turns.take(lambda before: None), 1)

    asyncio.run(scene())
