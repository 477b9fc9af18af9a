"""What a type checker says of handlers: nothing of good ones, and something of each mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parents[1]
FILES = ROOT / "tests" / "typing"


@pytest.fixture(scope="module")
def said() -> dict[str, list[tuple[int, str]]]:
    """(line, kind of error) by file, as ``mypy --strict`` finds them from outside of the package."""
    files = sorted(str(file) for file in FILES.glob("*.py"))
    cache = str(ROOT / ".mypy_cache" / "handlers")
    options = ["--strict", "--config-file=", "--follow-imports=silent", "--no-error-summary", f"--cache-dir={cache}"]
    out, err, _ = api.run([*options, *files])
    assert err == ""
    found: dict[str, list[tuple[int, str]]] = {Path(file).name: [] for file in files}
    for file, line, kind in re.findall(r"^(\S+?):(\d+): error: .*\[([\w-]+)\]$", out, re.MULTILINE):
        found[Path(file).name].append((int(line), kind))
    return found


def test_a_good_handler_passes(said: dict[str, list[tuple[int, str]]]) -> None:
    assert said["good.py"] == []
    code = (FILES / "good.py").read_text().splitlines()
    assert len([line for line in code if line.strip()]) >= 55


def test_each_mistake_is_found(said: dict[str, list[tuple[int, str]]]) -> None:
    lines = (FILES / "mistakes.py").read_text().splitlines()
    planted = {(number, line.rpartition("  # ")[2]) for number, line in enumerate(lines, 1) if "  # " in line}
    assert len(planted) >= 5
    assert planted <= set(said["mistakes.py"])
    assert {number for number, _ in planted} == {number for number, _ in said["mistakes.py"]}
