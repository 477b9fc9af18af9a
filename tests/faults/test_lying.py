"""Stores and queues that did it and say they did not, say yes later, or refuse: nothing is lost or doubled (R-10).

``LYING_SEED`` replays a crawl by the seed that was printed for it; ``LYING_SECONDS`` is how long each pair of queues
and database is crawled on, ``LYING_PAGES`` how large the site is.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from crawlkit.libs.messages import FETCHER2PROCESSOR, PROCESSOR2RESULT, SCHEDULER2FETCHER
from crawlkit.message_queue.registry import connect_broker
from tests.e2e.commands import until
from tests.faults.lying import DONE, KINDS, LATE, REFUSED
from tests.faults.ring import LYING, Ring, Shop, ring, shop

SEED = int(os.environ.get("LYING_SEED", "0"))
SECONDS = float(os.environ.get("LYING_SECONDS", "600"))
PAIRS = [
    f"{queues}+{database}" for queues in ("local", "redis", "amqp") for database in ("sqlite", "postgres", "mariadb")
]
EMPTY = 20.0  # seconds within which the queues are empty after a crawl
#: Lies of each kind that are always among those of a crawl.
WORST = {"scheduler: taskdb commit", "result_worker: resultdb save"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop(tmp_path_factory.mktemp("site"), int(os.environ.get("LYING_PAGES", "24"))) as served:
        yield served


@pytest.fixture(name="ring")
def made(request: pytest.FixtureRequest, site: Shop, tmp_path: Path) -> Iterator[Ring]:
    with ring(request.param, site, tmp_path, LYING) as running:
        yield running


def crawl(ring: Ring, seed: int) -> Counter[str]:
    """One crawl among lies; returns which were told. Fails when anything is lost, doubled, or left behind."""
    print(f"seed {seed}", flush=True)
    told = ring.hand / "told"
    told.write_text("")
    (ring.hand / "new").write_text(str(seed))
    (ring.hand / "new").replace(ring.hand / "seed")
    try:
        ring.whole()
        (ring.hand / "seed").unlink()
        until(lambda: not asyncio.run(left(ring.queues)), EMPTY, "the queues are empty")
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from None
    finally:
        (ring.hand / "seed").unlink(missing_ok=True)
    assert "starting it again" not in ring.crawl.said, f"seed {seed}: {ring.crawl.said[-3000:]}"
    return Counter(told.read_text().splitlines())


async def left(url: str) -> int:
    """Messages that the queues of the ring hold."""
    async with AsyncExitStack() as stack:
        broker = connect_broker(url)
        stack.push_async_callback(broker.close)
        await broker.connect()
        names = (SCHEDULER2FETCHER, FETCHER2PROCESSOR, PROCESSOR2RESULT)
        return sum([(await broker.queue(name).size()).messages for name in names])


@pytest.mark.parametrize("ring", ["local+sqlite"], indirect=True)
def test_a_crawl_among_lies(ring: Ring) -> None:
    told = crawl(ring, SEED or secrets.randbelow(2**32))
    print(dict(told))
    assert {line.rpartition(" ")[2] for line in told} == set(KINDS)


@pytest.mark.faults
@pytest.mark.parametrize("ring", PAIRS, indirect=True)
@pytest.mark.timeout(2 * 3600)
def test_crawls_among_lies(ring: Ring) -> None:
    seed = SEED or secrets.randbelow(2**32)
    told: Counter[str] = Counter()
    end, crawls = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        told += crawl(ring, seed + crawls)
        crawls += 1
    print(f"{crawls} crawls, {told.total()} lies")
    assert told.keys() >= {f"{point} {kind}" for point in WORST for kind in (DONE, LATE, REFUSED)}
