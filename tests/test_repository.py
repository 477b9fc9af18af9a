"""The repository keeps its own word: licence, README, documentation, floors, names."""

from __future__ import annotations

import ast
import configparser
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crawlkit import __version__
from crawlkit.libs import errors

ROOT = Path(__file__).parents[1]
NOT_OURS = {".git", ".venv", ".tox", ".bench", "build", "dist", "site", "data"}
TEXT = {".py", ".md", ".toml", ".ini", ".cfg", ".yml", ".yaml", ".txt", ".sh", ".in", ".html", ".c", ""}
COMPONENTS = ("scheduler", "fetcher", "processor", "result")


def files() -> list[Path]:
    """Every text file of the project."""
    found = []
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if path.suffix in TEXT and path.is_file() and not (NOT_OURS & set(parts) or "__pycache__" in parts):
            found.append(path)
    return found


def commands(markdown: str) -> list[str]:
    """The lines of the shell blocks of a page."""
    blocks = re.findall(r"^```sh\n(.*?)^```", markdown, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def steps() -> set[str]:
    """What .ci/run runs."""
    return {
        line.removeprefix("step ") for line in (ROOT / ".ci/run").read_text().splitlines() if line.startswith("step ")
    }


def test_required_top_level_is_there() -> None:
    for name in ("scheduler", "fetcher", "processor", "result", "webui", "libs", "database", "message_queue"):
        assert (ROOT / "crawlkit" / name / "__init__.py").exists(), name
    for name in (
        "tests",
        "docs",
        "benchmarks",
        "run.py",
        "setup.py",
        "tox.ini",
        "README.md",
        "CHANGELOG.md",
        ".ci/run",
    ):
        assert (ROOT / name).exists(), name


def test_ci_runs_the_two_commands_of_the_readme_as_printed() -> None:
    first, second = commands((ROOT / "README.md").read_text())[:2]
    for part in [*first.split(" && "), *second.split(" && ")]:
        assert part in steps(), part
    assert re.search(r"-m pytest -n auto$", second)


def test_nothing_tells_anyone_to_install_somebody_elses_package() -> None:
    wrong = re.compile(r"\b(?:pipx?3?|uvx?)\b[^\n`]*\s(?:install|add|run)\b[^\n`]*[\s'\"]crawlkit(?![\w./-])")
    assert wrong.search("python -m pip install -U crawlkit==1")
    assert wrong.search("pip install 'crawlkit[all]'")
    assert not wrong.search("pip install crawlkit-framework")
    told = [path for path in files() if path != Path(__file__) and wrong.search(path.read_text(errors="replace"))]
    assert not told


def test_nothing_tells_anyone_to_install_what_no_index_has() -> None:
    wrong = re.compile(r"install\b[^\n`]*crawlkit-framework(?![^\n`]* @ )")
    assert wrong.search("pip install 'crawlkit-framework[redis]'")
    assert not wrong.search('pip install "crawlkit-framework[redis] @ file:///wheels/x.whl"')
    told = [path for path in files() if path != Path(__file__) and wrong.search(path.read_text(errors="replace"))]
    assert not told


def test_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert 'license="Apache-2.0"' in (ROOT / "setup.py").read_text()


def test_python_has_a_lower_bound_and_no_upper_one() -> None:
    assert re.search(r'python_requires=">=3\.11"', (ROOT / "setup.py").read_text())


def test_changelog_has_a_place_for_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in text or f"## {__version__}" in text


def test_every_error_has_its_line_in_the_documentation() -> None:
    page = (ROOT / "docs/errors.md").read_text()
    rows = {cells[1].strip("` "): cells for line in page.splitlines() if len(cells := line.split("|")) > 2}
    for name, cls in vars(errors).items():
        if isinstance(cls, type) and issubclass(cls, errors.CrawlkitError):
            said = re.findall(r"`(\w+)`", rows[name][2])
            assert said == [base.__name__ for base in cls.__bases__], name
    assert set(rows) >= errors.FETCH_ERROR_KINDS
    kinds = page.partition("## Why a fetch failed")[2]
    assert set(re.findall(r"^\| `(\w+)`", kinds, re.MULTILINE)) == errors.FETCH_ERROR_KINDS


def functions(file: Path) -> set[str]:
    """Names of the tests of a file, with those of classes as Class::test."""
    tree = ast.parse(file.read_text())
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}::{f.name}" for f in node.body if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            found.add(node.name)
        elif isinstance(node, ast.Assign):  # TestMachine = SomeStateMachine.TestCase
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif contract := contract_of(node):
            found |= functions(contract)
    return found


def contract_of(node: ast.AST) -> Path | None:
    """The file of the contract whose tests this import makes those of its module."""
    if not isinstance(node, ast.ImportFrom) or node.names[0].name != "*":
        return None
    module = node.module or ""
    return (ROOT / module.replace(".", "/")).with_suffix(".py") if module.startswith("crawlkit.contract.") else None


def promises() -> list[str]:
    """Every promise: the list entries of the page, and its quoted sentences."""
    page = (ROOT / "docs/promises.md").read_text()
    return re.findall(r"^- (.*?)(?=^- |^#|^$)", page + "\n", re.DOTALL | re.MULTILINE)


def test_every_promise_names_a_test_that_exists() -> None:
    found = promises()
    assert len(found) > 10
    for promise in found:
        tests = re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", promise)
        assert tests, f"no test for: {promise}"
        for file, name in tests:
            assert (ROOT / file).exists(), f"{file} does not exist, for: {promise}"
            assert name in functions(ROOT / file), f"{file} has no {name}, for: {promise}"


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_files_that_documentation_names_exist(page: str) -> None:
    named = set(
        re.findall(r"`((?:crawlkit|tests|examples|benchmarks|docs)/[\w/.-]+)`", (ROOT / "docs" / page).read_text())
    )
    missing = {name for name in named if not (ROOT / name).exists()}
    assert not missing


def test_rooms_page_lists_the_modules_that_are_there() -> None:
    listed = set(re.findall(r"^\| `(crawlkit/[\w/.]+)`", (ROOT / "docs/rooms.md").read_text(), re.MULTILINE))
    there = set(re.findall(r"^\| `(crawlkit/[\w/.]+)`", writer("rooms").page(), re.MULTILINE))
    assert listed == there, "write it anew: python docs/rooms.py"


def test_api_page_is_what_the_server_declares() -> None:
    assert (ROOT / "docs/api.md").read_text() == writer("api").page(), "write it anew: python docs/api.py"


def writer(name: str) -> Any:
    """The program that writes a page of the documentation."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_every_module_of_a_component_is_in_one_of_the_lists_of_the_floors() -> None:
    floors = configparser.ConfigParser()
    floors.read(ROOT / ".importlinter")
    lists = [floors[f"importlinter:contract:{name}"]["source_modules"].split() for name in ("pure", "engine", "shells")]
    listed = [module for modules in lists for module in modules]
    assert len(listed) == len(set(listed))
    there = {
        f"crawlkit.{component}.{path.stem}"
        for component in COMPONENTS
        for path in (ROOT / "crawlkit" / component).glob("*.py")
        if path.name != "__init__.py"
    }
    assert {module for module in listed if module.split(".")[1] in COMPONENTS} == there
    for module in set(listed) - there:  # of another floor: pure by choice
        assert (ROOT / Path(*module.split("."))).with_suffix(".py").exists(), module


def test_every_module_says_what_it_is_for() -> None:
    for path in (ROOT / "crawlkit").rglob("*.py"):
        if path.read_text().strip():
            assert ast.get_docstring(ast.parse(path.read_text())), path


def test_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None:
        from tests.needs import missing

        missing("mkdocs (the extra [docs])")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "architecture" / "index.html").exists()
