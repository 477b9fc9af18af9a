"""crawlkit beside its peers on one generated shop: pages/s, CPU ms per page, memory, and the ratios.

    python -m benchmarks [--pages 5000,20000] [--kinds plain,doc,large,tls,http2] [--runs 3] [--only NAMES]
                         [--json FILE] [--svg FILE] [--table docs/benchmarks.md]
    python -m benchmarks --show FILE.json [--svg FILE] [--table FILE.md]

Each crawler follows every link once and stores title, h1 and price of every page; a run whose results are not exactly
those of the site ends the benchmark. Those that do less are marked. The runs take turns, so that a change in the
machine's mood hits all; medians are compared. Times are of the whole command, from its start to its end.
Kinds: ``plain`` (10 KB a page, .css), ``doc`` (response.doc), ``large`` (100 KB), ``tls``, ``http2`` (over TLS).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks import plot, racers
from benchmarks.pairs import ROOT
from benchmarks.racers import DOC, HTTP2, LARGE, PLAIN, TLS, Missing, Racer, Task
from crawlkit.proving.machine import this_machine
from crawlkit.proving.serving import free_port, serving
from crawlkit.proving.site import write_site

KINDS = {
    PLAIN: "10 KB a page, .css",
    DOC: "10 KB a page, response.doc",
    LARGE: "100 KB a page",
    TLS: "10 KB a page, TLS",
    HTTP2: "10 KB a page, HTTP/2 over TLS",
}
MORE = 88  # paragraphs that make a page 100 KB
LISTEN = {TLS: "ssl", HTTP2: "ssl http2"}
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
PARTS = ("scheduler", "fetcher", "processor", "result_worker", "queues")
Medians = dict[str, dict[str, Any]]


def run_all(options: argparse.Namespace, kind: str, pages: int) -> dict[str, Any]:
    """All runs of one kind and size: name -> figures of each run."""
    work: Path = options.work.absolute()
    port = free_port()
    base = f"{'https' if kind in LISTEN else 'http'}://127.0.0.1:{port}"
    shutil.rmtree(work / "site", ignore_errors=True)
    truth = write_site(work / "site", pages, base, more=MORE if kind == LARGE else 0)
    taking_part = [one for one in racers.ALL if kind in one.kinds and (not options.only or one.name in options.only)]
    runs: dict[str, list[dict[str, Any]]] = {one.name: [] for one in taking_part}
    missing: dict[str, str] = {}
    with serving(work / "site", port, LISTEN.get(kind, "")) as server:
        print(f"\n{pages:,} pages, {KINDS[kind]}, served by {server}", flush=True)
        print(f"{'':18} {'run':>6} {'pages/s':>10} {'CPU ms/page':>12} {'wall s':>8} {'PSS MB':>8}", flush=True)
        for number in range(1, options.runs + 1):
            for one in taking_part:
                if one.name in missing:
                    continue
                folder = work / one.name.replace(" ", "-")
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                try:
                    figures = one.run(Task(kind, f"{base}/p/0.html", folder, truth, work / "peers"))
                except Missing as why:
                    missing[one.name] = str(why)
                    print(f"{one.name:18} left out: {why}", flush=True)
                    continue
                figures["pages/s"], figures["ms/page"] = pages / figures["wall"], figures["cpu"] * 1000 / pages
                runs[one.name].append(figures)
                show(one.name, str(number), figures)
    runs = {name: found for name, found in runs.items() if found}
    for name, median in medians_of(runs).items():
        show(name, "median", median)
    return {"kind": kind, "pages": pages, "server": server, "runs": runs, "missing": missing}


def medians_of(runs: dict[str, list[dict[str, Any]]]) -> Medians:
    """The median of each figure; of parts, of each part."""
    found: Medians = {}
    for name, all_runs in runs.items():
        first = all_runs[0]
        numbers = [key for key in first if key not in ("parts", "code")]
        found[name] = {key: statistics.median(one[key] for one in all_runs) for key in numbers}
        if "parts" in first:
            found[name]["parts"] = {
                part: statistics.median(one["parts"].get(part, 0.0) for one in all_runs) for part in first["parts"]
            }
    return found


def show(name: str, run: str, figures: dict[str, Any]) -> None:
    print(
        f"{name:18} {run:>6} {figures['pages/s']:10,.0f} {figures['ms/page']:12.3f} {figures['wall']:8.1f} "
        f"{figures['pss'] / 2**20:8.0f}",
        flush=True,
    )


def ratio(medians: Medians, name: str, to: str, key: str = "pages/s") -> str:
    """How many times as much as ``to``; "": one of both is missing."""
    if to not in medians or name not in medians:
        return ""
    return f"{medians[name][key] / medians[to][key]:.2f}"


def table(race: dict[str, Any]) -> str:
    """Markdown of one kind and size, with the ratio to the dream in its first line."""
    medians = medians_of(race["runs"])
    about = {one.name: one for one in racers.ALL}
    lines = [f"### {race['pages']:,} pages, {KINDS[race['kind']]}", ""]
    dream = ratio(medians, "crawlkit", racers.DREAM)
    if dream:
        lines += [
            f"crawlkit does {dream} times the pages/s of {racers.DREAM}, which keeps nothing; 1.0 is the dream.",
            "",
        ]
    lines += [
        "| | pages/s | to Scrapy | CPU ms a page | to the bare loop | peak PSS MB | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for name, one in sorted(medians.items(), key=lambda item: -item[1]["pages/s"]):
        less = "does less: " if about[name].less else ""
        lines.append(
            f"| {name} | {one['pages/s']:,.0f} | {ratio(medians, name, racers.REFERENCE)} | {one['ms/page']:.3f} | "
            f"{ratio(medians, name, racers.FLOOR, 'ms/page')} | {one['pss'] / 2**20:,.0f} | {less}{about[name].about} |"
        )
    return "\n".join([*lines, *more_about(medians, race["pages"])])


def more_about(medians: Medians, pages: int) -> list[str]:
    """What is known of ``crawlkit all`` beyond the line in the table."""
    one = medians.get("crawlkit")
    if one is None:
        return []
    parts = ", ".join(f"{part} {one['parts'].get(part, 0.0) * 1000 / pages:.3f}" for part in PARTS)
    lines = ["", f"crawlkit by component, CPU ms a page without its start: {parts}. Start-up apart it does "
             f"{pages / one['crawling']:,.0f} pages/s."]  # fmt: skip
    if one["early"]:
        grown = one["late"] / one["early"] - 1
        lines[-1] += (
            f" Memory of all its processes: {one['early'] / 2**20:.0f} MB at 5,000 pages, "
            f"{one['late'] / 2**20:.0f} MB at the end ({grown:+.0%})."
        )
    return lines


def about_machine(work: Path) -> str:
    """The machine and the versions."""
    machine = this_machine()
    peers = [f"{name} {found}" for name in ("scrapy", "crawlee") if (found := racers.version(work / "peers", name))]
    cores = f"{machine.cores} cores ({machine.model})" if machine.model else f"{machine.cores} cores"
    return ", ".join([cores, machine.system, machine.python, *peers, racers.SPIDER])


def picture(races: list[dict[str, Any]]) -> str:
    """SVG: pages/s of all, of the largest plain race."""
    race = max((one for one in races if one["kind"] == PLAIN), key=lambda one: int(one["pages"]), default=races[0])
    medians = medians_of(race["runs"])
    bars = sorted(((name, float(one["pages/s"])) for name, one in medians.items()), key=lambda bar: -bar[1])
    return plot.bars(f"pages/s, {race['pages']:,} pages, {KINDS[race['kind']]}", bars, strong={"crawlkit"})


def write(options: argparse.Namespace, found: dict[str, Any]) -> None:
    """Wherever it is wanted."""
    tables = "\n\n".join(table(race) for race in found["races"])
    text = f"{found['about']}; medians of {found['of']} runs.\n\n{tables}"
    print(f"\n{text}")
    if options.svg:
        options.svg.write_text(picture(found["races"]))
    if options.table:
        page = options.table.read_text()
        if BEGIN not in page or END not in page:
            sys.exit(f"{options.table}: there is no place for the tables: {BEGIN} and {END}, each on a line of its own")
        head, _, rest = page.partition(BEGIN)
        options.table.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


def chosen(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def main_of(arguments: list[str] | None = None) -> None:
    """The command, with ``arguments`` instead of those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", default="5000,20000", help="sizes of the site, with commas between them")
    parser.add_argument("--kinds", default=PLAIN, help=f"some of {', '.join(KINDS)}")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help=f"some of {', '.join(one.name for one in racers.ALL)}")
    parser.add_argument("--work", type=Path, default=ROOT / ".bench", help="where site, peers, state and results go")
    parser.add_argument("--json", type=Path, help="the figures of all runs go to this file")
    parser.add_argument("--svg", type=Path, help="a picture goes to this file")
    parser.add_argument("--table", type=Path, help="a Markdown file with a place for the tables")
    parser.add_argument("--show", type=Path, help="run nothing; show what --json wrote")
    options = parser.parse_args(arguments)
    options.only = chosen(options.only)
    names: list[Racer] = racers.ALL
    unknown = [name for name in options.only if name not in {one.name for one in names}]
    unknown += [kind for kind in chosen(options.kinds) if kind not in KINDS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    if options.show:
        write(options, json.loads(options.show.read_text()))
        return
    races = [run_all(options, kind, int(pages)) for kind in chosen(options.kinds) for pages in chosen(options.pages)]
    found = {"about": about_machine(options.work.absolute()), "of": options.runs, "races": races}
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    write(options, found)


if __name__ == "__main__":
    main_of()
