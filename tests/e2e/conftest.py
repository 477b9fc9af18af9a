"""The manual on a site of its own, and what an independent walk finds there."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import needs
from tests.e2e.commands import MANUAL, Crawl, environment
from tests.e2e.site import Site, walk
from tests.files.stores import s3_endpoint, s3_url

__all__ = ["s3_endpoint", "s3_url"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Debian's PostgreSQL manual behind a server that keeps a ledger."""
    served = Site(needs.postgres_manual(), tmp_path / "ledger.txt")
    yield served
    served.close()


@pytest.fixture(scope="session")
def manual_paths(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> frozenset[str]:
    """The path of every page that links of the manual lead to; of all processes of a run of pytest one walks."""
    base = tmp_path_factory.getbasetemp()
    place = base if worker_id == "master" else base.parent  # the run's own, with a folder for each process in it
    found = place / "manual_paths.json"
    with (place / "manual_paths.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists():
            served = Site(needs.postgres_manual(), tmp_path_factory.mktemp("walk") / "ledger.txt")
            try:
                paths = [url.removeprefix(served.base) for url in walk(served.base + "index.html")]
            finally:
                served.close()
            found.write_text(json.dumps(paths))
        return frozenset(json.loads(found.read_text()))


@dataclass
class Whole:
    """A crawl of the whole manual that nobody disturbed: its site, which still runs, and the command."""

    site: Site
    folder: Path
    arguments: list[str]
    requests: list[str]  # that it made


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """Crawled by ``crawlkit one``; its data is in ``d``, its results in ``out.jsonl`` of its folder."""
    folder = tmp_path_factory.mktemp("whole")
    site = Site(needs.postgres_manual(), folder / "ledger.txt")
    arguments = ["one", str(MANUAL), "-o", "out.jsonl", "--data-path", "d", "--rate", "unlimited"]
    try:
        with Crawl(arguments, folder, environment(site.base)) as crawl:
            assert crawl.wait(90) == 0, crawl.said
        yield Whole(site, folder, arguments, site.requests())
    finally:
        site.close()
