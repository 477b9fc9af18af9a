"""One crawl of the site by a running ``crawlkit all``: what it cost, and whether its results are exact."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from crawlkit import wiring
from crawlkit.libs.errors import CrawlkitError, ServiceUnreachable
from crawlkit.libs.rows import ProjectRow
from crawlkit.proving.processes import Memory, by_part, cpu, family
from crawlkit.proving.running import Running
from crawlkit.proving.shop import PROJECT
from crawlkit.proving.site import Page
from crawlkit.proving.truth import wrong

if TYPE_CHECKING:
    from crawlkit.settings import Settings

STALLED = 60.0  # seconds in which nothing happened
FAR = 0.2  # seconds at most between two looks while many pages are missing: a look is work for the scheduler
SURE = 2.0  # seconds after which a crawl that says it is over is believed although pages are missing
PAGE = 1_000  # results read at a time
Watch = Callable[[int, int], None]  # pages done and failed


@dataclass(frozen=True)
class Figures:
    """Of one crawl. Seconds of CPU are those between the order to start and the end."""

    start: float  # seconds from the command until everything was ready
    crawl: float  # seconds from the order to start until nothing was left to do
    parts: dict[str, float]  # CPU of each component
    servers: dict[str, float]  # CPU of the servers on this machine
    pss: int  # bytes at most, of all processes; 0: the system does not tell


def crawl(
    running: Running,
    began: float,
    settings: Settings,
    script: str,
    pages: int,
    servers: Mapping[str, list[psutil.Process]],
    watch: Watch,
) -> Figures:
    """Crawls by ``script`` from its start to its end. ``began``: when ``running`` was started, monotonic.

    ``servers``: processes whose CPU is told beside, by a name. Raises as :meth:`Running.until`.
    """
    memory = Memory(lambda: family(running.root))
    memory.start()
    try:
        running.wait_ready()
        start = time.monotonic() - began
        with wiring.open_stores(settings, ("projectdb",), create=True) as stores:
            row = ProjectRow(name=PROJECT, script=script, status="RUNNING", rate=None, rate_set=True)
            stores.projectdb.put(row, author="bench", message="crawlkit bench")
        with closing(wiring.control_client(settings)) as control:
            control.update_project()
            served = {name: cpu(processes) for name, processes in servers.items()}
            before, ordered = by_part(family(running.root)), time.monotonic()
            control.run(PROJECT)
        _wait_drained(running, settings, pages, watch)
        over, after = time.monotonic(), by_part(family(running.root))
        served = {name: cpu(processes) - served[name] for name, processes in servers.items()}
    except ServiceUnreachable:
        if running.process.poll() is None:
            raise
        raise CrawlkitError(f"crawlkit all ended with code {running.process.returncode}") from None
    finally:
        memory.stop()
    parts = {part: seconds - before.get(part, 0.0) for part, seconds in after.items()}
    return Figures(start, over - ordered, parts, served, memory.peak())


def _wait_drained(running: Running, settings: Settings, pages: int, watch: Watch) -> None:
    """Until nothing is left to do."""
    with ExitStack() as stack:
        control = stack.enter_context(closing(wiring.control_client(settings)))
        began = moved = time.monotonic()
        seen = (0, 0, 0)

        def over() -> bool:
            nonlocal control, moved, seen
            if time.monotonic() - moved > STALLED:
                raise CrawlkitError(f"the crawl stands still: {seen[1]:,} pages done, {seen[2]:,} failed")
            try:
                summary: dict[str, Any] = control.summary()
            except ServiceUnreachable:  # the next one may be on its way
                with suppress(ServiceUnreachable):
                    control = stack.enter_context(closing(wiring.control_client(settings)))
                return False
            shop = summary["projects"].get(PROJECT, {})
            now = (int(summary["sent"]), int(shop.get("done", 0)), int(shop.get("failed", 0)))
            if now != seen:
                moved, seen = time.monotonic(), now
                watch(min(now[1], pages), now[2])  # on_start is done too, and no page
            if now[1] < 0.8 * pages:
                time.sleep(min(FAR, (time.monotonic() - began) / 10))
            # a summary may be from before the order: then nothing was sent
            sure = now[0] >= pages or (now[0] > 0 and time.monotonic() - moved > SURE)
            return bool(summary["drained"]) and sure

        running.until(over, "the crawl does not come to an end", float("inf"))


def problems(settings: Settings, truth: Mapping[str, Page]) -> list[str]:
    """What is wrong with the results: nothing when they are exactly those of the site."""
    with wiring.open_stores(settings, ("resultdb",)) as stores:
        return wrong(results_of(stores.resultdb), truth)


def results_of(resultdb: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(URL, fields) of each."""
    after = 0
    while rows := resultdb.since(after, PAGE, [PROJECT]):
        for row in rows:
            yield row.url, json.loads(row.result)
        after = rows[-1].seq
