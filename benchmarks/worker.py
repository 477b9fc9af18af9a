"""CPU of one handler worker: pages of the benchmark's shop through a real worker process, fed as a processor does.

    python -m benchmarks.worker [--pages 5000] [--runs 3] [--script FILE] [--spy FILE]

Prints microseconds of CPU per page: of the worker's process, user and system, and beside it of the work alone (lxml,
md5, joining, msgpack: no framework). Linux only.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import click
import lxml.etree
import msgspec

from crawlkit.libs.malloc import MALLOC
from crawlkit.libs.messages import NIL, TASK, Dispatch, Fetched, encode
from crawlkit.libs.task import Fetch, Schedule, taskid_of
from crawlkit.processor import frames, worker_process
from crawlkit.processor.board import create_memory
from crawlkit.processor.orders import Script, WorkerConfig
from crawlkit.processor.settings import ProcessorSettings
from crawlkit.proving.shop import shop_script
from crawlkit.proving.site import write_site

BASE = "http://127.0.0.1:48000"
SITE = 200  # pages that come again and again
IN_HAND = 40  # tasks given in advance, as the pool does for tasks of half a millisecond
NAP = 0.004  # seconds between looks, as the processor takes them while a worker has much to do
WARM = 300
HEADERS = [
    ("Server", "nginx/1.26.3"),
    ("Date", "Tue, 03 Mar 2026 10:00:00 GMT"),
    ("Content-Type", "text/html"),
    ("Content-Length", "10240"),
    ("Last-Modified", "Mon, 02 Mar 2026 09:00:00 GMT"),
    ("Connection", "keep-alive"),
    ("ETag", '"69a5-2800"'),
    ("Accept-Ranges", "bytes"),
]


def fetched(number: int, html: bytes) -> bytes:
    """A page as the fetcher hands it on."""
    url = f"{BASE}/p/{number}.html"
    task = Dispatch("shop", taskid_of(url), 1, 1, url, "v1", "item", 0, TASK, Schedule(), Fetch(), NIL, 0)
    return encode(
        Fetched(task, 200, url, url, HEADERS, {}, 0.002, node="bench", size=len(html), content=html)
    )  # fmt: skip


def born(script: bytes) -> tuple[int, socket.socket]:
    """(pid, the processor's end) of a worker that has its script."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, worker_process.SOCKET_BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, worker_process.SOCKET_BUFFER)
    memory = create_memory()
    settings = ProcessorSettings()
    config = WorkerConfig("bench", settings.process_time_limit, settings.memory_limit, settings.max_follows,
                          settings.max_processes)  # fmt: skip
    pid = os.fork()
    if not pid:
        try:
            ours.close()
            worker_process.main(msgspec.msgpack.encode(config), theirs.detach(), memory)
        finally:
            os._exit(1)
    theirs.close()
    os.close(memory)
    order = msgspec.msgpack.encode(Script("shop", "v1", script, {}))
    ours.sendall(frames.header(frames.SCRIPT, 0, len(order)) + order)
    return pid, ours


def spent(pid: int) -> tuple[float, float]:
    """(user, system) seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / ticks, int(fields[12]) / ticks


def feed(sock: socket.socket, pages: Iterator[bytes], count: int) -> None:
    """Has the worker run ``count`` pages; ends the benchmark when one fails."""
    reader = frames.FrameReader()
    given = done = 0
    out: deque[bytes] = deque()
    while done < count:
        if given - done <= IN_HAND // 2:
            while given < count and given - done < IN_HAND:
                given += 1
                body = next(pages)
                out.append(frames.header(frames.TASK, given, len(body)) + body)
            sock.sendall(b"".join(out))
            out.clear()
        time.sleep(NAP)
        data = sock.recv(frames.CHUNK)
        if not data:
            raise SystemExit("the worker is dead")
        for kind, _, payload in reader.feed(data):
            if kind != frames.OUTCOME | frames.IS_LAST | frames.HAS_RESULTS:
                raise SystemExit(f"the worker sent a frame of kind {kind}: {payload[:500]!r}")
            done += 1


def alone(bodies: list[bytes], count: int) -> float:
    """CPU seconds for what the callback asks for, by hand."""
    parser = lxml.etree.HTMLParser(encoding="utf-8", huge_tree=True, collect_ids=False)
    wanted = ("//a/@href", "//title/text()", "//h1/text()", '//td[@class="price"]/text()')
    finds = [lxml.etree.XPath(path, smart_strings=False) for path in wanted]
    began = time.process_time()
    for number in range(count):
        page = msgspec.msgpack.decode(bodies[number % len(bodies)][1:], type=Fetched)
        root = lxml.etree.fromstring(page.content, parser)
        links, *fields = (find(root) for find in finds)
        follows = []
        for href in links:
            url = href if href.startswith("http") else BASE + href if href[0] == "/" else urljoin(page.url, href)
            follows.append((taskid_of(url), "shop", url, "item"))
        msgspec.msgpack.encode((page.task.project, page.task.taskid, [each[0] for each in fields], follows))
    return time.process_time() - began


@click.command()
@click.option("--pages", default=5_000)
@click.option("--runs", default=3)
@click.option("--script", type=click.Path(path_type=Path), help="another handler than the shop's")
@click.option("--spy", type=click.Path(path_type=Path), help="where py-spy puts what it saw")
def main(pages: int, runs: int, script: Path | None, spy: Path | None) -> None:
    """Measures, and prints a line for each run and their median."""
    if not MALLOC.items() <= os.environ.items():  # read at the start of a process only
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.worker", *sys.argv[1:]], {**os.environ, **MALLOC})
    with tempfile.TemporaryDirectory() as folder:
        write_site(Path(folder), SITE, BASE)
        bodies = [fetched(number, (Path(folder) / f"p/{number}.html").read_bytes()) for number in range(SITE)]

    def endless() -> Iterator[bytes]:
        while True:
            yield from bodies

    text = script.read_bytes() if script is not None else shop_script(f"{BASE}/p/0.html").encode()
    totals: list[float] = []
    for _ in range(runs):
        pid, sock = born(text)
        supply = endless()
        feed(sock, supply, WARM)
        before = spent(pid)
        watching = None
        if spy is not None:
            seconds = str(max(1, int(pages * 0.0004)))
            watching = subprocess.Popen(["py-spy", "record", "-d", seconds, "-r", "500", "--nonblocking", "-f", "raw",
                                         "-o", str(spy), "-p", str(pid)], stdout=subprocess.DEVNULL)  # fmt: skip
        feed(sock, supply, pages)
        user, system = (now - then for now, then in zip(spent(pid), before, strict=True))
        if watching is not None:
            watching.wait()
        sock.close()
        os.waitpid(pid, 0)
        totals.append((user + system) / pages * 1e6)
        click.echo(f"worker {totals[-1]:6.1f} us CPU per page ({user / pages * 1e6:.1f} user)")
    click.echo(f"median {statistics.median(totals):6.1f} us CPU per page")
    click.echo(f"alone  {alone(bodies, pages) / pages * 1e6:6.1f} us CPU per page: no framework")


if __name__ == "__main__":
    main()
