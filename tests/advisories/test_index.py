"""Each advisory that is known here is replayed by a test that names it, or docs/advisories.md says why not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = (ROOT / "tests/advisories/names.txt").read_text().splitlines()


def rows() -> list[tuple[list[str], str]]:
    """(names, what stands in the last column) of each row of the page."""
    cells = [line.split("|") for line in (ROOT / "docs/advisories.md").read_text().splitlines() if line.startswith("|")]
    found = [([name.strip() for name in row[1].split(",")], row[3].strip()) for row in cells]
    return [(names, here) for names, here in found if names[0] not in ("name", "---")]


def source_of(file: str, name: str) -> str:
    """The name and the docstring of a test; empty when there is no such one."""
    tree = ast.parse((ROOT / file).read_text()) if (ROOT / file).exists() else ast.parse("")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return f"{name} {ast.get_docstring(node)}"
    return ""


def test_every_name_has_its_row() -> None:
    listed = [name for names, _ in rows() for name in names]
    assert sorted(listed) == sorted(NAMES)
    assert len(listed) == len(set(listed))


def test_every_row_has_a_test_that_names_it_or_a_reason() -> None:
    for names, here in rows():
        reason = here.removeprefix("Does not apply: ")
        if reason != here:
            assert len(reason) > 8, names
            continue
        found = re.fullmatch(r"`(tests/[\w/]+\.py)::(\w+)`", here)
        assert found, names
        said = re.sub(r"[\W_]+", " ", source_of(found[1], found[2])).lower()
        for name in names:
            assert re.sub(r"[\W_]+", " ", name).lower() in said, f"{here} does not name {name}"


def test_no_replay_is_without_its_row() -> None:
    listed = {here.strip("`") for _, here in rows()}
    for file in sorted((ROOT / "tests/advisories").glob("test_*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and re.match(
                r"test_(CVE|GHSA|PYSEC|scrapy|tornado|pyspider)_", node.name
            ):
                assert f"tests/advisories/{file.name}::{node.name}" in listed, node.name
