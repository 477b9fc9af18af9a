"""``crawlkit bench``: how fast this machine crawls, with this database and these queues, and whether it does it right.

The site, its server, its truth and the places to work in are in :mod:`crawlkit.proving`; this puts them together.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from crawlkit.cli.base import command, component_options, option, say, settings_of
from crawlkit.libs.errors import CrawlkitError, UsageError

if TYPE_CHECKING:
    from crawlkit.cli.progress import Progress
    from crawlkit.proving.grounds import Grounds
    from crawlkit.proving.interrupts import Interrupts
    from crawlkit.proving.report import Report
    from crawlkit.proving.running import Running
    from crawlkit.proving.site import Page
    from crawlkit.settings import Settings

FEWEST = 21  # pages: one more than each has links
#: The options of components that say how they work. Others say what they may do, and where, with the user's sites.
TAKEN = {
    "scheduler": ("active_tasks", "window", "loop_limit", "lease", "partitions"),
    "fetcher": ("poolsize", "host_connections", "timeout", "max_cpu", "max_memory", "max_bandwidth", "max_inflight"),
    "processor": ("process_time_limit", "memory_limit", "workers", "keep_pages", "max_cpu", "max_memory",
                  "max_bandwidth", "max_inflight"),
}  # fmt: skip
ROLES = ("fetcher", "processor", "result_worker")


@command(
    name="bench",
    example="crawlkit bench\n"
    "crawlkit --database postgresql+psycopg://crawler@db/crawl --message-queue redis://broker bench --runs 3",
)
@option("--pages", "--total", "pages", type=click.IntRange(min=FEWEST), default=5_000, show_default=True,
        help="Pages of the site.")  # fmt: skip
@option("--runs", type=click.IntRange(min=1), default=1, show_default=True, help="Crawls; the median is told.")
@option("--doc", is_flag=True, help="Read pages by response.doc, as pyspider's scripts do, not by response.css.")
@option("--fetcher-num", type=click.IntRange(min=1), help="Fetchers.  [default: as for all]")
@option("--processor-num", type=click.IntRange(min=1), help="Processors.  [default: as for all]")
@option("--result-worker-num", type=click.IntRange(min=1), help="Result workers.  [default: as for all]")
@option("--empty-database", metavar="NAME",
        help="An empty database on the server, to be left empty, where you may make none.")  # fmt: skip
@option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@option("--keep", is_flag=True, help="Keep the site, the data path and the database, and say where they are.")
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
    config = _config(ctx, numbers)
    with Interrupts(lambda: say("interrupted: taking away what was made")) as interrupts:
        measuring = Bench(settings, config, interrupts, pages=pages, doc=doc, empty_database=empty_database, keep=keep)
        try:
            report = measuring.measure(runs)
        finally:
            for words in measuring.left:
                say(f"crawlkit bench: could not take away: {words}")
    for words in report.kept:
        say(f"kept: {words}")
    click.echo(json.dumps(report.plain()) if as_json else report.text())
    return 1 if report.problems else 0


def _config(ctx: click.Context, numbers: Mapping[str, int | None]) -> dict[str, Any]:
    """The user's options of components, as far as they say how to work, in the shape of a config file."""
    counts = component_options(ctx, "all")
    own = {f"{role}_num": numbers[f"{role}_num"] or max(1, counts[f"{role}_num"]) for role in ROLES}
    found: dict[str, Any] = {"all": own}
    for name, taken in TAKEN.items():
        said = component_options(ctx, name, given_only=True)
        found[name] = {option: said[option] for option in taken if said.get(option) is not None}
    return found


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
        with self._folder() as folder, ExitStack() as stack:
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

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """A new folder on the disk of the data path, or where that cannot be, among the temporary ones."""
        from crawlkit.proving.grounds import remove_folder

        beside = self.settings.data_path.absolute().parent
        while not beside.is_dir():
            beside = beside.parent
        place = str(beside) if os.access(beside, os.W_OK | os.X_OK) else None
        folder = Path(tempfile.mkdtemp(prefix="crawlkit_bench_", dir=place))
        try:
            yield folder
        finally:
            if not self.keep:
                with self.interrupts.held():
                    remove_folder(folder, self.left)

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
            bar = _Bar(self.pages)
            stack.callback(bar.close)
            began = time.monotonic()
            running = Running(place, _environment(ground.settings, config))
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


def _environment(settings: Settings, config: Path) -> dict[str, str]:
    """Of a ``crawlkit all`` that knows nothing of the user's but what ``settings`` and ``config`` say."""
    from crawlkit import wiring
    from crawlkit.cli.together import environment

    own = environment(settings) | {"CRAWLKIT_CONFIG": str(config), "CRAWLKIT_SCHEDULER_XMLRPC_PORT": "0"}
    if settings.message_queue is None:
        del own["CRAWLKIT_MESSAGE_QUEUE"]  # it serves its queues itself
    return wiring.user_environment() | own


class _Bar:
    """Where the crawl is: a bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, pages: int) -> None:
        from crawlkit.cli.progress import Speed, make

        self._bar: Progress | None = make(say, terminal=sys.stderr.isatty())
        self._pages, self._speed = pages, Speed()
        self._began: float | None = None

    def watch(self, done: int, failed: int) -> None:
        from crawlkit.cli.progress import Figures

        if self._began is None:
            self._began = time.monotonic()
        elapsed = time.monotonic() - self._began
        speed = self._speed.add(elapsed, done + failed)
        if self._bar is not None:
            self._bar.show(Figures(done, failed, max(0, self._pages - done - failed), speed, elapsed))

    def close(self) -> None:
        if self._bar is not None:
            with suppress(BrokenPipeError):
                self._bar.close()
            self._bar = None
