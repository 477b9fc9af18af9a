"""How long the first moments take: crawlkit --version, crawlkit one on one page, crawlkit all until it is ready.

    python -m benchmarks.startup [--runs 5] [--json FILE]

Wall time of whole commands, medians; for ``all`` until it says that it is ready.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.pairs import All
from crawlkit.proving.serving import free_port, serving

SCRIPT = """
from crawlkit import BaseHandler

class Handler(BaseHandler):
    def on_start(self):
        self.crawl({url!r}, callback=self.page)

    def page(self, response):
        return {{"title": response.css("title::text").get()}}
"""
PAGE = "<html><title>One page</title><p>Nothing more.</p></html>"


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def command(*words: str, cwd: Path) -> str:
    """What the installed command prints; ends the benchmark when it fails."""
    crawlkit = Path(sys.executable).with_name("crawlkit")
    return subprocess.run([str(crawlkit), *words], cwd=cwd, check=True, capture_output=True, text=True).stdout


def one_page(folder: Path) -> None:
    if "One page" not in command("one", "page.py", cwd=folder):
        sys.exit("crawlkit one did not print the result")


def ready(folder: Path) -> float:
    """Seconds until everything is ready."""
    with tempfile.TemporaryDirectory(dir=folder) as home:
        began = time.perf_counter()
        running = All(Path(home), "", "")
        try:
            running.wait_ready()
            return time.perf_counter() - began
        finally:
            running.stop()


def measure(folder: Path, runs: int) -> dict[str, list[float]]:
    """Seconds of each run."""
    port = free_port()
    (folder / "site").mkdir()
    (folder / "site" / "index.html").write_text(PAGE)
    (folder / "page.py").write_text(SCRIPT.format(url=f"http://127.0.0.1:{port}/index.html"))
    found: dict[str, list[float]] = {"--version": [], "one": [], "all": []}
    with serving(folder / "site", port):
        for _ in range(runs):
            found["--version"].append(timed(lambda: command("--version", cwd=folder)))
            found["one"].append(timed(lambda: one_page(folder)))
            found["all"].append(ready(folder))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="the figures go to this file")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        found = measure(folder, options.runs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name, times in found.items():
        print(f"crawlkit {name:10} median {statistics.median(times):6.3f} s   ({', '.join(f'{t:.3f}' for t in times)})")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
