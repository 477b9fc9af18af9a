"""docs/upgrades.md says which versions work together: by the numbers in the code."""

from __future__ import annotations

from pathlib import Path

from crawlkit.database.sqlalchemy.tables import HEADS
from crawlkit.libs.messages import VERSION

PAGE = Path(__file__).parents[1] / "docs" / "upgrades.md"


def test_the_numbers_are_those_of_the_code() -> None:
    kinds = ("taskdb", "projectdb", "resultdb", "blobdb", "logdb")
    line = f"| this one | {VERSION} | {', '.join(HEADS[kind] for kind in kinds)} |"
    assert line in PAGE.read_text(), f"docs/upgrades.md should say: {line}"
