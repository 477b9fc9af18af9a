"""crawlkit beside Scrapy on one generated shop, crash-safe both: pages/s, CPU ms per page, memory, and the ratio.

    python -m benchmarks.first_mark [--pages 20000] [--runs 3] [--only crawlkit|scrapy]

Each crawler follows every link once and stores title, h1 and price of every page; a run whose results are not exactly
those of the site fails. The runs alternate, so that a change in the machine's mood hits both; medians are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.serve import free_port, serving
from benchmarks.site import Page, write_site

ROOT = Path(__file__).parents[1]
IN_FLIGHT = 64  # requests at once for Scrapy: more did not make it faster


def crawlkit_command(folder: Path, out: Path) -> list[str]:
    command = [sys.executable, str(ROOT / "run.py"), "one", str(ROOT / "benchmarks" / "shop.py")]
    return [*command, "-o", str(out), "--data-path", str(folder / "data"), "--rate", "unlimited"]


def scrapy_command(python: Path, folder: Path, out: Path) -> list[str]:
    settings = {
        "JOBDIR": folder / "job",
        "CONCURRENT_REQUESTS": IN_FLIGHT,
        "CONCURRENT_REQUESTS_PER_DOMAIN": IN_FLIGHT,
        "DOWNLOAD_DELAY": 0,
        "ROBOTSTXT_OBEY": False,
        "LOG_LEVEL": "WARNING",
        "TELNETCONSOLE_ENABLED": False,
    }
    command = [str(python), "-m", "scrapy", "runspider", str(ROOT / "benchmarks" / "peers" / "scrapy_shop.py")]
    for name, value in settings.items():
        command += ["-s", f"{name}={value}"]
    return [*command, "-O", f"{out}:jsonlines"]


def scrapy_python(work: Path) -> Path:
    """An interpreter that has Scrapy, made once."""
    home = work / "scrapy-venv"
    python = home / "bin" / "python"
    if not python.exists():
        print("making a virtual environment with Scrapy", flush=True)
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "scrapy"], check=True)
    return python


def problems(
    out: Path, truth: dict[str, Page], unpack: Callable[[dict[str, Any]], tuple[str, dict[str, str]]]
) -> list[str]:
    """What is wrong with the results of a run: nothing when they are exactly those of the site."""
    seen: dict[str, Page] = {}
    found = []
    with out.open() as lines:
        for line in lines:
            url, result = unpack(json.loads(line))
            if url in seen:
                found.append(f"twice: {url}")
            seen[url] = Page(result["title"], result["h1"], result["price"])
    found += [f"missing: {url}" for url in truth.keys() - seen.keys()]
    found += [f"wrong: {url}: {page}" for url, page in seen.items() if truth.get(url) != page]
    return found


def run_once(
    name: str, command: list[str], folder: Path, out: Path, env: dict[str, str], truth: dict[str, Page]
) -> dict[str, Any]:
    """One run in an empty folder; ends the benchmark when it fails or its results are not exact."""
    record = folder / "record.json"
    log = folder / "log.txt"
    with log.open("w") as said:
        measured = [sys.executable, "-m", "benchmarks.measure", str(record), *command]
        subprocess.run(measured, cwd=ROOT, env=env, stdout=said, stderr=said, check=True)
    figures: dict[str, Any] = json.loads(record.read_text())
    if figures["code"] != 0:
        sys.exit(f"{name} ended with code {figures['code']}:\n{log.read_text()[-2000:]}")
    wrong = problems(out, truth, lambda line: (line["url"], line.get("result", line)))
    if wrong:
        sys.exit(f"{name}: {len(wrong)} results are not right, such as {wrong[:3]}")
    figures["pages/s"] = len(truth) / figures["wall"]
    figures["ms/page"] = figures["cpu"] * 1000 / len(truth)
    return figures


def show(name: str, run: int | str, figures: dict[str, Any]) -> None:
    print(
        f"{name:10} {run!s:>6} {figures['pages/s']:10,.0f} {figures['ms/page']:12.3f} {figures['wall']:8.1f} "
        f"{figures['pss'] / 2**20:9.0f} {figures['rss'] / 2**20:9.0f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=["crawlkit", "scrapy"])
    parser.add_argument("--work", type=Path, default=ROOT / ".bench", help="where site, state and results go")
    options = parser.parse_args()
    work: Path = options.work.absolute()
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    shutil.rmtree(work / "site", ignore_errors=True)
    print(f"writing {options.pages:,} pages", flush=True)
    truth = write_site(work / "site", options.pages, base)
    names = [options.only] if options.only else ["crawlkit", "scrapy"]
    python = scrapy_python(work) if "scrapy" in names else Path()
    env = {**os.environ, "SHOP_URL": f"{base}/p/0.html", "PYTHONPATH": str(ROOT)}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with serving(work / "site", port) as server:
        print(f"served by {server}, {os.cpu_count()} cores, Python {sys.version.split()[0]}")
        print(
            f"{'':10} {'run':>6} {'pages/s':>10} {'CPU ms/page':>12} {'wall s':>8} {'PSS MB':>9} {'RSS MB':>9}",
            flush=True,
        )
        for number in range(1, options.runs + 1):
            for name in names:
                folder = work / name
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                out = folder / "out.jsonl"
                command = crawlkit_command(folder, out) if name == "crawlkit" else scrapy_command(python, folder, out)
                figures = run_once(name, command, folder, out, env, truth)
                runs[name].append(figures)
                show(name, number, figures)
    medians = {
        name: {key: statistics.median(figures[key] for figures in all_runs) for key in all_runs[0]}
        for name, all_runs in runs.items()
    }
    for name, median in medians.items():
        show(name, "median", median)
    if len(medians) == 2:
        ratio = medians["crawlkit"]["pages/s"] / medians["scrapy"]["pages/s"]
        cpu = medians["scrapy"]["ms/page"] / medians["crawlkit"]["ms/page"]
        print(
            f"crawlkit does {ratio:.1f} times Scrapy's pages/s, at {cpu:.1f} times less CPU a page; all results exact"
        )


if __name__ == "__main__":
    main()
