"""Components and handler workers killed at random all through a crawl: nothing lost, nothing doubled (R-03, show 1).

Each run says the command that makes the same kills again; ``CHAOS_SEED`` sets their seed, ``CHAOS_KILLS`` how many.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cli.site import crawlkit
from tests.servers import fresh_database, redis_space

SEED = os.environ.get("CHAOS_SEED", "20260")
KILLS = int(os.environ.get("CHAOS_KILLS", "1000"))
EVERY = 2.0  # seconds between two kills of the long runs, on average
BACKENDS = ["local+sqlite", "redis+postgres"]


def torn(backends: str, folder: Path, pages: int, kills: int, seconds: float) -> dict[str, Any]:
    """The verdict on one crawl; fails with it when anything does not hold."""
    with ExitStack() as stack:
        line: list[str] = []
        if backends == "redis+postgres":
            line += ["--database", stack.enter_context(fresh_database("postgres"))]
            line += ["--message-queue", stack.enter_context(redis_space())]
        wanted = ["--pages", str(pages), "--kills", str(kills), "--minutes", f"{seconds / 60:.3f}", "--seed", SEED]
        done = crawlkit(*line, "chaos", "--json", *wanted, cwd=folder, timeout=4 * seconds + 120)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    print(found["command"])
    print({name: found[name] for name in ("seconds", "requests", "refetches", "recovery")})
    assert found["problems"] == []
    assert done.returncode == 0
    assert found["kills"]["made"] >= 0.95 * kills  # the last ones may not be due before the end
    assert found["recovery"]["all"]["seen"] >= 0.8 * found["kills"]["made"]
    return found


@pytest.mark.timeout(240)
def test_twenty_kills(tmp_path: Path) -> None:
    found = torn("redis+postgres", tmp_path, 1_000, 20, 15)
    assert found["database"].startswith("PostgreSQL ")
    assert found["queues"].startswith("redis://")


@pytest.mark.slow
@pytest.mark.parametrize("backends", BACKENDS)
@pytest.mark.timeout(3 * 3600)
def test_a_thousand_kills(backends: str, tmp_path: Path) -> None:
    torn(backends, tmp_path, 20_000, KILLS, EVERY * KILLS)
