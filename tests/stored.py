"""What stands in the stores of a data path, read by the test's own process.

For a test that waits: a command that is started again and again would take the CPU of those it waits for.
"""

from __future__ import annotations

from pathlib import Path

from crawlkit import wiring
from crawlkit.libs.rows import NodeRow
from crawlkit.settings import Settings


def results(data_path: Path, project: str = "job") -> int:
    """How many results a project has."""
    with wiring.open_stores(Settings(data_path=data_path), ("resultdb",)) as stores:
        return stores.resultdb.count(project)


def nodes(data_path: Path) -> list[NodeRow]:
    """Every process that was ever seen."""
    with wiring.open_stores(Settings(data_path=data_path), ("taskdb",)) as stores:
        return stores.taskdb.nodes()
