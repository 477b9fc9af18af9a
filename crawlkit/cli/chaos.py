"""``crawlkit chaos``: kills the components of a crawl again and again, and says whether anything was lost or doubled.

Who is killed when, what is watched and what is judged is in :mod:`crawlkit.proving`; this puts it together.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crawlkit.cli.apart import Bar, apart_options, config_of, environment_of, leaving, own_folder, told
from crawlkit.cli.base import command, option, say, settings_of
from crawlkit.libs.errors import CrawlkitError, UsageError

if TYPE_CHECKING:
    from crawlkit.proving.chaos_report import Order, Report
    from crawlkit.proving.grounds import Grounds
    from crawlkit.proving.interrupts import Interrupts
    from crawlkit.proving.ledger import Ledger
    from crawlkit.proving.ordeal import Course
    from crawlkit.proving.running import Running
    from crawlkit.proving.site import Page
    from crawlkit.settings import Settings

NAME = "crawlkit_chaos"
FEWEST = 100  # pages
KILL_EVERY = 2.0  # seconds, on average
DELAY = 0.1  # seconds until the site answers, so that every kill finds some fetches under way
WORK = 0.01  # seconds a page takes in a handler worker at most, for the same reason


@command(
    name="chaos",
    example="crawlkit chaos\n"
    "crawlkit --database postgresql+psycopg://crawler@db/crawl --message-queue redis://broker chaos --minutes 10",
)
@option("--minutes", type=click.FloatRange(min=0, min_open=True), default=2.0, show_default=True,
        help="How long it lasts, about.")  # fmt: skip
@option("--pages", type=click.IntRange(min=FEWEST), default=10_000, show_default=True, help="Pages of the site.")
@option("--kills", type=click.IntRange(min=1), help="How many.  [default: one in two seconds]")
@option("--seed", type=click.IntRange(min=0), help="Who is killed when: the same for the same seed.  [default: any]")
@apart_options
@click.pass_context
def chaos(
    ctx: click.Context,
    /,
    minutes: float,
    pages: int,
    kills: int | None,
    seed: int | None,
    empty_database: str | None,
    as_json: bool,
    keep: bool,
    **numbers: int | None,
) -> int:
    """Kill components of a crawl on this machine, with your database and your queues, and check that nothing is lost.

    It starts `crawlkit all` in places of its own, as `crawlkit bench` does, has it crawl a generated site, and sends
    SIGKILL to a scheduler, fetcher, processor, result worker or handler worker, one after the other. What you have is
    not touched, and all of it is taken away at the end. Exits 1 when anything was lost or doubled, or was not back in
    time.
    """
    from crawlkit.proving.chaos_report import Order
    from crawlkit.proving.interrupts import Interrupts

    settings, config = settings_of(ctx), config_of(ctx, numbers)
    wanted = kills or max(1, round(minutes * 60 / KILL_EVERY))
    order = Order(minutes, pages, wanted, random.SystemRandom().randrange(10**6) if seed is None else seed)
    with Interrupts(lambda: say("interrupted: taking away what was made")) as interrupts:
        trying = Chaos(settings, config, interrupts, order, empty_database=empty_database, keep=keep)
        with leaving("chaos", trying.left):
            report = trying.run()
    return told(report, as_json=as_json)


class Chaos:
    """One crawl and its kills. ``left``: what could not be taken away."""

    def __init__(
        self,
        settings: Settings,
        config: dict[str, Any],
        interrupts: Interrupts,
        order: Order,
        *,
        empty_database: str | None,
        keep: bool,
    ) -> None:
        self.settings, self.config, self.interrupts, self.order = settings, config, interrupts, order
        self.empty_database, self.keep = empty_database, keep
        self.left: list[str] = []

    def run(self) -> Report:
        """All of it; raises in words when it cannot begin."""
        from crawlkit.proving.chaos_report import Report
        from crawlkit.proving.grounds import grounds
        from crawlkit.proving.kills import schedule
        from crawlkit.proving.machine import this_machine

        try:
            plan = schedule(self.order.seed, self.order.kills, self.order.pages)
        except ValueError as error:
            raise UsageError(f"--kills: {error}") from None
        report = Report(this_machine(), self.order, left=self.left)
        with own_folder(self.settings, NAME, self.interrupts, self.left, keep=self.keep) as folder:
            place = folder / "run"
            place.mkdir()
            partitions = self.config["scheduler"].get("partitions", 1)
            with grounds(
                self.settings, place, self.interrupts.held, empty_database=self.empty_database, partitions=partitions,
                keep=self.keep, called=NAME,
            ) as ground:  # fmt: skip
                ground.left = self.left
                report.kept += ground.kept
                report.database, report.queues = ground.database, ground.queues
                self._crawl(report, folder, ground, plan)
            if self.keep:
                report.kept.insert(0, f"folder {folder}: the site, its requests, the data path, and the log")
        return report

    def _crawl(self, report: Report, folder: Path, ground: Grounds, plan: Any) -> None:
        """Crawls the site, and adds to the report what came of it."""
        from crawlkit.proving.ledger import Ledger, keeping
        from crawlkit.proving.running import Running
        from crawlkit.proving.serving import free_port
        from crawlkit.proving.site import write_site

        say(f"writing a site of {self.order.pages:,} pages; seed {self.order.seed}, {len(plan)} kills")
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        truth = write_site(folder / "site", self.order.pages, base)
        site = Ledger(folder / "site", DELAY)
        config = folder / "run" / "config.json"
        config.write_text(json.dumps(self.config))
        with keeping(site, port), ExitStack() as stack:
            say(f"starting crawlkit all; database: {ground.database}; queues: {ground.queues}")
            running = Running(folder / "run", environment_of(ground.settings, config))
            stack.callback(self._stop, running)
            course = self._watched(running, ground, next(iter(truth)), site, plan)
            if course.trouble is not None:
                say(running.tail())
                report.problems.append(course.trouble)
        if self.keep:
            since = time.time() - time.monotonic()
            lines = [f"{since + one.at:.3f} {one.path}\n" for one in site.requests]
            (folder / "requests.txt").write_text("".join(lines))
        report.window, report.seconds = course.window, course.seconds
        self._judge(report, ground, truth, site.counts(base), course)

    def _watched(self, running: Running, ground: Grounds, start: str, site: Ledger, plan: Any) -> Course:
        from crawlkit.proving.ordeal import undergo
        from crawlkit.proving.reaper import Reaper
        from crawlkit.proving.shop import slow_shop_script

        reaper = Reaper(running.root, plan)
        site.on_request = reaper.on_request
        bar = Bar(self.order.pages)
        rate = self.order.rate
        try:
            return undergo(
                running, ground.settings, slow_shop_script(start, min(WORK, 0.5 / rate)), rate, site, reaper,
                lambda done, failed, kills: bar.watch(done, failed, f"{kills} of {len(plan)} kills"),
            )  # fmt: skip
        except CrawlkitError:
            bar.close()
            say(running.tail())
            raise
        finally:
            bar.close()

    def _stop(self, running: Running) -> None:
        with self.interrupts.held():
            running.stop()

    def _judge(
        self, report: Report, ground: Grounds, truth: Mapping[str, Page], asked: Mapping[str, int], course: Course
    ) -> None:
        from crawlkit import wiring
        from crawlkit.cli.audit import examine
        from crawlkit.proving.ordeal import evidence
        from crawlkit.proving.shop import PROJECT

        with wiring.open_stores(ground.settings, ("taskdb", "resultdb")) as stores:
            books = examine(stores.taskdb, stores.resultdb, PROJECT)
        report.conclude(evidence(ground.settings, truth, asked, books), course.blows, course.traces)
