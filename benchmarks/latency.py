"""From a submission to a result that can be read, on a running ``crawlkit all``: median, p99, the worst.

    python -m benchmarks.latency [--tasks 300] [--busy 0] [--json FILE]

One task at a time is submitted to an idle system by its control channel, and the resultdb is asked until the result is
there: first pages of data: URLs, then pages of a web server on the loopback. ``--busy``: meanwhile another project
crawls so many pages a second; how much of the machine that takes is said.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.pairs import All
from crawlkit import wiring
from crawlkit.database.base import ResultStore
from crawlkit.libs.task import taskid_of
from crawlkit.proving.processes import cpu
from crawlkit.proving.serving import free_port, serving
from crawlkit.proving.shop import shop_script
from crawlkit.proving.site import write_site
from crawlkit.scheduler.control import ControlClient
from crawlkit.settings import Settings

SCRIPT = """
from crawlkit import BaseHandler

class Handler(BaseHandler):
    def page(self, response):
        return {"size": len(response.content)}
"""
WARM_UP = 20
PAGES = 20_000  # of the site that the other project crawls
PATIENCE = 30.0  # seconds for one task
EACH = 0.0005  # seconds between two looks at the resultdb
PAUSE = 0.02  # seconds of rest between two tasks


def one(control: ControlClient, results: ResultStore, url: str) -> float:
    """Seconds until the result of one page can be read."""
    taskid = taskid_of(url)
    task = {"project": "latency", "taskid": taskid, "url": url, "process": {"callback": "page"}}
    began = time.perf_counter()
    verdict = control.submit([task])[0]
    if not verdict["accepted"]:
        raise SystemExit(f"{url}: {verdict}")
    while not results.get("latency", taskid):
        if time.perf_counter() - began > PATIENCE:
            raise SystemExit(f"{url}: no result within {PATIENCE:g} s")
        time.sleep(EACH)
    return time.perf_counter() - began


def series(tasks: int, ask: Callable[[int], float]) -> dict[str, float]:
    """Milliseconds of so many tasks, one after the other."""
    times = []
    for number in range(WARM_UP + tasks):
        times.append(ask(number) * 1000)
        time.sleep(PAUSE)
    times = sorted(times[WARM_UP:])
    return {"p50": statistics.median(times), "p99": times[int(len(times) * 0.99)], "max": times[-1]}


def measure(folder: Path, tasks: int, busy: float) -> dict[str, Any]:
    """All series; ``cores``: what crawlkit took of the machine meanwhile."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    write_site(folder / "site", PAGES if busy else 30, base)
    (folder / "latency.py").write_text(SCRIPT)
    (folder / "shop.py").write_text(shop_script(f"{base}/p/0.html"))
    found: dict[str, Any] = {}
    with serving(folder / "site", port):
        running = All(folder, "", "")
        try:
            running.wait_ready()
            for name, rate in [("latency", "unlimited"), *([("shop", f"{busy:g}")] if busy else [])]:
                running.say("project", "put", str(folder / f"{name}.py"), "--rate", rate, "--status", "RUNNING")
            settings = Settings(data_path=folder / "data")
            control = wiring.control_client(settings)
            with wiring.open_stores(settings, ("resultdb",)) as stores:
                if busy:
                    control.run("shop")
                    running.until(lambda: control.summary()["sent"] > busy, "the other project does not go on")
                began, used = time.monotonic(), cpu([running.root])
                found["data"] = series(tasks, lambda n: one(control, stores.resultdb, f"data:text/plain,page {n}"))
                found["http"] = series(tasks, lambda n: one(control, stores.resultdb, f"{base}/p/0.html?{n}"))
                found["cores"] = (cpu([running.root]) - used) / (time.monotonic() - began)
            control.close()
        finally:
            running.stop()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("--busy", type=float, default=0.0, help="pages/s of another project; 0: none")
    parser.add_argument("--json", type=Path, help="the figures go to this file")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        found = measure(folder, options.tasks, options.busy)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    words = f"beside a crawl of {options.busy:g} pages/s" if options.busy else "idle"
    print(f"{words}: crawlkit took {found['cores']:.2f} of {os.cpu_count()} cores")
    for kind in ("data", "http"):
        one_kind = found[kind]
        print(f"{kind:5} p50 {one_kind['p50']:6.1f} ms   p99 {one_kind['p99']:6.1f} ms   max {one_kind['max']:6.1f} ms")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
