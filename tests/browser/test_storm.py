"""Hundreds of pages that hang, crash and open dialogs: each has its answer in time, and nothing of them is left."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import psutil
import pytest

from crawlkit.browser.processes import Tree
from tests.browser.serving import Heard, Running, bad_site, serving
from tests.needs import binary

LIMIT = 4.0  # seconds for a page that hangs; the others have twenty


@pytest.fixture(autouse=True)
def _chromium() -> None:
    binary("chromium")


async def storm(
    running: Running, base: str, kinds: list[str], clients: int, hangs: float
) -> list[tuple[str, float, Heard]]:
    """(kind, limit, what was heard) of every page; ``hangs``: seconds for one that hangs."""
    heard: list[tuple[str, float, Heard]] = []
    work = list(enumerate(kinds))
    work.reverse()

    async def client() -> None:
        while work:
            number, kind = work.pop()
            limit = hangs if kind in ("hang", "spin") else 20.0
            heard.append((kind, limit, await running.ask(f"{base}/{kind}?{number}", timeout=limit)))

    await asyncio.gather(*(client() for _ in range(clients)))
    return heard


async def rest(running: Running) -> tuple[int, int]:
    """Once the browser is closed: processes of the service that are left, and bytes that all have for themselves."""
    left: list[psutil.Process] = []
    for _ in range(400):
        left = running.children()
        if not running.service.pool.state()["browsers"] and not left:
            break
        await asyncio.sleep(0.05)
    return len(left), Tree(psutil.Process().pid).memory()[0]


def kinds_of(n: int) -> list[str]:
    """Of ``n`` pages a fifth hangs, half of it in a script; a tenth crashes, a tenth opens dialogs."""
    kinds = ["hang"] * (n // 10) + ["spin"] * (n // 10) + ["crash"] * (n // 10) + ["dialog"] * (n // 10)
    kinds += ["ok"] * (n - len(kinds))
    random.Random(n).shuffle(kinds)
    return kinds


def check(kinds: list[str], heard: list[tuple[str, float, Heard]]) -> float:
    """Every page has the answer that it should have. Returns by how much the latest was over its limit, in seconds."""
    assert Counter(kind for kind, _, _ in heard) == Counter(kinds), "a task has no answer"
    wanted = {"hang": "timeout", "spin": "timeout", "crash": "crashed", "ok": None, "dialog": None}
    wrong = [(kind, one.reply) for kind, _, one in heard if one.reply.get("error_kind") != wanted[kind]]
    assert not wrong, f"{len(wrong)} wrong, for instance {wrong[0]}"
    assert all("made by a script" in one.reply["content"] for kind, _, one in heard if kind == "ok")
    assert all("<i>c" in one.reply["content"] for kind, _, one in heard if kind == "dialog")
    late = max(one.took - limit for _, limit, one in heard)
    assert late < 2.0, f"{late:.2f} s after its limit"
    return late


async def play(n: int, warm: int, hangs: float = LIMIT) -> dict[str, float]:
    """The growth is that of a service which did its work for ``warm`` pages before."""
    async with bad_site() as base, serving(poolsize=6, idle=0.5, recycle_pages=200, watch=0.5) as running:
        check(kinds_of(warm), await storm(running, base, kinds_of(warm), 8, hangs))
        processes, memory = await rest(running)
        kinds = kinds_of(n)
        late = check(kinds, await storm(running, base, kinds, 10, hangs))  # which drops the answers
        after, more = await rest(running)
    assert (processes, after) == (0, 0)
    return {"late": late, "before": memory, "after": more, "growth": more / memory - 1}


def test_a_small_storm() -> None:
    asyncio.run(asyncio.wait_for(play(30, 10, hangs=2.0), 100))


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_thousand_pages_of_which_most_kinds_of_bad_ones() -> None:
    figures = asyncio.run(asyncio.wait_for(play(1000, 300), 1400))
    print(figures)
    assert figures["growth"] < 0.05, figures
