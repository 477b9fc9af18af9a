"""Every write of a task's round is cut, before it and right after it: nothing is lost or there twice (R-01, R-02).

The points are those that a crawl passes; each is cut the first time it is passed, the second time, and so on until a
crawl ends without having come to it. ``CUT_PAGES`` is how large the site is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.ring import CUTTING, Ring, Shop, ring, shop

PAGES = int(os.environ.get("CUT_PAGES", "40"))
PAIRS = ["local+sqlite", "redis+sqlite", "amqp+sqlite", "local+postgres", "redis+postgres", "amqp+postgres"]
#: What nobody may leave out: one write of each kind, in the order of a task's round.
ROUND = {
    "taskdb commit",
    "scheduler: scheduler2fetcher put_many",
    "fetcher: fetcher2processor put_many",
    "fetcher: scheduler2fetcher ack",
    "fetcher: status_queue put_many",
    "processor: processor2result put_many",
    "processor: fetcher2processor ack",
    "resultdb save",
    "result_worker: status_queue put_many",
    "result_worker: processor2result ack",
    "scheduler: status_queue ack",
    "blobdb create",
    "blobdb remove",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop(tmp_path_factory.mktemp("site"), PAGES) as served:
        yield served


@pytest.fixture(name="ring")
def made(request: pytest.FixtureRequest, site: Shop, tmp_path: Path) -> Iterator[Ring]:
    with ring(request.param, site, tmp_path, CUTTING) as running:
        yield running


SOME = [  # one of each component
    ("taskdb commit", True),
    ("fetcher: fetcher2processor put_many", False),
    ("processor: processor2result put_many", True),
    ("resultdb save", True),
    ("scheduler: status_queue ack", False),
]


@pytest.mark.parametrize("ring", ["local+sqlite"], indirect=True)
@pytest.mark.timeout(240)
def test_some_writes_are_cut(ring: Ring) -> None:
    points = ring.points()
    assert points.keys() >= ROUND, ROUND - points.keys()
    for point, after in SOME:
        assert ring.cut(point, 2, after=after), f"{point} was not passed"


@pytest.mark.faults
@pytest.mark.parametrize("ring", PAIRS, indirect=True)
@pytest.mark.timeout(4 * 3600)
def test_every_write_is_cut(ring: Ring) -> None:
    points = ring.points()
    assert points.keys() >= ROUND, ROUND - points.keys()
    cuts = 0
    for point in sorted(points):
        for after in (False, True):
            nth = 1
            while ring.cut(point, nth, after=after):
                nth += 1
            assert nth > 1 or point not in ROUND, f"{point} was not passed"
            cuts += nth - 1
            print(f"{point}, {'after' if after else 'before'}: {nth - 1} cuts", flush=True)
    print(f"{cuts} cuts at {len(points)} points")
