"""docs/parity.md speaks of every id of tests/parity_ids.txt, gives reasons, and names tests that exist."""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from pathlib import Path

import pytest

from crawlkit.processor.project_loader import load_project
from tests.test_repository import contract_of

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "parity.md"
IDS = (ROOT / "tests" / "parity_ids.txt").read_text().split()
STATES = re.compile(r"same|(better|later|left out): \S.{9,}")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
Line = tuple[str, str, str, str]


def lines(page: str) -> list[Line]:
    """(id, what, state, test) of each line of the page's tables."""
    found: list[Line] = []
    for line in re.findall(r"^\| [A-Z]\d\d .*$", page, re.MULTILINE):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        assert len(cells) == 4, f"four columns wanted: {line}"
        found.append((cells[0], cells[1], cells[2], cells[3]))
    return found


@functools.cache
def named_in(file: Path) -> frozenset[str]:
    """The names of test functions and test classes in a file, and in those of the contract that it takes over."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    own = frozenset(
        node.name
        for node in nodes
        if (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"))
        or (isinstance(node, ast.ClassDef) and node.name.startswith("Test"))
    )
    return own.union(*(named_in(contract) for node in nodes if (contract := contract_of(node))))


def problems(page: str, ids: list[str]) -> list[str]:
    """What is wrong with a page, in words."""
    found = lines(page)
    counted = Counter(line[0] for line in found)
    wrong = [f"{one}: {counted[one]} lines" for one in ids if counted[one] != 1]
    wrong += [f"{one}: is no id of the list" for one in counted.keys() - set(ids)]
    for name, what, state, test in found:
        if len(what) < 5:
            wrong.append(f"{name}: says nothing")
        if not STATES.fullmatch(state):
            wrong.append(f"{name}: {state!r} is no state with a reason")
        if state.startswith(("same", "better")) and not test:
            wrong.append(f"{name}: names no test")
        if test and not all(map(TEST.fullmatch, test.split(", "))):
            wrong.append(f"{name}: {test!r} is no test")
        wrong += [f"{name}: {problem}" for problem in missing_tests(test)]
    return wrong


def missing_tests(text: str) -> list[str]:
    """The tests named in a text that are not there."""
    return [
        f"there is no {file}::{test}"
        for file, test in TEST.findall(text)
        if not (ROOT / file).exists() or test not in named_in(ROOT / file)
    ]


def test_every_id_has_its_line_its_reason_and_its_test() -> None:
    assert len(IDS) == len(set(IDS)) > 300
    assert problems(PAGE.read_text(), IDS) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((r"^\| H40 .*\n", ""), "H40: 0 lines"),
        ((r"^(\| H40 .*\n)", r"\1\1"), "H40: 2 lines"),
        ((r"^\| H40 ", "| H99 "), "H99: is no id of the list"),
        ((r"^(\| H41 .*?\|) same", r"\1 better"), "H41: 'better' is no state with a reason"),
        ((r"^(\| H41 .*?\|) same", r"\1 left out: why"), "H41: 'left out: why' is no state with a reason"),
        ((r"^(\| H41 .*)\| .*? \|$", r"\1| |"), "H41: names no test"),
        ((r"^(\| H41 .*)::\w+", r"\1::test_nothing"), "there is no tests/libs/test_base_handler.py::test_nothing"),
        ((r"^(\| H41 .*)`tests/\w+", r"\1`tests/nowhere"), "there is no tests/nowhere"),
    ],
)
def test_what_is_wrong_is_found(change: tuple[str, str], said: str) -> None:
    page = PAGE.read_text()
    broken = re.sub(change[0], change[1], page, flags=re.MULTILINE)
    assert broken != page
    assert any(said in problem for problem in problems(broken, IDS))


def test_the_ids_in_code_and_tests_are_in_the_list() -> None:
    """A reference like [H40] in a docstring leads somewhere."""
    known = set(IDS)
    for folder in ("crawlkit", "tests"):
        for file in (ROOT / folder).rglob("*.py"):
            for group in re.findall(r"\[((?:[A-Z]\d\d)(?:(?:, |-)[A-Z]\d\d)*)\]", file.read_text()):
                for one in re.findall(r"[A-Z]\d\d", group):
                    assert one in known, f"{file.relative_to(ROOT)} speaks of {one}"
            # R0x in the name of a test, and R47 and above, are promises of reliability, not behaviours of pyspider
            for test in re.findall(r"def test_((?:[CHSFPWTZN]|R(?=[1-3]))\d\d)_", file.read_text()):
                assert test in known, f"{file.relative_to(ROOT)} has a test of {test}"


def test_the_script_of_coming_from_pyspider_loads() -> None:
    page = (ROOT / "docs" / "coming-from-pyspider.md").read_text()
    (script,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    loaded = load_project("page", script)
    assert [cron.method for cron in loaded.handler.project_info().crons] == ["on_start"]


def test_coming_from_pyspider_speaks_of_ids_that_exist() -> None:
    page = (ROOT / "docs" / "coming-from-pyspider.md").read_text()
    spoken_of = set(re.findall(r"\b[CHSFPRWTZN]\d\d\b", page))
    assert spoken_of <= set(IDS)
    assert missing_tests(page) == []
