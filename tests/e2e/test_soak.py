"""A crawl that goes round and round for half an hour: nothing grows, in the processes or in the stores."""

from __future__ import annotations

import os
import re
import sqlite3
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from crawlkit import wiring
from crawlkit.libs.rows import ProjectRow
from crawlkit.settings import Settings
from tests.cli.test_all import everything
from tests.e2e.limited_site import LimitedSite

CHAINS, LENGTH = 200, 50
RATE = 100
EVERY = 10.0  # seconds between two looks
MINUTES = float(os.environ.get("CRAWLKIT_TEST_SOAK_MINUTES", "30"))
GROWTH = 1.03  # of a process's memory, from the middle of the run to its end
ATTEMPT = 600e-6  # megabytes of the database for an attempt; they are kept for seven days, as many as pages
SPARE = {"rss": 2.0, "fds": 2, "threads": 2, "rows": 300, "disk": 4.0}  # MB, MB; what comes and goes
SCRIPT = f"""
from crawlkit import BaseHandler


class Handler(BaseHandler):
    def on_start(self):
        for chain in range({CHAINS}):
            self.crawl("{{base}}%d/0" % chain, callback=self.page, age=1)

    def page(self, response):
        chain, number = map(int, response.url.split("/")[-2:])
        self.crawl("{{base}}%d/%d" % (chain, (number + 1) % {LENGTH}), callback=self.page, age=1)
        return {{{{"number": number, "text": response.css("p::text").get()}}}}
"""
Look = dict[str, float]


def role_of(process: psutil.Process) -> str:
    """What it is by its title; handler workers and what they are forked from count together."""
    title = " ".join(process.cmdline())
    found = re.search(r"crawlkit (.*)", title)
    name = found[1].split(" ")[0] if found else title[:30]
    return "workers" if "zygote" in title else name


def processes(top: psutil.Process) -> Look:
    """Megabytes, open files and threads by role."""
    seen: Counter[str] = Counter()
    for process in [top, *top.children(recursive=True)]:
        try:
            with process.oneshot():
                role = role_of(process)
                seen[f"rss {role}"] += process.memory_info().rss / 1e6  # type: ignore[assignment]
                seen[f"fds {role}"] += process.num_fds()
                seen[f"threads {role}"] += process.num_threads()
        except psutil.NoSuchProcess:
            continue
    return dict(seen)


def stores(folder: Path) -> Look:
    """Rows by table, megabytes by database, logs of SQLite left out: they are written over."""
    seen: Look = {}
    for file in sorted(folder.glob("*.db")):
        seen[f"disk {file.name}"] = file.stat().st_size / 1e6
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=20)) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                [(rows,)] = connection.execute(f'SELECT count(*) FROM "{table}"')
                seen[f"rows {file.stem}.{table}"] = rows
    return seen


def grown(looks: list[Look], bounded: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """What is more at the end than in the middle: name -> (then, now). ``bounded``: what may come to so much."""
    middle = looks[len(looks) * 2 // 5 : len(looks) * 3 // 5]
    end = looks[-max(1, len(looks) // 5) :]
    found = {}
    for name in sorted({name for look in end for name in look}):
        then, now = (statistics.median(look.get(name, 0.0) for look in part) for part in (middle, end))
        most = max(then * GROWTH + SPARE[name.split(" ")[0]], bounded.get(name, 0.0))
        if now > most:
            found[name] = (then, now)
    return found


def flat(value: float) -> Look:
    return {"rss scheduler": value, "fds fetcher": 40, "rows task.mail": 3}


def test_growth_is_seen() -> None:
    steady = [flat(80 + n % 3) for n in range(100)]
    assert grown(steady, {}) == {}
    assert set(grown([flat(80 + n * 0.2) for n in range(100)], {})) == {"rss scheduler"}
    leaking = [look | {"fds fetcher": 40 + n // 10, "rows task.mail": n * 10} for n, look in enumerate(steady)]
    assert set(grown(leaking, {})) == {"fds fetcher", "rows task.mail"}
    assert set(grown(leaking, {"rows task.mail": 1000})) == {"fds fetcher"}


@pytest.fixture
def round_site() -> Iterator[LimitedSite]:
    site = LimitedSite()
    yield site
    site.close()


@pytest.mark.slow
@pytest.mark.timeout(60 * MINUTES + 300)
def test_nothing_grows(round_site: LimitedSite, tmp_path: Path) -> None:
    """Half an hour, or CRAWLKIT_TEST_SOAK_MINUTES."""
    looks: list[Look] = []
    with everything(tmp_path) as top:
        client = wiring.control_client(Settings(data_path=tmp_path / "d"))
        with wiring.open_stores(Settings(data_path=tmp_path / "d"), ("projectdb",)) as opened:
            script = SCRIPT.format(base=round_site.base)
            opened.projectdb.put(
                ProjectRow("round", status="RUNNING", script=script, rate=RATE, burst=RATE, rate_set=True)
            )
        client.update_project()
        assert client.run("round")["accepted"]
        began = time.monotonic()
        while (passed := time.monotonic() - began) < 60 * MINUTES:
            time.sleep(EVERY)
            looks.append(processes(top) | stores(tmp_path / "d"))
            round_site.log[:-100_000] = []
        late = round_site.pace(began + passed * 0.8, began + passed)
    for name in sorted(looks[-1]):
        print(f"{name:32}", *(f"{look.get(name, 0):10.1f}" for look in looks[:: max(1, len(looks) // 8)]))
    print(f"{late:.1f} pages/s in the last fifth of {MINUTES:g} minutes")
    assert late >= RATE * 0.9
    pages = RATE * (passed + 2)
    assert looks[-1]["rows task.attempts"] <= pages
    assert grown(looks, {"rows task.attempts": pages, "disk task.db": pages * ATTEMPT}) == {}
