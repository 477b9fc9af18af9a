"""``crawlkit one`` killed again and again, and after each kill started again by the same command.

At the end every page is there once, as in a run that nobody disturbed. The kills come at seeded counts of requests,
from within the web server, so that the crawl is always in the middle of something.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import MANUAL, Crawl, environment, results, run
from tests.e2e.conftest import Whole
from tests.e2e.power import Power
from tests.e2e.site import Site

RATE = "200"  # pages a second: the manual takes six seconds and a run has a few hundred requests behind it
SEED = 20260
KILLS = [2, *(pytest.param(kills, marks=pytest.mark.slow) for kills in (4, 20, 100))]
UNDER_WAY = 100  # pages fetched whose round may not have ended when a kill comes


def crawl_through(kills: list[int], site: Site, folder: Path, power: Power | None = None) -> int:
    """Runs the crawl to its end through all kills; returns how many of them found it at work."""
    env = environment(site.base, power.environment() if power else None)
    arguments = ["one", str(MANUAL), "-o", "work/out.jsonl", "--data-path", "work/d", "--rate", RATE]
    (folder / "work").mkdir()
    met = 0
    for request in [*kills, None]:
        with Crawl(arguments, folder, env) as crawl:
            if request is None:
                assert crawl.wait(120) == 0, crawl.said[-3000:]
                return met
            site.kill_at(request, crawl.group)
            crawl.wait(120)
            assert crawl.process.returncode == -9, f"not killed at request {request}:\n{crawl.said[-3000:]}"
            crawl.kill()
            met += 1
        if power:
            power.cut()
    return met


def seeded(count: int) -> list[int]:
    """Counts of requests at which to kill: spread over a crawl of 1,169 pages, the same each time."""
    return sorted(random.Random(SEED).sample(range(5, 1_150), count))


def of_any_site(file: Path, base: str) -> dict[str, Any]:
    """The results of a file, without the address of the site in their URLs and links."""
    anywhere = file.with_suffix(".anywhere")
    anywhere.write_text(file.read_text().replace(base, "http://manual/"))
    return results(anywhere)


@pytest.fixture
def undisturbed(whole: Whole) -> dict[str, Any]:
    """The results of a crawl that nobody disturbed."""
    return of_any_site(whole.folder / "out.jsonl", whole.site.base)


def check(site: Site, manual_paths: frozenset[str], undisturbed: dict[str, Any], folder: Path, kills: int) -> None:
    found = results(folder / "work" / "out.jsonl")
    assert set(found) == {site.base + path for path in manual_paths}
    # A kill costs what was under way and nothing that was done.
    assert site.count() <= len(manual_paths) + kills * UNDER_WAY
    assert of_any_site(folder / "work" / "out.jsonl", site.base) == undisturbed
    audit = run(["--data-path", "work/d", "audit"], folder, environment(site.base))
    assert audit.returncode == 0, audit.stdout + audit.stderr


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.timeout(900)
def test_killed_and_started_again(
    kills: int, site: Site, manual_paths: frozenset[str], undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    assert crawl_through(seeded(kills), site, tmp_path) == kills
    check(site, manual_paths, undisturbed, tmp_path, kills)


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.timeout(900)
def test_power_cut_and_started_again(
    kills: int, site: Site, manual_paths: frozenset[str], undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    power = Power(tmp_path / "work", tmp_path / "power")
    assert crawl_through(seeded(kills), site, tmp_path, power) == kills
    check(site, manual_paths, undisturbed, tmp_path, kills)
