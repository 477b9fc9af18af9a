"""The same crawl on each pair of queues and databases: pages/s, CPU ms per page, as a Markdown table.

    python -m benchmarks.pairs [--pages 5000] [--runs 3] [--only local+sqlite,redis+postgres] [--table docs/FILE.md]

``crawlkit all`` with one of each component crawls a generated shop; a run whose results are not exactly those of the
site fails. The clock runs from the order to start until nothing is left to do. CPU is that of crawlkit's processes and,
in a column of its own, that of the servers of queues and database, which are looked for at the ports of their URLs.
Each run has a database, a key prefix or a virtual host's prefix of its own, and removes it. The pairs alternate.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.truth import from_lines
from crawlkit.database import scratch
from crawlkit.libs.errors import CrawlkitError
from crawlkit.libs.messages import QUEUE_NAMES
from crawlkit.message_queue import scratch as queues
from crawlkit.proving.processes import cpu, server_at
from crawlkit.proving.running import Running
from crawlkit.proving.serving import free_port, serving
from crawlkit.proving.shop import shop_script
from crawlkit.proving.site import Page, write_site
from crawlkit.proving.truth import wrong

ROOT = Path(__file__).parents[1]
RUN = [sys.executable, str(ROOT / "run.py")]
QUEUES = {
    "local": "",
    "manager": "",
    "redis": "redis://127.0.0.1:6379/0",
    "amqp": "amqp://guest:guest@127.0.0.1:5672/%2F",
}
DATABASES = {"sqlite": "", "postgres": "postgresql+psycopg://postgres@127.0.0.1:5432/test"}
PAIRS = [f"{queue}+{database}" for database in DATABASES for queue in QUEUES]
BEGIN, END = "<!-- pairs: begin -->", "<!-- pairs: end -->"
PATIENCE = 600.0  # seconds for a run
FIGURES = ("pages/s", "ms/page", "servers ms/page", "wall")


@contextlib.contextmanager
def queue_url(kind: str, url: str) -> Iterator[str]:
    """The URL of queues that nobody else uses; what a run leaves in a shared broker is removed."""
    if kind == "local":
        yield ""
    elif kind == "manager":
        yield f"manager://:{secrets.token_hex(20)}@127.0.0.1:{free_port()}"
    else:
        own = queues.with_prefix(url, f"bench-{secrets.token_hex(4)}")
        yield own
        asyncio.run(queues.remove(own, QUEUE_NAMES))


@contextlib.contextmanager
def database_url(kind: str, url: str) -> Iterator[str]:
    """The URL of an empty database, dropped at the end."""
    if kind == "sqlite":
        yield ""
        return
    own = scratch.with_database(url, f"bench_{secrets.token_hex(4)}")
    scratch.make(own)
    try:
        yield own
    finally:
        scratch.drop(own)


class All(Running):
    """A running ``crawlkit all`` in a folder, that ends the benchmark when something goes wrong."""

    def __init__(self, folder: Path, queue: str, database: str, by: Sequence[str] = ()) -> None:
        """``by``: a command that runs it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CRAWLKIT_")}
        urls = {"CRAWLKIT_MESSAGE_QUEUE": queue, "CRAWLKIT_DATABASE": database}
        env = kept | {name: url for name, url in urls.items() if url} | {
            "CRAWLKIT_DATA_PATH": str(folder / "data"),
            "CRAWLKIT_SCHEDULER_XMLRPC_PORT": "0",
            "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        super().__init__(folder, env, by=by)

    def say(self, *command: str) -> str:
        done = subprocess.run([*RUN, *command], env=self.env, cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            self.fail(f"{command} ended with code {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def wait_drained(self, control: Any, pages: int) -> None:
        def over() -> bool:  # a summary may be from before the start: then nothing was sent
            seen = control.summary()
            return bool(seen["drained"]) and seen["sent"] >= pages

        self.until(over, "it does not come to an end")

    def until(self, condition: Callable[[], bool], problem: str, seconds: float = PATIENCE) -> None:
        try:
            super().until(condition, problem, seconds)
        except CrawlkitError as error:
            self.fail(str(error))

    def fail(self, problem: str) -> None:
        sys.exit(f"{problem}:\n{self.log.read_text()[-3000:]}")


def crawl(pair: str, folder: Path, start: str, truth: dict[str, Page], urls: dict[str, str]) -> dict[str, float]:
    """One crawl with one pair; ends the benchmark when it fails or its results are not exact."""
    from crawlkit import wiring
    from crawlkit.settings import Settings

    queue_kind, database_kind = pair.split("+")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    script = folder / "shop.py"
    script.write_text(shop_script(start))
    with (
        database_url(database_kind, urls.get(database_kind, "")) as database,
        queue_url(queue_kind, urls.get(queue_kind, "")) as queue,
    ):
        servers = server_at(database) + (server_at(queue) if urls.get(queue_kind) else [])
        running = All(folder, queue, database)
        try:
            running.wait_ready()
            running.say("project", "put", str(script), "--rate", "unlimited", "--status", "RUNNING")
            control = wiring.control_client(Settings(data_path=folder / "data"))
            began, used, served = time.monotonic(), cpu([running.root]), cpu(servers)
            control.run("shop")
            running.wait_drained(control, len(truth))
            wall = time.monotonic() - began
            used, served = cpu([running.root]) - used, cpu(servers) - served
            control.close()
            out = folder / "out.jsonl"
            out.write_text(running.say("results", "shop"))
            running.say("audit", "shop")
        finally:
            running.stop()
    problems = wrong(from_lines(out), truth)
    if problems:
        sys.exit(f"{pair}: {len(problems)} results are not right, such as {problems[:3]}")
    pages = len(truth)
    return {
        "pages/s": pages / wall,
        "ms/page": used * 1000 / pages,
        "servers ms/page": served * 1000 / pages,
        "wall": wall,
    }


def table(medians: dict[str, dict[str, float]], about: str) -> str:
    """Markdown."""
    lines = [about, "", "| queues | database | pages/s | CPU ms per page, crawlkit | CPU ms per page, servers |",
             "|---|---|---:|---:|---:|"]  # fmt: skip
    for pair, one in medians.items():
        queue, database = pair.split("+")
        lines.append(
            f"| {queue} | {database} | {one['pages/s']:,.0f} | {one['ms/page']:.2f} | {one['servers ms/page']:.2f} |"
        )
    return "\n".join(lines)


def put_table(file: Path, text: str) -> None:
    """Writes the table between its two marks."""
    page = file.read_text()
    if BEGIN not in page or END not in page:
        sys.exit(f"{file}: there is no place for the table: {BEGIN} and {END}, each on a line of its own")
    file.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{text}\n{END}", page, flags=re.DOTALL))


def show(pair: str, run: int | str, one: dict[str, float]) -> None:
    print(
        f"{pair:18} {run!s:>6} {one['pages/s']:10,.0f} {one['ms/page']:12.3f} {one['servers ms/page']:12.3f}"
        f" {one['wall']:8.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=5_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default=",".join(PAIRS), help="pairs, with commas between them")
    parser.add_argument("--redis", default=QUEUES["redis"])
    parser.add_argument("--amqp", default=QUEUES["amqp"])
    parser.add_argument("--postgres", default=DATABASES["postgres"])
    parser.add_argument("--work", type=Path, default=ROOT / ".bench" / "pairs", help="where sites and state go")
    parser.add_argument("--table", type=Path, help="a Markdown file with a place for the table")
    options = parser.parse_args()
    pairs = options.only.split(",")
    unknown = [pair for pair in pairs if pair not in PAIRS]
    if unknown:
        parser.error(f"--only: unknown: {', '.join(unknown)}; the pairs are {', '.join(PAIRS)}")
    urls = {"redis": options.redis, "amqp": options.amqp, "postgres": options.postgres}
    work: Path = options.work.absolute()
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    shutil.rmtree(work / "site", ignore_errors=True)
    truth = write_site(work / "site", options.pages, base)
    runs: dict[str, list[dict[str, float]]] = {pair: [] for pair in pairs}
    with serving(work / "site", port) as server:
        about = (
            f"{options.pages:,} pages served by {server}, {os.cpu_count()} cores, Python {sys.version.split()[0]};"
            f" medians of {options.runs} runs."
        )
        print(about)
        print(f"{'':18} {'run':>6} {'pages/s':>10} {'CPU ms/page':>12} {'servers':>12} {'wall s':>8}", flush=True)
        for number in range(1, options.runs + 1):
            for pair in pairs:
                one = crawl(pair, work / pair, f"{base}/p/0.html", truth, urls)
                runs[pair].append(one)
                show(pair, number, one)
    medians = {
        pair: {key: statistics.median(one[key] for one in all_runs) for key in FIGURES}
        for pair, all_runs in runs.items()
    }
    for pair, median in medians.items():
        show(pair, "median", median)
    (work / "pairs.json").write_text(json.dumps({"about": about, "runs": runs}, indent=1))
    if options.table:
        put_table(options.table, table(medians, about))


if __name__ == "__main__":
    main()
