"""The manual on a site of its own, and what an independent walk finds there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs
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
def manual_paths(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """The path of every page that links of the manual lead to."""
    served = Site(needs.postgres_manual(), tmp_path_factory.mktemp("walk") / "ledger.txt")
    try:
        return frozenset(url.removeprefix(served.base) for url in walk(served.base + "index.html"))
    finally:
        served.close()
