"""Who takes part in ``python -m benchmarks``, how each is started, and where its results are.

A peer is installed by the benchmark, into a folder of its own; one that cannot be had is left out, and that is said.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import truth, whole
from benchmarks.pairs import DATABASES, QUEUES, ROOT
from crawlkit.proving.shop import shop_script
from crawlkit.proving.site import Page
from crawlkit.proving.truth import wrong

IN_FLIGHT = 64  # requests at once for the peers: more did not make them faster
SPIDER = "@spider-rs/spider-rs@0.0.157"
PEERS = ROOT / "benchmarks" / "peers"
PLAIN, DOC, LARGE, TLS, HTTP2 = "plain", "doc", "large", "tls", "http2"


class Missing(Exception):
    """This one cannot take part here; the words say why."""


@dataclass(frozen=True)
class Task:
    """One run: in an empty ``folder``, from the page at ``start``."""

    kind: str
    start: str
    folder: Path
    truth: dict[str, Page]
    home: Path  # where peers are installed

    @property
    def out(self) -> Path:
        return self.folder / "out.jsonl"

    @property
    def script(self) -> Path:
        """The handler of crawlkit, written now."""
        script = self.folder / "shop.py"
        script.write_text(shop_script(self.start, doc=self.kind == DOC))
        return script


@dataclass(frozen=True)
class Racer:
    """``run`` does the job once and returns its figures (seconds, bytes); raises :class:`Missing`."""

    name: str
    about: str
    run: Callable[[Task], dict[str, Any]]
    kinds: tuple[str, ...]
    less: bool = False  # it does less than the others


def one(task: Task) -> dict[str, Any]:
    """``crawlkit one``: the whole crawl in one command."""
    command = [sys.executable, str(ROOT / "run.py"), "one", str(task.script), "-o", str(task.out)]
    figures = measured(task, [*command, "--data-path", str(task.folder / "data"), "--rate", "unlimited"])
    return checked(figures, truth.from_lines(task.out), task)


def embedded(task: Task) -> dict[str, Any]:
    """``crawlkit all`` on SQLite and local queues."""
    return _whole(task, ("local", ""), ("sqlite", ""))


def servers(task: Task) -> dict[str, Any]:
    """``crawlkit all`` on Redis and PostgreSQL."""
    queue, database = os.environ.get("BENCH_REDIS", QUEUES["redis"]), os.environ.get("BENCH_PG", DATABASES["postgres"])
    return _whole(task, ("redis", queue), ("postgres", database))


def _whole(task: Task, queue: tuple[str, str], database: tuple[str, str]) -> dict[str, Any]:
    figures = whole.crawl(task.folder, task.script, len(task.truth), task.out, queue=queue, database=database)
    return checked(figures, truth.from_lines(task.out), task)


def scrapy(task: Task) -> dict[str, Any]:
    """Scrapy, whose queue is on disk: it goes on where it was when it is killed between two writes."""
    return _scrapy(task, {"JOBDIR": task.folder / "job"})


def scrapy_memory(task: Task) -> dict[str, Any]:
    """Scrapy, whose queue is in memory."""
    return _scrapy(task, {})


def _scrapy(task: Task, more: dict[str, Any]) -> dict[str, Any]:
    settings = {
        "CONCURRENT_REQUESTS": IN_FLIGHT,
        "CONCURRENT_REQUESTS_PER_DOMAIN": IN_FLIGHT,
        "DOWNLOAD_DELAY": 0,
        "ROBOTSTXT_OBEY": False,
        "LOG_LEVEL": "WARNING",
        "TELNETCONSOLE_ENABLED": False,
        **more,
    }
    command = [str(python_with(task.home, "scrapy")), "-m", "scrapy", "runspider", str(PEERS / "scrapy_shop.py")]
    for name, value in settings.items():
        command += ["-s", f"{name}={value}"]
    figures = measured(task, [*command, "-O", f"{task.out}:jsonlines"])
    return checked(figures, truth.from_lines(task.out), task)


def crawlee(task: Task) -> dict[str, Any]:
    """crawlee, whose storage is on disk."""
    python = python_with(task.home, "crawlee[parsel]")
    storage = task.folder / "storage"
    more = {"CRAWLEE_STORAGE_DIR": str(storage), "SHOP_AT_ONCE": str(IN_FLIGHT)}
    figures = measured(task, [str(python), str(PEERS / "crawlee_shop.py")], more)
    return checked(figures, truth.from_folder(storage / "datasets" / "default"), task)


def bare(task: Task) -> dict[str, Any]:
    """The loop without a framework."""
    out = task.folder / "out.sqlite"
    figures = measured(task, [sys.executable, str(PEERS / "bare.py"), task.start, str(out)])
    return checked(figures, truth.from_sqlite(out), task)


def wget2(task: Task) -> dict[str, Any]:
    """wget2: pages into files, nothing else."""
    program = shutil.which("wget2")
    if program is None:
        raise Missing("wget2 is not installed (apt-get install wget2)")
    command = [program, "-r", "-l", "inf", "-q", "--max-threads=16", "--robots=off", "--no-verbose", task.start]
    figures = measured(task, command)
    return counted(figures, sum(1 for file in task.folder.rglob("*.html")), task)


def spider(task: Task) -> dict[str, Any]:
    """spider-rs: links in memory, nothing else."""
    node = shutil.which("node")
    if node is None:
        raise Missing("Node.js is not installed")
    script = package(task.home, SPIDER) / "spider_shop.mjs"
    shutil.copyfile(PEERS / "spider_shop.mjs", script)
    figures = measured(task, [node, str(script)])
    said = (task.folder / "log.txt").read_text().strip().splitlines()
    return counted(figures, int(json.loads(said[-1])["pages"]), task)


ALL = [
    Racer("spider-rs", "Rust; follows links, extracts and keeps nothing", spider, (PLAIN,), less=True),
    Racer("wget2", "C; files on disk, extracts nothing", wget2, (PLAIN,), less=True),
    Racer("bare loop", "pycurl, lxml, SQLite; no framework", bare, (PLAIN, LARGE, TLS, HTTP2)),
    Racer("crawlkit", "crawlkit all, SQLite and local queues", embedded, (PLAIN, DOC, LARGE, TLS, HTTP2)),
    Racer("crawlkit one", "one command, SQLite", one, (PLAIN, DOC)),
    Racer("crawlkit servers", "crawlkit all, Redis and PostgreSQL", servers, (PLAIN,)),
    Racer("scrapy", "JOBDIR: its queue is on disk", scrapy, (PLAIN, DOC, LARGE, TLS)),
    Racer("scrapy memory", "its queue is in memory", scrapy_memory, (PLAIN,)),
    Racer("crawlee", "its storage is on disk", crawlee, (PLAIN,)),
]
REFERENCE, FLOOR, DREAM = "scrapy", "bare loop", "spider-rs"


def measured(task: Task, command: list[str], more: dict[str, str] | None = None) -> dict[str, Any]:
    """Runs a command in the task's folder; ends the benchmark when it fails."""
    record, log = task.folder / "record.json", task.folder / "log.txt"
    env = {**os.environ, "SHOP_URL": task.start, "PYTHONPATH": str(ROOT), **(more or {})}
    measure = [sys.executable, str(ROOT / "benchmarks" / "measure.py"), str(record), *command]
    with log.open("w") as said:
        subprocess.run(measure, cwd=task.folder, env=env, stdout=said, stderr=said, check=True)
    figures: dict[str, Any] = json.loads(record.read_text())
    if figures["code"] != 0:
        sys.exit(f"{command[:3]} ended with code {figures['code']}:\n{log.read_text()[-2000:]}")
    return figures


def checked(figures: dict[str, Any], results: Iterator[tuple[str, dict[str, Any]]], task: Task) -> dict[str, Any]:
    """Ends the benchmark unless the results are those of the site."""
    problems = wrong(results, task.truth)
    if problems:
        sys.exit(f"{task.folder.name}: {len(problems)} results are not right, such as {problems[:3]}")
    return figures


def counted(figures: dict[str, Any], pages: int, task: Task) -> dict[str, Any]:
    """Ends the benchmark when pages are missing, of one that keeps no results."""
    if pages < len(task.truth):
        sys.exit(f"{task.folder.name}: came to {pages:,} of {len(task.truth):,} pages")
    return figures


def python_with(home: Path, package: str) -> Path:
    """An interpreter that has a package, made once."""
    folder = home / package.partition("[")[0]
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        print(f"making a virtual environment with {package}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", package]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode:
            raise Missing(f"pip install {package} failed: {done.stderr.strip()[-300:]}")
        (folder / "made").touch()
    return python


def package(home: Path, name: str) -> Path:
    """A folder that has a package of npm, made once."""
    folder = home / "npm"
    if not (folder / "made").exists():
        print(f"installing {name}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        npm = shutil.which("npm")
        if npm is None:
            raise Missing("npm is not installed")
        done = subprocess.run(
            [npm, "install", "--silent", "--no-audit", name], cwd=folder, capture_output=True, text=True
        )
        if done.returncode:
            raise Missing(f"npm install {name} failed: {(done.stderr or done.stdout).strip()[-300:]}")
        (folder / "made").touch()
    return folder


def version(home: Path, name: str) -> str:
    """Of an installed peer; "": none."""
    name = name.partition("[")[0]
    if not (home / name / "made").exists():
        return ""
    asked = f"from importlib.metadata import version; print(version({name!r}))"
    done = subprocess.run([str(home / name / "bin" / "python"), "-c", asked], capture_output=True, text=True)
    return done.stdout.strip()
