"""``crawlkit bench``: how fast this machine crawls, with this database and these queues, and whether it does it right.

The site, its server, its truth and the places to work in are in :mod:`crawlkit.proving`; this puts them together.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from crawlkit.cli.apart import Bar, apart_options, config_of, environment_of, leaving, own_folder, told
from crawlkit.cli.base import command, option, say, settings_of
from crawlkit.libs.errors import CrawlkitError, UsageError

if TYPE_CHECKING:
    from crawlkit.proving.grounds import Grounds
    from crawlkit.proving.interrupts import Interrupts
    from crawlkit.proving.report import Report
    from crawlkit.proving.running import Running
    from crawlkit.proving.site import Page
    from crawlkit.settings import Settings

FEWEST = 21  # pages: one more than each has links


@command(
    name="bench",
    example="crawlkit bench\n"
    "crawlkit --database postgresql+psycopg://crawler@db/crawl --message-queue redis://broker bench --runs 3",
)
@option("--pages", "--total", "pages", type=click.IntRange(min=FEWEST), default=5_000, show_default=True,
        help="Pages of the site.")  # fmt: skip
@option("--runs", type=click.IntRange(min=1), default=1, show_default=True, help="Crawls; the median is told.")
@option("--doc", is_flag=True, help="Read pages by response.doc, as pyspider's scripts do, not by response.css.")
@apart_options
@click.pass_context
def bench(
    ctx: click.Context,
    /,
    pages: int,
    runs: int,
    doc: bool,
    empty_database: str | None,
    as_json: bool,
    keep: bool,
    **numbers: int | None,
) -> int:
    """Measure a crawl of a generated site on this machine, with your database and your queues.

    It starts `crawlkit all` in places of its own: a folder beside the data path, a database crawlkit_bench_... on your
    server, a prefix of queues. What you have is not touched, and all of it is taken away at the end. Exits 1 when the
    results are not exactly those of the site.
    """
    from crawlkit.proving.interrupts import Interrupts

    settings = settings_of(ctx)
    config = config_of(ctx, numbers)
    with Interrupts(lambda: say("interrupted: taking away what was made")) as interrupts:
        measuring = Bench(settings, config, interrupts, pages=pages, doc=doc, empty_database=empty_database, keep=keep)
        with leaving("bench", measuring.left):
            report = measuring.measure(runs)
    return told(report, as_json=as_json)


class Site(NamedTuple):
    """A site that is served."""

    start: str
    truth: Mapping[str, Page]
    server: str


class Bench:
    """Some crawls of one site. ``left``: what could not be taken away."""

    def __init__(
        self,
        settings: Settings,
        config: dict[str, Any],
        interrupts: Interrupts,
        *,
        pages: int,
        doc: bool,
        empty_database: str | None,
        keep: bool,
    ) -> None:
        self.settings, self.config, self.interrupts = settings, config, interrupts
        self.pages, self.doc, self.empty_database, self.keep = pages, doc, empty_database, keep
        self.left: list[str] = []

    def measure(self, runs: int) -> Report:
        """All crawls; raises in words when one cannot begin."""
        from crawlkit.proving.grounds import grounds
        from crawlkit.proving.machine import this_machine
        from crawlkit.proving.report import Report

        report = Report(this_machine(), "", "", "", self.pages, self.doc, served=True, left=self.left)
        with (
            own_folder(self.settings, "crawlkit_bench", self.interrupts, self.left, keep=self.keep) as folder,
            ExitStack() as stack,
        ):
            site: Site | None = None
            for number in range(1, runs + 1):
                place = folder / f"run-{number}"
                place.mkdir()
                partitions = self.config["scheduler"].get("partitions", 1)
                with grounds(
                    self.settings, place, self.interrupts.held,
                    empty_database=self.empty_database, partitions=partitions, keep=self.keep,
                ) as ground:  # fmt: skip
                    ground.left = self.left
                    report.kept += ground.kept
                    report.database, report.queues = ground.database, ground.queues
                    report.served = not ground.queue_url
                    site = site or stack.enter_context(self._site(folder / "site"))
                    report.server = site.server
                    say(f"run {number} of {runs}: starting crawlkit all; database: {ground.database};"
                        f" queues: {ground.queues}")  # fmt: skip
                    if self._crawl(report, place, ground, site):
                        report.problems += self._problems(ground, site)
                if report.problems:
                    break
            if self.keep:
                report.kept.insert(0, f"folder {folder}: the site, and the data path of each run")
        return report

    @contextmanager
    def _site(self, folder: Path) -> Iterator[Site]:
        """Written and served."""
        from crawlkit.proving.serving import free_port, serving
        from crawlkit.proving.site import write_site

        say(f"writing a site of {self.pages:,} pages")
        port = free_port()
        truth = write_site(folder, self.pages, f"http://127.0.0.1:{port}")
        with serving(folder, port) as server:
            yield Site(next(iter(truth)), truth, server)

    def _crawl(self, report: Report, place: Path, ground: Grounds, site: Site) -> bool:
        """Whether it came to its end; why not is a problem of the report."""
        from crawlkit.proving.processes import server_at
        from crawlkit.proving.running import Running
        from crawlkit.proving.shop import shop_script
        from crawlkit.proving.trial import crawl

        config = place / "config.json"
        config.write_text(json.dumps(self.config))
        servers = {"database": [one for url in ground.database_urls for one in server_at(url)]}
        if ground.queue_url:
            servers["queue"] = server_at(ground.queue_url)
        if not ground.database_urls:
            del servers["database"]
        with ExitStack() as stack:
            bar = Bar(self.pages)
            stack.callback(bar.close)
            began = time.monotonic()
            running = Running(place, environment_of(ground.settings, config))
            stack.callback(self._stop, running)
            try:
                script = shop_script(site.start, doc=self.doc)
                figures = crawl(running, began, ground.settings, script, self.pages, servers, bar.watch)
            except UsageError:
                raise
            except CrawlkitError as error:
                bar.close()
                say(running.tail())
                report.problems.append(str(error))
                return False
            report.runs.append(figures)
            return True

    def _stop(self, running: Running) -> None:
        with self.interrupts.held():
            running.stop()

    def _problems(self, ground: Grounds, site: Site) -> list[str]:
        """What is wrong with the results, and with the books."""
        from crawlkit import wiring
        from crawlkit.cli.audit import examine
        from crawlkit.proving.shop import PROJECT
        from crawlkit.proving.trial import problems

        found = problems(ground.settings, site.truth)
        with wiring.open_stores(ground.settings, ("taskdb", "resultdb")) as stores:
            return found + [f"books: {words}" for words in examine(stores.taskdb, stores.resultdb, PROJECT).problems]
