"""Handlers that do harm cost their own task and nothing else (R-47 to R-54)."""

from __future__ import annotations

import asyncio
import os
import time

import psutil
import pytest

from tests.processor.helpers import Bench, bench, fetched, script, until
from tests.processor.hostile import HOSTILE, Hostile

MIB = 2**20
SHORT = {"process_time_limit": 0.4, "kill_after": 0.3, "memory_limit": 256 * MIB}
WORLD = """
def page(self, response):
    calm = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    return [os.getcwd(), locale.setlocale(locale.LC_ALL), calm, callable(time.time)]
"""


def save(it: Bench, project: str, case: Hostile) -> str:
    body = "def page(self, response):\n" + "".join(f"    {line}\n" for line in case.body.splitlines())
    return it.projects.save(project, script(body, case.before))


def descendants(but: set[psutil.Process] | None = None) -> list[psutil.Process]:
    """Those that run; without ``but``, which other tests left."""
    family = set(psutil.Process().children(recursive=True)) - (but or set())
    return [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("name", HOSTILE)
def test_it_costs_its_own_task(name: str) -> None:
    case = HOSTILE[name]
    others = set(descendants())

    async def scene() -> None:
        async with bench(**SHORT) as it:
            good = it.projects.save("good", script("def page(self, response):\n    return {'good': response.url}"))
            version = save(it, "bad", case)
            await it.run(fetched("good", good))
            began = time.monotonic()
            (outcome,) = await it.run(fetched("bad", version, url="http://bad.example/"))
            took = time.monotonic() - began
            track = outcome.process
            assert track is not None
            assert outcome.ok is case.ok, track
            if not case.ok:
                assert track.reason in case.reasons, track
                assert case.says in (track.exception or ""), track
            assert took < case.seconds
            # the next task of the same project runs, and so does the neighbour's
            calm = it.projects.save("bad", script(WORLD, "import locale, os, signal, time\n"))
            began = time.monotonic()
            after, neighbour = await it.run(
                fetched("bad", calm, url="http://bad.example/2"), fetched("good", good, url="http://good.example/2")
            )
            assert time.monotonic() - began < 2
            assert neighbour.ok
            assert after.ok
            assert os.getcwd() in after.results[0]
            assert after.results[0].endswith("true,true]")
            await until(lambda: len(descendants(others)) <= 3, within=3)  # the zygote and a worker for each project
        await until(lambda: not descendants(others), within=3)

    asyncio.run(scene())


FORGER = """
def page(self, response):
    worker = next(one for one in gc.get_objects() if type(one).__name__ == "Worker")
    for last in (0, frames.IS_LAST):
        forged = Outcome("good", "t", 1, 1, 0, 0, bool(last), ['"forged"'], 0, "http://x/", "n", True, [], [])
        worker._pipe.send(frames.OUTCOME | frames.HAS_RESULTS | last, worker._number, encode(forged))
"""


def test_a_handler_speaks_for_its_own_task_only() -> None:
    before = "import gc\nfrom crawlkit.libs.messages import Outcome, encode\nfrom crawlkit.processor import frames\n"

    async def scene() -> None:
        async with bench() as it:
            version = it.projects.save("bad", script(FORGER, before))
            (outcome,) = await it.run(fetched("bad", version))
            assert (outcome.project, outcome.ok, outcome.part, outcome.results) == ("bad", False, 0, [])
            calm = it.projects.save("bad", script(WORLD, "import locale, os, signal, time\n"))
            (after,) = await it.run(fetched("bad", calm, url="http://bad.example/2"))
            assert after.ok
            assert {project for project, _, _ in it.parts} == {"bad"}

    asyncio.run(scene())


def test_a_neighbour_keeps_its_rate() -> None:
    """A project at 50 tasks/s keeps 90 % of them within half a second while every hostile handler runs."""
    rate, seconds = 50, 7

    async def scene() -> None:
        async with bench(**SHORT) as it:
            good = it.projects.save("good", script("def page(self, response):\n    return {'good': response.url}"))
            versions = {name: save(it, f"bad{i}", case) for i, (name, case) in enumerate(HOSTILE.items())}
            await it.run(fetched("good", good))
            bad = [fetched(f"bad{i}", version) for i, version in enumerate(versions.values())]
            began = time.monotonic()
            sent: dict[str, float] = {}
            for n in range(rate * seconds):
                await asyncio.sleep(max(0.0, began + n / rate - time.monotonic()))
                if n % 10 == 0 and n // 10 < len(bad):
                    await it.put(bad[n // 10])
                url = f"http://good.example/{n}"
                sent[url] = time.monotonic()
                await it.put(fetched("good", good, url=url))
            await until(lambda: all(it.outcome(message) for message in bad), within=40)
            await until(lambda: sum(project == "good" for project, _, _ in it.ended) == rate * seconds + 1)
            late = [url for project, url, at in it.ended if project == "good" and at - sent.get(url, at) > 0.5]
            assert len(late) <= 0.1 * rate * seconds
            for message, case in zip(bad, HOSTILE.values(), strict=True):
                track = (it.outcome(message) or [])[-1].process
                assert track is not None
                assert track.reason in case.reasons or case.ok

    asyncio.run(scene())


def test_a_stream_of_many_follow_ups_goes_through_in_flat_memory() -> None:
    count = 150_000

    async def scene() -> None:
        async with bench(process_time_limit=60, out_messages=20, memory_limit=512 * MIB) as it:
            body = f"""
            def on_start(self):
                for i in range({count}):
                    self.crawl("http://example.com/%d?%s" % (i, "x" * 200), callback=self.page)
            def page(self, response):
                pass
            """
            version = it.projects.save("one", script(body))
            message = fetched("one", version, "on_start")
            me, largest = psutil.Process(), 0
            before = me.memory_info().rss
            await it.put(message)
            total = 0
            while not it.outcome(message):
                await asyncio.sleep(0.02)
                parts = next(iter(it.parts.values()), [])
                for part in parts[:-1]:
                    total += len(part.follows)
                    part.follows = []
                largest = max(largest, me.memory_info().rss)
            last = (it.outcome(message) or [])[-1]
            assert last.ok, last.process
            assert total + sum(len(part.follows) for part in it.outcome(message) or []) == count
            assert largest - before < 64 * MIB

    asyncio.run(scene())


def test_too_many_follow_ups_have_a_reason() -> None:
    async def scene() -> None:
        async with bench(max_follows=5_000) as it:
            body = """
            def page(self, response):
                for i in range(100_000):
                    self.crawl("http://example.com/%d" % i, callback=self.page)
            """
            version = it.projects.save("one", script(body))
            message = fetched("one", version)
            (last,) = await it.run(message)
            assert last.process is not None
            assert last.process.reason == "follow_limit"
            assert sum(len(part.follows) for part in it.outcome(message) or []) <= 6_000

    asyncio.run(scene())


def test_many_hanging_projects_do_not_keep_another_from_a_worker() -> None:
    async def scene() -> None:
        async with bench(process_time_limit=30, workers=2, per_project=1) as it:
            endless = script("def page(self, response):\n    while True: pass")
            for i in range(4):
                await it.put(fetched(f"bad{i}", it.projects.save(f"bad{i}", endless)))
            good = it.projects.save("good", script("def page(self, response):\n    return {'good': response.url}"))
            outcomes = await it.run(
                *[fetched("good", good, url=f"http://good.example/{n}") for n in range(50)], within=8
            )
            assert all(outcome.ok for outcome in outcomes)
            assert len(it.ended) == 50

    asyncio.run(scene())
