"""One crawl by ``crawlkit all``, from the start of the command to its end: what it cost, and which part of it did."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.pairs import All, database_url, queue_url
from crawlkit import wiring
from crawlkit.proving.processes import Memory, by_part, cpu, family, server_at
from crawlkit.settings import Settings

EARLY = 5_000  # pages after which the memory is compared with its end


def crawl(
    folder: Path, script: Path, pages: int, out: Path, *, queue: tuple[str, str], database: tuple[str, str]
) -> dict[str, Any]:
    """Crawls by the script of the project ``shop`` into ``out``, a file of JSON lines.

    ``queue``, ``database``: kind and URL.

    ``wall`` and ``cpu`` are of the whole command; ``crawling`` is the time between the order to start and the end;
    ``servers``: CPU of the servers of queues and database; ``early``: bytes when 5,000 pages had been sent.
    """
    record = folder / "record.json"
    with database_url(*database) as database_at, queue_url(*queue) as queue_at:
        servers = [*server_at(database_at), *(server_at(queue_at) if queue[1] else [])]
        served = cpu(servers)
        began = time.monotonic()
        running = All(folder, queue_at, database_at, [sys.executable, "-m", "benchmarks.measure", str(record)])
        watch = Memory(lambda: family(running.root)[1:])
        watch.start()
        early = 0.0
        try:
            running.wait_ready()
            running.say("project", "put", str(script), "--rate", "unlimited", "--status", "RUNNING")
            control = wiring.control_client(Settings(data_path=folder / "data"))
            ordered, before = time.monotonic(), by_part(family(running.root)[1:])
            control.run("shop")
            if pages > EARLY:
                running.until(lambda: control.summary()["sent"] >= EARLY, "it does not go on")
                early = time.monotonic()
            running.wait_drained(control, pages)
            drained, after = time.monotonic(), by_part(family(running.root)[1:])
            control.close()
            watch.stop()
            asked = time.monotonic()
            out.write_text(running.say("results", "shop"))
            running.say("audit", "shop")
            aside = time.monotonic() - asked  # not a part of the job: it is for the check
        finally:
            running.stop()
        wall = time.monotonic() - began - aside
        served = cpu(servers) - served
    figures: dict[str, Any] = json.loads(record.read_text())
    late = [size for when, size in watch.curve if when >= drained - 1.0] or [watch.curve[-1][1]]
    return {
        "code": figures["code"],
        "wall": wall,
        "crawling": drained - ordered,
        "cpu": figures["cpu"],
        "servers": served,
        "parts": {part: seconds - before.get(part, 0.0) for part, seconds in after.items()},
        "pss": watch.peak(),
        "rss": figures["rss"],
        "early": next((size for when, size in watch.curve if early and when >= early), 0),
        "late": max(late),
    }
