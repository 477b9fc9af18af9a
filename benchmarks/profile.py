"""Where the time of a page goes: CPU of each component of ``crawlkit all``, and of it what each module takes.

    python -m benchmarks.profile [--pages 10000] [--doc] [--rate 250] [--keep FOLDER] [--table docs/performance.md]

Crawls a generated shop while py-spy samples all processes, and tells a component's CPU in parts of its samples: a
sample belongs to the last module of crawlkit on its stack, with the libraries that it called. Without py-spy
(``pip install py-spy``), or where it may not look, the CPU of the components alone is told, and that is said.
``--keep``: the raw samples go to a folder, in the form that flame graphs are made of. ``--table``: the figures go
between two marks of a page.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from benchmarks.pairs import All
from crawlkit import wiring
from crawlkit.proving.machine import this_machine
from crawlkit.proving.processes import PARTS, by_part, family, part_of
from crawlkit.proving.serving import free_port, serving
from crawlkit.proving.shop import PROJECT, shop_script
from crawlkit.proving.site import write_site
from crawlkit.settings import Settings

BEGIN, END = "<!-- profile: begin -->", "<!-- profile: end -->"
EVENT_LOOP, OUTSIDE = "the event loop: asyncio, tornado, waiting for sockets", "threads of libraries"
LEAST = 0.004  # ms a page from which on a module has a line of its own
PATIENCE = 20.0  # seconds for py-spy to write down what it saw
PROCESS = re.compile(r"process (\d+)")
#: Where a loop is run: what is below it and calls nothing of ours is the loop's own work, and that of tornado.
LOOP = ("cli/alone.py", "cli/together.py")
OURS = re.compile(r"\(.*?\bcrawlkit/([\w/]+\.py)(?::\d+)?\)$")
Shares = dict[str, Counter[str]]  # component -> module -> samples


def shares(raw: str, parts: Mapping[int, str]) -> Shares:
    """Samples of each component by module. ``parts``: pid -> component; ``raw``: lines ``frame;frame;... count``.

    A worker may be older than its first sample and gone at the end: it belongs to the process above it.
    """
    found: Shares = {}
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        if not count.isdigit():
            continue
        frames = stack.split(";")
        pids = [int(match[1]) for frame in frames if (match := PROCESS.match(frame))]
        part = next((parts[pid] for pid in reversed(pids) if pid in parts), "other")
        ours = [match[1] for frame in frames if (match := OURS.search(frame))]
        last = ours[-1] if ours else ""
        where = EVENT_LOOP if last in LOOP else f"`{last}`" if last else OUTSIDE
        found.setdefault(part, Counter())[where] += int(count)
    return found


def table(cpu: Mapping[str, float], seen: Shares, pages: int) -> str:
    """Markdown: each component's ms a page, and what its modules take of it. ``cpu``: seconds of each component."""
    lines = ["| component | CPU ms a page |", "|---|---:|"]
    lines += [f"| {part} | {cpu[part] * 1000 / pages:.3f} |" for part in PARTS if part in cpu]
    lines.append(f"| in all | {sum(cpu.values()) * 1000 / pages:.3f} |")
    for part in PARTS:
        if seen.get(part) and cpu.get(part):
            lines += ["", f"**{part}**", "", "| module, with the libraries it calls | CPU ms a page |", "|---|---:|"]
            lines += _modules(seen[part], cpu[part] * 1000 / pages)
    return "\n".join(lines)


def _modules(samples: Counter[str], total: float) -> Iterator[str]:
    scale, rest = total / sum(samples.values()), 0.0
    for module, count in samples.most_common():
        if count * scale < LEAST:
            rest += count * scale
            continue
        yield f"| {module} | {count * scale:.3f} |"
    if rest:
        yield f"| others, each less than {LEAST} | {rest:.3f} |"


class Spy:
    """py-spy on a process and all below it, until :meth:`stop`."""

    def __init__(self, pid: int, rate: int, out: Path) -> None:
        self.out, self.why = out, ""
        program = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
        self._process: subprocess.Popen[str] | None = None
        if program is None:
            self.why = "py-spy is not installed (pip install py-spy)"
            return
        command = [program, "record", "--subprocesses", "--nonblocking", "--nolineno", "-r", str(rate), "-f", "raw",
                   "-o", str(out), "-p", str(pid)]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if "Sampling" not in said:
            self._process.kill()
            self.why = f"py-spy does not start: {(said + self._process.communicate()[0]).strip()[-300:]}"

    def stop(self) -> str:
        """What it saw; "": nothing, and ``why`` says why."""
        if self._process is None or self.why:
            return ""
        self._process.send_signal(signal.SIGINT)
        try:
            said = self._process.communicate(timeout=PATIENCE)[0]
        except subprocess.TimeoutExpired:
            self._process.kill()
            said = self._process.communicate()[0]
        if not self.out.exists():
            self.why = f"py-spy wrote nothing: {said.strip()[-300:]}"
            return ""
        return self.out.read_text()


def pids_of(root: psutil.Process) -> dict[int, str]:
    """pid -> component, of all that runs now."""
    return {process.pid: part_of(process) for process in family(root)}


def measure(folder: Path, pages: int, doc: bool, rate: int) -> tuple[dict[str, float], Shares, str]:
    """Seconds of CPU of each component, samples, and why there are none."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    write_site(folder / "site", pages, base)
    script = folder / f"{PROJECT}.py"
    script.write_text(shop_script(f"{base}/p/0.html", doc=doc))
    with serving(folder / "site", port):
        running = All(folder, "", "")
        try:
            running.wait_ready()
            running.say("project", "put", str(script), "--rate", "unlimited", "--status", "RUNNING")
            spy = Spy(running.process.pid, rate, folder / "samples.txt")
            with contextlib.closing(wiring.control_client(Settings(data_path=folder / "data"))) as control:
                before = by_part(family(running.root))
                control.run(PROJECT)
                running.until(lambda: control.summary()["sent"] > pages // 2, "it does not go on")
                parts = pids_of(running.root)
                running.wait_drained(control, pages)
                after = by_part(family(running.root))
            raw = spy.stop()
        finally:
            running.stop()
    return {part: used - before.get(part, 0.0) for part, used in after.items()}, shares(raw, parts), spy.why


def put(page: Path, text: str) -> None:
    """Writes between the two marks."""
    old = page.read_text()
    if BEGIN not in old or END not in old:
        sys.exit(f"{page}: there is no place for the figures: {BEGIN} and {END}, each on a line of its own")
    head, _, rest = old.partition(BEGIN)
    page.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=10_000)
    parser.add_argument("--doc", action="store_true", help="pages are read by response.doc")
    parser.add_argument("--rate", type=int, default=250, help="samples a second of each process")
    parser.add_argument("--keep", type=Path, help="the raw samples go to this folder")
    parser.add_argument("--table", type=Path, help="a page with a place for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cpu, seen, why = measure(Path(folder), options.pages, options.doc, options.rate)
        if options.keep is not None and not why:
            options.keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(folder) / "samples.txt", options.keep)
    machine = this_machine()
    about = (
        f"{options.pages:,} pages of 10 KB by {'response.doc' if options.doc else 'response.css'}, SQLite and local"
        f" queues; {machine.cores} cores ({machine.model}), {machine.python}. CPU without the start."
    )
    if why:
        about += f" By module nothing is told: {why}."
    text = f"{about}\n\n{table(cpu, seen, options.pages)}"
    print(text)
    if options.table is not None:
        put(options.table, text)


if __name__ == "__main__":
    main()
