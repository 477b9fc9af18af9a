"""Several hosts, and what happens to them: cut off, lost, servers restarted and wiped. Nobody helps.

Each time work goes on within five seconds of the return. At the end every page has one result, none has two, the books
balance, and whatever was not killed on purpose still runs. [R-05, R-06, M4]
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import needs
from tests.e2e.commands import MANUAL, until
from tests.e2e.machines import WORKERS, Machines
from tests.e2e.services import MariaDB, Postgres, Rabbit, Redis, Service
from tests.e2e.test_machines import PAIRS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]

BACK = 5.0  # seconds from the return of a service, or of a host, to the next new page
CUT = 30.0  # seconds that a host is cut off
SLOW = 0.5  # seconds the site takes for each page, so that there is always something under way


class Crawled:
    """A crawl of the manual that is under way, and its figures."""

    def __init__(self, folder: Path, pair: str, rate: float) -> None:
        self.machines = Machines(folder, needs.postgres_manual(), *PAIRS[pair], delay=SLOW)
        self.pair, self.rate = pair, rate
        self.took: list[tuple[str, float]] = []

    def __enter__(self) -> Crawled:
        self.machines.__enter__()
        machines = self.machines
        self.project = machines.crawl(MANUAL, "http://127.0.0.1:8090/", machines.site.base, f"{self.rate:g}")
        until(lambda: machines.site.count() > 20, 30, "the crawl is under way")
        return self

    def __exit__(self, *_: object) -> None:
        self.machines.__exit__()

    def back(self, what: str) -> None:
        """Called when a service is there again: the next new page comes in time, and more follow it."""
        site = self.machines.site
        took = self.machines.until_new_page(6 * BACK)
        self.took.append((what, took))
        seen = site.count()
        until(lambda: site.count() >= seen + 5, BACK + 5 / self.rate, f"more pages after {what}")
        print(f"{self.pair}: {what}: new page after {took:.2f} s ({site.count()} requests so far)", flush=True)

    def end(self, paths: frozenset[str], gone: tuple[str, ...] = ()) -> None:
        """The crawl runs to its end; everything is as it has to be."""
        machines, site = self.machines, self.machines.site
        pages = {site.base + path for path in paths}
        assert site.count() < len(pages), "the crawl ended before the last fault: it has to be slower"
        machines.wait_done(self.project, len(pages) / self.rate + 120)
        assert set(machines.results(self.project)) == pages  # fails for one that is there twice
        assert set(site.requests()) == pages
        machines.say("audit")
        assert not machines.alive(gone), machines.words()
        again = site.count() - len(pages)
        slowest = max((took for _, took in self.took), default=0.0)
        print(f"{self.pair}: {len(self.took)} returns, slowest {slowest:.2f} s; {again} pages were fetched again")
        late = [(what, round(took, 2)) for what, took in self.took if took > BACK]
        assert not late, f"slower than {BACK} s: {late}"


def restarted(crawled: Crawled, service: Service, times: int, seed: int) -> None:
    """Stops a server as its keepers would, or as a power cut would, and starts it again; several times."""
    chance = random.Random(seed)
    print(f"seed {seed}")
    for number in range(1, times + 1):
        kill = chance.random() < 0.5
        service.stop(signal.SIGKILL if kill else signal.SIGTERM)
        pause = chance.uniform(0, 3)
        time.sleep(pause)
        service.start()
        crawled.back(f"{service.name} {'killed' if kill else 'stopped'} for {pause:.1f} s ({number}/{times})")


@pytest.mark.parametrize("pair", ["redis-postgres", "manager-postgres"])
def test_each_host_is_cut_off_in_turn(pair: str, manual_paths: frozenset[str], tmp_path: Path) -> None:
    with Crawled(tmp_path, pair, 4.5) as crawled:
        machines = crawled.machines
        for name in ("data", "control", "ui", *WORKERS):
            host = machines.lan[name]
            host.cut()
            cut_at = time.monotonic()
            seen = machines.site.count()
            until(lambda at=cut_at: time.monotonic() - at > CUT, CUT + 5, "the time is over")  # type: ignore[misc]
            if name in ("ui", *WORKERS):
                assert machines.site.count() > seen + CUT, "the others went on"
            assert machines.ui_answers(), f"the web UI answers while {name} is away"
            host.join()
            crawled.back(f"{name} cut off for {CUT:g} s")
        crawled.end(manual_paths)


@pytest.mark.parametrize("pair", ["redis-postgres", "manager-postgres"])
def test_a_host_that_is_lost_for_good_takes_nothing_with_it(
    pair: str, manual_paths: frozenset[str], tmp_path: Path
) -> None:
    with Crawled(tmp_path, pair, 20) as crawled:
        machines = crawled.machines
        machines.lan["work1"].kill()
        machines.lan["work1"].cut()
        crawled.back("work1 lost for good")
        crawled.end(manual_paths, gone=("work1",))


def test_the_scheduler_is_started_anew_on_another_host(manual_paths: frozenset[str], tmp_path: Path) -> None:
    with Crawled(tmp_path, "redis-postgres", 15) as crawled:
        machines = crawled.machines
        machines.lan["control"].kill()
        machines.lan["control"].cut()
        machines.start("ui", "scheduler")
        crawled.back("the scheduler runs on another host")
        machines.say("ping", host="work1")
        crawled.end(manual_paths, gone=("control",))


RESTARTS: list[tuple[str, Callable[[Machines], Service | None], int, float]] = [
    ("redis-postgres", lambda machines: machines.queue, 20, 8),
    ("redis-postgres", lambda machines: machines.database, 5, 12),
    ("redis-mariadb", lambda machines: machines.database, 5, 12),
    ("amqp-postgres", lambda machines: machines.queue, 20, 3),
]


@pytest.mark.parametrize(("pair", "which", "times", "rate"), RESTARTS, ids=["redis", "postgres", "mariadb", "rabbitmq"])
def test_a_server_is_restarted_again_and_again(
    pair: str,
    which: Callable[[Machines], Service | None],
    times: int,
    rate: float,
    manual_paths: frozenset[str],
    tmp_path: Path,
) -> None:
    with Crawled(tmp_path, pair, rate) as crawled:
        service = which(crawled.machines)
        assert isinstance(service, Redis | Postgres | MariaDB | Rabbit)
        restarted(crawled, service, times, seed=5)
        crawled.end(manual_paths)


def test_redis_is_wiped_in_mid_crawl(manual_paths: frozenset[str], tmp_path: Path) -> None:
    with Crawled(tmp_path, "redis-postgres", 30) as crawled:
        queue = crawled.machines.queue
        assert isinstance(queue, Redis)
        until(lambda: crawled.machines.site.count() > 300, 60, "a good part is done")
        queue.wipe()
        crawled.back("redis wiped")
        crawled.end(manual_paths)
