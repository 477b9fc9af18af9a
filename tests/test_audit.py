"""What .ci/audit makes of the reports of pip-audit and bandit."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
LOADER = importlib.machinery.SourceFileLoader("audit", str(ROOT / ".ci/audit"))
audit: Any = importlib.util.module_from_spec(importlib.util.spec_from_loader("audit", LOADER))  # type: ignore[arg-type]
LOADER.exec_module(audit)

GOOD = {"name": "good", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
HOPELESS = {"name": "old", "version": "1", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]}
SKIPPED = {"name": "strange", "version": "1", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "well", "words"),
    [
        ([GOOD, GOOD], True, "2 packages, no known hole"),
        ([GOOD, BAD], False, "bad 1: PYSEC-1, mended in 2"),
        ([GOOD, HOPELESS], False, "old 1: PYSEC-2, mended in no release"),
        ([GOOD, SKIPPED], False, "strange: not looked at: not found"),
        ([SKIPPED, SKIPPED], True, "the index does not tell of advisories (not found)"),
    ],
)
def test_a_skipped_package_counts_as_failed_unless_nothing_can_be_asked(
    packages: list[dict[str, Any]], well: bool, words: str
) -> None:
    safe, said = audit.judge_packages({"dependencies": packages}, "")
    assert safe is well
    assert words in "\n".join(said)


@pytest.mark.parametrize(
    ("said", "well"),
    [
        ("requests.exceptions.ConnectionError: Max retries exceeded", True),
        ("Timeout: no answer", True),
        ("usage: pip-audit [-h]\npip-audit: error: argument -r", False),
        ("", False),
    ],
)
def test_an_index_that_does_not_answer_is_no_failure_and_a_tool_that_breaks_is(said: str, well: bool) -> None:
    safe, words = audit.judge_packages(None, said)
    assert safe is well
    assert words


def finding(path: str, test: str = "B608") -> dict[str, Any]:
    return {"filename": path, "line_number": 7, "test_id": test, "issue_text": "a danger"}


def judged(found: list[dict[str, Any]], allowed: dict[tuple[str, str], int]) -> tuple[bool, str]:
    report = {"errors": [], "results": found, "metrics": {"_totals": {"loc": 9}}}
    well, words = audit.judge_code(report, allowed)
    return well, "\n".join(words)


def test_findings_that_nobody_has_looked_at_fail() -> None:
    assert judged([], {}) == (True, "  9 lines, nothing that is not known.")
    assert judged([finding("a.py")], {("B608", "a.py"): 1})[0]
    assert judged([finding("a.py")], {}) == (False, "  a.py:7: B608 a danger")
    assert not judged([finding("a.py"), finding("a.py")], {("B608", "a.py"): 1})[0]
    assert not judged([finding("a.py")], {("B102", "a.py"): 1, ("B608", "b.py"): 1})[0]
    assert judged([], {("B608", "a.py"): 1}) == (False, "  a.py: fewer B608 than bandit-known says")
    broken = {"errors": [{"filename": "a.py", "reason": "syntax error"}], "results": [], "metrics": {}}
    assert audit.judge_code(broken, {}) == (False, ["  a.py: not looked at: syntax error"])


def test_each_known_finding_names_a_file_that_is_there_and_its_reason() -> None:
    assert all((ROOT / path).exists() for _, path in audit.known())
    lines = [line for line in audit.KNOWN.read_text().splitlines() if not line.startswith("#")]
    assert all(len(line.split(None, 3)) == 4 for line in lines)


def test_all_that_is_installed_is_looked_at_but_crawlkit() -> None:
    names = {line.partition("==")[0] for line in audit.packages()}
    assert {"tornado", "pycurl", "lxml", "flask"} <= names
    assert "crawlkit-framework" not in names
