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
SHORT = {"process_time_limit": 0.5, "kill_after": 0.5, "memory_limit": 256 * MIB}
WORLD = """
def page(self, response):
    calm = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    return [os.getcwd(), locale.setlocale(locale.LC_ALL), calm, callable(time.time)]
"""


def save(it: Bench, project: str, case: Hostile) -> str:
    body = "def page(self, response):\n" + "".join(f"    {line}\n" for line in case.body.splitlines())
    return it.projects.save(project, script(body, case.before))


def descendants() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("name", HOSTILE)
def test_it_costs_its_own_task(name: str) -> None:
    case = HOSTILE[name]

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
            await until(lambda: len(descendants()) <= 3, within=3)  # the zygote and a worker for each project
        await until(lambda: not descendants(), within=3)

    asyncio.run(scene())
