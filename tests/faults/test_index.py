"""docs/faults.md: each fault has its row, and each row a test that exists or the reason why it has none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tests.test_repository import functions

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/faults.md").read_text()
COUNT = 73
NOT_YET = "Not yet: "


class Row(NamedTuple):
    """One fault."""

    id: str
    what: str
    tests: list[tuple[str, str]]  # (file, name)
    missing: str  # what no test shows; "": nothing


def rows() -> list[Row]:
    found = []
    for line in PAGE.splitlines():
        if cells := re.fullmatch(r"\| (R-\d\d) \| ([^|]+) \| ([^|]+) \|", line):
            tests, _, missing = cells[3].partition(NOT_YET)
            named = re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", tests)
            assert " ".join(f"`{file}::{name}`" for file, name in named) == tests.strip(), line
            found.append(Row(cells[1], cells[2], named, missing))
    return found


def test_each_fault_has_its_row() -> None:
    assert [row.id for row in rows()] == [f"R-{number:02}" for number in range(1, COUNT + 1)]


def test_each_row_names_tests_that_exist_or_what_is_missing() -> None:
    for row in rows():
        assert row.tests or len(row.missing) > 20, row.id
        for file, name in row.tests:
            assert (ROOT / file).exists(), f"{row.id}: there is no {file}"
            assert name in functions(ROOT / file), f"{row.id}: {file} has no {name}"


def test_the_sums_are_right() -> None:
    none = sum(not row.tests for row in rows())
    part = sum(bool(row.tests and row.missing) for row in rows())
    said = re.search(r"Of (\d+) ids (\d+) have no test, and (\d+) are shown in part", PAGE)
    assert said is not None
    assert tuple(map(int, said.groups())) == (COUNT, none, part)
