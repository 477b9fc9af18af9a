"""One crawl of the site by a running ``crawlkit all`` whose components are killed meanwhile. It only looks on.

What is seen comes from the site, from the databases and from the list of processes: not from who is killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from crawlkit import wiring
from crawlkit.libs.errors import CrawlkitError, StoreUnavailable
from crawlkit.libs.rows import ProjectRow
from crawlkit.libs.task import Status
from crawlkit.proving.judge import Evidence
from crawlkit.proving.kills import Blow
from crawlkit.proving.ledger import Ledger
from crawlkit.proving.reaper import Reaper
from crawlkit.proving.recovery import Seen, Traces
from crawlkit.proving.running import Running
from crawlkit.proving.shop import PROJECT
from crawlkit.proving.site import Page
from crawlkit.proving.trial import results_of
from crawlkit.scheduler.books import ACCEPTED, ENDINGS, Report

if TYPE_CHECKING:
    from crawlkit.database.base import ResultStore, TaskStore
    from crawlkit.settings import Settings

STALLED = 90.0  # seconds in which nothing happened
QUIET = 1.5  # seconds after which a crawl is over in which nothing is left to do
PAGE = 1_000  # rows read at a time
BURST = 10.0
Watch = Callable[[int, int, int], None]  # pages done and failed, kills


@dataclass(frozen=True)
class Course:
    """What was seen of a crawl.

    ``window``: the most tasks that were under way at once; ``trouble``: why it did not come to its end.
    """

    blows: list[Blow]
    traces: Traces
    window: int
    seconds: float
    trouble: str | None = None


class _Onlooker:
    """Looks into the databases again and again."""

    def __init__(self, taskdb: TaskStore, resultdb: ResultStore) -> None:
        self._taskdb, self._resultdb = taskdb, resultdb
        self._seq = 0
        self._ledger: dict[tuple[str, str, str], int] = {}
        self._began = time.monotonic()  # the look before
        self.results: list[Seen] = []
        self.commits: list[Seen] = []
        self.window = 0

    def look(self) -> None:
        """A store that cannot be read just now is looked into the next time."""
        began = time.monotonic()
        try:
            rows = self._resultdb.since(self._seq, PAGE, [PROJECT])
            ledger = self._taskdb.ledger(PROJECT)
            leased = len(self._taskdb.leases())
        except StoreUnavailable:
            return
        now = time.monotonic()
        self.results += [Seen(self._began, now, urlsplit(row.url).path) for row in rows]
        if ledger != self._ledger:
            self.commits.append(Seen(self._began, now))
        self._seq = rows[-1].seq if rows else self._seq
        self._ledger = ledger
        self._began = began
        self.window = max(self.window, leased)

    def total(self, *events: str) -> int:
        """What the ledger says of some events."""
        return sum(count for (_, event, _), count in self._ledger.items() if event in events)

    def over(self) -> bool:
        """Whether all that was accepted has ended."""
        return 0 < self.total(ACCEPTED) == self.total(*ENDINGS)


def undergo(
    running: Running, settings: Settings, script: str, rate: float, site: Ledger, reaper: Reaper, watch: Watch
) -> Course:
    """Crawls by ``script`` from its start to its end; ``rate``: pages a second at most.

    Ends also when nothing moves for :data:`STALLED` seconds. Raises as :meth:`Running.until` before it has begun.
    """
    running.wait_ready()
    with wiring.open_stores(settings, ("projectdb",), create=True) as stores:
        row = ProjectRow(name=PROJECT, script=script, status="RUNNING", rate=rate, rate_set=True, burst=BURST)
        stores.projectdb.put(row, author="chaos", message="crawlkit chaos")
    with closing(wiring.control_client(settings)) as control:
        control.update_project()
        control.run(PROJECT)
    began, trouble = time.monotonic(), None
    with wiring.open_stores(settings, ("taskdb", "resultdb")) as stores:
        onlooker = _Onlooker(stores.taskdb, stores.resultdb)
        try:
            _wait_over(running, onlooker, site, reaper, watch)
        except CrawlkitError as error:
            trouble = str(error)
    traces = Traces(site.requests, onlooker.results, onlooker.commits)
    return Course(reaper.blows, traces, onlooker.window, time.monotonic() - began, trouble)


def _wait_over(running: Running, onlooker: _Onlooker, site: Ledger, reaper: Reaper, watch: Watch) -> None:
    moved = time.monotonic()
    seen: tuple[int, ...] = ()

    def over() -> bool:
        nonlocal moved, seen
        onlooker.look()
        reaper.look()
        done, failed = onlooker.total("done"), onlooker.total("failed")
        now = (len(site.requests), len(onlooker.results), len(onlooker.commits), len(reaper.blows))
        if now != seen:
            moved, seen = time.monotonic(), now
        watch(done, failed, len(reaper.blows))
        still = time.monotonic() - moved
        if still > STALLED:
            raise CrawlkitError(f"the crawl stands still: {done:,} done, {failed:,} failed")
        return onlooker.over() and still > QUIET

    running.until(over, "the crawl does not come to an end", float("inf"))


def evidence(settings: Settings, truth: Mapping[str, Page], asked: Mapping[str, int], books: Report) -> Evidence:
    """All that the databases hold of it, read now."""
    with wiring.open_stores(settings, ("taskdb", "resultdb")) as stores:
        results = list(results_of(stores.resultdb))
        return Evidence(truth, asked, results, list(_tasks(stores.taskdb)), books)


def _tasks(taskdb: TaskStore) -> Iterator[tuple[str, Status]]:
    after: str | None = None
    while rows := taskdb.select(PROJECT, after=after, limit=PAGE):
        after = rows[-1].taskid
        for row in rows:
            yield row.url, row.status
